"""Recordings as evidence in cases.

A link is a claim made by somebody at a time: every `link` entry is kept as a row of `case_link` and nothing
is ever overwritten. `exhibit` is what the claims come to now: one row for each recording that belongs to a
case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, delete, exists, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.cases.case import CaseFile, Stage, get_case
from casework.evidence.recording import Recording, get_recording
from casework.field import CaseworkError, choice, text
from core.clock import parse_stamp
from core.db import Base, UtcDateTime
from vault.log.outbox import AppliedEntry, Submitter
from vault.log.submission import Draft

NOTE_LIMIT = 500
BULK_LIMIT = 500  # one transaction; a custodian selects a page or two


class LinkAction(StrEnum):
    """What a link entry does."""

    LINK = "link"
    UNLINK = "unlink"


class AlreadyLinkedError(CaseworkError):
    """The recording is an exhibit of the case already."""

    code = "casework.already_linked"
    sentence = "{name} belongs to case {number} already. Nothing was changed and nothing needs to be done."


class NotLinkedError(CaseworkError):
    """There is no link to take back."""

    code = "casework.not_linked"
    sentence = "{name} does not belong to case {number}. Nothing was changed; look at the case again."


class BulkLimitError(CaseworkError):
    """Too much, or nothing, was selected at once."""

    code = "casework.bulk_limit"
    sentence = (
        "{count} recordings were selected, and between 1 and {limit} can be linked in one go. "
        "Nothing was changed; select fewer and repeat."
    )


class CaseLink(Base):
    """One `link` entry, for ever; `position` is the order of the log."""

    __tablename__ = "case_link"
    __table_args__ = (
        Index("ix_case_link_recording", "recording_id", "position"),
        Index("ix_case_link_case", "case_id", "position"),
    )

    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    entry_id: Mapped[str] = mapped_column(unique=True)
    recording_id: Mapped[str]
    case_id: Mapped[str]
    action: Mapped[str]
    stage: Mapped[str]
    note: Mapped[str]
    actor: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class Exhibit(Base):
    """A recording that belongs to a case now, and the entry that made it so."""

    __tablename__ = "exhibit"
    __table_args__ = (Index("ix_exhibit_recording", "recording_id"),)

    case_id: Mapped[str] = mapped_column(primary_key=True)
    recording_id: Mapped[str] = mapped_column(primary_key=True)
    stage: Mapped[str]
    note: Mapped[str]
    entry_id: Mapped[str]
    linked_by: Mapped[str | None]
    linked_at: Mapped[datetime] = mapped_column(UtcDateTime)


@dataclass(frozen=True)
class CaseExhibit:
    """An exhibit with its recording, for a case's page."""

    exhibit: Exhibit
    recording: Recording


@dataclass(frozen=True)
class RecordingLink:
    """A case that a recording belongs to, for a recording's page."""

    exhibit: Exhibit
    case: CaseFile


def link(
    session: Session, submitter: Submitter, actor: str | None, recording_id: str, case_id: str, *,
    note: str = "", stage: str | None = None,
) -> str:  # fmt: skip
    """Make a recording an exhibit of a case, under the case's stage unless another is named.

    Returns the entry's id. Raises AlreadyLinkedError, UnknownSubjectError, FieldError.
    """
    case, recording = get_case(session, case_id), get_recording(session, recording_id)
    if session.get(Exhibit, (case_id, recording_id)) is not None:
        raise AlreadyLinkedError(name=recording.name, number=case.number)
    place = choice(stage or case.stage, "stage", Stage)
    return _submit(session, submitter, actor, LinkAction.LINK, recording_id, case_id, note, place)


def unlink(
    session: Session, submitter: Submitter, actor: str | None, recording_id: str, case_id: str, *, note: str
) -> str:
    """Take a recording out of a case, with the reason; the earlier link stays in the history.

    Returns the entry's id. Raises NotLinkedError, UnknownSubjectError, EmptyFieldError.
    """
    case, recording = get_case(session, case_id), get_recording(session, recording_id)
    standing = session.get(Exhibit, (case_id, recording_id))
    if standing is None:
        raise NotLinkedError(name=recording.name, number=case.number)
    reason = text(note, "note", NOTE_LIMIT, lines=True)
    place = Stage(standing.stage)
    return _submit(session, submitter, actor, LinkAction.UNLINK, recording_id, case_id, reason, place)


def link_many(
    session: Session, submitter: Submitter, actor: str | None, recording_ids: Sequence[str], case_id: str, *,
    note: str = "", stage: str | None = None,
) -> list[str]:  # fmt: skip
    """Link up to 500 recordings in one transaction, one entry an item; those linked already are left.

    Returns the ids of the entries made. Raises BulkLimitError, UnknownSubjectError, FieldError.
    """
    wanted = list(dict.fromkeys(recording_ids))
    if not 1 <= len(wanted) <= BULK_LIMIT:
        raise BulkLimitError(count=len(wanted), limit=BULK_LIMIT)
    standing = set(
        session.scalars(
            select(Exhibit.recording_id).where(Exhibit.case_id == case_id, Exhibit.recording_id.in_(wanted))
        )
    )
    return [
        link(session, submitter, actor, recording_id, case_id, note=note, stage=stage)
        for recording_id in wanted
        if recording_id not in standing
    ]


def exhibits(session: Session, case_id: str) -> list[CaseExhibit]:
    """The exhibits of a case, by stage as recorded and then by time."""
    rows = session.execute(
        select(Exhibit, Recording)
        .join(Recording, Recording.id == Exhibit.recording_id)
        .where(Exhibit.case_id == case_id)
        .order_by(Recording.happened_at, Recording.id)
    )
    order = {stage.value: place for place, stage in enumerate(Stage)}
    found = [CaseExhibit(exhibit, recording) for exhibit, recording in rows]
    return sorted(found, key=lambda each: order.get(each.exhibit.stage, len(order)))


def links_of(session: Session, recording_id: str) -> list[RecordingLink]:
    """The cases that a recording belongs to now."""
    rows = session.execute(
        select(Exhibit, CaseFile)
        .join(CaseFile, CaseFile.id == Exhibit.case_id)
        .where(Exhibit.recording_id == recording_id)
        .order_by(Exhibit.linked_at)
    )
    return [RecordingLink(exhibit, case) for exhibit, case in rows]


def link_history(session: Session, recording_id: str) -> list[CaseLink]:
    """Every claim ever made about a recording, in the order of the log."""
    return list(
        session.scalars(
            select(CaseLink).where(CaseLink.recording_id == recording_id).order_by(CaseLink.position)
        )
    )


def apply_link(session: Session, applied: AppliedEntry) -> None:
    """Keep a `link` entry and bring `exhibit` to what it says; an entry seen before changes nothing."""
    leaf = applied.leaf
    if session.scalar(select(CaseLink.position).where(CaseLink.entry_id == leaf.id)) is not None:
        return
    claim = {
        "entry_id": leaf.id,
        "recording_id": leaf.facts["recording"],
        "case_id": leaf.facts["case"],
        "stage": leaf.facts.get("stage", Stage.EVIDENCE.value),
        "note": (applied.fields or {}).get("note", ""),
    }
    at, is_link = parse_stamp(leaf.time), leaf.facts["action"] == LinkAction.LINK
    session.execute(insert(CaseLink).values(**claim, action=leaf.facts["action"], actor=leaf.actor, at=at))
    of = claim["recording_id"]
    session.execute(delete(Exhibit).where(Exhibit.case_id == claim["case_id"], Exhibit.recording_id == of))
    if is_link:
        session.execute(insert(Exhibit).values(**claim, linked_by=leaf.actor, linked_at=at))
    remaining = True if is_link else exists().where(Exhibit.recording_id == of)
    session.execute(update(Recording).where(Recording.id == of).values(is_linked=remaining))


def _submit(
    session: Session, submitter: Submitter, actor: str | None, action: LinkAction, recording_id: str,
    case_id: str, note: str, stage: Stage,
) -> str:  # fmt: skip
    facts = {"action": action.value, "case": case_id, "recording": recording_id, "stage": stage.value}
    draft = Draft(
        type="link",
        actor=actor,
        about=(recording_id, case_id),
        facts=facts,
        body={"note": text(note, "note", NOTE_LIMIT, required=False, lines=True)},
    )
    return submitter.submit(session, draft)
