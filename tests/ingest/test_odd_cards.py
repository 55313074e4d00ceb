"""Cards that are whole and strange: clocks that were never set, and more files than anybody looks through.

SEALDOCK_MANY_FILES says how many there are; 60000 is the long form.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from emulation.dock import Station, wait_until
from emulation.read_statement import leaves, statement

from ingest.status import TileState as S
from vault.audit.verify import verify_vault

MANY = int(os.environ.get("SEALDOCK_MANY_FILES", "600"))
FILES_A_SECOND = 10  # at the very least
END = (S.SEALED, S.PARTIAL, S.FAULT, S.UNKNOWN)


def docked(station: Station, folder: Path, patience_s: float = 60) -> S:
    """Dock a folder as a card, to its end."""
    station.start_dockd()
    station.plug("a", directory=str(folder))
    wait_until(lambda: station.tile().state in END, station.tile, patience_s)
    return station.tile().state


def test_clocks_that_were_never_set_are_taken_and_told_as_they_are(station: Station, tmp_path: Path) -> None:
    days = ("00010101", "19700101", "20400229", "99991231")
    moments = (0, 2**31, 13_569_465_600, -1)  # 1970, 2038, 2400, 1969
    for day, moment in zip(days, moments, strict=True):
        film = tmp_path / f"card/{day}/X1A0001060123_{day}235959_0001.mp4"
        film.parent.mkdir(parents=True)
        film.write_bytes(day.encode())
        os.utime(film, (moment, moment))
    assert docked(station, tmp_path / "card") is S.SEALED
    told = statement(station)
    assert told["counts"] == {"taken": len(days)}
    assert told["time_gaps"] == []  # centuries between two recordings are no gap in one shift


def test_a_name_in_two_encodings_is_two_recordings(station: Station, tmp_path: Path) -> None:
    name, below = "执法.MP4", os.fsencode(tmp_path / "card/DCIM/100MEDIA")
    os.makedirs(below)  # noqa: PTH103  names here are bytes that no Path can hold
    for encoding in ("utf-8", "gbk"):
        with open(below + b"/" + name.encode(encoding), "wb") as file:  # noqa: PTH123
            file.write(encoding.encode())
    assert docked(station, tmp_path / "card") is S.SEALED
    assert statement(station)["counts"] == {"taken": 2}


@pytest.mark.timeout(300 + MANY // FILES_A_SECOND)
def test_more_files_in_one_folder_than_anybody_looks_through(station: Station, tmp_path: Path) -> None:
    day = tmp_path / "card/20261123"
    day.mkdir(parents=True)
    for number in range(MANY):
        moment = f"{number // 3600 % 24:02d}{number // 60 % 60:02d}{number % 60:02d}"
        (day / f"X1A0001060123_20261123{moment}_{number:05d}.mp4").write_bytes(b"%05d" % number)
    assert docked(station, tmp_path / "card", 60 + MANY / FILES_A_SECOND) is S.SEALED
    told = statement(station)
    assert told["counts"] == {"taken": MANY}
    assert len(told["files"]) == len({row["id"] for row in told["files"]}) == MANY
    assert sum(leaf.type == "ingest" for leaf in leaves(station)) == MANY
    assert verify_vault(station.vault.path, station.vault.verifier).failures == []
