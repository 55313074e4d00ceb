"""Badges and PINs of officers."""

from __future__ import annotations

import json

import pytest
from bureau.desk import Desk
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from casework.people.at_dock import (
    Officer,
    give_badge,
    give_pin,
    may_enforce,
    named,
    officer_by_badge,
    officer_by_pin,
    take_badge,
    take_pin,
)
from casework.people.badge import BadgeError, BadgeTakenError, OfficerCredential, WeakPinError, WrongPinError
from casework.people.officer import OfficerFacts, register_officer
from casework.subject import UnknownSubjectError
from core import guessable
from core.clock import utc_now
from vault.log.outbox import OutboxRow

CARD, PIN = "04A2:7F19:C3", "482913"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id at its least cost: these tests are not about its cost."""
    monkeypatch.setattr(guessable, "MEMORY_KIB", 64)
    monkeypatch.setattr(guessable, "PASSES", 1)


def officer(session: Session, desk: Desk, number: str = "060123", name: str = "执法员甲") -> str:
    return register_officer(
        session, desk.submitter, desk.actor, OfficerFacts(number, name, None, "Z", "2099-01-01")
    )


def test_a_badge_names_its_officer_however_the_reader_spells_it(desk: Desk) -> None:
    with desk.db.writing() as session:
        identity = officer(session, desk)
        give_badge(session, desk.submitter, desk.actor, identity, CARD)
    with desk.db.reading() as session:
        for spelled in (CARD, "04a27f19c3\r\n", ";04A2-7F19-C3?"):
            found = officer_by_badge(session, spelled)
            assert found is not None
            assert found.id == identity
            assert found.badge_since is not None
        for other in ("04A27F19C4", "", "x", "\x00" * 500, "执法员甲"):
            assert officer_by_badge(session, other) is None


def test_before_the_first_badge_nobody_is_known(desk: Desk) -> None:
    with desk.db.reading() as session:
        assert officer_by_badge(session, CARD) is None


def test_a_badge_taken_back_opens_nothing(desk: Desk) -> None:
    with desk.db.writing() as session:
        identity = officer(session, desk)
        give_badge(session, desk.submitter, desk.actor, identity, CARD)
        take_badge(session, desk.submitter, desk.actor, identity)
        assert officer_by_badge(session, CARD) is None
        assert session.get_one(Officer, identity).badge_since is None


def test_a_badge_is_one_persons(desk: Desk) -> None:
    with desk.db.writing() as session:
        first, second = officer(session, desk), officer(session, desk, "060245", "执法员乙")
        give_badge(session, desk.submitter, desk.actor, first, CARD)
        with pytest.raises(BadgeTakenError, match="060123"):
            give_badge(session, desk.submitter, desk.actor, second, CARD)
        give_badge(session, desk.submitter, desk.actor, first, CARD)
        take_badge(session, desk.submitter, desk.actor, first)
        give_badge(session, desk.submitter, desk.actor, second, CARD)


def test_number_and_pin_belong_together(desk: Desk) -> None:
    with desk.db.writing() as session:
        identity = officer(session, desk)
        officer(session, desk, "060245", "执法员乙")
        give_pin(session, desk.submitter, desk.actor, identity, PIN)
        assert officer_by_pin(session, "060123", PIN).id == identity
        for number, pin in (
            ("060123", "482914"),
            ("060245", PIN),
            ("999999", PIN),
            ("060123", ""),
            ("", "\ud800"),
        ):
            with pytest.raises(WrongPinError):
                officer_by_pin(session, number, pin)
        take_pin(session, desk.submitter, desk.actor, identity)
        with pytest.raises(WrongPinError):
            officer_by_pin(session, "060123", PIN)


@pytest.mark.parametrize(
    "pin", ["", "12345", "111111", "123456", "987654", "060123", "٤٨٢٩١٣", "4829131234567"]
)
def test_a_pin_that_is_tried_first_is_refused(desk: Desk, pin: str) -> None:
    with desk.db.writing() as session, pytest.raises(WeakPinError):
        give_pin(session, desk.submitter, desk.actor, officer(session, desk), pin)


@pytest.mark.parametrize("shown", ["", "123", "x" * 65, "执法证"])
def test_what_is_no_badge_is_refused(desk: Desk, shown: str) -> None:
    with desk.db.writing() as session, pytest.raises(BadgeError):
        give_badge(session, desk.submitter, desk.actor, officer(session, desk), shown)


def test_neither_badge_nor_pin_is_anywhere(desk: Desk) -> None:
    """Not in the entries that go on the log for ever, and not in any table."""
    with desk.db.writing() as session:
        identity = officer(session, desk)
        give_badge(session, desk.submitter, desk.actor, identity, CARD)
        give_pin(session, desk.submitter, desk.actor, identity, PIN)
    with desk.db.reading() as session:
        rows = session.scalars(select(OutboxRow)).all()
        written = json.dumps([[row.note, row.body] for row in rows])
        kept = session.get_one(OfficerCredential, identity)
        tables = [
            str(tuple(row))
            for table in (Officer, OfficerCredential)
            for row in session.execute(select(*table.__table__.columns))
        ]
    assert '"badge_given"' in written.replace("\\", "")
    for secret in ("04A27F19C3", CARD, PIN, kept.badge_digest or "", kept.pin or ""):
        assert secret not in written
    for secret in ("04A27F19C3", CARD, PIN):
        assert all(secret not in row for row in tables)
    assert (kept.pin or "").startswith("$argon2id$")


def test_two_stations_keep_one_badge_differently(desk: Desk) -> None:
    with desk.db.writing() as session:
        identity = officer(session, desk)
        give_badge(session, desk.submitter, desk.actor, identity, CARD)
        first = session.get_one(OfficerCredential, identity).badge_digest
        session.execute(text("DELETE FROM badge_salt"))
        session.expunge_all()
        give_badge(session, desk.submitter, desk.actor, identity, CARD)
        assert session.get_one(OfficerCredential, identity).badge_digest != first


def test_who_may_enforce(desk: Desk) -> None:
    with desk.db.writing() as session:
        found = session.get_one(Officer, officer(session, desk))
        assert may_enforce(found, utc_now()) is None
        assert named(session, " 060123 ").id == found.id
        with pytest.raises(UnknownSubjectError):
            named(session, "999999")
