"""The custodian's pages of recorders, and who may do what with them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from bureau.sessions import SERIAL, session_entry
from flask.testing import FlaskClient
from pages.rows import add_recording
from sqlalchemy import select

from casework.access.permission import Role
from casework.equipment.asset import RecorderAsset
from casework.equipment.issue import hand_out
from casework.equipment.recorder import register_recorder
from casework.people.officer import Officer, OfficerFacts, register_officer
from core.clock import utc_now
from vault.log.outbox import AppliedEntry
from webconsole.app import create_app
from webconsole.routes import BLUEPRINTS
from webconsole.views import officers, recorders

if TYPE_CHECKING:
    from conftest import House

HOUR = timedelta(hours=1)


@pytest.fixture
def client(house: House) -> FlaskClient:
    """The console with these pages, whether or not its list of routes names them yet."""
    added = [one for one in (recorders.blueprint, officers.blueprint) if one not in BLUEPRINTS]
    return create_app(house.context, [*BLUEPRINTS, *added]).test_client()


@pytest.fixture
def custodian(house: House, client: FlaskClient) -> FlaskClient:
    house.sign_in(client, house.account("lijing", Role.CUSTODIAN))
    client.set_cookie("sealdock-locale", "en")
    return client


def put(house: House, serial: str = SERIAL) -> str:
    with house.db.writing() as session:
        return register_recorder(session, house.context.submitter, None, serial, "DSJ-X1")


def officer(house: House, number: str = "060123", until: str = "2099-12-31") -> Officer:
    with house.db.writing() as session:
        facts = OfficerFacts(number, f"Officer {number}", None, "ZF-1", until)
        return session.get_one(Officer, register_officer(session, house.context.submitter, None, facts))


def dock(house: House, entry: AppliedEntry) -> None:
    with house.db.writing() as session:
        house.projections.apply(session, entry)


def found(house: House, serial: str = SERIAL) -> RecorderAsset:
    with house.db.reading() as session:
        return session.scalars(select(RecorderAsset).where(RecorderAsset.serial == serial)).one()


def send(house: House, client: FlaskClient, path: str, page: str = "", **fields: str) -> tuple[int, str]:
    token = house.token(client.get(page or path).text)
    answer = client.post(path, data={"csrf_token": token, **fields})
    return answer.status_code, answer.text


def test_an_empty_register_says_what_to_do(custodian: FlaskClient) -> None:
    page = custodian.get("/recorders").text
    assert "No recorders yet" in page
    assert "Register a recorder" in page


def test_registering_a_recorder(house: House, custodian: FlaskClient) -> None:
    officer(house)
    fields = {"serial": SERIAL, "model": "DSJ-X1", "officer": "060123", "card_serial": "SD-1"}
    assert send(house, custodian, "/recorders/register", **fields)[0] == 303
    asset = found(house)
    assert (asset.is_registered, asset.card_serial) == (True, "SD-1")
    page = custodian.get(f"/recorders/{asset.id}").text
    assert f"Recorder {SERIAL} is in the register." in page
    assert "Officer 060123" in page


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"serial": ""}, "This field is needed."),
        ({"serial": "a b"}, "letters, digits or signs without a space"),
        ({"serial": "x" * 65}, "This field may have 64 characters at most."),
        ({"serial": "<b>\u202e"}, "letters, digits or signs without a space"),
        ({"officer": "999999"}, "There is no officer"),
        ({"model": "a\x00b"}, "This field holds characters that cannot be shown."),
    ],
)
def test_a_mistake_is_said_and_nothing_typed_is_lost(
    house: House, custodian: FlaskClient, changed: dict[str, str], sentence: str
) -> None:
    fields = {"serial": SERIAL, "battery_serial": "B-77", **changed}
    status, page = send(house, custodian, "/recorders/register", **fields)
    assert status == 422
    assert sentence in page
    assert 'value="B-77"' in page
    with house.db.reading() as session:
        assert session.scalars(select(RecorderAsset)).all() == []


def test_a_serial_that_is_taken(house: House, custodian: FlaskClient) -> None:
    put(house)
    status, page = send(house, custodian, "/recorders/register", serial=SERIAL)
    assert (status, "is registered already" in page) == (422, True)


def test_one_that_was_only_seen_is_registered_from_its_page(house: House, custodian: FlaskClient) -> None:
    dock(house, session_entry())
    asset = found(house)
    page = custodian.get(f"/recorders/{asset.id}").text
    assert "Seen in a bay, not registered" in page
    assert "Hand out</button>" not in page
    change = f"/recorders/{asset.id}/change"
    assert send(house, custodian, change, serial=SERIAL, version=asset.version)[0] == 303
    assert found(house).is_registered


def test_the_second_of_two_editors_is_told(house: House, custodian: FlaskClient) -> None:
    put(house)
    asset = found(house)
    change = f"/recorders/{asset.id}/change"
    assert send(house, custodian, change, serial=SERIAL, model="first", version=asset.version)[0] == 303
    status, page = send(house, custodian, change, serial=SERIAL, model="second", version=asset.version)
    assert status == 422
    assert "changed by somebody else" in page
    assert 'value="second"' in page
    assert found(house).model == "first"


def test_out_and_back(house: House, custodian: FlaskClient) -> None:
    put(house)
    officer(house)
    page = f"/recorders/{found(house).id}"
    fields = {"officer": "060123", "purpose": "Random inspection", "shift_ends_at": ""}
    assert send(house, custodian, f"{page}/hand-out", page, **fields)[0] == 303
    shown = custodian.get(page).text
    assert "was handed to Officer 060123" in shown
    assert "Random inspection" in shown
    assert "entered by a custodian" in shown
    assert send(house, custodian, f"{page}/hand-out", page, **fields)[0] == 422
    assert send(house, custodian, f"{page}/take-back", page, note="not docked")[0] == 303
    assert found(house).state == "available"
    assert "not docked" in custodian.get(page).text


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"officer": "060999"}, "ended on 2020-01-01"),  # D15
        ({"officer": "424242"}, "There is no officer"),
        ({"purpose": ""}, "This field is needed."),
        ({"shift_ends_at": "soon"}, "Please enter a day and a time."),
        ({"shift_ends_at": "2019-01-01T08:00"}, "cannot end at"),
    ],
)
def test_what_cannot_be_handed_out_is_said(
    house: House, custodian: FlaskClient, changed: dict[str, str], sentence: str
) -> None:
    put(house)
    officer(house)
    officer(house, "060999", "2020-01-01")
    page = f"/recorders/{found(house).id}"
    fields = {"officer": "060123", "purpose": "Random inspection", **changed}
    status, shown = send(house, custodian, f"{page}/hand-out", page, **fields)
    assert status == 422
    assert sentence in shown
    assert found(house).state == "available"


def test_only_officers_who_may_enforce_are_offered(house: House, custodian: FlaskClient) -> None:
    put(house)
    officer(house)
    officer(house, "060999", "2020-01-01")
    page = custodian.get(f"/recorders/{found(house).id}").text
    assert '<option value="060123">' in page
    assert '<option value="060999">' not in page


def test_what_is_overdue_stands_first(house: House, custodian: FlaskClient) -> None:  # D35
    for serial in ("A-0001", "Z-0001", "Z-0002"):
        put(house, serial)
    holder = officer(house)
    with house.db.writing() as session:
        for serial, hours in (("Z-0001", 40), ("Z-0002", 200), ("A-0001", 2)):
            hand_out(session, house.context.submitter, holder, serial, "Duty", utc_now() - hours * HOUR)
    page = custodian.get("/recorders").text
    assert "2 recorders are overdue" in page
    table = page.split("<tbody>")[1]
    assert table.index("Z-0002") < table.index("Z-0001") < table.index("A-0001")
    assert "Overdue by 7 days" in table
    assert "Overdue by 8 hours" in table
    only = custodian.get("/recorders?state=overdue").text.split("<tbody>")[1]
    assert "A-0001" not in only
    assert only.count("data-line") == 2


def test_saying_what_befell_it(house: House, custodian: FlaskClient) -> None:
    put(house)
    page = f"/recorders/{found(house).id}"
    assert send(house, custodian, f"{page}/say", page, event="report_lost", note="In the river")[0] == 303
    shown = custodian.get(page).text
    assert "Reported lost" in shown
    assert "In the river" in shown
    assert send(house, custodian, f"{page}/say", page, event="mend")[0] == 422
    assert send(house, custodian, f"{page}/say", page, event="explode")[0] == 422
    assert found(house).state == "lost"


def test_names_that_disagree_with_the_ledger_are_shown(house: House, custodian: FlaskClient) -> None:
    put(house)
    holder = officer(house)
    at = utc_now() - 5 * HOUR
    with house.db.writing() as session:
        hand_out(session, house.context.submitter, holder, SERIAL, "Duty", at)
    given = {"recorder_serial": SERIAL, "officer_number": "200871", "started_at": at + HOUR}
    recording = add_recording(house.db, **given, name="<b>clip</b>.mp4")
    page = custodian.get(f"/recorders/{found(house).id}").text
    assert "Names and ledger disagree" in page
    assert recording.id in page
    assert "&lt;b&gt;clip" in page


def test_which_recordings_came_from_a_firmware(house: House, custodian: FlaskClient) -> None:
    entry = session_entry()
    dock(house, entry)
    recording = add_recording(house.db, session_id=entry.leaf.id, recorder_serial=SERIAL)
    assert "V2.1.7" in custodian.get("/recorders/firmware").text
    page = custodian.get("/recorders/firmware/recordings?version=V2.1.7&profile=enforcement-serial").text
    assert recording.name in page
    assert (
        "No recording here came from this version."
        in custodian.get("/recorders/firmware/recordings?version=V9").text
    )
    assert custodian.get("/recorders/firmware/recordings").status_code == 422


@pytest.mark.parametrize(
    ("role", "sees", "issues", "manages"),
    [
        (Role.CUSTODIAN, True, True, True),
        (Role.ADMINISTRATOR, True, False, True),
        (Role.AUDITOR, True, False, False),
        (Role.HEAD, True, False, False),
        (Role.OFFICER, False, False, False),
    ],
)
def test_who_may_do_what(
    house: House, client: FlaskClient, role: Role, *, sees: bool, issues: bool, manages: bool
) -> None:
    identity = put(house)
    house.sign_in(client, house.account("somebody", role))
    token = house.token(client.get("/account").text)

    def status(path: str) -> int:
        return client.post(
            f"/recorders/{identity}/{path}", data={"csrf_token": token, "event": "retire"}
        ).status_code

    assert (client.get("/recorders").status_code == 200) is sees
    assert (client.get(f"/recorders/{identity}").status_code == 200) is sees
    assert (client.get("/recorders/register").status_code == 200) is manages
    assert (status("hand-out") == 422) is issues
    assert (status("take-back") == 422) is issues
    assert (status("say") == 303) is manages
    assert (status("hand-out") == 403) is not issues


@pytest.mark.parametrize(
    "query", ["q=%00", "state=nonsense", "after=%F0%9F%98%80", "q=" + "x" * 500, "firmware=%25"]
)
def test_a_strange_address_is_answered(custodian: FlaskClient, query: str) -> None:
    assert custodian.get(f"/recorders?{query}").status_code == 200
    assert custodian.get("/recorders/01ARZ3NDEKTSV4RRFFQ69G5FAV").status_code == 404
