"""A scene for test_gatekeeper.py: the gate over the real pyudev and a /sys of umockdev's. Run by `umockdev-wrapper`.

Prints one JSON object: the `authorized` of every interface, the default of the root hub, and what was probed.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from threading import Event, Thread

from umockdev_scene import Bed

from devices.authorise import BayPorts
from devices.gatekeeper import keep_gate

CONTROLLER = "pci-0000:00:04.0"
BASE = "/devices/pci0000:00/0000:00:04.0/usb1"
NL = "\\n"
PATIENCE_S = 10


def device(name: str, number: int, *interfaces: str, authorized: str = "0") -> str:
    """A USB device at a port of the root hub, as umockdev reads it; interfaces as `080650`."""
    id_path = f"{CONTROLLER}-usb-0:{name.split('-')[1]}"
    lines = [
        f"P: {BASE}/{name}", f"N: bus/usb/001/{number:03}", f"E: DEVNAME=/dev/bus/usb/001/{number:03}",
        "E: DEVTYPE=usb_device", "E: SUBSYSTEM=usb", f"E: ID_PATH={id_path}", "E: MAJOR=189", f"E: MINOR={number}",
        f"E: ID_USB_INTERFACES=:{':'.join(interfaces)}:", "E: ID_VENDOR_ID=46f4", "E: ID_MODEL_ID=0001",
        f"E: ID_MODEL=X{number}_CAMERA", f"E: ID_SERIAL_SHORT=S{number}",
        f"A: idVendor=46f4{NL}", f"A: idProduct=0001{NL}", "",
    ]  # fmt: skip
    for index, one in enumerate(interfaces):
        lines += [
            f"P: {BASE}/{name}/{name}:1.{index}", "E: DEVTYPE=usb_interface", "E: SUBSYSTEM=usb",
            f"E: ID_PATH={id_path}:1.{index}", f"A: authorized={authorized}{NL}",
            f"A: bInterfaceClass={one[:2]}{NL}", f"A: bInterfaceSubClass={one[2:4]}{NL}",
            f"A: bInterfaceProtocol={one[4:]}{NL}", "",
        ]  # fmt: skip
    return "\n".join(lines)


ROOT_HUB = "\n".join(
    [
        f"P: {BASE}", "N: bus/usb/001/001", "E: DEVNAME=/dev/bus/usb/001/001", "E: DEVTYPE=usb_device",
        "E: SUBSYSTEM=usb", f"E: ID_PATH={CONTROLLER}", "E: MAJOR=189", "E: MINOR=0",
        f"A: interface_authorized_default=1{NL}", f"A: speed=480{NL}", "",
    ]
)  # fmt: skip


def read(path: str) -> str:
    try:
        return Path(f"/sys{path}").read_text(encoding="ascii").strip()
    except OSError:
        return "gone"


def main() -> None:
    bed, stop = Bed(), Event()
    bed.add(ROOT_HUB)
    bed.add(device("1-1", 2, "030101", authorized="1"))  # a keyboard in a bay, there and bound before us
    bed.add(device("1-9", 3, "030101", authorized="1"))  # the station's own keyboard
    ports = BayPorts(frozenset({f"{CONTROLLER}-usb-0:1", f"{CONTROLLER}-usb-0:2"}))
    gate = Thread(target=keep_gate, args=(ports, stop))
    gate.start()
    wait(lambda: read(f"{BASE}/1-1/1-1:1.0/authorized") == "0")
    bed.add(device("1-2", 4, "080650", "030101"))  # a recorder that is a keyboard as well
    wait(lambda: read(f"{BASE}/1-2/1-2:1.0/authorized") == "1")
    time.sleep(0.3)  # what must not happen has had its time
    stop.set()
    gate.join()
    names = ["1-1/1-1:1.0", "1-9/1-9:1.0", "1-2/1-2:1.0", "1-2/1-2:1.1"]
    found = {name: read(f"{BASE}/{name}/authorized") for name in names}
    found["default"] = read(f"{BASE}/interface_authorized_default")
    sys.stdout.write(json.dumps(found) + "\n")


def wait(is_so: object) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and not is_so():  # type: ignore[operator]
        time.sleep(0.01)


if __name__ == "__main__":
    main()
