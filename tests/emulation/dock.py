"""A station without a console: a real vault, a real vaultd, and a dock fed by emulated recorders.

dockd and vaultd run as threads of the test here; processes.py runs the real ones, to be killed.
"""

from __future__ import annotations

import atexit
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import ingest.projection
from core.db import Database
from core.settings import BaySettings
from devices.emulation import EmulationDetector, plug_in
from devices.profile import load_profiles
from ingest.copying import SealingLine
from ingest.dockd import Dockd
from ingest.status import BayStatus, TileState
from vault.formats.note import SigningKey
from vault.founding import initialise
from vault.log.outbox import Projections, Submitter
from vault.log.rules import Rules
from vault.store.deposit import Depositor
from vault.store.medium import Buffers
from vault.store.objects import Vault
from vault.vaultd import Vaultd

PASSPHRASE = b"nine lives of a lantern"
PORTS = ("pci-0000:00:04.0-usb-0:1", "pci-0000:00:04.0-usb-0:2")
PATIENCE_S = 60


@dataclass
class Station:
    """Everything of one station, in one directory."""

    root: Path
    db: Database
    vault: Vault
    line: SealingLine
    control: Path
    dockd: Dockd | None = None
    _stops: list[tuple[Event, Thread]] = field(default_factory=list)

    @classmethod
    def make(cls, root: Path) -> Station:
        """A new vault and an empty database."""
        shutil.copytree(_template(), root)
        (root / "run").mkdir()
        station = cls.open(root)
        station.db.create_tables()
        return station

    @classmethod
    def open(cls, root: Path) -> Station:
        """The station that is there."""
        vault = Vault.open(root / "vault")
        db = Database(f"sqlite:///{root / 'sealdock.db'}")
        projections = Projections()
        ingest.projection.register(projections)
        key = SigningKey.read(root / "keys/dockd.key")
        submitter = Submitter(key, projections, root / "run/vaultd.bell")
        line = SealingLine(vault, db, Depositor(vault, Buffers(40 * 1024 * 1024)), submitter)
        return cls(root, db, vault, line, root / "control")

    def start_vaultd(self) -> None:
        self._start(self.make_vaultd().run)

    def make_vaultd(self) -> Vaultd:
        keys = self.root / "keys"
        return Vaultd(
            self.vault, self.db, SigningKey.read(keys / "log.key"), SigningKey.read(keys / "vaultd.key"),
            Rules(), self.root / "run/vaultd.bell",
        )  # fmt: skip

    def start_dockd(self) -> Dockd:
        self.dockd = self.make_dockd()
        self._start(self.dockd.run)
        return self.dockd

    def make_dockd(self) -> Dockd:
        return Dockd(
            self.line,
            bays=[BaySettings(number=n, path=port) for n, port in enumerate(PORTS, 1)],
            profiles=load_profiles(),
            detectors=[EmulationDetector(self.control)],
            mounts=self.root / "mounts",
            status_path=self.root / "run/dock.json",
            station="test",
            officer_name={"060123": "Officer A"}.get,
        )

    def plug(self, slot: str, port: str = PORTS[0], **facts: object) -> Path:
        self.control.mkdir(exist_ok=True)
        control = self.control / f"{slot}.json"
        plug_in(control, json.dumps({"id_path": port, "serial": "EMU0001", **facts}))
        return control

    def tile(self, number: int = 1) -> BayStatus:
        assert self.dockd is not None
        return self.dockd.board.tiles[number].status

    def wait_tile(self, *states: TileState, number: int = 1) -> BayStatus:
        wait_until(lambda: self.tile(number).state in states, lambda: self.tile(number))
        return self.tile(number)

    def stop(self) -> None:
        for stop, _ in self._stops:
            stop.set()
        for _, thread in self._stops:
            thread.join(PATIENCE_S)
        self._stops.clear()
        self.db.close()

    def _start(self, run: Callable[[Event], None]) -> None:
        stop = Event()
        thread = Thread(target=run, args=(stop,), daemon=True)
        thread.start()
        self._stops.append((stop, thread))


@cache
def _template() -> Path:
    """A vault just made, to be copied: its passphrase costs about a second of scrypt, by design."""
    folder = TemporaryDirectory(prefix="sealdock-template-")
    atexit.register(folder.cleanup)
    root = Path(folder.name) / "station"
    initialise(root / "vault", root / "keys", PASSPHRASE)
    return root


def wait_until(
    is_so: Callable[[], bool], shown: Callable[[], object] = lambda: "it", patience_s: float = PATIENCE_S
) -> None:
    """Look again and again until it is so; fail with what is shown when it never is."""
    end = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < end, shown()
        time.sleep(0.01)
