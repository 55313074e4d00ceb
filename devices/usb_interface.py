"""The interfaces of a USB device by their class, and which of them footage can come through.

A device says of itself what it is, so a class is a claim; but a driver binds by the claim, and a claim to be a
keyboard is what makes a keyboard. Numbers are those of the USB-IF's list of class codes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST_INTERFACES = (
    32  # USB 2.0, 9.6.3: a configuration's interfaces fit a byte, and real devices have a handful
)
COMMUNICATION, STILL_IMAGE, STORAGE, HUB, CDC_DATA, VENDOR = 0x02, 0x06, 0x08, 0x09, 0x0A, 0xFF
ABSTRACT_CONTROL = 0x02  # the serial line among the communication devices; the others are networks
_NAMES = {
    0x01: "audio", 0x02: "communication", 0x03: "keyboard, mouse or other input", 0x05: "physical",
    0x06: "still image", 0x07: "printer", 0x08: "storage", 0x09: "hub", 0x0A: "communication data",
    0x0B: "smart card", 0x0E: "video", 0x10: "audio and video", 0x11: "billboard", 0xDC: "diagnostic",
    0xE0: "wireless or network", 0xEF: "miscellaneous", 0xFE: "application specific", 0xFF: "vendor specific",
}  # fmt: skip


@dataclass(frozen=True, order=True)
class UsbInterface:
    """One interface's class, subclass and protocol, each a byte."""

    cls: int
    subclass: int
    protocol: int

    @property
    def shown(self) -> str:
        """Class, subclass and protocol in hexadecimal, and what the class is called."""
        name = _NAMES.get(self.cls, "unknown")
        return f"{self.cls:02x}:{self.subclass:02x}:{self.protocol:02x} ({name})"

    @property
    def is_still_image(self) -> bool:
        """PTP, and MTP as most say it."""
        return self.cls == STILL_IMAGE

    @property
    def is_serial(self) -> bool:
        """A serial line that needs no maker's driver."""
        return (self.cls, self.subclass) == (COMMUNICATION, ABSTRACT_CONTROL) or self.cls == CDC_DATA


def parse_interfaces(text: str) -> tuple[UsbInterface, ...]:
    """Read ID_USB_INTERFACES as udev writes it (`:080650:030101:`); what is no interface in it is passed over."""
    found = []
    for part in text.split(":")[: MOST_INTERFACES + 1]:
        try:
            raw = bytes.fromhex(part)
        except ValueError:
            continue
        if len(raw) == 3:  # noqa: PLR2004  # class, subclass, protocol
            found.append(UsbInterface(*raw))
    return tuple(found)


def offers_footage(interfaces: Iterable[UsbInterface]) -> bool:
    """Whether any of them may be a recorder's; a maker's own class may turn out to be a serial line."""
    return any(one.cls in {STORAGE, VENDOR} or one.is_still_image or one.is_serial for one in interfaces)


def is_hub(interfaces: Iterable[UsbInterface]) -> bool:
    """Whether this is a hub."""
    return any(one.cls == HUB for one in interfaces)
