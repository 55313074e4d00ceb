"""The proxy: a small H.264 rendition of a recording that browsers cannot play.

540 lines, encoded as fast as it goes (1.5 times the work of decoding alone), a key frame every two seconds,
sound as AAC. It streams out of the sandbox as fragmented MP4, so no plaintext is written anywhere: the body
can be sealed while it is made, the head with its seek index follows. A proxy is a derivative: never
evidence, always named after its parent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ffmpeg

from media import ffmpeg_run
from media.ffmpeg_run import STDOUT, shown
from media.fragment import FragmentedStream, FragmentError
from media.probe import ORIGINAL, MediaFacts
from media.walls import Limits

MIME = {"video": "video/mp4", "audio": "audio/mp4"}
LINES = 540
KEY_EVERY_S = 2
QUALITY = 27  # x264 CRF; ultrafast needs about a third more bits than veryfast for the same picture
SOUND_BITS_PER_SECOND = 64_000

_CONTAINER = {"format": "mp4", "map_metadata": -1, "map_chapters": -1}
_FRAGMENTED = "empty_moov+default_base_moof+skip_trailer"


class Proxy:
    """One proxy in the making: iterate for the body, then ask for the head."""

    def __init__(
        self,
        original: Path,
        facts: MediaFacts,
        limits: Limits,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self._original, self._facts, self._limits = original, facts, limits
        self._progress = progress
        self._stream, self._is_whole = FragmentedStream(), False

    def __iter__(self) -> Iterator[bytes]:
        """The body as it is encoded; `progress` hears how far it is, 0 to 1. Raises MediaError."""
        for piece in ffmpeg_run.chunks(
            graph(self._facts), {ORIGINAL: self._original}, self._limits, self._report
        ):
            yield from self._stream.feed(piece)
        self._is_whole = True

    def head(self) -> bytes:
        """What goes before the body. Raises FragmentError unless the body has come to its end."""
        if not self._is_whole:
            raise FragmentError(why="it was not read to its end")
        return self._stream.head()

    def _report(self, seconds: float) -> None:
        if self._progress is not None and self._facts.duration_ms:
            self._progress(min(1.0, 1000 * seconds / self._facts.duration_ms))


def graph(facts: MediaFacts) -> Any:
    """The whole command as an ffmpeg-python graph: first picture track, first sound track, nothing else."""
    source = ffmpeg.input(shown(ORIGINAL), protocol_whitelist="file")
    tracks, options = [], {**_CONTAINER, "movflags": f"{_FRAGMENTED}+frag_keyframe"}
    if facts.video is not None:
        tracks.append(_picture(source["v:0"]))
        options |= {
            "vcodec": "libx264", "preset": "ultrafast", "crf": QUALITY, "pix_fmt": "yuv420p",
            "force_key_frames": f"expr:gte(t,n_forced*{KEY_EVERY_S})", "sc_threshold": 0,
        }  # fmt: skip
    else:
        options |= {"movflags": _FRAGMENTED, "frag_duration": KEY_EVERY_S * 1_000_000}
    if facts.audio is not None:
        tracks.append(source["a:0"])
        options |= {"acodec": "aac", "b:a": SOUND_BITS_PER_SECOND, "ac": min(2, facts.audio.channels or 1)}
    return ffmpeg.output(*tracks, STDOUT, **options)


def _picture(track: Any) -> Any:
    """Square pixels, at most LINES high, never larger than the original; even sides for 4:2:0."""
    return track.filter(
        "scale", w=f"trunc(iw*sar*min(1,{LINES}/ih)/2)*2", h=f"trunc(min(ih,{LINES})/2)*2", flags="fast_bilinear"
    ).filter("setsar", 1)  # fmt: skip
