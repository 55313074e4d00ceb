"""Pictures: shrinking, turning, putting side by side, and writing them as JPEG. Runs inside the sandbox."""

from __future__ import annotations

from fractions import Fraction

import av
from av.filter import Graph

SIDE_LIMIT, PIXEL_LIMIT = 16384, 120_000_000  # a picture beyond this is a bomb, not a recorder's
BLACK, GREY = 0, 128
QUALITY = 4  # JPEG quantiser: good enough to recognise a person, small enough for a list
_LAMBDA = 118  # FF_QP2LAMBDA of libavutil
_PIXELS = "yuvj420p"
_TURNS = {
    90: (("transpose", "cclock"),),
    180: (("hflip", None), ("vflip", None)),
    270: (("transpose", "clock"),),
}


class RefusalError(Exception):
    """The file is not something to index; the argument is the reason's code (media.error.REFUSALS)."""


def check_size(width: int, height: int) -> None:
    """Refuse a picture that nobody's recorder makes."""
    if width > SIDE_LIMIT or height > SIDE_LIMIT or width * height > PIXEL_LIMIT:
        raise RefusalError("huge_picture")


def counterclockwise(frame: av.VideoFrame) -> int:
    """Degrees, 0 to 270, by which the file asks to turn its pictures; a tilt between is ignored."""
    degrees = round(frame.rotation) % 360
    return degrees if degrees in _TURNS else 0


def upright(frame: av.VideoFrame) -> av.VideoFrame:
    """As a person should see it."""
    degrees = counterclockwise(frame)
    if not degrees:
        return frame
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    chain = [source, *(graph.add(*turn) for turn in _TURNS[degrees]), graph.add("buffersink")]
    graph.link_nodes(*chain).configure()
    frame.pts = 0
    graph.vpush(frame)
    return graph.vpull()


def shrunk(frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    """The whole picture, no larger than the box, never larger than it was; even sides."""
    share = min(1.0, width / frame.width, height / frame.height)
    sides = (max(2, round(side * share) // 2 * 2) for side in (frame.width, frame.height))
    wide, high = sides
    return frame.reformat(width=wide, height=high, format=_PIXELS, interpolation="FAST_BILINEAR")


def boxed(frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    """The whole picture in the middle of a box, black around it."""
    small = shrunk(frame, width, height)
    if (small.width, small.height) == (width, height):
        return small
    canvas = blank(width, height)
    paste(canvas, small, (width - small.width) // 4 * 2, (height - small.height) // 4 * 2)
    return canvas


def blank(width: int, height: int) -> av.VideoFrame:
    """A black picture."""
    frame = av.VideoFrame(width, height, _PIXELS)
    for plane, shade in zip(frame.planes, (BLACK, GREY, GREY), strict=True):
        plane.update(bytes([shade]) * plane.buffer_size)
    return frame


def paste(canvas: av.VideoFrame, tile: av.VideoFrame, left: int, top: int) -> None:
    """Copy `tile` into `canvas`, row by row; even places only."""
    for number, (target, source) in enumerate(zip(canvas.planes, tile.planes, strict=True)):
        half = 1 if number == 0 else 2
        into, out = memoryview(target), memoryview(source)
        for row in range(source.height):
            start, first = (top // half + row) * target.line_size + left // half, row * source.line_size
            into[start : start + source.width] = out[first : first + source.width]


def contrast(tile: av.VideoFrame) -> float:
    """Variance of the brightness: a dark or empty picture has little."""
    plane = tile.planes[0]
    sample = bytes(plane)[: plane.line_size * plane.height : 7]
    mean = sum(sample) / len(sample)
    return sum(value * value for value in sample) / len(sample) - mean * mean


def jpeg(frame: av.VideoFrame) -> bytes:
    """One picture as JPEG."""
    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, _PIXELS
    encoder.time_base, encoder.thread_count = Fraction(1, 25), 1
    encoder.options = {"flags": "+qscale+bitexact", "global_quality": str(QUALITY * _LAMBDA)}
    frame.pts = None
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
