"""Reading a sealed object: sequentially, here and there, and the first byte after a seek.

python -m bench.read [--size 512M] [--dir DIR] [--json FILE]

The object lies in the page cache. Every byte is authenticated before it is given out.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.figure import Sheet, Spent, arguments, finish, parse_size
from bench.primitive import fetch_rate, ideal, open_rate
from vault.formats.payload import CHUNK_SIZE, ChunkSealer, PayloadReader, sealed_size

GIGABYTE = 10**9
LONG_READ = 2**20
LOOKS = 2000
PASSES = 5
KEY, NONCE = bytes(16), bytes(16)


def make_object(path: Path, size: int) -> None:
    """A sealed payload of random bytes."""
    sealer, room = ChunkSealer(KEY, NONCE), bytearray(sealed_size(LONG_READ))
    with path.open("wb", buffering=0) as file:
        for start in range(0, size, LONG_READ):
            piece = os.urandom(min(LONG_READ, size - start))
            file.write(memoryview(room)[: sealer.seal(piece, room, final=start + len(piece) == size)])


def sequential(path: Path, size: int, sheet: Sheet) -> None:
    """The whole object, a mebibyte at a time."""
    room, runs = bytearray(LONG_READ), list[Spent]()
    for _ in range(PASSES):
        with PayloadReader.open(path, KEY, NONCE) as reader, Spent() as spent:
            while reader.readinto(room):
                pass
        runs.append(spent)
    rate = size / min(run.cost.cpu_s for run in runs)
    sheet.add("sequential", size / min(run.cost.wall_s for run in runs) / GIGABYTE, "GB/s", at_least=1.5)
    sheet.add("sequential, per CPU second", rate / GIGABYTE, "GB/cpu-s")
    best = ideal(open_rate(), fetch_rate(path))
    sheet.add("sequential : page cache and cipher alone", rate / best, "x", at_least=0.8, gated=True)


def scattered(path: Path, size: int, sheet: Sheet) -> None:
    """64 KiB at random places, whole chunks and across two."""
    choose, room = random.Random(5), bytearray(CHUNK_SIZE)  # noqa: S311  # the same places each time
    aligned = [choose.randrange(size // CHUNK_SIZE) * CHUNK_SIZE for _ in range(LOOKS)]
    anywhere = [choose.randrange(size - CHUNK_SIZE) for _ in range(LOOKS)]
    with PayloadReader.open(path, KEY, NONCE) as reader:
        byte = bytearray(1)
        for name, places, into, limit in (
            ("random 64 KiB, whole chunks", aligned, room, 60.0),
            ("random 64 KiB, anywhere", anywhere, room, 60.0),
            ("first byte after a seek", anywhere, byte, 200.0),
        ):
            took = _times(lambda place, into=into: (reader.seek(place), reader.readinto(into)), places)
            sheet.add(name + ", median", statistics.median(took), "us", at_most=limit)
            sheet.add(name + ", p95", statistics.quantiles(took, n=20)[-1], "us")

    def open_and_look(place: int) -> None:
        with PayloadReader.open(path, KEY, NONCE) as fresh:
            fresh.seek(place)
            fresh.readinto(byte)

    took = _times(open_and_look, anywhere)
    sheet.add(
        "open, authenticate the end, seek, first byte, median", statistics.median(took), "us", at_most=200
    )


def _times(look: Callable[[int], object], places: list[int]) -> list[float]:
    took = []
    for place in places:
        start = time.perf_counter()
        look(place)
        took.append((time.perf_counter() - start) * 1e6)
    return took


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--size", type=parse_size, default=parse_size("512M"))
    options = parser.parse_args()
    sheet = Sheet("read")
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        path = Path(name) / "object"
        make_object(path, options.size)
        sequential(path, options.size, sheet)
        scattered(path, options.size, sheet)
    return finish(sheet, options.json)


if __name__ == "__main__":
    sys.exit(main())
