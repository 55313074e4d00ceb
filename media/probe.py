"""What a media file is: its container, tracks and length, as the sandboxed tool reports them.

The report comes from a program that has read hostile bytes, so every field is bounded here and an unknown
one is refused. Widths and heights are pixels as coded, before rotation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from media import sandbox, section
from media.error import MalformedIndexError
from media.walls import Limits, Task, python_task

TOOL = Path(__file__).parent / "inside"
ORIGINAL = "original"
WEEK_MS = 7 * 24 * 3600 * 1000
TILES = 100  # at most, of any recording

Word = Annotated[str, Field(max_length=64, pattern=r"^[\w ,.:+()/-]*$")]
Side = Annotated[int, Field(ge=0, le=16384)]
Count = Annotated[int, Field(ge=0, le=1 << 32)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class VideoTrack(_Said):
    """The picture track that is shown."""

    codec: Word
    profile: Word
    pixels: Word
    width: Side
    height: Side
    rotation: Annotated[int, Field(ge=0, lt=360)]
    frames_per_second: Annotated[float, Field(ge=0, le=1000)]
    time_base: Annotated[str, Field(pattern=r"^\d{1,10}/\d{1,10}$")]
    packets: Count
    keyframes: Count


class AudioTrack(_Said):
    """The sound track that is played."""

    codec: Word
    rate: Annotated[int, Field(ge=0, le=1_000_000)]
    channels: Annotated[int, Field(ge=0, le=255)]
    packets: Count


class SpriteLayout(_Said):
    """Tiles in rows of `columns` on one sheet; tile n shows the picture at `times_ms[n]`."""

    columns: Annotated[int, Field(ge=1, le=TILES)]
    width: Annotated[int, Field(ge=1, le=640)]
    height: Annotated[int, Field(ge=1, le=640)]
    times_ms: Annotated[list[Annotated[int, Field(ge=0, le=WEEK_MS)]], Field(min_length=1, max_length=TILES)]


class MediaFacts(_Said):
    """All that is said of one file; `is_cut` when it ends in the middle of something."""

    v: Literal[1]
    kind: Literal["video", "audio", "image"]
    container: Word
    duration_ms: Annotated[int, Field(ge=0, le=WEEK_MS)]
    video: VideoTrack | None
    audio: AudioTrack | None
    sprite: SpriteLayout | None
    is_cut: bool

    @model_validator(mode="after")
    def _has_what_it_is(self) -> MediaFacts:
        if (self.audio if self.kind == "audio" else self.video) is None:
            raise ValueError("the track that gives it its kind is missing")
        return self

    @classmethod
    def parse(cls, raw: bytes) -> MediaFacts:
        """Read the tool's report. Raises MalformedIndexError."""
        try:
            return cls.model_validate_json(raw)
        except ValidationError as cause:
            raise MalformedIndexError(why=str(cause.errors(include_input=False)[0]["msg"])) from cause


def tool(original: Path, *arguments: str) -> Task:
    """The tool on one file, as the sandbox runs it."""
    return python_task(TOOL, ["av"], [f"/in/{ORIGINAL}", *arguments], {ORIGINAL: original})


def probe(original: Path, limits: Limits) -> MediaFacts:
    """Open the file and read no packet: a fraction of a second. Raises MediaError."""
    found = section.parse(sandbox.run(tool(original, "probe"), limits), {"fact": 64 << 10})
    return MediaFacts.parse(found["fact"])
