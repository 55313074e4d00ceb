from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.formats.merkle import (
    EMPTY_ROOT,
    Frontier,
    ProofError,
    Tile,
    TileError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    tiles_for_append,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

LIMIT = 66_000  # crosses a full tile of level 1
LEAVES = [leaf_hash(b"%d" % n) for n in range(LIMIT)]


@cache
def specified_root(low: int, high: int) -> bytes:
    """RFC 6962 section 2.1, word for word: the oracle."""
    if high - low < 2:
        return LEAVES[low] if high > low else EMPTY_ROOT
    k = 1
    while k * 2 < high - low:
        k *= 2
    return node_hash(specified_root(low, low + k), specified_root(low + k, high))


class Shelf:
    """Tiles in memory; a full tile that changes fails the test."""

    def __init__(self) -> None:
        self.tiles: dict[tuple[int, int], tuple[bytes, ...]] = {}
        self.reads = 0

    def put(self, tile: Tile) -> None:
        old = self.tiles.get((tile.level, tile.number), ())
        assert tile.hashes[: len(old)] == old
        assert len(tile.hashes) > len(old) or tile.hashes == old
        self.tiles[tile.level, tile.number] = tile.hashes

    def hashes(self, level: int, number: int, width: int) -> tuple[bytes, ...]:
        self.reads += 1
        hashes = self.tiles.get((level, number), ())
        if len(hashes) < width:
            raise TileError(path=f"{level}/{number}")
        return hashes[:width]


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    shelf, frontier = Shelf(), Frontier()
    for leaf in LEAVES:
        for tile in frontier.add(leaf):
            shelf.put(tile)
    for tile in frontier.partial_tiles():
        shelf.put(tile)
    return shelf


SIZE = st.one_of(
    st.integers(1, 600),
    st.sampled_from([255, 256, 257, 511, 512, 65535, 65536, 65537]),
    st.integers(1, LIMIT),
)


@given(SIZE)
def test_the_root_is_rfc_6962s(shelf: Shelf, size: int) -> None:
    assert tree_root(shelf, size) == specified_root(0, size)
    assert Frontier.resume(shelf, size).root() == specified_root(0, size)


@given(SIZE, st.data())
def test_every_inclusion_proof_holds_and_only_there(shelf: Shelf, size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    root, proof = specified_root(0, size), inclusion_proof(shelf, index, size)
    verify_inclusion(LEAVES[index], index, size, proof, root)
    wrong_index = data.draw(st.integers(0, size + 2).filter(lambda other: other != index))
    for leaf, place, hashes in (
        (LEAVES[(index + 1) % LIMIT], index, proof),
        (LEAVES[index], wrong_index, proof),
        (LEAVES[index], index, [*proof, bytes(32)]),
        (LEAVES[index], index, proof[:-1] if proof else [bytes(32)]),
    ):
        with pytest.raises(ProofError):
            verify_inclusion(leaf, place, size, hashes, root)


@given(SIZE, st.data())
def test_every_consistency_proof_holds_and_no_other(shelf: Shelf, new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    old_root, new_root = specified_root(0, old), specified_root(0, new)
    proof = consistency_proof(shelf, old, new)
    verify_consistency(old, new, proof, old_root, new_root)
    broken = [bytes(32), *proof[1:]] if proof else [bytes(32)]
    for hashes, first, last in (
        (broken, old_root, new_root),
        ([*proof, bytes(32)], old_root, new_root),
        (proof, bytes(32), new_root),
        (proof, old_root, bytes(32)),
    ):
        with pytest.raises(ProofError):
            verify_consistency(old, new, hashes, first, last)


def test_small_logs_exhaustively(shelf: Shelf) -> None:
    for size in range(1, 34):
        for other in range(size):
            proof = inclusion_proof(shelf, other, size)
            verify_inclusion(LEAVES[other], other, size, proof, specified_root(0, size))
            old = other + 1
            proof = consistency_proof(shelf, old, size)
            verify_consistency(old, size, proof, specified_root(0, old), specified_root(0, size))


@given(st.lists(st.integers(0, 600), min_size=1, max_size=6))
def test_growing_writes_the_same_tiles_as_a_log_of_that_size(steps: list[int]) -> None:
    shelf, size = Shelf(), 0
    for step in steps:
        tiles, root = tiles_for_append(shelf, size, LEAVES[size : size + step])
        for tile in tiles:
            shelf.put(tile)
        size += step
        assert root == specified_root(0, size)
        if size:
            assert tree_root(shelf, size) == root
    whole = Shelf()
    for tile in tiles_for_append(whole, 0, LEAVES[:size])[0]:
        whole.put(tile)
    assert shelf.tiles == whole.tiles


def test_one_more_entry_computes_one_tile(shelf: Shelf) -> None:
    tiles, _ = tiles_for_append(shelf, 65_000, LEAVES[65_000:65_001])
    assert [(tile.level, tile.number, len(tile.hashes)) for tile in tiles] == [(0, 253, 233)]


def test_a_filled_tile_touches_the_level_above(shelf: Shelf) -> None:
    tiles, _ = tiles_for_append(shelf, 65_535, LEAVES[65_535:65_536])
    assert [(tile.level, tile.number, len(tile.hashes)) for tile in tiles] == [
        (0, 255, 256),
        (1, 0, 256),
        (2, 0, 1),
    ]


def test_a_proof_reads_few_tiles(shelf: Shelf) -> None:
    before = shelf.reads
    inclusion_proof(shelf, 12_345, LIMIT)
    assert shelf.reads - before <= 40


def test_nothing_added_changes_nothing() -> None:
    assert tiles_for_append(Shelf(), 0, []) == ([], EMPTY_ROOT)
    assert tree_root(Shelf(), 0) == root_of([]) == EMPTY_ROOT


def test_proofs_of_what_cannot_be_are_refused(shelf: Shelf) -> None:
    for index, size in ((1, 1), (-1, 1), (0, 0)):
        with pytest.raises(ValueError, match="no such entry"):
            inclusion_proof(shelf, index, size)
    for old, new in ((0, 1), (2, 1)):
        with pytest.raises(ValueError, match="earlier"):
            consistency_proof(shelf, old, new)
    verify_consistency(0, 5, [], EMPTY_ROOT, specified_root(0, 5))
    for old, new, proof in ((0, 5, [bytes(32)]), (5, 5, [bytes(32)]), (6, 5, []), (3, 5, [])):
        with pytest.raises(ProofError):
            verify_consistency(old, new, proof, EMPTY_ROOT, specified_root(0, 5))
    with pytest.raises(ProofError):
        verify_consistency(5, 5, [], specified_root(0, 4), specified_root(0, 5))


@given(st.integers(-1, 70), st.integers(-1, 70), st.lists(st.binary(min_size=32, max_size=32), max_size=9))
def test_a_made_up_proof_never_holds(first: int, second: int, proof: list[bytes]) -> None:
    with pytest.raises(ProofError):
        verify_inclusion(b"\1" * 32, first, second, proof, b"\2" * 32)
    with pytest.raises(ProofError):
        verify_consistency(first, second, proof, b"\1" * 32, b"\2" * 32)
