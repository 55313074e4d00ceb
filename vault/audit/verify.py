"""The independent verifier: a bare copy of a vault directory, and a yes or a no that names what is wrong.

What a clean report establishes; code in this package is labelled with the numbers.
  1. vault.json is whole, and the key it names is the one the reader trusts.
  2. That key signed log/checkpoint, for this vault's origin; log/policy names it and no other log's.
  3. Every entry bundle and tile that the checkpoint calls for is there and leads from entries to root.
  4. Every entry reads as an entry, strictly; the first is the genesis, no other is, and it names this key.
  5. Every earlier checkpoint and receipt that the reader kept is a beginning of this log.
  6. Every sealed object is there, with the size and the digest that its entry names.
  7. Every key slot holds the header that its entry names and nothing else; every bucket named has its keys;
     root and recovery recipients are those of the genesis, so that nobody else was made a reader of new buckets.
  8. Every body is in its pack with the digest that its entry names.
  9. With identities: every header opens, and every plaintext has the digest and size that its entry names.
Left to the reader: that the key is the bureau's; that a recorder was pointed at the truth. Objects that no
entry names are notices. Needs no database and no settings; memory is a few tiles and buffers however long the
log is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from core.canonical import CanonicalError, decode
from vault.audit.bucket import Buckets
from vault.audit.file import read_bounded
from vault.audit.policy import check_policy
from vault.audit.report import Finding, Report, reason
from vault.audit.seal import ObjectOutcome, SealAudit, SealedEntry, object_file
from vault.audit.tree import TreeAudit
from vault.error import VaultError
from vault.formats.age import Identity
from vault.formats.checkpoint import Checkpoint, parse_checkpoint
from vault.formats.entry import EntryError, Leaf, is_stamp, is_ulid, unpack_bundle
from vault.formats.merkle import TILE_WIDTH, DirectoryTiles, bundle_path, tree_root, width_at
from vault.formats.note import VerifierKey
from vault.formats.proof import Receipt, Trust

READERS = 2  # threads over objects: hashing and opening release the interpreter lock
_IN_FLIGHT = 16  # objects handed out and not yet answered for
_SMALL = 1 << 20  # bytes; far above any file that holds one fact, and nothing to fear
_EARLIER = 1 << 22  # bytes of a checkpoint or receipt that somebody kept; a receipt carries one entry
_GENESIS = "genesis"
_RECEIPT_START = b"c2sp.org/tlog-proof@"
_VAULT_KEYS = {"v", "id", "origin", "key", "made_at"}


@dataclass(frozen=True)
class Progress:
    """How far a verification is."""

    entries: int
    entries_total: int
    bytes_read: int


def verify_vault(
    directory: Path,
    verifier: VerifierKey | None,
    *,
    identities: Sequence[Identity] | None = None,
    against: Sequence[Path] = (),
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Check the vault in `directory` against obligations 1 to 9; finds what it can, raises for nothing in it.

    Without `verifier` the vault's own key is used and the report's trust is "claimed". `identities` are the
    root's, the recovery's or buckets'. `against` are checkpoints or receipts of this vault, kept elsewhere.
    """
    report = Report(str(directory))
    key = _vault_key(directory, verifier, report)
    if key is None:
        return report
    check_policy(directory, key, report)
    checkpoint = _checkpoint(directory, key, report)
    if checkpoint is None:
        return report
    report.checkpoint = checkpoint
    _Run(directory, checkpoint, identities or (), report).run(progress or (lambda _: None))
    for path in against:
        _check_against(directory, checkpoint, key, path, report)
    return report


def _vault_key(directory: Path, trusted: VerifierKey | None, report: Report) -> VerifierKey | None:
    """1. The key to check with; None when vault.json is unusable or names another."""
    try:
        facts = decode(read_bounded(directory / "vault.json", _SMALL))
        whole = set(facts) == _VAULT_KEYS and facts["v"] == 1 and is_ulid(facts["id"])
        whole = whole and is_stamp(facts["made_at"])  # for people only: nothing proves it
        claimed = VerifierKey.parse(facts["key"]) if whole and isinstance(facts["key"], str) else None
    except (OSError, CanonicalError, VaultError) as cause:
        report.fail(Finding(1, "verify.vault_file", "vault.json", reason(cause)))
        return None
    if claimed is None or not facts["origin"] == claimed.name == f"sealdock/{facts['id'].lower()}":
        report.fail(Finding(1, "verify.vault_file", "vault.json", "its facts are not those of a vault"))
        return None
    if trusted is not None and trusted != claimed:
        report.fail(Finding(1, "verify.key", "vault.json", "the keys differ"))
    report.key = trusted or claimed
    report.trust = Trust.CONFIRMED if trusted else Trust.CLAIMED
    return report.key


def _checkpoint(directory: Path, key: VerifierKey, report: Report) -> Checkpoint | None:
    """2. The signed head of the log."""
    try:
        return parse_checkpoint(read_bounded(directory / "log" / "checkpoint", _SMALL), key)
    except (OSError, VaultError) as cause:
        why = reason(cause)
    report.fail(Finding(2, "verify.checkpoint", "log/checkpoint", why))
    return None


class _Run:
    """One walk over the log with everything beside it."""

    def __init__(
        self, directory: Path, checkpoint: Checkpoint, identities: Sequence[Identity], report: Report
    ) -> None:
        self._directory, self._size, self._report = directory, checkpoint.size, report
        self._tree = TreeAudit(directory / "log", checkpoint, report)
        buckets = Buckets(directory, identities, report)
        self._seals = SealAudit(directory, buckets, report)
        self._waiting: deque[Future[ObjectOutcome]] = deque()

    def run(self, progress: Callable[[Progress], None]) -> None:
        with ThreadPoolExecutor(READERS, "verify") as readers:
            for number, entries in self._tree.bundles():
                leaves = list(self._leaves(number, entries))
                sealed = self._seals.slots(number, leaves)  # 7
                self._seals.bodies(number, sealed, len(entries))  # 8, 9
                for entry in sealed:
                    if entry.leaf.object:
                        self._hand_out(readers, entry)
                done = min(self._size, number * TILE_WIDTH + len(entries))
                progress(Progress(done, self._size, self._report.counts["object_bytes"]))
            self._take_in(0)
        self._look_for_extras()

    def _leaves(self, number: int, entries: Sequence[bytes | None]) -> Iterator[tuple[int, Leaf]]:
        """4. The entries of a bundle that the tree vouches for."""
        for index, raw in enumerate(entries, number * TILE_WIDTH):
            if raw is None:
                continue
            try:
                leaf = Leaf.parse(raw)
            except EntryError as cause:
                self._fail_entry(index, str(cause.parameters["why"]))
                continue
            if (leaf.type == _GENESIS) != (index == 0):
                self._fail_entry(index, "the log must start with its genesis, and have only one")
            elif not index:
                self._check_genesis(leaf)
            self._report.counts["entries"] += 1
            yield index, leaf

    def _check_genesis(self, genesis: Leaf) -> None:
        """4. and 7. The first entry binds the log's key and the two readers of every bucket."""
        if self._report.key is None or genesis.facts.get("key") != self._report.key.vkey:
            self._fail_entry(0, "it names another key than the one that signs")
        for name in ("root", "recovery"):
            file = f"keys/{name}.recipient"
            try:
                found = read_bounded(self._directory / file, _SMALL)
            except OSError as cause:
                self._report.fail(Finding(7, "verify.bucket", file, reason(cause)))
                continue
            if found != f"{genesis.facts.get(name)}\n".encode():
                self._report.fail(Finding(7, "verify.bucket", file, "it is not the one in the genesis entry"))

    def _fail_entry(self, index: int, why: str) -> None:
        self._report.fail(Finding(4, "verify.entry", "log/tile/entries", why, index))

    def _hand_out(self, readers: ThreadPoolExecutor, entry: SealedEntry) -> None:
        self._report.counts["objects"] += 1
        self._waiting.append(readers.submit(self._seals.sealed_object, entry))
        self._take_in(_IN_FLIGHT)

    def _take_in(self, leave: int) -> None:
        """6, 9. Take down what the readers found, oldest first, until no more than `leave` are out."""
        while len(self._waiting) > leave:
            outcome = self._waiting.popleft().result()
            self._report.counts["object_bytes"] += outcome.size
            self._report.counts["opened_objects"] += outcome.opened
            for fault in outcome.faults:
                self._report.fail(fault)

    def _look_for_extras(self) -> None:
        """Files in objects/ that no entry names; their names are held only when the counts differ."""
        objects = self._report.counts["objects"]
        if sum(1 for _ in _object_files(self._directory)) == objects and self._report.ok:
            return
        unnamed = set(_object_files(self._directory))
        for leaf in _every_leaf(self._directory / "log", self._size):
            if leaf.object:
                unnamed.discard(object_file(leaf.id))
        for file in sorted(unnamed):
            self._report.note(Finding(6, "notice.extra_object", file))


def _object_files(directory: Path) -> Iterator[str]:
    for path in directory.glob("objects/**/*"):
        if not path.is_dir() or path.is_symlink():
            yield str(path.relative_to(directory))


def _every_leaf(log: Path, size: int) -> Iterator[Leaf]:
    """The entries again, without judging: what cannot be read was named on the first walk."""
    for number in range(-(-size // TILE_WIDTH)):
        try:
            entries = unpack_bundle((log / bundle_path(number, width_at(size, 0, number))).read_bytes())
        except (OSError, EntryError):
            continue
        for raw in entries:
            try:
                yield Leaf.parse(raw)
            except EntryError:
                continue


def _check_against(
    directory: Path, checkpoint: Checkpoint, key: VerifierKey, path: Path, report: Report
) -> None:
    """5. One checkpoint or receipt from outside."""
    try:
        earlier = _read_earlier(path, key)
        if earlier.size > checkpoint.size:
            why = f"it speaks of {earlier.size} entries, and the log now has only {checkpoint.size}"
        else:
            tiles = DirectoryTiles(directory / "log", checkpoint.size)
            same = tree_root(tiles, earlier.size) == earlier.root
            why = "" if same else f"the first {earlier.size} entries are not what they were"
    except (OSError, VaultError) as cause:
        why = reason(cause)
    report.counts["against"] += 1
    if why:
        report.fail(Finding(5, "verify.against", str(path), why))


def _read_earlier(path: Path, key: VerifierKey) -> Checkpoint:
    raw = read_bounded(path, _EARLIER)
    if not raw.startswith(_RECEIPT_START):
        return parse_checkpoint(raw, key)
    receipt = Receipt.parse(raw)
    return receipt.examine(key).checkpoint
