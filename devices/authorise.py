"""Which interfaces of a USB device in a bay a driver may bind: those that footage can come through, and no other.

The controllers of bays start with `interface_authorized_default=0`: a new device is enumerated, which asks it only
for its descriptors, and no driver binds. Then this decides for each interface (Linux, Documentation/usb/authorization):

1. in a mapped bay: storage, still image (PTP, MTP), a plain serial line, and a maker's own class only for a device
   whose vendor and product a profile names; never input, network, audio, hub or anything else;
2. on the way to a bay: hubs, and of them only the hub;
3. behind a bay that is no hub of ours: nothing;
4. anywhere else: as without us. Those are the station's own ports, its screen and its badge reader.

Invariant: what is not granted is not authorised, also when it was bound before we came. Reads and writes sysfs only;
no interface of a device is ever opened here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from core import log
from devices.port import controller_of, is_below, without_speed
from devices.usb_interface import HUB, MOST_INTERFACES, STORAGE, VENDOR, UsbInterface

SYS = Path("/sys")
UsbIds = tuple[str, str]  # vendor and product, four lower-case hexadecimal digits each
_log = log.get(__name__)


class Place(Enum):
    """What a port is to the dock."""

    BAY = "bay"
    ON_THE_WAY = "on the way to a bay"
    BEHIND_A_BAY = "behind a bay"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class BayPorts:
    """Every path by which a bay is mapped, exact or not, and the devices whose own classes a profile needs."""

    paths: frozenset[str]
    vendor_specific: frozenset[UsbIds] = frozenset()
    _plain: frozenset[str] = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        """The paths as ID_PATH spells them, for what only has that."""
        object.__setattr__(self, "_plain", frozenset(map(without_speed, self.paths)))

    @property
    def controllers(self) -> frozenset[str]:
        """The host controllers that have a bay."""
        return frozenset(filter(None, map(controller_of, self.paths)))

    def place(self, port: str, exact: str = "") -> Place:
        """What a port is; `exact` names the speed too, where it is known."""
        if port in self.paths or (exact and exact in self.paths):
            return Place.BAY
        if any(is_below(bay, port) for bay in self._plain):
            return Place.ON_THE_WAY
        if any(is_below(port, bay) for bay in self._plain):
            return Place.BEHIND_A_BAY
        # mapped by its exact path, and this is the socket that only shares the plain one
        return Place.ELSEWHERE

    def grants(self, place: Place, interface: UsbInterface, ids: UsbIds) -> bool:
        """Whether this interface may be bound. `ids`: what the device says it is, a claim like the rest."""
        if place is Place.ELSEWHERE:
            return True
        if place is Place.ON_THE_WAY:
            return interface.cls == HUB
        if place is Place.BEHIND_A_BAY:
            return False
        if interface.cls == VENDOR:
            return ids in self.vendor_specific
        return interface.cls == STORAGE or interface.is_still_image or interface.is_serial


@dataclass(frozen=True)
class Verdict:
    """What was decided of one device. Interfaces by their sysfs names (`2-3:1.0`)."""

    device: str
    granted: tuple[str, ...] = ()
    refused: tuple[tuple[str, UsbInterface], ...] = ()


def refused_interfaces(
    ports: BayPorts, interfaces: Collection[UsbInterface], ids: UsbIds
) -> tuple[UsbInterface, ...]:
    """Of a device in a bay, what is not authorised: a recorder that is a keyboard as well, for one."""
    return tuple(one for one in interfaces if not ports.grants(Place.BAY, one, ids))


def close_controllers(ports: BayPorts, root_hubs: Collection[tuple[str, Path]]) -> list[Path]:
    """New interfaces on the bays' controllers wait for us from now on. `root_hubs`: ID_PATH and sysfs directory."""
    closed = []
    for id_path, directory in root_hubs:
        if id_path in ports.controllers and _write(directory / "interface_authorized_default", "0"):
            closed.append(directory)
    return closed


def authorise(ports: BayPorts, directory: Path, port: str, exact: str = "", sys: Path = SYS) -> Verdict:
    """Carry out the decision for one USB device, by its sysfs directory; every granted one first, then drivers bind.

    Safe to repeat: what already stands as decided is not touched. A device that leaves meanwhile is no error.
    """
    place, ids = ports.place(port, exact), (_read(directory / "idVendor"), _read(directory / "idProduct"))
    granted, refused, woken = [], [], []
    for name, interface, is_authorised in _interfaces(directory):
        may = ports.grants(place, interface, ids)
        if may:
            granted.append(name)
        else:
            refused.append((name, interface))
        if may != is_authorised and _write(directory / name / "authorized", "1" if may else "0") and may:
            woken.append(name)
    for name in woken:
        _write(sys / "bus/usb/drivers_probe", name)
    return Verdict(directory.name, tuple(granted), tuple(refused))


def _interfaces(directory: Path) -> Iterator[tuple[str, UsbInterface, bool]]:
    """The interfaces of a device's chosen configuration: name, class, and whether it is authorised now."""
    for place in sorted(directory.glob(f"{directory.name}:*"))[:MOST_INTERFACES]:
        numbers = [_read(place / f"bInterface{part}") for part in ("Class", "SubClass", "Protocol")]
        try:
            interface = UsbInterface(*(int(number, 16) for number in numbers))
        except ValueError:  # it left while we looked
            continue
        yield place.name, interface, _read(place / "authorized") == "1"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _write(path: Path, text: str) -> bool:
    """Write one attribute; False, and a line in the log, where the device has left or the kernel refuses."""
    try:
        path.write_text(text, encoding="ascii")
    except OSError as cause:
        # a driver that will not bind answers through drivers_probe as well: no driver here is no failure
        _log.info("attribute not written", path=str(path), why=cause.strerror or str(cause))
        return False
    return True
