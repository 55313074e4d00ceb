"""The custodian's pages of officers: certificates, badges and PINs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, select

from casework.access.permission import Role
from casework.people.at_dock import officer_by_badge, officer_by_pin
from casework.people.badge import OfficerCredential
from casework.people.officer import Officer, OfficerFacts, register_officer
from core import guessable
from webconsole.app import create_app
from webconsole.auth.session import WebSession
from webconsole.routes import BLUEPRINTS
from webconsole.views import officers, recorders

if TYPE_CHECKING:
    from conftest import House

FIELDS = {
    "number": "060123", "name": "Zhang Wei", "certificate_number": "ZF-1", "certificate_valid_from": "2024-01-01",
    "certificate_valid_until": "2099-12-31",
}  # fmt: skip


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id at its least cost: these tests are not about its cost."""
    monkeypatch.setattr(guessable, "MEMORY_KIB", 64)
    monkeypatch.setattr(guessable, "PASSES", 1)


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


def put(house: House, number: str = "060123", until: str | None = "2099-12-31") -> str:
    with house.db.writing() as session:
        facts = OfficerFacts(number, f"Officer {number}", None, "ZF-1" if until else "", until)
        return register_officer(session, house.context.submitter, None, facts)


def send(house: House, client: FlaskClient, path: str, **fields: str) -> tuple[int, str]:
    token = house.token(client.get(path).text)
    answer = client.post(path, data={"csrf_token": token, **fields})
    return answer.status_code, answer.text


def test_registering_an_officer(house: House, custodian: FlaskClient) -> None:
    assert "No officers yet" in custodian.get("/officers").text
    assert send(house, custodian, "/officers/register", **FIELDS)[0] == 303
    page = custodian.get("/officers").text
    assert "Zhang Wei" in page
    assert "Valid" in page
    with house.db.reading() as session:
        identity = session.scalars(select(Officer.id)).one()
    shown = custodian.get(f"/officers/{identity}").text
    assert "2024-01-01" in shown
    assert "2099-12-31" in shown


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"number": "12345"}, "must be 6 letters or digits"),
        ({"name": ""}, "This field is needed."),
        ({"name": "a\u202eb"}, "a character that cannot be shown"),
        ({"certificate_valid_until": "2023-12-31"}, "cannot be valid from 2024-01-01"),
        ({"certificate_valid_until": "0001-01-01"}, "Please enter a date such as 2026-11-23."),
        ({"unit_id": "nonsense"}, "Please choose one of the list."),
    ],
)
def test_a_mistake_is_said_and_nothing_typed_is_lost(
    house: House, custodian: FlaskClient, changed: dict[str, str], sentence: str
) -> None:
    status, page = send(house, custodian, "/officers/register", **{**FIELDS, **changed})
    assert status == 422
    assert sentence in page
    assert 'value="ZF-1"' in page
    with house.db.reading() as session:
        assert session.scalars(select(Officer)).all() == []


def test_certificates_that_need_something_are_counted_and_found(
    house: House, custodian: FlaskClient
) -> None:  # D15
    put(house)
    put(house, "060999", "2020-01-01")
    put(house, "060402", None)
    page = custodian.get("/officers").text
    assert "Certificates that need something:" in page
    expired = custodian.get("/officers?certificate=expired").text
    assert "Officer 060999" in expired
    assert "Officer 060123" not in expired
    assert "Officer 060402" in custodian.get("/officers?certificate=missing").text
    assert "Nothing matches" in custodian.get("/officers?q=nobody").text


def test_the_second_of_two_editors_is_told(house: House, custodian: FlaskClient) -> None:
    identity = put(house)
    with house.db.reading() as session:
        version = session.get_one(Officer, identity).version
    change = f"/officers/{identity}/change"
    assert 'value="2099-12-31"' in custodian.get(change).text
    assert send(house, custodian, change, **FIELDS, version=version)[0] == 303
    status, page = send(house, custodian, change, **{**FIELDS, "name": "Li Na"}, version=version)
    assert status == 422
    assert "changed by somebody else" in page
    assert 'value="Li Na"' in page


def test_a_badge_and_a_pin_are_given_and_taken_back(house: House, custodian: FlaskClient) -> None:
    identity = put(house)
    page = f"/officers/{identity}/identify"
    status, answer = send(house, custodian, page, what="badge", act="give", secret="04:A2:7F:19")
    assert status == 303
    assert "04A27F19" not in answer
    assert send(house, custodian, page, what="pin", act="give", secret="482913")[0] == 303
    with house.db.reading() as session:
        found = officer_by_badge(session, "04a27f19")
        assert found is not None
        assert officer_by_pin(session, "060123", "482913").id == found.id == identity
    assert "04A27F19" not in custodian.get(f"/officers/{identity}").text
    assert send(house, custodian, page, what="badge", act="take")[0] == 303
    with house.db.reading() as session:
        assert officer_by_badge(session, "04a27f19") is None


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"what": "badge", "secret": "x"}, "This is not a badge number"),
        ({"what": "pin", "secret": "111111"}, "This PIN cannot be used"),
        ({"what": "pin", "secret": ""}, "This field is needed."),
        ({"what": "retina", "secret": "482913"}, ""),
    ],
)
def test_what_is_wrong_with_it_is_said_and_the_secret_is_not_repeated(
    house: House, custodian: FlaskClient, fields: dict[str, str], sentence: str
) -> None:
    status, page = send(house, custodian, f"/officers/{put(house)}/identify", act="give", **fields)
    assert status == 422
    assert sentence in page
    assert f'value="{fields["secret"] or "never"}"' not in page


def test_the_password_is_asked_again_before_somebody_is_given_a_name(
    house: House, custodian: FlaskClient
) -> None:
    identity = put(house)
    with house.db.writing() as session:
        for one in session.scalars(select(WebSession)):
            one.step_up_at = None
    answer = custodian.get(f"/officers/{identity}/identify")
    assert answer.status_code == 303
    assert "confirm" in answer.headers["Location"]


def test_a_badge_whose_digest_went_with_the_database_is_to_be_given_again(
    house: House, custodian: FlaskClient
) -> None:
    identity = put(house)
    page = f"/officers/{identity}/identify"
    send(house, custodian, page, what="badge", act="give", secret="04A27F19")
    assert "Lost with the database" not in custodian.get(f"/officers/{identity}").text
    with house.db.writing() as session:
        session.execute(delete(OfficerCredential))
    assert "Lost with the database" in custodian.get(f"/officers/{identity}").text


@pytest.mark.parametrize(
    ("role", "sees", "manages", "names"),
    [
        (Role.CUSTODIAN, True, True, True),
        (Role.ADMINISTRATOR, True, True, False),  # runs the machine, and makes nobody somebody at the dock
        (Role.AUDITOR, True, False, False),
        (Role.REVIEWER, True, False, False),
        (Role.OFFICER, False, False, False),
    ],
)
def test_who_may_do_what(
    house: House, client: FlaskClient, role: Role, *, sees: bool, manages: bool, names: bool
) -> None:
    identity = put(house)
    house.sign_in(client, house.account("somebody", role))
    assert (client.get("/officers").status_code == 200) is sees
    assert (client.get(f"/officers/{identity}").status_code == 200) is sees
    assert (client.get("/officers/register").status_code == 200) is manages
    assert (client.get(f"/officers/{identity}/identify").status_code == 200) is names
