"""The restore drill: a copy is worth what a restore from it is worth, so it is restored, verified, opened and signed.

The copy is restored to a scratch directory as it would be after a loss. Everything stored is verified; with an
identity every recording or a sample of them is opened and compared as well. The report is a signed note
(c2sp.org/signed-note) over one line of canonical JSON; its digest goes on the log as a `drill` entry.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from tempfile import TemporaryDirectory

from core.canonical import Json, encode
from core.clock import stamp, utc_now
from core.digest import Sha256, sha256_hex
from vault.care.backup import Passed
from vault.care.copying.meeting import root_text
from vault.care.restore import Restored, restore
from vault.error import VaultError
from vault.formats.age import Identity
from vault.formats.note import SigningKey, sign_note
from vault.log.ledger import LogReader
from vault.log.submission import Draft
from vault.store.keys import Keyring
from vault.store.objects import Vault, open_object

SAMPLE = 20  # recordings that are opened when identities are given
_PIECE = 1 << 20


@dataclass(frozen=True)
class Drill:
    """How a drill ended: the signed report, and the facts of its entry."""

    report: bytes
    facts: Json
    restored: Restored

    @property
    def is_ok(self) -> bool:
        """The copy can be restored and holds everything."""
        return bool(self.facts["ok"])

    def draft(self) -> Draft:
        """The entry that tells of it."""
        return Draft("drill", facts=self.facts)


def drill(
    source: Path,
    signer: SigningKey,
    *,
    scratch: Path | None = None,
    identity: Identity | None = None,
    sample: int = SAMPLE,
    told: Callable[[Passed], None] = lambda _: None,
) -> Drill:
    """Restore `source` below `scratch` (a temporary directory), verify it, open samples, and take it away again.

    Raises what `restore` raises; what is wrong with the copy is in the report.
    """
    began = utc_now()
    with TemporaryDirectory(prefix="sealdock-drill-", dir=scratch) as place:
        target = Path(place) / "vault"
        restored = restore(source, target, told=told)
        opened, unopened = _open_sample(Vault.open(target), identity, sample) if identity else ([], [])
        shutil.rmtree(target)  # before the report says how it went: nothing is left behind
    report = restored.report
    head = report.checkpoint
    failures = report.failure_count + len(restored.problems) + len(unopened)
    facts: Json = {
        "size": restored.size, "root": root_text(head) if head else "", "failures": failures,
        "ok": not failures and report.ok, "recordings": restored.objects, "opened": len(opened),
    }  # fmt: skip
    told_all = {
        **facts, "drill": 1, "vault": restored.vault, "began_at": stamp(began), "ended_at": stamp(utc_now()),
        "head": restored.head, "bytes": restored.bytes, "opened_recordings": opened,
        "not_opened": unopened, "missing": [vars(problem) for problem in restored.problems],
        "verification": report.to_json() | {"directory": ""},
    }  # fmt: skip
    signed = sign_note(encode(told_all).decode() + "\n", signer)
    return Drill(signed, {**facts, "sha256": sha256_hex(signed)}, restored)


def _open_sample(vault: Vault, identity: Identity, count: int) -> tuple[list[str], list[Json]]:
    """Recordings opened whole and compared with what was read from the recorder, and those that could not be."""
    reader = LogReader(vault)
    size = reader.size
    there = [
        index
        for index, leaf in enumerate(reader.leaves(0, size))
        if leaf.object is not None and vault.slots.object_slot(index) is not None
    ]
    chosen = sorted(SystemRandom().sample(there, min(count, len(there))))
    keyring, opened, failed = Keyring.from_identity(vault, identity.text), list[str](), list[Json]()
    for index in chosen:
        leaf = reader.leaf(index)
        try:
            why = _compare(vault, index, reader, keyring)
        except (VaultError, OSError) as cause:
            why = str(cause)
        if why:
            failed.append({"recording": leaf.id, "why": why})
        else:
            opened.append(leaf.id)
    return opened, failed


def _compare(vault: Vault, index: int, reader: LogReader, keyring: Keyring) -> str:
    leaf = reader.leaf(index)
    slot = vault.slots.object_slot(index)
    if leaf.object is None or slot is None:
        return "it has no key"
    running = Sha256()
    with open_object(vault, index, leaf, keyring.file_key(slot, leaf.object.bucket)) as source:
        while piece := source.read(_PIECE):
            running.update(piece)
    return "" if running.hexdigest() == leaf.object.sha256 else "the plaintext is not what was sealed"
