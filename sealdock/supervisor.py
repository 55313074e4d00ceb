"""`sealdock run all`: all processes under one roof, for the demo and for small sites.

Each runs as its own process exactly as it would under systemd. One that dies is started again after a pause
that grows, so that a crash loop stays visible in the log and never spins. Stopping is in the order that
leaves nothing half done: the dock first, the writer of the vault last but one, the keys last.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from core import log

PROCESSES = ("keyd", "vaultd", "dockd", "worker", "console", "anchord", "sealer")
STOP_ORDER = ("dockd", "worker", "console", "anchord", "sealer", "vaultd", "keyd")
STOP_WITHIN_S = 15.0
LONGEST_PAUSE_S = 30.0
HEALTHY_AFTER_S = 20.0  # a process that lived this long has not crashed at its start


@dataclass
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    pause_s: float = 0.5
    restart_at: float | None = None


class Supervisor:
    """Starts, watches, restarts and stops the processes of one station."""

    def __init__(
        self,
        settings_path: Path,
        names: tuple[str, ...] = PROCESSES,
        *,
        log_directory: Path | None = None,
        credentials: Path | None = None,
    ) -> None:
        self._settings_path = settings_path
        self._names = names
        self._log_directory = log_directory
        handed_over = {"CREDENTIALS_DIRECTORY": str(credentials)} if credentials else {}
        self._environment = os.environ | handed_over  # as systemd hands credentials to a service
        self._log = log.get("supervisor")
        self._children: dict[str, _Child] = {}

    def run(self, stop: threading.Event) -> None:
        """Keep all processes alive until `stop` is set, then stop them in order."""
        for name in self._names:
            self._children[name] = _Child(name, self._start(name))
        try:
            while not stop.wait(0.2):
                for child in self._children.values():
                    self._look_after(child)
        finally:
            self._stop_all()

    def pid(self, name: str) -> int | None:
        """The process's number while it runs."""
        child = self._children.get(name)
        return child.process.pid if child and child.process.poll() is None else None

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "sealdock", "--settings", str(self._settings_path), "run", name]
        with ExitStack() as opened:
            said = (
                opened.enter_context((self._log_directory / f"{name}.log").open("ab"))
                if self._log_directory
                else None
            )
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True, env=self._environment,
            )  # fmt: skip

    def _look_after(self, child: _Child) -> None:
        code = child.process.poll()
        if code is None:
            return
        now = time.monotonic()
        if child.restart_at is None:
            lived_long = now - child.started > HEALTHY_AFTER_S
            child.pause_s = 0.5 if lived_long else min(child.pause_s * 2, LONGEST_PAUSE_S)
            child.restart_at = now + child.pause_s
            self._log.error("process ended", name=child.name, exit_code=code, again_in_s=child.pause_s)
        elif now >= child.restart_at:
            child.process, child.started, child.restart_at = self._start(child.name), now, None

    def _stop_all(self) -> None:
        for name in STOP_ORDER:
            child = self._children.get(name)
            if child is None or child.process.poll() is not None:
                continue
            child.process.send_signal(signal.SIGTERM)
            try:
                child.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._log.error("process did not stop in time and was ended", name=name)
                child.process.kill()
                child.process.wait()
