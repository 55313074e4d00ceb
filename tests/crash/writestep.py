"""The table of every write step x {failed, failed but persisted, killed}: what the disk may do to one of our calls.

A step is one call of a function of `os` with which anything in the vault changes the disk. "Failed": the call raises
and nothing was done. "Failed but persisted": all was done, and the call raises; whoever tries again finds its own work.
"Killed": the process ends before the call. After each the vault is looked at as it lies, opened again, and goes on.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from crash import child
from crash.house import Foundation, House
from sqlalchemy.exc import SQLAlchemyError
from structlog.testing import capture_logs

from vault import intake
from vault.error import VaultError
from vault.log.outbox import RowState

MOST_STEPS = 400  # an ingest and its commit have about a hundred


@dataclass(frozen=True)
class Way:
    """One way in which a call goes wrong."""

    name: str
    number: int  # errno
    is_done: bool  # the call is made before it raises


WAYS = (
    Way("EIO", errno.EIO, is_done=False),
    Way("EIO, persisted", errno.EIO, is_done=True),
    Way("ENOSPC", errno.ENOSPC, is_done=False),
    Way("ENOSPC, persisted", errno.ENOSPC, is_done=True),
)
KILLED = "killed"


@dataclass
class Row:
    """One line of the table: how many steps there are, and what went wrong after any of them."""

    way: str
    steps: int = 0
    silent: list[str] = field(default_factory=list)  # steps whose failure nobody heard of
    losses: list[str] = field(default_factory=list)


class Injector:
    """Stands between the vault and `os`; makes the `at`-th step go wrong, once."""

    def __init__(self, way: Way, at: int) -> None:
        self._way, self._left, self._lock = way, at, Lock()
        self.hit = ""
        self.is_moot = False  # the call found nothing to do, and says that instead

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if name == "open" and not _writes(arguments, options):
                return real(*arguments, **options)
            with self._lock:
                self._left -= 1
                is_now = self._left == 0
            if not is_now:
                return real(*arguments, **options)
            self.hit = f"{name} {arguments[0] if arguments else ''}"
            if self._way.is_done:
                self.is_moot = True
                done = real(*arguments, **options)
                self.is_moot = False
                if name == "open":
                    os.close(done)
            raise OSError(self._way.number, os.strerror(self._way.number))

        return call


@contextmanager
def injected(way: Way, at: int) -> Iterator[Injector]:
    """The `at`-th write step within goes wrong."""
    injector = Injector(way, at)
    real = {name: getattr(os, name) for name in child.STEPS}
    for name, function in real.items():
        setattr(os, name, injector.wrap(name, function))
    try:
        yield injector
    finally:
        for name, function in real.items():
            setattr(os, name, function)


def table(foundation: Foundation, place: Path) -> Iterator[Row]:
    """Every row; each in a house of its own."""
    for number, way in enumerate(WAYS):
        yield failing(way, foundation, place / str(number))
    yield killing(foundation, place / KILLED)


def failing(way: Way, foundation: Foundation, place: Path) -> Row:
    """Let one step after the other go wrong in this process, until an ingest meets none."""
    row, acknowledged = Row(way.name), list[str]()
    pause, intake.AGAIN_S = intake.AGAIN_S, 0.0
    house = House.copy(foundation, place)
    try:
        while row.steps < MOST_STEPS:
            with injected(way, row.steps + 1) as injector:
                is_told = _ingest(house, acknowledged)
            if not injector.hit:
                return row
            row.steps += 1
            is_there = way.is_done and injector.hit.startswith(
                "mkdir"
            )  # and that is all that was asked of it
            if not is_told and not is_there and not injector.is_moot:
                row.silent.append(injector.hit)
            _judge(house, acknowledged, f"step {row.steps}, {injector.hit}", row)
        row.losses.append("there is no end of steps")
        return row
    finally:
        intake.AGAIN_S = pause
        house.close()
        shutil.rmtree(place)


def killing(foundation: Foundation, place: Path) -> Row:
    """Kill vaultd before one step after the other; each new start is killed one step later.

    Work is added when it is used up: a start has to look again at all that waits, so a heap that grew by one
    with every kill would move the end away as fast as the count gets there.
    """
    row, acknowledged = Row(KILLED), list[str]()
    house = House.copy(foundation, place)
    while row.steps < MOST_STEPS:
        if not house.rows(RowState.PENDING):
            acknowledged += [house.case(), house.ingest(os.urandom(70_000))]
        code = child.outcome(child.start(child.settle_dying_at, house.directory, row.steps + 1))
        if code == 0:
            break
        if code != -signal.SIGKILL:
            row.losses.append(f"step {row.steps + 1}: ended with {code}")
        row.steps += 1
        if row.steps % 4 == 0 and not (report := house.verify()).ok:  # before anybody repairs anything
            row.losses.append(f"step {row.steps}: {report.failures[0].sentence}")
    _judge(house, acknowledged, "the end", row)
    house.close()
    return row


def _ingest(house: House, acknowledged: list[str]) -> bool:
    """One recording and one case entry through the line; whether anybody heard of a failure."""
    with capture_logs() as said:
        try:
            acknowledged.append(house.ingest(os.urandom(3_000)))
            acknowledged.append(house.case())
            house.settle()
        except (VaultError, OSError, SQLAlchemyError):
            return True
    return any(each["log_level"] in {"warning", "error", "critical"} for each in said)


def _judge(house: House, acknowledged: list[str], when: str, row: Row) -> None:
    """As it lies: proven. Opened again: everything acknowledged is on the log, and the database agrees."""
    if not (report := house.verify()).ok:
        row.losses.append(f"{when}: {report.failures[0].sentence}")
    try:
        house.settle()
    except (VaultError, OSError, SQLAlchemyError) as cause:
        row.losses.append(f"{when}: cannot go on: {cause}")
        return
    ids = [leaf.id for leaf in house.reader.leaves()]
    row.losses += [f"{when}: {entry_id} is lost" for entry_id in set(acknowledged) - set(ids)]
    if len(set(ids)) != len(ids):
        row.losses.append(f"{when}: something is there twice")
    if {each.state for each in house.rows()} - {RowState.SEQUENCED}:
        row.losses.append(f"{when}: a submission was refused")
    if not (report := house.verify()).ok:
        row.losses.append(f"{when}: {report.failures[0].sentence}")


def _writes(arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
    flags = arguments[1] if len(arguments) > 1 else options.get("flags", 0)
    return bool(flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR))
