"""A bay in the reader's words: state, answer, who, progress, and what to do.

One look answers "may I take it?", and there are three answers: safe to remove, do not remove, needs help. Each
has its own colour, its own outline and its own words, so that losing any two of them leaves the third. Exactly
one state answers "safe", `sealed`; a bay of which nothing is known answers "needs help".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from functools import cache
from zoneinfo import ZoneInfo

from flask_babel import gettext, ngettext

from core.clock import utc_now
from ingest.status import BayStatus, Need, TileState
from webconsole.display.wording import silence
from webconsole.i18n import current_locale, sentence_of, time_left

BREAKS = (
    "\uff0c",
    "\uff1a",
    ", ",
    ": ",
)  # comma and colon of both scripts: where a tile's sentence goes on in its second line
STEPS = ("\uff1b", "; ")  # the house's sentences say what to do after their last semicolon
LOW_BATTERY_PERCENT = 20  # what recorders themselves begin to warn at
COARSE_AFTER_S = 600  # a time of day is told to five minutes when it is further away than this


class Answer(StrEnum):
    """May I take it?"""

    SAFE = "safe"
    STAY = "stay"
    HELP = "help"
    NONE = "none"  # there is nothing to take


TONES = {
    TileState.EMPTY: ("quiet", "circle-dashed"),
    TileState.RECOGNISING: ("working", "scan-search"),
    TileState.HANDED_IN: ("working", "check"),
    TileState.COPYING: ("working", "download"),
    TileState.VERIFYING: ("working", "seal-half"),
    TileState.SEALED: ("safe", "seal-closed"),
    TileState.CLEARING: ("working", "eraser"),
    TileState.PARTIAL: ("person", "triangle-alert"),
    TileState.INTERRUPTED: ("person", "unplug"),
    TileState.UNKNOWN: ("person", "circle-help"),
    TileState.FAULT: ("fault", "octagon-alert"),
}
ANSWERS = {
    "quiet": (Answer.NONE, "answer-none"),
    "working": (Answer.STAY, "answer-stay"),
    "safe": (Answer.SAFE, "answer-safe"),
    "person": (Answer.HELP, "answer-help"),
    "fault": (Answer.HELP, "answer-fault"),
}
COUNTING = frozenset({TileState.HANDED_IN, TileState.COPYING, TileState.VERIFYING, TileState.CLEARING})
ASKED_OF_A_PERSON = {  # by a state that asks for somebody, where the dock did not say whom
    TileState.PARTIAL: Need.CUSTODIAN,
    TileState.INTERRUPTED: Need.PUT_BACK,
    TileState.FAULT: Need.CUSTODIAN,
}


@dataclass(frozen=True)
class Tile:
    """One bay, ready to be written into the page."""

    number: str
    state: str
    tone: str
    mark: str
    answer: str
    answer_mark: str
    answer_words: str
    lead: str
    headline: str
    advice: str
    name: str
    officer: str
    step: str
    why: str
    files: str
    flagged: str
    left: str
    battery: str
    battery_low: bool
    permille: int
    shows_bar: bool
    label: str


def tile(bay: BayStatus, zone: str = "UTC") -> Tile:
    """One bay in the reader's words; `zone` is the station's, for a time of day."""
    tone, mark = TONES[bay.state]
    answer, answer_mark = ANSWERS[tone]
    words = state_words(bay.state)
    lead, advice = split(words)
    number = str(bay.number or "+")
    step, why = what_to_do(bay)
    return Tile(
        number=number,
        state=bay.state.value,
        tone=tone,
        mark=mark,
        answer=answer.value,
        answer_mark=answer_mark,
        answer_words=answer_words(answer),
        lead=lead,
        headline=_bare(lead),
        advice=advice,
        name=bay.officer_name or bay.officer_number or bay.recorder_serial or "",
        officer=(bay.officer_number or "") if bay.officer_name else "",
        step=step,
        why=why,
        files=_files(bay),
        flagged=_flagged(bay),
        left=_left(bay, zone),
        battery=battery_words(bay.battery_percent),
        battery_low=bay.battery_percent is not None and bay.battery_percent < LOW_BATTERY_PERCENT,
        permille=permille(bay),
        shows_bar=bay.state in COUNTING,
        label=_label(number, words, bay, step),
    )


def silent_tile(number: int) -> Tile:
    """A bay of which nothing is known any more: whatever was said of it last, nobody may rely on it."""
    unknown = tile(BayStatus(number=number, state=TileState.UNKNOWN))
    lead, advice = split(silence())
    step = gettext("The dock does not answer. Leave the recorder where it is.")
    return replace(
        unknown,
        lead=lead,
        headline=_bare(lead),
        advice=advice,
        step=step,
        why="",
        label=gettext("Bay %(number)s: %(words)s.", number=unknown.number, words=silence()),
    )


def answer_words(answer: Answer) -> str:
    """The answer in two or three words, the largest on the tile."""
    return _answers(current_locale())[answer]


def state_words(state: TileState) -> str:
    """The state as UI.md's table words it."""
    return _states(current_locale())[state]


def split(words: str) -> tuple[str, str]:
    """What is so, and what follows from it."""
    for mark in BREAKS:
        lead, found, advice = words.rpartition(mark)
        if found:
            return lead + mark.strip(), advice
    return words, ""


def _bare(lead: str) -> str:
    """The state alone, for a tile that says the answer elsewhere."""
    return lead.rstrip("\uff0c\uff1a,: ")


def need_words(need: str | None) -> str:
    """What a person must do, in one sentence; the bare code where this console is older than the dock."""
    return "" if need is None else _needs(current_locale()).get(need, need)


def what_to_do(bay: BayStatus) -> tuple[str, str]:
    """The step, and why it is asked for; both empty where nobody is needed."""
    told = sentence_of(bay.message.code, bay.message.parameters) if bay.message is not None else ""
    if bay.needs:
        return need_words(bay.needs), told
    step, why = _step_first(told)
    if step:
        return step, why
    if bay.state is TileState.UNKNOWN:
        return str(gettext("Ask a custodian to register it. Nothing was read from it.")), told
    return need_words(ASKED_OF_A_PERSON.get(bay.state)), told


def battery_words(percent: int | None) -> str:
    """`82 %`, nothing where the recorder does not say."""
    return "" if percent is None else str(gettext("%(percent)s %%", percent=percent))


def permille(bay: BayStatus) -> int:
    """How far it is; 0 to 1000 whatever the dock counted."""
    return min(1000, max(0, round(1000 * bay.bytes_done / bay.bytes_total))) if bay.bytes_total > 0 else 0


def _step_first(told: str) -> tuple[str, str]:
    for mark in STEPS:
        why, found, step = told.rpartition(mark)
        if found:
            end = "\u3002" if mark == STEPS[0] else "."
            return step[:1].upper() + step[1:], why + end
    return "", told


def _files(bay: BayStatus) -> str:
    if bay.files_total <= 0:
        return ""
    if bay.state in COUNTING:
        return str(gettext("%(done)s of %(total)s files", done=bay.files_done, total=bay.files_total))
    return str(ngettext("%(num)s file", "%(num)s files", bay.files_total))


def _flagged(bay: BayStatus) -> str:
    if bay.flagged_total <= 0:
        return ""
    if bay.state in COUNTING and bay.flagged_done < bay.flagged_total:
        return f"{bay.flagged_done}/{bay.flagged_total}"
    return str(bay.flagged_total)


def _left(bay: BayStatus, zone: str) -> str:
    if bay.state not in COUNTING:
        return ""
    if bay.seconds_left is None:
        return str(gettext("measuring")) if bay.state is TileState.COPYING else ""
    if bay.state is TileState.HANDED_IN:
        return _ready_at(bay.seconds_left, zone)
    return time_left(bay.seconds_left)


def _ready_at(seconds: int, zone: str) -> str:
    """A time of day, rounded up: nobody should stand there before it."""
    step = 300 if seconds > COARSE_AFTER_S else 60
    ready = math.ceil((utc_now().timestamp() + seconds) / step) * step
    passed = timedelta(seconds=ready - utc_now().timestamp())
    at = (utc_now() + passed).astimezone(ZoneInfo(zone))
    return str(gettext("ready at %(time)s", time=f"{at:%H:%M}"))


def _label(number: str, words: str, bay: BayStatus, step: str) -> str:
    """What a screen reader says of the tile: where, what, whose, and what to do."""
    said = str(gettext("Bay %(number)s: %(words)s.", number=number, words=words))
    who = bay.officer_name or bay.officer_number
    return " ".join(part for part in (said, f"{who}." if who else "", step) if part)


@cache
def _answers(_locale: str) -> dict[Answer, str]:
    """Made once a language, like the two below: forty tiles twice a second would look up a thousand words."""
    return {
        Answer.SAFE: str(gettext("Safe to remove")),
        Answer.STAY: str(gettext("Do not remove")),
        Answer.HELP: str(gettext("Needs help")),
        Answer.NONE: str(gettext("Free")),
    }


@cache
def _states(_locale: str) -> dict[TileState, str]:
    return {
        TileState.EMPTY: str(gettext("Empty")),
        TileState.RECOGNISING: str(gettext("Recognising")),
        TileState.HANDED_IN: str(gettext("Handed in: you may leave, do not remove")),
        TileState.COPYING: str(gettext("Copying, do not remove")),
        TileState.VERIFYING: str(gettext("Verifying and sealing, do not remove")),
        TileState.SEALED: str(gettext("Sealed, safe to remove")),
        TileState.CLEARING: str(gettext("Clearing the card, do not remove")),
        TileState.PARTIAL: str(gettext("Some files not taken, ask a custodian")),
        TileState.INTERRUPTED: str(gettext("Interrupted, put it back to continue")),
        TileState.UNKNOWN: str(gettext("Unregistered device")),
        TileState.FAULT: str(gettext("Fault: ask a custodian")),
    }


@cache
def _needs(_locale: str) -> dict[str, str]:
    return {
        Need.BADGE: str(gettext("Duty footage? Show your badge or type your PIN. Nothing was copied yet.")),
        Need.CLAIM: str(gettext("Show your badge here, so that the footage has a holder.")),
        Need.PUT_BACK: str(gettext("Put the same recorder back into any bay.")),
        Need.REPLUG: str(gettext("Take the recorder out and plug it in again.")),
        Need.WAIT: str(gettext("Leave it in its bay; the dock goes on by itself.")),
        Need.CUSTODIAN: str(gettext("Call the evidence custodian and leave the recorder in its bay.")),
        Need.ADMINISTRATOR: str(gettext("Call the administrator and leave the recorder in its bay.")),
    }
