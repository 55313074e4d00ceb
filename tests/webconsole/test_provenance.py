"""Whose a recording is said to be, and how that is known."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from bureau.sessions import SERIAL, session_entry
from flask.testing import FlaskClient
from pages.rows import STARTED_AT, add_recording

from casework.access.permission import Role
from casework.equipment.issue import hand_out
from casework.equipment.recorder import register_recorder
from casework.people.officer import Officer, OfficerFacts, register_officer
from ingest.stated import SessionStatement
from ingest.statement import HolderBy, IdentityBy

if TYPE_CHECKING:
    from conftest import House

HOUR = timedelta(hours=1)
CONFLICT = "Names and issue ledger say different officers"


@pytest.fixture
def custodian(house: House, client: FlaskClient) -> FlaskClient:
    house.sign_in(client, house.account("lijing", Role.CUSTODIAN))
    client.set_cookie("sealdock-locale", "en")
    return client


def officer(house: House, number: str) -> Officer:
    with house.db.writing() as session:
        facts = OfficerFacts(number, f"Officer {number[-1]}", None, "ZF-1", "2099-12-31")
        return session.get_one(Officer, register_officer(session, house.context.submitter, None, facts))


def issued(house: House, holder: Officer) -> None:
    """The recorder, in the register and handed out an hour before the recording."""
    with house.db.writing() as session:
        register_recorder(session, house.context.submitter, None, SERIAL)
        hand_out(session, house.context.submitter, holder, SERIAL, "双随机检查", STARTED_AT - HOUR)


def docked(
    house: House, *, identity_by: str = "unlock", holder: str | None = None, holder_by: str = "none"
) -> str:
    """A session and the head of its statement."""
    entry = session_entry()
    head = {"identity_by": identity_by, "holder": holder, "holder_by": holder_by}
    with house.db.writing() as session:
        house.projections.apply(session, entry)
        session.add(SessionStatement(session_id=entry.leaf.id, head=head))
    return entry.leaf.id


def page(house: House, client: FlaskClient, **given: Any) -> str:
    recording = add_recording(house.db, **{"recorder_serial": SERIAL, **given})
    answer = client.get(f"/recordings/{recording.id}")
    assert answer.status_code == 200
    return answer.text


def fact(text: str, name: str) -> str:
    """What stands under a name, with its source."""
    return text.split(f"<dt>{name}</dt>")[1].split("</div>", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("by", "words"),
    [
        (IdentityBy.UNLOCK, "The recorder answered the unlocking"),
        (IdentityBy.USB, "Claimed by its USB description"),
        (IdentityBy.NAMES, "Claimed by the names of its files"),
        (IdentityBy.HAND, "Named by hand"),
        (IdentityBy.SENT_IN, "Sent in"),
        (IdentityBy.NONE, "Not known how"),
    ],
)
def test_a_recording_was_found_on_a_recorder_and_never_recorded_by_it(
    house: House, custodian: FlaskClient, by: IdentityBy, words: str
) -> None:
    text = page(house, custodian, session_id=docked(house, identity_by=by.value))
    assert SERIAL in fact(text, "Found on recorder")
    assert words in fact(text, "Found on recorder")
    assert "recorded by" not in text.casefold()


@pytest.mark.parametrize(
    ("by", "words"),
    [
        (HolderBy.BADGE, "Shown by badge at the dock"),
        (HolderBy.PIN, "Shown by number and PIN at the dock"),
        (HolderBy.TYPED, "Number typed by whoever took it in"),
        (HolderBy.LEDGER, "By the issue ledger"),
        (HolderBy.NAMES, "Number from the file&#39;s name or the recorder"),
    ],
)
def test_how_the_holder_is_known(house: House, custodian: FlaskClient, by: HolderBy, words: str) -> None:
    officer(house, "060123")
    stay = docked(house, holder="060123", holder_by=by.value)
    text = page(house, custodian, session_id=stay, officer_number="060123")
    assert "Officer 3 · 060123" in fact(text, "Officer")
    assert words in fact(text, "Officer")
    assert "Brought to the dock by" not in text


def test_whoever_brought_it_stands_beside_the_name_on_the_file(house: House, custodian: FlaskClient) -> None:
    stay = docked(house, holder="060245", holder_by="badge")
    text = page(house, custodian, session_id=stay, officer_number="060123")
    assert "Number from the file&#39;s name or the recorder" in fact(text, "Officer")
    assert "060245" in fact(text, "Brought to the dock by")
    assert "Shown by badge at the dock" in fact(text, "Brought to the dock by")


def test_nobody_is_known(house: House, custodian: FlaskClient) -> None:
    text = page(house, custodian, session_id=docked(house))
    assert "Nobody is known to have held it." in fact(text, "Officer")
    assert "Nobody named" in fact(text, "Holder by the issue ledger")


def test_the_ledger_is_asked_for_the_time_of_the_recording(house: House, custodian: FlaskClient) -> None:
    issued(house, officer(house, "060123"))
    text = page(house, custodian, officer_number="060123")
    assert "Officer 3 · 060123" in fact(text, "Holder by the issue ledger")
    assert "by the recorder&#39;s clock" in fact(text, "Holder by the issue ledger")
    assert CONFLICT not in text
    early = page(house, custodian, started_at=STARTED_AT - 2 * HOUR)
    assert "Nobody named" in fact(early, "Holder by the issue ledger")
    timeless = page(house, custodian, started_at=None)
    assert "the recorder named no time" in fact(timeless, "Holder by the issue ledger")


def test_names_and_ledger_that_disagree_are_told_and_nothing_is_decided(
    house: House, custodian: FlaskClient
) -> None:
    officer(house, "060245")
    issued(house, officer(house, "060123"))
    text = page(house, custodian, officer_number="060245")
    assert CONFLICT in text
    assert "The recording names Officer 5 · 060245; by the issue ledger Officer 3 · 060123" in text


def test_profile_and_firmware_with_the_way_to_all_of_that_version(
    house: House, custodian: FlaskClient
) -> None:
    text = page(house, custodian, session_id=docked(house), profile="enforcement-serial")
    assert "enforcement-serial" in fact(text, "Recorder profile")
    assert 'href="/recorders/firmware/recordings?version=V2.1.7&amp;profile=enforcement-serial"' in fact(
        text, "Firmware"
    )


def test_what_came_by_hand_names_no_recorder_and_asks_no_ledger(house: House, custodian: FlaskClient) -> None:
    text = page(house, custodian, recorder_serial=None, bay=None, origin="hand", officer_number="060123")
    assert "Found on recorder" not in text
    assert "issue ledger" not in text
