from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from flask.testing import FlaskClient
from pages.rows import add_recording, open_a_case
from sqlalchemy import select

from casework.access.permission import Role
from casework.evidence.exhibit import Exhibit
from casework.people.officer import OfficerFacts, register_officer

if TYPE_CHECKING:
    from conftest import House


@pytest.fixture
def custodian(house: House, client: FlaskClient) -> FlaskClient:
    house.sign_in(client, house.account("lijing", Role.CUSTODIAN))
    client.set_cookie("sealdock-locale", "en")
    return client


def linked(house: House) -> set[str]:
    with house.db.reading() as session:
        return set(session.scalars(select(Exhibit.recording_id)))


def test_an_empty_station_says_what_to_do(custodian: FlaskClient) -> None:
    page = custodian.get("/recordings").text
    assert "No recordings yet" in page
    assert "Put a recorder into a bay of the dock." in page


def test_a_line_says_who_when_what(house: House, custodian: FlaskClient) -> None:
    with house.db.writing() as session:
        register_officer(session, house.context.submitter, None, OfficerFacts("104432", "张伟"))
    recording = add_recording(
        house.db, officer_number="104432", recorder_serial="DSJ2207", duration_ms=184_000
    )
    page = custodian.get("/recordings").text
    assert recording.name in page
    assert "张伟" in page
    assert "104432 · DSJ2207" in page
    assert "2026-11-23 14:05" in page  # the bureau's zone
    assert "3:04" in page
    assert "No case" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("officer=104432", {"a"}), ("recorder=DSJ2207", {"b"}), ("media=image", {"c"}), ("q=special", {"d"}),
        ("linked=yes", set()), ("linked=no", {"a", "b", "c", "d"}), ("since=2026-11-24", set()),
        ("until=2026-11-23", {"a", "b", "c", "d"}), ("media=nonsense", {"a", "b", "c", "d"}),
    ],
)  # fmt: skip
def test_filters(house: House, custodian: FlaskClient, query: str, found: set[str]) -> None:
    made = {
        "a": add_recording(house.db, officer_number="104432"),
        "b": add_recording(house.db, recorder_serial="DSJ2207"),
        "c": add_recording(house.db, media="image"),
        "d": add_recording(house.db, name="special.mp4"),
    }
    page = custodian.get(f"/recordings?{query}").text
    assert {key for key, recording in made.items() if f"/recordings/{recording.id}" in page} == found


def test_a_filter_that_cannot_be_meant_is_said_and_kept(house: House, custodian: FlaskClient) -> None:
    add_recording(house.db)
    page = custodian.get("/recordings?since=yesterday&q=%3Cb%3E").text
    assert "Please enter a date such as 2026-11-23." in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page.split("<main")[1].split("</form>")[0]


def test_pages_follow_each_other_without_a_gap(house: House, custodian: FlaskClient) -> None:
    moment = datetime(2026, 11, 23, 6, 5, 7, tzinfo=UTC)
    made = [add_recording(house.db, started_at=moment - timedelta(minutes=n)).id for n in range(130)]
    seen: list[str] = []
    url = "/recordings"
    while url:
        page = custodian.get(url).text
        seen += [identity for identity in made if f'value="{identity}"' in page]
        older = page.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0]
        url = older.replace("&amp;", "&") if 'rel="next"' in page else ""
    assert sorted(seen) == sorted(made)


def test_a_damaged_cursor_is_a_sentence(custodian: FlaskClient) -> None:
    answer = custodian.get("/recordings?cursor=nonsense")
    assert answer.status_code == 400
    assert "This page address is damaged" in answer.text


def test_bulk_link(house: House, custodian: FlaskClient) -> None:
    made = [add_recording(house.db).id for _ in range(3)]
    open_a_case(house, "(2026) 017")
    token = house.token(custodian.get("/recordings").text)
    answer = custodian.post(
        "/recordings/link",
        data={
            "csrf_token": token,
            "recording": made[:2],
            "case_number": "(2026) 017",
            "next": "/recordings?linked=no",
        },
    )
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/recordings?linked=no"
    assert linked(house) == set(made[:2])
    assert "2 recordings were linked to case (2026) 017." in custodian.get("/recordings").text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"recording": [], "case_number": "(2026) 017"}, "Please choose at least one of the list."),
        ({"recording": ["nonsense"], "case_number": "(2026) 017"}, "Please choose at least one of the list."),
        ({"case_number": "(2026) 404"}, "There is no case"),
        ({"case_number": ""}, "This field is needed."),
    ],
)
def test_a_wrong_bulk_link_changes_nothing_and_says_why(
    house: House, custodian: FlaskClient, fields: dict[str, object], sentence: str
) -> None:
    made = add_recording(house.db).id
    open_a_case(house, "(2026) 017")
    token = house.token(custodian.get("/recordings").text)
    custodian.post("/recordings/link", data={"csrf_token": token, "recording": [made], **fields})
    assert sentence in custodian.get("/recordings").text
    assert linked(house) == set()


def test_an_officer_sees_only_what_that_officer_recorded(house: House, client: FlaskClient) -> None:
    with house.db.writing() as session:
        officer_id = register_officer(session, house.context.submitter, None, OfficerFacts("104432", "张伟"))
    own, other = (
        add_recording(house.db, officer_number="104432"),
        add_recording(house.db, officer_number="200871"),
    )
    house.sign_in(client, house.account("zhangwei", Role.OFFICER, officer_id=officer_id))
    page = client.get("/recordings?officer=200871").text
    assert own.id in page
    assert other.id not in page
    assert client.get(f"/recordings/{own.id}").status_code == 200
    assert client.get(f"/recordings/{other.id}").status_code == 403


def test_an_officer_without_a_register_entry_sees_nothing(house: House, client: FlaskClient) -> None:
    recording = add_recording(house.db, officer_number="")
    house.sign_in(client, house.account("nobody", Role.OFFICER))
    assert recording.id not in client.get("/recordings").text


def test_when_everything_is_linked_the_list_is_calm(custodian: FlaskClient) -> None:
    assert "Every recording belongs to a case" in custodian.get("/recordings?linked=no").text
