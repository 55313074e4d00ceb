"""One line of the health page, and its details."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from flask_babel import gettext, ngettext
from markupsafe import Markup, escape

DETAILS = 5  # recorders or bays named under a line; the page it leads to has all
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)


class Tone(StrEnum):
    """How a line stands; shown with a sign and in words, never by colour alone."""

    FAULT = "fault"
    PERSON = "person"
    SAFE = "safe"
    QUIET = "quiet"  # known, and neither good nor bad

    @property
    def icon(self) -> str:
        """The sign."""
        return {
            "fault": "octagon-alert",
            "person": "triangle-alert",
            "safe": "check",
            "quiet": "circle-dashed",
        }[self.value]


@dataclass(frozen=True)
class Detail:
    """One recorder or bay that a line is about."""

    name: str
    words: str | Markup
    url: str = ""


@dataclass(frozen=True)
class Line:
    """What is so; `advice` is the one sentence of what to do, and there is one when somebody is needed."""

    key: str
    tone: Tone
    name: str
    value: str | Markup
    advice: str | Markup = ""
    url: str = ""
    action: str = ""
    details: tuple[Detail, ...] = ()
    more: int = 0  # details that are not named

    def __post_init__(self) -> None:
        """A line that asks for nothing in particular only frightens people."""
        if self.tone in {Tone.FAULT, Tone.PERSON} and not self.advice:
            raise ValueError(f"the line {self.key} needs somebody and does not say what for")


def named(details: list[Detail]) -> tuple[tuple[Detail, ...], int]:
    """The first of them, and how many more there are."""
    return tuple(details[:DETAILS]), max(0, len(details) - DETAILS)


def told(words: str, **shown: str | int) -> Markup:
    """Translated words with times and sizes (Markup) put in; anything else is escaped.

    `words` come from gettext without its variables, which would make plain text of a time.
    """
    return escape(words) % shown


def calm(key: str, name: str, known: int, words: str, url: str = "") -> Line:
    """A line that needs nobody; where nothing is known it is not called well."""
    if known:
        return Line(key, Tone.SAFE, name, words, url=url)
    return Line(key, Tone.QUIET, name, gettext("Nothing known from the last 30 days"))


def age_words(age: timedelta) -> str:
    """`3 days`: no finer than the page needs, so that it does not change while nothing does."""
    if age >= 2 * _DAY:
        return str(ngettext("%(num)s day", "%(num)s days", age // _DAY))
    if age >= _HOUR:
        return str(ngettext("%(num)s hour", "%(num)s hours", age // _HOUR))
    return str(gettext("less than an hour"))
