"""The recordings of this station, as their `ingest` entries describe them, and the lists people look at.

`happened_at` orders every list: when the recorder says the recording began, or, where it does not say, when
the station sealed it. It never changes after the entry, so a page is cut by keyset (`happened_at`, `id`)
and page one thousand costs what page one costs. What the recorder wrote stays beside it word for word
(`started_text`).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, ColumnElement, Executable, Index, Select, and_, column, or_, select, table
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Mapped, Session, column_property, mapped_column

from casework.field import CaseworkError
from casework.subject import UnknownSubjectError
from core.clock import parse_stamp, stamp
from core.db import Base, UtcDateTime
from core.errors import Exit
from vault.log.index import EntryRow
from vault.log.outbox import AppliedEntry, OutboxRow, RowState

PAGE_SIZE = 100
Projection = Callable[[Session, AppliedEntry], None]


class CursorError(CaseworkError):
    """A page address that no list of ours made."""

    code = "casework.cursor"
    sentence = "This page address is damaged. Nothing was changed; open the list again from its first page."
    exit_code = Exit.WRONG_USE


class NoObjectError(CaseworkError):
    """An `ingest` entry that seals nothing."""

    code = "casework.no_object"
    sentence = (
        "Entry {id} says that a recording was sealed and names no object. Verify the vault before going on."
    )


class Recording(Base):
    """One original file, sealed; its id is the id of its `ingest` entry."""

    __tablename__ = "recording"
    __table_args__ = (
        Index("ix_recording_happened", "happened_at", "id"),
        Index("ix_recording_officer", "officer_number", "happened_at", "id"),
        Index("ix_recording_recorder", "recorder_serial", "happened_at", "id"),
        Index("ix_recording_media", "media", "happened_at", "id"),
        Index("ix_recording_linked", "is_linked", "happened_at", "id"),
        Index("ix_recording_session", "session_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    path: Mapped[str]
    media: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)  # bytes of the original
    sha256: Mapped[str]
    officer_number: Mapped[str | None]
    recorder_serial: Mapped[str | None]
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started_text: Mapped[str | None]  # as the recorder wrote it
    started_zone: Mapped[str | None]  # the zone that `started_text` was read in
    clock_source: Mapped[str | None]
    sealed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    happened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    bay: Mapped[int | None]
    profile: Mapped[str | None]
    session_id: Mapped[str | None]
    origin: Mapped[str]
    damaged: Mapped[bool] = mapped_column(default=False)  # the recorder could not read all of it
    is_disposed: Mapped[bool] = mapped_column(default=False)
    is_linked: Mapped[bool] = mapped_column(default=False)  # kept by casework.evidence.exhibit
    entry_index: Mapped[int | None] = column_property(  # None until vaultd has put the entry on the log
        select(EntryRow.index)
        .where(EntryRow.id == id)  # noqa: A003  # the column above
        .correlate_except(EntryRow)
        .scalar_subquery()
    )


@dataclass(frozen=True)
class RecordingFilter:
    """What a list is narrowed to; nothing set means everything. Times are aware, `until` is exclusive."""

    officer_number: str | None = None
    recorder_serial: str | None = None
    case_id: str | None = None
    is_linked: bool | None = None
    words: str = ""
    since: datetime | None = None
    until: datetime | None = None
    media: str | None = None
    session_id: str | None = None


@dataclass(frozen=True)
class RecordingPage:
    """Up to a hundred recordings, the newest first; `next_cursor` asks for the ones after them."""

    recordings: list[Recording]
    next_cursor: str | None


def list_recordings(
    session: Session, wanted: RecordingFilter, *, cursor: str | None = None, limit: int = PAGE_SIZE
) -> RecordingPage:
    """A page of recordings, the newest first. Raises CursorError for a cursor that no page gave out."""
    query = _narrowed(_resolved(session, wanted))
    if cursor:
        happened_at, identity = _read_cursor(cursor)
        query = query.where(
            Recording.happened_at <= happened_at,
            or_(Recording.happened_at < happened_at, Recording.id < identity),
        )
    query = query.order_by(Recording.happened_at.desc(), Recording.id.desc()).limit(limit + 1)
    found = list(session.scalars(query))
    page = found[:limit]
    return RecordingPage(page, _cursor(page[-1]) if len(found) > limit else None)


def get_recording(session: Session, recording_id: str) -> Recording:
    """One recording. Raises UnknownSubjectError."""
    recording = session.get(Recording, recording_id)
    if recording is None:
        raise UnknownSubjectError(what="recording", id=recording_id)
    return recording


def apply_ingest(zone: str) -> Projection:
    """The projection of `ingest` entries on a station whose recorders keep the time of `zone`."""

    def apply(session: Session, applied: AppliedEntry) -> None:
        session.execute(_upsert(session.get_bind().dialect.name), _row(applied, zone))

    return apply


@cache
def _upsert(dialect: str) -> Executable:
    """Made once, because making it costs more than running it: a replay runs it a million times."""
    insert = postgresql_insert if dialect == "postgresql" else sqlite_insert
    statement = insert(Recording.__table__)  # type: ignore[arg-type]  # a mapped class's table is a Table
    kept = {"id", "is_linked"}
    changed = {column.name: statement.excluded[column.name] for column in Recording.__table__.columns}
    return statement.on_conflict_do_update(
        index_elements=["id"], set_={name: value for name, value in changed.items() if name not in kept}
    )


def _row(applied: AppliedEntry, zone: str) -> dict[str, object]:
    """The columns that an `ingest` entry fills."""
    leaf, fields, sealed = applied.leaf, applied.fields or {}, applied.leaf.object
    if sealed is None:
        raise NoObjectError(id=leaf.id)
    sealed_at = parse_stamp(leaf.time)
    started_at, started_zone = _started(fields.get("started_at"), zone)
    return {
        "id": leaf.id,
        "name": fields.get("name", ""),
        "path": fields.get("path", ""),
        "media": leaf.facts["media"],
        "size": sealed.size,
        "sha256": sealed.sha256,
        "officer_number": fields.get("officer_number"),
        "recorder_serial": fields.get("recorder_serial"),
        "started_at": started_at,
        "started_text": fields.get("started_at"),
        "started_zone": started_zone,
        "clock_source": fields.get("clock_source"),
        "sealed_at": sealed_at,
        "happened_at": started_at or sealed_at,
        "bay": fields.get("bay"),
        "profile": fields.get("profile"),
        "session_id": leaf.facts.get("session"),
        "origin": leaf.facts["origin"],
        "damaged": bool(fields.get("damaged", False)),
        "is_disposed": applied.fields is None,
        "is_linked": False,  # of a new row; casework.evidence.exhibit keeps it from then on
    }


def _started(written: str | None, zone: str) -> tuple[datetime | None, str | None]:
    """The moment a recorder's clock showed; a time it wrote with an offset is taken at its word."""
    if not written:
        return None, None
    try:
        moment = datetime.fromisoformat(written)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC), str(moment.tzinfo)
        return moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC), zone
    except (ValueError, OverflowError):  # a clock that was never set; what it wrote stays in `started_text`
        return None, None


def _resolved(session: Session, wanted: RecordingFilter) -> RecordingFilter:
    """A whole officer number or recorder serial that was typed as words is looked up by its index instead."""
    words = wanted.words
    if not words:
        return wanted
    if wanted.officer_number is None and _is_known(session, Recording.officer_number == words):
        return replace(wanted, words="", officer_number=words)
    if wanted.recorder_serial is None and _is_known(session, Recording.recorder_serial == words):
        return replace(wanted, words="", recorder_serial=words)
    return wanted


def _is_known(session: Session, condition: ColumnElement[bool]) -> bool:
    return session.scalar(select(Recording.id).where(condition).limit(1)) is not None


def _narrowed(wanted: RecordingFilter) -> Select[Recording]:
    """The query without order and place; what the log would not take is not a recording."""
    not_taken = select(OutboxRow.id).where(OutboxRow.state.in_((RowState.REFUSED, RowState.MISMATCHED)))
    query = select(Recording).where(*_conditions(wanted), Recording.id.not_in(not_taken))
    if wanted.case_id is not None:
        exhibit = table("exhibit", column("recording_id"), column("case_id"))
        query = query.join(
            exhibit, and_(exhibit.c.recording_id == Recording.id, exhibit.c.case_id == wanted.case_id)
        )
    return query


def _conditions(wanted: RecordingFilter) -> list[ColumnElement[bool]]:
    exact = {
        Recording.officer_number: wanted.officer_number,
        Recording.recorder_serial: wanted.recorder_serial,
        Recording.media: wanted.media,
        Recording.session_id: wanted.session_id,
        Recording.is_linked: wanted.is_linked,
    }
    conditions: list[ColumnElement[bool]] = [
        attribute == value for attribute, value in exact.items() if value is not None
    ]
    if wanted.since is not None:
        conditions.append(Recording.happened_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(Recording.happened_at < wanted.until)
    if wanted.words:
        looked_in = (Recording.name, Recording.officer_number, Recording.recorder_serial)
        conditions.append(or_(*(part.contains(wanted.words, autoescape=True) for part in looked_in)))
    return conditions


def _cursor(last: Recording) -> str:
    place = json.dumps([stamp(last.happened_at), last.id]).encode()
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        happened_at, identity = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return parse_stamp(happened_at), str(identity)
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as cause:
        raise CursorError from cause
