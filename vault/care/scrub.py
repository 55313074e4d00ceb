"""Scrubbing: every sealed object is read back again and again, so that damage is found while there is a copy.

Invariants: only stored bytes are read, and no key; the digest that counts comes from the log, never from the database;
a failure is seen twice before it is believed, then it is at once an entry of its own, a loud line and a row that the
console shows; what could not be read for reasons of this machine (no descriptor, no right) is never called damage.
A slice of proofs is one entry. A crash forgets at most the slice in hand, which is then read again.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event

from sqlalchemy import delete, select, update
from sqlalchemy.exc import SQLAlchemyError

from core import log
from core.clock import utc_now
from core.db import Database
from vault.care.fixity import DUE_SHARE, FixityRow, Result, due, enter_missing, is_disposed
from vault.care.paced import Budget, PacedReader, be_idle
from vault.error import VaultError
from vault.formats.entry import ABOUT_LIMIT, ObjectCommitment
from vault.log.ledger import LogReader
from vault.log.outbox import OutboxRow, RowState, Submitter
from vault.log.submission import Draft
from vault.store.medium import CancelledError, is_bad_medium
from vault.store.objects import Vault

SLICE = ABOUT_LIMIT  # recordings in one `verify` entry
SLICE_S = 900.0  # and no proof waits longer than this for its entry
LOOK_EVERY_S = 600.0  # for what became due meanwhile
SKIP = timedelta(hours=1)  # what this machine could not read is tried again after this
BUSY_FOR_S = 2.0  # how long an answer to "is intake busy" is believed
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
_LOG = log.get("vault.scrub")


@dataclass
class Round:
    """What one round did; `skipped` could not be judged, for reasons that say nothing of the objects."""

    proven: int = 0
    bytes: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass
class _Slice:
    ids: list[str] = field(default_factory=list)
    bytes: int = 0
    since: float = field(default_factory=time.monotonic)

    @property
    def is_ripe(self) -> bool:
        return len(self.ids) >= SLICE or (bool(self.ids) and time.monotonic() - self.since > SLICE_S)


class Scrubber:
    """Reads what is due, for one vault. `is_docking` is what the process above knows of the dock."""

    def __init__(
        self,
        vault: Vault,
        db: Database,
        submitter: Submitter,
        *,
        bytes_per_second: float,
        days: int,
        is_docking: Callable[[], bool] = lambda: False,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._vault, self._db, self._submitter = vault, db, submitter
        self._reader = LogReader(vault)
        self._days, self._look_every_s, self._is_docking = days, look_every_s, is_docking
        self._paced = PacedReader(Budget(bytes_per_second), self.is_intake_busy)
        self._busy, self._busy_until = False, 0.0

    def run(self, stop: Event) -> None:
        """Scrub until `stop`; whatever goes wrong is told and tried again. Run it on a thread of its own."""
        be_idle()
        while not stop.is_set():
            try:
                enter_missing(self._db, self._reader)
                self.round(stop)
            except CancelledError:
                return
            except (VaultError, SQLAlchemyError, OSError) as cause:
                _LOG.error("scrubbing stopped for now", why=str(cause))
            stop.wait(self._look_every_s)

    def round(
        self, stop: Event, *, everything: bool = False, told: Callable[[Round, int], None] | None = None
    ) -> Round:
        """Read what is due (or `everything`) once, longest-unproven first. Raises CancelledError once `stop` is set.

        `told` hears after each object how far the round is, and how many objects it has.
        """
        done, left, begun = Round(), _Slice(), utc_now()
        days = 0 if everything else self._days
        try:
            while rows := self._due(days, begun):
                for row in rows:
                    self._look(row, done, left, stop)
                    if left.is_ripe:
                        left = self._enter_proven(left)
                    if told:
                        told(done, len(rows))
                left = self._enter_proven(left)
        finally:
            self._enter_proven(left)
        return done

    def is_intake_busy(self) -> bool:
        """Whether a recorder is being copied, or an object waits to be read back for its sealing."""
        now = time.monotonic()
        if now >= self._busy_until:
            self._busy = self._is_docking() or self._has_objects_waiting()
            self._busy_until = now + BUSY_FOR_S
        return self._busy

    def _has_objects_waiting(self) -> bool:
        waiting = OutboxRow.state == RowState.PENDING, OutboxRow.key_slot.is_not(None)
        with self._db.reading() as session:
            return session.scalar(select(OutboxRow.seq).where(*waiting).limit(1)) is not None

    def _due(self, days: int, begun: datetime) -> list[FixityRow]:
        with self._db.reading() as session:
            return list(due(session, days, SLICE, begun))

    def _look(self, row: FixityRow, done: Round, left: _Slice, stop: Event) -> None:
        leaf = self._reader.leaf(row.entry_index)
        if leaf.id != row.entry_id or leaf.object is None:
            self._drop(row)
            return
        try:
            fault = self._judge(leaf.id, leaf.object, stop)
        except OSError as cause:
            _LOG.warning("an object could not be looked at", id=leaf.id, why=cause.strerror or str(cause))
            done.skipped.append(leaf.id)
            self._put_off(row, utc_now() - timedelta(days=self._days) * DUE_SHARE + SKIP)
            return
        if not fault:
            left.ids.append(leaf.id)
            left.bytes += leaf.object.stored_size
            done.proven += 1
            done.bytes += leaf.object.stored_size
        elif not self._forget_disposed(leaf.id):
            done.failed.append(leaf.id)
            self._enter_failed(row, fault, leaf.object.stored_size)

    def _judge(self, entry_id: str, sealed: ObjectCommitment, stop: Event) -> str:
        """The fault, or nothing. What fails is read a second time: a cable can be as wrong as a disk."""
        first = self._fault(entry_id, sealed, stop)
        if not first:
            return ""
        second = self._fault(entry_id, sealed, stop)
        if not second:
            _LOG.warning("an object held only at the second reading; look at the disk", id=entry_id)
        return second

    def _fault(self, entry_id: str, sealed: ObjectCommitment, stop: Event) -> str:
        try:
            found = self._paced.digest(self._vault.object_path(entry_id), stop)
        except OSError as cause:
            if cause.errno in _NOT_THERE:
                return "missing"
            if is_bad_medium(cause):
                return "unreadable"
            raise
        return "" if (found.size, found.sha256) == (sealed.stored_size, sealed.stored_sha256) else "damaged"

    def _forget_disposed(self, entry_id: str) -> bool:
        """Whether it is gone because it was disposed of while it was looked at."""
        with self._db.reading() as session:
            return is_disposed(session, entry_id)

    def _enter_failed(self, row: FixityRow, fault: str, size: int) -> None:
        """At once, and by itself; a fault that the log tells of already is only looked at again."""
        _LOG.critical("a sealed object does not hold", id=row.entry_id, entry=row.entry_index, fault=fault)
        if (row.result, row.fault) == (Result.FAILED, fault):
            self._put_off(row, utc_now())
            return
        facts = {"result": "failed", "fault": fault, "bytes": size}
        self._submit(Draft("verify", about=(row.entry_id,), facts=facts))

    def _enter_proven(self, left: _Slice) -> _Slice:
        if left.ids:
            facts = {"result": "proven", "bytes": left.bytes}
            self._submit(Draft("verify", about=tuple(left.ids), facts=facts))
            left.ids.clear()
        return _Slice()

    def _submit(self, draft: Draft) -> None:
        with self._db.writing() as session:
            self._submitter.submit(session, draft)
        self._submitter.ring()

    def _put_off(self, row: FixityRow, checked_at: datetime) -> None:
        """Not looked at again before its time is counted from `checked_at`."""
        mine = FixityRow.entry_id == row.entry_id
        with self._db.writing() as session:
            session.execute(update(FixityRow).where(mine).values(checked_at=checked_at))

    def _drop(self, row: FixityRow) -> None:
        """A row that the log does not bear out; the next round makes it again from the log."""
        _LOG.critical("the table of proofs disagrees with the log", id=row.entry_id, entry=row.entry_index)
        with self._db.writing() as session:
            session.execute(delete(FixityRow).where(FixityRow.entry_id == row.entry_id))
