"""Docking sessions as casework sees them: through their `session` entries, never through the dock's own rows.

A session tells three things here: that a recorder is back (D35), which recorders there are that nobody registered,
and which firmware a recording was made under. A session by hand or from the inbox has no bay: it says something of
the recorder and does not bring it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.equipment.asset import RecorderAsset
from casework.equipment.event import DOCK, RecorderEvent, enter
from casework.evidence.recording import Recording
from core.canonical import Json
from core.clock import parse_stamp
from core.db import Base, UtcDateTime
from vault.log.outbox import AppliedEntry

TEXT_LIMIT = 64  # of a serial, a profile, a firmware version: recorders say these, and anything may dock


class DockedSession(Base):
    """One finished session; its id is that of its entry. Firmware is empty where the recorder did not say."""

    __tablename__ = "docked_session"
    __table_args__ = (
        Index("ix_docked_session_recorder", "recorder_id", "at"),
        Index("ix_docked_session_firmware", "firmware", "at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    recorder_id: Mapped[str]
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    bay: Mapped[int | None]
    profile: Mapped[str]
    transport: Mapped[str]
    firmware: Mapped[str]
    officer_number: Mapped[str | None]  # as the recorder or its names say
    files: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[str]
    battery_percent: Mapped[int | None]


@dataclass(frozen=True)
class Firmware:
    """A version that recordings here were made under."""

    profile: str
    version: str
    sessions: int
    recorders: int
    recordings: int


def apply_session(session: Session, applied: AppliedEntry) -> None:
    """Write what a `session` entry says of its recorder; a session without a serial says nothing of any."""
    fields = applied.fields or {}
    serial = _text(fields.get("recorder_serial"))
    if not serial:
        return
    recorder = _seen(session, serial, applied.leaf.id)
    at = parse_stamp(applied.leaf.time)
    docked = _docked(applied, fields, recorder.id, at)
    session.merge(docked)
    _learn(recorder, docked)
    session.flush()
    if docked.bay is not None:
        enter(session, RecorderEvent(
            entry_id=docked.id, recorder_id=recorder.id, at=at, event=DOCK, officer_number=docked.officer_number,
        ))  # fmt: skip


def sessions(session: Session, recorder_id: str, limit: int = 200) -> list[DockedSession]:
    """The recorder's sessions, the last first."""
    query = select(DockedSession).where(DockedSession.recorder_id == recorder_id)
    return list(session.scalars(query.order_by(DockedSession.at.desc()).limit(limit)))


def move_sessions(session: Session, old_id: str, recorder: RecorderAsset) -> None:
    """The sessions of a recorder that was only seen become those of the one that is registered."""
    session.execute(
        update(DockedSession).where(DockedSession.recorder_id == old_id).values(recorder_id=recorder.id)
    )
    for docked in reversed(sessions(session, recorder.id)):
        _learn(recorder, docked)


def firmwares(session: Session) -> list[Firmware]:
    """Every firmware that a session named, with how much came from it; the version with most recordings first."""
    made = func.count(Recording.id)
    rows = session.execute(
        select(
            DockedSession.profile, DockedSession.firmware, func.count(DockedSession.id.distinct()),
            func.count(DockedSession.recorder_id.distinct()), made,
        )
        .outerjoin(Recording, Recording.session_id == DockedSession.id)
        .where(DockedSession.firmware != "")
        .group_by(DockedSession.profile, DockedSession.firmware)
        .order_by(made.desc(), DockedSession.firmware)
    )  # fmt: skip
    return [Firmware(*row) for row in rows]


def recordings_from(
    session: Session, firmware: str, *, profile: str = "", after: str = "", limit: int = 100
) -> list[Recording]:
    """Recordings that came off a recorder while it ran this firmware, by id; `after` is the last one seen."""
    query = (
        select(Recording)
        .join(DockedSession, DockedSession.id == Recording.session_id)
        .where(DockedSession.firmware == firmware, Recording.id > after)
        .order_by(Recording.id)
        .limit(limit)
    )
    return list(session.scalars(query.where(DockedSession.profile == profile) if profile else query))


def firmware_of(session: Session, recording: Recording) -> str:
    """What the recorder ran when the recording came off it; empty when nobody knows."""
    docked = session.get(DockedSession, recording.session_id) if recording.session_id else None
    return docked.firmware if docked else ""


def _seen(session: Session, serial: str, entry_id: str) -> RecorderAsset:
    """The recorder of that serial, registered or not; one that nobody registered is called after the entry."""
    known = session.scalars(
        select(RecorderAsset)
        .where(RecorderAsset.serial == serial)
        .order_by(RecorderAsset.is_registered.desc(), RecorderAsset.id)
        .limit(1)
    ).first()
    if known is None:
        known = RecorderAsset(id=entry_id, serial=serial, model="", state="available", version=entry_id)
        session.add(known)
        session.flush()
    return known


def _docked(applied: AppliedEntry, fields: Json, recorder_id: str, at: datetime) -> DockedSession:
    facts = applied.leaf.facts
    return DockedSession(
        id=applied.leaf.id, recorder_id=recorder_id, at=at, bay=_whole(fields.get("bay")),
        profile=_text(fields.get("profile")), transport=_text(fields.get("transport")),
        firmware=_text(fields.get("firmware")), officer_number=_text(fields.get("officer_number")) or None,
        files=facts["files"], bytes=facts["bytes"], outcome=facts["outcome"],
        battery_percent=_whole(fields.get("battery_percent")),
    )  # fmt: skip


def _learn(recorder: RecorderAsset, docked: DockedSession) -> None:
    """What the latest session says of the recorder itself."""
    if recorder.docked_at is not None and docked.at < recorder.docked_at:
        return
    recorder.firmware = docked.firmware or recorder.firmware
    recorder.profile = docked.profile
    if docked.bay is not None:
        recorder.docked_at, recorder.bay = docked.at, docked.bay


def _text(value: Any) -> str:
    return str(value)[:TEXT_LIMIT] if value else ""


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
