"""vaultd: the one process that gives entries their place on the log, in order, in batches.

A round: take what waits in the outbox; check each submission (signature of the registered key, type permitted to that
key, log rules); read its object back; write the batch to the log (vault.log.writer); mark it in the database. A refused
submission becomes a `refusal` entry. The log is the truth and the database follows: whatever is on the log and not in
the database is entered at the next round, so a crash anywhere loses nothing and repeats nothing.

Whoever owns this process's log key can extend the log with lies and cannot change what is on it unseen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import log
from core.bell import Bell, ring
from core.canonical import CanonicalError
from core.clock import new_id, stamp, utc_now
from core.db import Database
from core.digest import sha256_hex
from core.errors import SealdockError
from vault.error import VaultError
from vault.formats.entry import Leaf, is_ulid
from vault.formats.note import SigningKey
from vault.formats.pack import Private
from vault.intake import Intake
from vault.log import index
from vault.log.index import EntryRow, ReceiptRow
from vault.log.ledger import LogReader
from vault.log.outbox import AppliedEntry, OutboxRow, Projections, RowState, fingerprint, settle
from vault.log.rules import Lookup, Register, Rules
from vault.log.submission import Submission, SubmissionError, open_submission
from vault.log.writer import BATCH_LIMIT, LogFullError, LogWriter
from vault.store.keys import seal_body
from vault.store.medium import make_immutable
from vault.store.objects import Vault

_LOG = log.get("vault.vaultd")
IDLE_S = 1.0  # how long a missed bell can cost
FULL_DISK_PAUSE_S = 5.0
_OBJECTS_PER_ROUND = 64


class NotPermittedError(VaultError):
    """A process that submits what is not its business."""

    code = "vault.not_permitted"
    sentence = "The key {by} may not put entries of type {type} on the log. The attempt is itself on the log."


class RolledBackError(VaultError):
    """The database knows entries that the log does not have."""

    code = "vault.rolled_back"
    sentence = (
        "The database knows {known} entries and the log in {path} has {size}, or they are not the same entries. The "
        "vault was replaced by an older copy or another one, or the database belongs elsewhere. Nothing was written. "
        "Compare receipts with `sealdock vault verify --against`; if the vault is right, run `sealdock vault reindex`."
    )


@dataclass
class Batch:
    """Entries about to go on the log together; to a log rule they are on it already."""

    reader: LogReader
    lookup: Lookup
    start: int
    items: list[tuple[Leaf, Private]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """As LogView."""
        return self.start + len(self.items)

    def leaf(self, place: int) -> Leaf:
        """As LogView."""
        return self.items[place - self.start][0] if place >= self.start else self.reader.leaf(place)

    def find(self, entry_id: str) -> int | None:
        """As LogView."""
        here = (self.start + i for i, (leaf, _) in enumerate(self.items) if leaf.id == entry_id)
        return next(here, None) if (known := self.lookup.find(entry_id)) is None else known

    def about(self, subject_id: str) -> list[int]:
        """As LogView."""
        here = [self.start + i for i, (leaf, _) in enumerate(self.items) if subject_id in leaf.about]
        return self.lookup.about(subject_id) + here


class Vaultd:
    """The sequencer of one vault.

    `signer` is vaultd's own process key; `immutable` sets chattr +i on sealed objects
    (they can then be deleted by nobody without CAP_LINUX_IMMUTABLE, so it is off unless asked for).
    """

    def __init__(
        self,
        vault: Vault,
        db: Database,
        log_key: SigningKey,
        signer: SigningKey,
        rules: Rules,
        bell_path: Path,
        *,
        projections: Projections | None = None,
        immutable: bool = False,
    ) -> None:
        self._vault, self._db = vault, db
        self._log_key, self._by = log_key, signer.name
        self._rules, self._projections = rules, projections or Projections()
        self._bell_path = bell_path
        self._immutable = immutable
        self._reader = LogReader(vault)
        self._writer: LogWriter | None = None
        self._lookup, self._register = Lookup(), Register()
        self._intake = Intake(vault, lambda: ring(bell_path))
        self._accepted: dict[str, Submission] = {}  # checked, its object is being read back
        self._reasons: dict[str, str] = {}  # sentences of refusals, for the outbox; the log has only the code
        self._known = 0  # entries learned from the log
        self._entered = -1  # index of the last entry that the database has

    def run(self, stop: Event) -> None:
        """Work until `stop` is set. Raises VaultError: a vault it must not write to, or a disk that fails."""
        bell = Bell(self._bell_path)
        try:
            self.start()
            while not stop.is_set():
                if not self._step_with_room(stop):
                    bell.wait(IDLE_S)
        finally:
            self.close()
            bell.close()

    def start(self) -> None:
        """Take the lock, cut off what a crash left, learn the log, bring the database up to it."""
        self._writer = LogWriter(self._vault, self._log_key)
        self._catch_up()
        _LOG.info("the log is open", vault=self._vault.id, entries=self._writer.size)

    def close(self) -> None:
        """Let go of the lock; nothing is lost by not calling it."""
        self._intake.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def step(self) -> int:
        """One round; how many entries it put on the log. Raises LogWriteError, after which call `start` again."""
        if self._writer is None:
            raise RuntimeError("vaultd was not started")
        batch = Batch(self._reader, self._lookup, self._writer.size)
        self._fill(batch)
        if batch.items:
            self._writer.append(batch.items)
            self._enter(batch.start, [leaf for leaf, _ in batch.items])
            self._make_immutable(leaf for leaf, _ in batch.items)
        return len(batch.items)

    def _step_with_room(self, stop: Event) -> int:
        try:
            return self.step()
        except LogFullError as cause:
            _LOG.critical("the log cannot grow", why=str(cause))
            if self._writer is not None:
                self._writer.close()
            stop.wait(FULL_DISK_PAUSE_S)
            self.start()
            return 0

    def _fill(self, batch: Batch) -> None:
        """Check what waits and put it, or its refusal, into the batch."""
        rows, unsealed = self._waiting()
        for row in rows[:BATCH_LIMIT]:
            if (known := batch.find(row.id)) is not None:
                self._settle_repeated(known, batch.leaf(known))
                continue
            try:
                submission = self._accepted.get(row.id) or self._check(batch, row)
                if self._must_wait(row, submission, unsealed):
                    continue
                batch.items.append(self._seal(row, submission))
            except (VaultError, CanonicalError) as cause:
                batch.items.append((self._refusal(row, cause), Private()))
            unsealed.discard(row.id)
            self._accepted.pop(row.id, None)

    def _waiting(self) -> tuple[list[OutboxRow], set[str]]:
        """The next submissions in order, and the ids of all whose object is not sealed yet."""
        pending, sealing = OutboxRow.state == RowState.PENDING, OutboxRow.key_slot.is_not(None)
        queries = [
            select(OutboxRow).where(pending, ~sealing).order_by(OutboxRow.seq).limit(BATCH_LIMIT),
            select(OutboxRow).where(pending, sealing).order_by(OutboxRow.seq).limit(_OBJECTS_PER_ROUND),
        ]
        with self._db.reading() as session:
            plain, objects = (session.scalars(query).all() for query in queries)
            unsealed = {row.id for row in objects}
            if len(objects) == _OBJECTS_PER_ROUND:
                unsealed |= set(session.scalars(select(OutboxRow.id).where(pending, sealing)))
        return sorted([*plain, *objects], key=lambda row: row.seq), unsealed

    def _check(self, batch: Batch, row: OutboxRow) -> Submission:
        """Signature, permission, rules, and that row and note belong together. Raises VaultError."""
        submission = open_submission(row.note.encode(), self._register.verifiers)
        leaf = submission.leaf
        if (leaf.id, leaf.type) != (row.id, row.type):
            raise SubmissionError(why="the row in the outbox is not the one that was signed")
        if not self._register.permits(leaf.by, leaf.type):
            raise NotPermittedError(by=leaf.by, type=leaf.type)
        if leaf.object and sha256_hex(row.key_slot or b"") != leaf.object.header_sha256:
            raise SubmissionError(why="its wrapped key is not the one that was signed")
        self._rules.check(batch, leaf)
        return submission

    def _must_wait(self, row: OutboxRow, submission: Submission, unsealed: set[str]) -> bool:
        """An object waits for its read-back; an entry about an object waits for that object."""
        leaf = submission.leaf
        if not unsealed.isdisjoint(leaf.about):
            return True
        if leaf.object is None or self._intake.is_in(leaf.id, leaf.object):
            return False
        self._accepted[row.id] = submission
        return True

    def _seal(self, row: OutboxRow, submission: Submission) -> tuple[Leaf, Private]:
        plan = submission.body
        if plan is None:
            return submission.leaf, Private(object_slot=row.key_slot)
        commitment, stored, slot = seal_body(self._vault, row.body or {}, plan.bucket)
        if commitment.sha256 != plan.sha256:
            raise SubmissionError(why="its private part is not the one that was signed")
        return submission.sealed_with(commitment), Private(stored, slot, row.key_slot)

    def _refusal(self, row: OutboxRow, cause: SealdockError) -> Leaf:
        """What is said on the log of a submission that it does not take; no word of the submission itself."""
        _LOG.error("a submission is refused", id=row.id, type=row.type, code=cause.code, why=str(cause))
        self._reasons[row.id] = str(cause)
        return Leaf(
            id=new_id(), type="refusal", time=stamp(utc_now()), by=self._by,
            about=(row.id,) if is_ulid(row.id) else (),
            facts={"code": cause.code, "submission": fingerprint(row.note)},
        )  # fmt: skip

    def _settle_repeated(self, place: int, leaf: Leaf) -> None:
        with self._db.writing() as session:
            settle(session, [(place, leaf)])

    def _catch_up(self) -> None:
        """Learn what is on the log and enter what the database has not seen. Raises RolledBackError."""
        size = self._reader.size
        self._check_database(size)
        while (start := self._known) < size:
            self._enter(start, list(self._reader.leaves(start, start + BATCH_LIMIT)))

    def _check_database(self, size: int) -> None:
        with self._db.reading() as session:
            last = session.scalar(select(EntryRow).order_by(EntryRow.index.desc()).limit(1))
        self._entered = -1 if last is None else last.index
        if last is not None and (last.index >= size or self._reader.leaf(last.index).id != last.id):
            raise RolledBackError(known=last.index + 1, path=self._vault.log_path, size=size)

    def _enter(self, start: int, leaves: Sequence[Leaf]) -> None:
        """Learn entries that are on the log, and write them into the database in one transaction."""
        self._lookup.add((start + i, leaf.id, leaf.about) for i, leaf in enumerate(leaves))
        for leaf in leaves:
            self._register.take(leaf)
        self._known = start + len(leaves)
        if self._known - 1 <= self._entered:
            return
        fresh = [(place, leaf) for place, leaf in enumerate(leaves, start) if place > self._entered]
        with self._db.writing() as session:
            index.insert(session, fresh)
            for place, leaf in fresh:
                if leaf.object is not None:
                    session.add(ReceiptRow(entry_id=leaf.id, text=self._reader.proof(place)))
            for place, leaf, row in settle(session, fresh):
                self._project(session, place, leaf, row)
        self._entered = self._known - 1

    def _project(self, session: Session, place: int, leaf: Leaf, row: OutboxRow) -> None:
        """What the entry's place means for its rows; the vault holds the private part now, so the outbox lets go."""
        row.reason = self._reasons.pop(row.id, row.reason)
        if row.state == RowState.SEQUENCED:
            fields = None if row.body is None else row.body["fields"]
            self._projections.apply(session, AppliedEntry(leaf, fields, place))
            row.body = row.key_slot = None

    def _make_immutable(self, leaves: Iterable[Leaf]) -> None:
        for leaf in leaves if self._immutable else ():
            if leaf.object is not None and not make_immutable(self._vault.object_path(leaf.id)):
                _LOG.warning("sealed objects cannot be made immutable here; the log alone guards them")
                self._immutable = False
                return
