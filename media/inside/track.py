"""The two tracks of a recording while its packets go by: pictures and sound. Runs inside the sandbox."""

from __future__ import annotations

import json
import sys
import zlib
from array import array

import av
from av.stream import Stream

from media.inside.canvas import (
    RefusalError,
    blank,
    boxed,
    check_size,
    contrast,
    counterclockwise,
    jpeg,
    paste,
    shrunk,
    upright,
)

PACKET_LIMIT = 4_000_000  # pictures: 12 h at 90 a second
TILE_WIDTH, TILE_HEIGHT, TILE_COLUMNS, TILE_LIMIT = 160, 90, 10, 100
TILE_EVERY_S, SHORT_S, SHORT_TILES = 5.0, 60.0, 12  # a short recording gets closer tiles
CLOSEST_S = 0.5
POSTER_CANDIDATES = 5  # of the first tiles, the one with the most contrast is the poster
PEAKS_PER_SECOND, SOUND_RATE, PEAK_LIMIT = 10, 8000, 2000
UNKNOWN_PLACE = -1

Sections = list[tuple[bytes, bytes]]


class Pictures:
    """The packet map, the tiles and the poster of one picture track."""

    def __init__(self, stream: av.VideoStream, declared_s: float | None) -> None:
        self.stream, self._decoder = stream, stream.codec_context
        self._decoder.thread_count = 1  # one key frame at a time: threads would only delay it
        self._times, self._places, self._sizes = array("q"), array("q"), array("I")
        self._keys = bytearray()
        self._tiles: list[tuple[float, av.VideoFrame]] = []
        self._every_s, self._next_s = _tile_interval(declared_s), 0.0
        self._best: av.VideoFrame | None = None
        self._contrast, self._rotation = -1.0, 0

    def take(self, packet: av.Packet[Stream], at: int, seconds: float) -> None:
        """Note a packet, and decode it when it is a key frame whose turn has come."""
        if len(self._times) >= PACKET_LIMIT:
            raise RefusalError("endless")
        self._times.append(at)
        self._places.append(UNKNOWN_PLACE if packet.pos is None else packet.pos)
        self._sizes.append(packet.size)
        self._keys.append(packet.is_keyframe)
        if packet.is_keyframe and seconds >= self._next_s:
            self._decode(packet, max(0.0, seconds))

    def keep(self, seconds: float, frame: av.VideoFrame) -> None:
        """Make a tile; twice as far apart when there are too many."""
        check_size(frame.width, frame.height)
        self._rotation = -counterclockwise(frame) % 360
        frame = upright(frame)
        tile = boxed(frame, TILE_WIDTH, TILE_HEIGHT)
        if len(self._tiles) < POSTER_CANDIDATES and (spread := contrast(tile)) > self._contrast:
            self._contrast, self._best = spread, frame
        self._tiles.append((seconds, tile))
        self._next_s = (seconds // self._every_s + 1) * self._every_s
        if len(self._tiles) > TILE_LIMIT:
            self._tiles, self._every_s = self._tiles[::2], self._every_s * 2

    def facts(self) -> dict[str, object]:
        """What the track is; sizes as coded, `rotation` clockwise."""
        context, rate = self._decoder, self.stream.average_rate or self.stream.guessed_rate or 0
        return {
            "codec": context.codec.canonical_name, "profile": str(context.profile or ""),
            "pixels": str(context.pix_fmt or ""), "width": context.width, "height": context.height,
            "rotation": self._rotation, "frames_per_second": round(min(float(rate), 1000.0), 3),
            "time_base": str(self.stream.time_base), "packets": len(self._times), "keyframes": sum(self._keys),
        }  # fmt: skip

    def layout(self) -> dict[str, object] | None:
        """Where each tile lies on the sheet, and when it was."""
        if not self._tiles:
            return None
        times = [round(1000 * seconds) for seconds, _ in self._tiles]
        return {"columns": TILE_COLUMNS, "width": TILE_WIDTH, "height": TILE_HEIGHT, "times_ms": times}

    def packet_map(self) -> Sections:
        """Columns: presentation time, byte position (-1 unknown), size, key frame; little endian, deflated."""
        columns = (self._times, self._places, self._sizes)
        if sys.byteorder == "big":
            for column in columns:
                column.byteswap()
        return [(b"pack", zlib.compress(b"".join(c.tobytes() for c in columns) + bytes(self._keys), 1))]

    def poster(self, side: int) -> Sections:
        """The best of the first pictures, no larger than `side`; nothing when none could be decoded."""
        return [] if self._best is None else [(b"post", jpeg(shrunk(self._best, side, side)))]

    def sheet(self) -> Sections:
        """All tiles in rows."""
        if not self._tiles:
            return []
        rows = -(-len(self._tiles) // TILE_COLUMNS)
        canvas = blank(TILE_WIDTH * min(TILE_COLUMNS, len(self._tiles)), TILE_HEIGHT * rows)
        for number, (_, tile) in enumerate(self._tiles):
            row, column = divmod(number, TILE_COLUMNS)
            paste(canvas, tile, column * TILE_WIDTH, row * TILE_HEIGHT)
        return [(b"tile", jpeg(canvas))]

    def _decode(self, packet: av.Packet[Stream], seconds: float) -> None:
        """One intra frame; a damaged one is left out."""
        try:
            frames = [*self._decoder.decode(packet), *self._decoder.decode(None)]
            self._decoder.flush_buffers()
        except av.FFmpegError:
            return
        if frames:
            self.keep(seconds, frames[-1])


class Sound:
    """The largest sample of each tenth of a second."""

    def __init__(self, stream: av.AudioStream) -> None:
        self.stream = stream
        self._packets, self._peaks = 0, bytearray()
        self._resampler = av.AudioResampler(
            "s16", "mono", SOUND_RATE, frame_size=SOUND_RATE // PEAKS_PER_SECOND
        )

    def take(self, packet: av.Packet[Stream]) -> None:
        """Decode one packet; a damaged one is skipped."""
        self._packets += 1
        try:
            for frame in packet.decode():
                self._listen(self._resampler.resample(frame))  # type: ignore[arg-type]
        except (av.FFmpegError, ValueError):
            return

    def finish(self) -> None:
        """Hear what the resampler still holds."""
        try:
            self._listen(self._resampler.resample(None))
        except (av.FFmpegError, ValueError):
            return

    def facts(self) -> dict[str, object]:
        """What the track is."""
        context = self.stream.codec_context
        return {
            "codec": context.codec.canonical_name, "rate": context.sample_rate or 0,
            "channels": context.channels or 0, "packets": self._packets,
        }  # fmt: skip

    def curve(self, duration_ms: int) -> Sections:
        """At most 2,000 peaks of 0..255 over the whole length, as JSON; nothing when nothing was heard."""
        if not self._peaks:
            return []
        group = -(-len(self._peaks) // PEAK_LIMIT)
        peaks = [max(self._peaks[i : i + group]) for i in range(0, len(self._peaks), group)]
        said = {"v": 1, "duration_ms": duration_ms, "peaks": peaks}
        return [(b"wave", json.dumps(said, separators=(",", ":")).encode())]

    def _listen(self, frames: list[av.AudioFrame]) -> None:
        for frame in frames:
            samples = memoryview(frame.planes[0]).cast("B").cast("h")[: frame.samples]
            high, low = max(samples), min(samples)
            loudest = max(high, -low)
            self._peaks.append(min(255, loudest >> 7))


def _tile_interval(declared_s: float | None) -> float:
    if declared_s is None:
        return TILE_EVERY_S
    if declared_s < SHORT_S:
        return max(declared_s / SHORT_TILES, CLOSEST_S)
    return max(TILE_EVERY_S, declared_s / TILE_LIMIT)
