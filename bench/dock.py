"""Eight recorders at once: what dockd needs of memory, and what the bays get through together.

python -m bench.dock [--recorders 8] [--megabytes 256] [--dir DIR] [--json FILE]

Runs the station's own processes. Every recorder is an emulated one holding one random file in the page cache, so
that the vault and not the source is the limit; the figure for one recorder alone is measured in the same run.
Memory is dockd's resident set (its peak, sampled 20 times a second, and the kernel's own high-water mark).
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from devices.emulation import plug_in
from ingest.status import DockStatus, TileState, read_status
from sealdock import schema
from sealdock.supervisor import Supervisor
from sealdock.wiring import Station
from vault.audit.verify import verify_vault
from vault.founding import initialise

MEGABYTE = 10**6
CEILING_MIB = 300  # issue 2
SAMPLE_S = 0.05
WITHIN_S = 600


@dataclass(frozen=True)
class Measured:
    """One round."""

    recorders: int
    wall_s: float
    megabytes_per_s: float
    peak_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recorders", type=int, default=8)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir, prefix="bench-dock-") as place:
        rounds = _measure(Path(place), given.recorders, given.megabytes)
    _print(rounds)
    if given.json:
        given.json.write_text(json.dumps([asdict(one) for one in rounds], indent=1))


def _measure(place: Path, recorders: int, megabytes: int) -> list[Measured]:
    station = _found(place, recorders + 1)
    stop = threading.Event()
    supervisor = Supervisor(place / "sealdock.toml", ("vaultd", "dockd"), log_directory=place)
    thread = threading.Thread(target=supervisor.run, args=(stop,))
    thread.start()
    try:
        alone = _round(station, supervisor, place, range(1, 2), megabytes)
        together = _round(station, supervisor, place, range(2, recorders + 2), megabytes)
    finally:
        stop.set()
        thread.join()
    report = verify_vault(station.settings.vault, station.vault.verifier)
    assert report.ok, report.to_json()
    assert report.counts["objects"] == recorders + 1
    station.close()
    return [alone, together]


def _found(place: Path, bays: int) -> Station:
    initialise(place / "vault", place / "keys", secrets.token_bytes(16).hex().encode())
    lines = "\n".join(f'  {{ number = {n}, path = "pci-0-usb-0:{n}" }},' for n in range(1, bays + 1))
    (place / "sealdock.toml").write_text(
        'vault = "vault"\nstate = "state"\nkeys = "keys"\n'
        f'[dock]\nemulation = "bays"\nmounts = "state/mounts"\nbays = [\n{lines}\n]\n'
    )
    (place / "bays").mkdir()
    station = Station.load(place / "sealdock.toml")
    schema.upgrade(station.db)
    return station


def _round(station: Station, supervisor: Supervisor, place: Path, bays: range, megabytes: int) -> Measured:
    for number in bays:
        _fill(place / f"card-{number}", number, megabytes)
    dockd = _process(supervisor)
    began, peak = time.monotonic(), 0
    for number in bays:
        claim = {
            "id_path": f"pci-0-usb-0:{number}",
            "serial": f"S{number:06}",
            "directory": f"../card-{number}",
        }
        plug_in(place / "bays" / f"bay-{number}.json", json.dumps(claim))
    while not _sealed(read_status(station.dock_status), bays):
        peak = max(peak, dockd.memory_info().rss)
        time.sleep(SAMPLE_S)
        assert time.monotonic() - began < WITHIN_S, "the recorders were not sealed in time"
    wall_s = time.monotonic() - began
    moved = len(bays) * megabytes
    return Measured(len(bays), wall_s, moved / wall_s, max(peak, _high_water(dockd.pid)) / 2**20)


def _fill(card: Path, number: int, megabytes: int) -> None:
    folder = card / "20261123"
    folder.mkdir(parents=True)
    with (folder / f"S{number:06}{number:06}_20261123081500_0001.mp4").open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(MEGABYTE))


def _process(supervisor: Supervisor) -> psutil.Process:
    deadline = time.monotonic() + 30
    while (pid := supervisor.pid("dockd")) is None:
        assert time.monotonic() < deadline, "dockd did not start"
        time.sleep(SAMPLE_S)
    return psutil.Process(pid)


def _sealed(status: DockStatus, bays: range) -> bool:
    states = {bay.number: bay.state for bay in status.bays}
    assert TileState.FAULT not in states.values(), status
    return all(states.get(number) is TileState.SEALED for number in bays)


def _high_water(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def _print(rounds: list[Measured]) -> None:
    print(f"{'recorders':>9}  {'wall s':>7}  {'MB/s':>7}  {'dockd peak MiB':>14}")
    for one in rounds:
        print(f"{one.recorders:>9}  {one.wall_s:7.1f}  {one.megabytes_per_s:7.0f}  {one.peak_mib:14.0f}")
    alone, together = rounds
    print(f"together / alone: {together.megabytes_per_s / alone.megabytes_per_s:.2f}")
    word = "holds" if together.peak_mib < CEILING_MIB else "DOES NOT HOLD"
    print(f"dockd with {together.recorders} recorders under {CEILING_MIB} MiB: {word}")


if __name__ == "__main__":
    main()
