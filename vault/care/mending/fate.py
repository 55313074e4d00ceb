"""What became of recordings, as far as the proven tree tells: disposed of, wrapped anew, or still to be kept.

Invariant: the signed entries alone are asked, so that neither damage nor an old copy brings a destroyed key back.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from vault.care.mending.proven import ProvenTree
from vault.care.mending.repaired import NotRepairableError
from vault.formats.entry import Leaf
from vault.formats.merkle import TILE_WIDTH

_DESTROYS = (b'"type":"dispose"', b'"type":"rewrap"')


class Fate:
    """The entries of `tree`, asked for what they destroyed. Everything here raises NotProvenError."""

    def __init__(self, tree: ProvenTree) -> None:
        self._tree = tree

    @property
    def disposed(self) -> set[str]:
        """Recordings that were disposed of."""
        return self._told[0]

    @cached_property
    def destroyable(self) -> set[int]:
        """Entries whose slots may be zeros: they are left as they are."""
        touched = self._told[1]
        raws = self._raws() if touched else ()
        return {index for index, raw in raws if Leaf.parse(raw).id in touched}

    def find(self, recording: str, file: str) -> tuple[int, Leaf]:
        """The entry of a recording, for the sake of `file`. Raises NotRepairableError when there is none."""
        needle = f'"id":"{recording}"'.encode()
        for index, raw in self._raws():
            if needle in raw and (leaf := Leaf.parse(raw)).id == recording:
                return index, leaf
        raise NotRepairableError(file=file, why="no entry on the log has this id")

    @cached_property
    def _told(self) -> tuple[set[str], set[str]]:
        """Recordings that were disposed of, and entries that were disposed of or wrapped anew."""
        disposed, touched = set[str](), set[str]()
        for leaf in (Leaf.parse(raw) for _, raw in self._raws() if any(one in raw for one in _DESTROYS)):
            if leaf.type == "dispose":
                disposed.update(leaf.about)
            if leaf.type in {"dispose", "rewrap"}:
                touched.update({*leaf.about, leaf.id} if leaf.type == "rewrap" else leaf.about)
        return disposed, touched

    def _raws(self) -> Iterator[tuple[int, bytes]]:
        for number in range(-(-self._tree.size // TILE_WIDTH)):
            yield from enumerate(self._tree.entries(number), number * TILE_WIDTH)
