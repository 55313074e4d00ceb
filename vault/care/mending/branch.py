"""The files of the log's tree: what each has to be under the signed head, and which of them are not that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vault.care.mending.proven import NotProvenError, ProvenTree
from vault.care.mending.repaired import NotRepairableError
from vault.formats.entry import pack_bundle
from vault.formats.merkle import TILE_WIDTH, bundle_path, tile_path, width_at


class Branch:
    """Tiles and bundles of the vault directory `vault`, held to `tree`. A level of None is the bundles'."""

    def __init__(self, vault: Path, tree: ProvenTree) -> None:
        self._vault, self._tree = vault, tree

    def wrong(self) -> Iterator[str]:
        """Tiles and bundles that are not the ones that lead to the signed root, or that nothing here proves."""
        above = 0
        while count := self._tree.size >> 8 * above:
            for number in range(-(-count // TILE_WIDTH)):
                for level in (above, None) if not above else (above,):
                    if not self._is_right(level, number):
                        yield self._name(level, number)
            above += 1

    def right(self, file: str, level: int | None, number: int) -> bytes | None:
        """What the file has to be; None when it is that already.

        Raises NotProvenError, and NotRepairableError for a file that the signed head does not call for.
        """
        if file != self._name(level, number):
            raise NotRepairableError(file=file, why="the log's head calls for no such file")
        good = self._proven(level, number)
        return None if self._content(file) == good else good

    def is_edge(self, level: int | None, number: int) -> bool:
        """Whether entries to come will change this tile or bundle."""
        return self._tree.size < (number + 1) << 8 * ((level or 0) + 1)

    def _name(self, level: int | None, number: int) -> str:
        width = width_at(self._tree.size, level or 0, number)
        if not width:
            return ""
        return f"log/{bundle_path(number, width) if level is None else tile_path(level, number, width)}"

    def _is_right(self, level: int | None, number: int) -> bool:
        try:
            return self._content(self._name(level, number)) == self._proven(level, number)
        except NotProvenError:
            return False

    def _proven(self, level: int | None, number: int) -> bytes:
        if level is None:
            return pack_bundle(self._tree.entries(number))
        return b"".join(self._tree.hashes(level, number))

    def _content(self, file: str) -> bytes:
        try:
            return (self._vault / file).read_bytes()
        except OSError:
            return b""
