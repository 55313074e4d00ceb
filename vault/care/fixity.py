"""When each sealed object was last proven: a projection of `ingest`, `verify`, `repair` and `dispose` entries.

The first proof of an object is vaultd's reading back at its sealing. `checked_at` and `fault` are the newest look,
which for an object that stays damaged is later than anything on the log. Objects that were disposed of have no row.
The table only says what to read next and what to show: the digest that counts is always taken from the log.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import BigInteger, ColumnElement, delete, exists, func, select, update
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from core.clock import parse_stamp, utc_now
from core.db import Base, Database, UtcDateTime
from vault.formats.entry import Leaf
from vault.log.index import EntryAbout, EntryRow
from vault.log.ledger import LogReader
from vault.log.outbox import AppliedEntry, Projections
from vault.log.rules import INGEST

DISPOSE = "dispose"
RETRY = timedelta(days=1)  # an object that failed is looked at again after this
DUE_SHARE = 2 / 3  # of the period: a third is left for days on which the dock is never quiet
_AT_ONCE = 500  # ids in one query, rows in one transaction


class Result(StrEnum):
    """What the newest proof of an object was, or that there is none to be had."""

    SEALED = "sealed"  # proven once, by vaultd, before it was sealed
    PROVEN = "proven"
    FAILED = "failed"
    REPAIRED = "repaired"


class FixityRow(Base):
    """One sealed object. `bytes` are those of its file."""

    __tablename__ = "fixity"

    entry_id: Mapped[str] = mapped_column(primary_key=True)
    entry_index: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger)
    sealed_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    last_proven_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    checked_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    result: Mapped[str] = mapped_column(index=True)
    fault: Mapped[str] = mapped_column(default="")


@dataclass(frozen=True)
class Proof:
    """When an object was last found to be what was sealed, and what the newest look said."""

    last_proven_at: datetime
    result: Result
    fault: str = ""


@dataclass(frozen=True)
class Failure:
    """An object that is not what was sealed, or is not there."""

    entry_id: str
    entry_index: int
    fault: str
    bytes: int
    last_proven_at: datetime


@dataclass(frozen=True)
class FixityState:
    """All sealed objects at one moment; `overdue` were not proven for longer than the settings allow."""

    objects: int
    bytes: int
    failed: int
    due: int
    due_bytes: int
    overdue: int
    oldest_proven_at: datetime | None


def register(projections: Projections) -> None:
    """Register the projection; called by sealdock/wiring.py."""
    projections.owns(FixityRow)
    projections.on(INGEST, _enter_sealed)
    projections.on("verify", _enter_verify)
    projections.on("repair", _enter_repair)
    projections.on(DISPOSE, _enter_dispose)


def last_proven(session: Session, ids: Collection[str]) -> dict[str, Proof]:
    """The newest proof of each recording; those disposed of, or not sealed yet, are left out."""
    wanted, found = list(ids), dict[str, Proof]()
    for start in range(0, len(wanted), _AT_ONCE):
        some = FixityRow.entry_id.in_(wanted[start : start + _AT_ONCE])
        for row in session.scalars(select(FixityRow).where(some)):
            found[row.entry_id] = Proof(row.last_proven_at, Result(row.result), row.fault)
    return found


def failures(session: Session, limit: int = 1000) -> list[Failure]:
    """The objects that did not hold when they were last looked at, longest-unproven first."""
    failed = select(FixityRow).where(FixityRow.result == Result.FAILED)
    rows = session.scalars(failed.order_by(FixityRow.last_proven_at).limit(limit))
    return [Failure(r.entry_id, r.entry_index, r.fault, r.bytes, r.last_proven_at) for r in rows]


def fixity_state(session: Session, days: int, now: datetime | None = None) -> FixityState:
    """How all sealed objects stand against "each at least every `days` days"."""
    moment = now or utc_now()
    count, total, oldest = session.execute(
        select(func.count(), func.coalesce(func.sum(FixityRow.bytes), 0), func.min(FixityRow.last_proven_at))
    ).one()
    due, due_bytes = session.execute(
        select(func.count(), func.coalesce(func.sum(FixityRow.bytes), 0)).where(_is_due(days, moment))
    ).one()
    failed = session.scalar(select(func.count()).where(FixityRow.result == Result.FAILED))
    late = session.scalar(
        select(func.count()).where(FixityRow.last_proven_at < moment - timedelta(days=days))
    )
    return FixityState(count, int(total), failed or 0, due, int(due_bytes), late or 0, oldest)


def due(session: Session, days: int, limit: int, now: datetime | None = None) -> Sequence[FixityRow]:
    """What to read next, the object that was not looked at for longest first."""
    chosen = select(FixityRow).where(_is_due(days, now or utc_now()))
    return session.scalars(chosen.order_by(FixityRow.checked_at, FixityRow.entry_index).limit(limit)).all()


def is_disposed(session: Session, entry_id: str) -> bool:
    """Whether the log has a disposal of this recording."""
    about = EntryAbout.subject_id == entry_id, EntryRow.type == DISPOSE
    joined = select(EntryRow.index).join(EntryAbout, EntryAbout.index == EntryRow.index)
    return session.scalar(joined.where(*about).limit(1)) is not None


def enter_missing(db: Database, reader: LogReader) -> int:
    """Give a row to every sealed object that has none (a log older than this table); how many there were."""
    entered = 0
    while rows := list(_missing(db, reader)):
        with db.writing() as session:
            for index, leaf in rows:
                _enter_sealed(session, AppliedEntry(leaf, None, index))
        entered += len(rows)
    return entered


def _missing(db: Database, reader: LogReader) -> Iterator[tuple[int, Leaf]]:
    disposal, about = aliased(EntryRow), aliased(EntryAbout)
    disposed = exists().where(
        about.subject_id == EntryRow.id, about.index == disposal.index, disposal.type == DISPOSE
    )
    known = exists().where(FixityRow.entry_id == EntryRow.id)
    wanted = select(EntryRow.index).where(EntryRow.type == INGEST, ~known, ~disposed)
    with db.reading() as session:
        indices = session.scalars(wanted.order_by(EntryRow.index).limit(_AT_ONCE)).all()
    for index in indices:
        yield index, reader.leaf(index)


def _is_due(days: int, now: datetime) -> ColumnElement[bool]:
    before = FixityRow.checked_at < now - timedelta(days=days) * DUE_SHARE
    failed = (FixityRow.result == Result.FAILED) & (FixityRow.checked_at < now - RETRY)
    return before | failed


def _enter_sealed(session: Session, entry: AppliedEntry) -> None:
    sealed = entry.leaf.object
    if sealed is None or entry.index is None or session.get(FixityRow, entry.leaf.id) is not None:
        return
    at = parse_stamp(entry.leaf.time)
    session.add(
        FixityRow(
            entry_id=entry.leaf.id, entry_index=entry.index, bytes=sealed.stored_size, sealed_at=at,
            last_proven_at=at, checked_at=at, result=Result.SEALED, fault="",
        )
    )  # fmt: skip


def _enter_verify(session: Session, entry: AppliedEntry) -> None:
    _take(session, entry, Result(entry.leaf.facts["result"]), str(entry.leaf.facts.get("fault", "")))


def _enter_repair(session: Session, entry: AppliedEntry) -> None:
    _take(session, entry, Result.REPAIRED, "")


def _take(session: Session, entry: AppliedEntry, result: Result, fault: str) -> None:
    at, about = parse_stamp(entry.leaf.time), entry.leaf.about
    facts: dict[str, object] = {"checked_at": at, "result": result, "fault": fault}
    if result is not Result.FAILED:
        facts["last_proven_at"] = at
    for start in range(0, len(about), _AT_ONCE):
        some = FixityRow.entry_id.in_(about[start : start + _AT_ONCE])
        session.execute(update(FixityRow).where(some).values(**facts))


def _enter_dispose(session: Session, entry: AppliedEntry) -> None:
    if entry.index is None:
        return  # asked for, and not yet on the log
    for start in range(0, len(entry.leaf.about), _AT_ONCE):
        some = entry.leaf.about[start : start + _AT_ONCE]
        session.execute(delete(FixityRow).where(FixityRow.entry_id.in_(some)))
