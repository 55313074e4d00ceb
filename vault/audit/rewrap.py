"""Recordings whose keys were wrapped anew: does the newest header open them? (obligation 9 of vault/audit/verify.py).

A `rewrap` entry keeps the recording's new headers in its own key slots and leaves the old ones alone, which may be
destroyed after it. So what the recording's own entry can no longer open, the newest of these has to.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vault.audit.beside import BesideAudit
from vault.audit.bucket import Buckets
from vault.audit.file import read_bounded
from vault.audit.relation import Rewrapped
from vault.audit.report import Report
from vault.audit.seal import ObjectAudit, ObjectOutcome, SealedObject
from vault.error import VaultError
from vault.formats.entry import ENTRY_LIMIT, EntryError, Leaf, unpack_bundle
from vault.formats.merkle import TILE_WIDTH, bundle_path, width_at

_ROOM = TILE_WIDTH * (2 + ENTRY_LIMIT)


class RewrapAudit:
    """Opens recordings with their newest headers; reads each object a second time, because few are wrapped anew."""

    def __init__(self, directory: Path, size: int, buckets: Buckets) -> None:
        self._log, self._size, self._buckets = directory / "log", size, buckets
        self._objects, self._beside = ObjectAudit(directory, buckets), BesideAudit(directory, buckets)

    def judge(self, found: Rewrapped, report: Report) -> ObjectOutcome | None:
        """9. The outcome of reading the object with its newest header; takes down what is wrong with the body."""
        try:
            leaf = self._leaf(found.index)
            if found.by_body is not None:
                self._beside.rewrapped_body((found.index, leaf), self._named(found.by_body), report)
            if found.by_object is None or leaf.object is None:
                return None
            index, rewrap = self._named(found.by_object)
        except (OSError, VaultError):
            return None  # a bundle that cannot be read was named on the walk
        bucket = str(rewrap.facts.get("bucket"))
        if self._buckets.identity(bucket) is None:
            return None
        slot = self._beside.raw_pair(index)[1]
        return self._objects.read(
            SealedObject(found.index, leaf.id, replace(leaf.object, bucket=bucket), slot)
        )

    def _named(self, index: int) -> tuple[int, Leaf]:
        return index, self._leaf(index)

    def _leaf(self, index: int) -> Leaf:
        number, place = divmod(index, TILE_WIDTH)
        path = self._log / bundle_path(number, width_at(self._size, 0, number))
        entries = unpack_bundle(read_bounded(path, _ROOM))
        if place >= len(entries):
            raise EntryError(why="its bundle is too short")
        return Leaf.parse(entries[place])
