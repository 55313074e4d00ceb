"""JPEG headers, read without decoding: is this a JPEG, and how large does it claim to be.

Pictures come from the sandbox, where hostile bytes were decoded; a browser will decode them again, so they
are let through only with the size and shape that was asked for. Source: ITU-T T.81, B.1.1 and B.2.2.
"""

from __future__ import annotations

import struct

from media.error import MalformedIndexError

_START, _END = b"\xff\xd8", b"\xff\xd9"
_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive
_MARK, _SCAN = 0xFF, 0xDA
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length


def jpeg_size(raw: bytes) -> tuple[int, int]:
    """Width and height of a JPEG. Raises MalformedIndexError for anything that is not one."""
    if not raw.startswith(_START) or not raw.endswith(_END):
        raise MalformedIndexError(why="a picture is not a JPEG")
    place = len(_START)
    while place + 4 <= len(raw):
        mark, kind, length = struct.unpack_from(">BBH", raw, place)
        if mark != _MARK or kind in _ALONE or kind == _SCAN:
            break
        if kind in _FRAMES and place + 9 <= len(raw):
            height, width = struct.unpack_from(">HH", raw, place + 5)
            return width, height
        place += 2 + length
    raise MalformedIndexError(why="a picture has no size")


def check_jpeg(raw: bytes, widest: int, highest: int) -> bytes:
    """`raw` itself, if it is a JPEG within these bounds. Raises MalformedIndexError."""
    width, height = jpeg_size(raw)
    if not 0 < width <= widest or not 0 < height <= highest:
        raise MalformedIndexError(why=f"a picture claims {width} x {height}")
    return raw
