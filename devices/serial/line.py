"""A serial port in a bay: opened by one process alone, and dropped cleanly when the recorder is pulled out.

Invariants: only a character device is opened; the port is ours alone while it is open (an advisory lock and TIOCEXCL,
which keeps every other process out but root's); whatever the kernel says once the device has gone is DepartedError.
"""

from __future__ import annotations

import fcntl
import stat
import termios
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import serial

from devices.error import DepartedError
from devices.serial.error import PortError
from devices.serial.table import Line

_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
_POLL_S = 0.1  # how long a read waits for the first byte before deadlines are looked at again
_WRITE_S = (
    5.0  # a request of 1 KiB at 1200 baud takes 8.5 s at worst; the kernel takes it into its buffer at once
)


class SerialLine:
    """An open port. Not thread-safe: one bay has one."""

    def __init__(self, node: Path, settings: Line) -> None:
        """Opens the port. Raises PortError, DepartedError when there is none (any more)."""
        self.node = node
        try:
            if not stat.S_ISCHR(node.stat().st_mode):
                raise PortError(device=node, why="it is not a serial port")
            self._port = self._open(settings)
            fcntl.ioctl(self._port.fileno(), termios.TIOCEXCL)
        except FileNotFoundError as cause:
            raise DepartedError(device=node) from cause
        except (OSError, termios.error, ValueError) as cause:
            raise self._refusal(cause) from cause

    def __enter__(self) -> Self:
        """The open port."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the port; one that has gone has nothing left to let go of."""
        with suppress(OSError, termios.error):
            fcntl.ioctl(self._port.fileno(), termios.TIOCNXCL)
        with suppress(OSError, termios.error):
            self._port.close()

    def discard_input(self) -> None:
        """Forget what came before: an answer to an older question is no answer."""
        with self._departing():
            self._port.reset_input_buffer()

    def send(self, message: bytes) -> bool:
        """Whether the whole message was taken in time. Raises DepartedError."""
        with self._departing():
            try:
                return bool(self._port.write(message) == len(message))
            except serial.SerialTimeoutException:
                self._port.reset_output_buffer()
                return False

    def receive(self, most: int) -> bytes:
        """What is there, `most` bytes at most, after a short wait; empty when nothing came. Raises DepartedError."""
        with self._departing():
            first: bytes = self._port.read(1)
            if not first or most == 1:
                return first
            more: bytes = self._port.read(min(self._port.in_waiting, most - 1))
            return first + more

    def _open(self, settings: Line) -> serial.Serial:
        port = serial.Serial()
        port.port = str(self.node)
        port.baudrate, port.bytesize = settings.baud, settings.bits
        port.parity, port.stopbits = _PARITY[settings.parity], settings.stop
        port.rtscts, port.xonxoff = settings.flow == "rtscts", settings.flow == "xonxoff"
        port.dtr = settings.dtr
        port.timeout, port.write_timeout, port.exclusive = _POLL_S, _WRITE_S, True
        port.open()
        return port

    def _refusal(self, cause: Exception) -> DepartedError | PortError:
        if not self.node.exists():
            return DepartedError(device=self.node)
        return PortError(device=self.node, why=_why(cause))

    @contextmanager
    def _departing(self) -> Generator[None]:
        try:
            yield
        except (OSError, termios.error) as cause:  # SerialException is an OSError, termios.error is not
            raise DepartedError(device=self.node) from cause


def _why(cause: Exception) -> str:
    number = getattr(cause, "errno", None)
    if number in {11, 16}:  # EAGAIN from the lock, EBUSY from TIOCEXCL
        return "another program uses it"
    return "the station may not open it" if number in {1, 13} else "the kernel refused"
