"""The board and the kiosk in a real Chromium, over the console's own server on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from casework.people.at_dock import give_badge, give_pin
from casework.people.officer import OfficerFacts, register_officer
from core import guessable
from core.clock import stamp, utc_now
from core.settings import BaySettings, DockSettings
from ingest.status import BayStatus, DockStatus, TileState, write_status
from webconsole.app import create_app
from webconsole.i18n import catalogue

if TYPE_CHECKING:
    from conftest import House

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    # a browser that leaves in the middle of a file leaves it to the test server's collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
BADGE, PIN = "04A1B2C3D4", "482915"
SCREENS = ((800, 480), (1024, 600), (1920, 1080))
PROMISED_S = 3.0  # no tile is believed longer than this after the dock fell silent
CUT = """() => [...document.querySelectorAll('.bays .bay')].flatMap((tile) =>
  [...tile.querySelectorAll('.bay-answer, .bay-answer b, .bay-number')].filter((part) => {
    const inner = part.getBoundingClientRect(), outer = tile.getBoundingClientRect();
    return inner.right > outer.right + 1 || inner.bottom > outer.bottom + 1 || part.scrollWidth > part.clientWidth + 1;
  }).map((part) => tile.dataset.bay + part.className))"""
SMALLEST = """() => Math.min(...[...document.querySelectorAll('.bays .bay-answer svg')]
  .map((mark) => mark.getBoundingClientRect().width))"""
IS_TRANSLATED = catalogue("zh_CN").gettext("Do not remove") != "Do not remove"
WORDS = """() => Math.min(...[...document.querySelectorAll('.bays .bay-answer b')]
  .map((each) => parseFloat(getComputedStyle(each).fontSize)))"""

WATCH = """() => {
  window.moved = new Set();
  const part = (one) => (one.target.closest ? one.target : one.target.parentElement);
  const note = (one) => moved.add(part(one).closest(".bay").dataset.bay);
  new MutationObserver((all) => all.forEach(note))
    .observe(document.querySelector(".bays"), {subtree: true, childList: true, attributes: true, characterData: true});
}"""


@dataclass
class Dock:
    """A console over a dock that speaks twice a second, until it is told to be silent."""

    house: House
    url: str = ""
    bays: list[BayStatus] = field(default_factory=list)
    is_alive: bool = True

    def speak(self) -> None:
        status = DockStatus(at=stamp(utc_now()), station="s", bays=tuple(self.bays))
        write_status(self.house.settings.run / "dock.json", status)


@pytest.fixture
def dock(house: House, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Dock]:
    monkeypatch.setattr(guessable, "MEMORY_KIB", 64)
    count = getattr(request, "param", 8)
    mapped = tuple(BaySettings(number=n, path=f"usb-{n}") for n in range(1, count + 1))
    settings = house.settings.model_copy(update={"dock": DockSettings(bays=mapped)})
    context = type(house.context)(**{**vars(house.context), "settings": settings})
    states, running = list(TileState), Dock(house)
    running.bays = [
        BayStatus(number=n, state=states[n % len(states)], officer_name="欧阳建国", officer_number="104401",
                  files_total=38, bytes_total=100, bytes_done=40, seconds_left=400)
        for n in range(1, count + 1)
    ]  # fmt: skip
    running.speak()
    server, stop = make_server("127.0.0.1", 0, create_app(context), threaded=True), threading.Event()

    def beat() -> None:
        while not stop.wait(0.4):
            if running.is_alive:
                running.speak()

    threads = [threading.Thread(target=server.serve_forever), threading.Thread(target=beat)]
    for thread in threads:
        thread.start()
    running.url = f"http://127.0.0.1:{server.port}/dock"
    yield running
    stop.set()
    server.shutdown()
    for thread in threads:
        thread.join()
    server.server_close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1024, "height": 600}, locale="en")
    opened, complaints = context.new_page(), list[str]()
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda m: complaints.append(m.text) if "Security Policy" in m.text else None)
    yield opened
    context.close()
    assert complaints == []


def read_badge(page: Page, code: str) -> None:
    """As a keyboard-wedge reader types it: at once, and Enter."""
    page.keyboard.type(code)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("dock", [1, 8, 24, 40], indirect=True)
def test_every_answer_is_whole_on_every_screen_in_both_languages(dock: Dock, browser: Browser) -> None:
    for width, height in SCREENS:
        for locale in ("zh-CN", "en") if IS_TRANSLATED else ("en",):
            context = browser.new_context(viewport={"width": width, "height": height}, locale=locale)
            page = context.new_page()
            page.goto(dock.url)
            assert page.evaluate(CUT) == [], (width, locale)
            assert page.evaluate(SMALLEST) >= 28, (width, locale)
            assert page.evaluate(WORDS) >= 14, (width, locale)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            context.close()


def test_a_dead_dock_is_believed_for_less_than_three_seconds(dock: Dock, page: Page) -> None:
    dock.bays = [BayStatus(number=n, state=TileState.SEALED) for n in range(1, 9)]
    page.goto(dock.url)
    expect(page.locator('.bays .bay[data-answer="safe"]')).to_have_count(8)
    dock.is_alive = False
    begun = time.monotonic()
    page.wait_for_selector("body[data-lost]", timeout=8000)
    assert time.monotonic() - begun <= PROMISED_S
    expect(page.locator('.bays .bay[data-answer="safe"]')).to_have_count(0)
    dock.is_alive = True
    expect(page.locator('.bays .bay[data-answer="safe"]')).to_have_count(8)
    expect(page.locator("[data-stale]")).to_be_hidden()


def test_a_dead_console_is_believed_for_less_than_three_seconds(dock: Dock, page: Page) -> None:
    dock.bays = [BayStatus(number=1, state=TileState.SEALED)]
    page.goto(dock.url)
    expect(page.locator('.bay[data-bay="1"][data-answer="safe"]')).to_have_count(1)
    page.route("**/dock/tiles", lambda _route: None)  # asked, and never answered
    begun = time.monotonic()
    page.wait_for_selector("body[data-lost]", timeout=8000)
    assert time.monotonic() - begun <= PROMISED_S
    expect(page.locator('.bays .bay[data-answer="safe"]')).to_have_count(0)


def test_a_tile_that_changes_is_the_only_one_touched_and_is_heard_once(dock: Dock, page: Page) -> None:
    dock.bays = [BayStatus(number=n, state=TileState.COPYING) for n in range(1, 9)]
    page.goto(dock.url)
    expect(page.locator('.bay[data-bay="2"][data-state="copying"]')).to_have_count(1)
    page.evaluate(WATCH)
    dock.bays[1] = BayStatus(number=2, state=TileState.SEALED)
    expect(page.locator('.bay[data-bay="2"][data-answer="safe"]')).to_have_count(1)
    expect(page.locator("[data-say]")).to_contain_text("Bay 2: Sealed, safe to remove.")
    assert page.evaluate("[...moved]") == ["2"]
    if not page.evaluate("document.body.hasAttribute('data-night')"):
        assert page.locator("[data-sound]").get_attribute("data-played") == "safe 1"


def test_arrows_enter_and_escape_are_enough(dock: Dock, page: Page) -> None:
    page.goto(dock.url)
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.closest('.bay').dataset.bay") == "6"
    page.keyboard.press("Enter")
    expect(page.locator("[data-bay-sheet] h2")).to_contain_text("Bay 6")
    page.keyboard.press("Escape")
    expect(page.locator("[data-bay-sheet]")).to_be_hidden()
    assert page.evaluate("document.querySelectorAll('.bay-touch[tabindex=\"0\"]').length") == 1


def test_the_sound_is_off_by_a_key_and_stays_off(dock: Dock, page: Page) -> None:
    page.goto(dock.url)
    was = page.locator("[data-sound]").get_attribute("aria-pressed")
    page.keyboard.press("m")
    expect(page.locator("[data-sound]")).not_to_have_attribute("aria-pressed", was or "")
    page.reload()
    expect(page.locator("[data-sound]")).not_to_have_attribute("aria-pressed", was or "")


def test_the_language_stays(dock: Dock, page: Page) -> None:
    page.goto(dock.url)
    page.keyboard.press("l")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.goto(dock.url)
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")


def test_a_badge_is_heard_anywhere_and_signs_off_by_itself(dock: Dock, page: Page) -> None:
    house = dock.house
    with house.db.writing() as work:
        facts = OfficerFacts("104401", "张伟", None, "A1", f"{utc_now() + timedelta(days=400):%Y-%m-%d}")
        officer = register_officer(work, house.context.submitter, None, facts)
        work.flush()
        give_badge(work, house.context.submitter, None, officer, BADGE)
        give_pin(work, house.context.submitter, None, officer, PIN)
    page.goto(dock.url)
    page.focus('[data-bay="3"] .bay-touch')
    read_badge(page, BADGE)
    expect(page.locator("[data-room] h2")).to_contain_text("张伟")
    expect(page.locator("[data-bay-sheet]")).to_be_hidden()  # the reader's Enter opened no tile
    page.keyboard.press("Escape")
    expect(page.locator("[data-room]")).to_be_empty()  # nobody else finds what was shown
    page.keyboard.press("u")
    for key in "104401" + PIN:
        page.click(f'[data-pad="figures"] [data-key="{key}"]')
    page.click("[data-pad-go]")
    expect(page.locator("[data-room] h2")).to_contain_text("张伟")
    begun = time.monotonic()
    page.wait_for_selector("[data-officer]:not([open])", state="attached", timeout=25_000)
    assert 15 < time.monotonic() - begun < 24
    expect(page.locator("[data-room]")).to_be_empty()  # nobody else finds what was shown
