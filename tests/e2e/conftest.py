"""A whole station with footage in it, its real console, and a real Chromium in front of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import func, select
from support.footage import clip

from casework.evidence.recording import Recording
from core.db import Database
from ingest.media_facts import MediaFacts
from sealdock.demo import Demo
from sealdock.supervisor import Supervisor
from sealdock.wiring import Station

PROCESSES = ("keyd", "vaultd", "worker", "console")
FOOTAGE = {  # as the demo's second officer's recorder names its files
    "h264": "X1A0245060245_20261123140509_0001.mp4", "hevc": "X1A0245060245_20261123141609_0002.mp4",
    "photo": "X1A0245060245_20261123142709_0003.jpg", "wav": "X1A0245060245_20261123143809_0004.wav",
    "text": "X1A0245060245_20261123144909_0005.mp4",
}  # fmt: skip
READY_WITHIN_S = 180.0
WIDE = (1280, 800)


@dataclass(frozen=True)
class Running:
    """A station at work: where its console is and who may sign in (`custodian`, `reviewer`, `auditor`)."""

    demo: Demo
    station: Station
    url: str

    @property
    def password(self) -> str:
        """Of every account."""
        return self.demo.password

    @property
    def db(self) -> Database:
        """Its database."""
        return self.station.db

    def recording(self, name: str) -> str:
        """The id of the recording of one of FOOTAGE's files."""
        with self.db.reading() as session:
            return session.scalars(select(Recording.id).where(Recording.name == FOOTAGE[name])).one()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The station, with FOOTAGE sealed and indexed; stopped when the last test is over."""
    directory = tmp_path_factory.mktemp("station") / "demo"
    demo = Demo(directory, lambda _sentence: None)
    station = demo.prepare()
    stop = threading.Event()
    supervisor = Supervisor(
        demo.settings_path, PROCESSES, log_directory=demo.logs, credentials=demo.credentials
    )
    thread = threading.Thread(target=supervisor.run, args=(stop,))
    thread.start()
    try:
        url = f"http://127.0.0.1:{station.settings.console.port}"
        wait_until(lambda: answers(url), "the console answers")
        seal_footage(demo, directory / "card")
        wait_until(lambda: is_prepared(station.db), "the worker has looked at everything")
        yield Running(demo, station, url)
    finally:
        stop.set()
        thread.join()
        station.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, running: Running) -> Iterator[OpenPage]:
    """`open_page(username="custodian", locale="zh-CN", theme="light", size=WIDE)`: a page, signed in or not.

    The test fails when a page breaks its content policy or throws.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def make(
        username: str | None = None,
        *,
        locale: str = "zh-CN",
        theme: str = "light",
        size: tuple[int, int] = WIDE,
    ) -> Page:
        context = browser.new_context(
            base_url=running.url, locale=locale, color_scheme="dark" if theme == "dark" else "light",
            viewport={"width": size[0], "height": size[1]}, timezone_id="Asia/Shanghai",
        )  # fmt: skip
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda said: complaints.append(said.text) if "Security Policy" in said.text else None
        )
        if username is not None:
            sign_in(page, username, running.password)
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def sign_in(page: Page, username: str, password: str) -> None:
    """Through the form, as a person does."""
    page.goto("/sign-in")
    page.fill("#username", username)
    page.fill("#password", password)
    page.click("form:has(#password) .button-primary")
    page.wait_for_url(lambda address: "/sign-in" not in address)


def seal_footage(demo: Demo, card: Path) -> None:
    """Pull a folder of real files in, as a card put in by hand."""
    card.mkdir()
    for name, file_name in FOOTAGE.items():
        shutil.copyfile(clip(name), card / file_name)
    argv = [sys.executable, "-m", "sealdock", "--settings", str(demo.settings_path), "ingest", str(card)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def is_prepared(db: Database) -> bool:
    """Every recording is indexed, and every proxy that is needed is there."""
    with db.reading() as session:
        total = session.scalar(select(func.count()).select_from(Recording))
        rows = session.scalars(select(MediaFacts)).all()
    ready = [row for row in rows if row.play in {"direct", "none"} or (row.play == "proxy" and row.proxy)]
    return total == len(FOOTAGE) == len(ready)


def answers(url: str) -> bool:
    """Whether the console shows its sign-in page."""
    try:
        with urllib.request.urlopen(f"{url}/sign-in", timeout=5) as page:  # noqa: S310  our own loopback address
            return bool(page.status == HTTPStatus.OK)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def wait_until(is_true: Callable[[], bool], what: str) -> None:
    """Look again and again until `is_true`, or fail saying what did not happen."""
    deadline = time.monotonic() + READY_WITHIN_S
    while not is_true():
        assert time.monotonic() < deadline, f"not within {READY_WITHIN_S:.0f} s: {what}"
        time.sleep(0.2)
