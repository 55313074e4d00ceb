from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from flask import Flask
from flask.testing import FlaskClient

from core.clock import stamp, utc_now
from core.settings import BaySettings, DockSettings
from ingest.error import UnpluggedError
from ingest.status import BayStatus, DockStatus, Message, TileState, write_status
from webconsole.app import create_app
from webconsole.views.dock import TONES, tile

if TYPE_CHECKING:
    from conftest import House

# UI.md's table, word for word: state, Chinese, English, tone, mark.
TABLE = (
    ("empty", "空闲", "Empty", "quiet", "circle-dashed"),
    ("recognising", "识别中", "Recognising", "working", "scan-search"),
    ("copying", "采集中，请勿拔出", "Copying, do not remove", "working", "download"),
    ("verifying", "校验封存中，请勿拔出", "Verifying and sealing, do not remove", "working", "seal-half"),
    ("sealed", "已封存，可以取走", "Sealed, safe to remove", "safe", "seal-closed"),
    ("clearing", "清理中，请勿拔出", "Clearing the card, do not remove", "working", "eraser"),
    (
        "partial",
        "部分未取，请联系证据管理员",
        "Some files not taken, ask a custodian",
        "person",
        "triangle-alert",
    ),
    ("interrupted", "已中断，请插回继续", "Interrupted, put it back to continue", "person", "unplug"),
    ("unknown", "未登记设备", "Unregistered device", "person", "circle-help"),
)


def spoken(house: House, *bays: BayStatus, at: str = "") -> None:
    write_status(
        house.settings.run / "dock.json", DockStatus(at=at or stamp(utc_now()), station="station", bays=bays)
    )


def tiles(client: FlaskClient, locale: str) -> list[dict[str, object]]:
    client.set_cookie("sealdock-locale", locale)
    answer = client.get("/dock/tiles")
    assert answer.status_code == 200
    assert answer.json is not None
    return list(answer.json["bays"])


@pytest.mark.parametrize(("state", "zh", "en", "tone", "mark"), TABLE)
def test_every_state_has_its_words_and_its_mark(
    house: House, client: FlaskClient, state: str, zh: str, en: str, tone: str, mark: str
) -> None:
    spoken(house, BayStatus(number=1, state=TileState(state)))
    for locale, words in (("zh_CN", zh), ("en", en)):
        (bay,) = tiles(client, locale)
        shown = f"{bay['lead']}{'' if locale == 'zh_CN' or not bay['advice'] else ' '}{bay['advice']}"
        assert shown == words
        assert (bay["tone"], bay["mark"]) == (tone, mark)
        assert words in str(bay["label"])


def test_only_sealed_is_green() -> None:
    assert [state for state, (tone, _) in TONES.items() if tone == "safe"] == [TileState.SEALED]
    assert set(TONES) == set(TileState)


def test_the_board_is_for_everybody_and_needs_no_sign_in(house: House, client: FlaskClient) -> None:
    spoken(house, BayStatus(number=3, state=TileState.SEALED, officer_name="张伟", officer_number="104432"))
    page = client.get("/dock").text
    assert "张伟" in page
    assert 'data-state="sealed"' in page
    assert "<dock-board" in page


def test_progress_files_and_time_left(house: House, client: FlaskClient) -> None:
    copying = BayStatus(
        number=2, state=TileState.COPYING, officer_number="104432", files_done=12, files_total=38,
        bytes_done=430, bytes_total=1000, seconds_left=170,
    )  # fmt: skip
    spoken(house, copying)
    (bay,) = tiles(client, "en")
    assert bay["permille"] == 430
    assert bay["shows_bar"] is True
    assert bay["files"] == "12 of 38 files"
    assert bay["left"] == "about 3 min"
    assert bay["name"] == "104432"


def test_a_message_is_said_in_the_readers_language(house: House, client: FlaskClient) -> None:
    message = Message.of(UnpluggedError(left=3))
    spoken(house, BayStatus(number=1, state=TileState.INTERRUPTED, message=message))
    (bay,) = tiles(client, "zh_CN")
    assert "还有 3 个文件只存在于该记录仪上" in str(bay["next"])


def test_a_code_that_nobody_knows_is_shown_as_it_is(house: House, client: FlaskClient) -> None:
    spoken(house, BayStatus(number=1, state=TileState.FAULT, message=Message(code="made.up")))
    (bay,) = tiles(client, "en")
    assert "made.up" in str(bay["next"])


def test_nothing_new_is_answered_without_a_body(house: House, client: FlaskClient) -> None:
    spoken(house, BayStatus(number=1))
    first = client.get("/dock/tiles")
    again = client.get("/dock/tiles", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_a_picture_that_is_old_promises_nothing(house: House, client: FlaskClient) -> None:
    sealed = BayStatus(number=1, state=TileState.SEALED, officer_name="张伟", bytes_done=1, bytes_total=1)
    spoken(house, sealed, at="2026-01-01T06:05:04.000000Z")
    for locale, words in (("en", "Not known, ask a custodian"), ("zh_CN", "状态不明，请联系证据管理员")):
        (bay,) = tiles(client, locale)
        assert (bay["state"], bay["tone"], bay["mark"]) == ("unknown", "person", "circle-help")
        assert words in str(bay["label"])
        assert (bay["name"], bay["permille"], bay["shows_bar"]) == ("", 0, False)
    page = client.get("/dock").text
    assert 'data-state="sealed"' not in page
    assert "可以取走" not in page


def test_a_dock_that_never_spoke_is_said_to_be_silent(client: FlaskClient) -> None:
    assert client.get("/dock/tiles").json == {"bays": [], "is_stale": True}
    assert "data-stale>" in client.get("/dock").text


def bays_app(house: House, count: int) -> Flask:
    bays = tuple(BaySettings(number=n, path=f"usb-{n}") for n in range(1, count + 1))
    settings = house.settings.model_copy(update={"dock": DockSettings(bays=bays)})
    context = type(house.context)(**{**vars(house.context), "settings": settings})
    return create_app(context)


@pytest.mark.parametrize(
    ("count", "size"), [(1, "huge"), (8, "large"), (9, "medium"), (24, "medium"), (40, "small")]
)
def test_tiles_shrink_with_their_number(house: House, count: int, size: str) -> None:
    page = bays_app(house, count).test_client().get("/dock").text
    assert f'data-size="{size}"' in page
    assert page.count('<li class="bay"') == count


def test_a_device_outside_the_bays_comes_last(app: Flask) -> None:
    with app.test_request_context():
        assert tile(BayStatus(number=0, state=TileState.UNKNOWN)).number == "+"
