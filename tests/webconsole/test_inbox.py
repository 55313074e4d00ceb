from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from flask.testing import FlaskClient

from casework.access.permission import Role
from core import jobs
from core.canonical import Json
from core.clock import new_id, utc_now
from core.jobs import Job, JobState
from ingest.circumstance import Origin
from ingest.docking import DockingSession, SessionState
from ingest.error import UnreadableFileError
from media.error import MediaToolMissingError
from vault.log.outbox import NotSequencedError

if TYPE_CHECKING:
    from conftest import House

MISSING = MediaToolMissingError(program="ffmpeg", package="ffmpeg")


@pytest.fixture
def custodian(house: House, client: FlaskClient) -> FlaskClient:
    house.sign_in(client, house.account("wang", Role.CUSTODIAN))
    return client


def docked(
    house: House, *failures: Json, days_ago: float = 1, serial: str = "A024506", released: bool = True
) -> None:
    """A stay that ended; `failures` as dockd keeps them."""
    ended = utc_now() - timedelta(days=days_ago)
    short_or_whole = SessionState.PARTIAL if failures else SessionState.COMPLETE
    with house.db.writing() as work:
        work.add(DockingSession(
            id=new_id(), state=SessionState.RELEASED if released else short_or_whole, origin=Origin.DOCK, bay=3,
            recorder_serial=serial, officer_number="104432", profile="generic", transport="mass-storage",
            failures=list(failures), attached_at=ended - timedelta(minutes=9), ended_at=ended,
        ))  # fmt: skip


def unreadable(path: str) -> Json:
    return {"path": path, "reason": UnreadableFileError.code}


def waiting(house: House, error: str, *, attempts: int = 0) -> None:
    key = new_id()
    with house.db.writing() as work:
        jobs.enqueue(work, "media.index", key, {"recording_id": key})
        job = work.query(Job).filter_by(key=key).one()
        job.error, job.attempts = error, attempts


def inbox(client: FlaskClient, locale: str) -> str:
    client.set_cookie("sealdock-locale", locale)
    return client.get("/inbox").text


@pytest.mark.parametrize("released", [False, True])
def test_a_stay_that_fell_short_names_each_file_and_why(
    house: House, custodian: FlaskClient, *, released: bool
) -> None:
    docked(house, unreadable("DCIM/1.mp4"), unreadable("DCIM/2.mp4"), released=released)
    english = inbox(custodian, "en")
    assert "2 files were not taken" in english
    assert "Bay 3 · 104432 · A024506" in english
    for path in ("DCIM/1.mp4", "DCIM/2.mp4"):
        assert f"{path} cannot be read from the recorder" in english
    chinese = inbox(custodian, "zh_CN")
    assert "2 个文件未取" in chinese
    assert "无法从执法记录仪读取 DCIM/1.mp4" in chinese


def test_a_later_stay_without_failures_answers_for_the_recorder(house: House, custodian: FlaskClient) -> None:
    docked(house, unreadable("DCIM/1.mp4"), days_ago=2)
    docked(house, unreadable("DCIM/other.mp4"), days_ago=2, serial="B777777")
    docked(house, days_ago=1)
    page = inbox(custodian, "en")
    assert "1 file was not taken" in page
    assert "DCIM/other.mp4" in page
    assert "DCIM/1.mp4" not in page


def test_what_is_long_ago_is_left_out(house: House, custodian: FlaskClient) -> None:
    docked(house, unreadable("DCIM/1.mp4"), days_ago=31)
    assert "not taken" not in inbox(custodian, "en")


def test_many_failures_are_counted(house: House, custodian: FlaskClient) -> None:
    docked(house, *(unreadable(f"DCIM/{n}.mp4") for n in range(11)))
    page = inbox(custodian, "en")
    assert "11 files were not taken" in page
    assert "and 3 more" in page


def test_jobs_that_wait_for_a_program_say_which(house: House, custodian: FlaskClient) -> None:
    waiting(house, str(MISSING))
    waiting(house, str(MISSING))
    english = inbox(custodian, "en")
    assert "2 recordings wait to be prepared for viewing" in english
    assert "ffmpeg is not installed" in english
    chinese = inbox(custodian, "zh_CN")
    assert "未安装 ffmpeg" in chinese
    assert "is not installed" not in chinese


def test_jobs_that_go_on_by_themselves_are_no_task(house: House, custodian: FlaskClient) -> None:
    waiting(house, str(NotSequencedError(id="x", seconds=5)))
    waiting(house, str(MISSING), attempts=1)
    waiting(house, "")
    assert "prepared for viewing" not in inbox(custodian, "en")


def test_a_failed_job_speaks_the_readers_language(house: House, custodian: FlaskClient) -> None:
    waiting(house, str(MISSING))
    with house.db.writing() as work:
        work.query(Job).update({"state": JobState.FAILED})
    assert "未安装 ffmpeg" in inbox(custodian, "zh_CN")
