"""The issue ledger: out, back, held, overdue, in conflict."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bureau.desk import PASSPHRASE, Desk, Station
from bureau.sessions import SERIAL, dock, session_entry
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.equipment.asset import RecorderAsset
from casework.equipment.docked import DockedSession
from casework.equipment.event import RecorderEvent, history
from casework.equipment.issue import (
    IssueMomentError,
    NotRegisteredError,
    ShiftError,
    conflict_of,
    conflicts,
    hand_back,
    hand_out,
    held_by,
    holder_at,
    holder_of,
    overdue,
)
from casework.equipment.recorder import NotAvailableError, register_recorder
from casework.evidence.recording import Recording
from casework.field import EmptyFieldError
from casework.people.at_dock import Means
from casework.people.certificate import CertificateExpiredError, CertificateMissingError
from casework.people.officer import Officer, OfficerFacts, register_officer
from casework.subject import UnknownSubjectError
from core.clock import utc_now
from vault.log.index import reindex
from vault.log.outbox import OutboxRow, RowState
from vault.log.submission import Draft
from vault.store.keys import Keyring

AT = datetime(2026, 11, 20, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def officers(desk: Desk) -> list[Officer]:
    """Two officers with certificates; the recorder SERIAL stands in the register."""
    with desk.db.writing() as session:
        made = [
            register_officer(
                session, desk.submitter, None, OfficerFacts(number, name, None, "ZF", "2029-12-31")
            )
            for number, name in (("060123", "执法员甲"), ("060245", "执法员乙"))
        ]
        register_recorder(session, desk.submitter, None, SERIAL)
        return [session.get_one(Officer, identity) for identity in made]


def out(session: Session, desk: Desk, officer: Officer, at: datetime = AT, **given: object) -> str:
    return hand_out(session, desk.submitter, officer, SERIAL, "双随机检查", at, actor=desk.actor, **given)  # type: ignore[arg-type]


def asset(session: Session) -> RecorderAsset:
    return session.scalars(select(RecorderAsset).where(RecorderAsset.serial == SERIAL)).one()


def test_a_recorder_goes_out_and_comes_back(desk: Desk, officers: list[Officer]) -> None:
    with desk.db.writing() as session:
        out(session, desk, officers[0], means=Means.BADGE)
        found = asset(session)
        assert (found.state, found.holder_id) == ("issued", officers[0].id)
        assert holder_of(session, found) is officers[0] or holder_of(session, found).number == "060123"  # type: ignore[union-attr]
        assert [one.serial for one in held_by(session, officers[0])] == [SERIAL]
        hand_back(session, desk.submitter, SERIAL, AT + HOUR, note="交回")
        found = asset(session)
        assert (found.state, found.holder_id, found.shift_ends_at) == ("available", None, None)
        last, first = history(session, found.id)
        assert (first.purpose, first.means, first.officer_number) == ("双随机检查", "badge", "060123")
        assert (last.event, last.purpose) == ("hand_back", "交回")


def test_docking_brings_it_back(desk: Desk, officers: list[Officer]) -> None:
    with desk.db.writing() as session:
        out(session, desk, officers[0])
    dock(desk, session_entry(AT + 9 * HOUR))
    with desk.db.writing() as session:
        assert (asset(session).state, asset(session).holder_id) == ("docked", None)
        out(session, desk, officers[1], AT + 10 * HOUR)  # straight from the bay
        assert asset(session).holder_id == officers[1].id


def test_who_held_it_at_a_moment(desk: Desk, officers: list[Officer]) -> None:
    with desk.db.writing() as session:
        out(session, desk, officers[0])
    dock(desk, session_entry(AT + 9 * HOUR))
    with desk.db.writing() as session:
        out(session, desk, officers[1], AT + 20 * HOUR)
    with desk.db.reading() as session:
        expected = {-1: None, 0: "060123", 8: "060123", 9: None, 19: None, 20: "060245", 900: "060245"}
        for hours, number in expected.items():
            assert holder_at(session, SERIAL, AT + hours * HOUR) == number, hours
        assert holder_at(session, "NEVER-1", AT) is None


def test_what_the_log_refused_never_happened(desk: Desk, officers: list[Officer]) -> None:
    with desk.db.writing() as session:
        entry = out(session, desk, officers[0])
        session.scalars(select(OutboxRow).where(OutboxRow.id == entry)).one().state = RowState.REFUSED
        session.flush()
        assert holder_at(session, SERIAL, AT + HOUR) is None


@pytest.mark.parametrize(  # D15
    ("certificate", "error"),
    [(("ZF-2", "2026-11-19"), CertificateExpiredError), (("", None), CertificateMissingError)],
)
def test_without_a_valid_certificate_nobody_is_handed_a_recorder(
    desk: Desk, officers: list[Officer], certificate: tuple[str, str | None], error: type[Exception]
) -> None:
    with desk.db.writing() as session:
        facts = OfficerFacts("060999", "执法员丙", None, *certificate)
        found = session.get_one(Officer, register_officer(session, desk.submitter, None, facts))
        with pytest.raises(error):
            out(session, desk, found)
        assert asset(session).state == "available"
        assert session.scalars(select(RecorderEvent)).all() == []


def test_nobody_is_handed_what_somebody_has(desk: Desk, officers: list[Officer]) -> None:
    with desk.db.writing() as session:
        out(session, desk, officers[0])
        with pytest.raises(NotAvailableError):
            out(session, desk, officers[1], AT + HOUR)
        hand_back(session, desk.submitter, SERIAL, AT + HOUR)
        with pytest.raises(NotAvailableError):
            hand_back(session, desk.submitter, SERIAL, AT + 2 * HOUR)


def test_one_that_was_only_seen_is_registered_first(desk: Desk, officers: list[Officer]) -> None:
    dock(desk, session_entry(recorder_serial="SEEN-1"))
    with desk.db.writing() as session:
        with pytest.raises(NotRegisteredError):
            hand_out(session, desk.submitter, officers[0], "SEEN-1", "检查", AT + 99 * HOUR)
        with pytest.raises(UnknownSubjectError):
            hand_out(session, desk.submitter, officers[0], "NEVER-1", "检查", AT)


def test_times_that_cannot_be_are_refused(desk: Desk, officers: list[Officer]) -> None:
    with desk.db.writing() as session:
        with pytest.raises(IssueMomentError):
            out(session, desk, officers[0], utc_now() + HOUR)
        for ends_at in (AT - HOUR, AT + timedelta(days=40)):
            with pytest.raises(ShiftError):
                out(session, desk, officers[0], shift_ends_at=ends_at)
        with pytest.raises(EmptyFieldError):
            hand_out(session, desk.submitter, officers[0], SERIAL, " ", AT)
        out(session, desk, officers[0])
        with pytest.raises(IssueMomentError):
            hand_back(session, desk.submitter, SERIAL, AT - HOUR)


def test_overdue_is_what_is_out_a_day_after_the_shift(desk: Desk, officers: list[Officer]) -> None:  # D35
    with desk.db.writing() as session:
        register_recorder(session, desk.submitter, None, "X1A0245")
        out(session, desk, officers[0])  # eight hours, unless somebody says otherwise
        hand_out(
            session, desk.submitter, officers[1], "X1A0245", "值守", AT, shift_ends_at=AT + timedelta(days=3)
        )
        due = AT + 32 * HOUR
        assert overdue(session, due) == []
        (late,) = overdue(session, due + HOUR)
        assert late.officer is not None
        assert (late.recorder.serial, late.officer.number, late.due_at, late.late) == (
            SERIAL,
            "060123",
            due,
            HOUR,
        )
        assert len(overdue(session, AT + 9 * HOUR, hours=0)) == 1
        assert [one.recorder.serial for one in overdue(session, AT + timedelta(days=30))] == [
            SERIAL,
            "X1A0245",
        ]
    dock(desk, session_entry(AT + 40 * HOUR))
    with desk.db.reading() as session:
        assert overdue(session, AT + 50 * HOUR) == []


def test_names_that_say_another_officer_than_the_ledger_are_a_conflict(
    desk: Desk, officers: list[Officer]
) -> None:
    own, other, nameless = (
        desk.replayed(1, recorder_serial=SERIAL, officer_number=number, started_at="2026-11-20T10:00:00")[0]
        for number in ("060123", "060245", None)
    )
    with desk.db.writing() as session:
        recordings = [session.get_one(Recording, identity) for identity in (own, other, nameless)]
        assert [conflict_of(session, one) for one in recordings] == [None, None, None]  # the ledger is silent
        out(session, desk, officers[0])
        assert [conflict_of(session, one) is not None for one in recordings] == [False, True, False]
        (found,) = conflicts(session, asset(session))
        assert (found.recording.id, found.named, found.holder) == (other, "060245", "060123")
        hand_back(session, desk.submitter, SERIAL, AT + HOUR / 2)  # before they were made, at 02:00 UTC
        assert conflicts(session, asset(session)) == []


def test_after_a_reindex_the_ledger_is_as_before(station: Station) -> None:
    def rows() -> list[list[tuple[object, ...]]]:
        with station.db.reading() as session:
            return [
                sorted(map(tuple, session.execute(select(*table.__table__.columns))), key=repr)
                for table in (Officer, RecorderAsset, RecorderEvent, DockedSession)
            ]

    with station.db.writing() as session:
        facts = OfficerFacts("070001", "执法员丁", None, "ZF-4", "2029-12-31", "2025-01-01")
        officer = session.get_one(Officer, register_officer(session, station.submitter, None, facts))
        register_recorder(session, station.submitter, station.actor, "R-0001", "DSJ", officer.id)
        hand_out(session, station.submitter, officer, "R-0001", "检查", utc_now(), actor=station.actor)
    entry = session_entry(utc_now(), recorder_serial="R-0001")
    seen = session_entry(utc_now(), recorder_serial="SEEN-2")
    with station.db.writing() as session:
        for each in (entry, seen):
            station.dock.submit(
                session, Draft("session", id=each.leaf.id, facts=each.leaf.facts, body=each.fields)
            )
    station.settle()
    with station.db.reading() as session:
        states = {row.id: (row.state, row.reason) for row in session.scalars(select(OutboxRow))}
    assert {state for state, _ in states.values()} == {"sequenced"}, states
    before = rows()
    assert [len(table) for table in before] >= [1, 2, 3, 2]
    keyring = Keyring.unlock(station.vault, station.keys, PASSPHRASE)
    assert reindex(station.vault, keyring, station.db, station.projections).unprojected == ()
    assert rows() == before
