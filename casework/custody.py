"""The chain of custody of a recording: who, what, when, why, with what result, and where the proof is.

Every line is one entry of the log, read from the log itself; the tables only add what the log keeps private
(names as they were at the time, reasons). A line without an index waits in the outbox: it is shown, and
nothing proves it yet. The exports say the same as the screen.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.disclosure import Disclosure
from casework.exhibit import CaseLink
from casework.package.content import CustodyExtract, CustodyStatement
from casework.people import actor_name
from casework.viewing import Viewing
from core.canonical import decode, encode
from core.clock import parse_stamp, stamp
from vault.formats.entry import Leaf
from vault.formats.note import Note
from vault.log.index import custody
from vault.log.ledger import LogReader
from vault.log.outbox import OutboxRow, RowState

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run these (OWASP, CSV injection)
CSV_COLUMNS = ("entry", "index", "at", "type", "by", "actor", "actor_name", "reason", "facts")


@dataclass(frozen=True)
class CustodyLine:
    """One entry about the recording; `index` is None while it waits for its place on the log."""

    entry_id: str
    index: int | None
    at: datetime
    type: str
    by: str  # the process whose key signed
    actor: str | None  # the account that acted
    actor_name: str | None  # what it was called then
    facts: Mapping[str, Any]
    reason: str | None  # purpose, note: private, kept beside the log

    @property
    def has_proof(self) -> bool:
        """Whether a receipt can be made for this line."""
        return self.index is not None


def chain(session: Session, log: LogReader, subject_id: str) -> list[CustodyLine]:
    """Every entry about a recording (or a case), oldest first; those that wait come last.

    Raises VaultError when the log itself cannot be read.
    """
    found = [(row.index, log.leaf(row.index)) for row in custody(session, subject_id)]
    on_log = {leaf.id for _, leaf in found}
    waiting = [leaf for leaf in _waiting(session, subject_id) if leaf.id not in on_log]
    leaves = [*found, *((None, leaf) for leaf in waiting)]
    reasons = _reasons(session, [leaf for _, leaf in leaves])
    return [_line(session, index, leaf, reasons.get(leaf.id)) for index, leaf in leaves]


def as_extract(subject_id: str, lines: Iterable[CustodyLine]) -> CustodyExtract:
    """The chain in the shape that packages carry."""
    return CustodyExtract(recording=subject_id, lines=tuple(_statement(line) for line in lines))


def as_json(subject_id: str, lines: Iterable[CustodyLine]) -> bytes:
    """The chain as canonical JSON."""
    return as_extract(subject_id, lines).canonical()


def as_csv(lines: Iterable[CustodyLine]) -> bytes:
    """The chain for a spreadsheet: UTF-8 with a mark that Excel needs; nothing in it that a sheet runs."""
    sheet = io.StringIO(newline="")
    writer = csv.DictWriter(sheet, CSV_COLUMNS, lineterminator="\r\n")  # RFC 4180
    writer.writeheader()
    for line in lines:
        statement = _statement(line).model_dump(mode="json")
        statement["facts"] = "; ".join(f"{name}={value}" for name, value in sorted(line.facts.items()))
        writer.writerow({column: _harmless(statement[column]) for column in CSV_COLUMNS})
    return sheet.getvalue().encode("utf-8-sig")


def _line(session: Session, index: int | None, leaf: Leaf, reason: str | None) -> CustodyLine:
    at = parse_stamp(leaf.time)
    named = actor_name(session, leaf.actor, at) if leaf.actor else None
    return CustodyLine(
        entry_id=leaf.id,
        index=index,
        at=at,
        type=leaf.type,
        by=leaf.by,
        actor=leaf.actor,
        actor_name=named.name if named else None,
        facts=leaf.facts,
        reason=reason or None,
    )


def _reasons(session: Session, leaves: Sequence[Leaf]) -> dict[str, str]:
    """The private reason of each entry that has one, by entry id."""
    ids = {kind: [leaf.id for leaf in leaves if leaf.type == kind] for kind in ("view", "link", "export")}
    views = select(Viewing.entry_id, Viewing.purpose).where(Viewing.entry_id.in_(ids["view"]))
    links = select(CaseLink.entry_id, CaseLink.note).where(CaseLink.entry_id.in_(ids["link"]))
    exports = select(Disclosure.entry_id, Disclosure.purpose).where(Disclosure.entry_id.in_(ids["export"]))
    return {
        entry_id: reason for query in (views, links, exports) for entry_id, reason in session.execute(query)
    }


def _waiting(session: Session, subject_id: str) -> list[Leaf]:
    """Entries about the subject that are in the outbox and not on the log; only what waits is looked at."""
    notes = session.scalars(
        select(OutboxRow.note).where(OutboxRow.state == RowState.PENDING).order_by(OutboxRow.seq)
    )
    leaves = [_submitted(note) for note in notes]
    return [leaf for leaf in leaves if subject_id == leaf.id or subject_id in leaf.about]


def _submitted(note: str) -> Leaf:
    """The entry in a submission; its body's promise is not the entry's commitment yet and is left out."""
    value = decode(Note.parse(note.encode()).text.removesuffix("\n").encode())
    value.pop("body", None)
    return Leaf.parse(encode(value))


def _statement(line: CustodyLine) -> CustodyStatement:
    return CustodyStatement(
        entry=line.entry_id,
        index=line.index,
        at=stamp(line.at),
        type=line.type,
        by=line.by,
        actor=line.actor,
        actor_name=line.actor_name,
        reason=line.reason,
        facts=dict(line.facts),
    )


def _harmless(value: object) -> str:
    """A cell that a spreadsheet shows and never runs."""
    cell = "" if value is None else str(value)
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
