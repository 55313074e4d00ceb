"""The index of a recording: what it is, a poster, a sheet of thumbnails, its loudness, and the map of its packets.

Made in one pass from front to back without transcoding; the passes happen in the sandbox (media.index_tool)
and this module believes nothing it has not checked. The packet map keeps, for every coded picture of the
original, when it is shown, where it lies and whether it is a key frame.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from media import sandbox, section
from media.error import MalformedIndexError
from media.picture import check_jpeg
from media.probe import TILES, WEEK_MS, MediaFacts, tool
from media.walls import Limits

ROW_SIZE = 8 + 8 + 4 + 1  # packet map: time, place, size, key frame
POSTER_SIDE = 1280
SECTION_LIMITS = {"fact": 64 << 10, "post": 2 << 20, "tile": 8 << 20, "wave": 64 << 10, "pack": 96 << 20}
PEAKS = 2000
PACKET_LIMIT = 4_000_000  # rows; the tool inside the sandbox stops there (media.inside.track)
UNKNOWN_PLACE = -1

Peak = Annotated[int, Field(ge=0, le=255)]


class Waveform(BaseModel):
    """The largest samples, 0..255, of equal stretches over the whole length."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    v: Literal[1]
    duration_ms: Annotated[int, Field(ge=0, le=WEEK_MS)]
    peaks: Annotated[list[Peak], Field(max_length=PEAKS)]


@dataclass(frozen=True)
class PacketMap:
    """Columns of equal length; times in the track's time base, places in bytes of the original."""

    times: array[int]
    places: array[int]
    sizes: array[int]
    keys: bytes


@dataclass(frozen=True)
class MediaIndex:
    """Everything, checked; pictures are JPEG, `packets` stays deflated until somebody asks."""

    facts: MediaFacts
    poster: bytes | None
    sprite: bytes | None
    waveform: bytes | None
    packets: bytes | None

    def stored(self) -> bytes:
        """Facts and packet map as one file: the facts as a line of JSON, then the deflated map."""
        return self.facts.model_dump_json().encode() + b"\n" + (self.packets or b"")

    def packet_map(self) -> PacketMap:
        """The packet map, opened. Raises MalformedIndexError."""
        rows = self.facts.video.packets if self.facts.video else 0
        return read_packets(self.packets or zlib.compress(b""), rows)


def index(original: Path, limits: Limits) -> MediaIndex:
    """Index the file at `original`.

    Raises a RefusedFileError when the file is the reason, another MediaError when the tool or the machine is.
    """
    return parse(sandbox.run(tool(original), limits))


def parse(raw: bytes) -> MediaIndex:
    """Check what the tool wrote. Raises MalformedIndexError or RefusedFileError."""
    found = section.parse(raw, SECTION_LIMITS)
    if "fact" not in found:
        raise MalformedIndexError(why="it does not say what the file is")
    facts = MediaFacts.parse(found["fact"])
    made = MediaIndex(
        facts, poster=_poster(found.get("post")), sprite=_sprite(found.get("tile"), facts),
        waveform=_waveform(found.get("wave")), packets=found.get("pack"),
    )  # fmt: skip
    made.packet_map()
    return made


def stored_facts(stored: bytes) -> MediaFacts:
    """The facts of what `MediaIndex.stored` wrote. Raises MalformedIndexError."""
    return MediaFacts.parse(stored.partition(b"\n")[0])


def read_packets(deflated: bytes, rows: int) -> PacketMap:
    """Open a packet map of exactly `rows` rows. Raises MalformedIndexError."""
    if rows > PACKET_LIMIT:
        raise MalformedIndexError(why="the packet map claims more pictures than a recording can hold")
    opener = zlib.decompressobj()
    try:
        plain = opener.decompress(deflated, rows * ROW_SIZE + 1)
    except zlib.error as cause:
        raise MalformedIndexError(why="the packet map is not deflated") from cause
    if len(plain) != rows * ROW_SIZE:
        raise MalformedIndexError(why="the packet map has another length than it says")
    times, places, sizes = array("q"), array("q"), array("I")
    times.frombytes(plain[: 8 * rows])
    places.frombytes(plain[8 * rows : 16 * rows])
    sizes.frombytes(plain[16 * rows : 20 * rows])
    if sys.byteorder == "big":
        for column in (times, places, sizes):
            column.byteswap()
    return PacketMap(times, places, sizes, plain[20 * rows :])


def _poster(raw: bytes | None) -> bytes | None:
    return None if raw is None else check_jpeg(raw, POSTER_SIDE, POSTER_SIDE)


def _sprite(raw: bytes | None, facts: MediaFacts) -> bytes | None:
    """The sheet must be as large as its layout says, or a player would show the wrong second."""
    layout = facts.sprite
    if raw is None or layout is None:
        if raw is not None or (layout is not None and raw is None):
            raise MalformedIndexError(why="thumbnails and their layout do not belong together")
        return None
    rows = -(-len(layout.times_ms) // layout.columns)
    width = layout.width * min(layout.columns, len(layout.times_ms))
    if len(layout.times_ms) > TILES or layout.times_ms != sorted(layout.times_ms):
        raise MalformedIndexError(why="the thumbnails are not in order")
    return check_jpeg(raw, width, layout.height * rows)


def _waveform(raw: bytes | None) -> bytes | None:
    if raw is None:
        return None
    try:
        Waveform.model_validate_json(raw)
    except ValidationError as cause:
        raise MalformedIndexError(why="the loudness curve is malformed") from cause
    return raw
