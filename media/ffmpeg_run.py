"""Graphs of ffmpeg-python, run between the sandbox's walls.

Graphs are built with the library and compiled to an argument list; starting the program is the sandbox's.
Inputs are named by where the sandbox shows them (`/in/<name>`). Output comes through standard output, so
that no plaintext is written; a container that must be seekable while it is written (a plain MP4) is made in
the sandbox's own memory and copied out when it is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ffmpeg

from media import sandbox
from media.walls import Limits, Task

SCRATCH = "/tmp/out"  # noqa: S108  # the sandbox's own memory file system
STDOUT = "pipe:1"
Progress = Callable[[float], None]  # seconds of media done

_QUIET = ("-hide_banner", "-nostdin", "-loglevel", "error")
_REPORTED = (
    "frame=",
    "fps=",
    "stream_",
    "bitrate=",
    "total_size=",
    "out_time",
    "dup_",
    "drop_",
    "speed=",
    "progress=",
)


def shown(name: str) -> str:
    """Where a graph finds the input called `name`."""
    return f"/in/{name}"


def task(graph: Any, inputs: Mapping[str, Path]) -> Task:
    """`graph` as a command whose last output goes to standard output."""
    program, *arguments = ffmpeg.compile(graph, cmd="ffmpeg", overwrite_output=True)
    return Task([program, *_QUIET, "-progress", "pipe:2", *arguments], inputs)


def chunks(
    graph: Any, inputs: Mapping[str, Path], limits: Limits, progress: Progress | None = None
) -> Iterator[bytes]:
    """Run `graph`, whose output is STDOUT, and yield what it writes as it is written. Raises MediaError."""
    with sandbox.stream(task(graph, inputs), limits, _listener(progress)) as running:
        yield from running


def whole(graph: Any, inputs: Mapping[str, Path], limits: Limits) -> bytes:
    """Run `graph`, whose output is SCRATCH, and give back the finished file. Raises MediaError."""
    made = task(graph, inputs)
    copied = Task(["sh", "-c", f'"$@" && exec cat {SCRATCH}', "sh", *made.argv], inputs)
    with sandbox.stream(copied, limits, _listener(None)) as running:
        return b"".join(running)


def _listener(progress: Progress | None) -> Callable[[str], bool]:
    def hear(line: str) -> bool:
        key, _, value = line.partition("=")
        if key == "out_time_us" and progress is not None and value.lstrip("-").isdigit():
            progress(max(0.0, int(value) / 1e6))
        return line.startswith(_REPORTED)

    return hear
