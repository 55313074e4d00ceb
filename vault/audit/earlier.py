"""What somebody kept of this log, and whether the log still extends it (obligation 5 of vault/audit/verify.py).

Checkpoints, receipts, the proofs of a package, a page of the day with its checkpoint's text: anything in which three
lines of a checkpoint stand. A signature is not needed for it, because the reader's own copy is what vouches; but one
that stands there has to be true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from vault.audit.bundle import NOTABLE
from vault.audit.file import read_bounded
from vault.audit.report import Finding, Report, reason
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint, CheckpointError, parse_checkpoint
from vault.formats.entry import ENTRY_LIMIT, EntryError, Leaf, unpack_bundle
from vault.formats.merkle import (
    TILE_WIDTH,
    DirectoryTiles,
    bundle_path,
    inclusion_proof,
    leaf_hash,
    tree_root,
    verify_inclusion,
    width_at,
)
from vault.formats.note import Note, NoteSignatureError, VerifierKey
from vault.formats.proof import Proof, Receipt

_LIMIT = 1 << 22  # bytes of what somebody kept; a receipt carries one entry, a page some lines
_RECEIPT_START = b"c2sp.org/tlog-proof@"
_DASH = "\N{EM DASH} "
_BUNDLE_LIMIT = TILE_WIDTH * (2 + ENTRY_LIMIT)
_MARKS = re.compile(rb'"type":"(?:%s)"' % "|".join(sorted(NOTABLE)).encode())
_FILES_LIMIT = 10_000  # of one directory; a package has one proof for each recording


def check_against(
    directory: Path,
    checkpoint: Checkpoint,
    keys: Sequence[VerifierKey],
    paths: Sequence[Path],
    report: Report,
) -> None:
    """5. Every one of `paths` is of a beginning of this log; a directory stands for the proofs in it."""
    for path in paths:
        found = list(_proofs(path)) if path.is_dir() else [path]
        if not found:
            report.fail(Finding(5, "verify.against", str(path), "no .tlog-proof lies in it"))
        for one in found:
            report.counts["against"] += 1
            if why := _fault(directory, checkpoint, keys, one):
                report.fail(Finding(5, "verify.against", str(one), why))


def read_earlier(path: Path, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint in what somebody kept. Raises OSError or VaultError."""
    raw = read_bounded(path, _LIMIT)
    if raw.startswith(_RECEIPT_START):
        return _receipt(raw, keys)
    try:
        return read_checkpoint(raw, keys)
    except VaultError as cause:
        try:
            return _written(raw, keys)
        except CheckpointError:
            raise cause from None  # what is wrong with it as a checkpoint says more


def read_checkpoint(note: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint in `note`, signed by one of `keys`, newest last. Raises VaultError."""
    signatures = Note.parse(note).signatures
    own = [key for key in keys if any(key.made(signature) for signature in signatures)]
    return parse_checkpoint(note, own[-1] if own else keys[-1])


def extends(directory: Path, checkpoint: Checkpoint, earlier: Checkpoint) -> str:
    """Why the log that `checkpoint` ends does not begin with `earlier`; empty when it does."""
    if earlier.size > checkpoint.size:
        return f"it speaks of {earlier.size} entries, and the log now has only {checkpoint.size}"
    try:
        same = tree_root(DirectoryTiles(directory / "log", checkpoint.size), earlier.size) == earlier.root
    except (OSError, VaultError) as cause:
        return reason(cause)
    return "" if same else f"the first {earlier.size} entries are not what they were"


def before(directory: Path, checkpoint: Checkpoint, size: int) -> Iterator[tuple[int, Leaf]]:
    """The notable ones among the first `size` entries, each proven to be on the log; what is unreadable is left out.

    Bundles in which none can be are passed over without taking them apart.
    """
    log = directory / "log"
    tiles = DirectoryTiles(log, checkpoint.size)
    for number in range(-(-size // TILE_WIDTH)):
        try:
            raw = read_bounded(log / bundle_path(number, width_at(checkpoint.size, 0, number)), _BUNDLE_LIMIT)
            entries = unpack_bundle(raw) if _MARKS.search(raw) else []
        except (OSError, EntryError):
            continue
        for index, entry in enumerate(entries[: size - number * TILE_WIDTH], number * TILE_WIDTH):
            if _MARKS.search(entry) and (leaf := _proven(tiles, checkpoint, index, entry)):
                yield index, leaf


def _proven(tiles: DirectoryTiles, checkpoint: Checkpoint, index: int, entry: bytes) -> Leaf | None:
    try:
        proof = inclusion_proof(tiles, index, checkpoint.size)
        verify_inclusion(leaf_hash(entry), index, checkpoint.size, proof, checkpoint.root)
        leaf = Leaf.parse(entry)
    except (OSError, VaultError):
        return None
    return leaf if leaf.type in NOTABLE else None


def _fault(directory: Path, checkpoint: Checkpoint, keys: Sequence[VerifierKey], path: Path) -> str:
    try:
        return extends(directory, checkpoint, read_earlier(path, keys))
    except (OSError, VaultError) as cause:
        return reason(cause)


def _proofs(directory: Path) -> Iterator[Path]:
    found = sorted(path for path in directory.rglob("*.tlog-proof") if path.is_file())
    yield from found[:_FILES_LIMIT]


def _receipt(raw: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """A receipt's checkpoint, once the receipt leads to it."""
    checkpoint = read_checkpoint(Proof.parse(raw).checkpoint_note, keys)
    signed_by = [key for key in keys if _signed(raw, key)]
    Receipt.parse(raw).examine(signed_by[-1] if signed_by else keys[-1])
    return checkpoint


def _signed(raw: bytes, key: VerifierKey) -> bool:
    return any(key.made(one) for one in Note.parse(Proof.parse(raw).checkpoint_note).signatures)


def _written(raw: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The three lines wherever they stand on a page, with the signatures of ours below them. Raises VaultError."""
    lines = [line.strip() for line in raw.decode("utf-8", "replace").replace("\f", "\n").splitlines()]
    names = {key.name for key in keys}
    places = [place for place, line in enumerate(lines) if line in names]
    for place in places:
        text = "".join(f"{line}\n" for line in lines[place : place + 3])
        try:
            checkpoint = Checkpoint.parse(text)
        except CheckpointError:
            continue
        _check_signatures(text, lines[place + 3 :], keys)
        return checkpoint
    raise CheckpointError(why="no checkpoint of this vault stands in it")


def _check_signatures(text: str, below: list[str], keys: Sequence[VerifierKey]) -> None:
    """Signatures of ours under the lines are true. Raises VaultError."""
    signed = [line for line in below if line.startswith(_DASH)]
    if not signed:
        return
    note = Note.parse((f"{text}\n" + "".join(f"{line}\n" for line in signed[:16])).encode())
    if not note.signers(keys):
        raise NoteSignatureError(why="no key of this vault signed it")
