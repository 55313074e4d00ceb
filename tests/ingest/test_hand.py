from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import pytest
from emulation.dock import PASSPHRASE, Station
from sqlalchemy import delete, select

from core.digest import sha256_hex
from core.states import StateHistory
from devices.error import UnknownProfileError
from devices.profile import load_profiles
from ingest.docking import DockingSession
from ingest.error import NotAFolderError
from ingest.hand import HandReport, ingest_path
from ingest.projection import register
from ingest.recording import IngestRecording
from vault.audit.verify import verify_vault
from vault.formats.proof import Receipt
from vault.log.index import reindex
from vault.log.ledger import LogReader
from vault.log.outbox import Projections
from vault.store.keys import Keyring, open_body
from vault.store.medium import CancelledError

PROFILES = load_profiles()
ENDINGS = ("jpg", "mp4", "wav", "docx", "MP4", "", "tar.gz")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Two hundred files of all kinds in nested folders; every twentieth is empty."""
    for number in range(200):
        ending = ENDINGS[number % len(ENDINGS)]
        path = tmp_path / f"mixed/f{number % 9}/sub" / f"文件 {number}{'.' + ending if ending else ''}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if number % 20 == 0 else os.urandom(1 + number * 37))
    return tmp_path / "mixed"


def pull(station: Station, path: Path, **facts: str) -> HandReport:
    return ingest_path(station.line, path, profiles=PROFILES, **facts)


def test_two_hundred_files_of_all_kinds_are_sealed_and_a_second_time_known(
    station: Station, mixed: Path
) -> None:
    first = pull(station, mixed)
    assert (first.is_complete, first.profile_id, len(first.results)) == (True, "folder", 200)
    for result in first.results:
        assert result.receipt is not None
        leaf = Receipt.parse(result.receipt).verify(station.vault.verifier)
        assert leaf.object is not None
        assert leaf.object.sha256 == sha256_hex((mixed / result.path).read_bytes())
        assert (leaf.id, leaf.facts["origin"]) == (result.recording_id, "hand")
    again = pull(station, mixed)
    assert {r.was_known for r in again.results} == {True}
    assert {r.recording_id for r in again.results} == {r.recording_id for r in first.results}
    station.stop()
    report = verify_vault(station.vault.path, station.vault.verifier)
    assert report.ok, report.failures


def test_a_card_by_hand_is_read_under_its_own_profile(station: Station, footage: Path) -> None:
    report = pull(station, footage)
    assert report.profile_id == "enforcement-storage"
    assert not any("System Volume" in result.path for result in report.results)
    with station.db.reading() as session:
        docking = session.get_one(DockingSession, report.session_id)
        assert (docking.recorder_serial, docking.officer_number, docking.state) == (
            "X1A0001",
            "060123",
            "complete",
        )


def test_what_a_person_says_fills_in_what_no_name_says(station: Station, tmp_path: Path) -> None:
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone/a.mp4").write_bytes(b"film")
    report = pull(station, tmp_path / "phone", officer="060777", profile="folder")
    (result,) = report.results
    reader = LogReader(station.vault)
    leaf = reader.leaf(result.entry_index)
    keyring = Keyring.unlock(station.vault, station.root / "keys", PASSPHRASE)
    body = open_body(station.vault, result.entry_index, leaf, keyring)
    assert body is not None
    assert {k: body[k] for k in ("name", "path", "size", "officer_number", "bay", "recorder_serial", "damaged")} == {
        "name": "a.mp4", "path": "a.mp4", "size": 4, "officer_number": "060777", "bay": None, "recorder_serial": None,
        "damaged": False,
    }  # fmt: skip
    assert (body["started_at"], body["clock_source"], body["part"]) == (None, "file", None)


def test_a_folder_with_a_link_is_incomplete_and_says_which(station: Station, tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f/a").write_bytes(b"x")
    (tmp_path / "f/link").symlink_to("a")
    report = pull(station, tmp_path / "f")
    assert not report.is_complete
    (failed,) = [r for r in report.results if r.failure]
    assert (failed.path, failed.failure.code) == ("link", "ingest.refused_file")


@pytest.mark.parametrize("name", ["a-file", "nothing"])
def test_what_is_no_folder_is_named(station: Station, tmp_path: Path, name: str) -> None:
    (tmp_path / "a-file").touch()
    with pytest.raises(NotAFolderError, match=name):
        pull(station, tmp_path / name)


def test_a_profile_that_is_not_there_stops_before_anything_is_opened(station: Station, footage: Path) -> None:
    with pytest.raises(UnknownProfileError, match="no profile 'dashcam'"):
        pull(station, footage, profile="dashcam")


def test_a_stop_in_the_middle_can_be_gone_on_with(station: Station, footage: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(CancelledError):
        ingest_path(station.line, footage, profiles=PROFILES, stop=stop)
    assert pull(station, footage).is_complete
    with station.db.reading() as session:
        assert [s.state for s in session.scalars(select(DockingSession))] == ["complete"]


def test_after_a_lost_database_a_recorder_docked_again_is_still_known(
    station: Station, footage: Path
) -> None:
    first = pull(station, footage)
    station.stop()  # as an administrator does before a reindex
    with station.db.writing() as session:
        for table in (IngestRecording, DockingSession, StateHistory):
            session.execute(delete(table))
    projections = Projections()
    register(projections)
    keyring = Keyring.unlock(station.vault, station.root / "keys", PASSPHRASE)
    reindex(station.vault, keyring, station.db, projections)
    station.start_vaultd()
    again = pull(station, footage)
    assert {r.was_known for r in again.results} == {True}
    assert {r.recording_id for r in again.results} == {r.recording_id for r in first.results}
