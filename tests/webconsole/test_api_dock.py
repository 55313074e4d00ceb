from __future__ import annotations

from typing import TYPE_CHECKING

from flask.testing import FlaskClient

from core.clock import stamp, utc_now
from ingest.status import BayStatus, DockStatus, Message, TileState, write_status

if TYPE_CHECKING:
    from conftest import House


def write(house: House, *bays: BayStatus) -> None:
    status = DockStatus(at=stamp(utc_now()), station="demo", bays=bays)
    write_status(house.settings.run / "dock.json", status)


def test_a_dock_that_never_ran_says_so(client: FlaskClient) -> None:
    answer = client.get("/api/dock", headers={"Accept-Language": "en"})
    assert answer.json is not None
    assert answer.json["bays"] == []
    assert "not running" in answer.json["sentence"]


def test_the_board_is_public_and_shows_what_the_tiles_show(house: House, client: FlaskClient) -> None:
    write(house, BayStatus(number=1, state=TileState.COPYING, bytes_done=5, bytes_total=10, seconds_left=3))
    answer = client.get("/api/dock")
    assert answer.status_code == 200
    assert answer.json is not None
    (bay,) = answer.json["bays"]
    assert (bay["number"], bay["state"], bay["bytes_done"], bay["seconds_left"]) == (1, "copying", 5, 3)
    assert "message" not in bay


def test_an_error_is_a_sentence_in_the_readers_language(house: House, client: FlaskClient) -> None:
    message = Message(code="ingest.unreadable", parameters={"path": "a.mp4"})
    write(house, BayStatus(number=1, state=TileState.PARTIAL, message=message))
    said = {
        locale: client.get("/api/dock", headers={"Accept-Language": locale}).get_json()["bays"][0]["sentence"]
        for locale in ("en", "zh-CN")
    }
    assert "a.mp4 cannot be read" in said["en"]
    assert said["en"] != said["zh-CN"]


def test_nothing_new_is_304(house: House, client: FlaskClient) -> None:
    write(house, BayStatus(number=1))
    etag = client.get("/api/dock").headers["ETag"]
    again = client.get("/api/dock", headers={"If-None-Match": etag})
    assert (again.status_code, again.data) == (304, b"")
    write(house, BayStatus(number=1, state=TileState.SEALED))
    assert client.get("/api/dock", headers={"If-None-Match": etag}).status_code == 200


def test_what_footage_is_called_stays_inside(house: House, client: FlaskClient) -> None:
    write(house, BayStatus(number=1, state=TileState.COPYING, file="DSJ_1.mp4", session_id="01ARZ3"))
    answer = client.get("/api/dock")
    assert answer.json is not None
    assert answer.json["is_stale"] is False
    assert not {"file", "session_id", "message"} & set(answer.json["bays"][0])


def test_an_old_picture_says_that_nothing_is_known(house: House, client: FlaskClient) -> None:
    sealed = BayStatus(number=4, state=TileState.SEALED, officer_name="张伟")
    old = DockStatus(at="2026-01-01T06:05:04.000000Z", station="demo", bays=(sealed,))
    write_status(house.settings.run / "dock.json", old)
    answer = client.get("/api/dock", headers={"Accept-Language": "en"}).json
    assert answer is not None
    assert answer["is_stale"] is True
    assert answer["bays"] == [{"number": 4, "state": "unknown", "sentence": "Not known, ask a custodian"}]
