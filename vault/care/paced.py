"""Reading stored files gently: within a budget, at the disk's idle hours, and never while a recorder is being sealed.

Invariants: the bytes come from the medium and not from the page cache where the file system knows O_DIRECT; over any
stretch of time no more is read than the budget allows and one piece; a reader that is told to wait waits between two
pieces, so that a dock never queues behind more than one of them.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

from core import log
from core.digest import Sha256
from vault.store.medium import CancelledError, ReadBack

PIECE = 1024 * 1024
WAIT_S = 1.0  # between two looks at a dock that is busy
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}  # system call numbers (linux/unistd.h)
_WHO_PROCESS, _CLASS_IDLE, _CLASS_SHIFT = 1, 3, 13  # linux/ioprio.h
_LEAST_NICE = 19
_LIBC = ctypes.CDLL(None, use_errno=True)
_LOG = log.get("vault.care")


class Budget:
    """A token bucket without a reservoir: what was not read in a quiet second is not caught up in a busy one."""

    def __init__(self, bytes_per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = bytes_per_second, clock
        self._free_at = clock()

    def wait_s(self, count: int) -> float:
        """Take `count` bytes; how long to wait before they may be read."""
        now = self._clock()
        start = max(self._free_at, now)
        self._free_at = start + count / self._rate
        return start - now


class PacedReader:
    """Digests of whole files; one thread at a time, one buffer for its life."""

    def __init__(self, budget: Budget, is_busy: Callable[[], bool] = lambda: False) -> None:
        self._budget, self._is_busy = budget, is_busy
        self._room = memoryview(mmap.mmap(-1, PIECE))

    def digest(self, path: Path, stop: Event) -> ReadBack:
        """Size and SHA-256 of the file. Raises OSError as the medium does, and CancelledError once `stop` is set."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            return self._digest(os.open(path, flags | os.O_DIRECT), stop)
        except OSError as cause:
            if cause.errno != errno.EINVAL:
                raise
        descriptor = os.open(path, flags)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return self._digest(descriptor, stop)

    def _digest(self, descriptor: int, stop: Event) -> ReadBack:
        running, size = Sha256(), 0
        try:
            while count := self._piece(descriptor, size, stop):
                running.update(self._room[:count])
                size += count
            return ReadBack(size, running.hexdigest())
        finally:
            os.close(descriptor)

    def _piece(self, descriptor: int, place: int, stop: Event) -> int:
        while self._is_busy():
            if stop.wait(WAIT_S):
                raise CancelledError
        if stop.wait(self._budget.wait_s(PIECE)):
            raise CancelledError
        return os.preadv(descriptor, [self._room], place)


def be_idle() -> bool:
    """Put the calling thread last in line for disk and processor; False where the disk's part is not to be had."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, _LEAST_NICE)
    number = _IOPRIO_SET.get(platform.machine())
    if number is None or _LIBC.syscall(number, _WHO_PROCESS, 0, _CLASS_IDLE << _CLASS_SHIFT):
        _LOG.info("the idle class of the disk is not to be had here; the budget alone holds back")
        return False
    return True
