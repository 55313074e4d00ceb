"""What came of pulling one recorder: what was sealed, what was not, and what a person should be told."""

from __future__ import annotations

from dataclasses import dataclass, field

from core import log
from core.errors import SealdockError
from devices.recorder import SourceFile
from ingest.damage import DamagedFileError, FilesDamagedError, Ranges, missing_bytes
from ingest.error import NoRoomError, NothingTakenError, SomeFilesNotTakenError, VaultFullError
from vault.store.medium import DiskFullError

_log = log.get(__name__)


@dataclass
class Outcome:
    """How a run ended: recordings receipted now and known before, and what failed, by shown path.

    A damaged recording (its ranges, by id) is sealed or known and a failure too: it is in the vault, and not whole.
    `is_quarantined`: the register did not answer for the recorder; it is never erased. `is_unclaimed`: nobody knows who
    held it. `note` is said beside the end, whatever that is.
    """

    session_id: str
    sealed: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    failures: dict[str, SealdockError] = field(default_factory=dict)
    damaged: dict[str, Ranges] = field(default_factory=dict)
    is_quarantined: bool = False
    is_unclaimed: bool = False
    note: SealdockError | None = None

    def fail(self, shown_path: str, cause: SealdockError) -> None:
        """Not taken, or not whole; the last cause counts."""
        _log.warning("not taken", file=shown_path, code=cause.code)
        self.failures[shown_path] = cause

    def note_damage(self, recording_id: str, file: SourceFile, ranges: Ranges) -> None:
        """In the vault, and not whole: the session falls short."""
        self.damaged[recording_id] = ranges
        missing = missing_bytes(ranges)
        self.fail(file.shown_path, DamagedFileError(path=file.shown_path, missing=missing, size=file.size))

    def forget_damage(self, recording_id: str, file: SourceFile) -> None:
        """Copied once more: what the copy before lacked is no matter any more."""
        if self.damaged.pop(recording_id, None):
            self.failures.pop(file.shown_path, None)

    def shortfall(self) -> SealdockError | None:
        """What the tile says of what was not taken, the cause that a person can remove first; None when all was."""
        failed = sum(not isinstance(cause, DamagedFileError) for cause in self.failures.values())
        total = len(self.sealed) + len(self.known) + failed
        if not self.failures:
            return None
        if not failed:
            return FilesDamagedError(damaged=len(self.failures), total=total)
        if any(isinstance(cause, NoRoomError | DiskFullError) for cause in self.failures.values()):
            return VaultFullError(failed=failed, total=total)
        if failed == total:
            return NothingTakenError(total=total)
        return SomeFilesNotTakenError(failed=failed, total=total)
