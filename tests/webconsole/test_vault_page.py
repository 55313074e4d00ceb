from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from flask.testing import FlaskClient

from casework.access.permission import Role
from casework.paper.window import Window
from core.clock import utc_now
from vault.audit.anchor import OutsideEvidence
from vault.care import fixity
from vault.care.fixity import FixityRow, Result
from vault.formats.checkpoint import parse_checkpoint
from webconsole.display import vault_state

if TYPE_CHECKING:
    from conftest import House, Station


@pytest.fixture
def cared(house: House) -> House:
    """The house with the projection that keeps when each recording was last proven."""
    fixity.register(house.projections)
    return house


def signed_in(house: House, client: FlaskClient, role: Role) -> FlaskClient:
    house.sign_in(client, house.account(str(role), role))
    client.set_cookie("sealdock-locale", "en")
    return client


@pytest.mark.parametrize("role", [Role.CUSTODIAN, Role.AUDITOR, Role.ADMINISTRATOR, Role.HEAD])
def test_the_state_of_the_vault_without_content(
    cared: House, station: Station, client: FlaskClient, role: Role
) -> None:
    recording = station.seal(b"footage")
    with cared.db.writing() as work:
        row = work.get(FixityRow, recording)
        assert row is not None
        row.result, row.fault = Result.FAILED, "damaged"
    text = signed_in(cared, client, role).get("/vault").text
    assert cared.context.vault.verifier.fingerprint in text
    assert "1 recording is not what was sealed" in text
    assert "There is no outside evidence yet." in text
    assert "days until full" in text
    assert "clip.mp4" not in text
    assert (f'href="/recordings/{recording}"' in text) == (role in {Role.CUSTODIAN, Role.HEAD})


@pytest.mark.parametrize("is_stamped", [True, False])
def test_the_daily_page_is_urged_only_until_somebody_outside_confirmed_the_log(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, *, is_stamped: bool
) -> None:
    stamp = OutsideEvidence(
        1, b"r" * 32, utc_now(), "timestamp", "stamper", "anchors/1/stamper.tsr", True, ""
    )
    told = Window(1, stamp if is_stamped else None)
    monkeypatch.setattr(vault_state, "window_of", lambda *_given: told)
    text = signed_in(house, client, Role.CUSTODIAN).get("/vault").text
    assert ("print it every evening" in text) != is_stamped
    assert ("Last outside evidence: stamper" in text) == is_stamped


@pytest.mark.parametrize(("role", "status"), [(Role.OFFICER, 403), (Role.REVIEWER, 403), (Role.AUDITOR, 200)])
def test_who_may_look(house: House, client: FlaskClient, role: Role, status: int) -> None:
    assert signed_in(house, client, role).get("/vault").status_code == status


def test_the_checkpoint_is_handed_out_as_it_was_signed(house: House, client: FlaskClient) -> None:
    answer = signed_in(house, client, Role.ADMINISTRATOR).get("/vault/checkpoint")
    assert parse_checkpoint(answer.data, house.context.vault.verifier).size == house.context.reader.size


@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.CUSTODIAN, 200), (Role.HEAD, 200), (Role.AUDITOR, 200), (Role.ADMINISTRATOR, 403)],
)
def test_who_prints_the_daily_page(house: House, client: FlaskClient, role: Role, status: int) -> None:
    assert signed_in(house, client, role).get("/vault/daily").status_code == status


def test_the_daily_page_has_counts_checkpoint_and_room_for_two_hands(
    station: Station, client: FlaskClient
) -> None:
    station.seal(b"footage")
    text = signed_in(station.house, client, Role.CUSTODIAN).get("/vault/daily").text
    note = station.house.context.reader.checkpoint()[1].decode()
    assert all(line in text.replace("&#43;", "+") for line in note.splitlines())
    assert "<dt>Recordings sealed</dt><dd>1</dd>" in text
    assert text.count("name, signature, date") == 2
    assert 'class="qr"' in text


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "1066-10-14"])
def test_a_day_that_is_none_is_refused(house: House, client: FlaskClient, day: str) -> None:
    assert signed_in(house, client, Role.HEAD).get(f"/vault/daily?day={day}").status_code == 422
