"""A bell between processes: "there is work", and nothing more.

A datagram on a UNIX socket wakes a sleeping loop at once. It carries no facts and may be lost: every listener
also looks by itself now and then, so a missed bell costs time and never work.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from select import select


class Bell:
    """The listening end; one process owns one bell."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        forming = path.with_suffix(f".{os.getpid() % 1000:03d}")  # no longer than the name of a bell
        try:
            forming.unlink(missing_ok=True)
            self._socket.bind(str(forming))
            forming.chmod(0o660)
            forming.replace(path)  # so that of two that start at once each finds a bell, and one is heard
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)

    def wait(self, timeout_s: float) -> None:
        """Sleep until somebody rings or the time is over; rings that came together count once."""
        ready, _, _ = select([self._socket], [], [], timeout_s)
        if ready:
            with suppress(BlockingIOError):
                while self._socket.recv(16):
                    pass

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def ring(path: Path) -> None:
    """Wake whoever listens at `path`; nobody there, or a full queue, is no error."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
        caller.setblocking(False)
        with suppress(FileNotFoundError, ConnectionRefusedError, BlockingIOError):
            caller.sendto(b"!", str(path))


def is_heard(path: Path) -> bool:
    """Whether a process listens at `path` now; nothing is sent. One that may not be asked counts as not there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
        try:
            caller.connect(str(path))
        except OSError:
            return False
    return True
