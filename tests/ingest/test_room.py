"""Room is promised once, to one copy, and given back."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from emulation.dock import PORTS, Station, wait_until

from core.clock import stamp, utc_now
from ingest.room import Room, is_docking, promised_by
from ingest.status import BayStatus, DockStatus, TileState


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(lambda: 1000, lambda one: tmp_path / one)


def test_what_is_promised_to_one_is_not_promised_to_another(room: Room) -> None:
    assert room.promise({"a": 400, "b": 500}) == 0
    assert room.outstanding == 900
    assert room.promise({"c": 101}) == 1
    assert room.promise({"a": 400}) == 0, "promised already"
    assert room.promise({"c": 100}) == 0
    room.give_back(["a", "nobody"])
    assert room.promise({"d": 401}) == 1
    assert room.promise({"d": 400}) == 0


def test_it_is_all_or_nothing_and_says_how_much_is_missing(room: Room) -> None:
    assert room.promise({"a": 900, "b": 500}) == 400
    assert room.outstanding == 0
    assert room.promise({}) == 0


def test_what_a_copy_has_taken_from_the_disk_is_not_counted_twice(tmp_path: Path) -> None:
    free = [100_000]
    room = Room(lambda: free[0], lambda one: tmp_path / one)
    assert room.promise({"a": 50_000}) == 0
    room.begin("a")
    with (tmp_path / "a").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 40_960)
    free[0] -= 40_960
    assert room.outstanding == 50_050 - 50 - 40_960 or room.outstanding == 50_050 - 40_960
    assert room.promise({"b": 49_000}) == 0
    room.give_back(["a", "b"])
    assert room.promise({"a": 90_000}) == 0, "an interrupted copy goes on in the room it has"


def test_threads_never_promise_more_than_there_is() -> None:
    room, kept = Room(lambda: 1000, lambda _: Path("/nowhere")), list[str]()
    start = threading.Barrier(8)

    def ask(number: int) -> None:
        start.wait()
        for place in range(50):
            name = f"{number}-{place}"
            if not room.promise({name: 10}):
                kept.append(name)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 100


def test_the_dock_tells_others_what_it_still_has_to_copy() -> None:
    bays = (
        BayStatus(number=1, state=TileState.COPYING, bytes_total=900, bytes_done=200),
        BayStatus(number=2, state=TileState.SEALED, bytes_total=900, bytes_done=900),
    )
    now = DockStatus(at=stamp(utc_now()), bays=bays)
    assert (promised_by(now), is_docking(now)) == (700, True)
    assert (promised_by(DockStatus(bays=bays)), is_docking(DockStatus(bays=bays))) == (0, False)
    assert not is_docking(DockStatus(at=stamp(utc_now()), bays=bays[1:]))


def test_a_card_that_does_not_fit_is_told_before_its_first_byte_is_read(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "card" / "DCIM"
    folder.mkdir(parents=True)
    (folder / "A.MP4").write_bytes(os.urandom(2_000_000))
    (folder / "B.MP4").write_bytes(os.urandom(2_000_000))
    monkeypatch.setattr(type(station.line), "free_bytes", lambda _line: 3_000_000)
    station.start_dockd()
    station.plug("a", directory=str(tmp_path / "card"), bytes_per_second=2_000_000)
    wait_until(lambda: station.tile().message is not None, station.tile)
    tile = station.tile()
    assert tile.message is not None
    assert (tile.message.code, tile.message.parameters["missing"]) == ("ingest.card_does_not_fit", 1_004_000)
    assert tile.bytes_done < 2_000_000
    monkeypatch.undo()
    station.wait_tile(TileState.SEALED, TileState.PARTIAL)
    assert station.line.room.outstanding == 0


def footage_bytes(vault: Path) -> int:
    """What copies have taken from the disk, under way or sealed; a file that is just being renamed counts as none."""
    taken = 0
    for path in [*vault.glob("incoming/*"), *vault.glob("objects/*/*")]:
        with suppress(FileNotFoundError):
            taken += path.stat().st_blocks * 512
    return taken


def test_two_cards_at_once_never_count_on_the_same_room(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for slot in "ab":
        folder = tmp_path / slot / "DCIM"
        folder.mkdir(parents=True)
        (folder / f"{slot}.MP4").write_bytes(os.urandom(2_000_000))
    monkeypatch.setattr(
        type(station.line), "free_bytes", lambda line: 3_000_000 - footage_bytes(line.vault.path)
    )
    for slot, port in zip("ab", PORTS, strict=True):
        station.plug(slot, port=port, serial=slot, directory=str(tmp_path / slot), bytes_per_second=500_000)
    station.start_dockd()
    ends = (TileState.SEALED, TileState.PARTIAL)
    assert {station.wait_tile(*ends, number=n).state for n in (1, 2)} == set(ends)
