from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from casework.access.permission import Role
from casework.evidence.recording import Recording
from casework.keeping import projection as retention_projection
from casework.keeping.projection import LegalHold, holds
from core.clock import utc_now
from vault.formats.note import SigningKey
from vault.log.index import wait_sequenced
from vault.log.outbox import Submitter
from vault.log.submission import Draft
from vault.retention.schedule import default_schedule

if TYPE_CHECKING:
    from conftest import House, Station


@pytest.fixture
def custodian(house: House, client: FlaskClient) -> FlaskClient:
    if LegalHold not in house.projections.tables:
        retention_projection.register(house.projections)
    house.sign_in(client, house.account("lijing", Role.CUSTODIAN))
    client.set_cookie("sealdock-locale", "en")
    return client


def enter(station: Station, draft: Draft, by: str = "bureau") -> str:
    house = station.house
    signer = SigningKey.read(house.settings.keys / f"{by}.key")
    submitter = Submitter(signer, house.projections, house.settings.run / "vaultd.bell")
    with house.db.writing() as work:
        entry = submitter.submit(work, draft)
    submitter.ring()
    wait_sequenced(house.db, entry, 20.0)
    return entry


def schedule(station: Station, days: int = 183) -> None:
    """The default schedule on the log, its shortest period as given."""
    facts = default_schedule(datetime(2020, 1, 1, tzinfo=UTC)).facts()
    facts["classes"][0]["days"] = days
    enter(station, Draft("schedule", facts=facts, about=(station.house.context.vault.id,)))


def aged(house: House, recording: str) -> None:
    """As the table would be, had it come in a year ago; the log is what decides."""
    with house.db.writing() as work:
        year_ago = utc_now() - timedelta(days=365)
        work.execute(update(Recording).where(Recording.id == recording).values(sealed_at=year_ago))


def placed(house: House, client: FlaskClient, *recordings: str, review_on: str = "2099-01-01") -> int:
    text = client.get("/vault/retention").text
    token = house.token(client.get(f"/recordings/{recordings[0]}").text)
    assert "Retention" in text
    data = {"csrf_token": token, "recording": list(recordings), "reason": "行政诉讼", "owner": "法院",
            "review_on": review_on}  # fmt: skip
    return client.post("/vault/retention/holds", data=data).status_code


def test_without_a_schedule_everything_is_kept(station: Station, custodian: FlaskClient) -> None:
    recording = station.seal(b"footage")
    assert "This station has no schedule yet: everything is kept" in custodian.get("/vault/retention").text
    assert "This station has no schedule yet" in custodian.get(f"/recordings/{recording}").text


def test_within_its_period_nothing_is_due(station: Station, custodian: FlaskClient) -> None:
    recording = station.seal(b"footage")
    schedule(station)
    aged(station.house, recording)  # the table lies; the log's time decides
    assert "Nothing is due" in custodian.get("/vault/retention").text
    free_from = f"{utc_now().astimezone(UTC) + timedelta(days=183):%Y-%m}"
    assert free_from[:7] in custodian.get(f"/recordings/{recording}").text


def test_what_nobody_looked_at_stands_apart(station: Station, custodian: FlaskClient) -> None:
    recording = station.seal(b"footage")
    schedule(station, days=0)
    aged(station.house, recording)
    text = custodian.get("/vault/retention").text
    assert "Look at these first" in text
    assert "Never viewed" in text
    assert "Nobody's" in text
    assert f'value="{recording}"' in text


def test_a_hold_keeps_it_and_says_why(house: House, station: Station, custodian: FlaskClient) -> None:
    recording = station.seal(b"footage")
    schedule(station, days=0)
    aged(house, recording)
    assert placed(house, custodian, recording) == 303
    deadline = utc_now() + timedelta(seconds=20)
    found: list[tuple[LegalHold, list[str]]] = []
    while not found and utc_now() < deadline:
        with house.db.reading() as session:
            found = holds(session)
    assert [(hold.reason, hold.owner, held) for hold, held in found] == [("行政诉讼", "法院", [recording])]
    text = custodian.get("/vault/retention").text
    assert "Nothing is due" in text
    assert "行政诉讼" in text
    text = custodian.get(f"/recordings/{recording}").text
    assert "Not while it is on hold" in text
    assert "法院" in text
    assert "Legal hold placed" in text


@pytest.mark.parametrize("review_on", ["", "2020-01-01", "soon"])
def test_a_hold_names_a_day_to_come(
    house: House, station: Station, custodian: FlaskClient, review_on: str
) -> None:
    recording = station.seal(b"footage")
    placed(house, custodian, recording, review_on=review_on)
    with house.db.reading() as session:
        assert holds(session) == []


@pytest.mark.parametrize("role", [Role.OFFICER, Role.REVIEWER, Role.AUDITOR, Role.ADMINISTRATOR])
def test_the_page_is_the_custodians(house: House, client: FlaskClient, role: Role) -> None:
    house.sign_in(client, house.account("somebody", role))
    assert client.get("/vault/retention").status_code == 403


def test_disposals_say_how_far_they_are(station: Station, custodian: FlaskClient) -> None:
    one, other = station.seal(b"first"), station.seal(b"second")
    basis = {"schedule": one, "basis": "six months", "approvals": []}
    done = enter(station, Draft("dispose", facts=basis, about=(one,)))
    enter(station, Draft("dispose", facts=basis, about=(other,)))
    enter(station, Draft("destroy", facts={"dispose": done, "state": "erased", "buckets": []}, about=(one,)),
          by="sealer")  # fmt: skip
    text = custodian.get("/vault/retention").text
    assert "Approved, not yet carried out" in text
    assert "Keys and files erased" in text
    assert '<dt>Disposals under way</dt><dd><span class="tabular">1</span>' in custodian.get("/vault").text
