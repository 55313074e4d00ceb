"""The mark of a second copy: whose copy it is, how its last run ended, and what it still has to give up or to fetch.

Invariant: a directory that holds anything and no mark is nobody's copy, and is never written to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from core.canonical import CanonicalError, Json, decode, encode
from core.durable import replace
from core.errors import Exit
from vault.care.copying.stretch import Pending
from vault.error import VaultError

MARK = "backup.json"
_NOT_OURS = frozenset({"lock", "lost+found"})  # of a run that was killed at once, and of the file system


class NotABackupError(VaultError):
    """The destination holds something that no backup made."""

    code = "vault.not_a_backup"
    sentence = (
        "{path} is not empty and is no copy of this vault ({why}). Nothing was written; name an empty directory on "
        "another disk, or the copy that an earlier run made."
    )
    exit_code = Exit.WRONG_USE


@dataclass(frozen=True)
class Mark:
    """What `backup.json` says of a copy."""

    vault: str
    size: int = 0
    finished_at: str = ""
    pending: Pending = field(default_factory=Pending)
    missing: tuple[int, ...] = ()

    @classmethod
    def read(cls, copy: Path) -> Mark | None:
        """The mark of the copy; None when there is none. Raises NotABackupError for one that cannot be read."""
        try:
            facts = decode((copy / MARK).read_bytes())
            pending = facts["pending"]
            return cls(
                facts["vault"], facts["size"], facts["finished_at"],
                Pending(set(pending["slots"]), set(pending["objects"]), set(pending["buckets"])),
                tuple(facts["missing"]),
            )  # fmt: skip
        except FileNotFoundError:
            return None
        except (OSError, CanonicalError, KeyError, TypeError) as cause:
            raise NotABackupError(path=copy, why=f"its {MARK} cannot be read") from cause

    def write(self, copy: Path) -> None:
        """Replace the mark, durably."""
        facts: Json = {
            "v": 1, "vault": self.vault, "size": self.size, "finished_at": self.finished_at,
            "pending": self.pending.to_json(), "missing": list(self.missing),
        }  # fmt: skip
        replace(copy / MARK, encode(facts))


def mark_of(copy: Path, vault: str) -> Mark:
    """The mark of this vault's copy, a first one in an empty directory. Raises NotABackupError."""
    mark = Mark.read(copy)
    if mark is None:
        check_empty(copy)
        mark = Mark(vault)
        mark.write(copy)
    if mark.vault != vault:
        raise NotABackupError(path=copy, why=f"it is a copy of the vault {mark.vault}")
    return mark


def check_empty(copy: Path) -> None:
    """Raises NotABackupError for a directory that holds anything."""
    names = {path.name for path in copy.iterdir()} if copy.exists() else set()
    if names - _NOT_OURS:
        raise NotABackupError(path=copy, why=f"it has no {MARK}")
