"""The outbox: signed submissions waiting for their place on the log, in the same database as the rows they explain.

Invariant: the row of a domain fact, the submission that makes it true and the work that follows from it are written in
one transaction. The same projection function writes the domain row when the entry is submitted and when the log is
replayed (index.reindex), so it must be idempotent: called twice for one entry, it leaves what one call leaves.

Whoever owns this table can delay or drop submissions; signatures keep them from making or changing one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Index, delete, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from core import bell, log
from core.canonical import Json
from core.clock import utc_now
from core.db import Base
from core.digest import sha256_hex
from core.errors import Exit
from vault.error import VaultError
from vault.formats.entry import Leaf, is_ulid
from vault.formats.note import SigningKey
from vault.log.column import GuardedBytes, GuardedJson, GuardedText, GuardedTime
from vault.log.submission import Draft, exact

_LOG = log.get("vault.outbox")
REFUSAL = "refusal"  # the type of entry that says what the log did not take
MISMATCH_CODE = "vault.mismatched"  # the code of the refusal of an object that came back changed


class NotSequencedError(VaultError):
    """The log has not taken the entry yet."""

    code = "vault.not_sequenced"
    sentence = (
        "Entry {id} is not on the log after {seconds} s. It is kept and will be put there as soon as vaultd runs; "
        "check that the sealdock-vaultd service is up."
    )


class RefusedError(VaultError):
    """The log will not take the entry; log rules raise it, and so does waiting for a refused entry."""

    code = "vault.refused"
    sentence = "The log does not take this entry ({why}). The refusal is itself on the log."
    exit_code = Exit.NO


class RowState(StrEnum):
    """Where a submission stands."""

    PENDING = "pending"
    SEQUENCED = "sequenced"
    REFUSED = "refused"
    MISMATCHED = "mismatched"  # the medium gave the object back changed: copy it again from the recorder


class OutboxRow(Base):
    """One submission. `seq` is the order of submitting.

    `body` (the salted plaintext) and `key_slot` are there while it waits, and in no other state. The columns are
    guarded (vault.log.column): noise in one row is that row's matter, and stops no other submission.
    """

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_waiting", "state", "seq"), {"sqlite_autoincrement": True})

    seq: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(GuardedText, unique=True)
    type: Mapped[str] = mapped_column(GuardedText)
    note: Mapped[str] = mapped_column(GuardedText)
    body: Mapped[Json | None] = mapped_column(GuardedJson)
    key_slot: Mapped[bytes | None] = mapped_column(GuardedBytes)
    state: Mapped[str] = mapped_column(GuardedText, default=RowState.PENDING)
    entry_index: Mapped[int | None]
    reason: Mapped[str] = mapped_column(GuardedText, default="")
    made_at: Mapped[datetime] = mapped_column(GuardedTime)
    sequenced_at: Mapped[datetime | None] = mapped_column(GuardedTime)


@dataclass(frozen=True)
class AppliedEntry:
    """What a projection sees.

    `fields` is None when there is no body, or when it was disposed of or cannot be opened; `index` is None until the
    entry is sequenced, and until then `leaf.body` is None too.
    """

    leaf: Leaf
    fields: Json | None
    index: int | None


Projection = Callable[[Session, AppliedEntry], None]


class Projections:
    """Which function turns which type of entry into rows, and which tables consist of nothing else."""

    def __init__(self) -> None:
        self._functions: dict[str, list[Projection]] = defaultdict(list)
        self.tables: list[type[DeclarativeBase]] = []

    def on(self, entry_type: str, function: Projection) -> None:
        """Call `function` for every entry of this type, after those registered before it."""
        self._functions[entry_type].append(function)

    def owns(self, *tables: type[DeclarativeBase]) -> None:
        """Name tables that hold projected rows only; a reindex empties them, last named first."""
        self.tables.extend(tables)

    def apply(self, session: Session, entry: AppliedEntry) -> None:
        """Write the rows of one entry in the caller's transaction."""
        for function in self._functions.get(entry.leaf.type, ()):
            function(session, entry)

    def apply_apart(self, session: Session, entry: AppliedEntry) -> bool:
        """As `apply`, for an entry that is on the log whatever its projection makes of it.

        One that cannot be projected is logged, leaves no row half-written, and stops nothing behind it: False. What
        the database itself refuses (a full disk, a lock) goes up, because it says nothing of the entry.
        """
        try:
            with session.begin_nested():
                self.apply(session, entry)
        except (OperationalError, OSError, MemoryError):
            raise
        except Exception as cause:  # noqa: BLE001  # whatever a projection makes of facts it cannot read
            _LOG.critical(
                "an entry cannot be projected", id=entry.leaf.id, type=entry.leaf.type, why=repr(cause)
            )
            return False
        return True


class Submitter:
    """Puts entries into the outbox under one process's key."""

    def __init__(self, signer: SigningKey, projections: Projections, bell_path: Path) -> None:
        self._signer = signer
        self._projections = projections
        self._bell = bell_path

    def submit(self, session: Session, draft: Draft) -> str:
        """Sign, insert and project in the caller's transaction; gives the entry's id.

        A submission whose object came back from the medium changed may be submitted again under its id. Raises
        EntryError or SubmissionError for what no log can hold. Call `ring` after the commit.
        """
        submission, body = exact(draft, self._signer.name)
        entry_id = submission.leaf.id
        session.execute(
            delete(OutboxRow).where(OutboxRow.id == entry_id, OutboxRow.state == RowState.MISMATCHED)
        )
        row = OutboxRow(
            id=entry_id, type=draft.type, note=submission.signed(self._signer).decode(), body=body,
            key_slot=draft.deposit.key_slot if draft.deposit else None, state=RowState.PENDING, made_at=utc_now(),
        )  # fmt: skip
        session.add(row)
        session.flush()
        fields = None if body is None else body["fields"]
        self._projections.apply(session, AppliedEntry(submission.leaf, fields, None))
        return entry_id

    def ring(self) -> None:
        """Wake vaultd; called after the transaction was committed. Never fails: vaultd also looks by itself."""
        bell.ring(self._bell)


def find(session: Session, entry_id: str) -> OutboxRow | None:
    """The row of a submission, or None when this database never held it."""
    return session.scalar(select(OutboxRow).where(OutboxRow.id == entry_id))


def pending_ids(session: Session) -> set[str]:
    """Ids of the submissions that wait for their place."""
    return set(session.scalars(select(OutboxRow.id).where(OutboxRow.state == RowState.PENDING)))


def fingerprint(note: str) -> str:
    """How a refusal names the very submission it refuses."""
    return sha256_hex(note.encode())


class Settled(NamedTuple):
    """A submission that left the outbox, with the private facts that its row let go of."""

    row: OutboxRow
    entry: AppliedEntry


def settle(session: Session, entries: Iterable[tuple[int, Leaf]]) -> list[Settled]:
    """Say in the outbox what entries of the log mean for submissions; gives what it settled.

    An entry settles the submission with its id; a refusal settles the exact submission it names. A settled row holds
    no private plaintext any more: the vault has it, or nobody is to have it. Doing it again changes nothing.
    """
    named = {_submission_of(leaf): (index, leaf) for index, leaf in entries}
    rows = session.scalars(
        select(OutboxRow).where(OutboxRow.id.in_(named), OutboxRow.state != RowState.SEQUENCED)
    )
    done = [(row, *named[row.id]) for row in rows.all() if _settle_one(row, *named[row.id])]
    done += _settle_nameless(session, [one for one in named.values() if _is_nameless(one[1])])
    return [Settled(row, AppliedEntry(leaf, _let_go(row), index)) for row, index, leaf in done]


def private_fields(body: object) -> Json | None:
    """The facts in a salted body as the outbox holds it; None for no body, and for noise."""
    fields = body.get("fields") if isinstance(body, dict) else None
    return fields if isinstance(fields, dict) else None


def _let_go(row: OutboxRow) -> Json | None:
    fields = private_fields(row.body)
    row.body = row.key_slot = None
    return fields


def _submission_of(leaf: Leaf) -> str:
    return leaf.about[0] if leaf.type == REFUSAL and leaf.about else leaf.id


def _is_nameless(leaf: Leaf) -> bool:
    """Whether it refuses a row whose id no entry can name."""
    return leaf.type == REFUSAL and not leaf.about


def _settle_nameless(session: Session, refusals: list[tuple[int, Leaf]]) -> list[tuple[OutboxRow, int, Leaf]]:
    """Rows whose id is noise are found by their fingerprint; or each round would refuse them again, for ever."""
    if not refusals:
        return []
    waiting = session.execute(select(OutboxRow.seq, OutboxRow.id).where(OutboxRow.state == RowState.PENDING))
    strange = [seq for seq, row_id in waiting if not is_ulid(row_id)]
    done = []
    for row in session.scalars(select(OutboxRow).where(OutboxRow.seq.in_(strange))).all():
        for index, leaf in refusals:
            if row.state == RowState.PENDING and _settle_one(row, index, leaf):
                done.append((row, index, leaf))
    return done


def _settle_one(row: OutboxRow, index: int, leaf: Leaf) -> bool:
    if leaf.type != REFUSAL:
        row.state = RowState.SEQUENCED
    elif leaf.facts.get("submission") != fingerprint(row.note):
        return False
    else:
        code = leaf.facts.get("code", "")
        row.state = RowState.MISMATCHED if code == MISMATCH_CODE else RowState.REFUSED
        row.reason = row.reason or str(code)
    row.entry_index, row.sequenced_at = index, utc_now()
    return True
