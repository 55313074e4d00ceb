from __future__ import annotations

import re
from datetime import timedelta
from statistics import median
from time import thread_time
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from flask.testing import FlaskClient

import webconsole.i18n
from core.clock import stamp, utc_now
from core.settings import BaySettings, DockSettings
from ingest.error import UnpluggedError
from ingest.status import STALE_S, BayStatus, DockStatus, Message, Need, TileState, write_status
from webconsole.app import create_app
from webconsole.display.tile import ANSWERS, TONES, Answer, need_words, tile

if TYPE_CHECKING:
    from conftest import House

# UI.md's table, word for word: state, Chinese, English, tone, mark.
TABLE = (
    ("empty", "空闲", "Empty", "quiet", "circle-dashed"),
    ("recognising", "识别中", "Recognising", "working", "scan-search"),
    (
        "handed_in",
        "已交接，人可离开，请勿拔出",
        "Handed in: you may leave, do not remove",
        "working",
        "check",
    ),
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
    catalogue = webconsole.i18n.catalogue("zh_CN")
    for locale, words in (("zh_CN", zh), ("en", en)):
        if locale == "zh_CN" and catalogue.gettext(en) == en:
            continue  # its translation is on the way; test_translations counts what is missing
        (bay,) = tiles(client, locale)
        shown = f"{bay['lead']}{'' if locale == 'zh_CN' or not bay['advice'] else ' '}{bay['advice']}"
        assert shown == words
        assert (bay["tone"], bay["mark"]) == (tone, mark)
        assert words in str(bay["label"])


def test_only_sealed_is_green() -> None:
    assert [state for state, (tone, _) in TONES.items() if tone == "safe"] == [TileState.SEALED]
    assert [tone for tone, (answer, _) in ANSWERS.items() if answer is Answer.SAFE] == ["safe"]
    assert set(TONES) == set(TileState)


def test_no_two_tones_share_an_outline() -> None:
    marks = [mark for _, mark in ANSWERS.values()]
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize("state", list(TileState))
def test_one_look_answers_whether_it_may_be_taken(
    house: House, client: FlaskClient, state: TileState
) -> None:
    spoken(house, BayStatus(number=1, state=state))
    (bay,) = tiles(client, "en")
    expected = {"quiet": "Free", "working": "Do not remove", "safe": "Safe to remove"}
    assert bay["answer_words"] == expected.get(str(bay["tone"]), "Needs help")


@pytest.mark.parametrize("state", [s for s, (tone, _) in TONES.items() if tone in {"person", "fault"}])
def test_whoever_is_needed_is_told_what_to_do(house: House, client: FlaskClient, state: TileState) -> None:
    spoken(house, BayStatus(number=1, state=state))
    (bay,) = tiles(client, "en")
    assert bay["step"]
    assert str(bay["step"]) in str(bay["label"])


@pytest.mark.parametrize("need", list(Need))
def test_what_the_dock_needs_is_a_sentence(app: Flask, need: Need) -> None:
    with app.test_request_context():
        assert need_words(need) != need.value
        assert need_words("made_up_later") == "made_up_later"


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


def test_battery_flagged_files_and_a_time_not_known_yet(house: House, client: FlaskClient) -> None:
    copying = BayStatus(
        number=2, state=TileState.COPYING, battery_percent=12, flagged_done=1, flagged_total=3, bytes_total=10,
        bytes_done=99,
    )  # fmt: skip
    spoken(house, copying)
    (bay,) = tiles(client, "en")
    assert (bay["battery"], bay["battery_low"], bay["flagged"]) == ("12 %", True, "1/3")
    assert (bay["left"], bay["permille"]) == ("measuring", 1000)


def test_handed_in_says_when_it_is_ready(house: House, client: FlaskClient) -> None:
    spoken(house, BayStatus(number=2, state=TileState.HANDED_IN, seconds_left=3000, files_total=2))
    (bay,) = tiles(client, "en")
    assert re.fullmatch(r"ready at \d\d:\d[05]", str(bay["left"]))


def test_a_message_is_said_in_the_readers_language(house: House, client: FlaskClient) -> None:
    message = Message.of(UnpluggedError(left=3))
    spoken(house, BayStatus(number=1, state=TileState.INTERRUPTED, message=message))
    (bay,) = tiles(client, "zh_CN")
    assert "还有 3 个文件只存在于该记录仪上" in str(bay["why"])
    assert bay["step"]


def test_a_code_that_nobody_knows_is_shown_as_it_is(house: House, client: FlaskClient) -> None:
    spoken(house, BayStatus(number=1, state=TileState.FAULT, message=Message(code="made.up")))
    (bay,) = tiles(client, "en")
    assert "made.up" in str(bay["why"])


def test_nothing_new_is_answered_without_a_body(house: House, client: FlaskClient) -> None:
    spoken(house, BayStatus(number=1))
    first = client.get("/dock/tiles")
    again = client.get("/dock/tiles", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert 0 <= int(again.headers["X-Dock-Age-Ms"]) < STALE_S * 1000


def test_a_dock_silent_for_three_seconds_is_stale(house: House, client: FlaskClient) -> None:
    before = stamp(utc_now() - timedelta(seconds=2.6))
    spoken(house, BayStatus(number=1, state=TileState.SEALED), at=before)
    answer = client.get("/dock/tiles")
    assert answer.json is not None
    assert answer.json["is_stale"] is True
    assert int(answer.headers["X-Dock-Age-Ms"]) > STALE_S * 1000
    assert STALE_S + 0.5 <= 3.0


def test_a_status_with_a_spoilt_time_is_stale_and_no_failure(house: House, client: FlaskClient) -> None:
    spoken(house, BayStatus(number=1, state=TileState.SEALED), at="yesterday")
    (bay,) = tiles(client, "en")
    assert bay["tone"] == "person"


def test_forty_bays_take_at_most_twenty_milliseconds(house: House) -> None:
    """Every bay moves each time; of the server's own time, because the machine's load is not the board's."""
    states, client, taken = list(TileState), bays_app(house, 40).test_client(), []
    for turn in range(8):
        bays = [
            BayStatus(
                number=n, state=states[n % len(states)], officer_name="张伟", officer_number="104432",
                files_total=38, files_done=12, bytes_total=1000, bytes_done=turn, seconds_left=170 + turn,
                battery_percent=80, flagged_total=2, message=Message.of(UnpluggedError(left=n)) if n % 3 == 0 else None,
            )
            for n in range(1, 41)
        ]  # fmt: skip
        spoken(house, *bays)
        begun = thread_time()
        assert client.get("/dock/tiles", headers={"Accept-Language": "zh-CN"}).status_code == 200
        taken.append(thread_time() - begun)
    assert median(taken) <= 0.020


def test_a_picture_that_is_old_promises_nothing(house: House, client: FlaskClient) -> None:
    sealed = BayStatus(number=1, state=TileState.SEALED, officer_name="张伟", bytes_done=1, bytes_total=1)
    spoken(house, sealed, at="2026-01-01T06:05:04.000000Z")
    for locale, words in (("en", "Not known, ask a custodian"), ("zh_CN", "状态不明，请联系证据管理员")):
        (bay,) = tiles(client, locale)
        assert (bay["state"], bay["tone"], bay["mark"]) == ("unknown", "person", "circle-help")
        assert bay["answer"] == "help"
        assert words in str(bay["label"])
        assert (bay["name"], bay["permille"], bay["shows_bar"]) == ("", 0, False)
    page = client.get("/dock").text
    assert 'data-state="sealed"' not in page
    assert "可以取走" not in page


def test_a_dock_that_never_spoke_is_said_to_be_silent(client: FlaskClient) -> None:
    said = client.get("/dock/tiles").json
    assert said is not None
    assert (said["bays"], said["is_stale"]) == ([], True)
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
    assert page.count('<li class="bay"') == count + 1  # and the blank one


def test_the_sheet_of_a_bay_says_what_to_do_and_names_no_file(house: House, client: FlaskClient) -> None:
    checked = BayStatus(
        number=1, state=TileState.SEALED, file="secret.mp4", battery_percent=12, free_bytes=1, capacity_bytes=100,
        clock_offset_s=-300.0, clock_uncertainty_s=1.0, session_id="0" * 26,
    )  # fmt: skip
    spoken(house, checked)
    html = sheet(client, 1)
    assert "secret.mp4" not in html
    for words in ("Safe to remove", "Let it charge", "Take another", "about 5 min slow"):
        assert words in html
    assert "Put a recorder in" in sheet(client, 2)


def sheet(client: FlaskClient, number: int) -> str:
    answer = client.get(f"/api/dock/bays/{number}", headers={"Accept-Language": "en"})
    assert answer.json is not None
    return str(answer.json["html"])


def test_a_device_outside_the_bays_comes_last(app: Flask) -> None:
    with app.test_request_context():
        assert tile(BayStatus(number=0, state=TileState.UNKNOWN)).number == "+"
