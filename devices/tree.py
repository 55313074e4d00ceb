"""Walking a tree that somebody hostile may have made.

Invariants: only directories and regular files are ever opened, one path step at a time (`openat` with
O_NOFOLLOW), so that no link, no device node, no pipe and no clever name leads anywhere else; every entry that
is not taken comes out with the reason; one bad entry never stops the rest; the walk ends (depth and number
are limited). Names are bytes throughout. A path is given once: of two entries with one name, which only a broken
folder has, the first alone can be opened. Paths that differ in their encoding alone are spelled apart.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice, pairwise
from pathlib import Path

from devices.name import is_safe_part, show, show_bytes

MAX_DEPTH = 32  # recorders nest two or three folders; deeper is an attack or a broken file table
MAX_ENTRIES = 200_000  # three times the 60,000 files in one folder that the busiest card is expected to hold
GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM, errno.ENOTCONN, errno.ESHUTDOWN})
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Refusal(StrEnum):
    """Why something on the medium was not taken."""

    SYMLINK = "symlink"
    DEVICE = "device_node"
    FIFO = "fifo"
    SOCKET = "socket"
    TOO_DEEP = "too_deep"
    TOO_MANY = "too_many"
    OTHER_FILE_SYSTEM = "other_file_system"
    UNSAFE_NAME = "unsafe_name"
    UNREADABLE = "unreadable"
    UNREADABLE_DIRECTORY = "unreadable_directory"
    CHANGED = "changed_while_reading"
    SAME_NAME = "same_name"


class Kind(StrEnum):
    """What an entry is to us."""

    FILE = "file"
    DIRECTORY = "directory"
    REFUSED = "refused"


@dataclass(frozen=True)
class Entry:
    """One name in the tree; `size` and `modified_at` of files, `reason` of what is refused.

    `is_escaped`: another path of the tree shows as this one would, so its odd bytes are shown as they are.
    """

    path: bytes
    kind: Kind
    size: int = 0
    modified_at: datetime | None = None
    reason: Refusal | None = None
    is_escaped: bool = False

    @property
    def shown_path(self) -> str:
        """The path for people; a directory's ends in `/`."""
        shown = show_bytes(self.path) if self.is_escaped else show(self.path)
        if self.reason is Refusal.SAME_NAME:
            return f"{shown} (2)"
        return shown + ("/" if self.kind is Kind.DIRECTORY else "")


_REFUSED_TYPES = {
    stat.S_IFLNK: Refusal.SYMLINK,
    stat.S_IFCHR: Refusal.DEVICE,
    stat.S_IFBLK: Refusal.DEVICE,
    stat.S_IFIFO: Refusal.FIFO,
    stat.S_IFSOCK: Refusal.SOCKET,
}


class Tree:
    """One directory tree, held by a descriptor of its root."""

    def __init__(self, root: Path, *, max_depth: int = MAX_DEPTH, max_entries: int = MAX_ENTRIES) -> None:
        self._root = os.open(root, _DIRECTORY)
        self._device = os.fstat(self._root).st_dev
        self._max_depth, self._max_entries = max_depth, max_entries

    @property
    def device(self) -> int:
        """The device number (st_dev) of the file system that the tree is on."""
        return self._device

    def walk(self) -> Iterator[Entry]:
        """Every entry, folder by folder, names in byte order. Raises OSError only when the medium is gone."""
        folders, seen, spellings = [b""], 0, set[str]()
        while folders:
            folder = folders.pop()
            for found in self._list(folder, self._max_entries - seen):
                seen += 1
                entry = replace(found, is_escaped=found.shown_path in spellings)
                spellings.add(entry.shown_path)
                if seen > self._max_entries:
                    yield Entry(entry.path, Kind.REFUSED, reason=Refusal.TOO_MANY)
                    return
                if entry.kind is Kind.DIRECTORY and entry.path.count(b"/") + 1 >= self._max_depth:
                    yield Entry(entry.path, Kind.REFUSED, reason=Refusal.TOO_DEEP)
                    continue
                if entry.kind is Kind.DIRECTORY:
                    folders.append(entry.path)
                yield entry

    def open(self, path: bytes) -> int:
        """A descriptor of a regular file, reached step by step. Raises OSError (ELOOP for a link)."""
        *folders, name = path.split(b"/")
        parent = self._descend(folders)
        try:
            descriptor = os.open(_checked(name), _FILE, dir_fd=parent)
        finally:
            os.close(parent)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EPERM, "not a regular file", os.fsdecode(path))
        return descriptor

    def open_folder_of(self, path: bytes) -> int:
        """A descriptor of the folder that holds `path`, reached step by step. Raises OSError."""
        return self._descend(path.split(b"/")[:-1])

    def is_alive(self) -> bool:
        """Whether the medium still answers. A pulled disk may still list as empty, so events say more."""
        try:
            os.fstat(self._root)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go of the root; safe to call again."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _descend(self, folders: list[bytes]) -> int:
        here = os.dup(self._root)
        for folder in folders:
            try:
                below = os.open(_checked(folder), _DIRECTORY, dir_fd=here)
            finally:
                os.close(here)
            here = below
        return here

    def _list(self, folder: bytes, left: int) -> list[Entry]:
        """One folder's entries; of a folder with more than `left`, one more than that."""
        try:
            descriptor = self._descend(folder.split(b"/") if folder else [])
        except OSError as cause:
            return [_unreadable(folder, cause)]
        try:
            with os.scandir(descriptor) as found:
                names = sorted(os.fsencode(entry.name) for entry in islice(found, left + 1))
            return [
                self._look(descriptor, folder, name, is_again=name == before)
                for before, name in pairwise([b"", *names])
            ]
        except OSError as cause:
            return [_unreadable(folder, cause)]
        finally:
            os.close(descriptor)

    def _look(self, parent: int, folder: bytes, name: bytes, *, is_again: bool) -> Entry:
        path = folder + b"/" + name if folder else name
        if not is_safe_part(name) or is_again:
            reason = Refusal.SAME_NAME if is_again else Refusal.UNSAFE_NAME
            return Entry(path, Kind.REFUSED, reason=reason)
        try:
            facts = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError as cause:
            if cause.errno in GONE:
                raise
            return Entry(path, Kind.REFUSED, reason=Refusal.UNREADABLE)
        return self._classify(path, facts)

    def _classify(self, path: bytes, facts: os.stat_result) -> Entry:
        refusal = _REFUSED_TYPES.get(stat.S_IFMT(facts.st_mode))
        if refusal is None and facts.st_dev != self._device:
            refusal = Refusal.OTHER_FILE_SYSTEM
        if refusal is not None:
            return Entry(path, Kind.REFUSED, reason=refusal)
        if stat.S_ISDIR(facts.st_mode):
            return Entry(path, Kind.DIRECTORY)
        return Entry(path, Kind.FILE, facts.st_size, _moment(facts))


def _checked(name: bytes) -> bytes:
    if not is_safe_part(name):
        raise OSError(errno.EINVAL, "not a single step down", os.fsdecode(name))
    return name


def _unreadable(folder: bytes, cause: OSError) -> Entry:
    """A folder that cannot be listed; without its root, or with the device gone, nothing can go on."""
    if cause.errno in GONE or not folder:
        raise cause
    return Entry(folder, Kind.REFUSED, reason=Refusal.UNREADABLE_DIRECTORY)


def _moment(facts: os.stat_result) -> datetime | None:
    try:
        return datetime.fromtimestamp(facts.st_mtime_ns // 1_000_000_000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
