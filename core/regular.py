"""Reading what somebody else put there: never waiting, never more than was asked for.

A vault that is verified may hold anything under any name. Invariants: only regular files are read, so that no pipe or
device makes a reader wait; a read ends at its limit, so that no file fills the memory.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def open_regular(path: Path, flags: int = 0) -> int:
    """A descriptor of the regular file at `path`, open for reading; the caller closes it. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
    except ValueError as cause:  # a zero byte
        raise OSError(0, "no file can have this name") from cause
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(0, "it is not a regular file")


def read_bounded(path: Path, limit: int) -> bytes:
    """The content of the regular file at `path`. Raises OSError, also for more than `limit` bytes."""
    with os.fdopen(open_regular(path), "rb") as file:
        raw = file.read(limit + 1)
    if len(raw) > limit:
        raise OSError(0, f"it has more than the {limit} bytes it can have")
    return raw
