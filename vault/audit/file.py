"""Reading what somebody else put there: never waiting, never more than was asked for.

A vault that is verified may hold anything under any name. Invariants: only regular files are read, so that no pipe or
device makes the verifier wait; a read ends at its limit, so that no file fills the memory.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from pathlib import Path

_GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS of a 64-bit Linux (linux/fs.h)
_IMMUTABLE = 0x10  # FS_IMMUTABLE_FL


def open_regular(path: Path, flags: int = 0) -> int:
    """A descriptor of the regular file at `path`, open for reading; the caller closes it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
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


def is_immutable(descriptor: int) -> bool:
    """Whether nobody can change or remove the open file without lifting its flag; False where there is no such flag."""
    room = bytearray(8)
    try:
        fcntl.ioctl(descriptor, _GET_FLAGS, room)
    except OSError:
        return False
    return bool(struct.unpack_from("=I", room)[0] & _IMMUTABLE)
