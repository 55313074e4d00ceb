"""Where a folder's bytes come from: a physical USB device, or something that only stands for one.

The kernel's own tree (sysfs) says it, so a person need not, and cannot, claim it. A disk behind a real USB port
is physical; a loop device, a plain folder, a gadget of this machine and anything a virtual machine shows is emulated.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys")
VIRTUAL_BUSES = ("dummy_hcd", "vhci_hcd", "usbip")  # host controllers of the kernel without a wire
VIRTUAL_VENDORS = frozenset({"46f4", "1af4"})  # QEMU's and Red Hat's, as QEMU gives them to its devices
VIRTUAL_MACHINES = ("qemu", "kvm", "vmware", "virtualbox", "innotek", "xen", "bochs", "parallels", "hyper-v")


@dataclass(frozen=True)
class Origin:
    """What the kernel says of the device that a folder is on; empty texts for what it does not say."""

    is_physical: bool = False
    vendor_id: str = ""
    product_id: str = ""
    serial: str = ""
    manufacturer: str = ""
    model: str = ""
    fs_type: str = ""


def origin_of(root: Path, sysfs: Path = SYSFS, mountinfo: Path = Path("/proc/self/mountinfo")) -> Origin:
    """The origin of the file system that this folder is on. Raises OSError for a folder that is gone."""
    device = root.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    block = sysfs / "dev/block" / number
    usb = _usb_device(block.resolve(), sysfs) if block.exists() else None
    fs_type = _fs_type(mountinfo, number)
    if usb is None:
        return Origin(fs_type=fs_type)
    return Origin(
        is_physical=_has_a_wire(usb, sysfs),
        vendor_id=_line(usb / "idVendor"),
        product_id=_line(usb / "idProduct"),
        serial=_line(usb / "serial"),
        manufacturer=_line(usb / "manufacturer"),
        model=_line(usb / "product"),
        fs_type=fs_type,
    )


def _usb_device(block: Path, sysfs: Path) -> Path | None:
    """The USB device that this block device belongs to: the nearest above it with a vendor id."""
    root = sysfs.resolve()
    for place in (block, *block.parents):
        if place == root:
            return None
        if (place / "idVendor").exists():
            return place
    return None


def _has_a_wire(usb: Path, sysfs: Path) -> bool:
    if any(bus in str(usb) for bus in VIRTUAL_BUSES) or _line(usb / "idVendor") in VIRTUAL_VENDORS:
        return False
    maker = (
        _line(sysfs / "class/dmi/id/sys_vendor") + " " + _line(sysfs / "class/dmi/id/product_name")
    ).lower()
    return not any(name in maker for name in VIRTUAL_MACHINES)


def _fs_type(mountinfo: Path, number: str) -> str:
    try:
        lines = mountinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        if before.split()[2:3] == [number] and after:
            return after.split()[0]
    return ""


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()[:100]
    except OSError:
        return ""
