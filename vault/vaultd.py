"""vaultd: the one process that gives entries their place on the log, in order, in batches.

A round: take what waits in the outbox; check each submission (vault.reception); read its object back (vault.intake);
write the batch to the log (vault.log.writer); mark it in the database. A refused submission becomes a `refusal` entry;
the first use of a bucket is preceded by a `bucket` entry (vault.log.bucket_rule).
The log is the truth and the database follows: whatever is on the log and not in the database is entered at the next
start, so a crash anywhere loses nothing and repeats nothing.

Whoever owns this process's log key can extend the log with lies and cannot change what is on it unseen.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from heapq import merge
from pathlib import Path
from threading import Event

from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from core import log
from core.bell import Bell, ring
from core.canonical import CanonicalError
from core.clock import parse_stamp
from core.db import Database
from vault.error import VaultError
from vault.formats.cosignature import Cosigner
from vault.formats.entry import Leaf
from vault.formats.note import SigningKey
from vault.formats.pack import Private
from vault.intake import Intake
from vault.log import index, kept
from vault.log.bucket_rule import BucketExchangedError, Commitments
from vault.log.index import EntryRow, ReceiptRow
from vault.log.ledger import LogReader
from vault.log.outbox import REFUSAL, AppliedEntry, OutboxRow, Projections, RowState, settle
from vault.log.rules import Lookup, Register, Rules
from vault.log.submission import read_submission
from vault.log.writer import BATCH_LIMIT, LogFullError, LogKeyError, LogWriter
from vault.reception import Batch, IdTakenError, Reception
from vault.store.medium import DiskFullError, MediumError
from vault.store.objects import Vault
from vault.timekeeper import Jump, Timekeeper

_LOG = log.get("vault.vaultd")
IDLE_S = 1.0  # how long a missed bell can cost
FULL_DISK_PAUSE_S = 5.0
_OBJECTS_PER_ROUND = 64
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMED_BY = ("vaultd", "dockd")  # a console's entry may carry the time of a browser's day
NOT_PROJECTED = "projection failed"  # reason of a row whose entry is on the log and in no other table


class RolledBackError(VaultError):
    """The database knows entries that the log does not have."""

    code = "vault.rolled_back"
    sentence = (
        "The database knows {known} entries and the log in {path} has {size}, or they are not the same entries. The "
        "vault was replaced by an older copy or another one, or the database belongs elsewhere. Nothing was written. "
        "Compare receipts with `sealdock vault verify --against`; if the vault is right, run `sealdock vault reindex`."
    )


class Vaultd:
    """The sequencer of one vault.

    `signer` is vaultd's own process key; `cosigners` add lines below the log's own on every checkpoint.
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
        cosigners: Sequence[Cosigner] = (),
    ) -> None:
        self._vault, self._db = vault, db
        self._log_key, self._signer, self._cosigners = log_key, signer, cosigners
        self._projections = projections or Projections()
        self._bell_path = bell_path
        self._reader = LogReader(vault)
        self._writer: LogWriter | None = None
        self._lookup, self._register, self._commitments = Lookup(), Register(), Commitments()
        self._reception = Reception(vault, self._register, rules, signer.name)
        self._intake = Intake(vault, lambda: ring(bell_path))
        self._timekeeper, self._by = Timekeeper(), signer.name
        self._jumped: Jump | None = None  # what the log has not been told of the clock
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
        """Take the lock, cut off what a crash left, learn the log, bring the database up to it.

        The database is asked first: an older copy of the vault must be noticed before anything in it is cut off.
        """
        self._check_database()
        self._writer = LogWriter(self._vault, self._log_key, self._cosigners)
        self._catch_up()
        self._check_key()
        self._jumped = self._timekeeper.start(self._newest_time())
        _LOG.info("the log is open", vault=self._vault.id, entries=self._writer.size)

    def close(self) -> None:
        """Let go of the lock; nothing is lost by not calling it."""
        self._intake.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            kept.keep_when_worth(self._reader, self._lookup, self._known, self._signer)

    def step(self) -> int:
        """One round; how many entries it put on the log. Raises LogWriteError, after which call `start` again."""
        if self._writer is None:
            raise RuntimeError("vaultd was not started")
        batch = Batch(self._reader, self._lookup, self._writer.size)
        self._jumped = self._timekeeper.look() or self._jumped
        if self._jumped:
            batch.items.append((self._jumped.statement(self._by, self._vault.id), Private()))
        self._fill(batch)
        if batch.items:
            self._writer.append(batch.items)
            self._jumped = None
            self._enter(batch.start, [leaf for leaf, _ in batch.items])
        return len(batch.items)

    def _step_with_room(self, stop: Event) -> int:
        try:
            return self.step()
        except LogFullError as cause:
            _LOG.critical("the log cannot grow", why=str(cause))
            self._start_again(stop)
            return 0

    def _start_again(self, stop: Event) -> None:
        """As soon as there is room: a start writes too, when it sets aside what a failed batch left."""
        while not stop.is_set():
            if self._writer is not None:
                self._writer.close()
            stop.wait(FULL_DISK_PAUSE_S)
            try:
                self.start()
            except OSError as cause:
                if cause.errno not in {errno.ENOSPC, errno.EDQUOT}:
                    raise
                _LOG.critical("the log cannot be opened before there is room", why=str(cause))
            else:
                return

    def _fill(self, batch: Batch) -> None:
        """Check what waits and put it, or its refusal, into the batch, until that is full."""
        with self._db.reading() as session:
            unsealed = _unsealed(session)
            for row in self._waiting(session, sealing=bool(unsealed)):
                if len(batch.items) == BATCH_LIMIT:
                    return
                if self._answer(batch, row, unsealed):
                    unsealed.discard(row.id)
                    self._reception.forget(row.id)

    def _waiting(self, session: Session, *, sealing: bool) -> Iterator[OutboxRow]:
        """Submissions in order, page by page: those that cannot go on yet keep nobody behind them from it."""
        has_object = OutboxRow.key_slot.is_not(None)
        plain = _pages(session, ~has_object, BATCH_LIMIT, lambda: True)
        if not sealing:
            return plain
        objects = _pages(
            session, has_object, _OBJECTS_PER_ROUND, lambda: self._intake.busy < _OBJECTS_PER_ROUND
        )
        return merge(plain, objects, key=lambda row: row.seq)

    def _answer(self, batch: Batch, row: OutboxRow, unsealed: set[str]) -> bool:
        """Whether the submission is answered in this batch; False while it must wait."""
        try:
            if (known := batch.find(row.id)) is not None:
                self._settle_repeated(row, known, batch.leaf(known))
                return True
            submission = self._reception.open(row)
            if not unsealed.isdisjoint(submission.leaf.about):
                return False  # an entry about an object comes after that object
            self._reception.check_rules(batch, submission)
            sealed = submission.leaf.object
            if sealed is not None and not self._intake.is_in(row.id, sealed):
                return False
            entry = self._reception.seal(row, submission)
            if not self._commit(batch, entry[0]):
                return False
            batch.items.append(entry)
        except (DiskFullError, MediumError, BucketExchangedError) as cause:
            _LOG.error("a submission waits for the vault's files", id=row.id, code=cause.code, why=str(cause))
            return False
        except (VaultError, CanonicalError) as cause:
            batch.items.append((self._reception.refuse(row, cause), Private()))
        return True

    def _commit(self, batch: Batch, leaf: Leaf) -> bool:
        """Say on the log which keys the entry's buckets have; False when that leaves the entry no room."""
        for due in self._commitments.missing(self._vault, leaf):
            if due.name not in batch.committed and len(batch.items) < BATCH_LIMIT:
                batch.items.append((self._reception.commit(due), Private()))
                batch.committed.add(due.name)
        return len(batch.items) < BATCH_LIMIT

    def _settle_repeated(self, row: OutboxRow, place: int, leaf: Leaf) -> None:
        """A submission that the log has is settled again; another one under its id is refused (IdTakenError)."""
        if not read_submission(row.note.encode()).is_entry(leaf):
            raise IdTakenError(id=row.id, index=place)
        with self._db.writing() as session:
            settle(session, [(place, leaf)])

    def _catch_up(self) -> None:
        """Learn what is on the log and enter what the database has not seen."""
        if not self._known:
            self._remember()
        size = self._reader.size
        while (start := self._known) < size:
            self._enter(start, list(self._reader.leaves(start, start + BATCH_LIMIT)))

    def _remember(self) -> None:
        """What the log says up to where the database is, without reading all of it again (vault.log.kept)."""
        self._lookup.close()
        self._lookup, _ = kept.restore(self._reader, self._signer.verifier)
        for place in self._lookup.noted():
            leaf = self._reader.leaf(place)
            self._register.take(leaf)
            self._commitments.take(leaf)
        self._known = self._entered + 1

    def _check_database(self) -> None:
        """Raises RolledBackError. The database is read first, because a log may only be ahead of it."""
        with self._db.reading() as session:
            last = session.scalar(select(EntryRow).order_by(EntryRow.index.desc()).limit(1))
        size = self._reader.size
        if last is not None and (last.index >= size or self._reader.leaf(last.index).id != last.id):
            raise RolledBackError(known=last.index + 1, path=self._vault.log_path, size=size)
        self._entered = -1 if last is None else last.index

    def _newest_time(self) -> datetime:
        """The latest time among the last entries that carry this machine's clock."""
        last = self._reader.leaves(max(0, self._known - BATCH_LIMIT), self._known)
        return max((parse_stamp(leaf.time) for leaf in last if leaf.by in _TIMED_BY), default=EPOCH)

    def _check_key(self) -> None:
        """Raises LogKeyError once the log names a key that is to sign in the place of ours."""
        named = self._register.verifiers.get(self._vault.origin)
        if named not in (None, self._log_key.verifier):
            raise LogKeyError(
                name=self._log_key.name, expected=f"{self._vault.origin}, which was handed over"
            )

    def _enter(self, start: int, leaves: Sequence[Leaf]) -> None:
        """Learn entries that are on the log, and write them into the database in one transaction."""
        self._lookup.add((start + i, leaf.id, leaf.about, leaf.type) for i, leaf in enumerate(leaves))
        for leaf in leaves:
            self._register.take(leaf)
            self._commitments.take(leaf)
        self._known = start + len(leaves)
        if self._known - 1 <= self._entered:
            return
        fresh = [(place, leaf) for place, leaf in enumerate(leaves, start) if place > self._entered]
        try:
            self._write(fresh, self._projections.apply)
        except (OperationalError, OSError, MemoryError):
            raise  # the disk or a lock, and no entry's fault
        except Exception:  # noqa: BLE001  # one of them cannot be projected: find out which, each in a savepoint
            self._write(fresh, self._projections.apply_apart)
        self._entered = self._known - 1

    def _write(
        self, fresh: Sequence[tuple[int, Leaf]], apply: Callable[[Session, AppliedEntry], object]
    ) -> None:
        """The rows of entries, their receipts, and what their places mean for submissions and projected rows."""
        with self._db.writing() as session:
            index.insert(session, fresh)
            for place, leaf in fresh:
                if leaf.object is not None:
                    session.add(ReceiptRow(entry_id=leaf.id, text=self._reader.proof(place)))
            for row, entry in settle(session, fresh):
                if row.state != RowState.SEQUENCED:
                    row.reason = self._reception.reasons.get(row.id, row.reason)
                elif apply(session, entry) is False:
                    row.reason = NOT_PROJECTED
        for _, leaf in fresh:
            for subject in leaf.about if leaf.type == REFUSAL else ():
                self._reception.reasons.pop(subject, None)


def _unsealed(session: Session) -> set[str]:
    """Ids of all submissions whose object is not sealed yet."""
    waiting = OutboxRow.state == RowState.PENDING, OutboxRow.key_slot.is_not(None)
    return set(session.scalars(select(OutboxRow.id).where(*waiting)))


def _pages(
    session: Session, which: ColumnElement[bool], limit: int, more: Callable[[], bool]
) -> Iterator[OutboxRow]:
    """Pending rows in order, read `limit` at a time, as long as there are any and `more` are wanted."""
    after = 0
    while True:
        query = select(OutboxRow).where(OutboxRow.state == RowState.PENDING, which, OutboxRow.seq > after)
        page = session.scalars(query.order_by(OutboxRow.seq).limit(limit)).all()
        yield from page
        if len(page) < limit or not more():
            return
        after = page[-1].seq
