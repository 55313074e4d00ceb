"""Where a copy and its vault meet: the copy's log is the beginning of the vault's, or both heads are shown.

Invariants: a copy's head counts only under a key that this log ever had; a copy that knows more entries than the vault,
or other ones, is evidence of a rollback or a rewriting and is never brought into line.
"""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from core.errors import Exit
from vault.care.copying.mirror import CHECKPOINT
from vault.care.copying.stretch import SourceDamagedError, look_through
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint, parse_checkpoint
from vault.formats.merkle import DirectoryTiles, Frontier, TileError
from vault.formats.note import NoteSignatureError
from vault.log.ledger import LogReader, NoCheckpointError
from vault.store.objects import Vault


class DivergedError(VaultError):
    """The copy and the vault are not beginnings of one another."""

    code = "vault.copy_diverged"
    sentence = (
        "The copy in {path} has a signed head of {copied} entries and the vault one of {size} ({why}). The vault was "
        "rolled back or its history rewritten, or the copy is another machine's. Nothing was written. Keep copy and "
        "both heads, which are the evidence.\n--- head of the copy\n{copy_head}\n--- head of the vault\n{vault_head}"
    )
    exit_code = Exit.NO


class Meeting:
    """The vault directory `target` inside the copy `copy`, held against a signed head of `source`."""

    def __init__(self, source: Vault, copy: Path, target: Path, head: Checkpoint, note: bytes) -> None:
        self._source, self._copy, self._target = source, copy, target
        self._head, self._note = head, note

    def edge(self) -> tuple[int, Frontier]:
        """How many entries the copy has, and its right edge; an empty one when the copy's tiles are damaged.

        Raises DivergedError for a copy that knows more than the vault.
        """
        held = copied_head(self._target, self._source)
        if held is None:
            return 0, Frontier()
        copied, _ = held
        if copied.size > self._head.size:
            raise self._diverged("the copy knows more entries than the vault", held)
        try:
            frontier = Frontier.resume(DirectoryTiles(self._target / "log", copied.size), copied.size)
        except TileError:
            return copied.size, Frontier()
        return copied.size, frontier if frontier.root() == copied.root else Frontier()

    def differs(self, before: int) -> VaultError:
        """Why the copy's entries and the vault's newer ones do not lead to the vault's head.

        Either the vault's files are damaged, or its history is another: then all of its own entries lead there.
        """
        held, frontier = copied_head(self._target, self._source), Frontier()
        look_through(LogReader(self._source), frontier, self._head.size)
        if held is None or frontier.root() != self._head.root:
            return SourceDamagedError(path=self._source.log_path, size=self._head.size)
        return self._diverged(f"their first {before} entries differ", held)

    def _diverged(self, why: str, held: tuple[Checkpoint, bytes]) -> DivergedError:
        return DivergedError(
            path=self._copy, copied=held[0].size, size=self._head.size, why=why,
            copy_head=held[1].decode(), vault_head=self._note.decode(),
        )  # fmt: skip


def copied_head(target: Path, source: Vault) -> tuple[Checkpoint, bytes] | None:
    """The head of a copy under any key that this log ever had; None when it has none yet. Raises NoteError."""
    try:
        note = (target / CHECKPOINT).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as cause:
        raise NoCheckpointError(path=target / CHECKPOINT, why=cause.strerror) from cause
    for key in (source.verifier, *source.earlier):
        try:
            return parse_checkpoint(note, key), note
        except NoteSignatureError as cause:
            refused = cause
    raise refused


def root_text(head: Checkpoint) -> str:
    """A root as checkpoints spell it."""
    return b64encode(head.root).decode()
