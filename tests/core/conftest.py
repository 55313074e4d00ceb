"""What the kernel's tests share: a database file, programs in other processes, a recorder of system calls."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.db import Database

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    db = Database(f"sqlite:///{tmp_path / 'sealdock.db'}")
    db.create_tables()
    yield db
    db.close()


@pytest.fixture
def elsewhere() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python program in a process of its own, with the project importable."""
    with ExitStack() as started:

        def start(program: str, *arguments: object) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", program, *map(str, arguments)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            )  # fmt: skip
            started.enter_context(process)
            started.callback(process.kill)
            return process

        yield start


@dataclass
class CallOracle:
    """Remembers in order what reached the file system, and fails a chosen call once."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    failing: str = ""
    error: OSError | None = None

    def note(self, call: str, path: str) -> None:
        self.calls.append((call, path))
        if call == self.failing and self.error is not None:
            error, self.error = self.error, None
            raise error

    def names(self) -> list[str]:
        return [call for call, _ in self.calls]


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> CallOracle:
    """Stand between Python and the kernel: every call is made for real unless the oracle fails it."""
    seen = CallOracle()

    def wrap(name: str, describe: Callable[..., str]) -> None:
        real = getattr(os, name)

        def call(*arguments: object, **named: object) -> object:
            seen.note(describe(*arguments), _path_of(arguments))
            return real(*arguments, **named)

        monkeypatch.setattr(os, name, call)

    wrap("fsync", lambda descriptor: "fsync directory" if _is_directory(descriptor) else "fsync file")
    for name in ("write", "link", "unlink", "replace", "rename", "mkdir"):
        wrap(name, lambda *_, _name=name: _name)
    return seen


def _is_directory(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def _path_of(arguments: tuple[object, ...]) -> str:
    first = arguments[-1] if len(arguments) > 1 and isinstance(arguments[1], str | Path) else arguments[0]
    return str(Path(f"/proc/self/fd/{first}").readlink()) if isinstance(first, int) else os.fspath(first)
