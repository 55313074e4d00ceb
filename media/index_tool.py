"""Runs inside the sandbox, alone with the interpreter and PyAV: reads one file, writes sections to its output.

One pass from front to back, as fast as the file can be read: every packet is noted, the sound is decoded for its
loudness, and of the pictures only some key frames are decoded (DESIGN: index, do not transcode). Nothing here is
trusted: media.index reads the sections as hostile bytes. Imports nothing of ours, because nothing of ours is here.

    index_tool.py FILE [probe]       sections: 4 bytes name, 4 bytes big-endian length, content; the last is `done`
"""

from __future__ import annotations

import json
import os
import struct
import sys
import zlib
from array import array
from fractions import Fraction

import av
from av.codec.codec import UnknownCodecError

MAGIC = b"sealdock-index 1\n"
FORMATS = (  # demuxers worth their risk; playlists, scripts and captions are not media here
    "mov,mp4,m4a,3gp,3g2,mj2,mpegts,mpeg,avi,matroska,webm,asf,flv,mxf,h264,hevc,m4v,mjpeg,dv,gif,"
    "wav,w64,mp3,aac,amr,amrnb,amrwb,flac,ogg,aiff,caf,ac3,"
    "jpeg_pipe,png_pipe,bmp_pipe,webp_pipe,tiff_pipe"
)
SIDE_LIMIT, PIXEL_LIMIT = 16384, 120_000_000  # a picture beyond this is a bomb, not a recorder's
PACKET_LIMIT = 4_000_000  # pictures: 12 h at 90 a second
DURATION_LIMIT_S = 7 * 24 * 3600  # a length beyond this was not measured, it was invented
TILE_WIDTH, TILE_HEIGHT, TILE_COLUMNS, TILE_LIMIT = 160, 90, 10, 100
TILE_EVERY_S, SHORT_S, SHORT_TILES = 5.0, 60.0, 12
POSTER_WIDTH, PHOTO_WIDTH = 640, 1280
POSTER_CANDIDATES = 5  # the first tiles; the one with the most contrast is the poster
PEAKS_PER_SECOND, SOUND_RATE, PEAK_LIMIT = 10, 8000, 2000
BLACK, GREY = 0, 128
TOP_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"sidx", b"styp", b"pnot", b"udta", b"uuid"}


class RefusalError(Exception):
    """The file is not something to index; the argument is the reason's code."""


def main(path: str, *, deep: bool) -> None:
    """Write every section for the file at `path`."""
    put(b"", MAGIC)
    try:
        for name, content in read(path, deep=deep):
            put(name, content)
    except RefusalError as refusal:
        put(b"no  ", str(refusal).encode())
    put(b"done", b"")


def put(name: bytes, content: bytes) -> None:
    """One section."""
    out = sys.stdout.buffer
    out.write(name + struct.pack(">I", len(content)) + content if name else content)
    out.flush()


def read(path: str, *, deep: bool) -> list[tuple[bytes, bytes]]:
    """The sections of one file. Raises RefusalError."""
    if not os.path.getsize(path):  # noqa: PTH202  # no reason to import pathlib here
        raise RefusalError("empty")
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file", "max_pixels": str(PIXEL_LIMIT)}
    try:
        container = av.open(path, options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as cause:
        raise RefusalError("truncated" if lacks_index(path) else "not_media") from cause
    with container:
        try:
            return Pass(container, path).sections(deep=deep)
        except (av.FFmpegError, UnknownCodecError) as cause:
            raise RefusalError("unreadable") from cause
        except MemoryError as cause:
            raise RefusalError("huge_picture") from cause


def lacks_index(path: str) -> bool:
    """Whether this is an MP4 or MOV whose `moov` was never written: the recorder lost its power."""
    with open(path, "rb") as file:  # noqa: PTH123
        place, end, kinds = 0, os.path.getsize(path), set()  # noqa: PTH202
        while place + 8 <= end and len(kinds) < 64:  # noqa: PLR2004
            file.seek(place)
            head = file.read(16)
            size, kind = struct.unpack_from(">I4s", head)
            if kind not in TOP_BOXES:
                break
            kinds.add(kind)
            if size == 1 and len(head) == 16:  # noqa: PLR2004
                size = struct.unpack_from(">Q", head, 8)[0]
            if size < 8:  # noqa: PLR2004
                break
            place += size
    return bool(kinds & {b"ftyp", b"mdat"}) and b"moov" not in kinds


class Pass:
    """One reading of one file."""

    def __init__(self, container: av.container.InputContainer, path: str) -> None:
        self.container, self.path = container, path
        moving = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        self.video = moving[0] if moving else None
        self.audio = container.streams.audio[0] if container.streams.audio else None
        self.is_photo = container.format.name.endswith("_pipe")
        self.pictures = Pictures(self.video, self.declared_s()) if self.video else None
        self.loudness = Loudness() if self.audio else None
        self.audio_packets, self.end_s, self.is_cut = 0, 0.0, False

    def sections(self, *, deep: bool) -> list[tuple[bytes, bytes]]:
        """All there is to say."""
        if self.video is None and self.audio is None:
            raise RefusalError("not_media")
        if self.video is not None:
            check_size(self.video.codec_context.width, self.video.codec_context.height)
        if not deep:
            return [(b"fact", self.facts())]
        (self.read_photo if self.is_photo else self.read_packets)()
        found = [(b"fact", self.facts())]
        if self.pictures:
            found += [] if self.is_photo else [(b"pack", self.pictures.packet_map())]
            found += self.pictures.images(PHOTO_WIDTH if self.is_photo else POSTER_WIDTH, sheet=not self.is_photo)
        if self.loudness and self.loudness.peaks:
            found.append((b"wave", self.loudness.curve(self.duration_ms())))
        return found

    def read_photo(self) -> None:
        """Decode the one picture."""
        for frame in self.container.decode(self.video):
            self.pictures.keep(0.0, frame)
            return

    def read_packets(self) -> None:
        """Front to back; a file that ends in the middle keeps what came before."""
        wanted = [stream for stream in (self.video, self.audio) if stream is not None]
        try:
            for packet in self.container.demux(wanted):
                self.take(packet)
        except (av.FFmpegError, OSError):
            self.is_cut = True
        if self.loudness:
            self.loudness.finish()

    def take(self, packet: av.Packet) -> None:
        """Note one packet."""
        at = packet.pts if packet.pts is not None else packet.dts
        if not packet.size or at is None:
            return
        seconds = float((at - (packet.stream.start_time or 0)) * packet.time_base)
        if 0 <= seconds < DURATION_LIMIT_S:
            self.end_s = max(self.end_s, seconds + float((packet.duration or 0) * packet.time_base))
        if packet.stream is self.video:
            self.pictures.take(packet, at, seconds)
        else:
            self.audio_packets += 1
            self.loudness.take(packet)

    def declared_s(self) -> float | None:
        """What the container says its length is, if that can be."""
        length = (self.container.duration or 0) / av.time_base
        return length if 0 < length < DURATION_LIMIT_S else None

    def duration_ms(self) -> int:
        """Measured when packets were read, else declared; 0 when unknown."""
        return 0 if self.is_photo else round(1000 * (self.end_s or self.declared_s() or 0))

    def facts(self) -> bytes:
        """What kind of file it is, as JSON."""
        kind = "image" if self.is_photo else "video" if self.video else "audio"
        said = {
            "v": 1, "kind": kind, "container": self.container.format.name, "duration_ms": self.duration_ms(),
            "video": self.video_facts() if self.video else None,
            "audio": self.audio_facts() if self.audio else None,
            "sprite": self.pictures.layout() if self.pictures and not self.is_photo else None,
            "is_cut": self.is_cut,
        }  # fmt: skip
        return json.dumps(said).encode()

    def video_facts(self) -> dict[str, object]:
        """The picture track."""
        context, rate = self.video.codec_context, self.video.average_rate or self.video.guessed_rate or 0
        return {
            "codec": context.codec.canonical_name, "profile": str(context.profile or ""),
            "pixels": str(context.pix_fmt or ""), "width": context.width, "height": context.height,
            "rotation": self.pictures.rotation, "frames_per_second": round(min(float(rate), 1000.0), 3),
            "time_base": str(Fraction(self.video.time_base)), "packets": len(self.pictures.times),
            "keyframes": sum(self.pictures.keys),
        }  # fmt: skip

    def audio_facts(self) -> dict[str, object]:
        """The sound track."""
        context = self.audio.codec_context
        return {
            "codec": context.codec.canonical_name, "rate": context.sample_rate or 0,
            "channels": context.channels or 0, "packets": self.audio_packets,
        }  # fmt: skip


class Pictures:
    """The packet map, the tiles and the poster of one picture track."""

    def __init__(self, stream: av.VideoStream, declared_s: float | None) -> None:
        self.context = stream.codec_context
        self.context.thread_count = 1  # one key frame at a time: threads would only delay it
        self.every_s = tile_interval(declared_s)
        self.times, self.places, self.sizes, self.keys = array("q"), array("q"), array("I"), bytearray()
        self.tiles: list[tuple[float, av.VideoFrame]] = []
        self.next_s, self.contrast, self.rotation = 0.0, -1.0, 0
        self.best: av.VideoFrame | None = None

    def take(self, packet: av.Packet, at: int, seconds: float) -> None:
        """Note a packet, and decode it when it is a key frame whose turn has come."""
        if len(self.times) >= PACKET_LIMIT:
            raise RefusalError("endless")
        self.times.append(at)
        self.places.append(-1 if packet.pos is None else packet.pos)
        self.sizes.append(packet.size)
        self.keys.append(packet.is_keyframe)
        if packet.is_keyframe and seconds >= self.next_s:
            self.decode(packet, max(0.0, seconds))

    def decode(self, packet: av.Packet, seconds: float) -> None:
        """One intra frame; a damaged one is left out."""
        try:
            frames = [*self.context.decode(packet), *self.context.decode(None)]
            self.context.flush_buffers()
        except av.FFmpegError:
            return
        if frames:
            self.keep(seconds, frames[-1])

    def keep(self, seconds: float, frame: av.VideoFrame) -> None:
        """Make a tile; twice as far apart when there are too many."""
        check_size(frame.width, frame.height)
        frame = upright(frame)
        self.rotation = self.rotation or turned(frame)
        tile = fitted(frame, TILE_WIDTH, TILE_HEIGHT)
        if len(self.tiles) < POSTER_CANDIDATES and (contrast := spread(tile)) > self.contrast:
            self.contrast, self.best = contrast, frame
        self.tiles.append((seconds, tile))
        self.next_s = (seconds // self.every_s + 1) * self.every_s
        if len(self.tiles) > TILE_LIMIT:
            self.tiles, self.every_s = self.tiles[::2], self.every_s * 2

    def layout(self) -> dict[str, object] | None:
        """Where each tile lies on the sheet, and when it was."""
        if not self.tiles:
            return None
        times = [round(1000 * seconds) for seconds, _ in self.tiles]
        return {"columns": TILE_COLUMNS, "width": TILE_WIDTH, "height": TILE_HEIGHT, "times_ms": times}

    def packet_map(self) -> bytes:
        """Columns: presentation time, byte position (-1 unknown), size, key frame; little endian, deflated."""
        columns = (self.times, self.places, self.sizes)
        if sys.byteorder == "big":
            for column in columns:
                column.byteswap()
        return zlib.compress(b"".join(c.tobytes() for c in columns) + bytes(self.keys), 1)

    def images(self, width: int, *, sheet: bool) -> list[tuple[bytes, bytes]]:
        """Poster and sprite sheet as JPEG; none when nothing could be decoded."""
        if self.best is None:
            return []
        shrunk = min(1.0, width / self.best.width, width / self.best.height)
        size = [max(2, round(side * shrunk) // 2 * 2) for side in (self.best.width, self.best.height)]
        found = [(b"post", jpeg(self.best.reformat(*size, format="yuvj420p")))]
        return [*found, (b"tile", jpeg(self.sheet()))] if sheet else found

    def sheet(self) -> av.VideoFrame:
        """All tiles in rows."""
        rows = -(-len(self.tiles) // TILE_COLUMNS)
        canvas = blank(TILE_WIDTH * min(TILE_COLUMNS, len(self.tiles)), TILE_HEIGHT * rows)
        for number, (_, tile) in enumerate(self.tiles):
            row, column = divmod(number, TILE_COLUMNS)
            paste(canvas, tile, column * TILE_WIDTH, row * TILE_HEIGHT)
        return canvas


class Loudness:
    """The largest sample of each tenth of a second."""

    def __init__(self) -> None:
        self.peaks = bytearray()
        self.resampler = av.AudioResampler("s16", "mono", SOUND_RATE, frame_size=SOUND_RATE // PEAKS_PER_SECOND)

    def take(self, packet: av.Packet) -> None:
        """Decode one packet; a damaged one is skipped."""
        try:
            for frame in packet.decode():
                self.listen(self.resampler.resample(frame))
        except (av.FFmpegError, ValueError):
            return

    def listen(self, frames: list[av.AudioFrame]) -> None:
        """Note the peaks."""
        for frame in frames:
            samples = memoryview(frame.planes[0]).cast("B").cast("h")[: frame.samples]
            self.peaks.append(min(255, max(max(samples), -min(samples)) >> 7))

    def finish(self) -> None:
        """What the resampler still holds."""
        try:
            self.listen(self.resampler.resample(None))
        except (av.FFmpegError, ValueError):
            return

    def curve(self, duration_ms: int) -> bytes:
        """At most 2,000 peaks of 0..255 over the whole length, as JSON."""
        group = -(-len(self.peaks) // PEAK_LIMIT)
        peaks = [max(self.peaks[i : i + group]) for i in range(0, len(self.peaks), group)]
        return json.dumps({"v": 1, "duration_ms": duration_ms, "peaks": peaks}, separators=(",", ":")).encode()


def tile_interval(declared_s: float | None) -> float:
    """Five seconds; closer in a short recording, farther apart in one that would need too many."""
    if declared_s is None:
        return TILE_EVERY_S
    if declared_s < SHORT_S:
        return max(declared_s / SHORT_TILES, 0.5)
    return max(TILE_EVERY_S, declared_s / TILE_LIMIT)


def check_size(width: int, height: int) -> None:
    """Refuse a picture that nobody's recorder makes."""
    if width > SIDE_LIMIT or height > SIDE_LIMIT or width * height > PIXEL_LIMIT:
        raise RefusalError("huge_picture")


def turned(frame: av.VideoFrame) -> int:
    """Degrees that a player must turn the picture, 0 to 270."""
    return round(frame.rotation) % 360


def upright(frame: av.VideoFrame) -> av.VideoFrame:
    """As a person should see it; quarter turns only."""
    return frame


def fitted(frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    """The whole picture inside a box, black around it."""
    shrunk = min(width / frame.width, height / frame.height)
    size = [max(2, round(side * shrunk) // 2 * 2) for side in (frame.width, frame.height)]
    small = frame.reformat(*size, format="yuvj420p", interpolation="FAST_BILINEAR")
    if size == [width, height]:
        return small
    canvas = blank(width, height)
    paste(canvas, small, (width - size[0]) // 4 * 2, (height - size[1]) // 4 * 2)
    return canvas


def blank(width: int, height: int) -> av.VideoFrame:
    """A black picture."""
    frame = av.VideoFrame(width, height, "yuvj420p")
    for plane, shade in zip(frame.planes, (BLACK, GREY, GREY), strict=True):
        plane.update(bytes([shade]) * plane.buffer_size)
    return frame


def paste(canvas: av.VideoFrame, tile: av.VideoFrame, left: int, top: int) -> None:
    """Copy `tile` into `canvas`, row by row; even places only."""
    for number, (target, source) in enumerate(zip(canvas.planes, tile.planes, strict=True)):
        half = 1 if number == 0 else 2
        into, out = memoryview(target), memoryview(source)
        for row in range(source.height):
            start = (top // half + row) * target.line_size + left // half
            into[start : start + source.width] = out[row * source.line_size : row * source.line_size + source.width]


def spread(tile: av.VideoFrame) -> float:
    """Variance of the brightness: a dark or empty picture has little."""
    plane = tile.planes[0]
    sample = bytes(plane)[: plane.line_size * plane.height : 7]
    mean = sum(sample) / len(sample)
    return sum(value * value for value in sample) / len(sample) - mean * mean


def jpeg(frame: av.VideoFrame) -> bytes:
    """One picture as JPEG, good enough to recognise a face and small enough for a list."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.time_base, encoder.thread_count = Fraction(1, 25), 1
    encoder.options = {"flags": "+qscale+bitexact", "global_quality": str(118 * 4)}
    frame.pts = None
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


if __name__ == "__main__":
    main(sys.argv[1], deep=sys.argv[2:] != ["probe"])
