"""Does every file of the log's tree say what was signed? (obligation 3 of vault/audit/verify.py).

The tree is rebuilt from the entries and compared with the tiles. Where they differ the signed root decides
who is wrong: a hash is believed when it leads to its parent, the parent when it leads to the root. So one
altered file is named as itself, and those above and below it are not blamed. Memory is one tile per level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from vault.audit.file import read_bounded
from vault.audit.report import Finding, Report, reason
from vault.formats.checkpoint import Checkpoint
from vault.formats.entry import ENTRY_LIMIT, EntryError, unpack_bundle
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

OBLIGATION = 3
_TILES_KEPT = 16  # one path to the top of the deepest log is 8
_ROOM = 2 + ENTRY_LIMIT  # bytes of one entry in a bundle, at most
_DIFFERS = "it differs from the entries"
Hashes = tuple[bytes, ...]
Span = tuple[int, int]  # first and last byte
Split = Callable[[bytes], list[bytes]]


class TreeAudit:
    """Walks the log once from bundle `start` on, whose tiles below the signed root stand for everything before it."""

    def __init__(self, log: Path, checkpoint: Checkpoint, report: Report, start: int = 0) -> None:
        self._log, self._size, self._root, self._report = log, checkpoint.size, checkpoint.root, report
        self._edge: list[list[bytes]] = []  # believed hashes of the unfinished tile of each level
        self._named: set[tuple[int, int]] = set()  # tiles already blamed
        self._stored = lru_cache(_TILES_KEPT)(self._read_tile)
        self.numbers = range(start, -(-self._size // TILE_WIDTH))
        self._begin_at(start)

    def bundles(self) -> Iterator[tuple[int, list[bytes | None]]]:
        """Number and entries of each bundle in order; None in the place of an entry that the tree contradicts.

        Has to be exhausted: the root is compared at the end, and until then the tree vouches for nothing.
        """
        for number in self.numbers:
            yield number, self.examine(number)
        self.close()

    def accept(self, number: int, root: bytes) -> None:
        """Take the next bundle, found to agree with its tile; `root` is the tile's."""
        self._raise(0, number, root)

    def examine(self, number: int) -> list[bytes | None]:
        """Take the next bundle, whatever is wrong with it; gives its entries as `bundles` does."""
        width = width_at(self._size, 0, number)
        entries = self._read_bundle(number, width)
        computed = tuple(leaf_hash(entry) for entry in entries) if entries is not None else None
        settle = self._settle if width == TILE_WIDTH else self._settle_edge
        believed = settle(0, number, computed)
        vouched = self._vouched(number, entries or [], computed or (), believed or (), width)
        self._rise(0, number, believed)
        return vouched

    def _begin_at(self, start: int) -> None:
        """The edge of the first `start` bundles, from the stored tiles; a false one fails at the root."""
        level, count = 1, start
        while count:
            number, width = divmod(count, TILE_WIDTH)
            stored = self._stored(level, number) if width else ()
            if stored is None:
                self._fail_tile(level, number, "it is missing or has the wrong length")
            self._extend(level, (stored or [bytes(HASH_SIZE)] * width)[:width])
            level, count = level + 1, number

    def _read_bundle(self, number: int, width: int) -> list[bytes] | None:
        path = bundle_path(number, width)
        try:
            entries = self._start_of(bundle_path(number), width, unpack_bundle, _ROOM)
        except (OSError, EntryError) as cause:
            self._fail("verify.bundle", path, reason(cause))
            return None
        if len(entries) != width:
            self._fail("verify.bundle", path, f"it holds {len(entries)} entries where {width} belong")
            return None
        self._report.counts["bundles"] += 1
        return entries

    def _read_tile(self, level: int, number: int) -> Hashes | None:
        """The stored tile, or None when it is missing or has the wrong length."""
        width = width_at(self._size, level, number)
        if not width:
            return None
        try:
            hashes = self._start_of(tile_path(level, number), width, _hashes, HASH_SIZE)
        except OSError:
            return None
        whole = len(hashes) == width and len(hashes[-1]) == HASH_SIZE
        return tuple(hashes) if whole else None

    def _start_of(self, full: str, width: int, split: Split, room: int) -> list[bytes]:
        """The first `width` parts of a tile or bundle. Raises OSError or EntryError.

        While a log is at work a wider file may have taken the place of a partial one: it starts with it.
        """
        partials = self._log / f"{full}.p"
        path = partials / str(width) if width < TILE_WIDTH else self._log / full
        try:
            return split(read_bounded(path, width * room))
        except FileNotFoundError:
            wider = [int(one.name) for one in partials.glob("*") if one.name.isdecimal()]
            wider = sorted(one for one in wider if width < one < TILE_WIDTH)
            path = partials / str(wider[0]) if wider else self._log / full
            return split(read_bounded(path, TILE_WIDTH * room))[:width]

    def _parent(self, level: int, number: int) -> bytes | None:
        hashes = self._stored(level + 1, number // TILE_WIDTH)
        return hashes[number % TILE_WIDTH] if hashes else None

    def _settle(self, level: int, number: int, computed: Hashes | None) -> Hashes | None:
        """The hashes of a full tile to believe; blames the stored tile when it is the one that is wrong."""
        stored, parent = self._stored(level, number), self._parent(level, number)
        if stored is None:
            self._fail_tile(level, number, "it is missing or has the wrong length")
            return computed
        if computed is None or (stored != computed and root_of(stored) == parent):
            return stored
        if stored != computed:
            leads = root_of(computed) == parent
            why = _DIFFERS if leads else f"{_DIFFERS}, and neither leads to the signed root"
            self._fail_tile(level, number, why, _difference(stored, computed))
        else:
            self._report.counts["tiles"] += 1
        return computed

    def _settle_edge(self, level: int, number: int, computed: Hashes | None) -> Hashes | None:
        """The leaves of the last, partial bundle: the stored tile's when only they lead to the root."""
        stored = self._stored(level, number)
        if stored is None or stored == computed:
            return computed
        leads = Frontier(self._size, [stored, *self._edge[1:]]).root() == self._root
        return stored if computed is None or leads else computed

    def _vouched(
        self, number: int, entries: list[bytes], computed: Hashes, believed: Hashes, width: int
    ) -> list[bytes | None]:
        """The entries whose hash is the believed one; names each of the others."""
        if not entries:
            return [None] * width
        path, place, vouched = bundle_path(number, width), 0, list[bytes | None]()
        for offset, (entry, have, want) in enumerate(zip(entries, computed, believed, strict=True)):
            vouched.append(entry if have == want else None)
            last = place + 1 + len(entry)
            if have != want:
                why = "the entry is not the one that was signed"
                self._fail("verify.bundle", path, why, number * TILE_WIDTH + offset, (place, last))
            place = last + 1
        return vouched

    def _rise(self, level: int, number: int, believed: Hashes | None) -> None:
        """Take a settled tile; a full one hands its root up, where a tile may fill and settle too."""
        if width_at(self._size, level, number) < TILE_WIDTH:
            self._extend(level, believed or ())
            return
        lost = self._parent(level, number) or bytes(HASH_SIZE)
        self._raise(level, number, root_of(believed) if believed else lost)

    def _raise(self, level: int, number: int, root: bytes) -> None:
        """Hand the root of a full tile up."""
        above = self._extend(level + 1, [root])
        if len(above) < TILE_WIDTH:
            return
        computed = tuple(above)
        above.clear()
        number //= TILE_WIDTH
        settled = self._settle(level + 1, number, computed) or computed
        self._blame_below(level + 1, number, settled, computed)
        self._rise(level + 1, number, settled)

    def _extend(self, level: int, hashes: Sequence[bytes]) -> list[bytes]:
        while len(self._edge) <= level:
            self._edge.append([])
        self._edge[level].extend(hashes)
        return self._edge[level]

    def _blame_below(self, level: int, number: int, right: Hashes, wrong: Hashes) -> None:
        """Name the tiles below that agree with themselves and not with the signed root."""
        for offset, (one, two) in enumerate(zip(right, wrong, strict=False)):
            if one != two:
                below = number * TILE_WIDTH + offset
                self._fail_tile(level - 1, below, "it and what lies below it were replaced")

    def close(self) -> None:
        """The partial tiles on the right edge, and the root."""
        holds = Frontier(self._size, self._edge).root() == self._root
        places = [(level, self._size >> 8 * (level + 1)) for level in range(len(self._edge))]
        edge = [self._stored(level, number) or () for level, number in places]
        for (level, number), stored, hashes in zip(places, edge, self._edge, strict=True):
            if not stored and width_at(self._size, level, number):
                self._fail_tile(level, number, "it is missing or has the wrong length")
            elif stored == tuple(hashes):
                self._report.counts["tiles"] += bool(stored)
            elif holds:
                self._fail_tile(level, number, _DIFFERS, _difference(stored, tuple(hashes)))
        if not holds:
            self._blame_edge(edge)

    def _blame_edge(self, edge: list[Hashes]) -> None:
        why = "bundles and tiles agree with each other and not with the checkpoint"
        if Frontier(self._size, edge).root() == self._root:
            why = "files were replaced together with the tiles above them"
            for level, (right, wrong) in enumerate(zip(edge, self._edge, strict=True)):
                if level:
                    self._blame_below(level, self._size >> 8 * (level + 1), right, tuple(wrong))
        self._fail("verify.root", "checkpoint", why)

    def _fail_tile(self, level: int, number: int, why: str, span: Span | None = None) -> None:
        if (level, number) in self._named:
            return
        self._named.add((level, number))
        entry = number * TILE_WIDTH + span[0] // HASH_SIZE if span and not level else None
        path = tile_path(level, number, width_at(self._size, level, number))
        self._fail("verify.tile", path, why, entry, span)

    def _fail(
        self, code: str, path: str, why: str, entry: int | None = None, span: Span | None = None
    ) -> None:
        first, last = span or (None, None)
        self._report.fail(Finding(OBLIGATION, code, f"log/{path}", why, entry, first, last))


def _hashes(raw: bytes) -> list[bytes]:
    return [raw[i : i + HASH_SIZE] for i in range(0, len(raw), HASH_SIZE)]


def _difference(stored: Hashes, right: Hashes) -> Span | None:
    """First and last byte of the stored hashes that differ."""
    places = [i for i, (one, two) in enumerate(zip(stored, right, strict=False)) if one != two]
    return (places[0] * HASH_SIZE, places[-1] * HASH_SIZE + HASH_SIZE - 1) if places else None
