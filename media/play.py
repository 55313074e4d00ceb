"""How a recording is shown: the original itself, a proxy of it, or not at all.

Decided here, by codec, because a browser cannot be trusted to say: Chromium plays HEVC and MPEG-4 as sound
without a picture and reports no error (measured). "Direct" is what Chromium 109 and later decodes in software
from a plain `src`, asked for by range.
"""

from __future__ import annotations

from enum import StrEnum

from media.probe import AudioTrack, MediaFacts, VideoTrack

MP4_FAMILY = frozenset({"mov", "mp4", "m4a", "3gp", "3g2", "mj2"})
WEBM_FAMILY = frozenset({"matroska", "webm"})
_MP4_AUDIO = frozenset({"aac", "mp3", "opus", "flac"})
_WEBM_VIDEO, _WEBM_AUDIO = frozenset({"vp8", "vp9", "av1"}), frozenset({"opus", "vorbis"})
_EIGHT_BIT = frozenset({"yuv420p", "yuvj420p"})  # what the software decoder and the screen agree on
_SOUND = {
    "wav": frozenset({"pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_f32le"}), "mp3": frozenset({"mp3", "mp3float"}),
    "flac": frozenset({"flac"}), "ogg": frozenset({"vorbis", "opus", "flac"}), "aac": frozenset({"aac"}),
}  # fmt: skip
_IMAGES = {
    "jpeg_pipe": "image/jpeg",
    "png_pipe": "image/png",
    "webp_pipe": "image/webp",
    "bmp_pipe": "image/bmp",
}
_SOUND_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "aac": "audio/aac",
}


class Play(StrEnum):
    """What the console offers."""

    PENDING = "pending"
    DIRECT = "direct"
    PROXY = "proxy"
    NONE = "none"


def decide(facts: MediaFacts) -> Play:
    """Original, proxy or nothing."""
    if facts.kind == "image":
        return Play.DIRECT if facts.container in _IMAGES else Play.NONE
    if facts.kind == "audio":
        return Play.DIRECT if _plays_sound(facts) else Play.PROXY
    return Play.DIRECT if _plays_pictures(facts) else Play.PROXY


def mime(facts: MediaFacts) -> str:
    """The type to serve the original as; octets when it should only be downloaded."""
    if decide(facts) is not Play.DIRECT:
        return "application/octet-stream"
    names = _names(facts)
    if facts.kind == "image":
        return _IMAGES[facts.container]
    if names & MP4_FAMILY:
        return "video/mp4" if facts.kind == "video" else "audio/mp4"
    if names & WEBM_FAMILY:
        return "video/webm" if facts.kind == "video" else "audio/webm"
    return _SOUND_TYPES[next(name for name in _SOUND if name in names)]


def _names(facts: MediaFacts) -> frozenset[str]:
    return frozenset(facts.container.split(","))


def _plays_pictures(facts: MediaFacts) -> bool:
    names, video = _names(facts), facts.video
    if video is None or video.width == 0:
        return False
    if names & MP4_FAMILY:
        return _is_plain_h264(video) and _is_in(facts.audio, _MP4_AUDIO)
    return bool(names & WEBM_FAMILY) and video.codec in _WEBM_VIDEO and _is_in(facts.audio, _WEBM_AUDIO)


def _plays_sound(facts: MediaFacts) -> bool:
    names = _names(facts)
    if names & MP4_FAMILY:
        return _is_in(facts.audio, _MP4_AUDIO)
    if names & WEBM_FAMILY:
        return _is_in(facts.audio, _WEBM_AUDIO)
    return any(name in names and _is_in(facts.audio, codecs) for name, codecs in _SOUND.items())


def _is_plain_h264(video: VideoTrack) -> bool:
    return video.codec == "h264" and video.pixels in _EIGHT_BIT


def _is_in(audio: AudioTrack | None, codecs: frozenset[str]) -> bool:
    return audio is None or audio.codec in codecs
