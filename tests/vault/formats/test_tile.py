from __future__ import annotations

import os
from pathlib import Path

import pytest

from vault.formats.tile import DirectoryTiles, Tile, TileError, bundle_path, number_path, tile_path, width_at


def test_numbers_are_spelt_as_the_specification_spells_them() -> None:
    assert [number_path(n) for n in (0, 7, 999, 1000, 1234067)] == [
        "000", "007", "999", "x001/000", "x001/x234/067",
    ]  # fmt: skip


def test_paths_of_full_and_partial_tiles() -> None:
    assert tile_path(0, 273, 112) == "tile/0/273.p/112"
    assert tile_path(1, 0) == "tile/1/000"
    assert bundle_path(1234067, 255) == "tile/entries/x001/x234/067.p/255"
    with pytest.raises(ValueError, match="wide"):
        tile_path(0, 0, 0)


def test_widths_of_the_specifications_example() -> None:
    """70,000 entries: 273 full and one of 112, one full and one of 17, one of 1 (c2sp.org/tlog-tiles)."""
    assert [width_at(70_000, 0, n) for n in (0, 272, 273, 274)] == [256, 256, 112, 0]
    assert [width_at(70_000, 1, n) for n in (0, 1, 2)] == [256, 17, 0]
    assert [width_at(70_000, 2, 0), width_at(70_000, 3, 0)] == [1, 0]


def put(log: Path, tile: Tile) -> None:
    path = log / tile.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tile.raw)


def test_an_older_tile_is_the_start_of_the_one_that_is_there(tmp_path: Path) -> None:
    hashes = tuple(bytes([n]) * 32 for n in range(3))
    put(tmp_path, Tile(0, 0, hashes))
    tiles = DirectoryTiles(tmp_path, 3)
    assert tiles.hashes(0, 0, 2) == hashes[:2]
    assert tiles.hashes(0, 0, 3) == hashes
    for level, number, width in ((0, 0, 4), (0, 1, 1), (1, 0, 1)):
        with pytest.raises(TileError):
            tiles.hashes(level, number, width)


def test_a_missing_or_short_tile_is_named(tmp_path: Path) -> None:
    with pytest.raises(TileError, match=r"tile/0/000\.p/3"):
        DirectoryTiles(tmp_path, 3).hashes(0, 0, 3)
    put(tmp_path, Tile(0, 0, (bytes(32), bytes(32), bytes(31))))
    with pytest.raises(TileError, match=r"tile/0/000\.p/3"):
        DirectoryTiles(tmp_path, 3).hashes(0, 0, 1)


def test_a_tile_that_became_wider_while_the_log_grew_is_cut(tmp_path: Path) -> None:
    hashes = tuple(bytes([n]) * 32 for n in range(256))
    put(tmp_path, Tile(0, 0, hashes[:7]))
    assert DirectoryTiles(tmp_path, 3).hashes(0, 0, 3) == hashes[:3]
    (tmp_path / tile_path(0, 0, 7)).unlink()
    put(tmp_path, Tile(0, 0, hashes))
    assert DirectoryTiles(tmp_path, 3).hashes(0, 0, 2) == hashes[:2]
    (tmp_path / tile_path(0, 0)).write_bytes(bytes(31))
    with pytest.raises(TileError):
        DirectoryTiles(tmp_path, 3).hashes(0, 0, 3)


@pytest.mark.timeout(10)
def test_a_pipe_in_the_place_of_a_tile_makes_nobody_wait(tmp_path: Path) -> None:
    (tmp_path / "tile/0/000.p").mkdir(parents=True)
    os.mkfifo(tmp_path / "tile/0/000.p/3")
    with pytest.raises(TileError):
        DirectoryTiles(tmp_path, 3).hashes(0, 0, 3)
