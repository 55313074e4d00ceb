"""What entries say about each other, brought together by id (obligations 4, 6 and 7 of vault/audit/verify.py).

Whether a key or an object may be gone, and whether an id stands twice, is decided by entries that may lie anywhere
on the log. So each entry, each gap and each disposal leaves a short record; the records are sorted by id outside the
memory and judged id by id. Memory is one run and a few blocks however long the log is.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO

from vault.audit.report import Finding
from vault.formats.merkle import TILE_WIDTH, number_path

ID_SIZE = 26  # characters of a ULID
_SIZE = ID_SIZE + 1 + 8  # id, tag, index as big-endian uint64
_RUN = 1 << 17  # records sorted at once: about 12 MB
_BLOCK = 4096  # records read of a run at once
_PAIR, _SLOT = 512, 256  # bytes (docs/formats/vault-layout.md, Key slots)

ENTRY, SEALING = b"a", b"b"  # an entry; one that seals an object
NO_BODY_KEY, NO_OBJECT_KEY = b"c", b"d"  # zeros where the entry commits to a key
NO_BODY_BUCKET, NO_OBJECT_BUCKET = b"e", b"f"  # the key is there, its bucket is not
NO_OBJECT = b"g"  # no file where the entry seals one
DISPOSED, BODY_REWRAPPED, OBJECT_REWRAPPED = b"p", b"q", b"r"  # what a later entry says of this one
DESTROYED = b"s"
FILE = b"t"  # a file in objects/; its index means nothing

_ALLOWED_BY = {
    NO_BODY_KEY: DISPOSED + BODY_REWRAPPED, NO_BODY_BUCKET: DISPOSED + BODY_REWRAPPED,
    NO_OBJECT_KEY: DISPOSED + OBJECT_REWRAPPED, NO_OBJECT_BUCKET: DISPOSED + OBJECT_REWRAPPED,
    NO_OBJECT: DISPOSED,
}  # fmt: skip
_HALF = {NO_BODY_KEY: 0, NO_BODY_BUCKET: 0, NO_OBJECT_KEY: _SLOT, NO_OBJECT_BUCKET: _SLOT}
_GONE = "the key is gone and no entry says that it was destroyed"
UNREADABLE = "the bucket of this key is gone and no entry says that it was disposed of or wrapped anew"


def record(entry_id: str, tag: bytes, index: int) -> bytes:
    """One thing to remember about the entry with this id; `index` is the place of whoever says it."""
    return entry_id.encode() + tag + index.to_bytes(8, "big")


def object_file(entry_id: str) -> str:
    """Where the object of an entry lies below the vault."""
    return f"objects/{entry_id[-2:].lower()}/{entry_id}.chunks"


@dataclass(frozen=True)
class Rewrapped:
    """A recording and the newest entries that wrapped its object's and its body's key anew."""

    index: int
    by_object: int | None
    by_body: int | None


class Relations:
    """Takes records in any order and gives them back by id. Raises OSError when there is no room for them."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._runs: list[tuple[int, int]] = []  # first byte and one past the last of each sorted run
        self._file: BinaryIO | None = None

    def add(self, records: bytes) -> None:
        """Take records that stand one behind the other."""
        self._held += [records[i : i + _SIZE] for i in range(0, len(records), _SIZE)]
        if len(self._held) >= _RUN:
            self._spill()

    def judged(self) -> Iterator[Finding | Rewrapped]:
        """What the records of one id contradict, and what was wrapped anew; by id, so in no order of entries."""
        for records in self._sorted():
            ids = [one[:ID_SIZE] for one in records]
            if len(set(ids)) == len(ids) and not any(one[ID_SIZE:-8] == FILE for one in records):
                continue  # each id once: nothing is missing and nothing stands twice
            for entry_id, group in groupby(records, lambda one: one[:ID_SIZE]):
                yield from _judge(entry_id.decode(), list(group))

    def close(self) -> None:
        """Forget everything."""
        if self._file:
            self._file.close()

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed by close(), and nameless before that
        self._held.sort()
        start = self._file.tell()
        self._file.write(b"".join(self._held))
        self._runs.append((start, self._file.tell()))
        self._held = []

    def _sorted(self) -> Iterator[list[bytes]]:
        """All records in order, in pieces that never part an id."""
        if not self._file:
            yield sorted(self._held)
            return
        self._spill()
        runs = [_Run(self._file, start, end) for start, end in self._runs]
        rest: list[bytes] = []
        while runs:
            bound = min(run.fill() for run in runs)
            merged = rest + [one for run in runs for one in run.take(bound)]
            merged.sort()
            runs = [run for run in runs if not run.is_empty]
            last = merged[-1][:ID_SIZE] if runs and merged else b"\xff"
            cut = next((i for i in range(len(merged), 0, -1) if merged[i - 1][:ID_SIZE] < last), 0)
            yield merged[:cut]
            rest = merged[cut:]


class _Run:
    """One sorted run in the file, a block of it in memory."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file, self._place, self._end = file, start, end
        self._block: list[bytes] = []

    @property
    def is_empty(self) -> bool:
        return not self._block and self._place == self._end

    def fill(self) -> bytes:
        """The greatest record in memory, once there is one."""
        if not self._block:
            self._file.seek(self._place)
            raw = self._file.read(min(_BLOCK * _SIZE, self._end - self._place))
            self._place += len(raw)
            self._block = [raw[i : i + _SIZE] for i in range(0, len(raw), _SIZE)]
        return self._block[-1]

    def take(self, bound: bytes) -> list[bytes]:
        count = bisect_right(self._block, bound)
        taken, self._block = self._block[:count], self._block[count:]
        return taken


def _judge(entry_id: str, records: list[bytes]) -> Iterator[Finding | Rewrapped]:
    """4, 6 and 7. for one id; its records are in the order of their tags."""
    said = [(one[ID_SIZE:-8], int.from_bytes(one[-8:], "big")) for one in records]
    entries = sorted(index for tag, index in said if tag in ENTRY + SEALING)
    for index in entries[1:]:
        yield Finding(4, "verify.id", "log/tile/entries", f"entry {entries[0]}", index)
    for tag, index in said:
        if tag in _ALLOWED_BY and not any(by in _ALLOWED_BY[tag] and at > index for by, at in said):
            yield _gap(entry_id, tag, index)
    yield from _leftovers(entry_id, said)
    by_object, by_body = (
        [at for tag, at in said if tag == one] for one in (OBJECT_REWRAPPED, BODY_REWRAPPED)
    )
    if entries and (by_object or by_body) and not any(tag == DISPOSED for tag, _ in said):
        yield Rewrapped(entries[0], max(by_object, default=None), max(by_body, default=None))


def _gap(entry_id: str, tag: bytes, index: int) -> Finding:
    if tag == NO_OBJECT:
        return Finding(6, "verify.object", object_file(entry_id), "there is no such file", index)
    why = _GONE if tag in NO_BODY_KEY + NO_OBJECT_KEY else UNREADABLE
    return _at_slot(7, "verify.slot", why, index, _HALF[tag])


def _leftovers(entry_id: str, said: list[tuple[bytes, int]]) -> Iterator[Finding]:
    """A file that no entry seals; a file or key that a destroy entry says is gone."""
    places = dict(reversed(said))  # the first index of each tag
    if FILE in places and SEALING not in places:
        yield Finding(6, "notice.extra_object", object_file(entry_id))
    if DESTROYED not in places or SEALING not in places:
        return
    by, index = places[DESTROYED], places[SEALING]
    why = f"entry {by} says that it was destroyed"
    if FILE in places and NO_OBJECT not in places:
        yield Finding(6, "verify.destroyed", object_file(entry_id), why, index)
    if NO_OBJECT_KEY not in places:
        yield _at_slot(7, "verify.destroyed", why, index, _SLOT)


def _at_slot(obligation: int, code: str, why: str, index: int, half: int) -> Finding:
    bundle, place = divmod(index, TILE_WIDTH)
    first = place * _PAIR + half
    file = f"keys/slots/{number_path(bundle)}"
    return Finding(obligation, code, file, why, index, first, first + _SLOT - 1)
