"""A recorder that the register does not answer for: asked about, taken into quarantine, and whose it is."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from emulation.dock import PORTS, Station, wait_until
from sqlalchemy import select

from core.clock import new_id
from ingest.admission import Standing
from ingest.answer import AlreadyAnsweredError, give_answer
from ingest.docking import DockingSession
from ingest.stated import SessionStatement
from ingest.statement_words import sentences
from ingest.status import TileState
from vault.log.index import EntryRow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "card/DCIM/100GOPRO"
    place.mkdir(parents=True)
    (place / "GH010001.MP4").write_bytes(os.urandom(50_000))
    return tmp_path / "card"


def start(station: Station, standing: Standing, holder: str | None = None) -> None:
    dockd = station.make_dockd()
    for bay in set(dockd._bays.values()):
        object.__setattr__(bay._place, "admit", lambda _serial: standing)
        object.__setattr__(bay._place, "holder", lambda _serial, _moment: holder)
    station.dockd = dockd
    station._start(dockd.run)


def an_entry(station: Station) -> str:
    """Some entry that is on the log: what stands behind an answer is checked by the log's own rule."""
    with station.db.reading() as session:
        return session.scalars(select(EntryRow.id).limit(1)).one()


def test_nothing_is_copied_before_an_officer_says_duty_footage_and_then_it_is_quarantined(
    station: Station, folder: Path
) -> None:
    start(station, Standing.UNREGISTERED)
    station.plug("a", directory=str(folder))
    wait_until(lambda: station.tile().question is not None, station.tile)
    asked = station.tile()
    assert (asked.state, asked.needs) == (TileState.UNKNOWN, "badge")
    assert asked.message is not None
    assert asked.message.code == "ingest.unregistered"
    with station.db.writing() as session:
        assert session.scalars(select(DockingSession)).all() == []
        give_answer(
            session, new_id(), an_entry(station), "060999", "pin"
        )  # to another question: opens nothing
    with station.db.writing() as session:
        give_answer(session, asked.question, an_entry(station), "060123", "badge")
        session.flush()
        with pytest.raises(AlreadyAnsweredError):
            give_answer(session, asked.question, an_entry(station), "060245", "pin")
    sealed = station.wait_tile(TileState.SEALED)
    assert (sealed.officer_number, sealed.question, sealed.needs) == ("060123", None, None)
    with station.db.reading() as session:
        row = session.scalars(select(DockingSession)).one()
        assert (row.id, row.officer_number) == (asked.question, "060123")
        assert row.quarantined is not None


def test_a_device_that_leaves_takes_its_question_with_it(station: Station, folder: Path) -> None:
    start(station, Standing.LOST)
    control = station.plug("a", directory=str(folder))
    wait_until(lambda: station.tile().question is not None, station.tile)
    first = station.tile().question
    control.unlink()
    station.wait_tile(TileState.EMPTY)
    station.plug("a", directory=str(folder))
    wait_until(lambda: station.tile().question is not None, station.tile)
    assert station.tile().question != first


def test_the_ledger_names_the_holder_where_nothing_else_does(station: Station, folder: Path) -> None:
    start(station, Standing.REGISTERED, holder="060123")
    station.plug("a", directory=str(folder))
    assert station.wait_tile(TileState.SEALED).officer_name == "Officer A"
    with station.db.reading() as session:
        row = session.scalars(select(DockingSession)).one()
    assert row.officer_number == "060123"
    assert row.attached_at < datetime.now(UTC)


def test_footage_of_nobody_is_sealed_and_asks_until_somebody_says_so(station: Station, folder: Path) -> None:
    start(station, Standing.REGISTERED)
    station.plug("a", directory=str(folder))
    sealed = station.wait_tile(TileState.SEALED)
    assert sealed.needs == "claim"
    with station.db.writing() as session:
        give_answer(session, sealed.session_id or "", an_entry(station), "060123", "pin")
    wait_until(lambda: station.tile().needs is None, station.tile)
    assert station.tile().officer_name == "Officer A"
    assert station.tile().state is TileState.SEALED


def test_an_interrupted_quarantine_goes_on_under_the_answer_that_it_was_begun_with(
    station: Station, tmp_path: Path
) -> None:
    card = tmp_path / "long/DCIM/100GOPRO"
    card.mkdir(parents=True)
    for number in range(1, 4):
        (card / f"GH01000{number}.MP4").write_bytes(os.urandom(1_500_000))
    start(station, Standing.UNREGISTERED)
    control = station.plug("a", directory=str(tmp_path / "long"), bytes_per_second=2_000_000)
    wait_until(lambda: station.tile().question is not None, station.tile)
    asked = station.tile().question or ""
    claim = an_entry(station)
    with station.db.writing() as session:
        give_answer(session, asked, claim, "060123", "badge")
    wait_until(lambda: station.tile().bytes_done > 0, station.tile)
    control.unlink()
    station.wait_tile(TileState.INTERRUPTED)
    station.plug("b", port=PORTS[1], directory=str(tmp_path / "long"))
    sealed = station.wait_tile(TileState.SEALED, number=2)  # nobody was asked a second time
    assert (sealed.session_id, sealed.officer_number) == (asked, "060123")
    with station.db.reading() as session:
        row = session.scalars(select(DockingSession)).one()
    assert (row.id, row.quarantined) == (asked, claim)


def test_names_that_say_another_officer_are_told_on_the_tile_and_in_the_statement(
    station: Station, tmp_path: Path
) -> None:
    day = tmp_path / "card/20261123"
    day.mkdir(parents=True)
    for part in (1, 2):
        name = f"X1A0123060245_2026112314050{part}_000{part}.mp4"
        (day / name).write_bytes(os.urandom(40_000))
    start(station, Standing.REGISTERED, holder="060123")
    station.plug("a", serial="X1A0123", directory=str(tmp_path / "card"))
    sealed = station.wait_tile(TileState.SEALED)
    assert sealed.officer_number == "060123"
    assert sealed.message is not None
    assert sealed.message.code == "ingest.holder_conflict"
    assert sealed.message.parameters == {"named": "060245", "holder": "060123"}
    with station.db.reading() as session:
        stated = session.get_one(SessionStatement, sealed.session_id).head
    assert stated["holder_conflicts"] == [{"named": "060245", "holder": "060123", "by": "ledger", "files": 2}]
    assert any("issue ledger 060123" in str(one) for one in sentences(stated))
