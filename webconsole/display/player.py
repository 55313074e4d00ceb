"""What stands in the middle of a recording's page: the player, the reason why there is none, or a question.

Checked in this order, so that the first thing a person reads is the one to act on: disposed of, not on the
log yet, not playable, still being prepared, reading key locked, purpose not given, and only then the player.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import url_for
from flask_babel import gettext

from casework.evidence.recording import Recording
from ingest.media_facts import MediaFacts
from webconsole.display import wording
from webconsole.display.relayed import by_code


@dataclass(frozen=True)
class Remark:
    """What must be known about the picture that is shown."""

    title: str
    text: str


@dataclass(frozen=True)
class Player:
    """The middle of the page; `kind` is video, audio, image, purpose or none."""

    kind: str
    title: str = ""
    sentence: str = ""
    is_safe: bool = False
    retries: bool = False
    source: str = ""
    poster_url: str | None = None
    sprite_url: str | None = None
    waveform_url: str | None = None
    layout: Mapping[str, Any] | None = None
    length_ms: int | None = None
    fps: float | None = None
    remark: Remark | None = None
    purposes: list[tuple[str, str, str]] = field(default_factory=list)
    purpose_code: str = ""
    purpose: str = ""
    mistakes: Mapping[str, str] = field(default_factory=dict)


def obstacle(recording: Recording, facts: MediaFacts | None, locked: str) -> Player | None:
    """Why nothing can be played now; None when something can; `locked` is keyd's sentence."""
    if recording.is_disposed:
        return _none(
            gettext("Disposed of"),
            gettext("Its content was destroyed lawfully. The log keeps the proof of what it was."),
        )
    if recording.entry_index is None:
        return _none(
            gettext("Sealed, waiting for the log"),
            gettext("It is written down and takes its place on the signed log in a moment."),
            retries=True,
        )
    if facts is None or facts.play == "pending" or (facts.play == "proxy" and not facts.proxy):
        return _none(
            gettext("Being prepared for viewing"),
            gettext("The original is sealed. The station prepares what a browser needs; this takes seconds."),
            is_safe=True,
            retries=True,
        )
    if facts.play == "none":
        return _none(gettext("This file cannot be played"), _why_not(facts), is_safe=True)
    if locked:
        return _none(gettext("The reading key is locked"), locked, retries=True)
    return None


def question(typed: Mapping[str, str] | None = None, mistakes: Mapping[str, str] | None = None) -> Player:
    """The form that asks why, with what was typed before."""
    kept = typed or {}
    return Player(
        "purpose",
        purposes=wording.purposes(),
        purpose_code=kept.get("purpose_code", ""),
        purpose=kept.get("purpose", ""),
        mistakes=mistakes or {},
    )


def player(recording: Recording, facts: MediaFacts) -> Player:
    """The player for a recording that may be shown; the media addresses check everything again."""
    is_copy = facts.play == "proxy"
    layout = facts.sprite_layout if facts.sprite else None
    return Player(
        facts.media,
        source=_media("proxy" if is_copy else "original", recording.id),
        poster_url=_media("poster", recording.id) if facts.poster else None,
        sprite_url=_media("sprite", recording.id) if layout else None,
        waveform_url=_media("waveform", recording.id) if facts.waveform else None,
        layout=layout,
        length_ms=facts.duration_ms,
        fps=facts.frames_per_second,
        remark=_copy_remark(facts) if is_copy else None,
    )


def _media(rendition: str, recording_id: str) -> str:
    return url_for(f"playback.{rendition}", recording_id=recording_id)


def _copy_remark(facts: MediaFacts) -> Remark:
    codec = (facts.video_codec or facts.audio_codec or "").upper()
    return Remark(
        gettext("You see a copy made for browsers"),
        gettext(
            "The original is %(codec)s, which browsers cannot play. This station made the copy from it; "
            "the original stays sealed and unchanged, and it alone is evidence.",
            codec=codec,
        ),
    )


def _why_not(facts: MediaFacts) -> str:
    if facts.error:
        to_hand_out = gettext("It is proven like any other file. To hand it out, make a package.")
        sentence: str = gettext("%(what)s %(next)s", what=by_code(facts.error), next=to_hand_out)
        return sentence
    return str(
        gettext(
            "It is not a video, sound or photograph that this station knows. It is sealed and proven like "
            "any other file. To hand it out, make a package."
        )
    )


def _none(title: str, sentence: str, *, is_safe: bool = False, retries: bool = False) -> Player:
    return Player("none", title=title, sentence=sentence, is_safe=is_safe, retries=retries)
