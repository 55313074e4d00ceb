"""The facts of a recording, each with where it comes from: what was read off a name is not shown as known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext
from markupsafe import Markup, escape

from casework.evidence.recording import Recording
from ingest.media_facts import MediaFacts
from webconsole.display import wording
from webconsole.i18n import duration, human_size, local_time


@dataclass(frozen=True)
class Fact:
    """A name, a value, and its source where the value is a claim."""

    name: str
    value: str | Markup
    source: str = ""


def recording_facts(recording: Recording, facts: MediaFacts | None, provenance: Sequence[Fact]) -> list[Fact]:
    """What the page says at the left, the most asked for first; `provenance` is whose it is and how that is known."""
    shown = [*_time(recording), *provenance, *_picture(facts)]
    shown += [
        Fact(gettext("Size"), human_size(recording.size)),
        Fact(
            gettext("Sealed at"), local_time(recording.sealed_at, "second"), gettext("By the station's clock")
        ),
        Fact(gettext("Came in"), _way_in(recording)),
    ]
    if recording.path:
        shown.append(
            Fact(
                gettext("File on the recorder"), Markup('<span class="code">{}</span>').format(recording.path)
            )
        )
    shown.append(
        Fact(
            gettext("SHA-256 of the original"),
            Markup('<span class="code sub digest">{}</span>').format(recording.sha256),
        )
    )
    return shown


def _time(recording: Recording) -> list[Fact]:
    if recording.started_at is None:
        return [Fact(gettext("Recorded at"), gettext("Not known"), gettext("The recorder named no time."))]
    source = wording.word(wording.clock_sources(), recording.clock_source)
    return [Fact(gettext("Recorded at"), local_time(recording.started_at, "second"), source)]


def _picture(facts: MediaFacts | None) -> list[Fact]:
    if facts is None:
        return []
    shown = []
    if facts.duration_ms and facts.media != "image":
        shown.append(Fact(gettext("Length"), duration(facts.duration_ms)))
    if facts.width and facts.height:
        codec = f" · {facts.video_codec.upper()}" if facts.video_codec else ""
        shown.append(Fact(gettext("Picture"), f"{facts.width} \u00d7 {facts.height}{codec}"))
    if facts.audio_codec:
        shown.append(Fact(gettext("Sound"), facts.audio_codec.upper()))
    return shown


def _way_in(recording: Recording) -> Markup:
    way = wording.word(wording.origins(), recording.origin)
    bay = gettext("Bay %(number)s", number=recording.bay) if recording.bay is not None else ""
    return Markup("{}{}").format(way, Markup("<small>{}</small>").format(escape(bay)) if bay else "")
