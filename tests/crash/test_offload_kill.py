"""kill -9 at fifty random moments of an offload, then a start: all completes, nothing twice, nothing lost."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulation.card import make_exfat
from emulation.dock import Station, wait_until
from emulation.processes import Processes, write_settings
from sqlalchemy import func, select
from support.footage import clip

from core.digest import sha256_hex
from core.jobs import Job, JobState
from core.states import StateHistory
from ingest.docking import DockingSession, SessionState
from ingest.proxies import MediaFacts
from ingest.recording import IngestRecording, RecordingState
from ingest.recovery import CRASHED
from vault.audit.verify import verify_vault
from vault.log.ledger import LogReader

pytestmark = pytest.mark.crash
SEALING = ("vaultd", "dockd")
EVERYTHING = ("vaultd", "keyd", "dockd", "worker")
CASES = {  # who is killed: who runs, how often; fifty kills in all
    ("dockd",): (SEALING, 18),
    ("vaultd",): (SEALING, 12),
    ("dockd", "vaultd"): (SEALING, 8),
    ("worker",): (EVERYTHING, 6),
    ("keyd",): (EVERYTHING, 3),
    EVERYTHING: (EVERYTHING, 3),
}
WINDOW_S = 0.9  # from plugging in to the session's entry takes about this long here: every step can be hit
SIZES = (300_000, 1_200_000, 0, 5_000, 700_000, 90_000)
COPYING_S = 0.6  # how long the card takes to give everything


@pytest.fixture
def processes(
    tmp_path: Path, victims: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Processes]:
    monkeypatch.setenv("PYTHONPATH", "")
    made = Processes(tmp_path / "station", CASES[victims][0])
    yield made
    made.kill(*made.names)


@pytest.fixture
def contents(victims: tuple[str, ...]) -> dict[str, bytes]:
    """What is on the card; the worker gets something to look at, and one file that only claims to be a film."""
    if "worker" in CASES[victims][0]:
        return {
            "DCIM/P.JPG": clip("photo").read_bytes(),
            "DCIM/NOTE.WAV": clip("wav").read_bytes(),
            "DCIM/T.MP4": b"text",
        }
    return {f"DCIM/100MEDIA/MOV_{n:04d}.MP4": os.urandom(size) for n, size in enumerate(SIZES, 1)}


@pytest.fixture
def card(tmp_path: Path, contents: dict[str, bytes]) -> Path:
    for path, content in contents.items():
        target = tmp_path / "card" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return make_exfat(tmp_path / "card.img", tmp_path / "card")


@pytest.mark.parametrize("victims", CASES, ids="+".join)
def test_killed_processes_leave_nothing_lost_and_nothing_twice(
    tmp_path: Path, processes: Processes, card: Path, contents: dict[str, bytes], victims: tuple[str, ...]
) -> None:
    station, kills = Station.make(tmp_path / "station"), CASES[victims][1]
    write_settings(station.root)
    moment, rate = random.SystemRandom(), round(sum(map(len, contents.values())) / COPYING_S)
    processes.start()
    for number in range(kills):
        serial = f"KILL{number:03d}"
        control = station.plug("a", image=str(card), serial=serial, bytes_per_second=rate)
        is_aimed = number % 2  # every other kill falls into the copying, however slow the machine is today
        if is_aimed:
            wait_until(lambda s=serial: is_offloading(station, s), lambda s=serial: describe(station, s))
        time.sleep(
            moment.uniform(0, COPYING_S / 2 if is_aimed else WINDOW_S)
        )  # not waiting for anything: this is the random moment
        processes.kill(*victims)
        processes.start()
        wait_until(lambda s=serial: is_complete(station, s), lambda s=serial: describe(station, s))
        control.unlink()
        wait_until(lambda n=number: count_released(station) == n + 1, lambda: count_released(station))
    if "worker" in processes.names:
        wait_until(lambda: count_open_jobs(station) == 0, lambda: count_open_jobs(station), patience_s=150)
        check_facts(station)
    processes.kill(*processes.names)
    check_log(station, contents, kills)
    if "dockd" in victims:
        check_that_an_offload_was_hit(station)
    station.stop()


def is_offloading(station: Station, serial: str) -> bool:
    with station.db.reading() as session:
        query = select(DockingSession.id).where(DockingSession.recorder_serial == serial)
        return session.scalar(query) is not None


def is_complete(station: Station, serial: str) -> bool:
    with station.db.reading() as session:
        query = select(DockingSession.state).where(DockingSession.recorder_serial == serial)
        return bool(set(session.scalars(query)) & {SessionState.COMPLETE, SessionState.RELEASED})


def count_released(station: Station) -> int:
    with station.db.reading() as session:
        released = DockingSession.state == SessionState.RELEASED
        return session.scalar(select(func.count()).select_from(DockingSession).where(released)) or 0


def count_open_jobs(station: Station) -> int:
    with station.db.reading() as session:
        unfinished = Job.state.in_([JobState.WAITING, JobState.RUNNING])
        return session.scalar(select(func.count()).select_from(Job).where(unfinished)) or 0


def describe(station: Station, serial: str) -> object:
    with station.db.reading() as session:
        query = select(IngestRecording).where(IngestRecording.recorder_serial == serial)
        return [(row.shown_path, row.state, row.reason) for row in session.scalars(query)]


def check_facts(station: Station) -> None:
    """The worker has said of every recording what it is, once."""
    with station.db.reading() as session:
        rows = {row.id: row.shown_path for row in session.scalars(select(IngestRecording))}
        facts = {row.recording_id: row for row in session.scalars(select(MediaFacts))}
    assert facts.keys() == rows.keys()
    for recording_id, found in facts.items():
        assert found.poster is rows[recording_id].endswith(".JPG"), (rows[recording_id], found.error)
        assert found.indexed_at is not None


def check_log(station: Station, contents: dict[str, bytes], cards: int) -> None:
    """The log holds each file of each card once, with its bytes; nothing is left over anywhere."""
    with station.db.reading() as session:
        rows = list(session.scalars(select(IngestRecording)))
    assert {row.state for row in rows} == {RecordingState.RECEIPTED}
    assert len(rows) == len({(row.recorder_serial, row.path) for row in rows}) == cards * len(contents)
    assert all(row.sha256 == sha256_hex(contents[row.shown_path]) for row in rows)
    reader = LogReader(station.vault)
    leaves = list(reader.leaves(0, reader.checkpoint()[0].size))
    assert Counter(leaf.id for leaf in leaves if leaf.type == "ingest") == Counter(row.id for row in rows)
    assert sum(leaf.type == "session" for leaf in leaves) == cards
    assert list((station.vault.path / "incoming").iterdir()) == []
    report = verify_vault(station.vault.path, station.vault.verifier)
    assert report.ok, report.failures


def check_that_an_offload_was_hit(station: Station) -> None:
    """A test whose kills never fall into an offload would prove nothing."""
    with station.db.reading() as session:
        crashed = session.scalars(select(StateHistory.after).where(StateHistory.reason == CRASHED)).all()
    assert crashed, "no kill fell between the plug and the end of a session: the window is wrong"
