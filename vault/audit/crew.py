"""Bundles judged by several processes, their verdicts in order (vault/audit/bundle.py says what a verdict is).

Each process is started afresh, never forked from a program that has threads; it gets the directory and the reader's
identities through its pipe and keeps nothing. Should one die (memory, a signal), the rest is judged here: slower, and
just as surely.
"""

from __future__ import annotations

import gc
import os
import signal
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from vault.audit.bucket import Buckets
from vault.audit.bundle import BundleAudit, Verdict
from vault.formats.age import Identity

_TASK = 8  # bundles handed out at once: about 30 ms of work
_AHEAD = 3  # tasks per process that wait or are done and not yet taken: what memory is spent on
_WORTH_IT = 64  # bundles; starting processes takes as long as judging about so many
_MOST = 16  # processes; beyond this the parent, which puts the verdicts together, is the limit


@dataclass(frozen=True)
class Crew:
    """Who judges the bundles of one vault, from entry `start` of `size` on."""

    directory: Path
    size: int
    identities: tuple[Identity, ...] = ()
    start: int = 0
    processes: int | None = None  # none: one for each processor that this process may use

    def verdicts(self, numbers: range) -> Iterator[Verdict]:
        """The verdicts on these bundles in order."""
        count = min(_MOST, self.processes or len(os.sched_getaffinity(0)))
        if count < 2 or len(numbers) < _WORTH_IT:  # noqa: PLR2004  # one helper would only be waited for
            yield from map(self.audit().judge, numbers)
            return
        texts = [identity.text for identity in self.identities]
        done = 0
        with ProcessPoolExecutor(
            count, get_context("spawn"), _start, (self.directory, self.size, texts, self.start)
        ) as pool:
            try:
                for verdict in _in_order(pool, numbers, count * _AHEAD):
                    done += 1
                    yield verdict
            except BrokenProcessPool:
                yield from map(self.audit().judge, numbers[done:])

    def audit(self) -> BundleAudit:
        """A judge in this process."""
        return BundleAudit(self.directory, self.size, Buckets(self.directory, self.identities), self.start)


def _in_order(pool: ProcessPoolExecutor, numbers: range, ahead: int) -> Iterator[Verdict]:
    waiting: deque[Future[list[Verdict]]] = deque()
    try:
        for first in range(0, len(numbers), _TASK):
            waiting.append(pool.submit(_judge, numbers[first : first + _TASK]))
            if len(waiting) > ahead:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


_AUDIT: list[BundleAudit] = []  # of a process of the crew; made once when it starts


def _start(directory: Path, size: int, texts: list[str], start: int) -> None:
    gc.set_threshold(200_000)  # leaves are trees, not cycles: looking for some costs a tenth of the time
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and ends the pool
    identities = [Identity.parse(text) for text in texts]
    _AUDIT.append(BundleAudit(directory, size, Buckets(directory, identities), start))


def _judge(numbers: range) -> list[Verdict]:
    return [_AUDIT[0].judge(number) for number in numbers]
