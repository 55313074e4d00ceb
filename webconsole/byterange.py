"""Byte ranges (RFC 9110 section 14): one range of one file, or the file whole.

An answer carries at most `LARGEST_PIECE` bytes of a range, which the RFC allows (section 15.3.7): a player
that is paused then never holds a thread of the server, it asks for the next piece when it goes on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.errors import Exit, SealdockError

LARGEST_PIECE = 4 * 1024 * 1024  # about two seconds of the fastest recorder's video; read ahead by Chromium
_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*", re.IGNORECASE)


class UnsatisfiableRangeError(SealdockError):
    """The range lies behind the end."""

    code = "webconsole.range"
    sentence = (
        "The player asked for bytes that this recording does not have ({size} bytes); load the page again."
    )
    exit_code = Exit.NO


@dataclass(frozen=True)
class Span:
    """Bytes `start` to `stop`, `stop` not included, of `size`."""

    start: int
    stop: int
    size: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.stop - self.start

    @property
    def content_range(self) -> str:
        """The value of Content-Range."""
        return f"bytes {self.start}-{self.stop - 1}/{self.size}"


def requested_span(header: str | None, size: int) -> Span | None:
    """The span to answer with 206, None to answer with 200 and everything.

    Another unit, several ranges, or a malformed header are ignored (RFC 9110 section 14.2).
    Raises UnsatisfiableRangeError -> 416.
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size or end <= start:
        raise UnsatisfiableRangeError(size=size)
    return Span(start, min(end, start + LARGEST_PIECE), size)
