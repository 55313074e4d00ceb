"""The medium under the vault: aligned buffers, writing past the page cache, reading back what really lies there.

Invariants: memory for sealing is one pool that is made once; a stream takes its whole share (a lane) before it starts
and waits when there is none, so that streams can never starve each other half-way. A read-back does not look at the
page cache where the file system allows O_DIRECT; where it does not, cached pages are dropped first and the log says so.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Event

from core import log
from core.digest import Sha256
from core.errors import Exit
from vault.error import VaultError
from vault.formats.age import sealed_size

PAGE = 4096  # O_DIRECT alignment that every disk and file system here accepts
PIECE = (
    256 * 1024
)  # plaintext read, hashed, sealed and hashed again before the next: stays in the nearer cache
SEALED_PIECE = sealed_size(PIECE)
PLAIN_ROOM = 4 * PIECE  # plaintext that a sealed room takes; larger writes are no faster
SEALED_ROOM = -(-sealed_size(PLAIN_ROOM) // PAGE) * PAGE + PAGE  # and a carried tail of less than one page
PLAIN_BUFFERS = 2  # of a lane: one held back for the last-chunk mark, one being filled
SEALED_BUFFERS = 3  # of a lane: one being filled, one being written, one between
LANE_BYTES = PLAIN_BUFFERS * PIECE + SEALED_BUFFERS * SEALED_ROOM  # 18 lanes in the default 64 MiB
_READ_BACK_ROOM = 2 * 1024 * 1024
_BAD_MEDIUM = frozenset({errno.EIO, errno.EBADMSG, errno.ENODATA, errno.EREMOTEIO, errno.EUCLEAN})
_F_SETSIG = 10  # linux/fcntl.h; the module has no name for it
_LOG = log.get("vault.medium")
_LIBC = ctypes.CDLL(None, use_errno=True)


class DiskFullError(VaultError):
    """No room for an object."""

    code = "vault.disk_full"
    sentence = (
        "There is no room on the disk for {path} ({size} bytes). Nothing on the recorder was touched and nothing "
        "sealed was lost; add storage to the vault, then dock again."
    )


class MediumError(VaultError):
    """The disk refused to write, to make durable or to give back."""

    code = "vault.medium"
    sentence = (
        "The disk failed at {path} ({why}). This copy is given up and never trusted; the recorder still has the "
        "original. Check the disk's health (smartctl), then dock again."
    )


class CancelledError(VaultError):
    """Somebody asked to stop."""

    code = "vault.cancelled"
    sentence = "Sealing was stopped before it was finished. The recorder still has the original."
    exit_code = Exit.NO


@dataclass(frozen=True)
class Lane:
    """One stream's share of the pool."""

    plain: tuple[memoryview, ...]
    sealed: tuple[memoryview, ...]


class Buffers:
    """The pool: page-aligned memory, made once, handed out by the lane."""

    def __init__(self, size_bytes: int = 64 * 1024 * 1024) -> None:
        count = max(1, size_bytes // LANE_BYTES)
        self._memory = memoryview(mmap.mmap(-1, count * LANE_BYTES))
        self._free = [self._cut(i * LANE_BYTES) for i in range(count)]
        self._returned = Condition()

    @contextmanager
    def lane(self, cancel: Event | None = None) -> Iterator[Lane]:
        """A lane, as soon as one is free. Raises CancelledError."""
        with self._returned:
            while not self._free:
                if cancel is not None and cancel.is_set():
                    raise CancelledError
                self._returned.wait(timeout=0.2)
            lane = self._free.pop()
        try:
            yield lane
        finally:
            with self._returned:
                self._free.append(lane)
                self._returned.notify()

    def _cut(self, start: int) -> Lane:
        split = start + PLAIN_BUFFERS * PIECE
        return Lane(
            tuple(self._memory[start + i * PIECE :][:PIECE] for i in range(PLAIN_BUFFERS)),
            tuple(self._memory[split + i * SEALED_ROOM :][:SEALED_ROOM] for i in range(SEALED_BUFFERS)),
        )


class PartFile:
    """A file being written at increasing offsets, past the page cache where the file system allows it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self._descriptor, self.is_direct = os.open(path, flags | os.O_DIRECT, 0o640), True
        except OSError as cause:
            if cause.errno != errno.EINVAL:
                raise explained(path, 0, cause) from cause
            path.unlink(missing_ok=True)  # the kernel makes the name before it refuses the flag
            self._descriptor, self.is_direct = os.open(path, flags, 0o640), False
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)  # tells a sweep that somebody is writing here

    def reserve(self, size: int) -> None:
        """Find room for `size` bytes before the first is copied. Raises DiskFullError."""
        if _LIBC.fallocate(
            self._descriptor, 1, ctypes.c_int64(0), ctypes.c_int64(size)
        ):  # 1: FALLOC_FL_KEEP_SIZE
            code = ctypes.get_errno()
            if code == errno.ENOSPC:
                raise DiskFullError(path=self.path, size=size)

    def write(self, content: memoryview, offset: int) -> None:
        """Write all of `content` at `offset`; both are whole pages. Raises DiskFullError or MediumError."""
        while content:
            try:
                count = os.pwrite(self._descriptor, content, offset)
            except OSError as cause:
                if cause.errno != errno.EINVAL or not self.is_direct:
                    raise explained(self.path, offset, cause) from cause
                self._go_through_cache()
                continue
            content, offset = content[count:], offset + count

    def finish(self, size: int) -> None:
        """Cut to `size` and make durable; a failed fsync is final (ADR 0005). Raises MediumError."""
        try:
            os.ftruncate(self._descriptor, size)
            os.fsync(self._descriptor)
        except OSError as cause:
            raise explained(self.path, size, cause) from cause
        finally:
            self.close()

    def close(self) -> None:
        """Close without a promise."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _go_through_cache(self) -> None:
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        self.is_direct = False


@dataclass(frozen=True)
class ReadBack:
    """What the medium gave back."""

    size: int
    sha256: str


class Reader:
    """Reads whole files from the medium; one thread at a time, two buffers for its life.

    While one buffer is hashed, a helper fills the other: a large file takes as long as the slower of disk and hash.
    """

    def __init__(self) -> None:
        self._rooms = [memoryview(mmap.mmap(-1, _READ_BACK_ROOM)) for _ in range(2)]
        self._helper: ThreadPoolExecutor | None = None

    def digest(self, path: Path, cancel: Event | None = None) -> ReadBack:
        """Size and SHA-256 of what lies on the medium.

        Raises MediumError when the medium does not give it back, CancelledError, and OSError for what says nothing
        of the medium (no descriptor free, no such file).
        """
        try:
            return self._past_the_cache(path, cancel)
        except OSError as cause:
            if not is_bad_medium(cause):
                raise
            raise MediumError(path=path, why=cause.strerror or str(cause)) from cause

    def _past_the_cache(self, path: Path, cancel: Event | None) -> ReadBack:
        try:
            return self._digest(path, cancel, direct=True)
        except OSError as cause:
            if cause.errno != errno.EINVAL:
                raise
        return self._digest(path, cancel, direct=False)

    def _digest(self, path: Path, cancel: Event | None, *, direct: bool) -> ReadBack:
        flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_DIRECT if direct else 0)
        descriptor = os.open(path, flags)
        try:
            if not direct:
                _LOG.warning("read-back goes through the page cache", path=str(path))
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            return self._hash(descriptor, cancel)
        finally:
            os.close(descriptor)

    def _hash(self, descriptor: int, cancel: Event | None) -> ReadBack:
        running, size = Sha256(), 0
        room, behind = self._rooms
        count = self.fetch(descriptor, room, 0)
        while count:
            size += count
            ahead = self._begin(descriptor, behind, size) if count == len(room) else None
            running.update(room[:count])
            count = ahead.result() if ahead else self.fetch(descriptor, behind, size)
            room, behind = behind, room
            if cancel is not None and cancel.is_set():
                raise CancelledError
        return ReadBack(size, running.hexdigest())

    def fetch(self, descriptor: int, room: memoryview, place: int) -> int:
        """One read at `place`; runs on the helper's thread when it reads ahead."""
        return os.preadv(descriptor, [room], place)

    def _begin(self, descriptor: int, room: memoryview, place: int) -> Future[int]:
        if self._helper is None:
            self._helper = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        return self._helper.submit(self.fetch, descriptor, room, place)


def prove_no_writer(descriptor: int) -> bool:
    """True when no process has the file open for writing, as far as this file system can tell; see `take_lease`."""
    return take_lease(descriptor) is not False


def take_lease(descriptor: int) -> bool | None:
    """True when no process has the file open for writing: the kernel grants a read lease only then (fcntl(2)).

    The lease is held until `descriptor` is closed; who opens the file for writing meanwhile has to wait, and after
    /proc/sys/fs/lease-break-time (45 s) takes it away: ask `lease_holds` again before trusting what was read.
    None where the file system knows no leases.
    """
    try:
        fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)  # the default signal of a broken lease would end us
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return False
    except OSError as cause:
        if cause.errno not in {errno.EINVAL, errno.ENOTTY, errno.EOPNOTSUPP}:
            raise
        _LOG.warning("this file system knows no leases; writers cannot be excluded")
        return None
    return True


def lease_holds(descriptor: int) -> bool:
    """Whether nobody has asked to write since `take_lease` said True."""
    return fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK


def drop_quietly(path: Path) -> None:
    """Remove a copy that is given up; that it is gone already is no matter."""
    with suppress(FileNotFoundError):
        path.unlink()


def is_bad_medium(cause: OSError) -> bool:
    """Whether the error speaks of the stored bytes, and not of this machine's room or rights."""
    return cause.errno in _BAD_MEDIUM


def explained(path: Path, size: int, cause: OSError) -> VaultError:
    """The refusal of a disk as an error that explains itself."""
    if cause.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(path=path, size=size)
    return MediumError(path=path, why=cause.strerror or str(cause))
