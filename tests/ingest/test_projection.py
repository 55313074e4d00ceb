"""The dock's memory from the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from core.clock import new_id, stamp, utc_now
from core.db import Database
from ingest.projection import apply_ingest
from ingest.recording import IngestRecording, RecordingState
from vault.formats.entry import Leaf, ObjectCommitment
from vault.log.outbox import AppliedEntry

LEAF = Leaf(
    id=new_id(), type="ingest", time=stamp(utc_now()), by="dockd", facts={"origin": "dock", "media": "video"},
    object=ObjectCommitment("0" * 64, 100, "1" * 64, 116, "A-2026-11", "2" * 64),
)  # fmt: skip
FIELDS = {"path": "DCIM/a.mp4", "recorder_serial": "X1"}


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'dock.db'}")
    made.create_tables()
    yield made
    made.close()


def applied(db: Database, index: int | None) -> list[IngestRecording]:
    with db.writing() as session:
        apply_ingest(session, AppliedEntry(LEAF, FIELDS, index))
        session.flush()
        return list(session.scalars(select(IngestRecording)))


def test_an_entry_that_is_not_on_the_log_yet_is_not_remembered_as_receipted(db: Database) -> None:
    assert applied(db, None) == []


def test_an_entry_of_the_log_is_remembered_once(db: Database) -> None:
    for _ in range(2):
        (row,) = applied(db, 7)
    assert (row.id, row.state, row.entry_index) == (LEAF.id, RecordingState.RECEIPTED, 7)
    assert (row.path, row.size, row.recorder_serial) == (b"DCIM/a.mp4", 100, "X1")
