"""When an officer may go home: the tile's word between copying and sealing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from emulation.dock import Station

from ingest.status import TileState

S = TileState
ENDED = {S.SEALED, S.PARTIAL, S.FAULT}


def states_of(station: Station, folder: Path) -> list[TileState]:
    """Every state that the tile was seen in while a slow card was pulled."""
    station.start_dockd()
    station.plug("a", directory=str(folder), bytes_per_second=500_000)
    seen = list[TileState]()
    end = time.monotonic() + 60
    while (not seen or seen[-1] not in ENDED) and time.monotonic() < end:
        state = station.tile().state
        if not seen or seen[-1] is not state:
            seen.append(state)
        time.sleep(0.002)
    return seen


@pytest.mark.parametrize(
    ("folder", "name", "is_handed_in"),
    [
        ("DCIM/20261123", "X1A0001060123_20261123080100_{:04d}.mp4", True),
        ("DCIM/100GOPRO", "GH0100{:02d}.MP4", False),  # whose footage it is, somebody has to say
    ],
)
def test_only_what_waits_for_nobody_is_handed_in(
    station: Station, tmp_path: Path, folder: str, name: str, *, is_handed_in: bool
) -> None:
    place = tmp_path / "card" / folder
    place.mkdir(parents=True)
    for number in range(1, 7):
        (place / name.format(number)).write_bytes(os.urandom(500_000))
    seen = states_of(station, tmp_path / "card")
    assert seen[-1] is S.SEALED
    assert S.COPYING in seen
    assert (S.HANDED_IN in seen) is is_handed_in
    if is_handed_in:
        assert seen.index(S.COPYING) < seen.index(S.HANDED_IN) < seen.index(S.SEALED)
