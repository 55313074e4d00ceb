"""Receipts: offline proof that an entry is on the log (c2sp.org/tlog-proof), the entry itself as `extra`.

What `Receipt.verify` establishes, in order; code is labelled with the numbers.
  1. The file is a tlog-proof and its extra line is exactly one entry.
  2. A key that the caller trusts signed the checkpoint, and the checkpoint is of that key's log.
  3. The inclusion proof leads from the entry's leaf hash at the stated index to the signed root.
Left to the caller: whether the key is the vault's (compare it with the one printed at `vault init`), and
whether a recording at hand has the digest that the entry names. Without a trusted key, `examine` says so and
never "yes".
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from enum import StrEnum

from core.errors import Exit
from core.shown import shown
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint, parse_checkpoint
from vault.formats.entry import ENTRY_LIMIT, Leaf
from vault.formats.merkle import HASH_SIZE, leaf_hash, verify_inclusion
from vault.formats.note import NOTE_LIMIT, Note, VerifierKey

_FIRST_LINE = "c2sp.org/tlog-proof@v1"
_HASHES_LIMIT = 63  # the height of a tree of 2**63 entries
_HEAD_LIMIT = 4 * (ENTRY_LIMIT + HASH_SIZE * _HASHES_LIMIT)  # base64 and lines cost less than double
_LONGEST_INDEX = 18  # decimal digits


class ProofFormatError(VaultError):
    """A file that is no tlog-proof, or no receipt."""

    code = "vault.proof"
    sentence = (
        "This is not a receipt ({why}). It proves nothing; ask for the receipt again, the vault can always "
        "make it anew."
    )
    exit_code = Exit.NO


@dataclass(frozen=True)
class Proof:
    """A tlog-proof: which place, the audit path, the checkpoint as it was signed, and opaque extra bytes."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint_note: bytes
    extra: bytes = b""

    @classmethod
    def parse(cls, raw: bytes) -> Proof:
        """Take a tlog-proof apart; nothing is believed yet. Raises ProofFormatError."""
        head, separator, note = raw.partition(b"\n\n")
        if not separator or len(head) > _HEAD_LIMIT or len(note) > NOTE_LIMIT or not head.isascii():
            raise ProofFormatError(why="its parts are missing or too long")
        lines = head.decode().split("\n")
        if lines.pop(0) != _FIRST_LINE or not lines:
            raise ProofFormatError(why=f"its first line is not {_FIRST_LINE}")
        extra = _base64(lines.pop(0)[6:]) if lines[0].startswith("extra ") else b""
        if not lines or not lines[0].startswith("index "):
            raise ProofFormatError(why="it has no index line")
        index = _index(lines.pop(0).removeprefix("index "))
        hashes = tuple(_base64(line) for line in lines)
        if len(hashes) > _HASHES_LIMIT or any(len(one) != HASH_SIZE for one in hashes):
            raise ProofFormatError(why="a hash has the wrong length, or there are too many")
        return cls(index, hashes, note, extra)

    def raw(self) -> bytes:
        """The file."""
        extra = [f"extra {_text(self.extra)}"] if self.extra else []
        lines = [_FIRST_LINE, *extra, f"index {self.index}", *map(_text, self.hashes)]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint_note

    def verify(self, leaf: bytes, verifier: VerifierKey) -> Checkpoint:
        """The signed checkpoint that has the leaf hash `leaf` at our index. Raises VaultError."""
        checkpoint = parse_checkpoint(self.checkpoint_note, verifier)  # 2
        verify_inclusion(leaf, self.index, checkpoint.size, self.hashes, checkpoint.root)  # 3
        return checkpoint


class Trust(StrEnum):
    """How much the signature under a receipt is worth to whoever reads it."""

    CONFIRMED = "confirmed"  # a key the reader brought
    CLAIMED = "claimed"  # a key that came with the material and that nothing confirms
    UNCHECKED = "unchecked"  # no key at hand: the signature was not looked at


SENTENCES = {
    Trust.CONFIRMED: (
        "Entry {index} of {origin} is on the log that {key} signed, among {size} entries. Nobody can have "
        "changed or removed it since without this receipt giving it away."
    ),
    Trust.CLAIMED: (
        "The receipt is consistent under the key {key}, which came with it and which nothing here confirms. "
        "Compare the key with the one the bureau published, and check again with that one."
    ),
    Trust.UNCHECKED: (
        "The receipt agrees with itself, but its signature was not checked because no key was given. Get the "
        "vault's verifier key from the bureau and check again with it."
    ),
}


@dataclass(frozen=True)
class Verdict:
    """What a receipt proves to a person; it exists only for a receipt in which nothing is wrong."""

    trust: Trust
    leaf: Leaf
    index: int
    checkpoint: Checkpoint
    key: VerifierKey | None

    @property
    def sentence(self) -> str:
        """The template of what to tell a person; fill it with `parameters`."""
        return SENTENCES[self.trust]

    @property
    def parameters(self) -> dict[str, object]:
        """What the sentence names."""
        return {
            "index": self.index, "origin": shown(self.checkpoint.origin), "size": self.checkpoint.size,
            "key": self.key.vkey if self.key else "",
        }  # fmt: skip

    @property
    def exit_code(self) -> Exit:
        """Yes only under a key that the reader brought; otherwise it cannot be said."""
        return Exit.YES if self.trust is Trust.CONFIRMED else Exit.CANNOT


@dataclass(frozen=True)
class Receipt:
    """A tlog-proof whose extra bytes are the entry."""

    proof: Proof
    leaf: Leaf

    @classmethod
    def parse(cls, raw: bytes) -> Receipt:
        """Read a receipt; nothing is believed yet. Raises VaultError."""
        proof = Proof.parse(raw)  # 1
        if not proof.extra:
            raise ProofFormatError(why="it does not carry the entry")
        return cls(proof, Leaf.parse(proof.extra))

    @classmethod
    def build(cls, leaf: Leaf, index: int, hashes: list[bytes], checkpoint_note: bytes) -> Receipt:
        """The receipt of an entry that is on the log."""
        return cls(Proof(index, tuple(hashes), checkpoint_note, leaf.canonical()), leaf)

    def raw(self) -> bytes:
        """The file, to be stored with the suffix .tlog-proof."""
        return self.proof.raw()

    def verify(self, verifier: VerifierKey) -> Leaf:
        """The entry, once 1 to 3 hold under `verifier`. Raises VaultError."""
        self.proof.verify(leaf_hash(self.proof.extra), verifier)
        return self.leaf

    def examine(self, trusted: VerifierKey | None = None, claimed: VerifierKey | None = None) -> Verdict:
        """What this receipt proves to somebody who trusts `trusted`, or was merely handed `claimed` with it.

        Raises VaultError when anything that can be checked is wrong.
        """
        key = trusted or claimed
        if key is None:
            checkpoint = Checkpoint.parse(Note.parse(self.proof.checkpoint_note).text)
            leaf = leaf_hash(self.proof.extra)
            verify_inclusion(leaf, self.proof.index, checkpoint.size, self.proof.hashes, checkpoint.root)
            return Verdict(Trust.UNCHECKED, self.leaf, self.proof.index, checkpoint, None)
        checkpoint = self.proof.verify(leaf_hash(self.proof.extra), key)
        trust = Trust.CONFIRMED if trusted else Trust.CLAIMED
        return Verdict(trust, self.leaf, self.proof.index, checkpoint, key)


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()


def _base64(text: str) -> bytes:
    try:
        raw = b64decode(text, validate=True)
    except ValueError as cause:
        raise ProofFormatError(why="base64 that is not base64") from cause
    if not raw or _text(raw) != text:
        raise ProofFormatError(why="base64 that is empty or not canonical")
    return raw


def _index(text: str) -> int:
    if not text.isdigit() or len(text) > _LONGEST_INDEX or str(int(text)) != text:
        raise ProofFormatError(why="its index is not a plain decimal number")
    return int(text)
