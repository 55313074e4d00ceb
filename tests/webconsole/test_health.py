"""The health page: calm when all is well, and for everything else what to do and where."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bureau.sessions import session_entry
from flask import Flask
from flask.testing import FlaskClient
from pages.rows import add_recording
from sqlalchemy import event

from casework.access.permission import Role
from casework.equipment.issue import hand_out
from casework.equipment.recorder import care, register_recorder
from casework.people.officer import Officer, OfficerFacts, register_officer
from core.bell import Bell, is_heard
from core.clock import new_id, stamp, utc_now
from core.jobs import Job, JobState
from core.settings import BaySettings
from ingest import status
from ingest.bay_trouble import BROKEN_OFF
from ingest.docking import DockingSession, at_bay, move
from ingest.stated import SessionStatement
from ingest.status import BayStatus, DockStatus, TileState, write_status
from vault.care import fixity
from vault.care.copying.mark import Mark
from vault.care.fixity import FixityRow, Result
from vault.care.space import Space
from vault.keyd_client import KeydClient, KeydStatus
from vault.log.outbox import OutboxRow
from webconsole.auth import cookie
from webconsole.display import health_process, health_vault
from webconsole.display.health import health
from webconsole.display.health_line import Line, Tone

if TYPE_CHECKING:
    from conftest import House, Station

DAY = timedelta(days=1)


@pytest.fixture
def well(house: House, app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A station whose processes are at work, on a clock that somebody keeps."""
    monkeypatch.setattr(KeydClient, "status", lambda _client: KeydStatus(is_unlocked=True, entries=1))
    monkeypatch.setattr(health_process, "is_synchronised", lambda: True)
    monkeypatch.setattr(status, "STALE_S", 3600.0)  # however slow the machine that tests
    monkeypatch.setattr(health_process, "SLOW_LOG", timedelta(hours=1))
    fixity.register(house.projections)
    run = house.settings.run
    bells = [Bell(run / "vaultd.bell"), Bell(run / "worker.bell")]
    speak(house)
    yield house
    for bell in bells:
        bell.close()


def speak(house: House, *bays: BayStatus, at: datetime | None = None) -> None:
    """Let the dock show its bays now, or have shown them then."""
    write_status(house.settings.run / "dock.json", DockStatus(at=stamp(at or utc_now()), bays=bays))


def lines(house: House, app: Flask) -> dict[str, Line]:
    """Every line by its key, as a custodian gets them."""
    account = house.account(f"c{new_id().lower()}", Role.CUSTODIAN)
    token = house.sign_in(app.test_client(), account)
    with app.test_request_context(headers={"Cookie": f"{cookie.SESSION}={token}; {cookie.LOCALE}=en"}):
        return {line.key: line for section in health().sections for line in section.lines}


def row(house: House, made: Any) -> None:
    with house.db.writing() as session:
        session.add(made)


def docked(house: House, serial: str, *, at: datetime | None = None, offset_ms: int | None = None,
           unreadable: int = 0, **fields: Any) -> str:  # fmt: skip
    """A session in a bay, with the part of its statement that the page reads."""
    entry = session_entry(at or utc_now(), recorder_serial=serial, **fields)
    clock: Any = "unknown" if offset_ms is None else {"offset_ms": offset_ms, "uncertainty_ms": 1000}
    head = {"condition": {"clock": clock}, "counts": {"taken": 3, "unreadable": unreadable}}
    with house.db.writing() as session:
        house.projections.apply(session, entry)
        session.add(SessionStatement(session_id=entry.leaf.id, head=head))
    return entry.leaf.id


def asks(line: Line, words: str) -> None:
    """The line needs somebody, says so in these words, and what to do."""
    assert line.tone in {Tone.FAULT, Tone.PERSON}
    assert words in str(line.value)
    assert line.advice


def test_a_well_station_is_calm(well: House, app: Flask, client: FlaskClient, tmp_path: Path) -> None:
    well.sign_in(client, well.account("lijing", Role.CUSTODIAN))
    client.set_cookie("sealdock-locale", "en")
    docked(well, "X1A0001", offset_ms=4000)
    found = lines(well, app)
    wanting = {key for key, line in found.items() if line.tone in {Tone.FAULT, Tone.PERSON}}
    assert wanting == {"outside", "copy"}  # of a station that nobody outside has seen, on one disk
    assert found["clocks"].value == "1 read, none off by more than a minute"
    text = client.get("/health").text
    assert "2 things need somebody" in text
    assert text.index("Second copy") < text.index("At work, the log is up to date")


@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.CUSTODIAN, 200), (Role.ADMINISTRATOR, 200), (Role.AUDITOR, 200), (Role.HEAD, 403), (Role.OFFICER, 403)],
)  # fmt: skip
def test_who_may_look(well: House, client: FlaskClient, role: Role, status: int) -> None:
    add_recording(well.db, name="secret-name.mp4", damaged=True)
    well.sign_in(client, well.account("someone", role))
    for path in ("/health", "/health/now"):
        answer = client.get(path)
        assert answer.status_code == status
        assert "secret-name" not in answer.text


def test_every_page_names_its_links_and_an_auditor_is_led_nowhere_he_may_not_go(
    well: House, client: FlaskClient
) -> None:
    row(well, job(JobState.FAILED))
    docked(well, "X1A0001", offset_ms=-200_000, firmware="V1")
    well.sign_in(client, well.account("auditor", Role.AUDITOR))
    text = client.get("/health/now").text
    for path in set(re.findall(r'<a [^>]*href="(/[^"]+)"', text)):
        assert client.get(path.replace("&amp;", "&")).status_code == 200, path


def test_the_page_is_asked_again_and_answers_not_modified(
    well: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Space(10**12, 10**11, 0, 0, 30.0, 10.0**9, 100.0)
    monkeypatch.setattr(
        health_vault, "measure", lambda *_given, **_named: room
    )  # others write to the disk, too
    well.sign_in(client, well.account("lijing", Role.CUSTODIAN))
    first = client.get("/health/now")
    again = client.get("/health/now", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    assert re.fullmatch(r"\d\d:\d\d:\d\d", again.headers["X-Health-Looked"])
    speak(well, BayStatus(number=2, state=TileState.FAULT))
    changed = client.get("/health/now", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200


def test_a_silent_dock_is_a_fault(well: House, app: Flask) -> None:
    speak(well, at=utc_now() - DAY)
    found = lines(well, app)
    asks(found["dock"], "Silent; last sign of life")
    assert "<time" in str(found["dock"].value)
    assert "bays-now" not in found  # what it said last is not said of now


def test_a_station_without_bays_misses_no_dock(well: House, app: Flask) -> None:
    (well.settings.run / "dock.json").unlink()
    assert lines(well, app)["dock"].tone is Tone.QUIET
    bays = (BaySettings(number=1, path="pci-0000:00:14.0-usb-0:1"),)
    settings = well.settings.model_copy(update={"dock": well.settings.dock.model_copy(update={"bays": bays})})
    with app.test_request_context(headers={"Cookie": f"{cookie.LOCALE}=en"}):
        asks(health_process._dock(settings, DockStatus()), "never")


def test_bays_that_need_help_are_named(well: House, app: Flask) -> None:
    speak(well, BayStatus(number=3, state=TileState.UNKNOWN), BayStatus(number=1, state=TileState.COPYING),
          BayStatus(number=0, state=TileState.FAULT))  # fmt: skip
    asks(lines(well, app)["bays-now"], "Needs help: bay 3, outside")


def test_entries_that_wait_for_the_log(well: House, app: Flask) -> None:
    for age in (DAY, timedelta()):
        row(well, OutboxRow(id=new_id(), type="ingest", note="", made_at=utc_now() - age))
    asks(lines(well, app)["vaultd"], "3 entries wait for the log, the oldest since")  # these and an account


def test_a_process_that_is_gone_is_noticed_at_its_bell(well: House, app: Flask) -> None:
    for name in ("vaultd", "worker"):
        (well.settings.run / f"{name}.bell").unlink()
    found = lines(well, app)
    asks(found["vaultd"], "Not at work")
    asks(found["worker"], "Not at work")


def test_a_bell_that_nobody_listens_at_is_not_heard(tmp_path: Path) -> None:
    path = tmp_path / "a.bell"
    assert not is_heard(path)
    bell = Bell(path)
    assert is_heard(path)
    bell.wait(0)
    bell.close()
    assert path.exists()
    assert not is_heard(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(tmp_path / "b.bell"))
        assert not is_heard(tmp_path / "b.bell")


def job(state: JobState, *, due: timedelta = timedelta(), lease: timedelta | None = None) -> Job:
    now = utc_now()
    return Job(
        id=new_id(), kind="media.index", key=new_id(), payload={}, state=state, run_after=now - due, made_at=now,
        lease_until=None if lease is None else now - lease,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("made", "tone", "words"),
    [
        (job(JobState.WAITING, due=timedelta(hours=2)), Tone.FAULT, "1 job is stuck"),
        (job(JobState.RUNNING, lease=timedelta(hours=2)), Tone.FAULT, "1 job is stuck"),
        (job(JobState.FAILED), Tone.PERSON, "1 job failed"),
        (job(JobState.WAITING), Tone.SAFE, "At work, no job is stuck"),
    ],
)
def test_jobs(well: House, app: Flask, made: Job, tone: Tone, words: str) -> None:
    row(well, made)
    line = lines(well, app)["worker"]
    assert (line.tone, str(line.value)) == (tone, words)


def test_a_clock_nobody_keeps_and_a_key_that_is_locked(
    well: House, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_process, "is_synchronised", lambda: False)
    monkeypatch.setattr(KeydClient, "status", lambda _client: KeydStatus(is_unlocked=False, entries=1))
    found = lines(well, app)
    asks(found["clock"], "Nobody keeps it")
    asks(found["keyd"], "Not open: nothing can be watched, docking goes on")


def break_off(house: House, serial: str, bay: int, times: int) -> None:
    for _ in range(times):
        with house.db.writing() as session:
            made = DockingSession(
                id=new_id(), origin="dock", bay=bay, recorder_serial=serial, profile="p", transport="block",
                attached_at=utc_now() - DAY,
            )  # fmt: skip
            session.add(made)
            session.flush()
            for event, reason in (("identify", ""), ("offload", at_bay(bay)), ("interrupt", BROKEN_OFF)):
                move(session, made, event, reason)


def test_a_bay_that_breaks_off_with_several_recorders_stands_out(well: House, app: Flask) -> None:
    break_off(well, "X1A0001", 7, 3)
    assert lines(well, app)["bays"].tone is Tone.SAFE  # one recorder: it may be the recorder
    break_off(well, "X1A0002", 7, 1)
    line = lines(well, app)["bays"]
    asks(line, "1 bay breaks off often")
    assert [(one.name, one.words) for one in line.details] == [
        ("Bay 7", "4 of 4 stays broke off, with 2 recorders")
    ]


def test_an_overdue_recorder_is_named_with_how_long(well: House, app: Flask) -> None:
    begins = utc_now() - 3 * DAY
    with well.db.writing() as session:
        submitter = well.context.submitter
        facts = OfficerFacts("060123", "执法员甲", None, "ZF-1", "2099-12-31")
        holder = session.get_one(Officer, register_officer(session, submitter, None, facts))
        recorder = register_recorder(session, submitter, None, "X1A0001")
        hand_out(session, submitter, holder, "X1A0001", "双随机检查", begins)
    line = lines(well, app)["overdue"]
    asks(line, "1 recorder is overdue")
    assert [(one.name, one.words, one.url) for one in line.details] == [
        ("X1A0001", "for 40 hours", f"/recorders/{recorder}")
    ]


@pytest.mark.parametrize(
    ("offset_ms", "words"),
    [
        (-185_000, "3 min behind"), (7_500_000, "2 h ahead"), (-34_560_000_000, "its clock started anew"),
        (61_500, "1 min ahead"),
    ],
)  # fmt: skip
def test_a_clock_that_is_off(well: House, app: Flask, offset_ms: int, words: str) -> None:
    docked(well, "X1A0001", offset_ms=offset_ms)
    line = lines(well, app)["clocks"]
    asks(line, "1 was off when it was docked")
    assert [one.words for one in line.details] == [words]


@pytest.mark.parametrize("offset_ms", [60_900, -60_000, None])
def test_a_clock_within_a_minute_or_its_uncertainty_or_unread_is_none(
    well: House, app: Flask, offset_ms: int | None
) -> None:
    docked(well, "X1A0001", offset_ms=offset_ms)
    assert lines(well, app)["clocks"].tone is (Tone.QUIET if offset_ms is None else Tone.SAFE)


def test_a_clock_that_was_set_falls_silent(well: House, app: Flask) -> None:
    docked(well, "X1A0001", at=utc_now() - DAY, offset_ms=999_000)
    docked(well, "X1A0001", offset_ms=100)
    assert lines(well, app)["clocks"].tone is Tone.SAFE


def test_a_battery_that_comes_home_empty_again_and_again(well: House, app: Flask) -> None:
    for day, percent in enumerate((4, 60, 3, 10, None, 2, 2)):  # the last five: one of them unknown
        docked(well, "X1A0001", at=utc_now() - day * DAY, battery_percent=percent)
    line = lines(well, app)["batteries"]
    asks(line, "1 does not last its shifts")
    assert line.details[0].words == "came home with 10 % or less 3 times out of 5"


def test_a_card_that_loses_files_is_warned_of_until_it_is_in_repair(well: House, app: Flask) -> None:
    with well.db.writing() as session:
        recorder = register_recorder(session, well.context.submitter, None, "X1A0001", card_serial="SD-7")
    stay = docked(well, "X1A0001", unreadable=2)
    add_recording(well.db, session_id=stay, recorder_serial="X1A0001", damaged=True)
    add_recording(well.db, session_id=stay, recorder_serial="X1A0001")
    line = lines(well, app)["media"]
    asks(line, "1 recorder gave damaged files")
    assert [(one.name, one.words) for one in line.details] == [
        ("X1A0001 · SD-7", "3 files damaged or unreadable")
    ]
    with well.db.writing() as session:
        care(session, well.context.submitter, None, recorder, "send_to_repair", "card fails")
    assert lines(well, app)["media"].tone is Tone.QUIET


def test_firmware_in_use_is_counted_by_recorders(well: House, app: Flask) -> None:
    for serial, version in (("A1", "V2"), ("A2", "V2"), ("A3", "V1")):
        docked(well, serial, firmware=version)
    line = lines(well, app)["firmware"]
    assert (line.tone, line.value) == (Tone.QUIET, "2 versions")
    assert [(one.name, one.words) for one in line.details] == [
        ("V2", "2 recorders · enforcement-serial"), ("V1", "1 recorder · enforcement-serial"),
    ]  # fmt: skip


def test_more_than_five_are_counted(well: House, app: Flask) -> None:
    for number in range(8):
        docked(well, f"X1A{number:04}", offset_ms=-600_000)
    line = lines(well, app)["clocks"]
    assert (len(line.details), line.more) == (5, 3)


def test_what_was_sealed_and_does_not_hold(well: House, station: Station, app: Flask) -> None:
    recording = station.seal(b"footage")
    assert "Every one proven since" in str(lines(well, app)["proven"].value)
    with well.db.writing() as session:
        kept = session.get_one(FixityRow, recording)
        kept.last_proven_at = utc_now() - 400 * DAY
    asks(lines(well, app)["proven"], "1 was not read back for more than 90 days")
    with well.db.writing() as session:
        session.get_one(FixityRow, recording).result = Result.FAILED
    line = lines(well, app)["proven"]
    assert line.tone is Tone.FAULT
    asks(line, "1 recording is not what was sealed")


def copy_line(house: House, app: Flask, copy: Path) -> Line:
    kept = house.settings.fixity.model_copy(update={"second_copy": copy})
    settings = house.settings.model_copy(update={"fixity": kept})
    with app.test_request_context(headers={"Cookie": f"{cookie.LOCALE}=en"}):
        return health_vault._second_copy(settings, house.context.reader, utc_now())


def test_the_second_copy_by_its_mark(well: House, app: Flask, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    asks(copy_line(well, app, copy), "None is there, or its disk is not connected")
    copy.mkdir()
    size = well.context.reader.size
    Mark("v", size, stamp(utc_now())).write(copy)
    assert copy_line(well, app, copy).tone is Tone.SAFE
    Mark("v", max(0, size - 1), stamp(utc_now() - 5 * DAY)).write(copy)
    asks(copy_line(well, app, copy), "behind")
    Mark("v", size, stamp(utc_now()), missing=(4,)).write(copy)
    asks(copy_line(well, app, copy), "1 recording is missing in it")
    (copy / "backup.json").write_bytes(b"{")
    asks(copy_line(well, app, copy), "Cannot be read")


def test_a_line_that_needs_somebody_says_what_for() -> None:
    with pytest.raises(ValueError, match="does not say what for"):
        Line("x", Tone.PERSON, "X", "is so")


def test_a_large_station_costs_no_more_questions_than_a_small_one(well: House, app: Flask) -> None:
    """The page asks every few seconds."""
    asked = list[str]()
    event.listen(well.db.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    counts = []
    for number in (1, 40):
        for each in range(number):
            for day in range(6):
                docked(well, f"X1A{each:04}", at=utc_now() - day * DAY, offset_ms=100, battery_percent=80)
        asked.clear()
        assert lines(well, app)["clocks"].value == f"{number} read, none off by more than a minute"
        counts.append(len(asked))
    assert counts[0] == counts[1]
