"""Checkpoints (c2sp.org/tlog-checkpoint): the log's size and root, signed by the log's key.

A checkpoint is believed only with its signature, and only when its origin is the name of the key that signed:
a key of one vault can never vouch for another vault's log.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass

from core.errors import Exit
from vault.error import VaultError
from vault.formats.note import NoteSignatureError, SigningKey, VerifierKey, open_note, sign_note

_HASH_SIZE = 32
_LONGEST_SIZE = 18  # decimal digits; far more entries than any log will see
_LINES = 3


class CheckpointError(VaultError):
    """A text that is not a checkpoint."""

    code = "vault.checkpoint"
    sentence = (
        "This is not a checkpoint ({why}). It proves nothing about the log; "
        "get it again from the vault or from whoever kept it."
    )
    exit_code = Exit.NO


@dataclass(frozen=True)
class Checkpoint:
    """The log's head: whose log, how many entries, and the root over all of them."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a note's text, without any signature. Raises CheckpointError."""
        lines = text.removesuffix("\n").split("\n")
        if not text.endswith("\n") or len(lines) < _LINES or not all(lines):
            raise CheckpointError(why="it needs three lines that are not empty")
        return cls(lines[0], _parse_size(lines[1]), _parse_root(lines[2]), tuple(lines[_LINES:]))

    def text(self) -> str:
        """The text that the log's key signs."""
        root = b64encode(self.root).decode()
        return "".join(f"{line}\n" for line in (self.origin, self.size, root, *self.extensions))

    def signed(self, *keys: SigningKey) -> bytes:
        """The signed note to publish."""
        return sign_note(self.text(), *keys)


def parse_checkpoint(note: bytes, verifier: VerifierKey) -> Checkpoint:
    """The checkpoint in `note` after its signature was checked.

    Raises NoteError, NoteSignatureError or CheckpointError.
    """
    checkpoint = Checkpoint.parse(open_note(note, [verifier]))
    if checkpoint.origin != verifier.name:
        raise NoteSignatureError(why=f"the key of {verifier.name} does not speak for {checkpoint.origin}")
    return checkpoint


def _parse_size(line: str) -> int:
    if not (line.isascii() and line.isdigit() and len(line) <= _LONGEST_SIZE) or str(int(line)) != line:
        raise CheckpointError(why="its size is not a plain decimal number")
    return int(line)


def _parse_root(line: str) -> bytes:
    try:
        root = b64decode(line, validate=True)
    except ValueError as cause:
        raise CheckpointError(why="its root is not base64") from cause
    if len(root) != _HASH_SIZE or b64encode(root).decode() != line:
        raise CheckpointError(why="its root is not one SHA-256 digest")
    return root
