"""Figures: what a bench measured, the goal beside it, and whether it holds.

A figure is gated when it is a ratio from one run: only such a figure means the same on another day, so only such
figures are compared with those kept in bench/kept.json (bench.check).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

KEPT = Path(__file__).with_name("kept.json")
TOLERANCE = 0.9  # of a kept ratio; below it a bench has become worse


@dataclass(frozen=True)
class Cost:
    """What something took; CPU seconds are user + system."""

    wall_s: float
    cpu_s: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.wall_s - other.wall_s, self.cpu_s - other.cpu_s)

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)


def now(who: int) -> Cost:
    """The clock, and what `who` (resource.RUSAGE_SELF or RUSAGE_CHILDREN) has used."""
    usage = resource.getrusage(who)
    return Cost(time.perf_counter(), usage.ru_utime + usage.ru_stime)


class Spent:
    """The cost of a `with` block; `children` counts what finished child processes used as well."""

    def __init__(self, *, children: bool = False) -> None:
        self._who = [resource.RUSAGE_SELF, *([resource.RUSAGE_CHILDREN] if children else [])]
        self.cost = Cost(0, 0)

    def __enter__(self) -> Self:
        self._start = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self.cost = self._now() - self._start

    def _now(self) -> Cost:
        found = [now(who) for who in self._who]
        return Cost(found[0].wall_s, sum(one.cpu_s for one in found))


@dataclass(frozen=True)
class Figure:
    """One line of a bench; `at_least` or `at_most` is the goal, neither means that it is only told."""

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    gated: bool = False

    @property
    def holds(self) -> bool:
        """Whether it meets its goal; what has none holds."""
        enough = self.at_least is None or self.value >= self.at_least
        return enough and (self.at_most is None or self.value <= self.at_most)

    def worse_than(self, kept: float) -> bool:
        """Whether it has fallen below the tolerated part of what was kept."""
        if self.at_most is not None:
            return self.value > kept / TOLERANCE
        return self.value < kept * TOLERANCE

    @property
    def goal(self) -> str:
        """The goal as a person reads it."""
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return f"<= {self.at_most:g}" if self.at_most is not None else ""

    @property
    def verdict(self) -> str:
        """One or two words."""
        return ("holds" if self.holds else "FALLS SHORT") if self.goal else ""


@dataclass
class Sheet:
    """All figures of one bench."""

    bench: str
    figures: list[Figure] = field(default_factory=list)

    def add(
        self, name: str, value: float, unit: str, *, at_least: float | None = None, at_most: float | None = None,
        gated: bool = False,
    ) -> None:  # fmt: skip
        """Take down a figure."""
        self.figures.append(Figure(name, value, unit, at_least, at_most, gated))

    def show(self) -> bool:
        """Print the table; False when a goal is missed."""
        width = max(len(figure.name) for figure in self.figures)
        for figure in self.figures:
            value = f"{figure.value:,.2f}" if abs(figure.value) < 1000 else f"{figure.value:,.0f}"
            print(f"{figure.name:{width}}  {value:>12} {figure.unit:14}{figure.goal:>12}  {figure.verdict}")
        print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs")
        return all(figure.holds for figure in self.figures)

    def write(self, path: Path) -> None:
        """The same as JSON."""
        told = [asdict(figure) | {"holds": figure.holds} for figure in self.figures]
        path.write_text(
            json.dumps({"bench": self.bench, "load": os.getloadavg()[0], "figures": told}, indent=1) + "\n"
        )

    @classmethod
    def read(cls, path: Path) -> Sheet:
        """What `write` wrote."""
        told = json.loads(path.read_text())
        return cls(told["bench"], [_figure(one) for one in told["figures"]])


def _figure(told: dict[str, object]) -> Figure:
    return Figure(**{name: value for name, value in told.items() if name != "holds"})  # type: ignore[arg-type]


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that every bench has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dir", type=Path, help="on the disk to measure; a temporary directory otherwise")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    return parser


def finish(sheet: Sheet, path: Path | None) -> int:
    """Print, write, and say by the exit code whether every goal holds."""
    if path is not None:
        sheet.write(path)
    return 0 if sheet.show() else 1


def parse_size(text: str) -> int:
    """`512M` and the like, in bytes."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    return int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text)
