"""The file system of one read-only file, in the callbacks that libfuse calls.

Its own module because importing the library fails where libfuse is not installed, and that must be a sentence
and not a traceback (media.lens).
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
from typing import Any, Protocol

import mfusepy

NAME = "original"
MAX_READ = 1 << 20  # the largest request of the kernel's protocol with 256 pages (linux/fuse.h)
_ROOT_MODE, _FILE_MODE = stat.S_IFDIR | 0o500, stat.S_IFREG | 0o400


class Reader(Protocol):
    """What a lens looks through: a seekable stream, used by one thread at a time."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to `offset`."""

    def read(self, size: int = -1, /) -> bytes | None:
        """Up to `size` bytes from here."""


class View(mfusepy.Operations):  # type: ignore[misc]  # the library has no types
    """One directory, one file. libfuse calls from one thread at a time; `failure` is the reader's first."""

    use_ns = True

    def __init__(self, reader: Reader, size: int) -> None:
        self._reader, self._size = reader, size
        self.failure: Exception | None = None

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:  # noqa: ARG002  # the library's shape
        """Attributes of the directory or the file."""
        owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}
        if path == "/":
            return {"st_mode": _ROOT_MODE, "st_nlink": 2, **owner}
        if path == f"/{NAME}":
            return {"st_mode": _FILE_MODE, "st_nlink": 1, "st_size": self._size, **owner}
        raise mfusepy.FuseOSError(errno.ENOENT)

    def open(self, path: str, flags: int) -> int:
        """Only the file, only for reading."""
        if path != f"/{NAME}":
            raise mfusepy.FuseOSError(errno.ENOENT)
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise mfusepy.FuseOSError(errno.EROFS)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:  # noqa: ARG002  # the library's shape
        """Bytes that the reader vouches for, or an error; never fewer than asked before the end."""
        try:
            self._reader.seek(offset)
            return self._whole(min(size, max(0, self._size - offset)))
        except Exception as failure:
            self.failure = self.failure or failure
            raise mfusepy.FuseOSError(errno.EIO) from failure

    def _whole(self, size: int) -> bytes:
        """A short read would be taken for the end of the file and the rest for zeros."""
        got = self._reader.read(size) or b""
        while len(got) < size and (more := self._reader.read(size - len(got))):
            got += more
        if len(got) < size:
            raise OSError(errno.EIO, f"the recording ends {size - len(got)} bytes early")
        return got


def serve(view: View, place: str, *, everyone: bool) -> None:
    """Mount at `place` and answer the kernel until it is unmounted. Raises RuntimeError or OSError."""
    options: dict[str, Any] = {"allow_other": True} if everyone else {}
    try:
        mfusepy.FUSE(
            view, place, foreground=True, nothreads=True, ro=True, fsname="sealdock", subtype="lens",
            max_read=MAX_READ, **options,
        )  # fmt: skip
    finally:
        _ignore_closed_pipes()


def _ignore_closed_pipes() -> None:
    """As Python had it: libfuse gives SIGPIPE its deadly meaning back when it ends (fuse_remove_signal_handlers(3)).

    Past Python's own `signal`, which works in the main thread alone.
    """
    ctypes.CDLL(None).signal(int(signal.SIGPIPE), ctypes.c_void_p(signal.SIG_IGN.value))
