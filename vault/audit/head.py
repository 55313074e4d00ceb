"""Whose log this is, and its signed head (obligations 1 and 2 of vault/audit/verify.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.canonical import CanonicalError, decode
from vault.audit.earlier import extends
from vault.audit.file import read_bounded
from vault.audit.policy import check_policy
from vault.audit.report import Finding, Report, reason
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint, parse_checkpoint
from vault.formats.entry import is_stamp, is_ulid
from vault.formats.handover import DIRECTORY, FILE_LIMIT, Handover, HandoverError, follow
from vault.formats.note import VerifierKey
from vault.formats.proof import Proof, Trust

SMALL = 1 << 20  # bytes; far above any file that holds one fact, and nothing to fear
_VAULT_KEYS = {"v", "id", "origin", "key", "made_at"}
_HANDOVERS = 1000  # keys that one log may have had; one a day for three years


@dataclass(frozen=True)
class Head:
    """What the rest of the verification stands on: the keys of the log, oldest first, and its checkpoint."""

    made_at: str
    keys: Sequence[VerifierKey]
    handovers: Sequence[Handover]
    checkpoint: Checkpoint


def read_head(directory: Path, trusted: VerifierKey | None, report: Report) -> Head | None:
    """1. and 2.; None when nothing else can be judged. Takes down why."""
    facts = _vault_facts(directory, report)
    if facts is None:
        return None
    founding = VerifierKey.parse(facts["key"])
    handovers, notes = _handovers(directory, founding, report)
    keys = [founding, *(step.key for step in handovers)]
    report.trust = Trust.CONFIRMED if trusted else Trust.CLAIMED
    if trusted is not None and trusted not in keys:
        report.fail(Finding(1, "verify.key", "vault.json", "the keys differ"))
        keys, handovers = [trusted], []
    report.key = keys[0] if trusted is None else trusted
    report.founding_key = keys[0]
    check_policy(directory, keys, report)
    checkpoint = _checkpoint(directory, keys[-1], report)
    if checkpoint is None:
        return None
    report.checkpoint = checkpoint
    for note, step in zip(notes, handovers, strict=False):
        if why := extends(directory, checkpoint, parse_checkpoint(note, step.key)):
            report.fail(Finding(1, "verify.handover", f"{DIRECTORY}/{step.size}", why))
    return Head(facts["made_at"], keys, handovers, checkpoint)


def _vault_facts(directory: Path, report: Report) -> dict[str, Any] | None:
    """1. The content of vault.json, whole; takes down what is wrong with it."""
    try:
        facts = decode(read_bounded(directory / "vault.json", SMALL))
        whole = set(facts) == _VAULT_KEYS and facts["v"] == 1 and is_ulid(facts["id"])
        whole = whole and is_stamp(facts["made_at"]) and isinstance(facts["key"], str)
        key = VerifierKey.parse(facts["key"]) if whole else None
    except (OSError, CanonicalError, VaultError) as cause:
        report.fail(Finding(1, "verify.vault_file", "vault.json", reason(cause)))
        return None
    if key is None or not facts["origin"] == key.name == f"sealdock/{facts['id'].lower()}":
        report.fail(Finding(1, "verify.vault_file", "vault.json", "its facts are not those of a vault"))
        return None
    return facts


def _handovers(directory: Path, key: VerifierKey, report: Report) -> tuple[list[Handover], list[bytes]]:
    """1. The steps from the founding key to today's, each with the checkpoint that both keys signed."""
    place = directory / DIRECTORY
    try:
        names = [path.name for path in place.iterdir()] if place.is_dir() else []
        names = sorted(
            (name for name in names if not name.startswith(".")), key=lambda name: (len(name), name)
        )
        if len(names) > _HANDOVERS or not all(name.isascii() and name.isdigit() for name in names):
            raise HandoverError(why="a file there is not named by a size")
        raws = [read_bounded(place / name, FILE_LIMIT) for name in names]
        steps = follow(key, raws)
        if [str(step.size) for step in steps] != names:
            raise HandoverError(why="a file there has another size's name")
        return steps, [Proof.parse(raw).checkpoint_note for raw in raws]
    except (OSError, VaultError) as cause:
        report.fail(Finding(1, "verify.handover", DIRECTORY, reason(cause)))
        return [], []


def _checkpoint(directory: Path, key: VerifierKey, report: Report) -> Checkpoint | None:
    """2. The signed head of the log."""
    try:
        return parse_checkpoint(read_bounded(directory / "log" / "checkpoint", SMALL), key)
    except (OSError, VaultError) as cause:
        why = reason(cause)
    report.fail(Finding(2, "verify.checkpoint", "log/checkpoint", why))
    return None
