from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bureau.desk import Desk
from sqlalchemy import select

from casework.people.certificate import (
    CertificateExpiredError,
    CertificateMissingError,
    CertificateNotYetError,
    Standing,
    has_standing,
    refusal,
    standing,
)
from casework.people.officer import (
    Officer,
    OfficerFacts,
    PeriodError,
    StaleOfficerError,
    change_officer,
    register_officer,
)

# The desk's zone is eight hours ahead: the last day ends at 16:00 UTC.
LAST_MOMENT = datetime(2026, 11, 23, 15, 59, 59, tzinfo=UTC)
FIRST_MOMENT = datetime(2026, 9, 30, 16, tzinfo=UTC)


def registered(desk: Desk, number: str = "060123", **certificate: str) -> Officer:
    with desk.db.writing() as session:
        facts = OfficerFacts(number, "执法员甲", **certificate)
        return session.get_one(Officer, register_officer(session, desk.submitter, None, facts))


def certified(desk: Desk) -> Officer:
    return registered(
        desk,
        certificate_number="ZF-1",
        certificate_valid_from="2026-10-01",
        certificate_valid_until="2026-11-23",
    )


@pytest.mark.parametrize(  # D15
    ("at", "is_refused", "worth"),
    [
        (FIRST_MOMENT, None, Standing.EXPIRING),
        (LAST_MOMENT, None, Standing.EXPIRING),
        (datetime(2026, 11, 23, 16, tzinfo=UTC), CertificateExpiredError, Standing.EXPIRED),
        (datetime(2026, 9, 30, 15, 59, 59, tzinfo=UTC), CertificateNotYetError, Standing.NOT_YET),
    ],
)
def test_a_certificate_is_valid_on_whole_days_of_the_bureau(
    desk: Desk, at: datetime, is_refused: type[Exception] | None, worth: Standing
) -> None:
    officer = certified(desk)
    assert standing(officer, at) is worth
    found = refusal(officer, at)
    assert type(found) is (is_refused or type(None))
    if found is not None:
        assert "执法员甲" in str(found)


@pytest.mark.parametrize(
    "certificate", [{}, {"certificate_number": "ZF-1"}, {"certificate_valid_until": "2029-12-31"}]
)
def test_without_number_and_last_day_there_is_no_certificate(desk: Desk, certificate: dict[str, str]) -> None:
    assert isinstance(refusal(registered(desk, **certificate), LAST_MOMENT), CertificateMissingError)


def test_one_whose_first_day_nobody_wrote_down_counts_from_ever(desk: Desk) -> None:
    officer = registered(desk, certificate_number="ZF-1", certificate_valid_until="2029-12-31")
    assert refusal(officer, datetime(2001, 1, 1, tzinfo=UTC)) is None
    assert standing(officer, LAST_MOMENT) is Standing.VALID


def test_the_list_and_the_question_agree(desk: Desk) -> None:
    days = ("", "2026-11-22", "2026-11-23", "2027-01-10", "2029-12-31")
    for place, until in enumerate(days):
        registered(desk, f"06012{place}", certificate_number="ZF-1", certificate_valid_until=until)
    registered(
        desk,
        "060129",
        certificate_number="Z",
        certificate_valid_from="2027-01-01",
        certificate_valid_until="2028-01-01",
    )
    with desk.db.reading() as session:
        for one in session.scalars(select(Officer)):
            in_lists = [
                each
                for each in Standing
                if one in session.scalars(select(Officer).where(has_standing(each, LAST_MOMENT))).all()
            ]
            assert in_lists == [standing(one, LAST_MOMENT)]


def test_a_certificate_does_not_end_before_it_begins(desk: Desk) -> None:
    with pytest.raises(PeriodError, match="2026-11-23"):
        registered(
            desk,
            certificate_number="Z",
            certificate_valid_from="2026-11-24",
            certificate_valid_until="2026-11-23",
        )


def test_the_second_of_two_editors_is_told(desk: Desk) -> None:
    officer = certified(desk)
    with desk.db.writing() as session:
        change_officer(
            session, desk.submitter, None, officer.id, OfficerFacts("060123", "新名"), officer.version
        )
        with pytest.raises(StaleOfficerError):
            change_officer(
                session, desk.submitter, None, officer.id, OfficerFacts("060123", "旧"), officer.version
            )
