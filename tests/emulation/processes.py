"""The station's real processes, as sealdock/wiring.py makes them, started and killed one by one.

They are forked from a server that has imported everything, so that a start takes milliseconds and a test can afford
many kills.
"""

from __future__ import annotations

import os
import sys
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from threading import Event

from emulation.dock import PASSPHRASE, PORTS

from sealdock import wiring
from vault.store.root import PASSPHRASE_CREDENTIAL

RUNS = {
    "dockd": wiring.run_dockd,
    "vaultd": wiring.run_vaultd,
    "keyd": wiring.run_keyd,
    "worker": wiring.run_worker,
}
TESTS = Path(__file__).resolve().parent.parent


class Processes:
    """Some of the station's processes; those that are not running are started again by `start`."""

    def __init__(self, root: Path, names: tuple[str, ...]) -> None:
        self._root, self.names, self._running = root, names, dict[str, ForkServerProcess]()
        os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), *sys.path])
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(["emulation.processes"])

    def start(self) -> None:
        for name in self.names:
            if name not in self._running:
                process = self._context.Process(target=run_process, args=(name, self._root), daemon=True)
                process.start()
                self._running[name] = process

    def kill(self, *names: str) -> None:
        """SIGKILL, all at the same moment."""
        going = [self._running.pop(name) for name in names if name in self._running]
        for process in going:
            process.kill()
        for process in going:
            process.join()


def write_settings(root: Path) -> None:
    """The settings of a station that `Station.make` made."""
    bays = "".join(f'[[dock.bays]]\nnumber = {n}\npath = "{port}"\n' for n, port in enumerate(PORTS, 1))
    dock = '[dock]\nemulation = "control"\nmounts = "mounts"\nunregistered = "take"\n'
    paths = 'vault = "vault"\nstate = "."\nkeys = "keys"\n'
    (root / "sealdock.toml").write_text(paths + dock + bays, encoding="utf-8")
    (root / "credentials").mkdir()
    (root / "credentials" / PASSPHRASE_CREDENTIAL).write_bytes(PASSPHRASE)


def run_process(name: str, root: Path) -> None:
    """One process, until it is killed."""
    os.environ["CREDENTIALS_DIRECTORY"] = str(root / "credentials")
    RUNS[name](wiring.Station.load(root / "sealdock.toml"), Event())
