"""Evidence from outside: what in log/anchors holds, and from when on the machine's owner stands alone.

An anchor is a directory log/anchors/<size> with `checkpoint`, under the log's own signature and no other line, and
beside it, each written once:
  <authority>.tsr        an RFC 3161 reply over those bytes
  <witness>.cosignature  lines of a witness (c2sp.org/tlog-cosignature)
  <name>.signature       lines of the station's own further keys (ML-DSA-44, SM2): no evidence from outside
What a clean check establishes; code is labelled with the numbers.
  1. Every stored checkpoint was signed by the log's key and is a beginning of this log.
  2. Every file beside one reads as what it is, is over that checkpoint, and is true under the key or root at hand.
  3. Every `anchor` entry of the log finds its file, with the digest that it names.
A file that no root or key at hand can judge is a notice, and never counted as evidence. Needs no database and no
settings; judging one anchor costs some milliseconds.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from vault.audit.file import read_bounded
from vault.audit.outside import NEVER, SINCE, OutsideEvidence, last_evidence, uncovered, uncovered_parts
from vault.audit.report import SENTENCES, Finding, Report, reason
from vault.error import VaultError
from vault.formats import timestamp
from vault.formats.checkpoint import Checkpoint
from vault.formats.cosignature import CosignerKey, claimed_at, cosignatures, with_lines
from vault.formats.entry import Leaf
from vault.formats.merkle import DirectoryTiles, TileError, tree_root
from vault.formats.note import NOTE_LIMIT, Note, NoteSignatureError, VerifierKey

__all__ = [
    "ANCHORS", "CHECKPOINT", "NEVER", "SINCE", "SUFFIXES", "Anchor", "Judge", "OutsideEvidence", "anchors",
    "check_anchors", "last_evidence", "outside_evidence", "uncovered", "uncovered_parts",
]  # fmt: skip

ANCHORS = "log/anchors"
OBLIGATION = 10  # the number in vault/audit/verify.py
CHECKPOINT = "checkpoint"
SUFFIXES = {"timestamp": ".tsr", "cosignature": ".cosignature", "signature": ".signature"}
_KINDS = {suffix: kind for kind, suffix in SUFFIXES.items()}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")  # of a source, as the log takes it; nothing else names a file
_TREE_CODES = {"verify.bundle", "verify.tile", "verify.root"}  # then the tree says nothing about an anchor
_LIMIT = max(timestamp.REPLY_LIMIT, NOTE_LIMIT)

SENTENCES.update({
    "verify.anchor": (
        "{where} was altered or lost ({why}). It is no evidence from outside any more; restore it from a copy."
    ),
    "verify.anchor_fork": (
        "{where} is no beginning of this log ({why}). Outsiders saw another history; keep both and ask who made it."
    ),
    "notice.anchor": "{where} is not counted as evidence from outside ({why}).",
})  # fmt: skip


@dataclass(frozen=True)
class Anchor:
    """One anchored checkpoint as it lies on the disk; nothing in it is believed yet."""

    directory: Path
    size: int

    @property
    def place(self) -> Path:
        """Its directory."""
        return self.directory / ANCHORS / str(self.size)

    def note(self) -> bytes:
        """The checkpoint as the log signed it. Raises OSError."""
        return read_bounded(self.place / CHECKPOINT, NOTE_LIMIT)

    def files(self) -> list[tuple[str, str, Path]]:
        """Kind, name and path of what lies beside the checkpoint, in order."""
        paths = sorted(self.place.iterdir()) if self.place.is_dir() else []
        return [(_KINDS[path.suffix], path.stem, path) for path in paths if path.suffix in _KINDS]

    def path(self, kind: str, name: str) -> Path:
        """Where evidence of this kind by this name lies."""
        return self.place / f"{name}{SUFFIXES[kind]}"

    def gathered(self) -> bytes:
        """The checkpoint with every line that lies beside it: what `cat checkpoint *.cosignature *.signature` gives.

        Raises OSError or NoteError.
        """
        lines = [read_bounded(path, NOTE_LIMIT) for kind, _, path in self.files() if kind != "timestamp"]
        return with_lines(self.note(), *lines)


def anchors(directory: Path) -> list[Anchor]:
    """Every anchored checkpoint of a vault, smallest first."""
    place = directory / ANCHORS
    names = [one.name for one in place.iterdir()] if place.is_dir() else []
    sizes = sorted(
        int(name) for name in names if name.isascii() and name.isdigit() and str(int(name)) == name
    )
    return [Anchor(directory, size) for size in sizes]


@dataclass
class Judge:
    """Whom the reader believes: the log's keys, authorities by name, witnesses by key."""

    log_keys: Sequence[VerifierKey]
    roots: Mapping[str, bytes] = field(default_factory=dict)
    witness_vkeys: Iterable[str] = ()

    def __post_init__(self) -> None:
        """Raises RootsError or CosignerKeyError for what the reader gave and nobody can use."""
        self._roots = {name: timestamp.load_roots(pem) for name, pem in self.roots.items()}
        self._witnesses = [CosignerKey.parse(vkey) for vkey in self.witness_vkeys]

    def checkpoint(self, note: bytes, size: int) -> Checkpoint:
        """The stored checkpoint of `size`, signed by the log and by nobody else. Raises VaultError."""  # 1
        parsed = Note.parse(note)
        signed = parsed.signers([key for key in self.log_keys if parsed.text.startswith(f"{key.name}\n")])
        if not signed or any(not any(key.made(one) for key in signed) for one in parsed.signatures):
            raise NoteSignatureError(why="it has another signature than the log's")
        checkpoint = Checkpoint.parse(parsed.text)
        if checkpoint.size != size:
            raise NoteSignatureError(why=f"it is of {checkpoint.size} entries")
        return checkpoint

    def evidence(
        self, anchor: Anchor, checkpoint: Checkpoint, kind: str, name: str, path: Path
    ) -> OutsideEvidence:
        """What one file proves about the stored checkpoint. Raises VaultError or OSError for one that is damaged."""
        file, raw = str(path.relative_to(anchor.directory)), read_bounded(path, _LIMIT)
        told = self._stamped if kind == "timestamp" else self._cosigned
        at, by, why = told(anchor.note(), raw, name)  # 2
        trusted = by is not None
        return OutsideEvidence(checkpoint.size, checkpoint.root, at, kind, by or name, file, trusted, why)

    def _stamped(self, note: bytes, raw: bytes, name: str) -> tuple[datetime, str | None, str]:
        """When, by whom of those whom the reader named, and why by nobody."""
        reply = timestamp.parse(raw)
        if reply.imprint != sha256(note).digest():
            raise timestamp.TimestampError(why="it was made over other bytes")
        try:
            return timestamp.verify(raw, note, self._roots.get(name, ())).at, name, ""
        except timestamp.UntrustedTimestampError as cause:
            return reply.at, None, str(cause.parameters["why"])

    def _cosigned(self, note: bytes, raw: bytes, _name: str) -> tuple[datetime, str | None, str]:
        """As `_stamped`; the key says whose it is, because anybody can give a file another name."""
        found = cosignatures(with_lines(note, raw), self._witnesses)
        if found:
            first = min(found, key=lambda one: one.at)
            return first.at, first.key.name, ""
        return (
            claimed_at(raw) or datetime.fromtimestamp(0, UTC),
            None,
            "no key of a witness was given that made it",
        )


def outside_evidence(
    directory: Path,
    log_keys: Sequence[VerifierKey],
    roots: Mapping[str, bytes] | None = None,
    witness_vkeys: Iterable[str] = (),
    *,
    head: Checkpoint | None = None,
    newest_only: bool = False,
) -> list[OutsideEvidence]:
    """What outsiders said about the log in `directory`, smallest log first; damaged files are left out.

    `roots` are an authority's certificates (PEM) by its name. With `newest_only` the walk goes from the newest anchor
    back and ends at the first with anything trusted: that is all `uncovered` needs. With `head`, the log's checkpoint
    of today, evidence over another history than today's is not trusted; it is `check_anchors` that makes it a failure.
    """
    judge, found = Judge(log_keys, roots or {}, witness_vkeys), list[OutsideEvidence]()
    tiles = DirectoryTiles(directory / "log", head.size) if head else None
    for anchor in reversed(anchors(directory)):
        told = list(_outside(judge, anchor))
        if head and tiles and told:
            why = no_beginning(Checkpoint(head.origin, told[0].size, told[0].root), head, tiles)
            told = [replace(one, trusted=False, why=why) for one in told] if why else told
        found += told
        if newest_only and any(one.trusted for one in found):
            break
    return sorted(found, key=lambda one: (one.size, one.at))


def check_anchors(
    directory: Path,
    checkpoint: Checkpoint,
    keys: Sequence[VerifierKey],
    report: Report,
    *,
    entries: Iterable[Leaf] = (),
    roots: Mapping[str, bytes] | None = None,
    witness_vkeys: Iterable[str] = (),
) -> list[OutsideEvidence]:
    """Obligations 1 to 3 over every stored anchor of the log that `checkpoint` ends; gives the evidence that holds.

    `keys` are all keys the log was ever signed with. `entries` are the log's `anchor` entries (others are passed
    over); without them 3 is left out. Raises RootsError or CosignerKeyError for what the caller gave, and nothing else.
    """
    judge, found = Judge(keys, roots or {}, witness_vkeys), list[OutsideEvidence]()
    tiles, logged = DirectoryTiles(directory / "log", checkpoint.size), _logged(entries)
    for anchor in anchors(directory):
        stored = _check_checkpoint(judge, anchor, checkpoint, tiles, report)
        for kind, name, path in anchor.files() if stored else ():
            digests = logged.pop((anchor.size, kind, name), None)
            found += _check_file(judge, anchor, stored, (kind, name, path), digests, report)  # type: ignore[arg-type]
        report.counts["anchors"] += 1
    for size, kind, name in sorted(logged):  # 3
        path = Anchor(directory, size).path(kind, name)
        if not path.exists():
            report.fail(
                Finding(OBLIGATION, "verify.anchor", str(path.relative_to(directory)), "the log names it")
            )
    return sorted(found, key=lambda one: (one.size, one.at))


def _outside(judge: Judge, anchor: Anchor) -> Iterator[OutsideEvidence]:
    """The readable evidence of one anchor."""
    try:
        stored = judge.checkpoint(anchor.note(), anchor.size)
    except (OSError, VaultError):
        return  # named by check_anchors; here it is simply no evidence
    for kind, name, path in anchor.files():
        if kind == "signature":
            continue
        try:
            yield judge.evidence(anchor, stored, kind, name, path)
        except (OSError, VaultError):
            continue


def _check_checkpoint(
    judge: Judge, anchor: Anchor, head: Checkpoint, tiles: DirectoryTiles, report: Report
) -> Checkpoint | None:
    """1. The stored checkpoint, when it is one of this log's key and nothing says that the log is another one."""
    file = f"{ANCHORS}/{anchor.size}/{CHECKPOINT}"
    try:
        stored = judge.checkpoint(anchor.note(), anchor.size)
    except (OSError, VaultError) as cause:
        report.fail(Finding(OBLIGATION, "verify.anchor", file, reason(cause)))
        return None
    why = no_beginning(stored, head, tiles)
    if why and stored.size <= head.size and _TREE_CODES & {one.code for one in report.failures}:
        report.note(Finding(OBLIGATION, "notice.anchor", file, "the log's own files are damaged"))
    elif why:
        report.fail(Finding(OBLIGATION, "verify.anchor_fork", file, why))
        return None
    return stored


def no_beginning(stored: Checkpoint, head: Checkpoint, tiles: DirectoryTiles) -> str:
    """Why `stored` is no beginning of the log; empty when it is one."""
    if stored.size > head.size:
        return f"it speaks of {stored.size} entries, and the log now has only {head.size}"
    try:
        same = tree_root(tiles, stored.size) == stored.root
    except TileError as cause:
        return reason(cause)
    return "" if same else f"the first {stored.size} entries are not what they were"


def _check_file(
    judge: Judge,
    anchor: Anchor,
    stored: Checkpoint,
    one: tuple[str, str, Path],
    digests: Collection[str] | None,
    report: Report,
) -> Iterator[OutsideEvidence]:
    """2, 3. One file beside a checkpoint."""
    kind, name, path = one
    file = str(path.relative_to(anchor.directory))
    try:
        raw = read_bounded(path, _LIMIT)
        if digests is not None and sha256(raw).hexdigest() not in digests:
            report.fail(Finding(OBLIGATION, "verify.anchor", file, "it is not the one that the log names"))
            return
        if kind == "signature":
            with_lines(anchor.note(), raw)
            return
        evidence = judge.evidence(anchor, stored, kind, name, path)
    except (OSError, VaultError) as cause:
        report.fail(Finding(OBLIGATION, "verify.anchor", file, reason(cause)))
        return
    if not evidence.trusted:
        report.note(Finding(OBLIGATION, "notice.anchor", file, evidence.why))
    report.counts["outside_evidence"] += evidence.trusted
    yield evidence


def _logged(entries: Iterable[Leaf]) -> dict[tuple[int, str, str], set[str]]:
    """3. What the log's `anchor` entries name: digests by size, kind and name."""
    named: dict[tuple[int, str, str], set[str]] = defaultdict(set)
    for leaf in entries:
        facts = leaf.facts
        size, kind, name = (facts.get(key) for key in ("size", "kind", "name"))
        is_named = isinstance(name, str) and isinstance(kind, str) and kind in SUFFIXES
        if leaf.type == "anchor" and is_named and isinstance(size, int) and _NAME.fullmatch(str(name)):
            named[size, str(kind), str(name)].add(str(facts.get("sha256")))
    return dict(named)
