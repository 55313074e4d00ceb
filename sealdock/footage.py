"""Synthetic body-camera footage for the demo, the tests and the benchmarks, encoded on the spot.

What a recorder writes: H.264 or HEVC without B frames, a key frame every second, AAC sound, `moov` last, the
recorder's clock, serial and officer number burnt in. The same shot gives the same file with the same ffmpeg
and thread count. Speech is Chinese and English where espeak-ng is installed and silence with street noise
where it is not; photographs carry EXIF where exiftool is installed. Everything is drawn or spoken by
programs: nobody is shown, nobody's voice is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ffmpeg

from media import ffmpeg_run, sandbox
from media.error import MediaToolMissingError
from media.ffmpeg_run import SCRATCH, shown
from media.walls import Limits, Task
from sealdock import scenery

MODEL = "DSJ-X1"
SOUND_RATE = 48_000
FIRST_WORD_MS, PAUSE_MS = 700, 500
LIMITS = Limits(
    wall_s=600, cpu_s=1200, memory_bytes=4 << 30, output_bytes=2 << 30, scratch_bytes=2 << 30, idle=False
)
_FONTS = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
)
_BITEXACT = {"fflags": "+bitexact", "flags:v": "+bitexact", "flags:a": "+bitexact"}


class Scene(StrEnum):
    """Where the officer stands."""

    STREET = "street"
    WAREHOUSE = "warehouse"


class Codec(StrEnum):
    """How the recorder encodes pictures."""

    H264 = "h264"
    HEVC = "hevc"


@dataclass(frozen=True)
class Shot:
    """One recording to make. `started_at` is the recorder's local time, aware."""

    officer_number: str
    recorder_serial: str
    started_at: datetime
    seconds: int = 10
    scene: Scene = Scene.STREET
    codec: Codec = Codec.H264
    width: int = 1280
    height: int = 720
    frames_per_second: int = 25
    bits_per_second: int = 2_500_000
    grain: int = 0  # sensor noise, 0..100: a benchmark needs pictures that are as hard to decode as real ones


_SPEECH = {
    Scene.STREET: (
        ("cmn", "您好，我们是应急管理局执法人员，现在依法对您的店铺进行检查，全程录音录像，请您配合。"),
        ("en", "Two gas cylinders stand beside the door. Please show me the storage permit."),
    ),
    Scene.WAREHOUSE: (
        ("cmn", "这里的安全出口被货物堵塞，请你们立即整改。"),
        ("en", "Warehouse inspection. The emergency exit is blocked by boxes. I am taking a photograph now."),
    ),
}


def video(shot: Shot) -> bytes:
    """An MP4 file as the recorder writes it. Raises MediaError."""
    with _props(shot) as props:
        picture, sound = _camera(shot), ffmpeg.input(shown("sound.wav"))
        graph = ffmpeg.output(
            picture, sound.audio, SCRATCH, format="mp4", t=shot.seconds, pix_fmt="yuv420p",
            r=shot.frames_per_second, acodec="aac", **{"b:a": "64k", "b:v": shot.bits_per_second},
            **_encoder(shot), **_BITEXACT, **_written(shot),
        )  # fmt: skip
        return ffmpeg_run.whole(graph, props, LIMITS)


def photo(shot: Shot) -> bytes:
    """A JPEG photograph of the scene, with the recorder's EXIF where exiftool is installed. Raises MediaError."""
    with _props(shot) as props:
        options = {"frames:v": 1, "q:v": 3, "format": "mjpeg", "pix_fmt": "yuvj420p", **_BITEXACT}
        plain = ffmpeg_run.whole(ffmpeg.output(_camera(shot), SCRATCH, **options), props, LIMITS)
    return _with_exif(plain, shot)


def audio_note(shot: Shot) -> bytes:
    """A WAV file: the officer speaks, 16 bit mono. Raises MediaError."""
    return _sound(shot)


def converted(original: Path, **options: Any) -> bytes:
    """`original` written again with ffmpeg's output `options` (tests: other containers and codecs)."""
    graph = ffmpeg.output(ffmpeg.input(shown("original")), SCRATCH, **_BITEXACT, **options)
    return ffmpeg_run.whole(graph, {"original": original}, LIMITS)


@contextmanager
def _props(shot: Shot) -> Iterator[Mapping[str, Path]]:
    """The drawings and the sound of one shot, as the sandbox shows them."""
    place = scenery.street() if shot.scene is Scene.STREET else scenery.warehouse()
    vest = shot.scene is Scene.WAREHOUSE
    drawn = {"place.svg": place, "step0.svg": scenery.walker(0, vest=vest), "step1.svg": scenery.walker(1, vest=vest),
             "van.svg": scenery.van(), "sound.wav": _sound(shot)}  # fmt: skip
    with TemporaryDirectory(prefix="footage-") as directory:
        paths = {name: Path(directory, name) for name in drawn}
        for name, content in drawn.items():
            paths[name].write_bytes(content)
            paths[name].chmod(0o644)
        yield paths


def _drawing(name: str, width: int, height: int, shot: Shot, pixels: str = "yuva420p") -> Any:
    """A drawing rendered once and held as an endless still."""
    rendered = ffmpeg.input(shown(name), format="svg_pipe", width=width, height=height)
    rendered = rendered.filter("format", pixels)  # once, before it is held
    still = rendered.filter("loop", loop=-1, size=1, start=0)
    return still.filter("setpts", f"N/({shot.frames_per_second}*TB)").filter("fps", shot.frames_per_second)


def _camera(shot: Shot) -> Any:
    """The place with a walker and a van, seen through a drifting lens, with the recorder's line of text."""
    scale = shot.height / 720
    wide, tall = _even(1400 * shot.width / 1280), _even(1400 * shot.width / 1280 * 9 / 16)
    scene = _drawing("place.svg", wide, tall, shot, "yuv420p")
    scene = _with_walker(scene, shot, scale, tall)
    if shot.scene is Scene.STREET:
        van = _drawing("van.svg", _even(560 * scale), _even(250 * scale), shot)
        scene = scene.overlay(
            van, x=f"{wide}*1.1-t*{wide // 5}", y=f"{tall - 240 * scale:.0f}", eof_action="repeat"
        )
    margin_x, margin_y = (wide - shot.width) / 2, max(0, tall - shot.height) / 2
    x = f"{margin_x}+{margin_x * 0.7}*sin(t*0.6)+{3 * scale}*sin(t*9.1)+{2 * scale}*sin(t*17.3)"
    y = f"{margin_y}+{margin_y * 0.6}*sin(t*0.43)+{3 * scale}*sin(t*7.7)"
    seen = scene.filter("crop", shot.width, shot.height, x, y)
    seen = seen.filter("eq", brightness="0.025*sin(t*1.7)", eval="frame")
    if shot.grain:
        seen = seen.filter("noise", alls=shot.grain, allf="t", all_seed=11)
    return _burnt_in(seen, shot)


def _with_walker(scene: Any, shot: Shot, scale: float, tall: int) -> Any:
    width, height = _even(190 * scale), _even(398 * scale)
    x = f"-{width}+mod(t*{150 * scale:.0f}+{420 * scale:.0f},{1500 * scale:.0f})"
    y = f"{tall - height - 78 * scale:.0f}+{3 * scale:.0f}*sin(t*12)"
    for step, when in ((0, "lt(mod(t,0.56),0.28)"), (1, "gte(mod(t,0.56),0.28)")):
        figure = _drawing(f"step{step}.svg", width, height, shot)
        scene = scene.overlay(figure, x=x, y=y, enable=when, eof_action="repeat")
    return scene


def _burnt_in(seen: Any, shot: Shot) -> Any:
    """Clock, serial, officer number, as the recorder writes them into the picture."""
    font = next((path for path in _FONTS if Path(path).exists()), None)
    if font is None:
        raise MediaToolMissingError(program="DejaVu Sans", package="fonts-dejavu-core")
    local = int(shot.started_at.timestamp() + (shot.started_at.utcoffset() or timedelta()).total_seconds())
    clock = f"%{{pts:gmtime:{local}:%Y-%m-%d %H\\:%M\\:%S}}"
    size, edge = max(10, shot.height // 30), max(4, shot.height // 36)
    style = {
        "fontfile": font,
        "fontsize": size,
        "fontcolor": "white",
        "borderw": max(1, size // 12),
        "x": edge,
    }
    line = f"{MODEL} {shot.recorder_serial} {shot.officer_number}"
    lower = shot.height - edge - size
    return seen.drawtext(text=clock, y=edge, escape_text=False, **style).drawtext(text=line, y=lower, **style)


def _encoder(shot: Shot) -> dict[str, Any]:
    """Short groups of pictures, no B frames; no rate buffer, because that makes threaded x264 differ run to run."""
    rate = shot.frames_per_second
    if shot.codec is Codec.H264:
        return {
            "vcodec": "libx264",
            "preset": "superfast",
            "profile:v": "main",
            "bf": 0,
            "g": rate,
            "sc_threshold": 0,
        }
    parameters = f"bframes=0:keyint={rate}:min-keyint={rate}:scenecut=0:repeat-headers=0:log-level=error"
    return {"vcodec": "libx265", "preset": "ultrafast", "tag:v": "hvc1", "x265-params": parameters}


def _written(shot: Shot) -> dict[str, Any]:
    made = shot.started_at.isoformat()
    return {
        "movflags": "use_metadata_tags",
        "metadata": f"creation_time={made}",
        "metadata:g:1": f"model={MODEL}",
    }


def _sound(shot: Shot) -> bytes:
    """Speech every few seconds over the hum of the place: 16 bit mono WAV."""
    with TemporaryDirectory(prefix="footage-") as directory:
        voices = _voices(Path(directory), shot.scene)
        hum = f"anoisesrc=r={SOUND_RATE}:c=pink:a=0.015:seed=7:d={shot.seconds}"
        tracks, at_ms = [ffmpeg.input(hum, format="lavfi").audio], FIRST_WORD_MS
        for name, path in voices.items():
            spoken = ffmpeg.input(shown(name), format="wav").audio.filter("aresample", SOUND_RATE)
            tracks.append(spoken.filter("adelay", at_ms, all=1))
            at_ms += _milliseconds(path) + PAUSE_MS
        mixed = ffmpeg.filter(tracks, "amix", inputs=len(tracks), normalize=0, duration="longest")
        graph = ffmpeg.output(
            mixed.filter("atrim", 0, shot.seconds), SCRATCH, format="wav", acodec="pcm_s16le", ac=1, ar=SOUND_RATE,
            **_BITEXACT,
        )  # fmt: skip
        return ffmpeg_run.whole(graph, voices, LIMITS)


def _voices(directory: Path, scene: Scene) -> dict[str, Path]:
    """One WAV file per sentence; none where no voice is installed."""
    voices = {}
    for number, (voice, text) in enumerate(_SPEECH[scene]):
        task = Task(["espeak-ng", "-v", voice, "-s", "165", "--stdout", text])
        with suppress(MediaToolMissingError):
            path = directory / f"voice{number}.wav"
            path.write_bytes(sandbox.run(task, LIMITS))
            voices[path.name] = path
    return voices


def _milliseconds(wav: Path) -> int:
    """Length of what espeak-ng wrote: 22,050 samples of 16 bits a second after 44 bytes of header."""
    return (wav.stat().st_size - 44) * 1000 // (22_050 * 2)


def _with_exif(plain: bytes, shot: Shot) -> bytes:
    """The photograph with what a recorder notes in it; unchanged where exiftool is not installed."""
    taken = shot.started_at
    facts = {
        "Make": "DSJ", "Model": MODEL, "SerialNumber": shot.recorder_serial, "Artist": shot.officer_number,
        "DateTimeOriginal": f"{taken:%Y:%m:%d %H:%M:%S}", "OffsetTimeOriginal": taken.isoformat()[-6:],
        "GPSLatitude": "31.230416", "GPSLatitudeRef": "N", "GPSLongitude": "121.473701", "GPSLongitudeRef": "E",
    }  # fmt: skip
    with TemporaryDirectory(prefix="footage-") as directory, suppress(MediaToolMissingError):
        path = Path(directory, "photo.jpg")
        path.write_bytes(plain)
        tags = [f"-{name}={value}" for name, value in facts.items()]
        return sandbox.run(
            Task(["exiftool", "-q", *tags, "-o", "-", shown("photo.jpg")], {"photo.jpg": path}), LIMITS
        )
    return plain


def _even(length: float) -> int:
    return int(length) // 2 * 2
