"""Runs in the guest: a USB-to-GPIO adapter (Silicon Labs CP2112) of which everything behind the USB cable is real.

The kernel's own hid-cp2112 driver binds to it and makes a GPIO chip of eight lines; this program plays the adapter's
firmware over /dev/uhid (include/uapi/linux/uhid.h; the reports are those of the maker's application note AN495). Every
change of what its pins carry is a line in the file that is its only argument: seconds, and the pins as a number.
"""

from __future__ import annotations

import struct
import sys
import time
from pathlib import Path

CREATE2, GET_REPORT, GET_REPORT_REPLY, SET_REPORT, SET_REPORT_REPLY = 11, 9, 10, 13, 14
EVENT_BYTES = 4380  # of struct uhid_event
USB, MAKER, MODEL = 0x03, 0x10C4, 0xEA90
DIRECTIONS, READ, WRITE, VERSION, BUS_CLOCK = 0x02, 0x03, 0x04, 0x05, 0x06  # the adapter's feature reports
DESCRIPTOR = bytes.fromhex("0600ff 0901 a101 8502 7508 9504 1500 26ff00 0901 b102 c0")  # one maker's report


class Adapter:
    """Pins as the wires see them: a pin that is no output carries nothing."""

    def __init__(self, told: Path) -> None:
        self._told, self._latch, self._outputs, self._seen = told, 0, 0, -1
        self._clock = struct.pack(">BIBBHHBH", BUS_CLOCK, 100_000, 2, 0, 0, 0, 0, 0)

    def answer(self, number: int) -> bytes:
        """A feature report that the driver asks for."""
        if number == DIRECTIONS:
            return bytes([DIRECTIONS, self._outputs, 0xFF, 0, 0])
        if number == READ:
            return bytes([READ, self._latch & self._outputs])
        if number == VERSION:
            return bytes([VERSION, 0x0C, 0x01])
        return self._clock

    def take(self, report: bytes) -> None:
        """A feature report that the driver sends."""
        if report[0] == DIRECTIONS:
            self._outputs = report[1]
        elif report[0] == WRITE:
            self._latch = self._latch & ~report[2] | report[1] & report[2]
        elif report[0] == BUS_CLOCK:
            self._clock = report
        self._tell()

    def _tell(self) -> None:
        pins = self._latch & self._outputs
        if pins != self._seen:
            self._seen = pins
            with self._told.open("a") as told:
                told.write(f"{time.monotonic():.3f} {pins}\n")


def serve(told: Path) -> None:
    adapter = Adapter(told)
    create = struct.pack(
        "<I128s64s64sHHIIII4096s", CREATE2, b"Bay lamps", b"", b"", len(DESCRIPTOR), USB, MAKER, MODEL, 1, 0,
        DESCRIPTOR,
    )  # fmt: skip
    with Path("/dev/uhid").open("r+b", buffering=0) as kernel:
        kernel.write(create)
        while event := kernel.read(EVENT_BYTES):
            kind, request = struct.unpack_from("<II", event)
            if kind == GET_REPORT:
                said = adapter.answer(event[8])
                kernel.write(struct.pack("<IIHH4096s", GET_REPORT_REPLY, request, 0, len(said), said))
            elif kind == SET_REPORT:
                (size,) = struct.unpack_from("<H", event, 10)
                adapter.take(event[12 : 12 + size])
                kernel.write(struct.pack("<IIH", SET_REPORT_REPLY, request, 0))


serve(Path(sys.argv[1]))
