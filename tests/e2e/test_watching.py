"""Watching footage in a real Chromium: sign in, say why, play, seek, be refused, and leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page

if TYPE_CHECKING:
    from conftest import Running

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
PLAYED = (
    "() => { const v = document.querySelector('video'); return v && v.readyState >= 2 && v.videoWidth > 0; }"
)


def say_why(page: Page, recording_id: str) -> None:
    page.goto(f"/recordings/{recording_id}")
    page.check("input[name=purpose_code][value=case]")
    page.fill("[name=purpose]", "12号案取证核对")
    page.click("form[action$='/watch'] .button-primary")


@pytest.mark.parametrize(("name", "locale"), [("h264", "zh-CN"), ("hevc", "en-GB")])
def test_a_recording_plays_and_seeks(running: Running, open_page: OpenPage, name: str, locale: str) -> None:
    page = open_page("custodian", locale=locale)
    say_why(page, running.recording(name))
    page.wait_for_function(PLAYED)
    answer = page.evaluate(
        """async () => {
            const v = document.querySelector('video');
            const before = performance.now();
            v.currentTime = v.duration * 0.75;
            await new Promise((done) => v.addEventListener('seeked', done, { once: true }));
            return [v.currentTime / v.duration, performance.now() - before, v.error && v.error.message];
        }"""
    )
    assert answer[0] == pytest.approx(0.75, abs=0.02)
    assert answer[2] is None


def test_the_film_stays_closed_to_whoever_is_not_signed_in(running: Running, open_page: OpenPage) -> None:
    recording_id = running.recording("h264")
    page = open_page()
    page.goto(f"/recordings/{recording_id}")
    assert "/sign-in?next=" in page.url
    assert page.request.get(f"/media/{recording_id}/original").status == 401


def test_the_auditor_is_refused_in_words(running: Running, open_page: OpenPage) -> None:
    page = open_page("auditor", locale="en-GB")
    answer = page.goto(f"/recordings/{running.recording('h264')}")
    assert answer is not None
    assert answer.status == 403
    assert "The attempt was recorded" in page.content()


def test_after_signing_out_the_address_is_closed(running: Running, open_page: OpenPage) -> None:
    recording_id = running.recording("photo")
    page = open_page("reviewer")
    say_why(page, recording_id)
    assert page.request.get(f"/media/{recording_id}/original").status == 200
    page.click(".menu:has(form[action='/sign-out']) summary")
    page.click("form[action='/sign-out'] button")
    page.wait_for_url("**/sign-in")
    assert page.request.get(f"/media/{recording_id}/original").status == 401


def test_language_and_theme_are_chosen_without_script(running: Running, open_page: OpenPage) -> None:
    page = open_page(locale="zh-CN")
    page.goto("/sign-in")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.click("button[name=locale][value=en]")
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").inner_text() == "Sign in"
