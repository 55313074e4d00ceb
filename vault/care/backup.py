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
import sqlite3
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from core import log
from core.canonical import CanonicalError, Json, decode, encode
from core.clock import stamp, utc_now
from core.durable import fsync_directory, make_directory, replace
from core.errors import Exit
from vault.care.beside import Problem
from vault.care.following import Follower
from vault.care.mirror import CHECKPOINT, Mirror
from vault.care.placing import Placing
from vault.care.stretch import Pending, SourceDamagedError, Stretch, look_through
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint, parse_checkpoint
from vault.formats.merkle import DirectoryTiles, Frontier, TileError
from vault.formats.note import NoteSignatureError
from vault.log.ledger import LogReader, NoCheckpointError
from vault.store.keys import ROOT_FILE
from vault.store.medium import MediumError, Reader
from vault.store.objects import Vault

MARK = "backup.json"
VAULT_DIRECTORY = "vault"
SPARE_BYTES = 64 << 20  # of the copy's disk, left beside what will be copied: the tree, packs and names
_LOG = log.get("vault.backup")


class NotABackupError(VaultError):
    """The destination holds something that no backup made."""

    code = "vault.not_a_backup"
    sentence = (
        "{path} is not empty and is no copy of this vault ({why}). Nothing was written; name an empty directory on "
        "another disk, or the copy that an earlier run made."
    )
    exit_code = Exit.WRONG_USE


class DivergedError(VaultError):
    """The copy and the vault are not beginnings of one another."""

    code = "vault.copy_diverged"
    sentence = (
        "The copy in {path} has a signed head of {copied} entries and the vault one of {size} ({why}). The vault was "
        "rolled back or its history rewritten, or the copy is another machine's. Nothing was written. Keep copy and "
        "both heads, which are the evidence.\n--- head of the copy\n{copy_head}\n--- head of the vault\n{vault_head}"
    )
    exit_code = Exit.NO


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


@dataclass(frozen=True)
class Mark:
    """What `backup.json` says of a copy."""

    vault: str
    size: int = 0
    finished_at: str = ""
    pending: Pending = field(default_factory=Pending)
    missing: tuple[int, ...] = ()

    @classmethod
    def read(cls, copy: Path) -> Mark | None:
        """The mark of the copy; None when there is none. Raises NotABackupError for one that cannot be read."""
        try:
            facts = decode((copy / MARK).read_bytes())
            pending = facts["pending"]
            return cls(
                facts["vault"], facts["size"], facts["finished_at"],
                Pending(set(pending["slots"]), set(pending["objects"]), set(pending["buckets"])),
                tuple(facts["missing"]),
            )  # fmt: skip
        except FileNotFoundError:
            return None
        except (OSError, CanonicalError, KeyError, TypeError) as cause:
            raise NotABackupError(path=copy, why=f"its {MARK} cannot be read") from cause

    def write(self, copy: Path) -> None:
        """Replace the mark, durably."""
        facts: Json = {
            "v": 1, "vault": self.vault, "size": self.size, "finished_at": self.finished_at,
            "pending": self.pending.to_json(), "missing": list(self.missing),
        }  # fmt: skip
        replace(copy / MARK, encode(facts))


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
            self._check_empty()
        make_directory(self._copy)
        with self._lock():
            mark = self._mark()
            for _ in range(3):  # a vault at work may dispose of something while it is copied
                result, mark = self._once(mark, afresh=afresh)
                if result.is_whole or self._reader.size == result.size:
                    break
            if sealed_root is not None:
                result.with_sealed_root = self._copy_root(sealed_root)
            if database is not None:
                self._copy_database(database)
                result.with_database = True
        return result

    def _once(self, mark: Mark, *, afresh: bool) -> tuple[BackupResult, Mark]:
        head, note = self._reader.checkpoint()  # first: what comes later than it is not called copied
        before, frontier = self._edge(head, note)
        if afresh or frontier.size < before:
            afresh, frontier = True, Frontier()
        stretch = look_through(self._reader, frontier, head.size)
        if frontier.root() != head.root:
            raise self._differs(before, head, note)
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

    def _check_empty(self) -> None:
        names = {path.name for path in self._copy.iterdir()} if self._copy.exists() else set()
        if names - {"lock", "lost+found"}:
            raise NotABackupError(path=self._copy, why=f"it has no {MARK}")

    def _mark(self) -> Mark:
        mark = Mark.read(self._copy)
        if mark is None:
            self._check_empty()
            mark = Mark(self._source.id)
            mark.write(self._copy)
        if mark.vault != self._source.id:
            raise NotABackupError(path=self._copy, why=f"it is a copy of the vault {mark.vault}")
        make_directory(self._target)
        return mark

    def _edge(self, head: Checkpoint, note: bytes) -> tuple[int, Frontier]:
        """How many entries the copy has, and its right edge; an empty one when the copy's tiles are damaged.

        Raises DivergedError for a copy that knows more than the vault.
        """
        held = copied_head(self._target, self._source)
        if held is None:
            return 0, Frontier()
        copied, _ = held
        if copied.size > head.size:
            raise self._diverged("the copy knows more entries than the vault", held, head, note)
        try:
            frontier = Frontier.resume(DirectoryTiles(self._target / "log", copied.size), copied.size)
        except TileError:
            return copied.size, Frontier()
        return copied.size, frontier if frontier.root() == copied.root else Frontier()

    def _differs(self, before: int, head: Checkpoint, note: bytes) -> VaultError:
        """Why the copy's entries and the vault's newer ones do not lead to the vault's head.

        Either the vault's files are damaged, or its history is another: then all of its own entries lead there.
        """
        held, frontier = copied_head(self._target, self._source), Frontier()
        look_through(self._reader, frontier, head.size)
        if held is None or frontier.root() != head.root:
            return SourceDamagedError(path=self._source.log_path, size=head.size)
        return self._diverged(f"their first {before} entries differ", held, head, note)

    def _diverged(
        self, why: str, held: tuple[Checkpoint, bytes], head: Checkpoint, note: bytes
    ) -> DivergedError:
        return DivergedError(
            path=self._copy, copied=held[0].size, size=head.size, why=why,
            copy_head=held[1].decode(), vault_head=note.decode(),
        )  # fmt: skip

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

    def _copy_root(self, keys: Path) -> bool:
        path = keys / ROOT_FILE
        if not path.exists():
            return False
        make_directory(self._copy / "sealed-root", 0o700)
        replace(self._copy / "sealed-root" / ROOT_FILE, path.read_bytes(), 0o400)
        return True

    def _copy_database(self, path: Path) -> None:
        """SQLite's online backup (sqlite.org/backup.html): consistent while the station works."""
        directory = self._copy / "database"
        make_directory(directory, 0o700)
        forming = directory / f".{path.name}.forming"
        forming.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as live,
            closing(sqlite3.connect(forming)) as taken,
        ):
            live.backup(taken, pages=1024)
        forming.chmod(0o600)
        with forming.open("rb+") as file:
            os.fsync(file.fileno())
        forming.replace(directory / path.name)
        fsync_directory(directory)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self._copy / "lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as cause:
                raise CopyBusyError(path=self._copy) from cause
            yield


def copied_head(target: Path, source: Vault) -> tuple[Checkpoint, bytes] | None:
    """The head of a copy under any key that this log ever had; None when it has none yet. Raises NoteError."""
    try:
        note = (target / CHECKPOINT).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as cause:
        raise NoCheckpointError(path=target / CHECKPOINT, why=cause.strerror) from cause
    for key in (source.verifier, *source.earlier):
        try:
            return parse_checkpoint(note, key), note
        except NoteSignatureError as cause:
            refused = cause
    raise refused


def root_text(head: Checkpoint) -> str:
    """A root as checkpoints spell it."""
    return b64encode(head.root).decode()
