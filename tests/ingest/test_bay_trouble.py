"""Which bays sessions break off in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from core.clock import new_id, utc_now
from core.db import Database
from ingest.bay_trouble import BROKEN_OFF, BayRecord, bay_records
from ingest.docking import DockingSession, at_bay, interrupt_session, move
from ingest.recovery import CRASHED

DAY = timedelta(days=1)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/bays.db")
    database.create_tables()
    yield database
    database.close()


def stay(db: Database, serial: str, *bays: int, reason: str = BROKEN_OFF, age: timedelta = DAY) -> None:
    """A session that broke off in every bay but the last, where it ended."""
    with db.writing() as session:
        row = DockingSession(
            id=new_id(), origin="dock", bay=bays[0], recorder_serial=serial, profile="p", transport="block",
            attached_at=utc_now() - age,
        )  # fmt: skip
        session.add(row)
        session.flush()
        move(session, row, "identify")
        move(session, row, "offload", at_bay(bays[0]))
        for bay in bays[1:]:
            interrupt_session(session, row, reason)
            row.bay = bay
            move(session, row, "resume", at_bay(bay))
        move(session, row, "complete")


def records(db: Database, since: timedelta = 30 * DAY) -> dict[int, BayRecord]:
    with db.reading() as session:
        return {one.number: one for one in bay_records(session, utc_now() - since)}


def test_a_session_that_broke_off_counts_against_the_bay_it_was_in_then(db: Database) -> None:
    stay(db, "A", 1, 2)
    stay(db, "B", 1, 2)
    found = records(db)
    assert (found[1].stays, found[1].broken_off, found[1].recorders) == (2, 2, {"A", "B"})
    assert (found[2].stays, found[2].broken_off, found[2].last_at) == (2, 0, None)
    assert found[1].last_at is not None


def test_going_on_in_the_same_bay_is_another_stay_there(db: Database) -> None:
    stay(db, "A", 4, 4, 4)
    assert (records(db)[4].stays, records(db)[4].broken_off) == (3, 2)


@pytest.mark.parametrize("reason", [CRASHED, "CancelledError"])
def test_a_dock_that_was_stopped_is_no_fault_of_the_bay(db: Database, reason: str) -> None:
    stay(db, "A", 1, 1, reason=reason)
    assert records(db)[1].broken_off == 0


def test_what_is_long_ago_or_has_no_bay_is_not_counted(db: Database) -> None:
    stay(db, "A", 1, 1, age=31 * DAY)
    with db.writing() as session:
        row = DockingSession(
            id=new_id(),
            origin="hand",
            bay=None,
            recorder_serial="",
            profile="p",
            transport="folder",
            attached_at=utc_now(),
        )
        session.add(row)
        session.flush()
        move(session, row, "identify", "profile p")
        move(session, row, "offload", at_bay(None))
    assert records(db) == {}
