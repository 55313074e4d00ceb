"""Hearing recorders come and go: the kernel's device events, classified without any I/O.

Invariants: a volume is known by its DEVPATH and its place by ID_PATH, never by sdX names, serials or
file-system ids, which repeat; each volume arrives once and departs once, whatever the kernel repeats; a
`remove` of a usb_device, which carries little more than DEVPATH and ID_PATH, takes every volume below it
along. The volume is whatever carries a file system, or a partition that may; a serial line or a still-image
interface is sighted in the same way, and a device that has none of these is sighted as such, never opened.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Protocol

import pyudev

from core import log
from devices.error import DetectionError
from devices.port import exact_path, port_of
from devices.usb_interface import UsbInterface, is_hub, offers_footage, parse_interfaces

EXTENDED = frozenset({"0x5", "0xf", "0x85"})  # MBR types of a partition that only holds others
POLL_S = 0.5  # how soon a detector notices that it should stop
SUBSYSTEMS = ("block", "tty", "usb")
_log = log.get(__name__)


class Kind(StrEnum):
    """What arrived: the transport that can open it."""

    VOLUME = "volume"
    SERIAL = "serial"
    STILL_IMAGE = "still_image"  # PTP and MTP
    OTHER = "other"  # a device without any interface that footage could come through


@dataclass(frozen=True)
class DeviceEvent:
    """One uevent: its action and its properties, as udev gives them."""

    action: str
    properties: Mapping[str, str]

    def get(self, name: str) -> str:
        """A property, or nothing."""
        return self.properties.get(name, "")


@dataclass(frozen=True)
class Arrival:
    """A volume is there. `port` is the USB topology path of its bay; `volume` is its DEVPATH.

    `fs_type` is empty for a partition in which no file system is known. `exact_port` names the speed of the bus
    too (`…-usbv3-0:3`), and is empty where that is not known. `usb_device` is the DEVPATH of the device that it is
    a part of: what shows that two are not one, when serials and paths are alike.
    """

    volume: str
    port: str
    node: Path
    fs_type: str
    label: str = ""
    serial: str = ""
    vendor_id: str = ""
    product_id: str = ""
    model: str = ""
    emulated_by: Path | None = field(default=None)
    kind: Kind = Kind.VOLUME
    exact_port: str = ""
    usb_device: str = ""
    interfaces: tuple[UsbInterface, ...] = ()

    @property
    def shown(self) -> str:
        """What people call it: model and serial, or the port."""
        return " ".join(part for part in (self.model, self.serial) if part) or self.port


@dataclass(frozen=True)
class Departure:
    """The volume at `port` is gone."""

    volume: str
    port: str
    exact_port: str = ""


Sighting = Arrival | Departure
Announce = Callable[[Sighting], None]


class Detector(Protocol):
    """A source of sightings."""

    def watch(self, announce: Announce, stop: Event) -> None:
        """Announce what is there already and then what comes and goes, until `stop`."""
        ...


SpeedOf = Callable[[str], str]  # a root hub's DEVPATH -> its speed in Mbit/s as sysfs says it, or nothing


def _nothing(_root_hub: str) -> str:
    return ""


class Classifier:
    """Turns device events into sightings; pure but for `speed_of`, one for each detector."""

    def __init__(self, speed_of: SpeedOf = _nothing) -> None:
        self._present: dict[str, Arrival] = {}
        self._speed_of = speed_of

    def feed(self, event: DeviceEvent) -> list[Sighting]:
        """What this event means; often nothing."""
        if event.action == "remove":
            return self._leave(event.get("DEVPATH"))
        if event.action in {"add", "change"} and event.get("SUBSYSTEM") in SUBSYSTEMS:
            return self._look(event)
        return []

    def missing(self, still_there: Collection[str]) -> list[DeviceEvent]:
        """The removals that were never heard: volumes we know of that are not there any more."""
        return [DeviceEvent("remove", {"DEVPATH": v}) for v in self._present if v not in still_there]

    def _leave(self, devpath: str) -> list[Sighting]:
        """Everything at or below the removed device; a usb_device takes its disks, a disk its partitions."""
        gone = [v for v in self._present if v == devpath or v.startswith(devpath + "/")]
        left = [self._present.pop(v) for v in gone] if devpath else []
        return [Departure(one.volume, one.port, one.exact_port) for one in left]

    def _look(self, event: DeviceEvent) -> list[Sighting]:
        volume = event.get("DEVPATH")
        known = self._present.get(volume)
        found = _arrival(event, self._speed_of)
        if known == found:
            return []
        sightings: list[Sighting] = self._leave(volume) if known else []
        if found:
            self._present[volume] = found
            sightings.append(found)
        return sightings


def _arrival(event: DeviceEvent, speed_of: SpeedOf) -> Arrival | None:
    """What this device is; None for a disk without a file system, a part of something else, or not on USB."""
    id_path = event.get("ID_PATH")
    kind = _kind(event) if "-usb-" in id_path else None
    if kind is None:
        return None
    emulated_by, devpath = event.get("SEALDOCK_EMULATED_BY"), event.get("DEVPATH")
    exact, usb_device = exact_path(devpath, id_path, speed_of)
    return Arrival(
        volume=devpath,
        port=port_of(id_path),
        node=Path(event.get("DEVNAME")),
        fs_type=event.get("ID_FS_TYPE"),
        label=event.get("ID_FS_LABEL"),
        serial=event.get("ID_SERIAL_SHORT"),
        vendor_id=event.get("ID_VENDOR_ID"),
        product_id=event.get("ID_MODEL_ID"),
        model=event.get("ID_MODEL").replace("_", " ").strip(),
        emulated_by=Path(emulated_by) if emulated_by else None,
        kind=kind,
        exact_port=exact,
        usb_device=usb_device,
        interfaces=parse_interfaces(event.get("ID_USB_INTERFACES")),
    )


def _kind(event: DeviceEvent) -> Kind | None:
    """What kind of thing an event is about; None for what is no sighting of its own."""
    subsystem = event.get("SUBSYSTEM")
    if subsystem == "block":
        return Kind.VOLUME if _is_volume(event) else None
    if subsystem == "tty":
        return Kind.SERIAL if event.get("DEVNAME") else None
    if event.get("DEVTYPE") != "usb_device":
        return None
    interfaces = parse_interfaces(event.get("ID_USB_INTERFACES"))
    if any(one.is_still_image for one in interfaces):
        return Kind.STILL_IMAGE
    is_other = interfaces and not offers_footage(interfaces) and not is_hub(interfaces)
    return Kind.OTHER if is_other else None


def _is_volume(event: DeviceEvent) -> bool:
    """A file system, or a partition in which none is known: that may be footage too, so it is not passed over."""
    if event.get("DEVTYPE") == "partition":
        return event.get("ID_PART_ENTRY_TYPE") not in EXTENDED
    return bool(event.get("ID_FS_TYPE")) and not event.get("ID_PART_TABLE_TYPE")


class UdevDetector:
    """The real thing: libudev's monitor, then everything that was plugged in before we listened."""

    def watch(self, announce: Announce, stop: Event) -> None:
        """Listen until `stop`. Raises DetectionError where there is no udev."""
        try:
            context = pyudev.Context()
            monitor = pyudev.Monitor.from_netlink(context)
            for subsystem in SUBSYSTEMS:
                monitor.filter_by(subsystem)
            monitor.start()
        except (ImportError, OSError, ValueError) as cause:
            raise DetectionError(why=str(cause)) from cause
        classifier = Classifier(root_hub_speed)
        _look_around(context, classifier, announce)  # after start(): nothing falls between
        while not stop.is_set():
            try:
                device = monitor.poll(timeout=POLL_S)
            except OSError as cause:
                if cause.errno != errno.ENOBUFS:
                    raise DetectionError(why=str(cause)) from cause
                _log.warning("the kernel had more events than we could take; looking around")
                _look_around(context, classifier, announce)
                continue
            if device is not None:
                _announce(classifier, DeviceEvent(device.action, dict(device.properties)), announce)


def _look_around(context: pyudev.Context, classifier: Classifier, announce: Announce) -> None:
    """Bring what we know in line with what is there: at the start, and after events were lost in a storm."""
    devices = [device for subsystem in SUBSYSTEMS for device in context.list_devices(subsystem=subsystem)]
    for lost in classifier.missing({device.device_path for device in devices}):
        _announce(classifier, lost, announce)
    for device in devices:
        _announce(classifier, DeviceEvent("add", dict(device.properties)), announce)


def _announce(classifier: Classifier, event: DeviceEvent, announce: Announce) -> None:
    for sighting in classifier.feed(event):
        _log.info("recorder sighted", sighting=type(sighting).__name__, port=sighting.port)
        announce(sighting)


def root_hub_speed(root_hub: str) -> str:
    """The speed of a root hub in Mbit/s, as sysfs has it; empty where it is not to be read."""
    try:
        return Path(f"/sys{root_hub}/speed").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
