"""Recordings and cases as rows, for tests of pages: what the projection of sealed files would have written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from casework.cases.case import CaseFacts, open_case
from casework.evidence.recording import Recording
from core.clock import new_id
from core.db import Database
from ingest.media_facts import MediaFacts

if TYPE_CHECKING:
    from conftest import House

STARTED_AT = datetime(2026, 11, 23, 6, 5, 7, tzinfo=UTC)
FACTS = {
    "play",
    "mime",
    "duration_ms",
    "width",
    "height",
    "video_codec",
    "audio_codec",
    "poster",
    "proxy",
    "error",
}


def add_recording(db: Database, **given: Any) -> Recording:
    """A recording; `media_facts=False` leaves out what the worker would know of it."""
    identity = new_id()
    has_facts = given.pop("media_facts", True)
    facts = {name: given.pop(name) for name in FACTS & set(given)}
    started_at = given.pop("started_at", STARTED_AT)
    row: dict[str, Any] = {
        "id": identity, "name": f"DSJ_{identity[-6:]}.mp4", "path": "DCIM/DSJ.mp4", "media": "video",
        "size": 312_400_000, "sha256": "ab" * 32, "officer_number": None, "recorder_serial": None,
        "started_at": started_at, "started_text": None, "started_zone": None, "clock_source": "name",
        "sealed_at": STARTED_AT,
        "happened_at": started_at or STARTED_AT, "bay": 3, "profile": "enforcement-storage", "session_id": None,
        "origin": "dock",
        **given,
    }  # fmt: skip
    with db.writing() as session:
        session.add(recording := Recording(**row))
        if has_facts:
            session.add(MediaFacts(recording_id=identity, media=row["media"], **{"play": "direct", **facts}))
    return recording


def open_a_case(house: House, number: str) -> str:
    """A case, through its entry."""
    with house.db.writing() as session:
        return open_case(
            session,
            house.context.submitter,
            None,
            CaseFacts(number, "On-site check", "penalty", "2026-11-20"),
        )
