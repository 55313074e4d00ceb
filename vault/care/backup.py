"""A second copy of a vault on another disk: consistent at every moment, incremental, and never over anything else.

The copy is a directory with `vault/` (a vault that any verifier takes), `backup.json` (whose copy it is and how the
last run ended) and, when asked for, `sealed-root/` and `database/`. Invariants: the copy only ever goes forward on one
log; a copy that knows more than the vault, or something else, is left alone and both heads are shown; what the log has
disposed of and the vault has destroyed is destroyed in the copy too, after the head that says so, and until then it
stands in the mark. A run that was killed is simply run again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from core import log
from core.clock import stamp, utc_now
from core.durable import make_directory
from vault.care.beside import Problem
from vault.care.copying.enclosure import copy_database, copy_root
from vault.care.copying.following import Follower
from vault.care.copying.mark import Mark, NotABackupError, check_empty, mark_of
from vault.care.copying.meeting import Meeting
from vault.care.copying.mirror import Mirror
from vault.care.copying.stretch import Stretch, look_through
from vault.care.placing import Placing
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint
from vault.formats.merkle import Frontier
from vault.log.ledger import LogReader
from vault.store.medium import MediumError, Reader
from vault.store.objects import Vault

VAULT_DIRECTORY = "vault"
SPARE_BYTES = 64 << 20  # of the copy's disk, left beside what will be copied: the tree, packs and names
_LOG = log.get("vault.backup")


class NoRoomForCopyError(VaultError):
    """The copy's disk is too small for what is new."""

    code = "vault.no_room_for_copy"
    sentence = (
        "The disk of {path} lacks {missing} bytes for what is new since its last run. Nothing was copied, and the copy "
        "is as it was; add storage there, or begin a copy on a larger disk."
    )


class CopyBusyError(VaultError):
    """Two runs into one copy."""

    code = "vault.copy_busy"
    sentence = "Another run is writing the copy in {path}. Nothing was done; wait for it to end."


@dataclass(frozen=True)
class Passed:
    """How far a run is."""

    bytes: int
    bytes_total: int


@dataclass
class BackupResult:
    """What a run did. `destroyed` counts keys, objects and buckets that the copy gave up after logged disposals."""

    size: int
    before: int
    head: str
    files: int = 0
    bytes: int = 0
    objects: int = 0
    destroyed: int = 0
    waiting: int = 0  # of what the log disposed of and the vault itself still holds
    problems: list[Problem] = field(default_factory=list)
    is_same_disk: bool = False
    with_sealed_root: bool = False
    with_database: bool = False

    @property
    def is_whole(self) -> bool:
        """Everything that the vault's log seals is in the copy."""
        return not self.problems


class Backup:
    """Runs into one copy."""

    def __init__(self, source: Vault, copy: Path, told: Callable[[Passed], None] = lambda _: None) -> None:
        self._source, self._copy, self._told = source, copy, told
        self._target = copy / VAULT_DIRECTORY
        self._reader = LogReader(source)
        self._passed = self._total = 0

    def run(
        self, *, sealed_root: Path | None = None, database: Path | None = None, afresh: bool = False
    ) -> BackupResult:
        """Bring the copy to the vault's newest head; durable on return.

        `sealed_root` is the keys' directory whose root.age is to be copied too, `database` a SQLite file. `afresh`
        holds every object and bundle of the copy to the log again and copies anew what does not hold. Raises
        NotABackupError, DivergedError, NoRoomForCopyError, CopyBusyError, SourceDamagedError, DiskFullError or
        MediumError; the copy is then as good as before.
        """
        self._check_place()
        if Mark.read(self._copy) is None:
            check_empty(self._copy)
        make_directory(self._copy)
        with self._lock():
            mark = mark_of(self._copy, self._source.id)
            make_directory(self._target)
            for _ in range(3):  # a vault at work may dispose of something while it is copied
                result, mark = self._once(mark, afresh=afresh)
                if result.is_whole or self._reader.size == result.size:
                    break
            if sealed_root is not None:
                result.with_sealed_root = copy_root(sealed_root, self._copy)
            if database is not None:
                copy_database(database, self._copy)
                result.with_database = True
        return result

    def _once(self, mark: Mark, *, afresh: bool) -> tuple[BackupResult, Mark]:
        head, note = self._reader.checkpoint()  # first: what comes later than it is not called copied
        meeting = Meeting(self._source, self._copy, self._target, head, note)
        before, frontier = meeting.edge()
        if afresh or frontier.size < before:
            afresh, frontier = True, Frontier()
        stretch = look_through(self._reader, frontier, head.size)
        if frontier.root() != head.root:
            raise meeting.differs(before)
        stretch.pending.add(mark.pending)
        self._check_room(stretch)
        placing = Placing(self._target, self._copy / "forming", self._tell)
        try:
            mirror = Mirror(self._source, self._target, placing)
            again = (i for i in mark.missing if i < before and not afresh)
            mirror.bring_objects(((i, self._reader.leaf(i)) for i in again), stretch)
            if afresh:
                mirror.distrusted = set(self._damaged(before))
            mirror.bring(stretch, head)
            mirror.bring_rest(head.size)
            missing = tuple(p.entry for p in mirror.problems if p.file.startswith("objects/"))
            mark = Mark(self._source.id, before, "", stretch.pending, missing)
            mark.write(self._copy)  # before the head: after it, nobody would look at these entries again
            mirror.finish(note)
            mirror.drop_old_edge(before, head.size)
        finally:
            placing.close()
        destroyed = Follower(self._source, self._target).follow(stretch.pending)
        mark = Mark(self._source.id, head.size, stamp(utc_now()), stretch.pending, missing)
        mark.write(self._copy)
        return self._result(head, note, before, mirror, placing, stretch, destroyed), mark

    def _result(
        self, head: Checkpoint, note: bytes, before: int, mirror: Mirror, placing: Placing,
        stretch: Stretch, destroyed: int,
    ) -> BackupResult:  # fmt: skip
        waiting = len(stretch.pending.objects) + len(stretch.pending.buckets)
        return BackupResult(
            head.size, before, note.decode(), placing.files, placing.bytes, mirror.objects, destroyed, waiting,
            mirror.problems, self._source.path.stat().st_dev == self._copy.stat().st_dev,
        )  # fmt: skip

    def _check_place(self) -> None:
        ours, theirs = self._source.path.resolve(), self._copy.resolve()
        if ours == theirs or ours in theirs.parents or theirs in ours.parents:
            raise NotABackupError(path=self._copy, why="it lies in the vault, or the vault in it")

    def _check_room(self, stretch: Stretch) -> None:
        facts = os.statvfs(self._copy)
        self._total = stretch.object_bytes
        held = 0
        for index in stretch.sealed:
            leaf = self._reader.leaf(index)
            path = self._target / Mirror.object_name(leaf.id)
            held += path.stat().st_size if path.exists() else 0
        missing = stretch.object_bytes - held + SPARE_BYTES - facts.f_bavail * facts.f_frsize
        self._total, self._passed = stretch.object_bytes - held, 0
        if missing > 0:
            raise NoRoomForCopyError(path=self._copy, missing=missing)

    def _tell(self, count: int) -> None:
        self._passed += count
        self._told(Passed(min(self._passed, self._total), self._total))

    def _damaged(self, size: int) -> Iterator[str]:
        """The recordings whose object in the copy is not what the log names."""
        reader = Reader()
        for index, leaf in enumerate(self._reader.leaves(0, size)):
            path = self._target / Mirror.object_name(leaf.id)
            if leaf.object is None or not path.exists():
                continue
            try:
                holds = reader.digest(path).sha256 == leaf.object.stored_sha256
            except MediumError:
                holds = False
            if not holds:
                _LOG.error(
                    "an object of the copy is damaged and is copied again", entry=index, path=str(path)
                )
                yield leaf.id

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self._copy / "lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as cause:
                raise CopyBusyError(path=self._copy) from cause
            yield
