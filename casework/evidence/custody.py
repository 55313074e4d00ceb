"""The chain of custody of a recording: who, what, when, why, with what result, and where the proof is.

Every line is one entry of the log, read from the log itself; the tables only add what the log keeps private
(names as they were at the time, reasons). A line without an index waits in the outbox: it is shown, and
nothing proves it yet. The exports say the same as the screen.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from casework.evidence.exhibit import CaseLink
from casework.evidence.quarantine import QuarantineDecision
from casework.evidence.viewing import Rendition, Viewing
from casework.package.content import CustodyExtract, CustodyStatement
from casework.package.disclosure import Disclosure
from casework.people.actor import ActorName
from core.canonical import decode, encode
from core.clock import parse_stamp, stamp
from vault.formats.entry import Leaf
from vault.formats.note import Note
from vault.log.index import EntryAbout, EntryRow, custody
from vault.log.ledger import LogReader
from vault.log.outbox import OutboxRow, RowState

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run these (OWASP, CSV injection)
PAGE_SIZE = 200  # lines of one page
_Placed = tuple[int | None, Leaf]
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


@dataclass(frozen=True)
class ChainPage:
    """A part of a chain, oldest first; `next_after` asks for the lines behind it."""

    lines: list[CustodyLine]
    entries: int  # all there are, shown or not
    in_lists: int  # of them, how many only say that a still was seen in a list
    next_after: int | None


def chain(session: Session, log: LogReader, subject_id: str) -> list[CustodyLine]:
    """Every entry about a recording (or a case), oldest first; those that wait come last.

    Raises VaultError when the log itself cannot be read.
    """
    found = [(row.index, log.leaf(row.index)) for row in custody(session, subject_id)]
    on_log = {leaf.id for _, leaf in found}
    waiting = [leaf for leaf in _waiting(session, subject_id) if leaf.id not in on_log]
    return _lines(session, [*found, *((None, leaf) for leaf in waiting)])


def chain_page(
    session: Session, log: LogReader, subject_id: str, *, types: Collection[str] = (), after: int = -1,
    with_lists: bool = False,
) -> ChainPage:  # fmt: skip
    """Up to two hundred lines behind the entry `after`, of all types or of those named.

    That a still was seen in a list is left out and counted, unless asked for: a recording on the first page of
    the list gathers such lines by the thousand. What waits stands on the last page. Raises VaultError.
    """
    about = _about(subject_id, types)
    shown = about if with_lists else about.where(EntryRow.id.not_in(_seen_in_lists()))
    rows = session.scalars(shown.where(EntryRow.index > after).order_by(EntryRow.index).limit(PAGE_SIZE + 1))
    indexes = [row.index for row in rows]
    found: list[_Placed] = [(index, log.leaf(index)) for index in indexes[:PAGE_SIZE]]
    waiting = [leaf for leaf in _unplaced(session, subject_id) if not types or leaf.type in types]
    in_lists = [leaf for leaf in waiting if _is_seen_in_list(leaf)]
    if len(indexes) <= PAGE_SIZE:
        found += [(None, leaf) for leaf in waiting if with_lists or leaf not in in_lists]
    return ChainPage(
        lines=_lines(session, found),
        entries=_count(session, about) + len(waiting),
        in_lists=_count(session, about.where(EntryRow.id.in_(_seen_in_lists()))) + len(in_lists),
        next_after=indexes[PAGE_SIZE - 1] if len(indexes) > PAGE_SIZE else None,
    )


def chain_line(session: Session, log: LogReader, subject_id: str, entry_id: str) -> CustodyLine | None:
    """The line of one entry, None when it is not about the subject. Raises VaultError."""
    row = session.scalar(_about(subject_id).where(EntryRow.id == entry_id))
    if row is not None:
        return _lines(session, [(row.index, log.leaf(row.index))])[0]
    waiting = [(None, leaf) for leaf in _waiting(session, subject_id) if leaf.id == entry_id]
    return next(iter(_lines(session, waiting)), None)


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


def _unplaced(session: Session, subject_id: str) -> list[Leaf]:
    """What waits and has not been placed since the chain was read."""
    waiting = _waiting(session, subject_id)
    placed = set(session.scalars(select(EntryRow.id).where(EntryRow.id.in_([leaf.id for leaf in waiting]))))
    return [leaf for leaf in waiting if leaf.id not in placed]


def _about(subject_id: str, types: Collection[str] = ()) -> Select[EntryRow]:
    joined = select(EntryRow).join(EntryAbout, EntryAbout.index == EntryRow.index)
    about = joined.where(EntryAbout.subject_id == subject_id)
    return about.where(EntryRow.type.in_(types)) if types else about


def _seen_in_lists() -> Select[str]:
    return select(Viewing.entry_id).where(Viewing.rendition == Rendition.POSTER.value)


def _is_seen_in_list(leaf: Leaf) -> bool:
    return leaf.type == "view" and leaf.facts.get("rendition") == Rendition.POSTER


def _count(session: Session, query: Select[EntryRow]) -> int:
    return session.scalar(select(func.count()).select_from(query.subquery())) or 0


def _lines(session: Session, placed: Sequence[_Placed]) -> list[CustodyLine]:
    """The lines in words of the tables: names in one query and reasons in four, however many there are."""
    leaves = [leaf for _, leaf in placed]
    reasons, names = _reasons(session, leaves), _names(session, leaves)
    return [
        CustodyLine(
            entry_id=leaf.id,
            index=index,
            at=parse_stamp(leaf.time),
            type=leaf.type,
            by=leaf.by,
            actor=leaf.actor,
            actor_name=names.get(leaf.id),
            facts=leaf.facts,
            reason=reasons.get(leaf.id) or None,
        )
        for index, leaf in placed
    ]


def _names(session: Session, leaves: Sequence[Leaf]) -> dict[str, str]:
    """What the actor of each entry was called at its time, by entry id."""
    query = select(ActorName).where(ActorName.account_id.in_({leaf.actor for leaf in leaves if leaf.actor}))
    known: dict[str, list[ActorName]] = {}
    for row in session.scalars(query.order_by(ActorName.at, ActorName.entry_id)):
        known.setdefault(row.account_id, []).append(row)
    names = {}
    for leaf in leaves:
        at = parse_stamp(leaf.time)
        then = [row.name for row in known.get(leaf.actor or "", ()) if row.at <= at]
        if then:
            names[leaf.id] = then[-1]
    return names


def _reasons(session: Session, leaves: Sequence[Leaf]) -> dict[str, str]:
    """The private reason of each entry that has one, by entry id."""
    ids = {
        kind: [leaf.id for leaf in leaves if leaf.type == kind]
        for kind in ("view", "link", "export", "quarantine")
    }
    views = select(Viewing.entry_id, Viewing.purpose).where(Viewing.entry_id.in_(ids["view"]))
    links = select(CaseLink.entry_id, CaseLink.note).where(CaseLink.entry_id.in_(ids["link"]))
    exports = select(Disclosure.entry_id, Disclosure.purpose).where(Disclosure.entry_id.in_(ids["export"]))
    decided = select(QuarantineDecision.id, QuarantineDecision.note).where(
        QuarantineDecision.id.in_(ids["quarantine"])
    )
    every = (views, links, exports, decided)
    return {entry_id: reason for query in every for entry_id, reason in session.execute(query)}


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
