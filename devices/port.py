"""Where something is plugged in: the USB topology path, from the controller through every hub to the port.

udev's ID_PATH does not name the bus. The port that is 2-3 at USB 3 speed and 1-3 at USB 2 has one ID_PATH, which is
what a bay wants; but where a board numbers the ports of its two buses differently, two sockets share one ID_PATH.
The exact path names the speed of the bus as well, in the spelling of newer udevs (ID_PATH_WITH_USB_REVISION:
`…-usbv3-0:3`), and tells them apart. A bay may be mapped by either.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# the controller, `-usb-`, the bus, the ports from hub to hub; then the USB interface and what hangs on it
_PORT = re.compile(r"(?P<port>.*-usb-\d+:\d+(?:\.\d+)*)(?::\d+\.\d+(?:-.*)?)?")
# the root hub, then one directory for each hub down to the device: 2-3, 2-3.1, 2-3.1.4
_DEVICE = re.compile(r"(?P<root>/devices/(?:.+/)?usb\d+)(?:/\d+-\d+(?:\.\d+)*)+(?=/|$)")
SUPER_SPEED_MBIT = 5000  # USB 3.0 and later; a bus is either of USB 3 or of the speeds before
HIGH_SPEED_MBIT = 480


def port_of(id_path: str) -> str:
    """The bay's path from any ID_PATH below it: `…-usb-0:3:1.0-scsi-0:0:0:0` is at `…-usb-0:3`."""
    found = _PORT.fullmatch(id_path)
    return found["port"] if found else id_path


def exact_path(devpath: str, id_path: str, speed_of: Callable[[str], str]) -> tuple[str, str]:
    """The exact path (empty where the speed is not known) and the DEVPATH of the USB device; both may be empty."""
    found = _DEVICE.match(devpath)
    if found is None:
        return "", ""
    revision = _revision(speed_of(found["root"]))
    exact = port_of(id_path).replace("-usb-", f"-usbv{revision}-", 1) if revision else ""
    return exact, found[0]


def is_below(port: str, above: str) -> bool:
    """Whether one path is behind the other: `…-usb-0:3.1` is behind the hub at `…-usb-0:3`."""
    return port.startswith(above + ".")


def without_speed(path: str) -> str:
    """The path as ID_PATH spells it, whichever way it was mapped."""
    return re.sub(r"-usbv\d-", "-usb-", path, count=1)


def controller_of(path: str) -> str:
    """The host controller of a path: `pci-0000:00:14.0`; empty for something that is no USB path."""
    head, usb, _ = without_speed(path).partition("-usb-")
    return head if usb else ""


def _revision(speed: str) -> int:
    """The USB revision of a root hub by its speed in Mbit/s; 0 where it is not known."""
    if not speed.isdecimal():
        return 0
    mbit = int(speed)
    if mbit >= SUPER_SPEED_MBIT:
        return 3
    return 2 if mbit >= HIGH_SPEED_MBIT else 1
