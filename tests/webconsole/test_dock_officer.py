"""The officer at the kiosk, through the console's own answers; what is said is on the way to the log."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from casework.equipment.asset import RecorderAsset
from casework.equipment.claim import DockClaim
from casework.equipment.recorder import register_recorder
from casework.people.at_dock import give_badge, give_pin
from casework.people.certificate import CertificateExpiredError
from casework.people.officer import OfficerFacts, register_officer
from core import guessable
from core.clock import new_id, stamp, utc_now
from ingest.answer import BayAnswer
from ingest.docking import DockingSession
from ingest.recording import IngestRecording
from ingest.status import BayStatus, DockStatus, TileState, write_status
from webconsole.auth import kiosk
from webconsole.auth.kiosk import Pass, PassEndedError

if TYPE_CHECKING:
    from conftest import House

BADGE, EXPIRED_BADGE, PIN = "04A1B2C3D4", "0011223344", "482915"
pytestmark = pytest.mark.usefixtures("people")


@pytest.fixture
def people(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two officers, one whose certificate is over, and a recorder."""
    monkeypatch.setattr(guessable, "MEMORY_KIB", 64)
    later = f"{utc_now() + timedelta(days=400):%Y-%m-%d}"
    with house.db.writing() as work:
        submitter = house.context.submitter
        for number, name, until, badge in (
            ("104401", "张伟", later, BADGE),
            ("104402", "李娜", "2025-01-01", EXPIRED_BADGE),
        ):
            officer = register_officer(
                work, submitter, None, OfficerFacts(number, name, None, f"A{number}", until)
            )
            work.flush()
            give_badge(work, submitter, None, officer, badge)
            give_pin(work, submitter, None, officer, PIN)
        register_recorder(work, submitter, None, "X1A0002", "DSJ-X1")


@pytest.fixture
def token(client: FlaskClient) -> str:
    """The synchroniser token of the board's page."""
    return client.get("/dock").text.partition('name="csrf-token" content="')[2].partition('"')[0]


def ask(client: FlaskClient, token: str, path: str, given: str = "", **fields: str) -> Any:
    headers = {"X-CSRF-Token": token, "X-Sealdock-Pass": given, "Accept-Language": "en"}
    return client.post(f"/api/dock/{path}", data=fields, headers=headers)


def docked(house: House, officer: str | None = "104401", state: str = "receipted") -> str:
    """A session with two files of the officer, in bay 1."""
    session_id = new_id()
    with house.db.writing() as work:
        work.add(
            DockingSession(id=session_id, origin="dock", profile="p", transport="t", attached_at=utc_now())
        )
        work.flush()
        for name in (b"a", b"b"):
            work.add(IngestRecording(
                id=new_id(), session_id=session_id, state=state, path=name, shown_path="secret-name.mp4", size=10,
                media="video", recorder_serial="X1A0001", officer_number=officer, receipted_at=utc_now(),
            ))  # fmt: skip
    bay = BayStatus(
        number=1,
        state=TileState.COPYING,
        session_id=session_id,
        officer_number=officer,
        recorder_serial="X1A0001",
    )
    write_status(house.settings.run / "dock.json", DockStatus(at=stamp(utc_now()), station="s", bays=(bay,)))
    return session_id


def claims_of(house: House) -> list[DockClaim]:
    with house.db.reading() as work:
        return list(work.scalars(select(DockClaim)))


def test_a_badge_opens_the_officers_own_uploads_and_names_no_file(
    house: House, client: FlaskClient, token: str
) -> None:
    docked(house)
    said = ask(client, token, "badge", badge="04:a1:b2:c3:d4").json
    assert "张伟" in said["html"]
    assert "2 of 2 files sealed" in said["html"]
    assert "secret-name" not in said["html"]


def test_a_number_and_a_pin_open_them_too(client: FlaskClient, token: str) -> None:
    assert "李娜" in ask(client, token, "pin", number="104402", pin=PIN).json["html"]


def test_somebody_elses_badge_and_a_wrong_pin_open_nothing(client: FlaskClient, token: str) -> None:
    for answer in (
        ask(client, token, "badge", badge="99999999"),
        ask(client, token, "badge", badge=""),
        ask(client, token, "pin", number="104401", pin="000000"),
        ask(client, token, "pin", number="\x00é" * 40, pin=""),
    ):
        assert answer.status_code in {400, 409}
        assert "html" not in answer.json
        assert "Nothing was changed" in answer.json["sentence"]


def test_guessing_a_pin_is_made_to_wait(client: FlaskClient, token: str) -> None:
    answers = [ask(client, token, "pin", number="104401", pin="135790").status_code for _ in range(8)]
    assert answers[-1] == 429
    assert ask(client, token, "pin", number="104401", pin=PIN).status_code == 429
    assert ask(client, token, "badge", badge=BADGE).status_code == 200  # the badge is still good


def test_without_the_pages_token_nothing_is_done(client: FlaskClient) -> None:
    assert ask(client, "", "badge", badge=BADGE).status_code == 403


def test_a_case_is_named_with_who_and_when(house: House, client: FlaskClient, token: str) -> None:
    session_id = docked(house)
    given = ask(client, token, "badge", badge=BADGE).json["token"]
    said = ask(client, token, "case", given, session=session_id, number="（2026）17号").json
    assert "（2026）17号" in said["html"]
    (claim,) = claims_of(house)
    assert (claim.session_id, claim.kind, claim.said, claim.means) == (
        session_id,
        "case",
        "（2026）17号",
        "badge",
    )
    assert (claim.officer_number, claim.case_id) == ("104401", None)


def test_a_gap_is_excused_and_something_else_needs_words(
    house: House, client: FlaskClient, token: str
) -> None:
    session_id = docked(house)
    given = ask(client, token, "pin", number="104401", pin=PIN).json["token"]
    assert ask(client, token, "gap", given, session=session_id, reason="other").status_code == 400
    assert ask(client, token, "gap", given, session=session_id, reason="made up").status_code == 400
    assert ask(client, token, "gap", given, session=session_id, reason="battery").status_code == 200
    (claim,) = claims_of(house)
    assert (claim.kind, claim.said, claim.means) == ("gap", "battery", "pin")


def test_nobody_speaks_about_somebody_elses_session(house: House, client: FlaskClient, token: str) -> None:
    session_id = docked(house, "104402")
    given = ask(client, token, "badge", badge=BADGE).json["token"]
    for path in ("case", "gap", "paper"):
        answer = ask(client, token, path, given, session=session_id, number="1", reason="battery")
        assert answer.json["code"] == "webconsole.not_yours"
    assert claims_of(house) == []


def test_a_recorder_is_taken_and_stands_in_the_ledger(house: House, client: FlaskClient, token: str) -> None:
    given = ask(client, token, "badge", badge=BADGE).json["token"]
    said = ask(client, token, "take", given, recorder="X1A0002", purpose="hearing").json
    assert "You hold: X1A0002" in said["html"]
    with house.db.reading() as work:
        assert work.scalars(select(RecorderAsset)).one().state == "issued"
    again = ask(client, token, "take", said["token"], recorder="X1A0002")
    assert again.json["code"] == "casework.not_available"


def test_an_expired_certificate_blocks_it_with_the_words(
    house: House, client: FlaskClient, token: str
) -> None:  # D15
    said = ask(client, token, "badge", badge=EXPIRED_BADGE).json
    assert "ended on 2025-01-01" in said["html"]
    assert 'data-act="take"' not in said["html"]
    answer = ask(client, token, "take", said["token"], recorder="X1A0002")
    assert answer.json["code"] == CertificateExpiredError.code
    with house.db.reading() as work:
        assert work.scalars(select(RecorderAsset)).one().state == "available"


def test_a_recorder_that_is_not_sealed_yet_is_not_offered(
    house: House, client: FlaskClient, token: str
) -> None:
    for state, battery, words in (
        (TileState.COPYING, 95, "Not sealed yet"),
        (TileState.SEALED, 40, "Still charging"),
    ):
        bay = BayStatus(number=3, state=state, recorder_serial="X1A0002", battery_percent=battery)
        write_status(
            house.settings.run / "dock.json", DockStatus(at=stamp(utc_now()), station="s", bays=(bay,))
        )
        html = ask(client, token, "badge", badge=BADGE).json["html"]
        assert words in html
        assert 'value="X1A0002" required disabled' in html


def test_a_pass_ends_and_belongs_to_this_station(monkeypatch: pytest.MonkeyPatch) -> None:
    given = kiosk.give_pass("key", Pass("someone", "badge"))
    assert kiosk.read_pass("key", given) == Pass("someone", "badge")
    body, _, mac = given.partition(".")
    wrong = (
        "",
        "x",
        ".",
        given[:-2],
        f"{body[:-1]}A.{mac}",
        "é" * 30,
        "a" * 5000,
        kiosk.seal("key", "paper", ["a", "b"], 60),
    )
    for token in wrong:
        with pytest.raises(PassEndedError):
            kiosk.read_pass("key", token)
    with pytest.raises(PassEndedError):
        kiosk.read_pass("another", given)
    with pytest.raises(PassEndedError):
        kiosk.read_pass("key", kiosk.seal("key", "pass", ["a", "b"], -1))


def test_without_a_pass_every_door_is_shut(client: FlaskClient, token: str) -> None:
    for path in ("stay", "case", "gap", "take", "cases", "paper"):
        assert ask(client, token, path, session=new_id(), number="1").json["code"] == "webconsole.pass_ended"
    assert client.get("/api/dock/paper/made-up").status_code == 409


def test_a_receipt_that_is_not_on_the_log_is_said_to_be_missing(
    house: House, client: FlaskClient, token: str
) -> None:
    session_id = docked(house)
    given = ask(client, token, "badge", badge=BADGE).json["token"]
    url = ask(client, token, "paper", given, session=session_id).json["url"]
    assert client.get(url).status_code == 404


def test_staying_gives_a_longer_pass(client: FlaskClient, token: str) -> None:
    given = ask(client, token, "badge", badge=BADGE).json["token"]
    time.sleep(1.1)  # a pass counts whole seconds
    assert ask(client, token, "stay", given).json["token"] != given


def test_duty_footage_is_confirmed_once_and_only_while_the_bay_asks(
    house: House, client: FlaskClient, token: str
) -> None:
    question = new_id()
    bay = BayStatus(number=1, state=TileState.UNKNOWN, needs="badge", question=question)
    write_status(house.settings.run / "dock.json", DockStatus(at=stamp(utc_now()), station="s", bays=(bay,)))
    signed = ask(client, token, "badge", badge=BADGE).json
    assert question in signed["html"]
    stale = ask(client, token, "duty", signed["token"], question=new_id())
    assert stale.json["code"] == "webconsole.question_over"
    assert "quarantine" in ask(client, token, "duty", signed["token"], question=question).json["said"]
    assert ask(client, token, "duty", signed["token"], question=question).status_code >= 400
    assert [(one.kind, one.session_id) for one in claims_of(house)] == [("duty", question)]
    assert question not in ask(client, token, "badge", badge=BADGE).json["html"]  # answered: not asked again


def test_whoever_held_it_says_so_once_and_only_of_what_is_asked(
    house: House, client: FlaskClient, token: str
) -> None:
    session_id = new_id()
    bay = BayStatus(number=2, state=TileState.SEALED, needs="claim", session_id=session_id)
    write_status(house.settings.run / "dock.json", DockStatus(at=stamp(utc_now()), station="s", bays=(bay,)))
    signed = ask(client, token, "pin", number="104401", pin=PIN).json
    assert "Nobody knows who held it." in signed["html"]
    other = ask(client, token, "holder", signed["token"], session=new_id())
    assert other.json["code"] == "webconsole.question_over"
    said = ask(client, token, "holder", signed["token"], session=session_id).json
    assert "you held this recorder" in said["said"]
    assert "I held it" not in said["html"]
    again = ask(client, token, "holder", signed["token"], session=session_id)
    assert again.json["code"] == "ingest.already_answered"
    with house.db.reading() as work:
        answer = work.get_one(BayAnswer, session_id)
    assert (answer.officer_number, answer.means) == ("104401", "pin")
    assert [(one.kind, one.said) for one in claims_of(house)] == [("holder", "104401")]


@pytest.mark.parametrize("path", ["duty", "holder"])
def test_nobody_answers_a_bay_without_a_pass(client: FlaskClient, token: str, path: str) -> None:
    said = ask(client, token, path, session=new_id(), question=new_id())
    assert said.json["code"] == "webconsole.pass_ended"
