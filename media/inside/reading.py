"""One reading of one file, from front to back. Runs inside the sandbox.

Every packet is noted, the sound is decoded for its loudness, and of the pictures only some key frames are
decoded: a twentieth of the work of watching it.
"""

from __future__ import annotations

import json
import os
import struct

import av
from av.codec.codec import UnknownCodecError
from av.container import InputContainer
from av.stream import Disposition, Stream

from media.inside.canvas import PIXEL_LIMIT, RefusalError, check_size
from media.inside.track import Pictures, Sections, Sound

FORMATS = (  # demuxers worth their risk; playlists, scripts and captions are not media here
    "mov,mp4,m4a,3gp,3g2,mj2,mpegts,mpeg,avi,matroska,webm,asf,flv,mxf,h264,hevc,m4v,mjpeg,dv,gif,"
    "wav,w64,mp3,aac,amr,amrnb,amrwb,flac,ogg,aiff,caf,ac3,"
    "jpeg_pipe,png_pipe,bmp_pipe,webp_pipe,tiff_pipe"
)
POSTER_SIDE, PHOTO_SIDE = 640, 1280
DURATION_LIMIT_S = 7 * 24 * 3600  # a length beyond this was not measured, it was invented
BOX_HEAD, LONG_BOX_HEAD, BOX_LIMIT = 8, 16, 64  # ISO/IEC 14496-12, 4.2
TOP_BOXES = {
    b"ftyp",
    b"moov",
    b"mdat",
    b"free",
    b"skip",
    b"wide",
    b"moof",
    b"sidx",
    b"styp",
    b"udta",
    b"uuid",
}


def read(path: str, *, deep: bool) -> Sections:
    """The sections of one file. Raises RefusalError."""
    if not os.path.getsize(path):  # noqa: PTH202  # the interpreter starts a tenth faster without pathlib
        raise RefusalError("empty")
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file", "max_pixels": str(PIXEL_LIMIT)}
    try:
        container = av.open(path, options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as cause:
        raise RefusalError("truncated" if lacks_index(path) else "not_media") from cause
    with container:
        try:
            return Reading(container).sections(deep=deep)
        except (av.FFmpegError, UnknownCodecError) as cause:
            raise RefusalError("unreadable") from cause
        except MemoryError as cause:
            raise RefusalError("huge_picture") from cause


def lacks_index(path: str) -> bool:
    """Whether this is an MP4 or MOV whose `moov` was never written: the recorder lost its power."""
    kinds, place, end = set[bytes](), 0, os.path.getsize(path)  # noqa: PTH202
    with open(path, "rb") as file:  # noqa: PTH123
        while place + BOX_HEAD <= end and len(kinds) < BOX_LIMIT:
            file.seek(place)
            head = file.read(LONG_BOX_HEAD)
            size, kind = struct.unpack_from(">I4s", head)
            if size == 1 and len(head) == LONG_BOX_HEAD:
                size = struct.unpack_from(">Q", head, BOX_HEAD)[0]
            if kind not in TOP_BOXES:
                break
            kinds.add(kind)
            if size < BOX_HEAD:  # "to the end of the file", or nonsense
                break
            place += size
    return bool(kinds & {b"ftyp", b"mdat"}) and b"moov" not in kinds


class Reading:
    """The container and what has been learnt so far."""

    def __init__(self, container: InputContainer) -> None:
        self._container = container
        moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        sounding = [s for s in container.streams.audio if s.codec_context is not None]
        self._is_photo = container.format.name.endswith("_pipe")
        self._pictures = Pictures(moving[0], self._declared_s()) if moving else None
        self._sound = Sound(sounding[0]) if sounding else None
        self._end_s, self._is_cut = 0.0, False

    def sections(self, *, deep: bool) -> Sections:
        """All there is to say; only the facts when not `deep`."""
        if self._pictures is None and self._sound is None:
            raise RefusalError("not_media")
        if self._pictures is not None:
            context = self._pictures.stream.codec_context
            check_size(context.width, context.height)
        if not deep:
            return [(b"fact", self._facts())]
        if self._is_photo:
            self._read_photo()
        else:
            self._read_packets()
        return [(b"fact", self._facts()), *self._made()]

    def _made(self) -> Sections:
        made: Sections = []
        if self._pictures is not None and self._is_photo:
            made += self._pictures.poster(PHOTO_SIDE)
        elif self._pictures is not None:
            made += [
                *self._pictures.packet_map(),
                *self._pictures.poster(POSTER_SIDE),
                *self._pictures.sheet(),
            ]
        return made + (self._sound.curve(self._duration_ms()) if self._sound else [])

    def _read_photo(self) -> None:
        frame = next(self._container.decode(video=0), None)
        if not isinstance(frame, av.VideoFrame) or self._pictures is None:
            raise RefusalError("unreadable")
        self._pictures.keep(0.0, frame)

    def _read_packets(self) -> None:
        """Front to back; a file that ends in the middle keeps what came before."""
        wanted = [track.stream for track in (self._pictures, self._sound) if track is not None]
        try:
            for packet in self._container.demux(wanted):
                self._take(packet)
        except (av.FFmpegError, OSError):
            self._is_cut = True
        if self._sound is not None:
            self._sound.finish()

    def _take(self, packet: av.Packet[Stream]) -> None:
        at = packet.pts if packet.pts is not None else packet.dts
        if not packet.size or at is None or packet.time_base is None:
            return
        self._is_cut = self._is_cut or packet.is_corrupt
        seconds = float((at - (packet.stream.start_time or 0)) * packet.time_base)
        if 0 <= seconds < DURATION_LIMIT_S:
            self._end_s = max(self._end_s, seconds + float((packet.duration or 0) * packet.time_base))
        if self._pictures is not None and packet.stream is self._pictures.stream:
            self._pictures.take(packet, at, seconds)
        elif self._sound is not None:
            self._sound.take(packet)

    def _declared_s(self) -> float | None:
        """What the container says its length is, if that can be."""
        length = (self._container.duration or 0) / av.time_base
        return length if 0 < length < DURATION_LIMIT_S else None

    def _duration_ms(self) -> int:
        """Measured when packets were read, else declared; 0 when unknown."""
        return (
            0
            if self._is_photo
            else round(1000 * min(self._end_s or self._declared_s() or 0, DURATION_LIMIT_S))
        )

    def _facts(self) -> bytes:
        """What kind of file it is, as JSON (media.probe.MediaFacts)."""
        video = None if self._pictures is None else self._pictures
        kind = "image" if self._is_photo else "video" if video else "audio"
        said = {
            "v": 1, "kind": kind, "container": self._container.format.name, "duration_ms": self._duration_ms(),
            "video": video.facts() if video else None, "audio": self._sound.facts() if self._sound else None,
            "sprite": video.layout() if video and not self._is_photo else None, "is_cut": self._is_cut,
        }  # fmt: skip
        return json.dumps(said).encode()
