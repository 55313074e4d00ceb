"""Viewings and refusals: who looked, why, and who tried without being allowed.

Invariant: nothing is shown before its `view` entry stands in the outbox; keyd gives a key only against an
entry that vaultd has put on the log. So that nobody can flood the log, the same person looking at the same
recordings again within a minute, and the range requests of a player that goes on, use the entry that is
there; refusals are counted per person, permission, subject and minute, and entered once the minute is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Index, Select, UniqueConstraint, delete, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.access.permission import Permission
from casework.field import CaseworkError, choice, text
from core.clock import parse_stamp, utc_now
from core.db import Base, UtcDateTime
from core.errors import Exit
from vault.formats.entry import is_ulid
from vault.log.outbox import AppliedEntry, OutboxRow, RowState, Submitter
from vault.log.submission import Draft

SAME_VIEWING = timedelta(minutes=1)  # DESIGN.md section 5: aggregated by actor, object and minute
GRANT_LIFE = timedelta(hours=6)  # half of what keyd accepts, so that a player never meets keyd's limit
PURPOSE_LIMIT = 500
VIEW_LIMIT = 256  # recordings in one entry: more than two pages of posters
SUBJECTS_A_MINUTE = 50  # refusals named one by one; no person clicks faster


class PurposeCode(StrEnum):
    """Why somebody looks."""

    OWN = "own"
    CASE = "case"
    HEARING = "hearing"
    SUPERVISION = "supervision"
    TECHNICAL = "technical"


class Rendition(StrEnum):
    """What is looked at: the still picture, the sealed file itself, or the copy made for browsers."""

    POSTER = "poster"
    ORIGINAL = "original"
    PROXY = "proxy"


class ViewLimitError(CaseworkError):
    """No recording, or too many, in one viewing."""

    code = "casework.view_limit"
    sentence = (
        "{count} recordings were asked for, and between 1 and {limit} can be shown at once. "
        "Nothing was shown and nothing was changed; ask for fewer."
    )
    exit_code = Exit.WRONG_USE


class Viewing(Base):
    """One `view` entry."""

    __tablename__ = "viewing"
    __table_args__ = (Index("ix_viewing_actor_at", "actor", "at"),)

    entry_id: Mapped[str] = mapped_column(primary_key=True)
    actor: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    rendition: Mapped[str]
    purpose_code: Mapped[str]
    purpose: Mapped[str]


class ViewedRecording(Base):
    """A recording that a viewing covers."""

    __tablename__ = "viewed_recording"
    __table_args__ = (Index("ix_viewed_recording_recording", "recording_id"),)

    entry_id: Mapped[str] = mapped_column(primary_key=True)
    recording_id: Mapped[str] = mapped_column(primary_key=True)


class DenialCount(Base):
    """Refusals of one minute that are not on the log yet; `subject_id` is empty where there was none."""

    __tablename__ = "denial_count"
    __table_args__ = (UniqueConstraint("actor", "permission", "subject_id", "minute"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    actor: Mapped[str]
    permission: Mapped[str]
    subject_id: Mapped[str]
    minute: Mapped[datetime] = mapped_column(UtcDateTime)
    count: Mapped[int]


@dataclass(frozen=True)
class _Wanted:
    actor: str
    recordings: frozenset[str]
    rendition: Rendition
    purpose_code: PurposeCode
    purpose: str


def record_view(
    session: Session, submitter: Submitter, actor: str, recordings: Sequence[str], rendition: str,
    purpose_code: str, purpose: str = "",
) -> str:  # fmt: skip
    """Enter a viewing; the id of its entry, which is the grant to show keyd once it is sequenced.

    The same viewing within a minute gives the entry that is there. Raises ViewLimitError, FieldError.
    """
    if not 1 <= len(set(recordings)) <= VIEW_LIMIT:
        raise ViewLimitError(count=len(set(recordings)), limit=VIEW_LIMIT)
    wanted = _Wanted(
        actor=actor,
        recordings=frozenset(recordings),
        rendition=choice(rendition, "rendition", Rendition),
        purpose_code=choice(purpose_code, "purpose_code", PurposeCode),
        purpose=text(purpose, "purpose", PURPOSE_LIMIT, required=False, lines=True),
    )
    return _standing(session, wanted) or _submit(session, submitter, wanted)


def grant_for(session: Session, actor: str, recording_id: str, rendition: str) -> str | None:
    """The entry under which this person may go on reading this rendition, not older than six hours."""
    return session.scalar(
        select(Viewing.entry_id)
        .join(ViewedRecording, ViewedRecording.entry_id == Viewing.entry_id)
        .where(
            Viewing.actor == actor,
            Viewing.at > utc_now() - GRANT_LIFE,
            Viewing.rendition == str(rendition),
            ViewedRecording.recording_id == recording_id,
            Viewing.entry_id.not_in(_refused()),
        )
        .order_by(Viewing.at.desc())
        .limit(1)
    )


def record_denied(
    session: Session, submitter: Submitter, actor: str | None, permission: Permission,
    subject_id: str | None = None,
) -> None:  # fmt: skip
    """Count a refusal; the counts of minutes that are over go to the log with it.

    Whoever tries many subjects in a minute fills one line of the log after the first fifty, not thousands.
    """
    minute = utc_now().replace(second=0, microsecond=0)
    subject = subject_id if subject_id and is_ulid(subject_id) else ""
    if subject and _subjects_counted(session, actor or "", minute) >= SUBJECTS_A_MINUTE:
        subject = ""
    key = {"actor": actor or "", "permission": permission.value, "subject_id": subject, "minute": minute}
    counted = session.execute(update(DenialCount).filter_by(**key).values(count=DenialCount.count + 1))
    if not counted.rowcount:  # type: ignore[attr-defined]  # a CursorResult, which has it
        session.add(DenialCount(**key, count=1))
        session.flush()
    flush_denied(session, submitter)


def flush_denied(session: Session, submitter: Submitter, now: datetime | None = None) -> list[str]:
    """Enter the refusals of every minute that is over, one `denied` entry each; the ids of the entries.

    Called on every refusal and by the console's housekeeping, so that the last does not wait for the next.
    """
    minute = (now or utc_now()).replace(second=0, microsecond=0)
    due = list(session.scalars(select(DenialCount).where(DenialCount.minute < minute)))
    session.execute(delete(DenialCount).where(DenialCount.id.in_([row.id for row in due])))
    return [
        submitter.submit(
            session,
            Draft(
                type="denied",
                actor=row.actor or None,
                about=(row.subject_id,) if row.subject_id else (),
                facts={"permission": row.permission, "count": row.count},
            ),
        )
        for row in due
    ]


def apply_view(session: Session, applied: AppliedEntry) -> None:
    """Write what a `view` entry says."""
    leaf = applied.leaf
    session.merge(
        Viewing(
            entry_id=leaf.id,
            actor=leaf.actor,
            at=parse_stamp(leaf.time),
            rendition=leaf.facts["rendition"],
            purpose_code=leaf.facts["purpose_code"],
            purpose=(applied.fields or {}).get("purpose", ""),
        )
    )
    for recording_id in leaf.about:
        session.merge(ViewedRecording(entry_id=leaf.id, recording_id=recording_id))


def _standing(session: Session, wanted: _Wanted) -> str | None:
    recent = session.scalars(
        select(Viewing.entry_id)
        .where(
            Viewing.actor == wanted.actor,
            Viewing.at > utc_now() - SAME_VIEWING,
            Viewing.rendition == wanted.rendition.value,
            Viewing.purpose_code == wanted.purpose_code.value,
            Viewing.purpose == wanted.purpose,
            Viewing.entry_id.not_in(_refused()),
        )
        .order_by(Viewing.at.desc())
    )
    for entry_id in recent:
        covered = session.scalars(
            select(ViewedRecording.recording_id).where(ViewedRecording.entry_id == entry_id)
        )
        if wanted.recordings <= set(covered):
            return entry_id
    return None


def _subjects_counted(session: Session, actor: str, minute: datetime) -> int:
    return session.scalar(
        select(func.count()).select_from(DenialCount)
        .where(DenialCount.actor == actor, DenialCount.minute == minute, DenialCount.subject_id != "")
    ) or 0  # fmt: skip


def _refused() -> Select[str]:
    return select(OutboxRow.id).where(OutboxRow.state == RowState.REFUSED)


def _submit(session: Session, submitter: Submitter, wanted: _Wanted) -> str:
    return submitter.submit(
        session,
        Draft(
            type="view",
            actor=wanted.actor,
            about=tuple(sorted(wanted.recordings)),
            facts={"purpose_code": wanted.purpose_code.value, "rendition": wanted.rendition.value},
            body={"purpose": wanted.purpose} if wanted.purpose else None,
        ),
    )
