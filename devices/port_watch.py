"""Seeing sockets: which USB ports something is plugged into, and what is plugged in next. For mapping bays only.

Nothing is opened: only what udev says of a USB device is read, so that a locked recorder, a phone or any stick will do.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic

import pyudev

from devices.detect import root_hub_speed
from devices.error import DetectionError
from devices.port import exact_path, port_of
from devices.usb_interface import UsbInterface, is_hub, parse_interfaces

ACTIONS = frozenset({"add", "bind"})
POLL_S = 0.2


@dataclass(frozen=True)
class Plugged:
    """A USB device in a port. `sys_name` is the kernel's own word for the place (2-3.1), which names the bus."""

    port: str
    exact_port: str
    sys_name: str
    vendor_id: str = ""
    product_id: str = ""
    model: str = ""
    serial: str = ""
    interfaces: tuple[UsbInterface, ...] = ()

    @property
    def shown(self) -> str:
        """What people can compare with what they hold in their hand."""
        name = " ".join(filter(None, (self.model, self.serial))) or "a device"
        ids = f" [{self.vendor_id}:{self.product_id}]" if self.vendor_id else ""
        return f"{name}{ids}"

    @property
    def is_hub(self) -> bool:
        """Whether it is a hub, which nobody maps as a bay."""
        return is_hub(self.interfaces)


class PortWatch:
    """Listens from the moment it is made, so that nothing falls between looking and waiting."""

    def __init__(self) -> None:
        try:
            self._context = pyudev.Context()
            self._monitor = pyudev.Monitor.from_netlink(self._context)
            self._monitor.filter_by("usb", "usb_device")
            self._monitor.start()
        except (ImportError, OSError, ValueError) as cause:
            raise DetectionError(why=str(cause)) from cause

    def present(self) -> list[Plugged]:
        """Everything that is plugged in now, hubs included, in the order of the ports."""
        devices = self._context.list_devices(subsystem="usb")
        found = [one for d in devices if d.device_type == "usb_device" and (one := _plugged(d))]
        return sorted(found, key=lambda one: (one.port, one.sys_name))

    def wait(
        self, timeout_s: float, is_over: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[str, Plugged]]:
        """What comes (`add`) and goes (`remove`), until the time is over. Raises DetectionError."""
        end = monotonic() + timeout_s
        while monotonic() < end and not is_over():
            try:
                device = self._monitor.poll(timeout=POLL_S)
            except OSError as cause:
                if cause.errno == errno.ENOBUFS:
                    continue
                raise DetectionError(why=str(cause)) from cause
            if device is None or device.action not in ACTIONS | {"remove"}:
                continue
            one = _plugged(device)
            if one is not None:
                yield "remove" if device.action == "remove" else "add", one

    def drain(self) -> None:
        """Forget what has come meanwhile."""
        while self._monitor.poll(timeout=0) is not None:
            pass


def _plugged(device: pyudev.Device) -> Plugged | None:
    """The device in its port; None for a root hub, which is in none."""
    known = dict(device.properties)
    id_path = known.get("ID_PATH", "")
    if "-usb-" not in id_path or device.sys_name.startswith("usb"):
        return None
    exact, _ = exact_path(device.device_path, id_path, root_hub_speed)
    return Plugged(
        port_of(id_path), exact, device.sys_name, known.get("ID_VENDOR_ID", ""), known.get("ID_MODEL_ID", ""),
        known.get("ID_MODEL", "").replace("_", " ").strip(), known.get("ID_SERIAL_SHORT", ""),
        parse_interfaces(known.get("ID_USB_INTERFACES", "")),
    )  # fmt: skip
