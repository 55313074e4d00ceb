"""Fragmented MP4, watched as it goes by, and the segment index that makes it seekable.

An encoder that writes to a pipe cannot go back to write an index, and a browser needs five to seven seconds
to seek without one (measured). So the stream is cut in two: the head (`ftyp`, `moov`) is kept, the body
(`moof` and `mdat` in turn) flows through untouched while the place and time of each fragment are noted; at
the end a `sidx` joins the head. Head and body, one after the other, are an ordinary MP4. Source: ISO/IEC
14496-12, 8.8 and 8.16.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from media.error import MediaError

HEAD_LIMIT = 1 << 20  # ftyp and moov without samples are about 2 KiB
MOOF_LIMIT = 4 << 20
REFERENCE_LIMIT = 65535  # sidx.reference_count is 16 bits: 36 h of two-second fragments
_BOX = struct.Struct(">I4s")
_DURATION_FLAG, _DATA_OFFSET_FLAG, _FIRST_FLAGS_FLAG = 0x100, 0x1, 0x4  # trun
_TFHD_DEFAULT_DURATION, _TFHD_BASE, _TFHD_DESCRIPTION = 0x8, 0x1, 0x2
_TRUN_COLUMNS = (0x100, 0x200, 0x400, 0x800)  # duration size flags composition


class FragmentError(MediaError):
    """The encoder wrote something else than fragmented MP4."""

    code = "media.fragment"
    sentence = (
        "The proxy came out malformed ({why}) and was thrown away. The original is sealed and untouched."
    )


@dataclass(frozen=True)
class Fragment:
    """`moof` with its `mdat`: bytes, and the time of the reference track in its own scale."""

    size: int
    start: int
    duration: int


class FragmentedStream:
    """Feed it the encoder's output; it gives back the body at once and the head at the end."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._pending = bytearray()  # a box header, or a whole moof
        self._left = 0  # of the box that flows through
        self._keeping = False
        self._open: tuple[int, int, int] | None = None  # bytes so far, start, duration
        self._fragments: list[Fragment] = []
        self._track, self._timescale, self._default_duration = 0, 0, 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The bytes of `piece` that belong to the body, in order. Raises FragmentError."""
        try:
            yield from self._feed(memoryview(piece))
        except (struct.error, IndexError) as cause:
            raise FragmentError(why="a box is too short") from cause

    def _feed(self, view: memoryview) -> Iterator[bytes]:
        while view:
            if self._left:
                taken = view[: self._left]
                self._left -= len(taken)
                if self._keeping:
                    self._keep(taken)
                else:
                    yield bytes(taken)
                view = view[len(taken) :]
            else:
                view = self._gather(view)
                yield from self._begin()

    def head(self) -> bytes:
        """`ftyp`, `moov` and the index of what has flowed by. Raises FragmentError when it broke off."""
        self._close()
        if self._left or self._pending or not self._timescale or not self._fragments:
            raise FragmentError(why="it breaks off")
        try:
            return bytes(self._head) + self._index()
        except struct.error as cause:
            raise FragmentError(why="its times or sizes are beyond what an index can say") from cause

    def _gather(self, view: memoryview) -> memoryview:
        """Collect a box header, and for a moof all of it."""
        wanted = _BOX.size if len(self._pending) < _BOX.size else _BOX.unpack_from(self._pending)[0]
        missing = max(0, wanted - len(self._pending))
        self._pending += view[:missing]
        return view[missing:]

    def _begin(self) -> Iterator[bytes]:
        if len(self._pending) < _BOX.size:
            return
        size, kind = _BOX.unpack_from(self._pending)
        if size < _BOX.size:
            raise FragmentError(why="a box has no length")
        if kind == b"moof":
            if size > MOOF_LIMIT:
                raise FragmentError(why="a fragment's header is too long")
            if len(self._pending) < size:
                return
            self._close()
            start, duration = self._timing(memoryview(self._pending)[_BOX.size :])
            self._open = (0, start, duration)
        self._left = size - len(self._pending)
        self._keeping = kind in {b"ftyp", b"moov"}
        taken, self._pending = bytes(self._pending), bytearray()
        if self._keeping:
            self._keep(taken)
        elif self._open is None:
            raise FragmentError(why="a fragment comes before its description")
        else:
            self._count(size)
            yield taken

    def _keep(self, taken: bytes | memoryview) -> None:
        self._head += taken
        if len(self._head) > HEAD_LIMIT or self._fragments:
            raise FragmentError(why="its description is too long or comes late")
        if not self._left and not self._keeping_ftyp():
            self._describe(memoryview(self._head))

    def _keeping_ftyp(self) -> bool:
        size: int = _BOX.unpack_from(self._head)[0]
        return len(self._head) <= size

    def _count(self, size: int) -> None:
        assert self._open is not None  # noqa: S101  # the caller has looked
        so_far, start, duration = self._open
        self._open = (so_far + size, start, duration)

    def _close(self) -> None:
        if self._open is not None:
            self._fragments.append(Fragment(*self._open))
            self._open = None

    def _describe(self, head: memoryview) -> None:
        """Take the reference track from `moov`: the first picture track, else the first track."""
        moov = child(head, b"moov")
        tracks = [_track_of(body) for kind, body in boxes(moov) if kind == b"trak"]
        if not tracks:
            raise FragmentError(why="it describes no track")
        tracks.sort(key=lambda track: not track[2])
        self._track, self._timescale, _ = tracks[0]
        for kind, body in boxes(child(moov, b"mvex")):
            if kind == b"trex" and struct.unpack_from(">I", body, 4)[0] == self._track:
                self._default_duration = struct.unpack_from(">I", body, 12)[0]

    def _timing(self, moof: memoryview) -> tuple[int, int]:
        """Start and duration of the reference track in this fragment."""
        for kind, traf in boxes(moof):
            if kind == b"traf" and struct.unpack_from(">I", child(traf, b"tfhd"), 4)[0] == self._track:
                tfdt = child(traf, b"tfdt")
                start: int = struct.unpack_from(">Q" if tfdt[0] else ">I", tfdt, 4)[0]
                duration = sum(self._run(body, traf) for name, body in boxes(traf) if name == b"trun")
                return start, duration
        return (self._fragments[-1].start + self._fragments[-1].duration if self._fragments else 0), 0

    def _run(self, trun: memoryview, traf: memoryview) -> int:
        flags, count = struct.unpack_from(">II", trun)
        flags &= 0xFFFFFF
        if not flags & _DURATION_FLAG:
            return int(count) * self._default(child(traf, b"tfhd"))
        place = 8 + 4 * bool(flags & _DATA_OFFSET_FLAG) + 4 * bool(flags & _FIRST_FLAGS_FLAG)
        step = 4 * sum(bool(flags & column) for column in _TRUN_COLUMNS)
        durations = (struct.unpack_from(">I", trun, place + i * step)[0] for i in range(count))
        return int(sum(durations))

    def _default(self, tfhd: memoryview) -> int:
        flags = struct.unpack_from(">I", tfhd)[0] & 0xFFFFFF
        if not flags & _TFHD_DEFAULT_DURATION:
            return self._default_duration
        place = 8 + 8 * bool(flags & _TFHD_BASE) + 4 * bool(flags & _TFHD_DESCRIPTION)
        duration: int = struct.unpack_from(">I", tfhd, place)[0]
        return duration

    def _index(self) -> bytes:
        """The `sidx`: every fragment begins with a key frame; a gap belongs to the fragment before it."""
        if len(self._fragments) > REFERENCE_LIMIT:
            raise FragmentError(why="it has too many fragments")
        starts = [f.start for f in self._fragments]
        ends = [*starts[1:], starts[-1] + self._fragments[-1].duration]
        lines = b"".join(
            struct.pack(">III", fragment.size, max(0, end - fragment.start), 0x90000000)
            for fragment, end in zip(self._fragments, ends, strict=True)
        )
        fixed = struct.pack(
            ">IIIQQHH", 1 << 24, self._track, self._timescale, starts[0], 0, 0, len(self._fragments)
        )
        return _BOX.pack(_BOX.size + len(fixed) + len(lines), b"sidx") + fixed + lines


def boxes(content: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Type and content of each box, 32-bit lengths only. Raises FragmentError."""
    place = 0
    while place < len(content):
        if place + _BOX.size > len(content):
            raise FragmentError(why="a box breaks off")
        size, kind = _BOX.unpack_from(content, place)
        if size < _BOX.size or place + size > len(content):
            raise FragmentError(why="a box has a false length")
        yield kind, content[place + _BOX.size : place + size]
        place += size


def child(content: memoryview, wanted: bytes) -> memoryview:
    """The content of the first box of a kind. Raises FragmentError."""
    for kind, body in boxes(content):
        if kind == wanted:
            return body
    raise FragmentError(why=f"its {wanted.decode('ascii', 'replace')} is missing")


def _track_of(trak: memoryview) -> tuple[int, int, bool]:
    """Number, time scale, and whether it is a picture track."""
    tkhd, mdia = child(trak, b"tkhd"), child(trak, b"mdia")
    mdhd, hdlr = child(mdia, b"mdhd"), child(mdia, b"hdlr")
    number = struct.unpack_from(">I", tkhd, 20 if tkhd[0] else 12)[0]
    scale = struct.unpack_from(">I", mdhd, 20 if mdhd[0] else 12)[0]
    return number, scale, bytes(hdlr[8:12]) == b"vide"
