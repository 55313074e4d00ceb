"""Turns: which bay may read its next file, when there are more recorders than the machine can pull at once.

A turn is one file. Invariants: never more turns at once than the budgets of the machine (`lanes`, one for each copy
that the buffer pool has room for), of each hub and of each vault disk allow; flagged files go before all others and
have one lane that nothing else may take, so that one on a recorder plugged in last starts while eight long files are
being copied; among the rest the bay that has been served the fewest bytes goes first, so that a card full of small
files and one of long files each get their share. A turn that was given ends when its file does: a copy that stops in
the middle would have to read its beginning once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Condition
from time import monotonic

LOOK_EVERY_S = 0.2  # a bay that waits asks this often whether its recorder is still there
LANES = (
    16  # copies at once; the default buffer pool of 64 MiB has room for 18 (vault.store.medium.LANE_BYTES)
)
PER_HUB = 8  # files at once from one hub: more do not make it faster, and each makes all others slower
PER_DISK = 16  # files at once onto one vault disk: above what a pool of 128 MiB can feed
FORGET_S = 600.0  # shares are those of ten minutes; who came early must not be paid back all night


@dataclass(frozen=True)
class Claim:
    """Who asks for a turn. `hub` and `disk` name the budgets that it counts against; empty ones have none."""

    bay: str
    hub: str = ""
    disk: str = ""
    is_flagged: bool = False


@dataclass
class _Served:
    """Bytes that one bay was given, the older the less."""

    size_bytes: float = 0.0
    at: float = field(default_factory=monotonic)

    def add(self, size_bytes: int, now: float) -> None:
        self.size_bytes, self.at = self.by(now) + size_bytes, now

    def by(self, now: float) -> float:
        return self.size_bytes * float(0.5 ** ((now - self.at) / FORGET_S))


class Turns:
    """The scheduler that all bays of a dock share; any thread may ask."""

    def __init__(
        self,
        lanes: int = LANES,
        per_hub: int = PER_HUB,
        per_disk: int = PER_DISK,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._lanes, self._per_hub, self._per_disk, self._clock = max(1, lanes), per_hub, per_disk, clock
        self._running: list[Claim] = []
        self._waiting: dict[int, Claim] = {}
        self._served: dict[str, _Served] = {}
        self._numbers = count()
        self._changed = Condition()

    @contextmanager
    def turn(self, claim: Claim, check: Callable[[], None] = lambda: None) -> Iterator[Callable[[int], None]]:
        """Wait for a turn and hold it for the block, which is given what to call with the bytes it reads.

        `check` is called while it waits and may raise: the recorder left, or the dock stops.
        """
        self._wait(claim, check)
        try:
            yield lambda size_bytes: self._serve(claim, size_bytes)
        finally:
            with self._changed:
                self._running.remove(claim)
                self._changed.notify_all()

    def waiting(self) -> int:
        """How many bays wait now."""
        with self._changed:
            return len(self._waiting)

    def _wait(self, claim: Claim, check: Callable[[], None]) -> None:
        with self._changed:
            number = next(self._numbers)
            self._waiting[number] = claim
        try:
            while True:
                check()
                with self._changed:
                    if self._next() == number:
                        self._running.append(claim)
                        return
                    self._changed.wait(LOOK_EVERY_S)
        finally:
            with self._changed:
                del self._waiting[number]
                self._changed.notify_all()

    def _next(self) -> int | None:
        """The first that may run, in the order of the invariants; the lock is held."""
        now = monotonic()
        free = [number for number, claim in self._waiting.items() if self._has_room(claim)]
        return min(free, key=lambda number: (*self._rank(self._waiting[number], now), number), default=None)

    def _rank(self, claim: Claim, now: float) -> tuple[bool, float]:
        served = self._served.get(claim.bay)
        return not claim.is_flagged, served.by(now) if served else 0.0

    def _has_room(self, claim: Claim) -> bool:
        """Whether every budget has room for it; a flagged file may take one more than an ordinary one."""
        kept = int(not claim.is_flagged)
        hubs, disks = Counter(one.hub for one in self._running), Counter(one.disk for one in self._running)
        return (
            len(self._running) < max(1, self._lanes - kept)
            and (not claim.hub or hubs[claim.hub] < self._per_hub + 1 - kept)
            and (not claim.disk or disks[claim.disk] < self._per_disk + 1 - kept)
        )

    def _serve(self, claim: Claim, size_bytes: int) -> None:
        with self._changed:
            self._served.setdefault(claim.bay, _Served(at=monotonic())).add(size_bytes, monotonic())


def hub_of(port: str) -> str:
    """The hub that a bay hangs on: its USB path without the last port (`...-usb-0:5.2` is on `...-usb-0:5`).

    Empty for a port of the machine itself, which no bay shares.
    """
    controller, _, ports = port.rpartition(":")
    return f"{controller}:{ports.rpartition('.')[0]}" if "." in ports else ""
