"""Two checkpoints that cannot both be beginnings of one honest log, kept where they were noticed.

Invariant: evidence of a conflict is written once, named by its content, never removed by a program, and its number is
bounded, so that whoever holds a log key cannot fill the disk with it. Each kind has its own room: whoever carries old
checkpoints about can make rollbacks appear, and must not thereby keep a fork from being recorded.
  fork      one size, two roots, both signed: the log's key made two histories. The two files prove it to anybody.
  rollback  fewer entries than were seen before: the log was set back, or an old file was carried here.
  unproven  more entries, and no proof that they continue what was seen before.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from core.durable import AlreadyExistsError, create_once, make_directory
from core.errors import Exit
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint

KEPT = 100  # conflicts of one kind and log at one observer; the first ones tell most
KNOWN, OFFERED, ANSWER = "known", "offered", "answer"


class ConflictKind(StrEnum):
    """What two checkpoints say about the log."""

    FORK = "fork"
    ROLLBACK = "rollback"
    UNPROVEN = "unproven"


@dataclass(frozen=True)
class Conflict:
    """Kept evidence: a directory with `known`, `offered` and, where somebody said more, `answer`."""

    kind: ConflictKind
    place: Path

    @property
    def sentence(self) -> str:
        """What it means, in English."""
        return SENTENCES[self.kind].format(place=self.place)


SENTENCES = {
    ConflictKind.FORK: (
        "The log's key signed two histories. {place} holds both checkpoints, which prove it to anybody: keep a copy "
        "off the machine, stop the station and find out who holds the key."
    ),
    ConflictKind.ROLLBACK: (
        "The log was seen with more entries than it shows now. Either an old file was carried, or the log was set "
        "back. {place} holds both checkpoints: compare them with the vault before anything else is entered."
    ),
    ConflictKind.UNPROVEN: (
        "No proof was given that the log continues what was seen before. {place} holds both checkpoints: if the "
        "vault cannot prove one from the other (`sealdock vault verify --against`), its history was rewritten."
    ),
}


class ConflictError(VaultError):
    """The log that asks for a cosignature, or that was asked about, contradicts what was seen of it."""

    code = "vault.conflict"
    sentence = (
        "The log contradicts what was seen of it before ({kind}). {place} holds both checkpoints: keep a copy off the "
        "machine and enter nothing before it is explained (docs/operations/trusted-time.md)."
    )
    exit_code = Exit.NO

    def __init__(self, conflict: Conflict) -> None:
        super().__init__(kind=conflict.kind.value, place=conflict.place)
        self.conflict = conflict


def between(known: Checkpoint, offered: Checkpoint) -> ConflictKind:
    """What kind of conflict the sizes make it."""
    if known.size == offered.size:
        return ConflictKind.FORK
    return ConflictKind.ROLLBACK if offered.size < known.size else ConflictKind.UNPROVEN


def keep(directory: Path, kind: ConflictKind, known: bytes, offered: bytes, answer: bytes = b"") -> Conflict:
    """Keep two checkpoints below `directory`; the same two again make no second directory. Raises OSError."""
    name = f"{kind}-{sha256(known + b'/' + offered).hexdigest()[:16]}"
    found = conflicts(directory)
    alike = [one for one in found if one.kind is kind]
    if len(alike) >= KEPT and not (directory / name).exists():
        return alike[0]
    place = directory / name
    make_directory(place)
    for file, content in ((KNOWN, known), (OFFERED, offered), (ANSWER, answer)):
        if content:
            try:
                create_once(place / file, content)
            except AlreadyExistsError:
                continue  # the same conflict was kept before; the name is its digest
    return Conflict(kind, place)


def conflicts(directory: Path) -> list[Conflict]:
    """What was kept, in the order of names."""
    found = sorted(directory.iterdir()) if directory.is_dir() else []
    kinds = {kind.value: kind for kind in ConflictKind}
    return [
        Conflict(kinds[kind], path)
        for path in found
        if (kind := path.name.partition("-")[0]) in kinds and (path / OFFERED).exists()
    ]
