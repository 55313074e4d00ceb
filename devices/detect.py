"""Hearing recorders come and go: the kernel's device events, classified without any I/O.

Invariants: a volume is known by its DEVPATH and its place by ID_PATH, never by sdX names, serials or
file-system ids, which repeat; each volume arrives once and departs once, whatever the kernel repeats; a
`remove` of a usb_device, which carries little more than DEVPATH and ID_PATH, takes every volume below it
along. The volume is whatever carries a file system, or a partition that may.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Protocol

import pyudev

from core import log
from devices.error import DetectionError

EXTENDED = frozenset({"0x5", "0xf", "0x85"})  # MBR types of a partition that only holds others
POLL_S = 0.5  # how soon a detector notices that it should stop
_log = log.get(__name__)

# the controller, `-usb-`, the bus, the ports from hub to hub; then the USB interface and what hangs on it
_PORT = re.compile(r"(?P<port>.*-usb-\d+:\d+(?:\.\d+)*)(?::\d+\.\d+(?:-.*)?)?")


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

    `fs_type` is empty for a partition in which no file system is known.
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

    @property
    def shown(self) -> str:
        """What people call it: model and serial, or the port."""
        return " ".join(part for part in (self.model, self.serial) if part) or self.port


@dataclass(frozen=True)
class Departure:
    """The volume at `port` is gone."""

    volume: str
    port: str


Sighting = Arrival | Departure
Announce = Callable[[Sighting], None]


class Detector(Protocol):
    """A source of sightings."""

    def watch(self, announce: Announce, stop: Event) -> None:
        """Announce what is there already and then what comes and goes, until `stop`."""
        ...


def port_of(id_path: str) -> str:
    """The bay's path from any ID_PATH below it: `…-usb-0:3:1.0-scsi-0:0:0:0` is at `…-usb-0:3`."""
    found = _PORT.fullmatch(id_path)
    return found["port"] if found else id_path


class Classifier:
    """Turns device events into sightings; pure, one for each detector."""

    def __init__(self) -> None:
        self._present: dict[str, Arrival] = {}

    def feed(self, event: DeviceEvent) -> list[Sighting]:
        """What this event means; often nothing."""
        if event.action == "remove":
            return self._leave(event.get("DEVPATH"))
        if event.action in {"add", "change"} and event.get("SUBSYSTEM") == "block":
            return self._look(event)
        return []

    def missing(self, still_there: Collection[str]) -> list[DeviceEvent]:
        """The removals that were never heard: volumes we know of that are not there any more."""
        return [DeviceEvent("remove", {"DEVPATH": v}) for v in self._present if v not in still_there]

    def _leave(self, devpath: str) -> list[Sighting]:
        """Everything at or below the removed device; a usb_device takes its disks, a disk its partitions."""
        gone = [v for v in self._present if v == devpath or v.startswith(devpath + "/")]
        return [Departure(v, self._present.pop(v).port) for v in gone] if devpath else []

    def _look(self, event: DeviceEvent) -> list[Sighting]:
        volume = event.get("DEVPATH")
        known = self._present.get(volume)
        found = _arrival(event)
        if known == found:
            return []
        sightings: list[Sighting] = self._leave(volume) if known else []
        if found:
            self._present[volume] = found
            sightings.append(found)
        return sightings


def _arrival(event: DeviceEvent) -> Arrival | None:
    """The volume that this block device is; None for a disk without a file system, or not on USB."""
    if "-usb-" not in event.get("ID_PATH") or not _is_volume(event):
        return None
    emulated_by = event.get("SEALDOCK_EMULATED_BY")
    return Arrival(
        volume=event.get("DEVPATH"),
        port=port_of(event.get("ID_PATH")),
        node=Path(event.get("DEVNAME")),
        fs_type=event.get("ID_FS_TYPE"),
        label=event.get("ID_FS_LABEL"),
        serial=event.get("ID_SERIAL_SHORT"),
        vendor_id=event.get("ID_VENDOR_ID"),
        product_id=event.get("ID_MODEL_ID"),
        model=event.get("ID_MODEL").replace("_", " ").strip(),
        emulated_by=Path(emulated_by) if emulated_by else None,
    )


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
            monitor.filter_by("block")
            monitor.filter_by("usb", "usb_device")
            monitor.start()
        except (ImportError, OSError, ValueError) as cause:
            raise DetectionError(why=str(cause)) from cause
        classifier = Classifier()
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
    devices = list(context.list_devices(subsystem="block"))
    for lost in classifier.missing({device.device_path for device in devices}):
        _announce(classifier, lost, announce)
    for device in devices:
        _announce(classifier, DeviceEvent("add", dict(device.properties)), announce)


def _announce(classifier: Classifier, event: DeviceEvent, announce: Announce) -> None:
    for sighting in classifier.feed(event):
        _log.info("recorder sighted", sighting=type(sighting).__name__, port=sighting.port)
        announce(sighting)
