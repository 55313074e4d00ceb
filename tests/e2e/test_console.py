"""A custodian's way through the console in a real Chromium, over a real station with two docked recorders."""

from __future__ import annotations

import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from support.footage import clip

from casework.package.verify import verify_package
from core.errors import Exit
from sealdock import bureau
from sealdock.demo import Demo, wait_docked
from sealdock.demo_case import wait_indexed, wait_ready
from vault.formats.note import VerifierKey

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]
CARDS = (("h264", "photo", "wav"), ("hevc", "text"))
PATIENCE_S = 20
PAGE_WEIGHT = 150 * 1024  # bytes as sent, without media (UI.md)
WEIGH = """() => performance.getEntries()
  .filter((e) => ["navigation", "resource"].includes(e.entryType) && !new URL(e.name).pathname.startsWith("/media/"))
  .reduce((sum, e) => sum + e.decodedBodySize, 0)"""


@dataclass(frozen=True)
class Station:
    """A running station as a browser meets it."""

    url: str
    password: str
    log_key: str


class Visitor:
    """One browser session; what its console complains about fails the test."""

    def __init__(self, station: Station, context: BrowserContext) -> None:
        context.set_default_timeout(PATIENCE_S * 1000)
        self.station, self.page = station, context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)

    def open(self, path: str) -> Page:
        self.page.goto(self.station.url + path)
        return self.page

    def sign_in(self, username: str = "custodian") -> Page:
        page = self.open("sign-in")
        page.fill("#username", username)
        page.fill("#password", self.station.password)
        page.click("form .button-primary")
        page.wait_for_url(lambda url: "sign-in" not in url)
        return page

    def watch(self, name: str) -> Page:
        """Open a recording by a part of its name and give a purpose where one is asked for."""
        page = self.open(f"recordings?q={name}")
        page.click(".row-link")
        if page.locator("input[name=purpose_code]").count():
            page.check("input[value=case]")
            page.fill("#purpose", "On-site check")
            page.click("form[action$='/watch'] .button-primary")
        page.wait_for_load_state()
        return page


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """The demo's station with two small cards, docked, sealed and indexed."""
    demo = Demo(tmp_path_factory.mktemp("console") / "demo", say=lambda _line: None)
    demo.prepare().close()
    for number, (officer, clips) in enumerate(zip(bureau.OFFICERS, CARDS, strict=True), start=1):
        folder = demo.cards / f"card-{number}" / "20261123"
        folder.mkdir(parents=True)
        for part, name in enumerate(clips, start=1):
            stem = f"{officer.recorder_serial}{officer.number}_202611231405{part:02}_{part:04}"
            shutil.copy(clip(name), folder / f"{stem}{clip(name).suffix}")
    stop = threading.Event()
    supervisor = demo.start(stop)
    try:
        url = wait_ready(demo, stop)
        demo.plug()
        wait_docked(demo, lambda _status: None, stop)
        wait_indexed(demo, stop)
        yield Station(url, demo.password, (demo.credentials / "log.vkey").read_text(encoding="ascii").strip())
    finally:
        stop.set()
        supervisor.join()
        demo.pull()


@pytest.fixture
def visit(station: Station, browser: Browser) -> Iterator[Callable[..., Visitor]]:
    visitors: list[Visitor] = []

    def enter(locale: str = "en-GB", **options: object) -> Visitor:
        visitors.append(
            Visitor(station, browser.new_context(locale=locale, accept_downloads=True, **options))
        )
        return visitors[-1]

    yield enter
    for visitor in visitors:
        visitor.page.context.close()
    assert [line for visitor in visitors for line in visitor.complaints] == []


def eventually(page: Page, fact: str) -> None:
    """Wait until a JavaScript expression is true. (`wait_for_function` evaluates a string, which our CSP forbids.)"""
    deadline = time.monotonic() + PATIENCE_S
    while not page.evaluate(fact):
        assert time.monotonic() < deadline, fact
        page.wait_for_timeout(50)


def test_the_board_shows_who_may_take_the_recorder(visit: Callable[..., Visitor]) -> None:
    page = visit("zh-CN", viewport={"width": 1024, "height": 600}).open("dock")
    tile = page.locator('[data-bay="1"]')
    expect(tile).to_contain_text("已封存")
    expect(tile).to_contain_text("可以取走")
    expect(tile).to_contain_text(bureau.OFFICERS[0].name)
    assert tile.get_attribute("data-tone") == "safe"
    box = page.locator(".bays").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 600  # everything on one screen


def test_a_video_plays_with_its_picture_and_seeks(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.sign_in()
    page = visitor.watch("0001.mp4&recorder=X1A0123")
    video = page.locator("video")
    page.click(".player-big")
    eventually(page, "document.querySelector('video').currentTime > 0.5")
    assert video.evaluate("v => v.videoWidth") == 320
    page.keyboard.press("k")
    eventually(page, "document.querySelector('video').paused")
    page.keyboard.press("Home")
    eventually(page, "!document.querySelector('video').seeking")
    assert video.evaluate("v => v.currentTime") == 0
    page.mouse.click(*centre(page, ".player-seek"))
    eventually(page, "!document.querySelector('video').seeking")
    assert 1.5 < video.evaluate("v => v.currentTime") < 2.5  # the middle of four seconds
    before = video.evaluate("v => v.currentTime")
    page.keyboard.press(".")
    eventually(page, "!document.querySelector('video').seeking")
    assert 0 < video.evaluate("v => v.currentTime") - before < 0.25  # one frame of ten a second
    page.hover(".player-seek")
    expect(page.locator(".player-peek")).to_be_visible()
    assert page.locator(".player-say").is_hidden()


def centre(page: Page, selector: str) -> tuple[float, float]:
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_what_browsers_cannot_decode_is_shown_as_a_labelled_copy(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.sign_in()
    page = visitor.watch("0001.mp4&recorder=X1A0245")
    expect(page.locator("body")).to_contain_text("You see a copy made for browsers")
    page.click(".player-big")
    eventually(page, "document.querySelector('video').currentTime > 0.3")
    assert page.locator("video").evaluate("v => v.videoWidth") > 0


def test_sound_photograph_and_what_is_neither(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.sign_in()
    page = visitor.watch(".wav")
    page.keyboard.press("Space")
    eventually(page, "document.querySelector('audio').currentTime > 0.3")
    page = visitor.watch(".jpg")
    eventually(page, "document.querySelector('.picture img').naturalWidth > 0")
    page = visitor.open("recordings?recorder=X1A0245&q=0002")
    page.click(".row-link")
    expect(page.locator("main")).to_contain_text("This file cannot be played")
    expect(page.locator("main")).to_contain_text("proven like any other file")


def test_a_seal_shows_its_proof_in_words_first(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.sign_in()
    page = visitor.watch("0001.mp4&recorder=X1A0123")
    page.click(".chain-line summary")
    proof = page.locator(".chain-line").first.locator(".chain-proof")
    expect(proof).to_contain_text("Checked just now")
    expect(proof.locator(".hashes")).to_be_hidden()
    proof.locator("summary").click()
    expect(proof.locator(".hashes")).to_contain_text("SHA-256 of the original")
    with page.expect_download() as download:
        page.click("a[href$='/receipt']")
    assert download.value.path().read_bytes().startswith(b"c2sp.org/tlog-proof@v1\n")


def test_from_the_list_to_a_case_to_a_package_that_proves_itself(
    visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    visitor, number = visit(), f"(2026) {token_hex(3)}"
    visitor.sign_in()
    page = visitor.open("cases/open")
    page.fill("#field-number", number)
    page.fill("#field-title", "Warehouse check")
    page.click("main .button-primary")
    expect(page.locator("h1")).to_have_text(number)

    page = visitor.open("recordings")
    expect(page.locator(".bulk")).to_be_hidden()
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)
    expect(page.locator("[data-count]")).to_have_text("2 selected")
    page.fill("#bulk-case", number)
    page.click(".bulk .button-primary")
    expect(page.locator("main")).to_contain_text(f"2 recordings were linked to case {number}.")

    page = visitor.open(f"cases?q={number}")
    page.click(".row-link")
    expect(page.locator(".exhibits tbody tr")).to_have_count(2)
    page.click(".page-head .button-primary")
    page.fill("#field-recipient", "County court")
    page.fill("#field-purpose", "Hearing")
    page.click("main .button-primary")
    expect(page.locator("[data-ready] button")).to_be_visible()
    with page.expect_download() as download:
        page.click("[data-ready] button")
    expect(page.locator("[data-words]")).to_contain_text("Sent whole")
    with zipfile.ZipFile(download.value.path()) as package:
        package.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    trusted = VerifierKey.parse(visitor.station.log_key)
    assert verify_package(folder, trusted).exit_code is Exit.YES


def test_the_filter_bar_and_the_search(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.sign_in()
    page.keyboard.press("/")
    page.keyboard.type("0002")
    page.keyboard.press("Enter")
    expect(page.locator("[data-line]")).to_have_count(2)
    page.select_option("#f-media", "image")
    expect(page.locator("[data-line]")).to_have_count(1)
    assert "media=image" in page.url
    page.keyboard.press("?")
    expect(page.locator("#key-sheet")).to_be_visible()


def test_the_language_and_the_theme_are_the_readers(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.sign_in()
    expect(page.locator("h1")).to_have_text("What needs you")
    page.click("button[value=zh_CN]")
    expect(page.locator("h1")).to_have_text("待办事项")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.click("details.menu:has(button[name=theme]) > summary")
    page.click("button[value=dark]")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor") == "rgb(13, 18, 21)"
    page.click("button[value=en]")
    expect(page.locator("h1")).to_have_text("What needs you")


@pytest.mark.parametrize("path", ["", "recordings", "cases", "cases/open", "disclosure", "dock"])
@pytest.mark.parametrize("width", [1024, 1920])
def test_pages_are_light_and_never_scroll_sideways(
    visit: Callable[..., Visitor], path: str, width: int
) -> None:
    visitor = visit(viewport={"width": width, "height": 800})
    visitor.sign_in()
    page = visitor.open(path)
    page.wait_for_load_state("networkidle")
    assert page.evaluate(WEIGH) <= PAGE_WEIGHT
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_recording_page_is_light_too(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.sign_in()
    page = visitor.watch("0001.mp4&recorder=X1A0123")
    page.wait_for_load_state("networkidle")
    assert page.evaluate(WEIGH) <= PAGE_WEIGHT


def test_reduced_motion_is_respected(visit: Callable[..., Visitor]) -> None:
    page = visit(reduced_motion="reduce").open("dock")
    assert page.evaluate("getComputedStyle(document.querySelector('progress')).transitionDuration") == "0s"
