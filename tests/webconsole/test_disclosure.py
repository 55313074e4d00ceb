from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from flask.testing import FlaskClient
from pages.rows import add_recording, open_a_case
from sqlalchemy import select, update
from zipstream import ZipStream

from casework.access.permission import Role
from casework.evidence.exhibit import link
from casework.evidence.recording import Recording
from casework.evidence.viewing import DenialCount, ViewedRecording, Viewing
from casework.package.bag import MemberChangedError
from casework.package.disclosure import Disclosure
from core.clock import utc_now
from ingest.media_facts import MediaFacts
from vault.log.index import EntryRow, place_of, wait_sequenced
from webconsole.auth.session import WebSession
from webconsole.packing import Way, Ways

if TYPE_CHECKING:
    from conftest import House, Station


@pytest.fixture
def custodian(house: House, client: FlaskClient) -> FlaskClient:
    house.sign_in(client, house.account("lijing", Role.CUSTODIAN))
    client.set_cookie("sealdock-locale", "en")
    return client


@pytest.fixture
def case_id(house: House) -> str:
    return open_a_case(house, "(2026) 017")


@pytest.fixture
def exhibit(house: House, case_id: str) -> Recording:
    """A sealed recording that belongs to the case."""
    recording = add_recording(house.db)
    with house.db.writing() as session:
        session.add(EntryRow(index=1, id=recording.id, type="ingest", time="", by="dockd", actor=None))
        link(session, house.context.submitter, None, recording.id, case_id)
    return recording


def ask(house: House, client: FlaskClient, case_id: str, **fields: Any) -> Any:
    token = house.token(client.get(f"/cases/{case_id}/disclosure").text)
    data = {"recipient": "County court", "purpose": "Hearing", **fields}
    return client.post(f"/cases/{case_id}/disclosure", data={"csrf_token": token, **data})


def disclosures(house: House) -> list[Disclosure]:
    with house.db.reading() as session:
        return list(session.scalars(select(Disclosure)))


def test_making_a_package_enters_it_first(
    house: House, custodian: FlaskClient, case_id: str, exhibit: Recording
) -> None:
    answer = ask(house, custodian, case_id, recording=[exhibit.id])
    assert answer.status_code == 303
    (made,) = disclosures(house)
    assert (made.recipient, made.purpose, made.recordings) == ("County court", "Hearing", 1)
    page = custodian.get(answer.headers["Location"]).text
    assert "Its entry waits for its place on the log" in page
    assert exhibit.name in page
    assert (
        house.context.vault.verifier.vkey.replace("+", "&#43;") in page
        or house.context.vault.verifier.vkey in page
    )


def test_nothing_leaves_before_its_entry_is_on_the_log(
    house: House, custodian: FlaskClient, case_id: str, exhibit: Recording
) -> None:
    where = ask(house, custodian, case_id, recording=[exhibit.id]).headers["Location"]
    assert custodian.get(f"{where}/progress").json == {"way": "waiting", "permille": 0, "words": ""}
    answer = custodian.get(f"{where}/package.zip")
    assert answer.status_code >= 400
    assert "nothing leaves before that" in answer.text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"recipient": ""}, "This field is needed."),
        ({"purpose": " "}, "This field is needed."),
        ({"recipient": "x" * 201}, "This field may have 200 characters at most."),
        ({"recording": []}, "Please choose at least one of the list."),
        ({"recording": ["01ARZ3NDEKTSV4RRFFQ69G5FAV"]}, "There is no recording"),
    ],
)
def test_a_mistake_hands_nothing_out(
    house: House,
    custodian: FlaskClient,
    case_id: str,
    exhibit: Recording,
    fields: dict[str, Any],
    sentence: str,
) -> None:
    answer = ask(house, custodian, case_id, **{"recording": [exhibit.id], **fields})
    assert answer.status_code == 422
    assert sentence in answer.text
    assert disclosures(house) == []


def test_what_is_not_sealed_cannot_be_chosen(house: House, custodian: FlaskClient, case_id: str) -> None:
    recording = add_recording(house.db)
    with house.db.writing() as session:
        link(session, house.context.submitter, None, recording.id, case_id)
    page = custodian.get(f"/cases/{case_id}/disclosure").text
    assert f'value="{recording.id}"' in page
    assert "disabled" in page.partition(f'value="{recording.id}"')[2].partition(">")[0]
    assert "is not on the log yet" in ask(house, custodian, case_id, recording=[recording.id]).text
    assert disclosures(house) == []


def test_handing_out_asks_for_the_password_again(house: House, custodian: FlaskClient, case_id: str) -> None:
    with house.db.writing() as session:
        session.execute(update(WebSession).values(step_up_at=utc_now() - timedelta(minutes=11)))
    answer = custodian.get(f"/cases/{case_id}/disclosure")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/confirm?next=")


def test_a_case_without_exhibits_has_nothing_to_hand_out(custodian: FlaskClient, case_id: str) -> None:
    assert "This case has no exhibits" in custodian.get(f"/cases/{case_id}/disclosure").text


def test_the_auditor_sees_that_and_not_what(
    house: House, custodian: FlaskClient, case_id: str, exhibit: Recording
) -> None:
    where = ask(house, custodian, case_id, recording=[exhibit.id]).headers["Location"]
    house.sign_in(custodian, house.account("auditor", Role.AUDITOR))
    listed = custodian.get("/disclosure").text
    assert "County court" in listed
    assert "(2026) 017" not in listed
    assert disclosures(house)[0].entry_id in listed
    page = custodian.get(where).text
    assert exhibit.name not in page
    assert "(2026) 017" not in page
    assert "Download as ZIP" not in page
    assert custodian.get(f"{where}/package.zip").status_code == 403
    assert custodian.get(f"/cases/{case_id}/disclosure").status_code == 403


def handed_out(house: House, station: Station, client: FlaskClient, case_id: str) -> tuple[str, str]:
    """A package of one sealed recording, its entry on the log: its address and the recording."""
    recording_id = station.seal(b"evidence" * 1000)
    with house.db.writing() as session:
        link(session, house.context.submitter, None, recording_id, case_id)
    where = ask(house, client, case_id, recording=[recording_id]).headers["Location"]
    wait_sequenced(house.db, disclosures(house)[0].entry_id, 20.0)
    return where.partition("?")[0], recording_id


def test_every_fetch_stands_on_the_log(
    house: House, station: Station, custodian: FlaskClient, case_id: str
) -> None:
    where, recording_id = handed_out(house, station, custodian, case_id)
    assert "Download as ZIP" in custodian.get(where).text
    assert custodian.get(f"{where}/package.zip").data[:2] == b"PK"
    with house.db.reading() as session:
        (fetch,) = session.scalars(select(Viewing).where(Viewing.rendition == "original"))
        assert (fetch.purpose_code, "County court" in fetch.purpose) == ("case", True)
        assert place_of(session, fetch.entry_id) is not None
        named = select(ViewedRecording.recording_id).where(ViewedRecording.entry_id == fetch.entry_id)
        assert session.scalars(named).all() == [recording_id]


def test_nobody_fetches_what_somebody_else_hands_out(
    house: House, station: Station, custodian: FlaskClient, case_id: str
) -> None:
    where, _ = handed_out(house, station, custodian, case_id)
    house.sign_in(custodian, house.account("zhoumin", Role.CUSTODIAN))
    assert "Download as ZIP" not in custodian.get(where).text
    assert custodian.get(f"{where}/package.zip").status_code == 403
    with house.db.reading() as session:
        assert session.scalars(select(DenialCount.permission)).all() == ["disclosure.make"]
        assert session.scalars(select(Viewing).where(Viewing.rendition == "original")).all() == []


def test_a_package_goes_without_copies_only_when_somebody_says_so(
    house: House, station: Station, custodian: FlaskClient, case_id: str
) -> None:
    where, recording_id = handed_out(house, station, custodian, case_id)
    with house.db.writing() as session:
        session.execute(
            update(MediaFacts).where(MediaFacts.recording_id == recording_id).values(play="proxy")
        )
    held_back = custodian.get(f"{where}/package.zip")
    assert held_back.status_code >= 400
    assert "is not made yet" in held_back.text
    assert custodian.get(f"{where}/package.zip?without_copies=1").data[:2] == b"PK"


def test_the_choice_to_go_without_copies_is_carried_on(
    house: House, custodian: FlaskClient, case_id: str, exhibit: Recording
) -> None:
    ticked = 'name="without_copies" value="1" checked'
    assert ticked not in custodian.get(f"/cases/{case_id}/disclosure").text
    answer = ask(house, custodian, case_id, recording=[exhibit.id], without_copies="1")
    assert ticked in custodian.get(answer.headers["Location"]).text
    assert ticked in ask(house, custodian, case_id, recording=[], without_copies="1").text


def test_the_list_says_what_to_do_when_it_is_empty(custodian: FlaskClient) -> None:
    assert "Nothing was handed out yet" in custodian.get("/disclosure").text


def zipped(*pieces: bytes, error: Exception | None = None) -> ZipStream:
    def content() -> Any:
        yield from pieces
        if error is not None:
            raise error

    stream = ZipStream(sized=True)
    stream.add(content(), "a", size=sum(map(len, pieces)))
    return stream


def test_the_way_of_a_package_is_counted() -> None:
    ways, stream = Ways(), zipped(b"x" * 1000)
    assert ways.look("p") is None
    sent = b"".join(ways.send("p", stream))
    found = ways.look("p")
    assert found is not None
    assert (found.way, found.sent, found.total) == (Way.SENT, len(sent), len(sent))


def test_a_reader_who_leaves_early_leaves_a_broken_way() -> None:
    ways = Ways()
    pieces = ways.send("p", zipped(b"x" * 1000))
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]  # a generator, which has it
    found = ways.look("p")
    assert found is not None
    assert found.way is Way.BROKEN


def test_what_came_out_wrong_is_broken_and_says_why() -> None:
    ways = Ways()
    error = MemberChangedError(path="a", found="0", found_size=1, expected="1", expected_size=1)
    with pytest.raises(MemberChangedError):
        list(ways.send("p", zipped(b"x", error=error)))
    found = ways.look("p")
    assert found is not None
    assert (found.way, found.error) == (Way.BROKEN, error)
