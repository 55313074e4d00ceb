"""What a verifier asks of a file: its bytes (core.regular) and whether it is immutable."""

from __future__ import annotations

import fcntl
import struct

from core.regular import open_regular, read_bounded

__all__ = ["is_immutable", "open_regular", "read_bounded"]

_GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS of a 64-bit Linux (linux/fs.h)
_IMMUTABLE = 0x10  # FS_IMMUTABLE_FL


def is_immutable(descriptor: int) -> bool:
    """Whether nobody can change or remove the open file without lifting its flag; False where there is no such flag."""
    room = bytearray(8)
    try:
        fcntl.ioctl(descriptor, _GET_FLAGS, room)
    except OSError:
        return False
    return bool(struct.unpack_from("=I", room)[0] & _IMMUTABLE)
