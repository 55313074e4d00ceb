"""USB devices that QEMU does not have, made in the guest by its own kernel: dummy_hcd is controller and device in one.

A gadget is described through configfs (Linux, Documentation/usb/gadget_configfs.rst) and plugged by giving it to one of
two virtual controllers; what the guest sees of it then is an ordinary USB device, `platform-dummy_hcd.<n>-usb-0:1`.
"""

from __future__ import annotations

from dataclasses import dataclass

from vm.guest import Guest

CONFIGFS = "/sys/kernel/config/usb_gadget"
# A boot keyboard: eight bytes a report, the modifiers, a reserved byte and six keys (USB HID 1.11, appendix B.1, E.6).
KEYBOARD = (
    "05010906a101050719e029e71500250175019508810295017508810195057501050819012905910295017503910195067508"
    "150025650507190029658100c0"
)
KEY_A, NO_KEY = bytes([0, 0, 4, 0, 0, 0, 0, 0]), bytes(8)


@dataclass(frozen=True)
class Gadgets:
    """The guest's virtual controllers."""

    guest: Guest

    def load(self) -> None:
        """Two controllers, with one port each."""
        self.guest.run("modprobe dummy_hcd num=2 && modprobe -a libcomposite usb_f_mass_storage usb_f_hid")
        self.guest.run("mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config")

    def plug(self, name: str, controller: int, *, medium: str = "", types: bool = False) -> None:
        """A device of one configuration: storage over the guest's file `medium`, a keyboard, or both at once."""
        place = f"{CONFIGFS}/{name}"
        lines = [
            f"mkdir -p {place}/strings/0x409 {place}/configs/c.1",
            f"echo 0x1d6b >{place}/idVendor; echo 0x0104 >{place}/idProduct; echo 0x0200 >{place}/bcdUSB",
            f"echo {name.upper()} >{place}/strings/0x409/serialnumber",
            f"echo LAB >{place}/strings/0x409/manufacturer; echo {name} >{place}/strings/0x409/product",
        ]
        if medium:
            unit = f"{place}/functions/mass_storage.0/lun.0"
            lines += [
                f"mkdir {place}/functions/mass_storage.0",
                f"echo 1 >{unit}/ro; echo 1 >{unit}/removable; echo {medium} >{unit}/file",
                f"ln -s {place}/functions/mass_storage.0 {place}/configs/c.1/",
            ]
        if types:
            hid = f"{place}/functions/hid.0"
            lines += [
                f"mkdir {hid}; echo 1 >{hid}/protocol; echo 1 >{hid}/subclass; echo 8 >{hid}/report_length",
                f"cat >{hid}/report_desc; ln -s {hid} {place}/configs/c.1/",
            ]
        lines.append(f"echo dummy_udc.{controller} >{place}/UDC")
        self.guest.run(" && ".join(lines), stdin=bytes.fromhex(KEYBOARD))

    def press_a(self, name: str) -> None:
        """Press and release the key, for as long as anybody polls the keyboard; two seconds, if nobody does."""
        device = self.guest.out(f"cat {CONFIGFS}/{name}/functions/hid.0/dev").strip()
        node = f"/dev/char/{device}"
        self.guest.until(f"test -c {node}")
        for report in (KEY_A, NO_KEY):
            self.guest.run(f"timeout 2 tee {node} >/dev/null", stdin=report, check=False)

    def pull(self, name: str) -> None:
        """Out of its controller."""
        self.guest.run(f"echo >{CONFIGFS}/{name}/UDC")
