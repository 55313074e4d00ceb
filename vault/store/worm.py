"""Write once, read many, as the file system keeps it: the immutable and the append-only flag (chattr +i, +a).

An immutable file can be neither written, renamed, linked nor removed, by its owner or by root, until somebody with
CAP_LINUX_IMMUTABLE takes the flag away. A directory that may only be appended to takes new names and lets none go.
Not every file system has the flags (FAT, exFAT and most network file systems have none), and none can keep them from
whoever owns the machine or the disk: they stop a mistake and a process that was taken over; the log proves the rest.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from enum import IntFlag
from pathlib import Path

from vault.error import VaultError

_FS_IOC_GETFLAGS = 0x80086601  # linux/fs.h, 64-bit
_FS_IOC_SETFLAGS = 0x40086602
_NO_FLAGS = frozenset({errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


class Flag(IntFlag):
    """What a file system can hold us to (linux/fs.h)."""

    APPEND_ONLY = 0x20
    IMMUTABLE = 0x10


class NoWormError(VaultError):
    """The file system, or the rights of this process, do not allow the flag."""

    code = "vault.no_worm"
    sentence = (
        "{path} cannot be made immutable ({why}). It is sealed and the log proves every byte of it; only its deletion "
        "is not hindered here. Keep the vault on ext4 or XFS, and start the sealer with its own unit."
    )


def flags(path: Path) -> Flag | None:
    """The flags that `path` has; None where the file system knows none. Raises OSError for what cannot be opened."""
    descriptor = _open(path)
    try:
        return _get(descriptor)
    finally:
        os.close(descriptor)


def is_immutable(path: Path) -> bool:
    """Whether nobody can change or remove the file as it stands. Raises OSError."""
    return Flag.IMMUTABLE in (flags(path) or Flag(0))


def put_on(path: Path, flag: Flag) -> bool:
    """Set `flag`; False when it was set already. Raises NoWormError or OSError."""
    return _change(path, lambda known: known | flag)


def take_off(path: Path, flag: Flag) -> bool:
    """Clear `flag`; False when it was not set, which is so wherever there are none. Raises NoWormError or OSError."""
    return flag in (flags(path) or Flag(0)) and _change(path, lambda known: known & ~int(flag))


def _change(path: Path, change: Callable[[int], int]) -> bool:
    descriptor = _open(path)
    try:
        known = _raw(descriptor)
        wanted = change(known)
        if wanted != known:
            fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, struct.pack("l", wanted))
    except OSError as cause:
        if cause.errno not in {*_NO_FLAGS, errno.EPERM, errno.EACCES}:
            raise
        why = "its file system has no such flag" if cause.errno in _NO_FLAGS else "this process may not"
        raise NoWormError(path=path, why=why) from cause
    finally:
        os.close(descriptor)
    return wanted != known


def _get(descriptor: int) -> Flag | None:
    try:
        return Flag(_raw(descriptor) & (Flag.IMMUTABLE | Flag.APPEND_ONLY))
    except OSError as cause:
        if cause.errno not in _NO_FLAGS:
            raise
        return None


def _raw(descriptor: int) -> int:
    """Every flag that the file has, ours and others'."""
    return int(struct.unpack("l", fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, bytes(8)))[0])


def _open(path: Path) -> int:
    """Never through a link, and never waiting for a pipe's writer."""
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
