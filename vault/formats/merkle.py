"""The Merkle tree of RFC 6962 kept as tiles of height 8 (c2sp.org/tlog-tiles), and its proofs.

Invariants: a full tile never changes; growing by n entries computes only the tiles that n entries touch; a
reader needs the tiles on one path, never the whole tree. Memory is a few tiles however long the log is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

from core.errors import Exit
from vault.error import VaultError
from vault.formats.tile import (
    HASH_SIZE,
    TILE_HEIGHT,
    TILE_WIDTH,
    DirectoryTiles,
    Tile,
    TileError,
    TileReader,
    bundle_path,
    number_path,
    tile_path,
    width_at,
)

__all__ = [
    "EMPTY_ROOT", "HASH_SIZE", "TILE_WIDTH", "DirectoryTiles", "Frontier", "ProofError", "Tile", "TileError",
    "TileReader", "bundle_path", "consistency_proof", "inclusion_proof", "leaf_hash", "node_hash",
    "number_path", "root_of", "tile_path", "tiles_for_append", "tree_root", "verify_consistency",
    "verify_inclusion", "width_at",
]  # fmt: skip

EMPTY_ROOT = sha256(b"").digest()  # RFC 6962 section 2.1


class ProofError(VaultError):
    """A proof that does not lead where it claims."""

    code = "vault.merkle_proof"
    sentence = (
        "The {kind} proof does not hold ({why}). The log it speaks of is not the log that was signed; "
        "keep this file and ask for the vault to be verified."
    )
    exit_code = Exit.NO


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry as a leaf (RFC 6962: 0x00 before it)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node (RFC 6962: 0x01 before it)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: per level, the hashes of its last, unfinished tile."""

    def __init__(self, size: int = 0, edge: Sequence[Sequence[bytes]] = ()) -> None:
        self.size = size
        self._edge = [list(hashes) for hashes in edge]

    @classmethod
    def resume(cls, reader: TileReader, size: int) -> Frontier:
        """Go on from a log of `size` entries. Raises TileError."""
        edge, level = [], 0
        while count := size >> TILE_HEIGHT * level:
            number, width = divmod(count, TILE_WIDTH)
            edge.append(reader.hashes(level, number, width) if width else ())
            level += 1
        return cls(size, edge)

    def add(self, leaf: bytes) -> list[Tile]:
        """Take the next leaf hash; the tiles that it filled, lowest first."""
        self.size += 1
        filled, level, hashed = list[Tile](), 0, leaf
        while True:
            if level == len(self._edge):
                self._edge.append([])
            self._edge[level].append(hashed)
            if len(self._edge[level]) < TILE_WIDTH:
                return filled
            number = (self.size >> TILE_HEIGHT * (level + 1)) - 1
            tile = Tile(level, number, tuple(self._edge[level]))
            filled.append(tile)
            self._edge[level] = []
            level, hashed = level + 1, root_of(tile.hashes)

    def partial_tiles(self) -> Iterator[Tile]:
        """The unfinished tiles of the tree as it is now."""
        for level, hashes in enumerate(self._edge):
            if hashes:
                yield Tile(level, self.size >> TILE_HEIGHT * (level + 1), tuple(hashes))

    def root(self) -> bytes:
        """The root over all entries so far."""
        rest: list[bytes] = []
        for hashes in self._edge:
            whole = [*hashes, *rest]
            rest = [root_of(whole)] if whole else []
        return rest[0] if rest else EMPTY_ROOT


def tiles_for_append(reader: TileReader, size: int, leaves: Sequence[bytes]) -> tuple[list[Tile], bytes]:
    """The tiles, full and partial, that `leaves` (leaf hashes) add to a log of `size` entries; the new root.

    Tiles that stay as they are do not appear. Raises TileError.
    """
    frontier = Frontier.resume(reader, size)
    filled = [tile for leaf in leaves for tile in frontier.add(leaf)]
    touched = {tile.level + 1 for tile in filled} | {0}
    return filled + [tile for tile in frontier.partial_tiles() if tile.level in touched], frontier.root()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over subtree hashes of equal height, of which only the last may be a smaller tree's."""
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:  # node_hash of each pair, spelled out: a long log is verified here
        pairs = zip(level[::2], level[1::2], strict=False)  # an odd last one waits for the next round
        paired = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
        level = paired + level[len(paired) * 2 :]
    return level[0]


def tree_root(reader: TileReader, size: int) -> bytes:
    """The root of the first `size` entries, from tiles."""
    return _subtree(reader, 0, size)


def inclusion_proof(reader: TileReader, index: int, size: int) -> list[bytes]:
    """The audit path of entry `index` in a log of `size` entries, leaf's sibling first (RFC 6962 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError("there is no such entry in a log of this size")
    path, low, high = list[bytes](), 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_subtree(reader, middle, high))
            high = middle
        else:
            path.append(_subtree(reader, low, middle))
            low = middle
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raises ProofError unless the leaf hash is entry `index` of the log with `root` (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        raise ProofError(kind="inclusion", why="the entry lies outside the log")
    place, last, hashed = index, size - 1, leaf
    for sibling in proof:
        if not last:
            raise ProofError(kind="inclusion", why="it is too long")
        if place & 1 or place == last:
            hashed = node_hash(sibling, hashed)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            hashed = node_hash(hashed, sibling)
        place, last = place >> 1, last >> 1
    if last or hashed != root:
        raise ProofError(kind="inclusion", why="it leads to another root")


def consistency_proof(reader: TileReader, old: int, new: int) -> list[bytes]:
    """The proof that the log of `new` entries starts with the log of `old` entries (RFC 6962 2.1.2)."""
    if not 0 < old <= new:
        raise ValueError("a log is consistent with an earlier, non-empty one")
    proof, low, high, complete = list[bytes](), 0, new, True
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            proof.append(_subtree(reader, middle, high))
            high = middle
        else:
            proof.append(_subtree(reader, low, middle))
            low, complete = middle, False
    if not complete:
        proof.append(_subtree(reader, low, high))
    return proof[::-1]


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Raises ProofError unless the log with `new_root` continues `old_root` (RFC 9162 2.1.4.2)."""
    if old > new or (not old and proof) or (old == new and proof):
        raise ProofError(kind="consistency", why="its sizes do not fit")
    if not old or old == new:
        if old_root != (new_root if old else EMPTY_ROOT):
            raise ProofError(kind="consistency", why="the roots differ")
        return
    hashes = list(proof) if old & (old - 1) else [old_root, *proof]
    if not hashes or _fold_consistency(hashes, old - 1, new - 1) != (old_root, new_root):
        raise ProofError(kind="consistency", why="it leads to another root")


def _fold_consistency(hashes: list[bytes], place: int, last: int) -> tuple[bytes, bytes] | None:
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if not last:
            return None
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    return None if last else (old, new)


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def _subtree(reader: TileReader, low: int, high: int) -> bytes:
    """The root over entries low..high; low is a multiple of the power of two that covers the range."""
    rest: list[bytes] = []
    parts = list(_complete_parts(low, high))
    for start, height in reversed(parts):
        rest = (
            [node_hash(_stored(reader, start, height), rest[0])] if rest else [_stored(reader, start, height)]
        )
    return rest[0] if rest else EMPTY_ROOT


def _complete_parts(low: int, high: int) -> Iterator[tuple[int, int]]:
    while low < high:
        height = (high - low).bit_length() - 1
        yield low, height
        low += 1 << height


def _stored(reader: TileReader, start: int, height: int) -> bytes:
    """The root of the complete subtree of 2 ** height entries at `start`."""
    level, inner = divmod(height, TILE_HEIGHT)
    number, first = divmod(start >> TILE_HEIGHT * level, TILE_WIDTH)
    hashes = reader.hashes(level, number, first + (1 << inner))
    return root_of(hashes[first:])
