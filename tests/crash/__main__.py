"""The long form of the crash tests, by name: `script/crash [power faults steps flips]`. Results: docs/reliability.md.

Prints one line per trial, and ends with 1 when anything was lost or a fault that was put in went unnoticed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from crash import flips
from crash.disk import room
from crash.house import Foundation, found
from crash.powercut import Fault, Outcome, Trial
from crash.writestep import table

RECEIPTS, PER_CUT = 1_000, 20
FILE_SYSTEMS = ("ext4", "xfs")
Line = tuple[bool, str]


def power(foundation: Foundation) -> Iterator[Line]:
    """A thousand receipted recordings on each file system, the power cut after every twenty or so."""
    for kind in FILE_SYSTEMS:
        done = cut(foundation, kind, RECEIPTS)
        yield not done.losses, f"{kind:5} {done.cuts:4} cuts  {told(done)}"


def faults(foundation: Foundation) -> Iterator[Line]:
    """The same with one promise broken: a loss must be found."""
    for kind in FILE_SYSTEMS:
        for fault in (Fault.OBJECT, Fault.CHECKPOINT, Fault.DATABASE):
            done = cut(foundation, kind, 400, fault)
            yield (
                bool(done.losses),
                f"{kind:5} without fsync of the {fault}: found at cut {done.cuts}; {told(done)}",
            )


def steps(foundation: Foundation) -> Iterator[Line]:
    """Every write step of an ingest and its commit x {failed, failed but done, killed}."""
    with tempfile.TemporaryDirectory(prefix="sealdock-steps-") as place:
        for row in table(foundation, Path(place)):
            yield (
                not row.losses,
                f"{row.way:16} {row.steps:4} steps  {len(row.losses)} lost  {row.losses[:3]}",
            )


def bits(_foundation: Foundation) -> Iterator[Line]:
    """Ten thousand single bits turned in files that the log covers."""
    with tempfile.TemporaryDirectory(prefix="sealdock-flips-") as place:
        done = flips.run(flips.FLIPS, int.from_bytes(os.urandom(4)), Path(place))
    flipped, missed, crashed = sum(done.flips.values()), len(done.missed), len(done.crashed)
    yield not missed and not crashed, f"{flipped} bits turned, {missed} missed, {crashed} stumbled over"


def cut(foundation: Foundation, kind: str, receipts: int, fault: Fault = Fault.NONE) -> Outcome:
    with room() as place:
        trial = Trial(kind, foundation, place, fault)
        try:
            return trial.run(receipts, PER_CUT, until_loss=fault is not Fault.NONE)
        finally:
            trial.close()


def told(done: Outcome) -> str:
    first = f": {done.losses[0][:120]}" if done.losses else ""
    numbers = f"{done.submitted} submitted, {done.receipted} receipted, {len(done.losses)} lost"
    return f"{numbers}, {done.seconds:.0f} s{first}"


TRIALS: dict[str, Callable[[Foundation], Iterator[Line]]] = {
    "power": power,
    "faults": faults,
    "steps": steps,
    "flips": bits,
}


def main(names: list[str]) -> int:
    """The processes on trial say a great deal; what is printed here is the result."""
    told, silence = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    with os.fdopen(told, "w", buffering=1) as result:
        return run(names or list(TRIALS), result)


def run(names: list[str], result: TextIO) -> int:
    as_it_should = True
    with tempfile.TemporaryDirectory(prefix="sealdock-crash-") as place:
        foundation = found(Path(place))
        result.write(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
        for name in names:
            result.write(f"== {name}\n")
            for is_right, line in TRIALS[name](foundation):
                as_it_should &= is_right
                result.write(f"{'ok  ' if is_right else 'LOST'}  {line}\n")
    return 0 if as_it_should else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
