"""What was said on a serial line, without the secret, and the list of what was done.

Invariants: no byte of a password is ever in it, neither as sent nor as echoed, nor a checksum over one; what arrives
while a password is being answered is kept as a number of bytes only. Both lists have an end: a hostile recorder fills
no memory and no receipt. The transcript can hold an officer's name and belongs into a private body; acts hold step
names and times alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from core.clock import stamp, utc_now
from devices.condition import Act

MOST_LINES = 400  # an exchange of 8 steps with 5 tries each says 80 things
LONG_SECRET = (
    8  # bytes: a shorter one can stand in another number by chance, and hiding it there would tell it
)
MOST_BYTES = 512  # of one message, as it is kept
SECRET = "[secret]"  # noqa: S105  # what stands in its place


class Direction(StrEnum):
    """Who said it."""

    SENT = "sent"
    RECEIVED = "received"
    NOTE = "note"


@dataclass(frozen=True)
class Said:
    """One line of the transcript."""

    at: datetime
    step: str
    direction: Direction
    text: str

    def __str__(self) -> str:
        """`2026-11-23T10:15:07.000123Z read_clock sent $TIME?`."""
        return f"{stamp(self.at)} {self.step} {self.direction} {self.text}"


class Transcript:
    """Written by an exchange as it goes, read when it is over, however it ended."""

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._lines: list[Said] = []
        self._acts: list[Act] = []
        self._secrets: tuple[bytes, ...] = ()

    @property
    def lines(self) -> tuple[Said, ...]:
        """Everything that was said, in order."""
        return tuple(self._lines)

    @property
    def acts(self) -> tuple[Act, ...]:
        """Every command that was sent, each time it was sent."""
        return tuple(self._acts)

    @property
    def has_secret(self) -> bool:
        """Whether a secret was told to `hide`, and so may come back."""
        return bool(self._secrets)

    def hide(self, *secrets: bytes) -> None:
        """From now on these bytes, and their hexadecimal spelling, are never kept; short ones as whole words."""
        spelled = {
            form for one in secrets if one for form in (one, one.hex().encode(), one.hex().upper().encode())
        }
        self._secrets = tuple(sorted({*self._secrets, *spelled}, key=len, reverse=True))

    def sent(self, step: str, message: bytes) -> None:
        """A request as it went out."""
        self._add(step, Direction.SENT, self._shown(message))

    def received(self, step: str, message: bytes) -> None:
        """Bytes that came back."""
        self._add(step, Direction.RECEIVED, self._shown(message))

    def note(self, step: str, text: str) -> None:
        """What the station made of it, in words that hold nothing the recorder said."""
        self._add(step, Direction.NOTE, text)

    def act(self, command: str, *, changed: bool) -> None:
        """A command was sent; once the list is full, one that changes nothing is no longer added."""
        if changed or len(self._acts) < MOST_LINES:
            self._acts.append(Act(command, changed))

    def _add(self, step: str, direction: Direction, text: str) -> None:
        if len(self._lines) < MOST_LINES:
            self._lines.append(Said(self._now(), step, direction, text))

    def _shown(self, message: bytes) -> str:
        for secret in self._secrets:
            message = _without(message, secret)
        short = message[:MOST_BYTES]
        rest = f" and {len(message) - MOST_BYTES} bytes more" if len(message) > MOST_BYTES else ""
        return _printable(short) + rest


def _without(message: bytes, secret: bytes) -> bytes:
    word = re.escape(secret)
    if len(secret) < LONG_SECRET:
        word = rb"(?<![0-9A-Za-z])" + word + rb"(?![0-9A-Za-z])"
    return re.sub(word, SECRET.encode(), message)


def _printable(raw: bytes) -> str:
    r"""ASCII as it is, everything else as \xNN, so that one byte can be told from another."""
    return "".join(_sign(chr(byte)) for byte in raw)


def _sign(sign: str) -> str:
    is_plain = sign.isascii() and sign.isprintable() and sign != "\\"
    return sign if is_plain else f"\\x{ord(sign):02x}"
