"""Where the keys of a recording lie now: `rewrap` entries put new headers into slots of their own.

A re-wrap takes the same file key to another bucket and leaves what was there as it is; the payload and its nonce never
change. This is the finder, from the entry bundles that lie in the vault directory; it gives places and proves nothing.
A header is held to its entry's digest by whoever uses it, and a wrong one opens nothing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from vault.formats.entry import Leaf, unpack_bundle
from vault.formats.merkle import TILE_WIDTH, bundle_path

REWRAP = "rewrap"
_GLANCE = b'"type":"rewrap"'


@dataclass(frozen=True)
class Wrapping:
    """One place of a recording's keys: the entry whose slots hold the headers, and the bucket they are sealed to.

    `body_header_sha256` is None when the recording has no private part.
    """

    index: int
    bucket: str
    object_header_sha256: str
    body_header_sha256: str | None


class Wrappings:
    """The re-wraps on one log; reads each entry bundle once and goes on where it stopped. Safe between threads."""

    def __init__(self, log_path: Path) -> None:
        self._log_path = log_path
        self._known = 0
        self._found: dict[str, list[Wrapping]] = defaultdict(list)
        self._lock = Lock()

    def of(self, index: int, leaf: Leaf) -> list[Wrapping]:
        """Every wrapping of the recording that entry `index` sealed, the newest first. Raises TileError or OSError."""
        if leaf.object is None:
            return []
        with self._lock:
            self._read_on()
            later = list(reversed(self._found.get(leaf.id, ())))
        body = leaf.body.header_sha256 if leaf.body else None
        return [*later, Wrapping(index, leaf.object.bucket, leaf.object.header_sha256, body)]

    def of_body(self, index: int, leaf: Leaf) -> list[tuple[int, str, str]]:
        """Places of the private part's key, the newest first: entry, bucket, and digest of `header || nonce` there."""
        if leaf.body is None:
            return []
        later = [each for each in self.of(index, leaf) if each.index != index]
        moved = [
            (each.index, each.bucket, each.body_header_sha256) for each in later if each.body_header_sha256
        ]
        return [*moved, (index, leaf.body.bucket, leaf.body.header_sha256)]

    def _read_on(self) -> None:
        size = _size(self._log_path)
        while self._known < size:
            number, first = divmod(self._known, TILE_WIDTH)
            entries = self._bundle(number, min(TILE_WIDTH, size - number * TILE_WIDTH))
            for place, raw in enumerate(entries[first:], self._known):
                if _GLANCE in raw:
                    self._take(place, Leaf.parse(raw))
            self._known = number * TILE_WIDTH + len(entries)

    def _take(self, place: int, leaf: Leaf) -> None:
        if leaf.type == REWRAP and len(leaf.about) == 1:
            facts = leaf.facts
            headers = facts["object_header_sha256"], facts.get("body_header_sha256")
            self._found[leaf.about[0]].append(Wrapping(place, facts["bucket"], *headers))

    def _bundle(self, number: int, width: int) -> list[bytes]:
        path = self._log_path / bundle_path(number, width)
        try:
            return unpack_bundle(path.read_bytes())
        except FileNotFoundError:  # the log grew meanwhile, and the whole bundle took its place
            return unpack_bundle((self._log_path / bundle_path(number, TILE_WIDTH)).read_bytes())


def _size(log_path: Path) -> int:
    """Entries on the log, as its head says; a vault that is being founded has none."""
    try:
        lines = (log_path / "checkpoint").read_bytes().split(b"\n", 2)
    except FileNotFoundError:
        return 0
    return int(lines[1]) if len(lines) > 1 and lines[1].isdigit() else 0
