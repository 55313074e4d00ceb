"""A large file from the medium, past the page cache, the next stretch on its way while this one is looked at.

What lies in the page cache proves nothing about the disk, and filling it costs more than reading past it. Where the
file system knows no O_DIRECT, the cached pages are dropped first. Memory is two stretches for each thread.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from vault.audit.file import open_regular
from vault.formats.age import SEALED_CHUNK_SIZE

STRETCH = 4 << 20  # bytes; O_DIRECT reads of fewer cost noticeably more for each byte
WHOLE_LIMIT = STRETCH + SEALED_CHUNK_SIZE  # bytes of whole chunks that one stretch may complete, at most
_LEAD = (
    -(-SEALED_CHUNK_SIZE // mmap.PAGESIZE) * mmap.PAGESIZE
)  # room before a stretch for a chunk that began earlier


def open_medium(path: Path) -> int:
    """A descriptor that reads from the medium where it can; no link is followed. Raises OSError."""
    try:
        return open_regular(path, os.O_NOFOLLOW | os.O_DIRECT)
    except OSError as cause:
        if cause.errno != errno.EINVAL:
            raise
    descriptor = open_regular(path, os.O_NOFOLLOW)
    _drop_cached(descriptor)
    return descriptor


class Stretches:
    """The buffers of one thread and its helper that reads ahead."""

    def __init__(self) -> None:
        self._rooms = [
            memoryview(mmap.mmap(-1, _LEAD + STRETCH)) for _ in range(2)
        ]  # page-aligned, for O_DIRECT
        self._helper: ThreadPoolExecutor | None = None

    def read(self, descriptor: int, size: int) -> Generator[tuple[memoryview, memoryview], None, None]:
        """The first `size` bytes: each stretch, and with it the whole sealed chunks that it completes.

        Both are good until the next is asked for. Raises OSError. Close the iterator before the descriptor.
        """
        room, behind = self._rooms
        begun = _LEAD  # where the first chunk that is not whole yet begins in `room`
        ahead: Future[None] | None = None
        try:
            _fill(descriptor, room[_LEAD:], 0, min(STRETCH, size))
            for place in range(0, size, STRETCH):
                left = size - place - STRETCH
                if left > 0:
                    ahead = self._ahead.submit(
                        _fill, descriptor, behind[_LEAD:], place + STRETCH, min(STRETCH, left)
                    )
                end = _LEAD + min(STRETCH, size - place)
                rest = (end - begun) % SEALED_CHUNK_SIZE if left > 0 else 0
                yield room[_LEAD:end], room[begun : end - rest]
                behind[_LEAD - rest : _LEAD] = room[end - rest : end]
                room, behind, begun = behind, room, _LEAD - rest
                if ahead is not None:
                    ahead.result()
                    ahead = None
        finally:
            if ahead is not None:
                wait([ahead])  # it reads into these buffers and from this descriptor

    @property
    def _ahead(self) -> ThreadPoolExecutor:
        if self._helper is None:
            self._helper = ThreadPoolExecutor(1, "verify-ahead")
        return self._helper


def _fill(descriptor: int, room: memoryview, place: int, count: int) -> None:
    """Read `count` bytes at `place`; asks for a whole room, because O_DIRECT wants whole pages."""
    got = 0
    while got < count:
        try:
            read = os.preadv(descriptor, [room[got:]], place + got)
        except OSError as cause:
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            if cause.errno != errno.EINVAL or not flags & os.O_DIRECT:
                raise
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)  # this file system wants other pages
            _drop_cached(descriptor)
            continue
        if not read:
            raise OSError(0, "it became shorter while it was read")
        got += read


def _drop_cached(descriptor: int) -> None:
    """What is read through the page cache from here on comes from the medium first."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
