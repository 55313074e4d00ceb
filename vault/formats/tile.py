"""Tiles: where the hashes and entries of the log lie, and reading them (c2sp.org/tlog-tiles).

A full tile has 256 hashes and never changes. The last tile of a level may be partial; the file of a narrower
one may be gone once a wider one is there, and is the start of it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from core.regular import read_bounded
from vault.error import VaultError

HASH_SIZE = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT  # hashes of a full tile
_TILES_KEPT = 64  # of a directory reader: two paths through the deepest log


class TileError(VaultError):
    """A tile that is missing or has the wrong length."""

    code = "vault.tile"
    sentence = (
        "The log's file {path} is missing or has the wrong length. Entries cannot be proven until it is "
        "restored from a copy; `sealdock vault verify` names every such file."
    )


def number_path(number: int) -> str:
    """A tile's number as path elements of three digits: 1234067 is `x001/x234/067`."""
    path = f"{number % 1000:03d}"
    while number := number // 1000:
        path = f"x{number % 1000:03d}/{path}"
    return path


def tile_path(level: int, number: int, width: int = TILE_WIDTH) -> str:
    """Where a tile of hashes lies below `log/`; `width` under 256 names a partial tile."""
    return f"tile/{level}/{number_path(number)}{_partial(width)}"


def bundle_path(number: int, width: int = TILE_WIDTH) -> str:
    """Where a bundle of entries lies below `log/`."""
    return f"tile/entries/{number_path(number)}{_partial(width)}"


def _partial(width: int) -> str:
    if not 0 < width <= TILE_WIDTH:
        raise ValueError("a tile is 1 to 256 wide")
    return "" if width == TILE_WIDTH else f".p/{width}"


def width_at(size: int, level: int, number: int) -> int:
    """How many hashes tile `number` of `level` has when the log has `size` entries; 0 when there is none."""
    return max(0, min(TILE_WIDTH, (size >> TILE_HEIGHT * level) - number * TILE_WIDTH))


@dataclass(frozen=True)
class Tile:
    """Consecutive hashes of one level, full or partial."""

    level: int
    number: int
    hashes: tuple[bytes, ...]

    @property
    def path(self) -> str:
        """Its place below `log/`."""
        return tile_path(self.level, self.number, len(self.hashes))

    @property
    def raw(self) -> bytes:
        """Its bytes."""
        return b"".join(self.hashes)


class TileReader(Protocol):
    """Gives out the hashes of tiles; whoever reads decides whether to believe them."""

    def hashes(self, level: int, number: int, width: int) -> tuple[bytes, ...]:
        """The first `width` hashes of a tile. Raises TileError when they are not there."""


class DirectoryTiles:
    """Reads the tiles of a log of `size` entries from the directory that holds `tile/`."""

    def __init__(self, log: Path, size: int) -> None:
        self._log, self._size = log, size
        self._read = lru_cache(_TILES_KEPT)(self._read_uncached)

    def hashes(self, level: int, number: int, width: int) -> tuple[bytes, ...]:
        """As TileReader; a narrower tile of an older log is the start of the tile that is there now."""
        tile = self._read(level, number)
        if len(tile) < width:
            raise TileError(path=tile_path(level, number, width))
        return tile[:width]

    def _read_uncached(self, level: int, number: int) -> tuple[bytes, ...]:
        width = width_at(self._size, level, number)
        if not width:
            return ()
        path = self._log / tile_path(level, number, width)
        try:
            raw = self._start_of(level, number, width)
        except OSError as cause:
            raise TileError(path=path) from cause
        if len(raw) != width * HASH_SIZE:
            raise TileError(path=path)
        return tuple(raw[i : i + HASH_SIZE] for i in range(0, len(raw), HASH_SIZE))

    def _start_of(self, level: int, number: int, width: int) -> bytes:
        """The bytes of a tile; of a wider one its start, when the log grew since its size was read. Raises OSError."""
        path, size = self._log / tile_path(level, number, width), width * HASH_SIZE
        try:
            return read_bounded(path, size)
        except FileNotFoundError:
            if width == TILE_WIDTH:
                raise
        wider = sorted(int(one.name) for one in path.parent.glob("*") if one.name.isdecimal())
        widths = [*(one for one in wider if width < one < TILE_WIDTH), TILE_WIDTH]
        for one in widths:
            whole, limit = self._log / tile_path(level, number, one), one * HASH_SIZE
            with suppress(FileNotFoundError):  # the one after it took its place
                raw = read_bounded(whole, limit)
                return raw[:size] if len(raw) == limit else b""
        raise FileNotFoundError(path)
