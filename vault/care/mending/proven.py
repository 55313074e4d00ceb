"""A tree put together from several damaged copies: what leads to the signed root is right, wherever it lies.

From the root downwards: the tiles on the right edge are those that fold into the signed root; each full tile is the one
whose own root its parent names; a bundle is the one whose entries hash to its tile. Nothing is believed for the place
it came from, so an old copy, or one that somebody changed, can do no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path

from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint
from vault.formats.entry import EntryError, unpack_bundle
from vault.formats.merkle import (
    HASH_SIZE,
    TILE_WIDTH,
    Frontier,
    bundle_path,
    leaf_hash,
    root_of,
    tile_path,
    width_at,
)

Hashes = tuple[bytes, ...]
_TILES_KEPT = 64  # two paths through the deepest log


class NotProvenError(VaultError):
    """Neither the vault nor the copy holds a file as it was signed."""

    code = "vault.not_proven"
    sentence = (
        "Neither the vault nor the copy holds {file} as it was signed. Nothing was changed; look for another copy, an "
        "older one may do, and keep both."
    )


class ProvenTree:
    """The tree of `head`, read from any of the `logs` (directories that hold `tile/`), the first preferred."""

    def __init__(self, logs: Sequence[Path], head: Checkpoint) -> None:
        self._logs, self.size = logs, head.size
        self._edge = self._find_edge(head.root)
        self._kept = lru_cache(_TILES_KEPT)(self._prove)
        self._entries = lru_cache(_TILES_KEPT)(self._prove_entries)

    def hashes(self, level: int, number: int) -> Hashes:
        """The hashes of a tile, full or at the edge. Raises NotProvenError."""
        found = self._kept(level, number)
        if found is None:
            raise NotProvenError(file=f"log/{tile_path(level, number, width_at(self.size, level, number))}")
        return found

    def entries(self, number: int) -> list[bytes]:
        """The entries of a bundle. Raises NotProvenError."""
        found = self._entries(number)
        if found is None:
            raise NotProvenError(file=f"log/{bundle_path(number, width_at(self.size, 0, number))}")
        return found

    def _prove(self, level: int, number: int) -> Hashes | None:
        width = width_at(self.size, level, number)
        if width < TILE_WIDTH:
            return self._edge[level] if self._edge is not None and width else None
        above = self._kept(level + 1, number // TILE_WIDTH)
        wanted = above[number % TILE_WIDTH] if above else None
        return next((one for one in self._candidates(level, number) if root_of(one) == wanted), None)

    def _prove_entries(self, number: int) -> list[bytes] | None:
        wanted = self._kept(0, number)
        return next((one for one in self._bundles(number) if tuple(map(leaf_hash, one)) == wanted), None)

    def _find_edge(self, root: bytes) -> list[Hashes] | None:
        choices, level = list[list[Hashes]](), 0
        while count := self.size >> 8 * level:
            number, width = divmod(count, TILE_WIDTH)
            choices.append(list(dict.fromkeys(self._candidates(level, number))) if width else [()])
            level += 1
        fitting = (list(one) for one in product(*choices) if Frontier(self.size, one).root() == root)
        return next(fitting, None)

    def _candidates(self, level: int, number: int) -> Iterator[Hashes]:
        """What the logs say a tile is, or what its entries make of it."""
        width = width_at(self.size, level, number)
        for log in self._logs:
            for path in _wide_enough(log / tile_path(level, number), width):
                raw = _read(path)[: width * HASH_SIZE]
                if len(raw) == width * HASH_SIZE:
                    yield tuple(raw[i : i + HASH_SIZE] for i in range(0, len(raw), HASH_SIZE))
        for entries in self._bundles(number) if not level else ():
            yield tuple(map(leaf_hash, entries))

    def _bundles(self, number: int) -> Iterator[list[bytes]]:
        width = width_at(self.size, 0, number)
        for log in self._logs:
            for path in _wide_enough(log / bundle_path(number), width):
                try:
                    entries = unpack_bundle(_read(path))[:width]
                except EntryError:
                    continue
                if len(entries) == width:
                    yield entries


def _wide_enough(full: Path, width: int) -> list[Path]:
    """The files that hold the first `width` of a tile: its partial ones of that width or more, and the full one."""
    partial = full.with_name(f"{full.name}.p")
    names = [one.name for one in partial.iterdir()] if partial.is_dir() else []
    wide = sorted(int(name) for name in names if name.isdigit() and int(name) >= width)
    return [partial / str(one) for one in wide] + ([full] if full.exists() else [])


def _read(path: Path) -> bytes:
    """The file, or nothing when the medium does not give it."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
