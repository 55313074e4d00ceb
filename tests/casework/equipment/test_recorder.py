"""The register of recorders, their states, and the docking sessions seen through their entries."""

from __future__ import annotations

from datetime import timedelta

import pytest
from bureau.desk import Desk, sealed_leaf
from bureau.sessions import NOON, SERIAL, dock, session_entry
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from casework.equipment.asset import RecorderAsset
from casework.equipment.docked import DockedSession, firmware_of, firmwares, recordings_from, sessions
from casework.equipment.event import CARE, DOCK, HAND_BACK, HAND_OUT, RECORDER, RecorderState, history
from casework.equipment.recorder import (
    NotAvailableError,
    RecorderFacts,
    RecorderFilter,
    SerialError,
    StaleRecorderError,
    care,
    change_recorder,
    known_recorder,
    list_recorders,
    possible,
    recorder_by_serial,
    register_recorder,
)
from casework.people.officer import OfficerFacts, register_officer
from casework.projection import register
from casework.subject import TakenError, UnknownSubjectError
from core.clock import new_id, stamp, utc_now
from core.db import Database
from core.states import IllegalEventError
from vault.formats.entry import Leaf
from vault.log.outbox import AppliedEntry, Projections


def only(desk: Desk) -> RecorderAsset:
    with desk.db.reading() as session:
        return session.scalars(select(RecorderAsset)).one()


def registered(desk: Desk, serial: str = SERIAL) -> str:
    with desk.db.writing() as session:
        return register_recorder(session, desk.submitter, desk.actor, serial, "DSJ-X1", None, "C-1", "B-1")


def test_every_state_and_event() -> None:
    """Who reads the table finds each of them decided: it moves, or it is refused."""
    events = {HAND_OUT, HAND_BACK, DOCK, *CARE}
    assert {event for _, event in RECORDER.table} == events
    for state in RecorderState:
        for event in events:
            if (state, event) in RECORDER.table:
                assert RECORDER.next(state, event) in RecorderState
            else:
                with pytest.raises(IllegalEventError):
                    RECORDER.next(state, event)
    assert all((state, DOCK) in RECORDER.table for state in RecorderState)  # whatever docks is sealed


def test_a_recorder_is_registered_with_its_card_and_battery(desk: Desk) -> None:
    identity = registered(desk)
    found = only(desk)
    assert (found.id, found.state, found.is_registered) == (identity, "available", True)
    assert (found.model, found.card_serial, found.battery_serial) == ("DSJ-X1", "C-1", "B-1")
    with desk.db.writing() as session, pytest.raises(TakenError):
        register_recorder(session, desk.submitter, None, SERIAL)


@pytest.mark.parametrize("serial", ["a b", "x" * 65, "执法", "../../etc", "=1+1", "\u202eX1A"])
def test_a_serial_that_no_maker_prints_is_refused(desk: Desk, serial: str) -> None:
    with desk.db.writing() as session, pytest.raises(SerialError):
        register_recorder(session, desk.submitter, None, serial)


def test_one_that_docks_is_seen_and_registering_it_keeps_what_was_seen(desk: Desk) -> None:
    entry = session_entry()
    dock(desk, entry, entry)  # when it is submitted, and when it is on the log
    seen = only(desk)
    assert (seen.is_registered, seen.state, seen.bay, seen.firmware) == (False, "docked", 3, "V2.1.7")
    assert registered(desk) == seen.id == entry.leaf.id
    found = only(desk)
    assert (found.is_registered, found.state, found.docked_at) == (True, "docked", NOON)


def test_the_register_and_the_dock_may_speak_in_any_order(desk: Desk) -> None:
    """A replay may hear the session first and the register's entry, made under another id, after it."""
    identity = new_id()
    facts = {"event": "registered", "recorder": identity}
    leaf = Leaf(id=new_id(), type="recorder", time=stamp(NOON), by="console", about=(identity,), facts=facts)
    dock(desk, session_entry(NOON + timedelta(hours=1)), AppliedEntry(leaf, {"serial": SERIAL}, None))
    found = only(desk)
    assert (found.id, found.state, found.firmware, found.bay) == (identity, "docked", "V2.1.7", 3)
    with desk.db.reading() as session:
        assert [one.recorder_id for one in session.scalars(select(DockedSession))] == [identity]
        assert [one.event for one in history(session, identity)] == [DOCK]


def test_what_befalls_a_recorder(desk: Desk) -> None:
    identity = registered(desk)
    with desk.db.writing() as session:
        for event, after in (
            ("send_to_repair", "repair"), ("mend", "available"), ("report_lost", "lost"), ("find", "available"),
            ("retire", "retired"), ("reinstate", "available"),
        ):  # fmt: skip
            assert event in possible(session.get_one(RecorderAsset, identity))
            care(session, desk.submitter, desk.actor, identity, event, "原因")
            assert session.get_one(RecorderAsset, identity).state == after
        with pytest.raises(NotAvailableError):
            care(session, desk.submitter, desk.actor, identity, "mend")
        assert history(session, identity)[0].purpose == "原因"


def test_one_in_repair_that_docks_stays_out_of_use_and_a_lost_one_turns_up(desk: Desk) -> None:
    identity = registered(desk)
    with desk.db.writing() as session:
        care(session, desk.submitter, None, identity, "send_to_repair")
    dock(desk, session_entry(utc_now()))
    assert only(desk).state == "repair"
    with desk.db.writing() as session:
        care(session, desk.submitter, None, identity, "report_lost")
    dock(desk, session_entry(utc_now()))
    assert only(desk).state == "docked"


def test_a_card_read_by_hand_brings_no_recorder_back(desk: Desk) -> None:
    registered(desk)
    dock(desk, session_entry(bay=None))
    found = only(desk)
    assert (found.state, found.docked_at, found.firmware) == ("available", None, "V2.1.7")


@pytest.mark.parametrize("serial", ["", None])
def test_a_session_without_a_serial_speaks_of_no_recorder(desk: Desk, serial: str | None) -> None:
    dock(desk, session_entry(recorder_serial=serial))
    with desk.db.reading() as session:
        assert session.scalars(select(RecorderAsset)).all() == []


def test_nonsense_that_a_recorder_says_is_cut_and_kept_apart(desk: Desk) -> None:
    dock(
        desk,
        session_entry(firmware="V" * 900, battery_percent="full", bay=True, profile=None),
    )
    with desk.db.reading() as session:
        (found,) = session.scalars(select(DockedSession))
    assert (len(found.firmware), found.battery_percent, found.bay, found.profile) == (64, None, None, "")


def test_a_session_whose_body_was_disposed_of_says_nothing(desk: Desk) -> None:
    entry = session_entry()
    dock(desk, AppliedEntry(entry.leaf, None, 7))
    with desk.db.reading() as session:
        assert session.scalars(select(RecorderAsset)).all() == []


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(4)))
def test_the_state_is_the_same_whatever_the_order_of_hearing(order: list[int]) -> None:
    db, projections = Database("sqlite://"), Projections()
    db.create_tables()
    register(projections, "Asia/Shanghai")
    identity = new_id()

    def said(event: str, hours: int) -> AppliedEntry:
        facts = {"event": event, "recorder": identity}
        time = stamp(NOON + timedelta(hours=hours))
        return AppliedEntry(
            Leaf(id=new_id(), type="recorder", time=time, by="c", facts=facts), {"serial": SERIAL}, None
        )

    later = [
        said("report_lost", 1),
        said("find", 2),
        session_entry(NOON + timedelta(hours=3)),
        said("send_to_repair", 4),
    ]
    with db.writing() as session:
        projections.apply(session, said("registered", 0))
        for place in order:
            projections.apply(session, later[place])
            projections.apply(session, later[place])
        found = session.get_one(RecorderAsset, identity)
        assert (found.state, found.state_at) == ("repair", NOON + timedelta(hours=4))
        assert len(history(session, identity)) == 4
    db.close()


def test_which_recordings_came_from_a_firmware(desk: Desk) -> None:
    old, new = session_entry(), session_entry(NOON + timedelta(days=1), firmware="V2.2.0")
    dock(desk, old, new)
    made = []
    with desk.db.writing() as session:
        for place, entry in enumerate((old, old, new)):
            leaf = sealed_leaf(place)
            facts = {**leaf.facts, "session": entry.leaf.id}
            leaf = Leaf(
                id=leaf.id, type="ingest", time=leaf.time, by="dockd", facts=facts, object=leaf.object
            )
            desk.projections.apply(session, AppliedEntry(leaf, {"name": f"{place}.mp4"}, place))
            made.append(leaf.id)
    with desk.db.reading() as session:
        assert [(one.version, one.recorders, one.sessions, one.recordings) for one in firmwares(session)] == [
            ("V2.1.7", 1, 1, 2), ("V2.2.0", 1, 1, 1),
        ]  # fmt: skip
        from_old = recordings_from(session, "V2.1.7")
        assert sorted(one.id for one in from_old) == sorted(made[:2])
        assert recordings_from(session, "V2.1.7", profile="other") == []
        assert [one.id for one in recordings_from(session, "V2.1.7", after=from_old[0].id)] == [
            from_old[1].id
        ]
        assert firmware_of(session, from_old[0]) == "V2.1.7"
        assert only(desk).firmware == "V2.2.0"
        assert [one.firmware for one in sessions(session, only(desk).id)] == ["V2.2.0", "V2.1.7"]


def test_changing_the_register(desk: Desk) -> None:
    identity = registered(desk)
    registered(desk, "X1A0999")
    with desk.db.writing() as session:
        officer = register_officer(session, desk.submitter, None, OfficerFacts("060123", "甲"))
        before = session.get_one(RecorderAsset, identity).version
        change_recorder(
            session, desk.submitter, None, identity, RecorderFacts("X1A0777", "DSJ", officer), before
        )
        with pytest.raises(StaleRecorderError):
            change_recorder(session, desk.submitter, None, identity, RecorderFacts("X1A0778"), before)
        with pytest.raises(TakenError):
            change_recorder(session, desk.submitter, None, identity, RecorderFacts("X1A0999"))
        with pytest.raises(UnknownSubjectError):
            known_recorder(session, SERIAL)
        found = recorder_by_serial(session, "X1A0777")
        assert found is not None
        assert (found.id, found.officer_id) == (identity, officer)


def test_narrowing_the_register(desk: Desk) -> None:
    identity = registered(desk)
    registered(desk, "Y2B0001")
    dock(desk, session_entry(recorder_serial="SEEN-1"))
    with desk.db.writing() as session:
        care(session, desk.submitter, None, identity, "retire")

    def serials(**wanted: object) -> list[str]:
        with desk.db.reading() as session:
            return [one.serial for one in list_recorders(session, RecorderFilter(**wanted))]  # type: ignore[arg-type]

    assert serials() == ["SEEN-1", "Y2B0001"]
    assert serials(states=[RecorderState.RETIRED]) == [SERIAL]
    assert serials(is_registered=False) == ["SEEN-1"]
    assert serials(words="y2b") == ["Y2B0001"]
    assert serials(words="%") == []
    assert serials(firmware="V2.1.7") == ["SEEN-1"]
    with desk.db.reading() as session:
        assert [one.serial for one in list_recorders(session, after="SEEN-1")] == ["Y2B0001"]
