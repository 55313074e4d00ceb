"""Copying a vault up to one signed head, live or at rest, so that the copy is a vault at every moment.

Order: objects, packs, slots and bundles with the tiles above them, what lies beside the log, then the checkpoint that
was read before any of it. Until that last rename the copy is what it was. Nothing is copied on trust: every entry is
hashed up to the signed root, every object, slot and record is held to its entry, and tiles are not copied at all but
made from the entries. What the source has lost is named and left out, and the rest is copied all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vault.care.beside import Beside, Problem, pack_name, slots_name
from vault.care.copying.stretch import SourceDamagedError, Stretch
from vault.care.placing import Placing
from vault.formats.checkpoint import Checkpoint
from vault.formats.entry import Leaf, pack_bundle
from vault.formats.merkle import (
    TILE_WIDTH,
    DirectoryTiles,
    Frontier,
    Tile,
    bundle_path,
    leaf_hash,
    tile_path,
)
from vault.log.ledger import LogReader
from vault.store.objects import VAULT_FILE, Vault

CHECKPOINT = "log/checkpoint"
_SIZED = ("log/anchors", "log/handover")  # their first name is the size of the log they speak of


class Mirror:
    """One run of copying, from `source` into the vault directory `target`."""

    def __init__(self, source: Vault, target: Path, placing: Placing) -> None:
        self._source, self._target, self._placing = source, target, placing
        self._reader = LogReader(source)
        self.distrusted: set[str] = set()  # recordings whose object in the copy has to be put anew
        self._beside = Beside(source, target)
        self.problems = self._beside.problems
        self.objects = 0  # copied by this run

    def bring(self, stretch: Stretch, head: Checkpoint) -> None:
        """Objects, slots, packs, bundles and tiles of the stretch; durable on return, and on no log yet.

        Raises SourceDamagedError, DiskFullError or MediumError.
        """
        self._beside.destroyable = stretch.pending.slots
        tiles = DirectoryTiles(self._target / "log", stretch.start)
        frontier = Frontier.resume(tiles, stretch.start)
        first = stretch.start // TILE_WIDTH
        for number in range(first, -(-stretch.stop // TILE_WIDTH)):
            stop = min(stretch.stop, (number + 1) * TILE_WIDTH)
            raws = list(self._reader.raws(number * TILE_WIDTH, stop))
            known = max(0, stretch.start - number * TILE_WIDTH)
            if known and tiles.hashes(0, number, known) != tuple(map(leaf_hash, raws[:known])):
                raise SourceDamagedError(path=self._source.log_path, size=head.size)
            for raw in raws[known:]:
                for tile in frontier.add(leaf_hash(raw)):
                    self._put_tile(tile)
            leaves = [Leaf.parse(raw) for raw in raws]
            self.bring_objects(enumerate(leaves[known:], number * TILE_WIDTH + known), stretch)
            self.bring_beside(number, leaves, known)
            self._placing.put(f"log/{bundle_path(number, len(raws))}", pack_bundle(raws), self._head_file)
        for tile in frontier.partial_tiles():
            self._put_tile(tile)
        if frontier.root() != head.root:
            raise SourceDamagedError(path=self._source.log_path, size=head.size)
        self._placing.settle()

    def bring_objects(self, entries: Iterator[tuple[int, Leaf]], stretch: Stretch) -> None:
        """The objects that these entries seal, unless the copy has them or the log has disposed of them."""
        for index, leaf in entries:
            if leaf.object is None or self._has(leaf):
                continue
            source, name = self._source.object_path(leaf.id), self.object_name(leaf.id)
            if leaf.id in stretch.pending.objects and not source.exists():
                continue
            sealed = leaf.object
            wrong = self._placing.put_object(source, name, sealed.stored_size, sealed.stored_sha256)
            if wrong:
                self.problems.append(Problem(name, index, wrong))
            else:
                self.objects += 1

    def bring_beside(self, number: int, leaves: Sequence[Leaf], known: int) -> None:
        """Slots and pack of one bundle; the first `known` entries are kept as the copy has them."""
        slots, packs = self._source.slots.path(number), self._source.packs.path(number)
        pairs, (pack, _) = self._beside.slots(number, leaves, known), self._beside.pack(number, leaves, known)
        self._placing.put(slots_name(number), b"".join(pairs), slots)
        self._placing.put(pack_name(number), pack, packs)

    def bring_rest(self, size: int) -> None:
        """What lies beside the log and the keys of the buckets, as far as a log of `size` entries knows of it."""
        for name in sorted(_rest(self._source.path)):
            if name.startswith(_SIZED) and _size_of(name) > size:
                continue
            source, target = self._source.path / name, self._target / name
            try:
                content = source.read_bytes()
            except FileNotFoundError:
                continue  # a bucket that was destroyed while we looked
            if not target.exists() or target.read_bytes() != content:
                self._placing.put(name, content, source)
        self._placing.settle()

    def finish(self, note: bytes) -> None:
        """The checkpoint: from here on the copy is a vault of that size."""
        self._placing.put(CHECKPOINT, note, self._head_file)
        self._placing.settle()

    def drop_old_edge(self, before: int, size: int) -> None:
        """Partial tiles of the head before, once wider ones are there (tlog-tiles allows it)."""
        for name in _edge(before) - _edge(size):
            (self._target / "log" / name).unlink(missing_ok=True)

    @staticmethod
    def object_name(entry_id: str) -> str:
        """Where an object lies below a vault."""
        return f"objects/{entry_id[-2:].lower()}/{entry_id}.chunks"

    @property
    def _head_file(self) -> Path:
        return self._source.log_path / "checkpoint"

    def _put_tile(self, tile: Tile) -> None:
        self._placing.put(f"log/{tile.path}", tile.raw, self._head_file)

    def _has(self, leaf: Leaf) -> bool:
        path = self._target / self.object_name(leaf.id)
        if leaf.object is None or leaf.id in self.distrusted:
            return False
        return path.exists() and path.stat().st_size == leaf.object.stored_size


def _rest(vault: Path) -> Iterator[str]:
    """Names of everything that is neither in the tree nor an object, slot, pack, lock or copy under way."""
    yield VAULT_FILE
    yield "log/policy"
    for directory in ("log/anchors", "log/handover", "log/cut", "keys/buckets"):
        for path in (vault / directory).rglob("*"):
            name = path.relative_to(vault)
            if path.is_file() and not any(part.startswith(".") for part in name.parts):
                yield str(name)
    yield from (f"keys/{path.name}" for path in (vault / "keys").glob("*.recipient"))


def _size_of(name: str) -> int:
    first = name.split("/")[2]
    return int(first) if first.isdigit() else 0


def _edge(size: int) -> set[str]:
    """Names of the partial tiles of a log of this size."""
    names, level = set[str](), 0
    while count := size >> 8 * level:
        number, width = divmod(count, TILE_WIDTH)
        if width:
            names.add(tile_path(level, number, width))
            names |= {bundle_path(number, width)} if not level else set()
        level += 1
    return names
