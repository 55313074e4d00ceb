"""How a recording is kept: last proven, on hold or not, and from when it may be disposed of; each with its source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from flask_babel import gettext, ngettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.evidence.recording import Recording
from casework.keeping.projection import HeldRecording, LegalHold
from casework.keeping.standing import Kept, kept
from core.clock import utc_now
from vault.care.fixity import Result, last_proven
from vault.log.outbox import RefusedError
from webconsole.context import console
from webconsole.display import wording
from webconsole.display.facts import Fact
from webconsole.i18n import local_day, local_time


@dataclass(frozen=True)
class HoldNote:
    """A hold on this recording."""

    reason: str
    owner: str
    review_on: date


def keeping_facts(session: Session, recording: Recording) -> list[Fact]:
    """What the page says of it, nothing for a recording that is not on the log yet."""
    return [*_proven(session, recording), *_free_from(session, recording)]


def holds_on(session: Session, recording: Recording) -> list[HoldNote]:
    """The holds that keep it, the next to be reviewed first."""
    rows = session.scalars(
        select(LegalHold)
        .join(HeldRecording, HeldRecording.hold_id == LegalHold.entry_id)
        .where(HeldRecording.recording_id == recording.id)
        .order_by(LegalHold.review_on)
    )
    return [HoldNote(row.reason, row.owner, row.review_on) for row in rows]


def _proven(session: Session, recording: Recording) -> list[Fact]:
    proof = last_proven(session, [recording.id]).get(recording.id)
    if proof is None:
        return []
    sources = {
        Result.SEALED: gettext("When it was sealed"),
        Result.PROVEN: gettext("Read back and compared with the log"),
        Result.REPAIRED: gettext("After it was mended from the second copy"),
        Result.FAILED: gettext("Since then it was found changed or lost"),
    }
    return [Fact(gettext("Last proven"), local_time(proof.last_proven_at, "second"), sources[proof.result])]


def _free_from(session: Session, recording: Recording) -> list[Fact]:
    if recording.entry_index is None or recording.is_disposed:
        return []
    try:
        found = kept(session, console().reader, recording.id, utc_now())
    except RefusedError:  # the log has no such recording: nothing can be said, and nothing lets it go
        return []
    return [Fact(gettext("May be disposed of from"), *_words(found))]


def _words(found: Kept) -> tuple[str, str]:
    """The day, or that there is none, and why."""
    if found.schedule is None:
        return gettext("Never"), gettext("This station has no schedule yet: everything is kept.")
    line = found.schedule.deciding(found.standing.classes)
    named = wording.word(wording.retention_classes(), line.name) if line else ""
    version = gettext("Schedule, version %(version)s", version=found.schedule.version)
    source = " · ".join(part for part in (named, version) if part)
    if found.standing.holds:
        held = ngettext("%(num)s legal hold", "%(num)s legal holds", len(found.standing.holds))
        return gettext("Not while it is on hold"), f"{held} · {source}"
    if found.free_from is None:
        return gettext("Never"), source
    return local_day(found.free_from), source
