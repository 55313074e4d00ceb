"""Putting files into a copy: whole and durable under their name, or not there under it at all.

Invariants: bytes are gathered under `forming`, on the same file system, and get their name only after their fsync; an
object is compared with its digest while it is read, and again as the copy's own medium gives it back, before it is
named; on `settle` every name placed so far survives a power cut. What is left in `forming` by a crash is worth nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_hex

from core.digest import Sha256
from core.durable import fsync_directory, make_directory, settle_directory
from vault.store.medium import MediumError, Reader, explained

PIECE = 1 << 22
_GROUP = 128  # files whose fsyncs are asked for together
_FSYNCS_AT_ONCE = 6  # a journalling file system commits waiting fsyncs together
Told = Callable[[int], None]  # bytes that went by


class Placing:
    """Files on their way into the directory `root`."""

    def __init__(self, root: Path, forming: Path, told: Told = lambda _: None) -> None:
        self._root, self._forming, self._told = root, forming, told
        self._waiting: list[tuple[int, Path, Path]] = []
        self._reader = Reader()
        self.files = self.bytes = 0
        if forming.exists():
            shutil.rmtree(forming)
        make_directory(forming)

    def put(self, name: str, content: bytes, like: Path | None = None) -> None:
        """Take a small file, new or in the place of an older one; its name is there after `settle` at the latest.

        `like` lends it mode and owner. Raises DiskFullError or MediumError.
        """
        temporary = self._forming / token_hex(8)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            self._waiting.append((descriptor, temporary, self._root / name))
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            _be_like(descriptor, like)
        except OSError as cause:
            raise explained(self._root / name, len(content), cause) from cause
        self._count(len(content))
        if len(self._waiting) >= _GROUP:
            self.settle()

    def put_object(self, source: Path, name: str, size: int, sha256: str) -> str:
        """Copy an object; gives what is wrong with the source (nothing is placed then), or nothing.

        Raises DiskFullError or MediumError for the copy's own disk.
        """
        temporary, target = self._forming / token_hex(8), self._root / name
        try:
            wrong = self._copy(source, temporary, size, sha256)
            if wrong:
                temporary.unlink(missing_ok=True)
                return wrong
            self._read_back(temporary, size, sha256)
            settle_directory(target.parent, self._root)
            temporary.replace(target)
            fsync_directory(target.parent)
        except OSError as cause:
            raise explained(target, size, cause) from cause
        self.files += 1
        return ""

    def settle(self) -> None:
        """Everything taken so far is durable under its name on return; a failed fsync is final (ADR 0005)."""
        try:
            with ThreadPoolExecutor(_FSYNCS_AT_ONCE) as disk:
                list(disk.map(os.fsync, [descriptor for descriptor, _, _ in self._waiting]))
                directories = {target.parent for _, _, target in self._waiting}
                for directory in directories:
                    settle_directory(directory, self._root)
                for _, temporary, target in self._waiting:
                    temporary.replace(target)
                list(disk.map(fsync_directory, directories))
        except OSError as cause:
            raise explained(self._root, 0, cause) from cause
        finally:
            self._drop()

    def close(self) -> None:
        """Give up what was not settled."""
        self._drop()
        shutil.rmtree(self._forming, ignore_errors=True)

    def _read_back(self, temporary: Path, size: int, sha256: str) -> None:
        found = self._reader.digest(temporary)
        if (found.size, found.sha256) != (size, sha256):
            raise MediumError(path=temporary, why="it gives back other bytes than were written")

    def _drop(self) -> None:
        for descriptor, _, _ in self._waiting:
            os.close(descriptor)
        self._waiting.clear()

    def _count(self, size: int) -> None:
        self.files += 1
        self.bytes += size
        self._told(size)

    def _copy(self, source: Path, temporary: Path, size: int, sha256: str) -> str:
        try:
            held = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as cause:
            return cause.strerror or str(cause)
        running, place = Sha256(), 0
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            while piece := _read(held, min(PIECE, size + 1 - place)):
                if isinstance(piece, str):
                    return piece
                running.update(piece)
                place += len(piece)
                _write_all(descriptor, piece)
                self.bytes += len(piece)
                self._told(len(piece))
            if (place, running.hexdigest()) != (size, sha256):
                return "its bytes are not those that were sealed"
            os.posix_fadvise(held, 0, 0, os.POSIX_FADV_DONTNEED)
            _be_like(descriptor, source)
            os.fsync(descriptor)
        finally:
            os.close(held)
            os.close(descriptor)
        return ""


def _read(held: int, count: int) -> bytes | str:
    """The next bytes, or why the source does not give them."""
    try:
        return os.read(held, count) if count > 0 else b""
    except OSError as cause:
        return cause.strerror or str(cause)


def _write_all(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


def _be_like(descriptor: int, source: Path | None) -> None:
    """Mode and, for root, owner of the file that is copied."""
    if source is None or not source.exists():
        return
    facts = source.stat()
    if os.geteuid() == 0:
        os.fchown(descriptor, facts.st_uid, facts.st_gid)
    os.fchmod(descriptor, facts.st_mode & 0o777)
