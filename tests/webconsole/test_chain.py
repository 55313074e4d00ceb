from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from flask.testing import FlaskClient
from pages.rows import add_recording, open_a_case

from casework.access.permission import Role
from casework.evidence.exhibit import link

if TYPE_CHECKING:
    from conftest import House


@pytest.fixture
def linked(house: House) -> tuple[str, str, str]:
    """A case, a recording that was linked to it, and the recording's file name."""
    case_id, recording = open_a_case(house, "(2026) 017"), add_recording(house.db)
    with house.db.writing() as session:
        link(session, house.context.submitter, None, recording.id, case_id)
    return case_id, recording.id, recording.name


def chain_of(house: House, client: FlaskClient, role: Role, path: str) -> str:
    """The chain on a page, as text."""
    house.sign_in(client, house.account("reader", role))
    client.set_cookie("sealdock-locale", "en")
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.text.split('<ol class="chain">')[1].split("</ol>")[0]


def test_the_history_of_a_case_names_the_file(
    house: House, client: FlaskClient, linked: tuple[str, str, str]
) -> None:
    case_id, _, name = linked
    chain = chain_of(house, client, Role.CUSTODIAN, f"/cases/{case_id}")
    assert f'<span class="sub">{name}</span>' in chain
    assert "(2026) 017" not in chain


def test_the_chain_of_a_recording_names_the_case(
    house: House, client: FlaskClient, linked: tuple[str, str, str]
) -> None:
    _, recording_id, name = linked
    chain = chain_of(house, client, Role.CUSTODIAN, f"/recordings/{recording_id}")
    assert '<span class="sub">(2026) 017</span>' in chain
    assert name not in chain
