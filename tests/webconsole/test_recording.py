from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flask.testing import FlaskClient
from pages.rows import add_recording, open_a_case
from sqlalchemy import select

from casework.access.permission import Role
from casework.evidence.exhibit import CaseLink, Exhibit
from casework.evidence.recording import Recording
from casework.evidence.viewing import Viewing, record_view
from casework.people.officer import OfficerFacts, register_officer
from vault.keyd_client import KeydClient, KeydStatus
from vault.log.index import EntryRow, wait_sequenced

if TYPE_CHECKING:
    from conftest import House, Station


@pytest.fixture
def custodian(house: House, client: FlaskClient) -> FlaskClient:
    house.sign_in(client, house.account("lijing", Role.CUSTODIAN))
    client.set_cookie("sealdock-locale", "en")
    return client


@pytest.fixture
def _unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key process answers that it is open; nothing of these tests asks it for a key."""
    monkeypatch.setattr(KeydClient, "status", lambda _client: KeydStatus(is_unlocked=True, entries=1))


def sealed(house: House, **given: Any) -> Recording:
    """A recording that has its place on the log."""
    recording = add_recording(house.db, **given)
    with house.db.writing() as session:
        session.add(EntryRow(index=1, id=recording.id, type="ingest", time="", by="dockd", actor=None))
    return recording


def page(client: FlaskClient, recording: Recording) -> str:
    answer = client.get(f"/recordings/{recording.id}")
    assert answer.status_code == 200
    return answer.text


def views(house: House) -> list[tuple[str, str, str]]:
    with house.db.reading() as session:
        found = session.scalars(select(Viewing).where(Viewing.rendition != "poster"))
        return [(one.purpose_code, one.purpose, one.rendition) for one in found]


def test_facts_say_where_they_come_from(house: House, custodian: FlaskClient) -> None:
    text = page(
        custodian,
        add_recording(house.db, officer_number="104432", width=1920, height=1080, video_codec="hevc"),
    )
    assert "2026-11-23 14:05:07" in text
    assert "From the file&#39;s name, as the recorder&#39;s clock stood" in text
    assert "1920 \u00d7 1080 · HEVC" in text
    assert "ab" * 32 in text
    assert "Bay 3" in text


@pytest.mark.usefixtures("_unlocked")
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"media_facts": False}, "Being prepared for viewing"),
        ({"play": "pending"}, "Being prepared for viewing"),
        ({"play": "proxy", "proxy": False}, "Being prepared for viewing"),
        ({"play": "none", "error": "media.empty"}, "This file is empty: the recorder made it and wrote nothing."),
        ({"play": "none", "media": "other"}, "It is not a video, sound or photograph"),
        ({"is_disposed": True}, "Its content was destroyed lawfully."),
    ],
)  # fmt: skip
def test_what_cannot_be_played_says_why(
    house: House, custodian: FlaskClient, given: dict[str, Any], sentence: str
) -> None:
    text = page(custodian, sealed(house, **given))
    assert sentence in text
    assert "<evidence-player" not in text


def test_not_on_the_log_yet_is_pending(house: House, custodian: FlaskClient) -> None:
    text = page(custodian, add_recording(house.db))
    assert "Sealed, waiting for the log" in text
    assert "Download receipt" not in text


def test_a_locked_key_is_said_and_everything_else_is_there(house: House, custodian: FlaskClient) -> None:
    text = page(custodian, sealed(house))
    assert "The reading key is locked" in text
    assert "Chain of custody" in text
    assert "<evidence-player" not in text


@pytest.mark.usefixtures("_unlocked")
def test_whoever_did_not_record_it_is_asked_why(house: House, custodian: FlaskClient) -> None:
    recording = sealed(house)
    text = page(custodian, recording)
    assert "Why do you need to see this recording?" in text
    assert "<evidence-player" not in text
    assert views(house) == []
    data = {"csrf_token": house.token(text), "purpose_code": "hearing", "purpose": "Hearing of 30 November"}
    assert custodian.post(f"/recordings/{recording.id}/watch", data=data).status_code == 303
    assert views(house) == [("hearing", "Hearing of 30 November", "original")]
    assert f'src="/media/{recording.id}/original"' in page(custodian, recording)
    assert views(house) == [("hearing", "Hearing of 30 November", "original")]  # not again for every look


@pytest.mark.usefixtures("_unlocked")
@pytest.mark.parametrize("code", ["", "own", "curiosity"])
def test_a_purpose_that_is_none_shows_nothing(house: House, custodian: FlaskClient, code: str) -> None:
    recording = sealed(house)
    data = {
        "csrf_token": house.token(page(custodian, recording)),
        "purpose_code": code,
        "purpose": "<because>",
    }
    answer = custodian.post(f"/recordings/{recording.id}/watch", data=data)
    assert answer.status_code == 422
    assert "Please choose one of the list." in answer.text
    assert 'value="&lt;because&gt;"' in answer.text
    assert views(house) == []


@pytest.mark.usefixtures("_unlocked")
def test_the_officer_who_recorded_it_is_not_asked(house: House, client: FlaskClient) -> None:
    with house.db.writing() as session:
        officer_id = register_officer(session, house.context.submitter, None, OfficerFacts("104432", "张伟"))
    recording = sealed(house, officer_number="104432")
    house.sign_in(client, house.account("zhangwei", Role.OFFICER, officer_id=officer_id))
    assert "<evidence-player" in page(client, recording)
    assert views(house) == [("own", "", "original")]


@pytest.mark.usefixtures("_unlocked")
def test_a_copy_is_called_a_copy(house: House, custodian: FlaskClient) -> None:
    recording = sealed(house, play="proxy", proxy=True, video_codec="hevc")
    data = {"csrf_token": house.token(page(custodian, recording)), "purpose_code": "case", "purpose": "x"}
    custodian.post(f"/recordings/{recording.id}/watch", data=data)
    text = page(custodian, recording)
    assert "You see a copy made for browsers" in text
    assert "The original is HEVC" in text
    assert f'src="/media/{recording.id}/proxy"' in text
    assert views(house) == [("case", "x", "proxy")]


def test_an_officer_reads_that_it_was_taken_over_and_not_who_looked(
    house: House, station: Station, client: FlaskClient
) -> None:
    with house.db.writing() as session:
        officer_id = register_officer(session, house.context.submitter, None, OfficerFacts("104432", "张伟"))
    recording_id = station.seal(b"own", officer_number="104432")
    colleague = house.account("lijing", Role.CUSTODIAN)
    with house.db.writing() as session:
        entry = record_view(
            session,
            house.context.submitter,
            colleague.id,
            [recording_id],
            "original",
            "hearing",
            "Why I looked",
        )
    house.context.submitter.ring()
    wait_sequenced(house.db, entry, 20.0)
    house.sign_in(client, house.account("zhangwei", Role.OFFICER, officer_id=officer_id))
    client.set_cookie("sealdock-locale", "en")
    text = client.get(f"/recordings/{recording_id}").text
    assert "Taken over and sealed" in text
    assert "Why I looked" not in text
    assert "Lijing" not in text
    assert client.get(f"/recordings/{recording_id}/chain/{recording_id}").status_code == 200
    assert client.get(f"/recordings/{recording_id}/chain/{entry}").status_code == 403
    house.sign_in(client, colleague)
    assert "Why I looked" in client.get(f"/recordings/{recording_id}").text


def test_that_it_was_seen_in_lists_is_counted_and_shown_when_asked(
    house: House, custodian: FlaskClient
) -> None:
    recording = add_recording(house.db)
    custodian.get("/recordings")
    text = page(custodian, recording)
    assert "Also show that it was seen in a list (1)" in text
    assert "Seen in a list" not in text
    assert "Seen in a list" in custodian.get(f"/recordings/{recording.id}?lists=1").text


def test_link_and_unlink_keep_both_claims(house: House, custodian: FlaskClient) -> None:
    recording, case_id = add_recording(house.db), open_a_case(house, "(2026) 017")
    token = house.token(page(custodian, recording))
    base = f"/recordings/{recording.id}"
    custodian.post(
        f"{base}/link", data={"csrf_token": token, "case_number": "(2026) 017", "note": "Store room"}
    )
    assert "Store room" in page(custodian, recording)
    custodian.post(f"{base}/unlink", data={"csrf_token": token, "case": case_id, "note": "Wrong case"})
    text = page(custodian, recording)
    assert "Not linked to a case" in text
    assert "Wrong case" in text  # its reason stands in the chain
    with house.db.reading() as session:
        assert session.scalars(select(Exhibit)).all() == []
        assert [claim.action for claim in session.scalars(select(CaseLink))] == ["link", "unlink"]


def test_taking_out_needs_a_reason(house: House, custodian: FlaskClient) -> None:
    recording, case_id = add_recording(house.db), open_a_case(house, "(2026) 017")
    token, base = house.token(page(custodian, recording)), f"/recordings/{recording.id}"
    custodian.post(f"{base}/link", data={"csrf_token": token, "case_number": "(2026) 017"})
    custodian.post(f"{base}/unlink", data={"csrf_token": token, "case": case_id, "note": " "})
    assert "This field is needed." in page(custodian, recording)
    with house.db.reading() as session:
        assert len(session.scalars(select(Exhibit)).all()) == 1


def test_a_line_that_waits_has_no_proof_yet(house: House, custodian: FlaskClient) -> None:
    recording = add_recording(house.db)
    open_a_case(house, "(2026) 017")
    token, base = house.token(page(custodian, recording)), f"/recordings/{recording.id}"
    custodian.post(f"{base}/link", data={"csrf_token": token, "case_number": "(2026) 017"})
    with house.db.reading() as session:
        entry_id = session.scalars(select(CaseLink.entry_id)).one()
    assert "waits for its place on the signed log" in custodian.get(f"{base}/chain/{entry_id}").text


@pytest.mark.parametrize("path", ["", "/receipt", "/chain/01ARZ3NDEKTSV4RRFFQ69G5FAV"])
def test_what_is_not_here_is_404(house: House, custodian: FlaskClient, path: str) -> None:
    assert custodian.get(f"/recordings/01ARZ3NDEKTSV4RRFFQ69G5FAV{path}").status_code == 404
    if path:
        assert custodian.get(f"/recordings/{add_recording(house.db).id}{path}").status_code == 404


def test_names_with_markup_stay_text(house: House, custodian: FlaskClient) -> None:
    name = '<img src=x onerror="alert(1)">\u202egpj.mp4'
    text = page(custodian, add_recording(house.db, name=name, path=name))
    assert "<img src=x" not in text


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.ADMINISTRATOR])
def test_who_sees_no_content_sees_no_recording(house: House, client: FlaskClient, role: Role) -> None:
    recording = add_recording(house.db)
    house.sign_in(client, house.account("someone", role))
    assert client.get("/recordings").status_code == 403
    assert client.get(f"/recordings/{recording.id}").status_code == 403
