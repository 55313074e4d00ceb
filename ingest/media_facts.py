"""What is known of each recording as media: one row, written by the worker, read by every list and player.

Workspace, not evidence: the row says how to show a recording. A reindex leaves it alone, and when it is lost
the worker writes it again from the derivatives or the original.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.clock import utc_now
from core.db import Base, UtcDateTime
from media.play import Play, decide, mime
from media.probe import MediaFacts as Said
from media.probe import SpriteLayout


class MediaFacts(Base):
    """`play`: pending, direct, proxy or none. `proxy`: whether the proxy is there. `error`: why it is none."""

    __tablename__ = "media_facts"

    recording_id: Mapped[str] = mapped_column(primary_key=True)
    media: Mapped[str]
    play: Mapped[str] = mapped_column(default=Play.PENDING)
    mime: Mapped[str] = mapped_column(default="application/octet-stream")
    duration_ms: Mapped[int | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    frames_per_second: Mapped[float | None]
    video_codec: Mapped[str | None]
    audio_codec: Mapped[str | None]
    poster: Mapped[bool] = mapped_column(default=False)
    sprite: Mapped[bool] = mapped_column(default=False)
    waveform: Mapped[bool] = mapped_column(default=False)
    proxy: Mapped[bool] = mapped_column(default=False)
    sprite_layout: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str] = mapped_column(default="")
    indexed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


def take(session: Session, recording_id: str, said: Said, renditions: set[str]) -> Play:
    """Write what the index says, and which renditions there are; gives how the recording is shown."""
    row = _row(session, recording_id)
    row.media, row.play, row.mime = said.kind, decide(said), mime(said)
    row.duration_ms = said.duration_ms or None
    row.audio_codec = said.audio.codec if said.audio else None
    if said.video is not None:
        row.width, row.height, row.video_codec = said.video.width, said.video.height, said.video.codec
        row.frames_per_second = said.video.frames_per_second or None
    row.poster, row.sprite, row.waveform, row.proxy = (
        name in renditions for name in ("poster", "sprite", "waveform", "proxy")
    )
    row.sprite_layout = _layout(said.sprite, said.duration_ms) if row.sprite and said.sprite else None
    row.error, row.indexed_at = "", utc_now()
    return Play(row.play)


def refuse(session: Session, recording_id: str, code: str) -> None:
    """The file or its tool is the reason that it cannot be shown; `code` names which."""
    row = _row(session, recording_id)
    row.play, row.error, row.indexed_at = Play.NONE, code, utc_now()


def add_pending(session: Session, recording_id: str, media: str) -> bool:
    """A row that waits for the worker; False when there is one already."""
    if session.get(MediaFacts, recording_id) is not None:
        return False
    session.add(MediaFacts(recording_id=recording_id, media=media, play=Play.PENDING))
    return True


def _row(session: Session, recording_id: str) -> MediaFacts:
    add_pending(session, recording_id, "other")
    return session.get_one(MediaFacts, recording_id)


def _layout(sprite: SpriteLayout, duration_ms: int) -> dict[str, Any]:
    """The tiles' layout with their mean distance, for players that only divide."""
    count = len(sprite.times_ms)
    return {**sprite.model_dump(), "count": count, "every_ms": max(1, duration_ms // count)}
