"""From a copy to an empty place: a vault that can be put to work, or read, and that says what it lacks.

Invariants: nothing is ever restored over anything; every byte is held to the log on its way, as in a backup; until the
last step there is no checkpoint, so a restore that was killed is no vault and is simply run again. Going on with a log
that is shorter than what receipts outside know would make a second history: that is said, and is a person's decision.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.durable import create_once, fsync_directory, make_directory
from core.errors import Exit
from vault.audit.report import Report
from vault.audit.verify import verify_vault
from vault.care.backup import VAULT_DIRECTORY, NoRoomForCopyError, Passed
from vault.care.beside import Problem
from vault.care.copying.mirror import Mirror
from vault.care.copying.stretch import SourceDamagedError, Stretch, look_through
from vault.care.placing import Placing
from vault.error import VaultError
from vault.formats.age import Identity
from vault.formats.checkpoint import Checkpoint
from vault.formats.merkle import Frontier
from vault.log.ledger import LogReader
from vault.store.objects import VAULT_FILE, Vault

RESTORING = ".restoring"
_DIRECTORIES = ("incoming", "objects", "packs", "keys/slots", "keys/buckets", "log/tile/entries")
_LEFT_BY_A_RUN = frozenset({RESTORING, "forming", "lost+found"})


class NotEmptyPlaceError(VaultError):
    """There is something where a vault is to be restored."""

    code = "vault.restore_place"
    sentence = (
        "{path} is not empty ({why}). Nothing was written: a vault is never restored over anything. Name another "
        "directory; what lies there may be the only copy of something."
    )
    exit_code = Exit.WRONG_USE


@dataclass
class Restored:
    """What was restored. `report` is the verification of the result; `problems` what the copy itself lacked."""

    vault: str
    size: int
    head: str
    files: int
    bytes: int
    objects: int
    report: Report
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Everything that the restored log seals is there, and everything held against it is its beginning."""
        return self.report.ok and not self.problems


def copy_of(path: Path) -> Vault:
    """The vault in a copy: a backup's directory, or a bare vault directory. Raises NoVaultError."""
    inner = path / VAULT_DIRECTORY
    return Vault.open(inner if (inner / VAULT_FILE).exists() else path)


def restore(
    source: Path,
    target: Path,
    *,
    against: Sequence[Path] = (),
    identities: Sequence[Identity] | None = None,
    told: Callable[[Passed], None] = lambda _: None,
) -> Restored:
    """Restore the copy in `source` to the empty or missing directory `target` and verify the result.

    Raises NotEmptyPlaceError, NoVaultError, NoRoomForCopyError, SourceDamagedError, DiskFullError or MediumError.
    """
    copy = copy_of(source)
    _check_place(copy, target)
    head, note = LogReader(copy).checkpoint()
    stretch = _whole_log(copy, head)
    _begin(copy, target, stretch.object_bytes)
    placing = Placing(target, target / "forming", _teller(told, stretch.object_bytes))
    try:
        mirror = Mirror(copy, target, placing)
        mirror.bring(stretch, head)
        mirror.bring_rest(head.size)
        mirror.finish(note)
    finally:
        placing.close()
    (target / RESTORING).unlink()
    fsync_directory(target)
    report = verify_vault(target, copy.founding_key, identities=identities, against=against)
    return Restored(
        copy.id, head.size, note.decode(), placing.files, placing.bytes, mirror.objects, report, mirror.problems
    )  # fmt: skip


def _whole_log(copy: Vault, head: Checkpoint) -> Stretch:
    """All entries of the copy. Raises SourceDamagedError unless they lead to its signed head."""
    frontier = Frontier()
    stretch = look_through(LogReader(copy), frontier, head.size)
    if frontier.root() != head.root:
        raise SourceDamagedError(path=copy.log_path, size=head.size)
    return stretch


def _teller(told: Callable[[Passed], None], total: int) -> Callable[[int], None]:
    """Adds up the bytes that went by; never tells of more than `total`."""
    passed = 0

    def tell(count: int) -> None:
        nonlocal passed
        passed = min(passed + count, total)
        told(Passed(passed, total))

    return tell


def _check_place(copy: Vault, target: Path) -> None:
    ours, theirs = copy.path.resolve(), target.resolve()
    if ours == theirs or ours in theirs.parents or theirs in ours.parents:
        raise NotEmptyPlaceError(path=target, why="it lies in the copy, or the copy in it")
    names = {path.name for path in target.iterdir()} if target.exists() else set()
    if not names - {"lost+found"}:
        return
    mark = target / RESTORING
    if not mark.exists():
        raise NotEmptyPlaceError(path=target, why=f"it holds {min(names)}")
    if mark.read_text(encoding="ascii").strip() != copy.id:
        raise NotEmptyPlaceError(path=target, why="another vault was being restored there")


def _begin(copy: Vault, target: Path, object_bytes: int) -> None:
    make_directory(target)
    facts = os.statvfs(target)
    held = sum(path.stat().st_size for path in (target / "objects").glob("*/*.chunks"))
    missing = object_bytes - held - facts.f_bavail * facts.f_frsize
    if missing > 0:
        raise NoRoomForCopyError(path=target, missing=missing)
    if not (target / RESTORING).exists():
        create_once(target / RESTORING, f"{copy.id}\n".encode())
    for name in _DIRECTORIES:
        make_directory(target / name)
