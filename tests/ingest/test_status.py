from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from core.clock import stamp, utc_now
from ingest.error import NoRoomError
from ingest.status import Board, DockStatus, Message, Meter, Tile, TileState, read_status


def test_what_the_board_writes_is_what_the_console_reads(tmp_path: Path) -> None:
    board = Board(tmp_path / "run/dock.json", "station", [2, 1])
    full = NoRoomError(path="a.mp4", size=10, free=Path("x"))
    board.tiles[2].clear(TileState.PARTIAL, recorder_serial="X1A0001", message=Message.of(full))
    board.flush(now=True)
    status = read_status(tmp_path / "run/dock.json")
    assert [bay.number for bay in status.bays] == [1, 2]
    assert status.bays[1].message == Message(
        code="ingest.no_room", parameters={"path": "a.mp4", "size": 10, "free": "x"}
    )
    raw = json.loads((tmp_path / "run/dock.json").read_bytes())
    assert raw["bays"][0] == {
        "number": 1, "state": "empty", "files_done": 0, "files_total": 0, "bytes_done": 0, "bytes_total": 0,
        "bytes_per_second": 0, "flagged_done": 0, "flagged_total": 0,
    }  # fmt: skip


def test_a_dock_that_has_stopped_speaking_is_told_from_a_quiet_one() -> None:
    assert DockStatus().is_stale
    assert not DockStatus(at=stamp(utc_now())).is_stale
    assert DockStatus(at=stamp(utc_now() - timedelta(seconds=11))).is_stale
    assert DockStatus(at=stamp(utc_now() + timedelta(seconds=11))).is_stale, "from a clock that is not ours"


def test_a_file_that_is_missing_or_broken_is_an_empty_board(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"{")
    assert read_status(tmp_path / "none") == read_status(tmp_path / "broken") == DockStatus()


def test_the_file_is_written_at_most_four_times_a_second(tmp_path: Path) -> None:
    board = Board(tmp_path / "dock.json", "", [1])
    board.flush(now=True)
    written = (tmp_path / "dock.json").stat().st_mtime_ns
    for number in range(100):
        board.tiles[1].show(files_done=number)
        board.flush()
    assert (tmp_path / "dock.json").stat().st_mtime_ns == written


def test_tile_zero_shows_only_when_something_is_outside_the_bays(tmp_path: Path) -> None:
    board = Board(tmp_path / "dock.json", "", [1])
    assert [bay.number for bay in board.status().bays] == [1]
    board.tiles[0].clear(TileState.UNKNOWN)
    assert [bay.number for bay in board.status().bays] == [1, 0]


def test_the_rate_is_that_of_the_last_seconds_and_none_before_there_is_one() -> None:
    meter = Meter()
    assert meter.rate() == 0
    for second in range(30):
        meter.take(second * 1_000_000 if second < 10 else 10_000_000 + second * 100_000, now=float(second))
    assert round(meter.rate()) == 100_000
    young = Meter()
    young.take(0, now=0)
    young.take(5_000_000, now=0.5)
    assert young.rate() == 0


def test_known_files_pass_without_making_the_card_look_fast() -> None:
    tile = Tile(1)
    tile.show(bytes_total=1000)
    tile.advance(900, 0)
    assert (tile.status.bytes_done, tile.status.bytes_per_second, tile.status.seconds_left) == (900, 0, None)


def test_clearing_a_tile_forgets_the_recorder_before() -> None:
    tile = Tile(3)
    tile.show(officer_name="A", files_done=3, state=TileState.SEALED)
    tile.clear()
    assert tile.status.officer_name is None
    assert (tile.status.number, tile.status.state, tile.status.files_done) == (3, TileState.EMPTY, 0)
