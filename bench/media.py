"""The media pipeline against one full decode of the same file by the same ffmpeg, as ratios from one run.

    python -m bench.media [--seconds 60] [--size 1920x1080]

Processor time is what all processes together used, so a busy machine changes it little; wall time is the
second column. Goals: docs and issue text; a ratio above its goal is printed with `!` and the exit status is
1.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import ffmpeg

from media import ffmpeg_run, sandbox
from media.lens import present
from media.probe import probe, tool
from media.proxy import graph
from media.walls import Limits, Task, python_task
from sealdock.footage import Codec, Shot, video
from vault.formats.payload import PayloadReader, seal_payload

LIMITS = Limits(wall_s=900, cpu_s=1800, output_bytes=4 << 30, idle=False)
_TIMED = 'TIMEFORMAT="cpu=%U %S"; time "$@"'
FILE_KEY, NONCE = b"k" * 16, b"n" * 16


@dataclass
class Spent:
    """What a piece of work cost."""

    wall_s: float
    cpu_s: float


def measure(work: Callable[[], object]) -> Spent:
    """Wall and processor seconds of `work` in this process; for what runs inside the walls see `timed`."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - began, time.process_time() - used)


def timed(task: Task) -> Spent:
    """What a sandboxed program cost, start of the sandbox included; processor time as its own shell counts it."""
    watched = Task(["bash", "-c", _TIMED, "bash", *task.argv], task.inputs, task.read_only)
    told: list[float] = []

    def hear(line: str) -> bool:
        if line.startswith("cpu="):
            told.extend(float(word) for word in line.removeprefix("cpu=").split())
        return True

    def work() -> None:
        with sandbox.stream(watched, LIMITS, hear) as running:
            for _ in running:
                pass

    ours = measure(work)
    return Spent(ours.wall_s, ours.cpu_s + sum(told))


def decode(path: Path) -> Task:
    nowhere = ffmpeg.output(ffmpeg.input("/in/original"), "-", format="null")
    return ffmpeg_run.task(nowhere, {"original": path})


def encode(path: Path) -> Task:
    return ffmpeg_run.task(graph(probe(path, LIMITS)), {"original": path})


def read_through(path: Path) -> Task:
    return Task(["bash", "-c", "cat /in/original | wc -c"], {"original": path})


def report(name: str, spent: Spent, base: Spent | None, goal: float | None, by: str) -> bool:
    """One line; whether the goal holds."""
    ratio = None if base is None else getattr(spent, by) / getattr(base, by)
    held = goal is None or ratio is None or ratio <= goal
    told = "" if ratio is None else f"{ratio:8.3f} of {by.removesuffix('_s')}"
    limit = "" if goal is None else f"  (goal {goal:.3f}{'' if held else ' !'})"
    print(f"{name:<38}{spent.wall_s:8.2f} s wall{spent.cpu_s:8.2f} s cpu {told}{limit}", flush=True)
    return held


def bench_codec(codec: Codec, shot: Shot, directory: Path) -> bool:
    path = directory / f"{codec}.mp4"
    path.write_bytes(video(shot))
    path.chmod(0o644)
    whole = path.read_bytes()
    print(f"\n{codec}: {shot.seconds} s of {shot.width}x{shot.height}, {len(whole) / 1e6:.1f} MB")
    decoded = timed(decode(path))
    hashed = measure(lambda: hashlib.sha256(whole).hexdigest())
    report("full decode", decoded, None, None, "cpu_s")
    report("sha256 (hashlib)", hashed, decoded, None, "cpu_s")
    indexed = timed(tool(path))
    held = report("index / decode", indexed, decoded, 1 / 15, "wall_s")
    report("index / decode", indexed, decoded, None, "cpu_s")
    report("index / sha256", indexed, hashed, None, "wall_s")
    stored = directory / "object.chunks"
    stored.write_bytes(seal_payload(FILE_KEY, NONCE, whole))
    with (
        PayloadReader.open(stored, FILE_KEY, NONCE) as reader,
        present(reader, reader.size, directory) as lens,
    ):
        report("index through the lens / decode", timed(tool(lens)), decoded, None, "wall_s")
    return report("540p proxy / decode", timed(encode(path)), decoded, 1.7, "cpu_s") and held


def bench_lens(directory: Path, mebibytes: int = 512) -> None:
    stored = directory / "large.chunks"
    content = hashlib.shake_128(b"lens").digest(1 << 20) * mebibytes
    stored.write_bytes(seal_payload(FILE_KEY, NONCE, content))
    print(f"\nlens: {mebibytes} MiB sealed object, read in order by a sandboxed program")
    for _ in range(3):
        with (
            PayloadReader.open(stored, FILE_KEY, NONCE) as reader,
            present(reader, reader.size, directory) as lens,
        ):
            spent = timed(read_through(lens))
        print(
            f"  {len(content) / 1e6 / spent.wall_s:7.0f} MB/s, {len(content) / 1e6 / spent.cpu_s:.0f} MB per cpu second"
        )


def bench_start() -> None:
    def times(task: Task) -> float:
        return min(timed(task).wall_s for _ in range(10)) * 1000

    package = Path(sandbox.__file__).parent / "inside"
    bare = (
        min(
            measure(lambda: __import__("subprocess").run(["/bin/true"], check=True)).wall_s for _ in range(10)
        )
        * 1000
    )
    print("\nsandbox start: best of ten, ms")
    print(f"  true without walls {bare:6.1f}\n  true inside        {times(Task(['true'])):6.1f}")
    print(f"  index tool (empty) {times(python_task(package, ['av'], ['/dev/null'], {})):6.1f}")
    print(f"  ffmpeg -version    {times(Task(['ffmpeg', '-version'])):6.1f}")


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seconds", type=int, default=60)
    asked.add_argument("--size", default="1920x1080")
    options = asked.parse_args()
    width, height = map(int, options.size.split("x"))
    held = True
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for codec, rate in ((Codec.H264, 8_000_000), (Codec.HEVC, 5_000_000)):
            shot = Shot(
                "060123", "X1A0001", datetime(2026, 11, 23, 6, 5, 9, tzinfo=UTC), seconds=options.seconds,
                codec=codec, width=width, height=height, frames_per_second=30, bits_per_second=rate, grain=9,
            )  # fmt: skip
            held = bench_codec(codec, shot, directory) and held
        bench_lens(directory)
        bench_start()
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
