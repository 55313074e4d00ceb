"""Recorders that appear as a disk, and folders pulled by hand: one opened medium, listed once, read in order.

Invariants: the medium is listed before any file is opened and the listing is what is offered; a stream gives
exactly the bytes that were listed or raises, never fewer; after the recorder has left every read raises
DepartedError, also when an unmounted tree would still answer from memory.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from devices.condition import Condition
from devices.error import DepartedError
from devices.fault import error_count
from devices.footage import is_ignored, read_name
from devices.match import Layout
from devices.name import show
from devices.profile import Profile
from devices.recorder import Identity, RefusedFile, SourceFile
from devices.tree import Entry, Kind, Refusal, Tree
from devices.unwritten import Untouched

UNREADABLE = frozenset({Refusal.UNREADABLE, Refusal.UNREADABLE_DIRECTORY})
# stands in a listing during which the disk failed without any call failing: something may be missing from it
WHOLE_TREE_IN_DOUBT = Entry(b"/", Kind.REFUSED, reason=Refusal.UNREADABLE_DIRECTORY)


@dataclass(frozen=True)
class LeftOut:
    """One file that the profile leaves out: on the medium, and no footage."""

    path: bytes
    shown_path: str
    size: int


class Presence:
    """Whether a recorder is still in its bay; shared by who hears of its departure and who reads it."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._gone = Event()

    def depart(self) -> None:
        """It is gone; for good, a recorder that comes back is a new presence."""
        self._gone.set()

    def is_here(self) -> bool:
        """Whether it has not been heard to leave."""
        return not self._gone.is_set()

    def wait_departed(self, timeout_s: float) -> bool:
        """Wait for the departure; True when it came. A read error comes before the event that explains it."""
        return self._gone.wait(timeout_s)

    def check(self) -> None:
        """Raises DepartedError once it is gone."""
        if not self.is_here():
            raise DepartedError(device=self.device)

    def pace(self, count: int) -> None:
        """Called after `count` bytes were read; a real recorder needs no slowing down."""

    def quantum(self) -> int | None:
        """The most to read at once; None for as much as there is room for."""
        return None


@dataclass
class Medium:
    """Something with a tree on it: a mounted card, or a folder. `close` unmounts."""

    root: Path
    transport: str
    identity: Identity
    presence: Presence
    release: Callable[[], None] = lambda: None
    untouched: Callable[[], Untouched | None] = lambda: None

    def list(self) -> Listing:
        """Walk it once. Raises OSError or DepartedError when it cannot be read at all."""
        self.presence.check()
        tree = Tree(self.root)
        try:
            before = error_count(tree.device)
            entries = tuple(tree.walk())
            self.presence.check()  # a dead mount lists as empty: only an unbroken presence makes a listing true
            if error_count(tree.device) != before and not any(e.reason in UNREADABLE for e in entries):
                entries = (WHOLE_TREE_IN_DOUBT, *entries)
        except BaseException:
            tree.close()
            raise
        return Listing(self, tree, entries)


class Listing:
    """Everything on a medium, before it is known what kind of recorder it is."""

    def __init__(self, medium: Medium, tree: Tree, entries: tuple[Entry, ...]) -> None:
        self.medium, self.tree, self.entries = medium, tree, entries

    @property
    def layout(self) -> Layout:
        """What matching needs."""
        paths = [entry.shown_path for entry in self.entries if entry.kind is not Kind.REFUSED]
        return Layout(self.medium.identity, paths)

    def recorder(self, profile: Profile, condition: Condition | None = None) -> MassStorage:
        """The medium read under a profile; `condition` is what its unlocking has told."""
        return MassStorage(self, profile, condition)

    def close(self) -> None:
        """Let go of the tree and the mount."""
        self.tree.close()
        release, self.medium.release = self.medium.release, lambda: None
        release()


class MassStorage:
    """A `Recorder` over a listing."""

    def __init__(self, listing: Listing, profile: Profile, condition: Condition | None = None) -> None:
        self._listing, self._profile = listing, profile
        self._presence = listing.medium.presence
        self.condition = _with_space(condition or Condition(), listing.medium)
        self.transport = listing.medium.transport
        self.profile_id = profile.id
        self.identity = self._identify()

    @property
    def ignored(self) -> int:
        """How many files the profile leaves out."""
        return sum(1 for _ in self.left_out())

    def left_out(self) -> Iterator[LeftOut]:
        """What the profile leaves out, folders apart, in the order of the listing; `ignored` is their number."""
        below: set[bytes] = set()
        for entry in self._listing.entries:
            if self._leaves_out(entry, below) and entry.kind is not Kind.DIRECTORY:
                yield LeftOut(entry.path, entry.shown_path, entry.size)

    def files(self) -> Iterator[SourceFile | RefusedFile]:
        """Files and refusals in the order of the listing; what the profile ignores is left out."""
        left_out: set[bytes] = set()
        for entry in self._listing.entries:
            if self._leaves_out(entry, left_out):
                continue
            if entry.kind is Kind.REFUSED:
                yield RefusedFile(entry.path, entry.shown_path, str(entry.reason))
            elif entry.kind is Kind.FILE:
                yield self._describe(entry)

    def open(self, file: SourceFile) -> FileStream:
        """Open one file that `files` gave. Raises OSError; DepartedError when the recorder is gone."""
        self._presence.check()
        return FileStream(self._listing.tree.open(file.path), file, self._presence)

    def present(self) -> bool:
        """Whether the recorder is there and answers."""
        return self._presence.is_here() and self._listing.tree.is_alive()

    def has_departed(self, patience_s: float) -> bool:
        """Whether it is gone; waits so long for the event, which comes after the read error it explains."""
        return not self.present() or self._presence.wait_departed(patience_s)

    def untouched(self) -> Untouched | None:
        """What shows that nothing was written, measured now; None for a folder, or once it has left."""
        return self._listing.medium.untouched() if self.present() else None

    def close(self) -> None:
        """Unmount; nothing was written."""
        self._listing.close()

    def _leaves_out(self, entry: Entry, left_out: set[bytes]) -> bool:
        is_below = entry.path.rpartition(b"/")[0] in left_out
        out = is_below or is_ignored(self._profile, entry.shown_path, entry.size)
        if out and entry.kind is Kind.DIRECTORY:
            left_out.add(entry.path)
        return out

    def _describe(self, entry: Entry) -> SourceFile:
        shown = entry.shown_path
        name = show(entry.path.rpartition(b"/")[2])
        plain = SourceFile(entry.path, shown, name, entry.size, entry.modified_at)
        facts = read_name(self._profile, shown)
        return replace(
            plain, media=facts.media, serial=facts.serial, officer_number=facts.officer_number,
            started_at=facts.started_at, part=facts.part, flagged=facts.flagged, sequence=facts.sequence,
        )  # fmt: skip

    def _identify(self) -> Identity:
        """The serial that all names agree on, else what USB says: storage mode often hides the real one."""
        said = {f.serial for f in self.files() if isinstance(f, SourceFile) and f.serial}
        given = self._listing.medium.identity
        return replace(given, serial=said.pop()) if len(said) == 1 else given


def _with_space(condition: Condition, medium: Medium) -> Condition:
    """Free and whole size of a mounted card, as its file system says; a plain folder has none of its own."""
    if not os.path.ismount(medium.root):
        return condition
    try:
        facts = os.statvfs(medium.root)
    except OSError:  # it has just left; whoever reads it next says so
        return condition
    free, whole = facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize
    return replace(condition, free_bytes=free, capacity_bytes=whole)


class FileStream:
    """The bytes of one file in order, exactly as many as were listed."""

    def __init__(self, descriptor: int, file: SourceFile, presence: Presence) -> None:
        self._descriptor, self._presence, self._path = descriptor, presence, file.path
        self.size, self._place = file.size, 0
        if os.fstat(descriptor).st_size != file.size:
            self.close()
            raise self._changed()

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer from the present place; 0 only at the end. Raises OSError."""
        self._presence.check()
        room = buffer[: self.size - self._place][: self._presence.quantum()]
        if not room:
            return 0
        count = os.preadv(self._descriptor, [room], self._place)
        self._presence.check()
        if count == 0:
            raise self._changed()
        self._place += count
        self._presence.pace(count)
        return count

    def seek(self, offset: int) -> None:
        """Go to a byte offset from the start."""
        self._place = offset

    def close(self) -> None:
        """Let go of the file; safe to call again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _changed(self) -> OSError:
        return OSError(errno.EIO, str(Refusal.CHANGED), os.fsdecode(self._path))
