"""The health page in a real browser: it keeps itself true, keeps the focus, and says when nobody answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Route, expect

from core.clock import stamp, utc_now
from ingest.status import DockStatus, write_status

if TYPE_CHECKING:
    from conftest import OpenPage, Running

PATIENCE_MS = 60_000  # the page asks every five seconds

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_the_page_moves_in_what_changed_and_admits_when_it_cannot(
    open_page: OpenPage, running: Running, locale: str
) -> None:
    """Nobody runs a dock on this station: its last sign of life is all that changes here."""
    (running.station.settings.run / "dock.json").unlink(missing_ok=True)
    page = open_page("custodian", locale=locale)
    page.goto("/health")
    wanting = page.locator(".health-wanting > li")
    expect(wanting.first).to_have_class("tone-fault")
    expect(wanting.first.locator("time")).to_have_count(0)
    link = page.locator("#so-vaultd")
    link.focus()
    write_status(running.station.settings.run / "dock.json", DockStatus(at=stamp(utc_now())))
    expect(wanting.first.locator("time")).to_have_count(1, timeout=PATIENCE_MS)
    expect(link).to_be_focused()
    expect(page.locator("[data-lost]")).to_be_hidden()
    page.route("**/health/now", _gone)
    expect(page.locator("[data-lost]")).to_be_visible(timeout=PATIENCE_MS)
    page.unroute("**/health/now")
    expect(page.locator("[data-lost]")).to_be_hidden(timeout=PATIENCE_MS)


def _gone(route: Route) -> None:
    route.abort("connectionrefused")
