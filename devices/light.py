"""Bay lights: what a lamp says, in rhythms that need no colour, and what can be made to shine.

Invariants: one lamp is enough, and its colour says nothing. A lamp that nobody moves any more is either dark or
steady, and neither means "safe": only a living dock can say that. No rhythm flashes more than three times a second
(WCAG 2.2, 2.3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from devices.error import DeviceError

BEAT_S = 0.2  # the shortest flash; two beats make 2.5 flashes a second


class Signal(StrEnum):
    """What a bay's lamp says."""

    DARK = "dark"  # the bay is empty, or nobody vouches for what the board says
    WORKING = "working"  # leave it in
    SAFE = "safe"  # take it
    PERSON = "person"  # somebody must do something: the board says what
    FAULT = "fault"


RHYTHMS = {  # one letter a beat: `#` lit, `.` dark; then from the beginning
    Signal.DARK: ".",
    Signal.WORKING: "#",
    Signal.SAFE: "######....",
    Signal.PERSON: "#.#.......",
    Signal.FAULT: "#.",
}


class LampError(DeviceError):
    """A lamp cannot be had, or is gone."""

    code = "devices.lamp"
    sentence = (
        "The lamp of bay {bay} (line {line} of {chip}) cannot be had: {why}. It stays dark and no evidence is "
        "touched; the board shows what the lamp would. Look at [dock.lights] in the settings and at the adapter."
    )


class Lamps(Protocol):
    """A driver: every lamp of the dock, by bay number."""

    def show(self, lit: Mapping[int, bool]) -> None:
        """Make exactly the bays that are true shine. A lamp that cannot be had is told in the log and left dark."""

    def close(self) -> None:
        """Make all lamps dark and let go of them."""


def is_lit(signal: Signal, beat: int) -> bool:
    """Whether a lamp that says `signal` shines in this beat; beats are counted from any beginning."""
    rhythm = RHYTHMS[signal]
    return rhythm[beat % len(rhythm)] == "#"
