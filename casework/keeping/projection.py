"""Holds as rows, and what a disposal leaves in the database: no name.

A row of `hold` says who asked for it and why; `held_recording` which recordings it keeps. Both follow the log only:
what the log has not taken holds nothing. A disposal on the log takes every private fact out of the recording's row, so
that it is what a replay of the log would make of it.
"""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import Date, Index, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.evidence.recording import Recording
from casework.field import day, text
from core.clock import parse_stamp
from core.db import Base, UtcDateTime
from vault.log.outbox import AppliedEntry, Projections, Submitter
from vault.log.submission import Draft

REASON_LIMIT = 500
OWNER_LIMIT = 100


class LegalHold(Base):
    """One hold; `owner` is who asked for it, `review_on` the day on which somebody looks at it again."""

    __tablename__ = "legal_hold"
    __table_args__ = (Index("ix_legal_hold_review", "review_on"),)

    entry_id: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    owner: Mapped[str]
    review_on: Mapped[date] = mapped_column(Date)
    actor: Mapped[str | None]
    placed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class HeldRecording(Base):
    """A recording that a hold keeps now."""

    __tablename__ = "held_recording"
    __table_args__ = (Index("ix_held_recording_recording", "recording_id"),)

    hold_id: Mapped[str] = mapped_column(primary_key=True)
    recording_id: Mapped[str] = mapped_column(primary_key=True)


def register(projections: Projections) -> None:
    """Register what holds and disposals write."""
    projections.on("hold", apply_hold)
    projections.on("release", apply_release)
    projections.on("dispose", apply_dispose)
    projections.owns(LegalHold, HeldRecording)


def place_hold(
    session: Session, submitter: Submitter, actor: str, recordings: tuple[str, ...], *, reason: str, owner: str,
    review_on: str | date,
) -> str:  # fmt: skip
    """Ask the log to keep recordings whatever the schedule says; gives the entry's id. Raises FieldError."""
    body = {
        "reason": text(reason, "reason", REASON_LIMIT, lines=True),
        "owner": text(owner, "owner", OWNER_LIMIT),
    }
    facts = {"review_on": day(review_on, "review_on").isoformat()}
    return submitter.submit(session, Draft("hold", actor=actor, about=recordings, facts=facts, body=body))


def holds(session: Session) -> list[tuple[LegalHold, list[str]]]:
    """Every hold that keeps something, the next to be looked at first, with its recordings."""
    rows = session.execute(
        select(LegalHold, HeldRecording.recording_id)
        .join(HeldRecording, HeldRecording.hold_id == LegalHold.entry_id)
        .order_by(LegalHold.review_on, LegalHold.entry_id, HeldRecording.recording_id)
    )
    found: dict[str, tuple[LegalHold, list[str]]] = {}
    for hold, recording_id in rows:
        found.setdefault(hold.entry_id, (hold, []))[1].append(recording_id)
    return list(found.values())


def apply_hold(session: Session, applied: AppliedEntry) -> None:
    """Write what a `hold` entry says, once the log has it."""
    leaf, fields = applied.leaf, applied.fields or {}
    if applied.index is None:
        return
    session.merge(
        LegalHold(
            entry_id=leaf.id, reason=fields.get("reason", ""), owner=fields.get("owner", ""),
            review_on=date.fromisoformat(leaf.facts["review_on"]), actor=leaf.actor, placed_at=parse_stamp(leaf.time),
        )
    )  # fmt: skip
    for recording_id in leaf.about:
        session.merge(HeldRecording(hold_id=leaf.id, recording_id=recording_id))


def apply_release(session: Session, applied: AppliedEntry) -> None:
    """A released recording is held by that hold no more; the hold's row stays."""
    if applied.index is not None:
        released = HeldRecording.recording_id.in_(applied.leaf.about)
        session.execute(
            delete(HeldRecording).where(HeldRecording.hold_id == applied.leaf.facts["hold"], released)
        )


def apply_dispose(session: Session, applied: AppliedEntry) -> None:
    """Scrub what the private part of the recordings said; digests, sizes and times of the log stay."""
    if applied.index is not None:
        scrubbed = {
            "name": "", "path": "", "officer_number": None, "recorder_serial": None, "started_at": None,
            "started_text": None, "started_zone": None, "clock_source": None, "happened_at": Recording.sealed_at,
            "bay": None, "profile": None, "damaged": False, "is_disposed": True,
        }  # fmt: skip
        session.execute(update(Recording).where(Recording.id.in_(applied.leaf.about)).values(**scrubbed))
