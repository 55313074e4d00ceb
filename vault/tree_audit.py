"""Does every file of the log's tree say what was signed? (obligation 3 of vault/verify.py)

The tree is rebuilt from the entries and compared with the tiles. Where they differ the signed root decides who is
wrong: a hash is believed when it leads to its parent, the parent when it leads to the root. So one altered file is
named as itself, and the files above and below it are not blamed. Memory is one tile per level.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from vault.checkpoint import Checkpoint
from vault.entry import EntryError, unpack_bundle
from vault.merkle import (
    HASH_SIZE,
    TILE_WIDTH,
    Frontier,
    bundle_path,
    leaf_hash,
    root_of,
    tile_path,
    width_at,
)
from vault.report import Finding, Report

OBLIGATION = 3
_PARENTS_KEPT = 16  # tiles; one path to the top of the deepest log is 8
Hashes = tuple[bytes, ...]


class TreeAudit:
    """Walks the log once; `bundles` yields the entries that the signed root vouches for."""

    def __init__(self, log: Path, checkpoint: Checkpoint, report: Report) -> None:
        self._log, self._size, self._root, self._report = log, checkpoint.size, checkpoint.root, report
        self._edge: list[list[bytes]] = []
        self._named: set[tuple[int, int]] = set()  # tiles already blamed
        self._stored = lru_cache(_PARENTS_KEPT)(self._read_tile)

    def bundles(self) -> Iterator[tuple[int, list[bytes | None]]]:
        """Number and entries of each bundle in order; None in the place of an entry that nothing vouches for.

        Has to be exhausted: the last findings, and the root, come at the end.
        """
        for number in range(-(-self._size // TILE_WIDTH)):
            width = width_at(self._size, 0, number)
            entries = self._read_bundle(number, width)
            computed = tuple(leaf_hash(entry) for entry in entries) if entries else None
            believed = self._believed_leaves(number, width, computed)
            self._compare_entries(number, entries, believed)
            yield number, self._vouched(entries, believed, width)
            if width == TILE_WIDTH:
                self._raise_tile(0, number, believed)
            else:
                self._extend_edge(0, list(believed))
        self._close()

    def _read_bundle(self, number: int, width: int) -> list[bytes] | None:
        path = bundle_path(number, width)
        try:
            entries = unpack_bundle((self._log / path).read_bytes())
        except (OSError, EntryError) as cause:
            self._fail("verify.bundle", path, str(cause))
            return None
        if len(entries) != width:
            self._fail("verify.bundle", path, f"it holds {len(entries)} entries where {width} belong")
            return None
        self._report.counts["bundles"] += 1
        return entries

    def _read_tile(self, level: int, number: int) -> Hashes | None:
        """The stored tile, or None; says nothing when it is missing (`_settle` does)."""
        width = width_at(self._size, level, number)
        try:
            raw = (self._log / tile_path(level, number, width)).read_bytes() if width else b""
        except OSError:
            return None
        hashes = tuple(raw[i : i + HASH_SIZE] for i in range(0, len(raw), HASH_SIZE))
        return hashes if len(raw) == width * HASH_SIZE and width else None

    def _believed_leaves(self, number: int, width: int, computed: Hashes | None) -> Hashes:
        if width == TILE_WIDTH:
            return self._settle(0, number, computed)
        return self._settle_edge(computed)

    def _settle(self, level: int, number: int, computed: Hashes | None) -> Hashes:
        """The hashes of a full tile that lead upward; blames the stored tile when it is the one that is wrong."""
        stored, parent = self._stored(level, number), self._parent(level, number)
        if stored is None:
            self._fail_tile(level, number, TILE_WIDTH, "it is missing or has the wrong length")
        elif computed is None or (stored != computed and root_of(stored) == parent):
            return stored
        elif stored != computed:
            leads = root_of(computed) == parent
            why = "it differs from the entries" + ("" if leads else ", and neither leads to the signed root")
            self._fail_tile(level, number, TILE_WIDTH, why, _difference(stored, computed))
        else:
            self._report.counts["tiles"] += 1
        return computed if computed is not None else (parent or bytes(HASH_SIZE),) * TILE_WIDTH

    def _settle_edge(self, computed: Hashes | None) -> Hashes:
        """The leaves of the last, partial bundle: the stored tile's when only they lead to the root."""
        number = self._size // TILE_WIDTH
        stored = self._stored(0, number)
        if stored is None or stored == computed:
            return computed or ()
        return stored if computed is None or self._root_with(stored) == self._root else computed

    def _root_with(self, leaves: Hashes) -> bytes:
        return Frontier(self._size, [list(leaves), *self._edge[1:]]).root()

    def _raise_tile(self, level: int, number: int, believed: Hashes) -> None:
        """Hand the root of a settled full tile to the level above, and settle that when it fills."""
        parent = self._parent(level, number)
        root = root_of(believed)
        # A tile that nothing is left of counts as what its parent says, so that only it is blamed.
        lost = parent is not None and len(set(believed)) == 1 and believed[0] == parent
        self._extend_edge(level + 1, [parent if lost and parent is not None else root])
        above = self._edge[level + 1]
        if len(above) == TILE_WIDTH:
            number //= TILE_WIDTH
            computed = tuple(above)
            self._edge[level + 1] = []
            settled = self._settle(level + 1, number, computed)
            self._blame_below(level + 1, number, settled, computed)
            self._raise_tile(level + 1, number, settled)

    def _extend_edge(self, level: int, hashes: list[bytes]) -> None:
        while len(self._edge) <= level:
            self._edge.append([])
        self._edge[level].extend(hashes)

    def _compare_entries(self, number: int, entries: list[bytes] | None, believed: Hashes) -> None:
        """Name each entry whose hash is not the believed one."""
        path, place = bundle_path(number, width_at(self._size, 0, number)), 0
        for offset, entry in enumerate(entries or ()):
            last = place + 1 + len(entry)
            if leaf_hash(entry) != believed[offset]:
                entry_index = number * TILE_WIDTH + offset
                self._fail("verify.bundle", path, "the entry is not the one that was signed", entry_index, place, last)
            place = last + 1

    def _vouched(self, entries: list[bytes] | None, believed: Hashes, width: int) -> list[bytes | None]:
        if entries is None:
            return [None] * width
        return [
            entry if leaf_hash(entry) == believed[offset] else None for offset, entry in enumerate(entries)
        ]

    def _blame_below(self, level: int, number: int, believed: Hashes, computed: Hashes) -> None:
        """Name the tiles below that agree with themselves and not with the signed root."""
        for offset, (right, wrong) in enumerate(zip(believed, computed, strict=True)):
            if right != wrong:
                below = number * TILE_WIDTH + offset
                self._fail_tile(level - 1, below, TILE_WIDTH, "it and what lies below it were replaced")

    def _parent(self, level: int, number: int) -> bytes | None:
        hashes = self._stored(level + 1, number // TILE_WIDTH)
        return hashes[number % TILE_WIDTH] if hashes else None

    def _close(self) -> None:
        """The partial tiles on the right edge, and the root."""
        computed = [tuple(hashes) for hashes in self._edge]
        root = Frontier(self._size, computed).root()
        stored = [
            self._stored(level, self._size >> 8 * (level + 1)) if hashes else ()
            for level, hashes in enumerate(computed)
        ]
        if root != self._root:
            self._blame_edge(computed, stored)
        for level, (right, there) in enumerate(zip(computed, stored, strict=True)):
            if right and there == right:
                self._report.counts["tiles"] += 1
            elif right and (there is None or root == self._root):
                number = self._size >> 8 * (level + 1)
                why = "it is missing or has the wrong length" if there is None else "it differs from the entries"
                self._fail_tile(level, number, len(right), why, _difference(there or (), right))

    def _blame_edge(self, computed: list[Hashes], stored: list[Hashes | None]) -> None:
        why = "bundles and tiles agree with each other and not with the checkpoint"
        if all(hashes is not None for hashes in stored):
            edge = [hashes or () for hashes in stored]
            if Frontier(self._size, edge).root() == self._root:
                for level, (right, wrong) in enumerate(zip(edge, computed, strict=True)):
                    if level and right != wrong:
                        number = self._size >> 8 * (level + 1)
                        self._blame_below(level, number, right, wrong)
                why = "the files below the right edge were replaced"
        self._fail("verify.root", "checkpoint", why)

    def _fail_tile(
        self, level: int, number: int, width: int, why: str, span: tuple[int, int] | None = None
    ) -> None:
        if (level, number) not in self._named:
            self._named.add((level, number))
            first, last = span or (None, None)
            entry = None
            if span and not level:
                entry = number * TILE_WIDTH + span[0] // HASH_SIZE
            self._fail("verify.tile", tile_path(level, number, width), why, entry, first, last)

    def _fail(
        self, code: str, path: str, why: str, entry: int | None = None,
        first: int | None = None, last: int | None = None,
    ) -> None:  # fmt: skip
        self._report.fail(Finding(OBLIGATION, code, f"log/{path}", why, entry, first, last))


def _difference(stored: Hashes, right: Hashes) -> tuple[int, int] | None:
    """First and last byte of the hashes that differ."""
    places = [i for i, (one, two) in enumerate(zip(stored, right, strict=False)) if one != two]
    return (places[0] * HASH_SIZE, places[-1] * HASH_SIZE + HASH_SIZE - 1) if places else None
