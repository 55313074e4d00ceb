"""Another signing key: for a process, or for the log itself. Both go on where they stopped when they are done again.

A process's key, each step durable before the next:
  1. the new key, as NAME.key.next;
  2. its `key` entry: from here on only the new key's submissions are taken;
  3. NAME.key.next takes the place of NAME.key.
The log's key:
  1. the new key, as log.key.next;
  2. the `key` entry that names it, under a checkpoint that both keys sign: from here on vaultd writes nothing under
     the old one;
  3. the proof of that entry in log/handover: from here on the new key is the vault's (vault.formats.handover);
  4. log/policy, so that stock verifiers take receipts under every key that is still believed;
  5. log.key.next takes the place of log.key.
What was signed before stays valid: entries by their place on the log, receipts under the key that they name.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from core.durable import create_once, make_directory, replace
from vault.ceremony.owner import as_owner_of, take_place
from vault.ceremony.past import KEY, Past
from vault.ceremony.session import LOG_KEY, NEXT, Ceremony, CeremonyError, Said
from vault.formats.handover import DIRECTORY
from vault.formats.note import SigningKey
from vault.founding import PERMITS
from vault.log.ledger import LogReader
from vault.store.objects import Vault
from vault.store.root import SECRET_MODE


def rotate_process(ceremony: Ceremony, name: str, *beside: Said) -> str:
    """A new key for a process, with what such a process may submit today; gives its text.

    `beside` goes on the log in the same batch. The process must not run, and nothing it signed may wait: submissions
    under the old key are refused from here on. Raises CeremonyError for a name that no process has.
    """
    if name not in PERMITS:
        raise CeremonyError(why=f"there is no process {name}; there are {', '.join(PERMITS)}")
    key = _successor(ceremony.keys / f"{name}.key", name)  # 1
    known = ceremony.past.current(name)
    if known is None or known.vkey != key.vkey:
        facts = {"name": name, "vkey": key.vkey, "permits": PERMITS[name]}
        ceremony.enter([*beside, Said(KEY, facts)])  # 2
    take_place(ceremony.keys / f"{name}.key{NEXT}", ceremony.keys / f"{name}.key")  # 3
    return key.vkey


def rotate_log(vault: Vault, keys: Path, *beside: Said) -> Vault:
    """Hand the log over to a new key; gives the vault as it is then. Every process must be started again after it.

    `beside` goes on the log in the same batch, before the entry that hands it over.
    """
    successor = _successor(keys / LOG_KEY, vault.origin)  # 1
    if successor.verifier != vault.verifier:
        with Ceremony(vault, keys, [_SecondSignature(successor)]) as ceremony:
            _hand_over(ceremony, successor, beside)  # 2, 3
        vault = Vault.open(vault.path)
    settle_log(vault, keys)  # 4, 5
    return vault


def settle_log(vault: Vault, keys: Path) -> None:
    """Steps 4 and 5 of a handover that the log already knows; doing them again changes nothing."""
    compromised = Past.read(LogReader(vault)).compromised
    earlier = [key.vkey for key in reversed(vault.earlier) if key.vkey not in compromised]
    policy = vault.log_path / "policy"
    before = policy.read_text(encoding="utf-8")
    rest = [line for line in before.splitlines(keepends=True) if not line.startswith("log ")]
    text = "".join([*(f"log {vkey}\n" for vkey in (vault.verifier.vkey, *earlier)), *rest])
    if before != text:
        with as_owner_of(vault.log_path):
            replace(policy, text.encode())
    if waits(keys, "log", vault.verifier.vkey):
        take_place(keys / f"{LOG_KEY}{NEXT}", keys / LOG_KEY)


def waits(keys: Path, name: str, vkey: str) -> bool:
    """Whether the key with this text was made and is not in its place yet: a rotation was cut short."""
    waiting = keys / f"{name}.key{NEXT}"
    return waiting.exists() and SigningKey.read(waiting).vkey == vkey


class _SecondSignature:
    """The successor's line under a checkpoint, as a Cosigner: the writer adds it in the same moment as its own."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    @property
    def vkey(self) -> str:
        return self._key.vkey

    def line(self, text: str, at: datetime) -> bytes:  # noqa: ARG002  a log's signature has no time
        return self._key.sign(text)


def _successor(path: Path, name: str) -> SigningKey:
    """The key that is to come: a fresh one, or the one that was made before something cut the work short."""
    waiting = path.with_name(path.name + NEXT)
    if not waiting.exists():
        key = SigningKey.generate(name)
        create_once(waiting, f"{key.private_text}\n".encode(), SECRET_MODE)
    return SigningKey.read(waiting)


def _hand_over(ceremony: Ceremony, successor: SigningKey, beside: Sequence[Said]) -> None:
    vault = ceremony.vault
    known = ceremony.past.current(vault.origin)
    if known is None or known.vkey != successor.vkey:
        ceremony.enter([*beside, Said(KEY, {"name": vault.origin, "vkey": successor.vkey, "permits": []})])
    reader, size = LogReader(vault), ceremony.size
    if reader.leaf(size - 1).facts.get("vkey") != successor.vkey:
        raise CeremonyError(
            why="entries were written after the log was handed over, under the key that gave it up"
        )
    with as_owner_of(vault.log_path):
        make_directory(vault.path / DIRECTORY)
        create_once(vault.path / DIRECTORY / str(size), reader.proof(size - 1))
