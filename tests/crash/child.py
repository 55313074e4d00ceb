"""Work in a process of its own, to be killed: started by a fork server, never forked from a runner full of threads.

Whatever runs there is a function of a module (not of a test file) with arguments that can be sent.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from threading import Event, Lock
from typing import Any, NoReturn

from crash.house import House

from vault.log import index
from vault.log.writer import LogWriter, SecondWriterError

TESTS = Path(__file__).resolve().parent.parent
STEPS = ("open", "pwrite", "write", "fsync", "replace", "rename", "link", "unlink", "ftruncate", "mkdir")
"""Every function of `os` with which anything in the vault changes the disk; pathlib calls them too."""
PATIENCE_S = 60


def start(work: Callable[..., object], *arguments: Any) -> ForkServerProcess:
    """Run `work(*arguments)` elsewhere; the fork server has imported everything, so this takes milliseconds."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), *sys.path])
    context = get_context("forkserver")
    context.set_forkserver_preload(["crash.child", "crash.house", "emulation.processes"])
    process = context.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def outcome(process: ForkServerProcess) -> int:
    """Its exit code; minus the signal that ended it."""
    process.join(PATIENCE_S)
    assert process.exitcode is not None, "the other process came to no end"
    return process.exitcode


def kill(*processes: ForkServerProcess) -> None:
    """SIGKILL, all at the same moment."""
    for process in processes:
        process.kill()
    for process in processes:
        outcome(process)


def run_vaultd(directory: Path) -> None:
    House(directory).vaultd().run(Event())


def settle(directory: Path) -> None:
    House(directory).settle()


def settle_dying_at(directory: Path, at: int) -> None:
    """Settle, killed before the `at`-th call of a function that changes the disk."""
    left, lock = [at], Lock()

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            with lock:
                left[0] -= 1
                if not left[0]:
                    die()
            return real(*args, **options)

        return call

    house = House(directory)
    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    house.settle()


def settle_dying_before_the_commit(directory: Path) -> None:
    """Killed after the checkpoint, before the database is told."""
    real = LogWriter.append

    def append(writer: LogWriter, batch: Any) -> NoReturn:
        real(writer, batch)
        die()

    LogWriter.append = append
    settle(directory)


def settle_dying_in_the_commit(directory: Path) -> None:
    """Killed in the transaction that would have told the database."""
    index.insert = lambda *_: die()
    settle(directory)


def run_vaultd_or_say_why(directory: Path, said: Path) -> None:
    try:
        run_vaultd(directory)
    except SecondWriterError as refusal:
        with said.open("a") as file:
            file.write(f"{refusal}\n")
        sys.exit(3)


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError
