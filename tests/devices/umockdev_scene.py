"""A scene for test_detect.py: our detector over the real pyudev and libudev, with recorded devices (umockdev).

Run by `umockdev-wrapper`; prints one JSON line for each sighting.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from pathlib import Path
from threading import Event, Thread

from devices.detect import Arrival, Sighting, UdevDetector

RECORD = (Path(__file__).parent / "recorder.umockdev").read_text(encoding="utf-8")
USB = "/sys/devices/pci0000:00/0000:00:04.0/usb2/2-3"
DISK = USB + "/2-3:1.0/host0/target0:0:0/0:0:0:0/block/sda"
OTHER = (
    RECORD.replace("usb2/2-3", "usb1/1-7").replace("/2-3:1.0", "/1-7:1.0").replace("usb-0:3", "usb-0:7")
    .replace("X1A0000001", "X1A0000002").replace("sda", "sdb").replace("8:", "8:1").replace("002/002", "001/003")
)  # fmt: skip
BACK = (
    RECORD.replace("usb2/2-3", "usb1/1-3").replace("/2-3:1.0", "/1-3:1.0").replace("sda", "sdc")
    .replace("8:", "8:2").replace("002/002", "001/004")
)  # fmt: skip
PATIENCE_S = 10


class Bed:
    """umockdev's test bed, by ctypes."""

    def __init__(self) -> None:
        lib = self._lib = ctypes.CDLL("libumockdev.so.0")
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        lib.umockdev_testbed_new.restype = pointer
        lib.umockdev_testbed_add_from_string.argtypes = [pointer, text, pointer]
        lib.umockdev_testbed_uevent.argtypes = [pointer, text, text]
        lib.umockdev_testbed_remove_device.argtypes = [pointer, text]
        lib.umockdev_testbed_set_property.argtypes = [pointer, text, text, text]
        self._bed = pointer(lib.umockdev_testbed_new())

    def add(self, record: str) -> None:
        assert self._lib.umockdev_testbed_add_from_string(self._bed, record.encode(), None)

    def say(self, device: str, action: str) -> None:
        self._lib.umockdev_testbed_uevent(self._bed, device.encode(), action.encode())

    def write(self, device: str, name: str, value: str) -> None:
        self._lib.umockdev_testbed_set_property(self._bed, device.encode(), name.encode(), value.encode())

    def remove(self, device: str) -> None:
        self._lib.umockdev_testbed_remove_device(self._bed, device.encode())


def main() -> None:
    bed, seen, stop = Bed(), list[Sighting](), Event()
    bed.add(RECORD)  # there before we listen: coldplug
    watcher = Thread(target=UdevDetector().watch, args=(seen.append, stop))
    watcher.start()
    wait(seen, 1)
    bed.add(OTHER)  # plugged in while we listen, at USB 2 speed
    wait(seen, 2)
    for _ in range(5):
        bed.say(DISK + "/sda1", "change")  # repeats mean nothing
        time.sleep(0.02)  # umockdev aborts when some ten events wait unread
    bed.say(USB, "remove")  # pulled: the usb_device's own event comes first and is enough
    bed.say(DISK + "/sda1", "remove")
    bed.say(DISK, "remove")
    bed.remove(USB)
    wait(seen, 3)
    bed.add(BACK)  # in the same bay, at USB 2 speed now: another bus, another name, the same ID_PATH
    wait(seen, 4)
    stop.set()
    watcher.join()
    for sighting in seen:
        facts = {"kind": type(sighting).__name__, "volume": sighting.volume, "port": sighting.port}
        if isinstance(sighting, Arrival):
            facts |= {"node": str(sighting.node), "serial": sighting.serial, "fs_type": sighting.fs_type}
            facts |= {"label": sighting.label, "ids": f"{sighting.vendor_id}:{sighting.product_id}"}
        sys.stdout.write(json.dumps(facts) + "\n")


def wait(seen: list[Sighting], count: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while len(seen) < count and time.monotonic() < end:
        time.sleep(0.01)


if __name__ == "__main__":
    main()
