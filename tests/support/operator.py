"""A station that is run the way an operator runs it: by its command line and its processes, and by nothing else."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import Exit

FAKETIME = Path(
    f"/usr/lib/{os.uname().machine}-linux-gnu/faketime/libfaketimeMT.so.1"
)  # Debian's libfaketime
PASSPHRASE = "correct horse battery"
CLOCK_READ_EVERY_S = 1
# libfaketime moves the wall clock only. On a machine that was on all the time, the one that nobody sets moved with it.
# Its version 0.9.10 also shifts the end of a sleep by as much, although that is on a clock that it was told to leave.
STEADY = """\
import select, time
time.sleep = lambda seconds: select.select((), (), (), seconds) and None
real = time.clock_gettime
time.clock_gettime = lambda which: time.time() if which == time.CLOCK_BOOTTIME else real(which)
"""
# Every command is a process of its own, forked from one that has the modules in memory: that saves a second each time.
DESK = """\
import json, os, sys
import sealdock.wiring
from sealdock.cli import main
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        out = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.argv = order["argv"]
        main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
READY_WITHIN_S = 45.0
SETTINGS = """\
vault = "vault"
state = "state"
keys = "keys"
[station]
name = "{name}"
bureau = "Trial"
[console]
port = {port}
[fixity]
reserve_mib = 64
"""


@dataclass
class Operator:
    """One station in one directory; with `has_own_clock` its processes take the time from `set_clock`."""

    place: Path
    has_own_clock: bool = False
    _desk: subprocess.Popen[str] | None = None

    @classmethod
    def at(cls, place: Path, more: str = "") -> Operator:
        """A directory with settings and a passphrase in it, and no vault yet."""
        place.mkdir()
        (place / "clock").write_text("+0\n", encoding="ascii")
        text = SETTINGS.format(name=place.name, port=free_port())
        (place / "sealdock.toml").write_text(text + more, encoding="utf-8")
        (place / "passphrase").write_text(f"{PASSPHRASE}\n", encoding="utf-8")
        return cls(place)

    def run(self, *words: str | Path, code: Exit = Exit.YES) -> str:
        """One command, as typed; fails unless it ends with `code`. Gives what it printed."""
        out = self.place / "said"
        order = {"argv": self._argv(*words)[2:], "out": str(out)}
        desk = self._desk or self._open_desk()
        assert desk.stdin
        assert desk.stdout
        desk.stdin.write(json.dumps(order) + "\n")
        desk.stdin.flush()
        returned = int(desk.stdout.readline())
        said = out.read_text(encoding="utf-8")
        assert "Traceback" not in said, said
        assert returned == code, f"{words} ended with {returned}:\n{said}"
        return said

    def json(self, *words: str | Path, code: Exit = Exit.YES) -> Any:
        """What a command prints with `--json`."""
        return json.loads(self.run(*words, "--json", code=code).splitlines()[0])

    def found(self) -> str:
        """Found the vault with a recovery key made here, and its database; gives the key line."""
        said = self.run(
            "vault", "init", "vault", "--keys", "keys", "--passphrase-file", "passphrase", "--recovery-out",
            "recovery.key",
        )  # fmt: skip
        self.run("db", "upgrade")
        key = next(line.split()[1] for line in said.splitlines() if line.startswith("key "))
        (self.place / "bureau.key").write_text(f"{key}\n", encoding="utf-8")
        return key

    @contextmanager
    def running(self, *names: str) -> Iterator[None]:
        """The named processes at work, keyd unlocked; every one is ended and waited for."""
        with (self.place / "processes.log").open("ab") as said:
            processes = [
                subprocess.Popen(
                    self._argv("run", name), cwd=self.place, env=self._environment(), stdout=said, stderr=said,
                    stdin=subprocess.DEVNULL,
                )
                for name in names
            ]  # fmt: skip
        try:
            if "keyd" in names:
                self.wait_until((self.place / "state/run/keyd.sock").exists, "keyd listens")
                self.run("keyd", "unlock", "--passphrase-file", "passphrase")
            yield
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGTERM)
            for process in reversed(processes):
                process.wait(READY_WITHIN_S)

    def wait_until(self, is_true: Callable[[], object], what: str) -> None:
        """Look again and again until `is_true`, or fail saying what did not happen."""
        deadline = time.monotonic() + READY_WITHIN_S
        while not is_true():
            assert time.monotonic() < deadline, f"not within {READY_WITHIN_S:.0f} s: {what}\n{self.log}"
            time.sleep(0.05)

    @property
    def log(self) -> str:
        """What the processes said."""
        return (self.place / "processes.log").read_text(encoding="utf-8")

    def close(self) -> None:
        """No more commands."""
        if self._desk and self._desk.stdin and self._desk.stdout:
            self._desk.stdin.close()
            self._desk.wait(READY_WITHIN_S)
            self._desk.stdout.close()

    def _open_desk(self) -> subprocess.Popen[str]:
        self._desk = subprocess.Popen(
            [sys.executable, "-c", DESK], cwd=self.place, env=self._environment(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return self._desk

    def start(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """A command that is not waited for."""
        return subprocess.Popen(
            self._argv(*words), cwd=self.place, env=self._environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _argv(self, *words: str | Path) -> list[str]:
        return [
            sys.executable,
            "-m",
            "sealdock",
            "--settings",
            str(self.place / "sealdock.toml"),
            *map(str, words),
        ]

    def set_clock(self, ahead: str) -> None:
        """Let so much time pass, as libfaketime writes it (`+365d`), for every process at once."""
        (self.place / "clock").write_text(f"{ahead}\n", encoding="ascii")
        time.sleep(2 * CLOCK_READ_EVERY_S)

    def _environment(self) -> dict[str, str]:
        if not self.has_own_clock:
            return dict(os.environ)
        (self.place / "sitecustomize.py").write_text(STEADY, encoding="utf-8")
        return os.environ | {
            "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self.place / "clock"),
            "FAKETIME_CACHE_DURATION": str(CLOCK_READ_EVERY_S), "NO_FAKE_STAT": "1", "DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": str(self.place),
        }  # fmt: skip


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
