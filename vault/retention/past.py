"""The log as whoever disposes of recordings reads it: whole, held against its signed root, and not past a given entry.

vaultd has its own look-up; the sealer and the command line make theirs from the files. Every entry is hashed up to the
root that the log's key signed, so that an entry can be neither hidden from the question nor slipped into it, and an
entry that an answer rests on is proven once more as it is read.
"""

from __future__ import annotations

from collections.abc import Iterator

from vault.formats.entry import Leaf
from vault.formats.merkle import Frontier, leaf_hash
from vault.log.edge import LogDamagedError
from vault.log.ledger import LogReader
from vault.log.rules import INGEST, Lookup, skim_whole


class Past:
    """A LogView of the entries before `size`. Memory is flat: ids and subjects lie in a private SQLite file."""

    def __init__(self, reader: LogReader, *, proving: bool = True) -> None:
        """Reads the whole log once. Raises LogDamagedError, NoCheckpointError, TileError.

        `proving` False reads an entry again without its proof: for a preview, which decides nothing.
        """
        self.reader, self._proving = reader, proving
        self._lookup = Lookup()
        checkpoint, _ = reader.checkpoint()
        self._size = self.head = checkpoint.size
        frontier = Frontier()
        self._lookup.add(_skimmed(reader, checkpoint.size, frontier))
        if frontier.root() != checkpoint.root:
            raise LogDamagedError(path=reader.vault.log_path, why="its entries lead to another root")

    @property
    def size(self) -> int:
        """As LogView."""
        return self._size

    def leaf(self, index: int) -> Leaf:
        """As LogView; proven as it is read."""
        if self._proving:
            return self.reader.proven_leaf(index)
        return Leaf.parse(self.reader.raw(index, self.head))

    def find(self, entry_id: str) -> int | None:
        """As LogView."""
        place = self._lookup.find(entry_id)
        return place if place is not None and place < self._size else None

    def about(self, subject_id: str, *types: str) -> list[int]:
        """As LogView."""
        return [place for place in self._lookup.about(subject_id, *types) if place < self._size]

    def before(self, index: int) -> Past:
        """The same log as it was when entry `index` was put on it."""
        earlier = object.__new__(Past)
        earlier.reader, earlier._proving = self.reader, self._proving
        earlier._lookup, earlier.head = self._lookup, self.head
        earlier._size = min(index, self._size)
        return earlier

    def sealing(self) -> Iterator[tuple[int, Leaf]]:
        """Every entry with a header in some bucket: recordings, private parts, re-wraps."""
        for index, raw in enumerate(self.reader.raws(0, self._size)):
            if b'"bucket":' in raw:  # only a glance; the leaf says
                yield index, Leaf.parse(raw)

    def recordings(self) -> Iterator[tuple[int, Leaf]]:
        """Every `ingest` entry, oldest first."""
        return ((index, leaf) for index, leaf in self.sealing() if leaf.type == INGEST)


def _skimmed(
    reader: LogReader, size: int, frontier: Frontier
) -> Iterator[tuple[int, str, tuple[str, ...], str]]:
    for index, raw in enumerate(reader.raws(0, size)):
        frontier.add(leaf_hash(raw))
        yield index, *skim_whole(raw)
