from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from flask.testing import FlaskClient
from pages.rows import add_recording, open_a_case
from sqlalchemy import select

from casework.access.permission import Role
from casework.cases.case import CaseFile
from casework.evidence.exhibit import link
from casework.people.officer import OfficerFacts, register_officer

if TYPE_CHECKING:
    from conftest import House

FIELDS = {
    "number": "(2026) 017", "title": "On-site check", "party": "Xinhua Logistics", "kind": "penalty",
    "stage": "evidence", "opened_on": "2026-11-20",
}  # fmt: skip


@pytest.fixture
def custodian(house: House, client: FlaskClient) -> FlaskClient:
    house.sign_in(client, house.account("lijing", Role.CUSTODIAN))
    client.set_cookie("sealdock-locale", "en")
    return client


def cases(house: House) -> list[CaseFile]:
    with house.db.reading() as session:
        return list(session.scalars(select(CaseFile)))


def send(house: House, client: FlaskClient, **changed: str) -> tuple[int, str, str]:
    token = house.token(client.get("/cases/open").text)
    answer = client.post("/cases/open", data={"csrf_token": token, **FIELDS, **changed})
    return answer.status_code, answer.text, answer.headers.get("Location", "")


def test_an_empty_register_says_what_to_do(custodian: FlaskClient) -> None:
    page = custodian.get("/cases").text
    assert "No cases yet" in page
    assert "Open a case, then link the recordings that are its evidence." in page


def test_open_a_case(house: House, custodian: FlaskClient) -> None:
    status, _, where = send(house, custodian)
    assert status == 303
    (case,) = cases(house)
    assert (case.number, case.stage, case.kind) == ("(2026) 017", "evidence", "penalty")
    page = custodian.get(where).text
    assert "Case (2026) 017 is open." in page
    assert 'class="stage is-now" aria-current="step"' in page
    assert page.count("is-past") == 2


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"number": ""}, "This field is needed."),
        ({"number": "x" * 65}, "This field may have 64 characters at most."),
        ({"opened_on": "soon"}, "Please enter a date such as 2026-11-23."),
        ({"opened_on": "2199-01-01"}, "is not a date that can be meant"),
        ({"kind": "vendetta"}, "cannot be &#39;vendetta&#39;"),
        ({"title": "a\x00b"}, "This field holds characters that cannot be shown."),
        ({"unit_id": "nonsense"}, "Please choose one of the list."),
    ],
)
def test_a_mistake_is_said_and_nothing_typed_is_lost(
    house: House, custodian: FlaskClient, changed: dict[str, str], sentence: str
) -> None:
    status, page, _ = send(house, custodian, **changed)
    assert status == 422
    assert sentence in page
    assert 'value="Xinhua Logistics"' in page
    assert cases(house) == []


def test_a_number_that_is_taken(house: House, custodian: FlaskClient) -> None:
    open_a_case(house, "(2026) 017")
    status, page, _ = send(house, custodian)
    assert status == 422
    assert "is registered already" in page
    assert len(cases(house)) == 1


def test_exhibits_stand_under_their_stage(house: House, custodian: FlaskClient) -> None:
    case_id = open_a_case(house, "(2026) 017")
    first, second = add_recording(house.db), add_recording(house.db)
    with house.db.writing() as session:
        link(session, house.context.submitter, None, first.id, case_id, stage="investigation")
        link(session, house.context.submitter, None, second.id, case_id, stage="service", note="Handed over")
    page = custodian.get(f"/cases/{case_id}").text
    body = page.split("case-columns")[1]
    assert (
        body.index("Investigation")
        < body.index(first.name)
        < body.index(">Service<")
        < body.index(second.name)
    )
    assert "Handed over" in body
    assert "Make a package" in page


def test_taking_an_exhibit_out(house: House, custodian: FlaskClient) -> None:
    case_id, recording = open_a_case(house, "(2026) 017"), add_recording(house.db)
    with house.db.writing() as session:
        link(session, house.context.submitter, None, recording.id, case_id)
    token = house.token(custodian.get(f"/cases/{case_id}").text)
    data = {"csrf_token": token, "recording": recording.id, "note": "Wrong case"}
    custodian.post(f"/cases/{case_id}/unlink", data=data)
    page = custodian.get(f"/cases/{case_id}").text
    assert "No exhibits yet" in page
    assert "Wrong case" in page


def test_a_field_offers_cases_while_one_types(house: House, custodian: FlaskClient) -> None:
    open_a_case(house, "(2026) 017")
    open_a_case(house, "(2026) 018")
    assert custodian.get("/cases/suggest?q=018").json == [{"number": "(2026) 018", "title": "On-site check"}]


def test_narrowing_the_register(house: House, custodian: FlaskClient) -> None:
    open_a_case(house, "(2026) 017")
    assert "(2026) 017" in custodian.get("/cases?q=017&stage=filing").text
    assert "Nothing matches" in custodian.get("/cases?stage=service").text
    assert "(2026) 017" in custodian.get("/cases?stage=nonsense").text


def test_an_officer_sees_the_case_with_the_own_footage_only(house: House, client: FlaskClient) -> None:
    case_id, recording = open_a_case(house, "(2026) 017"), add_recording(house.db, officer_number="200871")
    with house.db.writing() as session:
        link(session, house.context.submitter, None, recording.id, case_id)
    house.sign_in(client, house.account("officer", Role.OFFICER))
    page = client.get(f"/cases/{case_id}").text
    assert recording.name not in page
    assert client.get("/cases/open").status_code == 403


def officer(house: House, client: FlaskClient, number: str = "104432") -> None:
    with house.db.writing() as session:
        officer_id = register_officer(session, house.context.submitter, None, OfficerFacts(number, "张伟"))
    house.sign_in(client, house.account(f"officer{number}", Role.OFFICER, officer_id=officer_id))
    client.set_cookie("sealdock-locale", "en")


def test_an_officer_knows_the_cases_that_hold_own_footage(house: House, client: FlaskClient) -> None:
    held, other = open_a_case(house, "(2026) 017"), open_a_case(house, "(2026) 018")
    own, foreign = (add_recording(house.db, officer_number=number) for number in ("104432", "200871"))
    with house.db.writing() as session:
        link(session, house.context.submitter, None, own.id, held)
        link(session, house.context.submitter, None, foreign.id, held, note="About a colleague")
        entry = link(session, house.context.submitter, None, foreign.id, other)
    officer(house, client)
    listed = client.get("/cases").text
    assert "(2026) 017" in listed
    assert "(2026) 018" not in listed
    assert re.findall(r'<td class="number">(\d+)</td>', listed) == ["1"]
    assert [case["number"] for case in client.get("/cases/suggest?q=2026").json or []] == ["(2026) 017"]
    assert "(2026) 018" not in client.get("/cases?q=018&stage=filing").text
    page = client.get(f"/cases/{held}").text
    assert own.name in page
    assert foreign.name not in page
    assert "About a colleague" not in page
    assert "History" not in page
    assert client.get(f"/cases/{other}").status_code == 403
    assert client.get(f"/cases/{other}/chain/{entry}").status_code == 403


def test_an_officer_account_without_an_officer_knows_no_case(house: House, client: FlaskClient) -> None:
    open_a_case(house, "(2026) 017")
    house.sign_in(client, house.account("nobody", Role.OFFICER))
    assert "(2026) 017" not in client.get("/cases").text


def test_a_case_that_is_not_here(custodian: FlaskClient) -> None:
    assert custodian.get("/cases/01ARZ3NDEKTSV4RRFFQ69G5FAV").status_code == 404
    assert custodian.get("/cases/nonsense").status_code == 404
