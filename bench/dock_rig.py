"""A station for the dock's benches: its own processes, bays for emulated recorders, and cards with footage on them.

A recorder is plugged in by a control file (devices.emulation); from the sighting on, everything is what a real one
meets. Its card is a plain folder: in the page cache, where the vault is to be the limit, or a slow medium that the
kernel reads (bench.dock_medium), where the card is.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from devices.emulation import plug_in
from ingest.status import BayStatus, TileState, read_status
from sealdock import schema
from sealdock.supervisor import Supervisor
from sealdock.wiring import Station
from vault.audit.verify import verify_vault
from vault.founding import initialise

MEGABYTE = 10**6
LOOK_S = 0.02
START_S = 180.0
WITHIN_S = 300.0
WRONG = frozenset({TileState.PARTIAL, TileState.FAULT, TileState.UNKNOWN, TileState.INTERRUPTED})
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # cards that lie in memory are not written back while we measure


@dataclass
class Rig:
    """A running station."""

    place: Path
    station: Station
    supervisor: Supervisor

    def plug(self, number: int, card: Path) -> float:
        """Put a recorder into a bay; the moment at which that was."""
        claim = {"id_path": f"pci-0-usb-0:{number}", "serial": f"S{number:06}", "directory": str(card)}
        plug_in(self.place / "bays" / f"bay-{number}.json", json.dumps(claim))
        return time.monotonic()

    def pull(self, number: int) -> None:
        """Take it out again."""
        (self.place / "bays" / f"bay-{number}.json").unlink()

    def bays(self) -> dict[int, BayStatus]:
        """What the dock says of its bays."""
        return {bay.number: bay for bay in read_status(self.station.dock_status).bays}

    def process(self, name: str) -> psutil.Process:
        """One of the station's processes, once it runs."""
        wait_for(lambda: self.supervisor.pid(name) is not None, f"{name} did not start", START_S)
        pid = self.supervisor.pid(name)
        assert pid is not None
        return psutil.Process(pid)

    def wait(self, numbers: Sequence[int], state: TileState, look: Callable[[], None] = lambda: None) -> None:
        """Until these bays are in a state; `look` is called again and again meanwhile."""

        def reached() -> bool:
            look()
            now = self.bays()
            states = {now[number].state if number in now else TileState.EMPTY for number in numbers}
            assert not states & WRONG, [now[number] for number in numbers]
            return states == {state}

        wait_for(reached, f"{numbers} did not come to {state}", WITHIN_S)

    def verify(self, objects: int) -> None:
        """Nothing of what was measured is worth anything if the vault does not hold it."""
        report = verify_vault(self.station.settings.vault, self.station.vault.verifier)
        assert report.ok, report.to_json()
        assert report.counts["objects"] == objects, report.counts


def wait_for(is_so: Callable[[], bool], otherwise: str, within_s: float) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, otherwise
        time.sleep(LOOK_S)


@contextmanager
def running(
    directory: Path | None, bays: int, processes: tuple[str, ...] = ("vaultd", "dockd"), console_port: int = 0
) -> Iterator[Rig]:
    """A station with so many bays, founded anew, until the block ends."""
    with tempfile.TemporaryDirectory(dir=directory, prefix="bench-dock-") as name:
        place = Path(name)
        station = _found(place, bays, console_port)
        stop = threading.Event()
        supervisor = Supervisor(place / "sealdock.toml", processes, log_directory=place)
        thread = threading.Thread(target=supervisor.run, args=(stop,))
        thread.start()
        rig = Rig(place, station, supervisor)
        try:
            if "dockd" in processes:
                wait_for(lambda: not read_status(station.dock_status).is_stale, "no dock", START_S)
            yield rig
        finally:
            stop.set()
            thread.join()
            station.close()


@contextmanager
def in_memory(directory: Path | None) -> Iterator[Path]:
    """A place for cards that no disk is busy with, where there is one."""
    where = directory if directory or not SHARED_MEMORY.is_dir() else SHARED_MEMORY
    with tempfile.TemporaryDirectory(dir=where, prefix="bench-cards-") as name:
        yield Path(name)


def fill(card: Path, number: int, sizes: Sequence[int], mark: str = "") -> None:
    """Footage as an enforcement recorder in storage mode names it; `mark` is what its officer marked it with."""
    folder = card / "20261123"
    folder.mkdir(parents=True)
    block = bytearray(os.urandom(MEGABYTE))
    for part, size in enumerate(sizes, 1):
        path = folder / f"S{number:06}{number:06}_20261123081500_{part:04}{mark}.mp4"
        with path.open("wb") as file:
            for start in range(0, size, MEGABYTE):
                block[:16] = secrets.token_bytes(16)
                file.write(memoryview(block)[: min(MEGABYTE, size - start)])


def _found(place: Path, bays: int, console_port: int) -> Station:
    initialise(place / "vault", place / "keys", secrets.token_bytes(16).hex().encode())
    lines = "\n".join(f'  {{ number = {n}, path = "pci-0-usb-0:{n}" }},' for n in range(1, bays + 1))
    (place / "sealdock.toml").write_text(
        'vault = "vault"\nstate = "state"\nkeys = "keys"\n'
        f'[dock]\nemulation = "bays"\nmounts = "state/mounts"\nunregistered = "take"\nbays = [\n{lines}\n]\n'
        + (f"[console]\nport = {console_port}\n" if console_port else "")
    )
    (place / "bays").mkdir()
    station = Station.load(place / "sealdock.toml")
    schema.upgrade(station.db)
    return station
