"""The sections that the sandboxed tool writes, read as what they are: bytes from somewhere hostile.

    magic, then per section: 4 bytes name, 4 bytes big-endian length, content; `done` is the last

Each name at most once and only expected ones, no length beyond its limit, nothing after `done`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from media.error import REFUSALS, MalformedIndexError

MAGIC = b"sealdock-index 1\n"
_HEAD = struct.Struct(">4sI")
_REFUSAL, _DONE = "no", "done"
_REASON_LIMIT = 32


def parse(raw: bytes, limits: Mapping[str, int]) -> dict[str, bytes]:
    """Sections by name; `limits` says which may come and how long they may be.

    Raises MalformedIndexError, or the RefusedFileError that the tool gives as its answer.
    """
    if not raw.startswith(MAGIC):
        raise MalformedIndexError(why="it does not begin as it must")
    found: dict[str, bytes] = {}
    place = len(MAGIC)
    allowed = {**limits, _REFUSAL: _REASON_LIMIT, _DONE: 0}
    while _DONE not in found:
        name, content = _section(raw, place, allowed)
        if name in found:
            raise MalformedIndexError(why="a section comes twice")
        found[name] = content
        place += _HEAD.size + len(content)
    if place != len(raw):
        raise MalformedIndexError(why="something follows its end")
    _refuse(found.pop(_REFUSAL, None))
    del found[_DONE]
    return found


def _section(raw: bytes, place: int, allowed: Mapping[str, int]) -> tuple[str, bytes]:
    if len(raw) < place + _HEAD.size:
        raise MalformedIndexError(why="it breaks off")
    tag, size = _HEAD.unpack_from(raw, place)
    name = tag.decode("ascii", "replace").rstrip()
    if name not in allowed or size > allowed[name]:
        raise MalformedIndexError(why="a section is unknown or too long")
    content = raw[place + _HEAD.size : place + _HEAD.size + size]
    if len(content) != size:
        raise MalformedIndexError(why="it breaks off")
    return name, content


def _refuse(reason: bytes | None) -> None:
    if reason is None:
        return
    refusal = REFUSALS.get(reason.decode("ascii", "replace"))
    raise refusal() if refusal else MalformedIndexError(why="it refuses for an unknown reason")
