"""Taking in the log's answers when nobody waits for them any more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from emulation.dock import Station
from sqlalchemy import update
from structlog.testing import capture_logs

from devices.profile import load_profiles
from ingest.hand import ingest_path
from ingest.recording import IngestRecording, RecordingState
from ingest.recovery import reconcile
from vault.formats.note import SigningKey
from vault.log.outbox import OutboxRow, RowState


@pytest.fixture
def waiting(station: Station, tmp_path: Path) -> str:
    """A recording whose answer is there and was not taken in, as after a crash."""
    (tmp_path / "f").mkdir()
    (tmp_path / "f/a").write_bytes(b"film")
    (result,) = ingest_path(station.line, tmp_path / "f", profiles=load_profiles()).results
    with station.db.writing() as session:
        session.execute(update(IngestRecording).values(state=RecordingState.SUBMITTED, reason=""))
    return result.recording_id


def row(station: Station, recording_id: str) -> IngestRecording:
    with station.db.reading() as session:
        return session.get_one(IngestRecording, recording_id)


def test_a_receipt_that_proves_nothing_is_said_once_and_stands_in_the_row(
    station: Station, waiting: str
) -> None:
    stranger = replace(station.vault, verifier=SigningKey.generate("sealdock/other").verifier)
    with capture_logs() as lines:
        for _ in range(3):
            reconcile(station.db, stranger, busy=())
    errors = [line for line in lines if line["log_level"] == "error"]
    assert [line["event"] for line in errors] == ["a receipt does not prove its deposit"]
    assert errors[0]["recording"] == waiting
    assert row(station, waiting).state == RecordingState.VERIFIED
    assert "signature" in row(station, waiting).reason


def test_a_better_answer_settles_it(station: Station, waiting: str) -> None:
    stranger = replace(station.vault, verifier=SigningKey.generate("sealdock/other").verifier)
    reconcile(station.db, stranger, busy=())
    reconcile(station.db, station.vault, busy=())
    assert row(station, waiting).state == RecordingState.RECEIPTED
    assert row(station, waiting).reason == ""


@pytest.mark.parametrize(
    ("state", "then"),
    [(RowState.REFUSED, RecordingState.MISMATCHED), (RowState.MISMATCHED, RecordingState.FOUND)],
)
def test_what_the_log_did_not_take_is_settled_without_noise(
    station: Station, waiting: str, state: RowState, then: RecordingState
) -> None:
    with station.db.writing() as session:
        session.execute(update(OutboxRow).where(OutboxRow.id == waiting).values(state=state, reason="why"))
    with capture_logs() as lines:
        assert reconcile(station.db, station.vault, busy=()) == 0
    assert not [line for line in lines if line["log_level"] == "error"]
    assert row(station, waiting).state == then
