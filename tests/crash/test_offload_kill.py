"""kill -9 at random moments of an offload, then a start: everything completes, nothing twice, nothing lost."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from emulation.card import make_exfat
from emulation.dock import Station, run_dockd, run_vaultd, wait_until
from sqlalchemy import func, select

from core.digest import sha256_hex
from core.states import StateHistory
from ingest.docking import DockingSession, SessionState
from ingest.recording import IngestRecording, RecordingState
from ingest.recovery import CRASHED
from vault.ledger import LogReader
from vault.verify import verify_vault

pytestmark = pytest.mark.crash
RUNS = {"dockd": run_dockd, "vaultd": run_vaultd}
ROUNDS = {("dockd",): 22, ("vaultd",): 16, ("dockd", "vaultd"): 12}  # 50 kills in all
WINDOW_S = 1.1  # from plugging in to the session's entry takes about this long here: every step can be hit
SIZES = (300_000, 1_200_000, 0, 5_000, 700_000, 90_000)


class Processes:
    """The station's processes, forked from a server that has imported everything: a start takes milliseconds."""

    def __init__(self, root: Path) -> None:
        self._root, self._running = root, dict[str, ForkServerProcess]()
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(["emulation.dock"])

    def start(self) -> None:
        for name, run in RUNS.items():
            if name not in self._running:
                self._running[name] = self._context.Process(target=run, args=(self._root,), daemon=True)
                self._running[name].start()

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        process.kill()
        process.join()


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    made = Processes(tmp_path / "station")
    yield made
    for name in list(made._running):
        made.kill(name)


@pytest.fixture
def contents(tmp_path: Path) -> dict[str, bytes]:
    return {f"DCIM/100MEDIA/MOV_{n:04d}.MP4": os.urandom(size) for n, size in enumerate(SIZES, 1)}


@pytest.fixture
def card(tmp_path: Path, contents: dict[str, bytes]) -> Path:
    for path, content in contents.items():
        target = tmp_path / "card" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return make_exfat(tmp_path / "card.img", tmp_path / "card")


@pytest.mark.parametrize("victims", ROUNDS, ids="+".join)
def test_killed_processes_leave_nothing_lost_and_nothing_twice(
    tmp_path: Path, processes: Processes, card: Path, contents: dict[str, bytes], victims: tuple[str, ...]
) -> None:
    station = Station.make(tmp_path / "station")
    moment = random.SystemRandom()
    processes.start()
    for number in range(ROUNDS[victims]):
        serial = f"KILL{number:03d}"
        control = station.plug("a", image=str(card), serial=serial, bytes_per_second=6_000_000)
        time.sleep(moment.uniform(0, WINDOW_S))  # not waiting for anything: this is the random moment
        for name in victims:
            processes.kill(name)
        processes.start()
        wait_until(lambda s=serial: _is_complete(station, s), lambda s=serial: _describe(station, s))
        control.unlink()
        wait_until(lambda n=number: _released(station) == n + 1, lambda: _released(station))
    for name in RUNS:
        processes.kill(name)
    _check_everything(station, contents, victims)
    station.stop()


def _is_complete(station: Station, serial: str) -> bool:
    with station.db.reading() as session:
        states = set(
            session.scalars(select(DockingSession.state).where(DockingSession.recorder_serial == serial))
        )
    return bool(states & {SessionState.COMPLETE, SessionState.RELEASED})


def _released(station: Station) -> int:
    with station.db.reading() as session:
        released = DockingSession.state == SessionState.RELEASED
        return session.scalar(select(func.count()).select_from(DockingSession).where(released)) or 0


def _describe(station: Station, serial: str) -> object:
    with station.db.reading() as session:
        query = select(IngestRecording).where(IngestRecording.recorder_serial == serial)
        return [(r.shown_path, r.state, r.reason) for r in session.scalars(query)]


def _check_everything(station: Station, contents: dict[str, bytes], victims: tuple[str, ...]) -> None:
    """The log holds each file of each card once, with its bytes; nothing is left over anywhere."""
    cards = ROUNDS[victims]
    with station.db.reading() as session:
        rows = list(session.scalars(select(IngestRecording)))
    assert {row.state for row in rows} == {RecordingState.RECEIPTED}
    assert len(rows) == len({(row.recorder_serial, row.path) for row in rows}) == cards * len(contents)
    assert all(row.sha256 == sha256_hex(contents[row.shown_path]) for row in rows)
    reader = LogReader(station.vault)
    leaves = list(reader.leaves(0, reader.checkpoint()[0].size))
    sealed = Counter(leaf.id for leaf in leaves if leaf.type == "ingest")
    assert sealed == Counter(row.id for row in rows)
    assert sum(leaf.type == "session" for leaf in leaves) == cards
    assert list((station.vault.path / "incoming").iterdir()) == []
    if "dockd" in victims:
        with station.db.reading() as session:
            crashed = session.scalars(select(StateHistory.after).where(StateHistory.reason == CRASHED)).all()
        assert "interrupted" in crashed, "no kill ever hit an offload: the window is wrong"
    report = verify_vault(station.vault.path, station.vault.verifier)
    assert report.ok, report.failures
