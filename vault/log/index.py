"""The index: the log's entries as rows, so that "the chain of custody of X" is one query. A projection, nothing more.

vaultd writes the rows in the transaction that marks submissions as sequenced; `reindex` writes them all again from
nothing but the vault directory and an unlocked identity.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy import insert as sql_insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from core import log
from core.canonical import Json
from core.db import Base, Database
from vault.error import VaultError
from vault.formats.entry import Leaf
from vault.formats.merkle import TILE_WIDTH, Frontier
from vault.log.edge import LogDamagedError
from vault.log.ledger import LogReader
from vault.log.outbox import (
    AppliedEntry,
    NotSequencedError,
    OutboxRow,
    Projections,
    RefusedError,
    RowState,
    find,
    private_fields,
    settle,
)
from vault.log.submission import read_submission
from vault.store.keys import Keyring, open_body
from vault.store.objects import Vault

_LOG = log.get("vault.index")
_FIRST_LOOK_S = 0.002  # a commit takes about this long (docs/benchmarks.md)
_LAST_LOOK_S = 0.05


class EntryRow(Base):
    """One entry of the log, without its private part."""

    __tablename__ = "entry"

    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(index=True)
    type: Mapped[str] = mapped_column(index=True)
    time: Mapped[str]  # as it stands in the entry: UTC, sorts as text
    by: Mapped[str]
    actor: Mapped[str | None]


class EntryAbout(Base):
    """Which subjects an entry is about; an entry that seals an object is about that object."""

    __tablename__ = "entry_about"

    subject_id: Mapped[str] = mapped_column(primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class ReceiptRow(Base):
    """The receipt of an entry that sealed an object; `LogReader.proof` makes one for any other entry."""

    __tablename__ = "receipt"

    entry_id: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[bytes]


@dataclass(frozen=True)
class Reindexed:
    """What a reindex found: entries replayed, bodies opened, those whose body could not be, those without rows."""

    entries: int
    bodies: int
    unavailable: tuple[int, ...]
    unprojected: tuple[int, ...] = ()


def insert(session: Session, entries: Sequence[tuple[int, Leaf]]) -> None:
    """Add the rows of entries in the caller's transaction."""
    rows = [
        {"index": at, "id": leaf.id, "type": leaf.type, "time": leaf.time, "by": leaf.by, "actor": leaf.actor}
        for at, leaf in entries
    ]
    subjects = [
        {"subject_id": subject, "index": at} for at, leaf in entries for subject in {*leaf.about, leaf.id}
    ]
    session.execute(sql_insert(EntryRow), rows)
    session.execute(sql_insert(EntryAbout), subjects)


def custody(session: Session, subject_id: str) -> Sequence[EntryRow]:
    """Every entry about a subject (and the one that made it), oldest first."""
    return session.scalars(
        select(EntryRow)
        .join(EntryAbout, EntryAbout.index == EntryRow.index)
        .where(EntryAbout.subject_id == subject_id)
        .order_by(EntryRow.index)
    ).all()


def place_of(session: Session, entry_id: str) -> int | None:
    """The index of an entry, None while the log has not taken it; needs no outbox, so it survives a lost database."""
    return session.scalar(select(EntryRow.index).where(EntryRow.id == entry_id))


def wait_sequenced(db: Database, entry_id: str, timeout_s: float) -> int:
    """The entry's index on the log, once it is there. Raises RefusedError or NotSequencedError."""
    deadline = time.monotonic() + timeout_s
    pause = _FIRST_LOOK_S
    while True:
        with db.reading() as session:
            place, row = place_of(session, entry_id), find(session, entry_id)
        if place is not None:
            return place
        if row is not None and row.state in {RowState.REFUSED, RowState.MISMATCHED}:
            raise RefusedError(why=row.reason)
        if time.monotonic() >= deadline:
            raise NotSequencedError(id=entry_id, seconds=timeout_s)
        time.sleep(pause)
        pause = min(2 * pause, _LAST_LOOK_S)


def receipt_of(session: Session, entry_id: str) -> bytes | None:
    """The stored receipt of a sealed object, or None."""
    return session.scalar(select(ReceiptRow.text).where(ReceiptRow.entry_id == entry_id))


def reindex(
    vault: Vault,
    keyring: Keyring,
    db: Database,
    projections: Projections,
    progress: Callable[[int, int], None] | None = None,
) -> Reindexed:
    """Empty the projection tables and write them again from the log, in one transaction: all of it or none.

    The entries are hashed up to the signed root on the way, so a row never comes from an entry that is not on the log.
    A body that was disposed of is shown as absent; one that is damaged is logged, counted and shown as absent; an entry
    whose facts no projection can read is logged and counted and stops nothing. Submissions that still wait are
    projected again behind the log. Raises LogDamagedError, and VaultError for tiles or entries that cannot be read.
    """
    with db.writing() as session:
        _empty(session, projections)
        found = _replay(vault, keyring, session, projections, progress)
        _project_waiting(session, projections)
    return found


def _empty(session: Session, projections: Projections) -> None:
    tables: list[type[DeclarativeBase]] = [ReceiptRow, EntryAbout, EntryRow, *reversed(projections.tables)]
    for table in tables:
        session.execute(delete(table))


def _replay(
    vault: Vault,
    keyring: Keyring,
    session: Session,
    projections: Projections,
    progress: Callable[[int, int], None] | None,
) -> Reindexed:
    reader = LogReader(vault)
    checkpoint, _ = reader.checkpoint()
    frontier, unavailable, unprojected, bodies = Frontier(), list[int](), list[int](), 0
    for start in range(0, checkpoint.size, TILE_WIDTH):
        raws = reader.raws(start, min(start + TILE_WIDTH, checkpoint.size))
        entries = [(index, Leaf.parse(raw)) for index, raw in enumerate(raws, start)]
        for index, leaf in entries:
            frontier.add(leaf.hash())
            fields = _fields(vault, index, leaf, keyring, unavailable)
            bodies += fields is not None
            if not projections.apply_apart(session, AppliedEntry(leaf, fields, index)):
                unprojected.append(index)
            if leaf.object is not None:
                session.add(ReceiptRow(entry_id=leaf.id, text=reader.proof(index)))
        insert(session, entries)
        settle(session, entries)
        session.flush()
        session.expunge_all()
        if progress:
            progress(start + len(entries), checkpoint.size)
    if frontier.root() != checkpoint.root:
        raise LogDamagedError(path=vault.log_path, why="its entries lead to another root")
    return Reindexed(checkpoint.size, bodies, tuple(unavailable), tuple(unprojected))


def _fields(vault: Vault, index: int, leaf: Leaf, keyring: Keyring, unavailable: list[int]) -> Json | None:
    try:
        return open_body(vault, index, leaf, keyring)
    except VaultError as cause:
        _LOG.error("a body cannot be opened", index=index, code=cause.code, why=str(cause))
        unavailable.append(index)
        return None


def _project_waiting(session: Session, projections: Projections) -> None:
    waiting = select(OutboxRow).where(OutboxRow.state == RowState.PENDING).order_by(OutboxRow.seq)
    for row in session.scalars(waiting).all():
        try:
            leaf = read_submission(row.note.encode()).leaf
        except VaultError as cause:  # vaultd will refuse it; it says nothing worth a row
            _LOG.error("a waiting row is no submission", id=row.id, code=cause.code, why=str(cause))
            continue
        projections.apply_apart(session, AppliedEntry(leaf, private_fields(row.body), None))
