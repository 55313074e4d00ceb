"""Sealing big files against the tools people would use instead, as ratios from one run.

python -m bench.seal [--size 2G] [--dir DIR] [--rounds 3] [--json FILE]

Every tool gets the same random file, kept in the page cache, and puts it on the same disk; the tools take
turns, so that a busy machine is busy for all of them. "seal" is everything up to a signed checkpoint that
covers the recording, save for reading the object back from the medium, which no rival does and which is a
line of its own. CPU seconds are user + system of every process and thread that the tool runs (ours: this
process, sealing and vaultd together); they are the figure to trust on a machine that does other things too.
The ideal is SHA-256 twice and ChaCha20-Poly1305 once, each measured alone in the same round.
restic and borg also find duplicates: context, not a like-for-like rival.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, local

import core.log
import vault.intake
from bench.figure import Cost, Sheet, Spent, arguments, finish, now, parse_size
from bench.primitive import ideal, seal_rate, sha256_rate
from bench.station import POOL_BYTES, Station
from vault.store.medium import ReadBack, Reader

MEGABYTE = 10**6
MIB = 2**20
BLOCK = 8 * 1024 * 1024
AT_ONCE = (1, 2, 4, 8)
POOL_LIMIT = 128  # MiB for all streams together, issue 3
OURS, READ_BACK, TOGETHER = "seal", "read-back", "seal + read-back"
FLOORS = {"cp+sha256sum": 1.8, "sha256sum+age": 2.0, "restic": 3.0, "borg": 2.3}  # per CPU second, issue 3
WALL_FLOOR = 1.4  # against cp+sha256sum


class TimedReader(Reader):
    """The read-back, with its own CPU and wall time kept apart."""

    spent = Cost(0, 0)
    lock = Lock()
    hashing = local()

    def fetch(self, descriptor: int, room: memoryview, place: int) -> int:
        """As Reader.fetch; what the helper's thread uses counts as well."""
        start = time.thread_time()
        try:
            return super().fetch(descriptor, room, place)
        finally:
            if not getattr(TimedReader.hashing, "here", False):
                with TimedReader.lock:
                    TimedReader.spent = TimedReader.spent + Cost(0, time.thread_time() - start)

    def digest(self, path: Path, cancel: Event | None = None) -> ReadBack:
        """As Reader.digest."""
        TimedReader.hashing.here = True
        start = Cost(time.perf_counter(), time.thread_time())
        try:
            return super().digest(path, cancel)
        finally:
            with TimedReader.lock:
                end = Cost(time.perf_counter(), time.thread_time())
                TimedReader.spent = TimedReader.spent + (end - start)


def seal(station: Station, source: Path) -> dict[str, Cost]:
    """From the source's first byte to the signed checkpoint that covers it."""
    TimedReader.spent = Cost(0, 0)
    with Spent() as spent:
        deposit = station.deposit(source)
        station.submit(deposit, source.name)
        station.sequence()
    station.vault.object_path(deposit.id).unlink()  # a bench needs its disk back
    return {OURS: spent.cost - TimedReader.spent, READ_BACK: TimedReader.spent, TOGETHER: spent.cost}


def shell(script: str, **environment: str) -> None:
    """Run a script to its good end, or end the bench."""
    done = subprocess.run(
        ["/bin/sh", "-ec", script], env={**os.environ, **environment}, capture_output=True, check=False
    )
    if done.returncode:
        sys.exit(f"{script}\nfailed: {done.stderr.decode(errors='replace')}")


@contextmanager
def fresh(place: Path) -> Iterator[Path]:
    """A directory for one run."""
    place.mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place)


def rival(prepare: str, measured: str) -> Callable[[Path, Path], Cost]:
    """A way to run another tool on the source; only `measured` counts."""

    def run(source: Path, work: Path) -> Cost:
        with fresh(work / "rival") as place:
            environment = {
                "SRC": str(source), "OUT": str(place), "HOME": str(place), "RESTIC_PASSWORD": "bench",
                "RESTIC_CACHE_DIR": str(place / "cache"), "BORG_BASE_DIR": str(place / "borg-base"),
                "BORG_PASSPHRASE": "bench",
            }  # fmt: skip
            shell(prepare, **environment)
            start = now(resource.RUSAGE_CHILDREN)
            shell(measured, **environment)
            return now(resource.RUSAGE_CHILDREN) - start

    return run


RIVALS = {
    "cp+sha256sum": rival("true", 'cp "$SRC" "$OUT/x"; sync "$OUT/x"; sha256sum "$OUT/x"'),
    "cp+openssl": rival("true", 'cp "$SRC" "$OUT/x"; sync "$OUT/x"; openssl dgst -sha256 -r "$OUT/x"'),
    "sha256sum+age": rival(
        'age-keygen -o "$OUT/k" 2>/dev/null; age-keygen -y "$OUT/k" > "$OUT/r"',
        'sha256sum "$SRC"; age -R "$OUT/r" -o "$OUT/x" "$SRC"; sync "$OUT/x"',
    ),
    "restic": rival(
        'restic init -q -r "$OUT/r"', 'restic backup -q --compression off -r "$OUT/r" "$SRC"; sync -f "$OUT"'
    ),
    "borg": rival(
        'borg init -e repokey-blake2 "$OUT/b"', 'borg create --compression none "$OUT/b::x" "$SRC"; sync -f "$OUT"'
    ),
}  # fmt: skip
WHAT = {
    OURS: "SHA-256 of both sides, age encryption, O_DIRECT, fsync, signed log entry",
    READ_BACK: "the stored object from the medium, SHA-256 again",
    TOGETHER: "what a docked recording costs in all",
    "cp+sha256sum": "cp, fsync, sha256sum (coreutils)",
    "cp+openssl": "cp, fsync, openssl dgst -sha256",
    "sha256sum+age": "sha256sum, age -R, fsync",
    "restic": "restic backup, compression off, encrypted",
    "borg": "borg create, compression none, encryption repokey-blake2",
}


def take_turns(
    station: Station, source: Path, work: Path, rounds: int
) -> tuple[dict[str, list[Cost]], list[float]]:
    """The costs of every tool in every round, and the ideal of every round in bytes per CPU second."""
    costs, ideals = dict[str, list[Cost]](), list[float]()
    names = [OURS, *(name for name in RIVALS if shutil.which(name.rpartition("+")[2]))]
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            os.sync()
            warm(source)
            if name == OURS:
                hashing = sha256_rate()
                ideals.append(ideal(hashing, hashing, seal_rate()))
            found = seal(station, source) if name == OURS else {name: RIVALS[name](source, work)}
            for line, cost in found.items():
                costs.setdefault(line, []).append(cost)
    return costs, ideals


def told(costs: dict[str, list[Cost]], ideals: list[float], size: int, sheet: Sheet) -> None:
    """The ratios are medians of the ratios of one round."""
    ours, whole = costs[OURS], costs[TOGETHER]
    for name, runs in costs.items():
        sheet.add(name, statistics.median(size / run.cpu_s for run in runs) / MEGABYTE, "MB/cpu-s")
        sheet.add(
            f"{name}, by the clock", statistics.median(size / run.wall_s for run in runs) / MEGABYTE, "MB/s"
        )
    share = statistics.median(size / run.cpu_s / best for run, best in zip(ours, ideals, strict=True))
    sheet.add("seal : ideal from primitives", share, "x", at_least=0.8, gated=True)
    for name in RIVALS:
        if name in costs:
            pairs = list(zip(ours, costs[name], strict=True))
            cpu = statistics.median(theirs.cpu_s / own.cpu_s for own, theirs in pairs)
            wall = statistics.median(theirs.wall_s / own.wall_s for own, theirs in pairs)
            floor = WALL_FLOOR if name == "cp+sha256sum" else None
            sheet.add(f"seal : {name}, per CPU second", cpu, "x", at_least=FLOORS.get(name), gated=True)
            sheet.add(f"seal : {name}, by the clock", wall, "x", at_least=floor)
    kept = statistics.median(own.cpu_s / all_.cpu_s for own, all_ in zip(ours, whole, strict=True))
    sheet.add("with read-back : without, per CPU second", kept, "x", at_least=0.7, gated=True)
    clock = statistics.median(own.wall_s / all_.wall_s for own, all_ in zip(ours, whole, strict=True))
    sheet.add("with read-back : without, by the clock", clock, "x")


def at_once(station: Station, source: Path, rounds: int, sheet: Sheet) -> None:
    """CPU per byte of 1, 2, 4 and 8 files at the same time, all from the one pool."""
    size, costs = source.stat().st_size, dict[int, list[float]]()
    for _ in range(rounds):
        for streams in AT_ONCE:
            warm(source)
            with ThreadPoolExecutor(streams) as crew, Spent() as spent:
                deposits = list(crew.map(station.deposit, [source] * streams))
            costs.setdefault(streams, []).append(spent.cost.cpu_s / size / streams)
            for deposit in deposits:
                station.vault.incoming_path(deposit.id).unlink()
    for streams in AT_ONCE:
        rate = 1 / statistics.median(costs[streams])
        sheet.add(f"{streams} at once", rate / MEGABYTE, "MB/cpu-s")
    for streams in AT_ONCE[1:]:
        pairs = zip(costs[streams], costs[1], strict=True)
        dearer = statistics.median(many / one for many, one in pairs)
        sheet.add(f"CPU per byte, {streams} at once : 1", dearer, "x", at_most=1.1, gated=True)
    sheet.add("the pool of all streams", POOL_BYTES / MIB, "MiB", at_most=POOL_LIMIT)


def make_source(path: Path, size: int) -> None:
    """A file of random bytes."""
    with path.open("wb") as file:
        left = size
        while left:
            left -= file.write(os.urandom(min(left, BLOCK)))


def warm(path: Path) -> None:
    """Bring a file into the page cache."""
    with path.open("rb", buffering=0) as file:
        room = bytearray(BLOCK)
        while file.readinto(room):
            pass


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--size", type=parse_size, default=parse_size("2G"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    core.log.configure("bench")
    vault.intake.Reader = TimedReader  # type: ignore[misc]  # the same reader with a clock beside it
    sheet = Sheet("seal")
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        work = Path(name)
        source, part = work / "source.bin", work / "part.bin"
        make_source(source, options.size)
        make_source(part, options.size // 8)
        station = Station(work / "station")
        station.vaultd.start()
        told(*take_turns(station, source, work, options.rounds), options.size, sheet)
        at_once(station, part, options.rounds, sheet)
        station.close()
    for name, what in WHAT.items():
        print(f"{name:18}{what}")
    print(f"{options.size / MEGABYTE:.0f} MB of random bytes; median of {options.rounds} rounds")
    return finish(sheet, options.json)


if __name__ == "__main__":
    sys.exit(main())
