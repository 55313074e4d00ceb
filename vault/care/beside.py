"""What lies beside the log for a bundle of entries, put together from two vault directories: key slots and bodies.

Each slot and each record is taken from whichever side holds what its entry names, so that neither a damaged vault nor
an old copy can spoil the other; where neither does, it is named. Slots of entries whose keys the log allows to be
destroyed may be zeros, and zeros are then what is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from core.digest import sha256_hex
from vault.formats.age import KEY_SLOT_SIZE
from vault.formats.entry import Leaf
from vault.formats.merkle import TILE_WIDTH, number_path
from vault.formats.pack import PAIR_ROOM, SLOT_ROOM, PackError, encode_record, read_records
from vault.store.objects import Vault

REWRAP = "rewrap"


@dataclass(frozen=True)
class Problem:
    """Something of the source that is not what was sealed, and is therefore not in the copy, or not right in it."""

    file: str
    entry: int
    why: str


class Beside:
    """Slots and packs of `source`, held against those of the vault directory `target`."""

    def __init__(self, source: Vault, target: Path) -> None:
        self._source, self._target = source, target
        self.destroyable: set[int] = set()  # entries whose slots the log allows to be zeros
        self.problems: list[Problem] = []

    def slots(self, number: int, leaves: Sequence[Leaf], known: int = 0) -> list[bytes]:
        """The slot pairs of a bundle as they should be; where neither side has one, `problems` names it."""
        file, first = slots_name(number), number * TILE_WIDTH
        ours, theirs = slot_pairs(self._target / file), slot_pairs(self._source.slots.path(number))
        return [
            ours[i] if i < known else self._better(file, first + i, leaf, ours[i], theirs[i])
            for i, leaf in enumerate(leaves)
        ]

    def pack(self, number: int, leaves: Sequence[Leaf], known: int = 0) -> tuple[bytes, list[int]]:
        """The pack of a bundle as it should be, and the entries whose record differs from the target's."""
        file, first = pack_name(number), number * TILE_WIDTH
        mine = _records(self._target / file, len(leaves))
        fresh = _records(self._source.packs.path(number), len(leaves))
        records = [
            mine[i] if i < known else self._right(file, first + i, leaf, mine[i], fresh[i])
            for i, leaf in enumerate(leaves)
        ]
        changed = [first + i for i, record in enumerate(records) if record != mine[i]]
        return b"".join(map(encode_record, records)), changed

    def _better(self, file: str, index: int, leaf: Leaf, ours: bytes, theirs: bytes) -> bytes:
        """Both slots of an entry, each from whichever side holds what the entry names; the source's where neither."""
        chosen = b""
        for place, digest in zip((0, SLOT_ROOM), slot_digests(leaf), strict=True):
            mine, other = ours[place : place + SLOT_ROOM], theirs[place : place + SLOT_ROOM]
            if digest is None or holds(other, digest):
                chosen += other
            elif holds(mine, digest):
                chosen += mine
            else:
                chosen += other
                if any(other) or index not in self.destroyable:
                    why = "the key slot is not the one that was sealed"
                    self.problems.append(Problem(file, index, why))
        return chosen

    def _right(self, file: str, index: int, leaf: Leaf, ours: bytes, theirs: bytes) -> bytes:
        """The record of an entry's body, from whichever side holds it."""
        if leaf.body is None or sha256_hex(theirs) == leaf.body.stored_sha256:
            return theirs
        if sha256_hex(ours) == leaf.body.stored_sha256:
            return ours
        self.problems.append(Problem(file, index, "the record is not the one that was sealed"))
        return theirs


def holds(slot: bytes, digest: str) -> bool:
    """Whether a slot has the key of this digest, and nothing behind it."""
    return sha256_hex(slot[:KEY_SLOT_SIZE]) == digest and not any(slot[KEY_SLOT_SIZE:])


def slot_digests(leaf: Leaf) -> tuple[str | None, str | None]:
    """What the entry's body slot and object slot must hold: digests of `header || nonce`, None for an empty one."""
    body = leaf.body.header_sha256 if leaf.body else None
    sealed = leaf.object.header_sha256 if leaf.object else None
    if leaf.type != REWRAP:
        return body, sealed
    return leaf.facts.get("body_header_sha256", body), leaf.facts.get("object_header_sha256")


def slots_name(number: int) -> str:
    """Where the slots of a bundle lie below a vault."""
    return f"keys/slots/{number_path(number)}"


def pack_name(number: int) -> str:
    """Where the pack of a bundle lies below a vault."""
    return f"packs/{number_path(number)}"


def slot_pairs(path: Path) -> list[bytes]:
    """The slot pairs of a bundle, all of them; zeros where the file ends or is not there."""
    raw = path.read_bytes() if path.exists() else b""
    raw = raw[: TILE_WIDTH * PAIR_ROOM].ljust(TILE_WIDTH * PAIR_ROOM, b"\0")
    return [raw[i : i + PAIR_ROOM] for i in range(0, len(raw), PAIR_ROOM)]


def _records(path: Path, count: int) -> list[bytes]:
    """The first records of a pack; empty ones where it ends, or where its lengths no longer meet."""
    found: list[bytes] = []
    with suppress(PackError):
        found.extend(islice(read_records(path), count))
    return found + [b""] * (count - len(found))
