"""One bundle of 256 entries and what lies beside it, judged alone (obligations 3, 4, 7, 8 and 9).

A pure function of the directory: bundles can be judged in any order and in several processes, and the parent puts
the verdicts together. A bundle whose file and tile agree is settled here but for its root, which the tree above has to
confirm; any other is left to vault.audit.tree, which knows the signed root and says who is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vault.audit import relation
from vault.audit.beside import REWRAP, BesideAudit, SlotPair
from vault.audit.bucket import Buckets
from vault.audit.file import read_bounded
from vault.audit.report import Finding, Report
from vault.audit.seal import SealedObject
from vault.formats.entry import ENTRY_LIMIT, EntryError, Leaf, unpack_bundle
from vault.formats.merkle import HASH_SIZE, TILE_WIDTH, bundle_path, leaf_hash, root_of, tile_path, width_at

GENESIS = "genesis"
NOTABLE = frozenset({
    GENESIS, REWRAP, "key", "root", "compromise", "bucket", "anchor", "signer", "schedule", "hold", "release",
    "dispose", "destroy",
})  # fmt: skip
"""Types whose meaning reaches beyond the entry; vault.audit.history takes them in order."""

_ROOM = 2 + ENTRY_LIMIT  # bytes of one entry in a bundle, at most
_ERASED = "erased"


@dataclass
class Verdict:
    """What was found about one bundle; `root` is None when the tree has to be asked first, and then nothing is."""

    number: int
    root: bytes | None = None
    report: Report = field(default_factory=lambda: Report(""))
    records: bytes = b""  # for vault.audit.relation
    notable: list[tuple[int, bytes]] = field(default_factory=list)
    objects: list[SealedObject] = field(default_factory=list)
    buckets: dict[str, int] = field(default_factory=dict)  # the first entry here that uses each


class BundleAudit:
    """Judges bundles of the log of `size` entries in `directory`, from entry `start` on."""

    def __init__(self, directory: Path, size: int, buckets: Buckets, start: int = 0) -> None:
        self._directory, self._size, self._start = directory, size, start
        self._beside = BesideAudit(directory, buckets)

    def judge(self, number: int) -> Verdict:
        """The verdict on a full bundle; without a root when file and tile do not agree, or it is not full."""
        if width_at(self._size, 0, number) < TILE_WIDTH:
            return Verdict(number)
        log = self._directory / "log"
        try:
            entries = unpack_bundle(read_bounded(log / bundle_path(number), TILE_WIDTH * _ROOM))
            tile = read_bounded(log / tile_path(0, number), TILE_WIDTH * HASH_SIZE)
        except (OSError, EntryError):
            return Verdict(number)
        hashes = [leaf_hash(entry) for entry in entries]
        if len(entries) != TILE_WIDTH or b"".join(hashes) != tile:
            return Verdict(number)
        verdict = self.judge_entries(number, entries)
        verdict.root = root_of(hashes)
        verdict.report.counts.update(bundles=1, tiles=1)
        return verdict

    def judge_entries(self, number: int, entries: Sequence[bytes | None]) -> Verdict:
        """4, 7, 8 and 9 for the entries that the tree vouches for; None stands for any other."""
        verdict, records = Verdict(number), list[bytes]()
        leaves = self._leaves(number, entries, verdict, records)
        pairs = self._beside.slots(number, leaves, verdict.report, records)
        self._beside.bodies(number, leaves, pairs, len(entries), verdict.report)
        for pair in pairs:
            self._take(pair, verdict)
        verdict.records = b"".join(records)
        return verdict

    def _leaves(
        self, number: int, entries: Sequence[bytes | None], verdict: Verdict, records: list[bytes]
    ) -> list[tuple[int, Leaf]]:
        leaves = []
        for index, raw in enumerate(entries, number * TILE_WIDTH):
            if raw is None or index < self._start:
                continue
            try:
                leaf = Leaf.parse(raw)
            except EntryError as cause:
                _fail_entry(verdict, index, str(cause.parameters["why"]))
                continue
            if (leaf.type == GENESIS) != (index == 0):
                _fail_entry(verdict, index, "the log must start with its genesis, and have only one")
            records.append(
                relation.record(leaf.id, relation.SEALING if leaf.object else relation.ENTRY, index)
            )
            if leaf.type in NOTABLE:
                verdict.notable.append((index, raw))
                records += _said(index, leaf)
            leaves.append((index, leaf))
        verdict.report.counts["entries"] += len(leaves)
        return leaves

    def _take(self, pair: SlotPair, verdict: Verdict) -> None:
        leaf = pair.leaf
        for expected in pair.expected():
            if expected:
                verdict.buckets.setdefault(expected[1], pair.index)
        if leaf.object:
            verdict.objects.append(SealedObject(pair.index, leaf.id, leaf.object, pair.object))


def _said(index: int, leaf: Leaf) -> list[bytes]:
    """What an entry says of the keys and objects of others."""
    tags = []
    if leaf.type == "dispose":
        tags = [relation.DISPOSED]
    elif leaf.type == "destroy" and leaf.facts.get("state") == _ERASED:
        tags = [relation.DESTROYED]
    elif leaf.type == REWRAP:
        named = {
            "object_header_sha256": relation.OBJECT_REWRAPPED,
            "body_header_sha256": relation.BODY_REWRAPPED,
        }
        tags = [tag for name, tag in named.items() if name in leaf.facts]
    return [relation.record(subject, tag, index) for subject in leaf.about for tag in tags]


def _fail_entry(verdict: Verdict, index: int, why: str) -> None:
    verdict.report.fail(Finding(4, "verify.entry", "log/tile/entries", why, index))
