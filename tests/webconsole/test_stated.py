"""The omission statement on the receipt of a docking session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flask.testing import FlaskClient

from casework.access.permission import Role
from core.clock import new_id
from ingest.stated import SessionStatement
from ingest.statement import Fate, Rows, Sealable, make_statement, sealable
from vault.formats.note import SigningKey
from vault.log.index import wait_sequenced
from vault.log.outbox import Submitter
from vault.log.submission import Draft

if TYPE_CHECKING:
    from conftest import House, Station

FACTS: dict[str, Any] = {
    "found_on": {"recorder_serial": "X1A0001", "transport": "exfat", "profile": "enforcement-storage"},
    "identity_by": "names", "holder": "060123", "holder_by": "names",
    "condition": {"clock": {"offset_ms": -41_000, "uncertainty_ms": 1200}, "acts": []},
    "untouched": {"method": "write_counter+tables", "holds": True},
    "sample": {"known": 0, "read": 0, "differs": False},
}  # fmt: skip


@pytest.fixture
def custodian(house: House, client: FlaskClient) -> FlaskClient:
    house.sign_in(client, house.account("lijing", Role.CUSTODIAN))
    client.set_cookie("sealdock-locale", "en")
    return client


def ended(house: House, recording: str) -> tuple[str, Sealable]:
    """A session with a statement, as the dock ends it; its row stands as the dock's projection writes it."""
    session_id, rows = new_id(), Rows()
    rows.kept(Fate.TAKEN, recording)
    rows.omitted(Fate.LEFT_OUT, "System Volume Information/x<b>.dat", size=4)
    made = sealable(make_statement(FACTS | {"session": session_id}, rows, (), (), ()))
    signer = SigningKey.read(house.settings.keys / "dockd.key")
    submitter = Submitter(signer, house.projections, house.settings.run / "vaultd.bell")
    facts = {"session": session_id, "files": 1, "bytes": 9, "outcome": "complete", "statement": made.counts()}
    with house.db.writing() as work:
        submitter.submit(work, Draft("session", id=session_id, facts=facts, about=(recording,)))
        work.merge(SessionStatement(session_id=session_id, head=made.head))
    submitter.ring()
    wait_sequenced(house.db, session_id, 20.0)
    return session_id, made


def test_the_sheet_of_a_session_says_what_became_of_everything(
    station: Station, custodian: FlaskClient
) -> None:
    recording = station.seal(b"footage")
    ended(station.house, recording)
    text = custodian.get(f"/recordings/{recording}/receipt/session").text
    assert "Omission statement" in text
    assert "Found on recorder X1A0001 (exfat, profile enforcement-storage)." in text
    assert "The recorder&#39;s clock was -41.0 s off, within 1.2 s." in text
    assert "1 files left out by the profile: no footage." in text
    assert "the kernel counted no sector written to it, and the tables of its file system" in text
    assert "write_counter" not in text
    assert "x<b>.dat" not in text
    assert "Omission statement" not in custodian.get(f"/recordings/{recording}/receipt/print").text


def test_a_statement_that_is_not_what_was_sealed_is_not_shown(
    station: Station, custodian: FlaskClient
) -> None:
    recording = station.seal(b"footage")
    session_id, made = ended(station.house, recording)
    with station.house.db.writing() as work:
        work.get_one(SessionStatement, session_id).head = made.head | {"counts": {"taken": 9}}
    text = custodian.get(f"/recordings/{recording}/receipt/session").text
    assert "is not the one that was sealed" in text
    assert "9 files taken." not in text
