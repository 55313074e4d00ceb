"""What an officer says of a docking session at the dock: which case it is for, and why there is a gap.

A claim is a statement by a person, with who and when, on the signed log; it proves that it was said and nothing
more. It links no recording and approves no gap: a custodian does the one (casework.evidence.exhibit), and a gap where
D32 demands none still needs its approval. A later claim about the same session stands beside the earlier one.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from sqlalchemy import Index, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.cases.case import CaseFile
from casework.field import choice, text
from casework.people.at_dock import Means
from casework.people.officer import Officer
from core.clock import parse_stamp
from core.db import Base, UtcDateTime
from vault.log.outbox import AppliedEntry, Submitter
from vault.log.shape import Facts, Id
from vault.log.submission import Draft

CASE_LIMIT = 64  # as casework.cases.case keeps a number
NOTE_LIMIT = 200


class ClaimKind(StrEnum):
    """What is claimed."""

    CASE = "case"
    GAP = "gap"
    HOLDER = "holder"  # "I held it": footage whose holder nothing else says
    DUTY = "duty"  # "it holds duty footage": of a recorder that the register does not answer for


class GapReason(StrEnum):
    """Why the record has a gap (D32: written, and approved by somebody else later)."""

    BATTERY = "battery"
    FAULT = "fault"
    PRIVACY = "privacy"  # a toilet, a changing room, a doctor
    NO_DUTY = "no_duty"  # a break, the way home
    ORDERED = "ordered"
    OTHER = "other"


class ClaimFacts(Facts):
    """An officer said something of a docking session."""

    kind: Literal["case", "gap", "holder", "duty"]
    session: Id


class DockClaim(Base):
    """One `claim` entry, for ever; `case_id` where the number was that of a case then."""

    __tablename__ = "dock_claim"
    __table_args__ = (Index("ix_dock_claim_session", "session_id", "at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str]
    kind: Mapped[str]
    officer_id: Mapped[str | None]
    officer_number: Mapped[str | None] = mapped_column(index=True)
    means: Mapped[str]
    said: Mapped[str]  # the case's number, or a GapReason
    note: Mapped[str]
    case_id: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(UtcDateTime)


def claim_case(
    session: Session, submitter: Submitter, officer: Officer, session_id: str, number: str, means: Means
) -> str:
    """The officer says which case a docking session is for, open already or not; the entry's id. Raises FieldError."""
    said = text(number, "number", CASE_LIMIT)
    return _submit(session, submitter, officer, session_id, ClaimKind.CASE, means, said, "")


def excuse_gap(
    session: Session, submitter: Submitter, officer: Officer, session_id: str, reason: str, note: str, means: Means
) -> str:  # fmt: skip
    """The officer says why the record of a docking session has a gap; the entry's id. Raises FieldError."""
    said = choice(reason, "reason", GapReason).value
    kept = text(note, "note", NOTE_LIMIT, required=said == GapReason.OTHER)
    return _submit(session, submitter, officer, session_id, ClaimKind.GAP, means, said, kept)


def claim_holder(
    session: Session, submitter: Submitter, officer: Officer, session_id: str, means: Means
) -> str:  # fmt: skip
    """The officer says that they held the recorder of a docking session; the entry's id."""
    return _submit(session, submitter, officer, session_id, ClaimKind.HOLDER, means, officer.number, "")


def claim_duty(
    session: Session, submitter: Submitter, officer: Officer, question: str, means: Means
) -> str:  # fmt: skip
    """The officer says that the recorder a bay asks about holds duty footage; the entry's id.

    `question` becomes the id of the first docking session that is begun with this answer.
    """
    return _submit(session, submitter, officer, question, ClaimKind.DUTY, means, "duty_footage", "")


def claims(session: Session, session_ids: list[str]) -> list[DockClaim]:
    """What was claimed of these docking sessions, the last first."""
    query = select(DockClaim).where(DockClaim.session_id.in_(session_ids))
    return list(session.scalars(query.order_by(DockClaim.at.desc(), DockClaim.id.desc())))


def apply_claim(session: Session, applied: AppliedEntry) -> None:
    """Write what a `claim` entry says; one whose body is gone keeps its place without its words."""
    leaf, fields = applied.leaf, applied.fields or {}
    session.merge(DockClaim(
        id=leaf.id, session_id=leaf.facts["session"], kind=leaf.facts["kind"], officer_id=fields.get("officer"),
        officer_number=fields.get("officer_number"), means=fields.get("means", ""), said=fields.get("said", ""),
        note=fields.get("note", ""), case_id=fields.get("case"), at=parse_stamp(leaf.time),
    ))  # fmt: skip


def _submit(
    session: Session, submitter: Submitter, officer: Officer, session_id: str, kind: ClaimKind, means: Means,
    said: str, note: str,
) -> str:  # fmt: skip
    case = (
        session.scalar(select(CaseFile.id).where(CaseFile.number == said)) if kind is ClaimKind.CASE else None
    )
    body = {
        "officer": officer.id, "officer_number": officer.number, "means": means.value, "said": said, "note": note,
        "case": case,
    }  # fmt: skip
    facts = {"kind": kind.value, "session": session_id}
    return submitter.submit(session, Draft(type="claim", about=(session_id,), facts=facts, body=body))
