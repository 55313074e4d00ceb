from __future__ import annotations

from datetime import date

import pytest
from bureau.desk import Desk, account
from sqlalchemy.orm import Session

from casework.field import CodeError, DateError
from casework.people.actor import actor_name
from casework.people.officer import (
    Officer,
    OfficerFacts,
    change_officer,
    officer_by_number,
    officer_names,
    officers,
    register_officer,
)
from casework.people.unit import change_unit, register_unit, units
from casework.subject import TakenError, UnknownSubjectError
from core.clock import utc_now
from vault.log.submission import Draft

FACTS = OfficerFacts("060123", "执法员甲", None, "ZF-1", "2029-12-31")


def test_a_unit_and_an_officer(desk: Desk) -> None:
    with desk.db.writing() as session:
        unit = register_unit(session, desk.submitter, desk.actor, "430682000101", "执法大队一中队")
        officer = register_officer(
            session, desk.submitter, desk.actor, OfficerFacts("060123", "执法员甲", unit)
        )
    with desk.db.reading() as session:
        assert [row.name for row in units(session)] == ["执法大队一中队"]
        found = officer_by_number(session, "060123")
        assert found is not None
        assert (found.id, found.unit_id) == (officer, unit)
        assert officer_names(session, ["060123", "999999"]) == {"060123": "执法员甲"}


def test_numbers_are_unique(desk: Desk) -> None:
    with desk.db.writing() as session:
        register_officer(session, desk.submitter, None, FACTS)
        with pytest.raises(TakenError):
            register_officer(session, desk.submitter, None, FACTS)


def test_an_officer_keeps_the_number_through_a_change(desk: Desk) -> None:
    with desk.db.writing() as session:
        officer = register_officer(session, desk.submitter, None, FACTS)
        change_officer(session, desk.submitter, None, officer, OfficerFacts("060123", "执法员甲甲"))
    with desk.db.reading() as session:
        assert [row.name for row in officers(session)] == ["执法员甲甲"]


def test_what_is_wrong_is_refused_and_changes_nothing(desk: Desk) -> None:
    with desk.db.writing() as session:
        with pytest.raises(CodeError):
            register_officer(session, desk.submitter, None, OfficerFacts("12345", "甲"))
        with pytest.raises(DateError):
            register_officer(session, desk.submitter, None, OfficerFacts("060123", "甲", None, "Z", "soon"))
        with pytest.raises(UnknownSubjectError):
            register_officer(
                session, desk.submitter, None, OfficerFacts("060123", "甲", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
            )
        with pytest.raises(UnknownSubjectError):
            change_unit(session, desk.submitter, None, "none", "1", "一")
        assert officers(session) == []


@pytest.mark.parametrize(  # D15
    ("number", "until", "has"),
    [
        ("ZF-1", date(2026, 11, 23), True),
        ("ZF-1", date(2026, 11, 22), False),
        ("", date(2030, 1, 1), False),
        ("ZF-1", None, False),
    ],
)
def test_a_certificate_holds_to_its_last_day(number: str, until: date | None, has: bool) -> None:  # noqa: FBT001
    officer = Officer(certificate_number=number, certificate_valid_until=until)
    assert officer.has_certificate(date(2026, 11, 23)) is has


def test_a_person_is_named_as_at_the_time(desk: Desk) -> None:
    with desk.db.writing() as session:
        identity = account(session, desk.submitter, "旧名")
        between = utc_now()
        rename(session, desk, identity, "新名")
        before, after = actor_name(session, identity, between), actor_name(session, identity, utc_now())
        assert before is not None
        assert after is not None
        assert (before.name, after.name) == ("旧名", "新名")
        assert actor_name(session, "nobody", between) is None


def rename(session: Session, desk: Desk, identity: str, name: str) -> None:
    facts = {"event": "granted", "account": identity, "roles": ["custodian"]}
    draft = Draft(type="account", about=(identity,), facts=facts, body={"username": "u", "name": name})
    desk.submitter.submit(session, draft)
