"""The custodian's pages of what was taken in quarantine, and where else it is marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bureau.sessions import session_entry
from flask.testing import FlaskClient
from pages.rows import add_recording

from casework.access.permission import Role
from casework.equipment.claim import claim_duty
from casework.evidence.quarantine import Decision, quarantined
from casework.people.at_dock import Means
from casework.people.officer import Officer, OfficerFacts, register_officer
from core.clock import new_id
from vault.formats.entry import Leaf
from vault.log.outbox import AppliedEntry

if TYPE_CHECKING:
    from conftest import House


@pytest.fixture
def custodian(house: House, client: FlaskClient) -> FlaskClient:
    house.sign_in(client, house.account("lijing", Role.CUSTODIAN))
    client.set_cookie("sealdock-locale", "en")
    return client


def taken(house: House, serial: str = "X1A0777") -> str:
    """A session in quarantine with one recording."""
    plain = session_entry(recorder_serial=serial, statement={"quarantine": {"standing": "unregistered"}})
    with house.db.writing() as work:
        facts = OfficerFacts(f"06{plain.leaf.id[-4:]}", "执法员甲", None, "ZF-1", "2099-12-31")
        officer = work.get_one(Officer, register_officer(work, house.context.submitter, None, facts))
        claim = claim_duty(work, house.context.submitter, officer, plain.leaf.id, Means.BADGE)
        told = {**plain.leaf.facts, "quarantined": claim}
        leaf = Leaf(id=plain.leaf.id, type="session", time=plain.leaf.time, by="dockd", facts=told)
        house.projections.apply(work, AppliedEntry(leaf, plain.fields, None))
    return leaf.id


def say(house: House, client: FlaskClient, session_id: str, **fields: str) -> tuple[int, str]:
    page = f"/recorders/quarantine/{session_id}"
    token = house.token(client.get(page).text)
    answer = client.post(f"{page}/decide", data={"csrf_token": token, **fields}, follow_redirects=True)
    return answer.status_code, answer.text


def test_an_empty_quarantine_is_calm(custodian: FlaskClient) -> None:
    assert "Nothing is in quarantine" in custodian.get("/recorders/quarantine").text
    assert "waits for a decision" not in custodian.get("/recorders").text


def test_what_waits_stands_in_the_inbox_the_register_and_the_list(
    house: House, custodian: FlaskClient
) -> None:
    session_id = taken(house)
    for page in ("/inbox", "/recorders"):
        assert "1 docking session in quarantine waits for a decision" in custodian.get(page).text
    page = custodian.get("/recorders/quarantine").text
    assert f"/recorders/quarantine/{session_id}" in page
    assert "Not in the register" in page
    assert "执法员甲" in page


def test_a_custodian_decides_and_may_decide_otherwise(house: House, custodian: FlaskClient) -> None:
    session_id = taken(house)
    status, page = say(house, custodian, session_id, decision="not_duty")
    assert (status, "Please write why." in page) == (422, True)
    status, page = say(house, custodian, session_id, decision="not_duty", note="a private trip")
    assert (status, "not duty footage" in page, "a private trip" in page) == (200, True, True)
    status, page = say(house, custodian, session_id, decision="not_duty", note="again")
    assert (status, "decided already" in page) == (422, True)
    assert say(house, custodian, session_id, decision="accepted")[0] == 200
    assert "Nothing waits for a decision." in custodian.get("/recorders/quarantine").text
    assert "in quarantine waits" not in custodian.get("/inbox").text
    with house.db.reading() as work:
        assert quarantined(work, session_id).standing is Decision.ACCEPTED


def test_the_recorders_page_registers_it_and_marks_the_session(house: House, custodian: FlaskClient) -> None:
    session_id = taken(house)
    page = custodian.get(f"/recorders/quarantine/{session_id}").text
    assert f"/recorders/{session_id}/change" in page  # an unregistered recorder is called after its entry
    assert "Taken in quarantine" in custodian.get(f"/recorders/{session_id}").text


def test_the_recording_says_so(house: House, custodian: FlaskClient) -> None:
    session_id = taken(house)
    kept, plain = add_recording(house.db, session_id=session_id), add_recording(house.db)
    assert "In quarantine: nobody has decided yet" in custodian.get(f"/recordings/{kept.id}").text
    assert "quarantine" not in custodian.get(f"/recordings/{plain.id}").text
    say(house, custodian, session_id, decision="not_duty", note="a private trip")
    assert "Do not use it as evidence" in custodian.get(f"/recordings/{kept.id}").text


def test_whoever_may_not_link_evidence_may_not_decide(house: House, client: FlaskClient) -> None:
    session_id = taken(house)
    house.sign_in(client, house.account("root", Role.ADMINISTRATOR))
    page = client.get(f"/recorders/quarantine/{session_id}")
    assert (page.status_code, 'name="decision"' in page.text) == (200, False)
    assert say(house, client, session_id, decision="accepted")[0] == 403


@pytest.mark.parametrize("path", ["/recorders/quarantine/{}", "/recorders/quarantine?before={}"])
def test_an_address_that_nothing_is_behind(custodian: FlaskClient, path: str) -> None:
    assert custodian.get(path.format(new_id())).status_code in {200, 404, 409}
    assert custodian.get(path.format("%00'--")).status_code in {200, 404, 422}
