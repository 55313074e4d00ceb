"""Handover: how a log comes to be signed by another key, and what an old verifier key is still good for.

A handover is a tlog-proof (c2sp.org/tlog-proof) of the `key` entry that names the new key, under a checkpoint that
both keys signed: the old one vouches for the new one, and the new one shows that it exists. It is the last entry of
that checkpoint, so everything before it was said by the old key and everything after it by the new one. A person who
holds the key of the founding follows the handovers in `log/handover/` to the key of today; nothing else leads there.

Numbered checks, the code is labelled with them:
  1. The proof carries one entry, and it is a `key` entry that names the log itself and permits nothing.
  2. The key trusted so far signed the checkpoint, and the entry is in its tree, in the last place.
  3. The new key signed the same checkpoint.
Left to the caller: that the handover is on the log at hand, as any earlier checkpoint is (vault.audit).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import Exit
from core.regular import read_bounded
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint, parse_checkpoint
from vault.formats.note import Note, VerifierKey
from vault.formats.proof import Receipt

DIRECTORY = "log/handover"
_LONGEST_SIZE = 18  # decimal digits, as a checkpoint's
FILE_LIMIT = 1 << 21  # bytes; one entry, its audit path and a checkpoint need a few KiB


class HandoverError(VaultError):
    """A file that does not lead from one log key to the next."""

    code = "vault.handover"
    sentence = (
        "The handover of the log's key does not hold ({why}). Receipts under earlier keys stand; nothing that a later "
        "key signed can be believed until log/handover is restored from a copy of the vault."
    )
    exit_code = Exit.NO


class SupersededError(VaultError):
    """A log key that signed after it was handed over."""

    code = "vault.superseded"
    sentence = (
        "This was signed by a key that gave up the log at {until} entries, and it speaks of {size}. Whoever made it "
        "held an old key: it proves nothing, and it is evidence of a forgery. Keep it and tell the bureau."
    )
    exit_code = Exit.NO


@dataclass(frozen=True)
class Handover:
    """From the entry at `size` - 1 on, the log is signed by `key`."""

    size: int
    key: VerifierKey


def read_handovers(vault: Path) -> list[bytes]:
    """The handover files of the vault directory `vault`, oldest first; none when the key was never changed.

    Raises HandoverError for a file that cannot be one.
    """
    return handovers_in(vault / DIRECTORY)


def handovers_in(directory: Path) -> list[bytes]:
    """The handover files in `directory` itself, oldest first; none when there is no such directory.

    Raises HandoverError for a file that cannot be one.
    """
    if not directory.is_dir():
        return []
    paths = [path for path in directory.iterdir() if not path.name.startswith(".")]
    if strange := [path.name for path in paths if not _is_size(path.name)]:
        raise HandoverError(why=f"{strange[0]} is not named by a size")
    return [_bounded(path) for path in sorted(paths, key=lambda path: int(path.name))]


def follow(founding_key: VerifierKey, handovers: Iterable[bytes]) -> list[Handover]:
    """The handovers from `founding_key` on, each checked under the key before it. Raises VaultError."""
    steps: list[Handover] = []
    key = founding_key
    for raw in handovers:
        step = _step(raw, key)
        if steps and step.size <= steps[-1].size:
            raise HandoverError(why="it is out of order")
        steps.append(step)
        key = step.key
    return steps


def trusted_keys(founding_key: VerifierKey, handovers: Iterable[bytes]) -> list[VerifierKey]:
    """Every key that signed this log, from the founding's to today's. Raises VaultError."""
    return [founding_key, *(step.key for step in follow(founding_key, handovers))]


def spoken_by(note: bytes, founding_key: VerifierKey, handovers: Sequence[bytes]) -> VerifierKey:
    """The key of this log that signed the checkpoint in `note`, and had the right to at that size.

    The newest one is tried first. Raises SupersededError for an old key that signed beyond its handover, and
    NoteSignatureError when none of them signed.
    """
    steps = follow(founding_key, handovers)
    keys = [founding_key, *(step.key for step in steps)]
    ends = [*(step.size for step in steps), None]
    signatures = Note.parse(note).signatures
    for key, until in reversed(list(zip(keys, ends, strict=True))):
        if not any(key.made(signature) for signature in signatures):
            continue
        size = parse_checkpoint(note, key).size
        if until is not None and size > until:
            raise SupersededError(until=until, size=size)
        return key
    parse_checkpoint(note, keys[-1])  # says in whose name nobody signed
    raise HandoverError(why="no key of this log signed it")


def _is_size(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= _LONGEST_SIZE


def _step(raw: bytes, key: VerifierKey) -> Handover:
    receipt = Receipt.parse(raw)
    facts = receipt.leaf.facts
    if (receipt.leaf.type, set(facts)) != ("key", {"name", "vkey", "permits"}):  # 1
        raise HandoverError(why="it proves no key entry")
    if facts["name"] != key.name or facts["permits"] != [] or not isinstance(facts["vkey"], str):
        raise HandoverError(why="its entry is not about the log's own key")
    successor = VerifierKey.parse(facts["vkey"])
    receipt.verify(key)  # 2
    note = receipt.proof.checkpoint_note
    checkpoint: Checkpoint = parse_checkpoint(note, successor)  # 3
    if receipt.proof.index != checkpoint.size - 1:
        raise HandoverError(why="entries follow it in its own checkpoint")
    return Handover(checkpoint.size, successor)


def _bounded(path: Path) -> bytes:
    try:
        return read_bounded(path, FILE_LIMIT)
    except OSError as cause:
        raise HandoverError(why=f"{path.name}: {cause.strerror}") from cause
