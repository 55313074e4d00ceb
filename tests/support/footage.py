"""Real footage for tests, tiny, encoded once per test process: every kind of file that a recorder hands over."""

from __future__ import annotations

import atexit
import shutil
import struct
import tempfile
import zlib
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path

from sealdock.footage import Codec, Scene, Shot, audio_note, converted, photo, video

STARTED_AT = datetime(2026, 11, 23, 14, 5, 9, tzinfo=timezone(timedelta(hours=8)))
SECONDS = 4
SMALL = {"seconds": SECONDS, "width": 320, "height": 180, "frames_per_second": 10, "bits_per_second": 200_000}
SHOT = Shot("060123", "X1A0001", STARTED_AT, **SMALL)
HEVC_SHOT = Shot("060124", "X1A0002", STARTED_AT, scene=Scene.WAREHOUSE, codec=Codec.HEVC, **SMALL)


@cache
def directory() -> Path:
    """Where this process keeps its footage; gone when it ends."""
    made = Path(tempfile.mkdtemp(prefix="footage-tests-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@cache
def clip(name: str) -> Path:
    """One file by name: h264 hevc ts mov mjpeg mpeg4 fragmented rotated photo wav mp3 truncated text empty bomb."""
    path = directory() / f"{name}{_SUFFIXES.get(name, '.mp4')}"
    path.write_bytes(_MADE[name]())
    return path


def _again(**options: object) -> bytes:
    return converted(clip("h264"), **options)


def _bomb() -> bytes:
    """A PNG of 60,000 x 60,000 black pixels in a few kilobytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    lines = zlib.compress(bytes(60_001) * 50, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


_SUFFIXES = {
    "ts": ".ts", "mov": ".mov", "mjpeg": ".avi", "mpeg4": ".3gp", "photo": ".jpg", "wav": ".wav", "mp3": ".mp3",
    "bomb": ".png", "adts": ".aac",
}  # fmt: skip
_MADE = {
    "h264": lambda: video(SHOT),
    "hevc": lambda: video(HEVC_SHOT),
    "photo": lambda: photo(SHOT),
    "wav": lambda: audio_note(SHOT),
    "ts": lambda: _again(format="mpegts", c="copy"),
    "mov": lambda: _again(format="mov", c="copy"),
    "fragmented": lambda: _again(format="mp4", c="copy", movflags="frag_keyframe+empty_moov"),
    "rotated": lambda: _again(format="mp4", c="copy", **{"metadata:s:v:0": "rotate=90"}),
    "mjpeg": lambda: _again(format="avi", vcodec="mjpeg", acodec="pcm_s16le", **{"q:v": 8}),
    "mpeg4": lambda: _again(format="3gp", vcodec="mpeg4", acodec="aac"),
    "large": lambda: _again(format="mp4", vcodec="mpeg4", vf="scale=1280:720", t=1, an=None),
    "portrait": lambda: _again(format="mp4", vcodec="mpeg4", vf="transpose=1,scale=1080:1920", t=1, an=None),
    "silent": lambda: _again(format="mp4", vcodec="copy", an=None),
    "mp3": lambda: _again(format="mp3", acodec="libmp3lame", vn=None),
    "adts": lambda: _again(format="adts", acodec="copy", vn=None),
    "truncated": lambda: clip("h264").read_bytes()[: clip("h264").stat().st_size * 6 // 10],
    "text": lambda: b"shift notes: nothing to report\n" * 200,
    "empty": lambda: b"",
    "bomb": _bomb,
}
