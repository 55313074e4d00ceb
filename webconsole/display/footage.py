"""A recording as a line: what lists, cases and the inbox show of it, fetched for a whole page at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.cases.case import CaseFile
from casework.evidence.exhibit import Exhibit
from casework.evidence.recording import Recording
from casework.people.officer import officer_names
from ingest.media_facts import MediaFacts


@dataclass(frozen=True)
class CaseName:
    """A case that a recording belongs to."""

    id: str
    number: str
    title: str


@dataclass(frozen=True)
class Remark:
    """A short sentence about a file, with its tone."""

    tone: str
    words: str


@dataclass(frozen=True)
class FootageLine:
    """One recording on a list."""

    id: str
    name: str
    media: str
    size: int
    happened_at: datetime
    has_own_time: bool
    officer_number: str | None
    officer_name: str | None
    recorder_serial: str | None
    duration_ms: int | None
    poster_url: str | None
    is_pending: bool
    cases: tuple[CaseName, ...]
    remark: Remark | None
    note: str = ""


def footage_lines(
    session: Session,
    recordings: Sequence[Recording],
    *,
    posters: bool = True,
    notes: Mapping[str, str] | None = None,
) -> list[FootageLine]:
    """The lines of a page in three queries, however long it is; `notes` are shown under the names."""
    ids = [recording.id for recording in recordings]
    names = officer_names(session, [r.officer_number for r in recordings if r.officer_number])
    facts = {
        row.recording_id: row
        for row in session.scalars(select(MediaFacts).where(MediaFacts.recording_id.in_(ids)))
    }
    cases = _cases_of(session, ids)
    return [
        FootageLine(
            id=recording.id,
            name=recording.name,
            media=recording.media,
            size=recording.size,
            happened_at=recording.happened_at,
            has_own_time=recording.started_at is not None,
            officer_number=recording.officer_number,
            officer_name=names.get(recording.officer_number or ""),
            recorder_serial=recording.recorder_serial,
            duration_ms=_duration(facts.get(recording.id)),
            poster_url=_poster(recording, facts.get(recording.id)) if posters else None,
            is_pending=recording.entry_index is None,
            cases=tuple(cases[recording.id]),
            remark=remark_on(recording, facts.get(recording.id)),
            note=(notes or {}).get(recording.id, ""),
        )
        for recording in recordings
    ]


def remark_on(recording: Recording, facts: MediaFacts | None) -> Remark | None:
    """What a reader of the list should know before opening the recording."""
    if recording.is_disposed:
        return Remark("quiet", gettext("Disposed of; the log keeps its proof"))
    if recording.damaged:
        return Remark("person", gettext("The recorder could not read all of it"))
    if facts is not None and facts.play == "none":
        return Remark("quiet", gettext("Not playable"))
    if facts is None or facts.play == "pending":
        return Remark("quiet", gettext("Being prepared for viewing"))
    return None


def _duration(facts: MediaFacts | None) -> int | None:
    return None if facts is None else facts.duration_ms


def _poster(recording: Recording, facts: MediaFacts | None) -> str | None:
    if facts is None or not facts.poster or recording.is_disposed:
        return None
    return url_for("playback.poster", recording_id=recording.id)


def _cases_of(session: Session, ids: Sequence[str]) -> dict[str, list[CaseName]]:
    found: dict[str, list[CaseName]] = defaultdict(list)
    rows = session.execute(
        select(Exhibit.recording_id, CaseFile.id, CaseFile.number, CaseFile.title)
        .join(CaseFile, CaseFile.id == Exhibit.case_id)
        .where(Exhibit.recording_id.in_(ids))
        .order_by(Exhibit.linked_at)
    )
    for recording_id, case_id, number, title in rows:
        found[recording_id].append(CaseName(case_id, number, title))
    return found
