"""What the log says of its own keys, readers and buckets, taken in order (obligations 1, 4, 7 and 11).

Whoever may read and whoever may sign is decided by entries, not by files: genesis names the first log key and the
readers of every bucket, later `key` and `root` entries replace them, a `bucket` entry commits to a bucket's keys before
anything is sealed to it, a `destroy` entry lists the buckets whose identities are gone. The files in `keys/` and
`log/handover` are held to that, and acts that people approve to the keys of persons. Memory grows with buckets and
keys, never with recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from vault.audit.approval import Signatures
from vault.audit.bucket import Buckets, check_bucket_files
from vault.audit.file import read_bounded
from vault.audit.policy import check_compromised
from vault.audit.report import Finding, Report, reason
from vault.formats.entry import Leaf
from vault.formats.handover import DIRECTORY, Handover
from vault.formats.spelling import is_bucket

_LIMIT = 1 << 16  # bytes of a recipient file
READERS = ("root", "recovery")


class Approvals(Protocol):
    """Knows roles, schedules and holds; lives above this package. Signatures were checked before it is asked."""

    def judge(self, index: int, leaf: Leaf) -> str:
        """Why an entry should not have been taken, after the entries before it; empty when it should."""


class History:
    """Takes the notable entries in order and judges the files about them at the end."""

    def __init__(
        self, directory: Path, report: Report, made_at: str, handovers: Sequence[Handover],
        approvals: Approvals | None = None,
    ) -> None:  # fmt: skip
        self._directory, self._report, self._made_at = directory, report, made_at
        self._handovers, self._approvals = handovers, approvals
        self._signatures = Signatures(directory, report)
        self._readers: dict[str, list[str]] = {}
        self._log_keys: list[tuple[int, str]] = []
        self._committed: dict[
            str, tuple[int, str, str]
        ] = {}  # first entry; recipient and digest of the newest
        self._used: dict[str, int] = {}  # first entry that uses the bucket
        self._destroyed: dict[str, int] = {}  # the entry that says so
        self._compromised: dict[str, int] = {}  # a key's text, and the entry that says so first
        self._unjudged = 0
        self.anchors: list[Leaf] = []

    def take(self, index: int, leaf: Leaf, *, earlier: bool = False) -> None:
        """One notable entry (vault.audit.bundle.NOTABLE), in the order of the log.

        An `earlier` one is learned from and was judged before.
        """
        if leaf.type == "genesis" and not index:
            self._take_genesis(leaf)
        elif leaf.type == "root":
            self._take_readers(leaf)
        elif leaf.type == "key":
            self._take_key(index, leaf)
        elif leaf.type == "compromise":
            self._compromised.setdefault(str(leaf.facts.get("vkey")), index)
        elif leaf.type == "bucket":
            self._take_bucket(index, leaf)
        elif leaf.type == "destroy":
            self._take_destroy(index, leaf)
        elif leaf.type == "anchor":
            self.anchors.append(leaf)
        self._take_approvals(index, leaf, earlier=earlier)

    def use(self, name: str, index: int) -> None:
        """Entry `index` is the first of its bundle that seals something to this bucket."""
        if index < self._used.get(name, index + 1):
            self._used[name] = index

    def is_destruction_told(self, buckets: Buckets) -> bool:
        """Whether every bucket that is missing is one that a destroy entry lists."""
        return all(name in self._destroyed for name in self._used if buckets.is_absent(name))

    def close(self, buckets: Buckets) -> None:
        """7. and 11. Hold the files to what was said."""
        self._check_handovers()
        self._check_readers()
        check_compromised(self._directory, self._compromised, self._report)
        for name, index in sorted(self._used.items()):
            said = self._committed.get(name)
            if said is None or said[0] > index:
                why = f"no earlier entry commits to the keys of the bucket {name}"
                self._fail(index, why)
        for name in sorted({*self._used, *self._committed}):
            self._check_bucket(name, buckets)
        if self._unjudged:
            why = f"{self._unjudged} entries; this program was given nothing that knows the station's rules"
            self._report.note(Finding(11, "notice.approval", "log/tile/entries", why))

    def _take_genesis(self, genesis: Leaf) -> None:
        self._take_readers(genesis)
        self._log_keys.append((0, str(genesis.facts.get("key"))))
        if self._made_at != genesis.time:
            why = "made_at is not the time of the founding"
            self._report.fail(Finding(1, "verify.vault_file", "vault.json", why))

    def _take_readers(self, leaf: Leaf) -> None:
        """Genesis and every later `root` entry name all readers; several of one kind are a list."""
        for name in READERS:
            said = leaf.facts.get(name)
            self._readers[name] = [str(text) for text in (said if isinstance(said, list) else [said])]

    def _take_key(self, index: int, leaf: Leaf) -> None:
        name, vkey = str(leaf.facts.get("name")), str(leaf.facts.get("vkey"))
        if self._report.founding_key is not None and name == self._report.founding_key.name:
            self._log_keys.append((index, vkey))

    def _take_bucket(self, index: int, leaf: Leaf) -> None:
        name, recipient, digest = (str(leaf.facts.get(key)) for key in ("name", "recipient", "sha256"))
        if not is_bucket(name):
            self._fail(index, "what it names cannot be a bucket")
            return
        known = self._committed.get(name)
        if known and known[1] != recipient:
            self._fail(index, f"the bucket {name} has another recipient than it had")
        if name in self._destroyed:
            self._fail(index, f"the bucket {name} was destroyed")
        self._committed[name] = (known[0] if known else index, recipient, digest)

    def _take_destroy(self, index: int, leaf: Leaf) -> None:
        names = leaf.facts.get("buckets", [])
        for name in names if isinstance(names, list) else []:
            self._destroyed.setdefault(str(name), index)

    def _take_approvals(self, index: int, leaf: Leaf, *, earlier: bool) -> None:
        """11. The signatures first; only an entry that people did sign is put before the judge."""
        self._signatures.take(index, leaf)
        if earlier:
            return
        is_disposal = leaf.type == "dispose"
        why = self._signatures.judge(leaf)
        if not why and self._approvals is not None:
            why = self._approvals.judge(index, leaf)
        if why:
            self._report.fail(Finding(11, "verify.history", "log/tile/entries", why, index))
        self._report.counts["approved"] += is_disposal and not why
        self._unjudged += is_disposal and self._approvals is None

    def _check_handovers(self) -> None:
        """1. The key entries about the log's own key are those that log/handover proves, and no others."""
        proven = [(step.size - 1, step.key.vkey) for step in self._handovers]
        founding = self._report.founding_key
        if founding is None or self._log_keys[:1] != [(0, founding.vkey)]:
            self._report.fail(
                Finding(
                    4, "verify.entry", "log/tile/entries", "it names another key than the one that signs", 0
                )
            )
        if self._log_keys[1:] != proven:
            why = "its files are not those of the key entries on the log"
            self._report.fail(Finding(1, "verify.handover", DIRECTORY, why))

    def _check_readers(self) -> None:
        """7. Nobody but the log made somebody a reader of new buckets."""
        for name in READERS:
            file = f"keys/{name}.recipient"
            try:
                found = read_bounded(self._directory / file, _LIMIT)
            except OSError as cause:
                self._report.fail(Finding(7, "verify.bucket", file, reason(cause)))
                continue
            if found != "".join(f"{text}\n" for text in self._readers.get(name, [])).encode():
                why = "it is not the one that the log names"
                self._report.fail(Finding(7, "verify.bucket", file, why))

    def _check_bucket(self, name: str, buckets: Buckets) -> None:
        by, file = self._destroyed.get(name), f"keys/buckets/{name}"
        if by is None:
            said = self._committed.get(name)
            committed = (said[1], said[2]) if said else None
            readers = {text for texts in self._readers.values() for text in texts}
            check_bucket_files(self._directory, name, committed, readers, buckets, self._report)
        elif not buckets.is_absent(name):
            why = f"entry {by} says that it was destroyed"
            self._report.fail(Finding(7, "verify.destroyed", file, why, by))

    def _fail(self, index: int, why: str) -> None:
        self._report.fail(Finding(7, "verify.history", "log/tile/entries", why, index))
