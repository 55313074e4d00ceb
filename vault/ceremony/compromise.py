"""A key that somebody else may have: the log says from when it is not believed, and the key goes out of force at once.

  process   its entries since then prove only that the key was used; a new key is in force in the same batch.
  log       the log is handed over first; receipts under the old key that lie after `since` count only with evidence
            from outside (a timestamp, a witness, a printed page). log/policy no longer names it.
  root      everything wrapped to it can be read by whoever has it and the vault's keys; rotate it next.
  recovery  as root.
Entries are never taken back: what was said under the key stays readable, with the doubt beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from core.clock import stamp
from vault.ceremony.past import KnownKey, Past
from vault.ceremony.rule import COMPROMISE
from vault.ceremony.session import Ceremony, CeremonyError, Said
from vault.ceremony.signing import rotate_log, rotate_process, settle_log, waits
from vault.formats.cosignature import Cosigner
from vault.founding import PERMITS
from vault.store.objects import Vault

READERS = ("root", "recovery")
NEXT_STEPS = {
    "process": (
        "Start the services again: the process has a new key and the old one is refused.",
        "Look through the entries that this key made since then: `sealdock key list` says between which entries.",
        "Find out how the key got away before you trust the machine: the new one lies in the same place.",
    ),
    "log": (
        "Start all services again: the log is signed by a new key. Publish its text and fingerprint.",
        "Have today's checkpoint timestamped and cosigned at once: `sealdock anchor now`.",
        "Compare every receipt and checkpoint kept outside: `sealdock vault verify --against`.",
        "Tell whoever holds receipts made since then: they count with evidence from outside, not by the key alone.",
    ),
    "root": (
        "Make another root now: `sealdock key rotate root`. New months are wrapped to it alone.",
        "Whoever has the old root and a copy of keys/ can read what was sealed before; a rotation does not undo that.",
        "Destroy the old root and every copy of it, and say in the file of the case what may have been read.",
    ),
    "recovery": (
        "Make another recovery key now, off this machine: `sealdock key rotate recovery`.",
        "Whoever has the old one and a copy of keys/ can read what was sealed before; a rotation does not undo that.",
    ),
}


@dataclass(frozen=True)
class Declared:
    """What was entered, and what to do next."""

    key: KnownKey
    steps: tuple[str, ...]
    new_key: str | None


def declare(
    vault: Vault,
    keys: Path,
    name: str,
    since: datetime,
    vkey: str | None = None,
    cosigners: Sequence[Cosigner] = (),
) -> Declared:
    """Say on the log that the key `name` (its newest, or the one with this text) is not believed since then.

    A key in force goes out of force. `name` is a process, "log", "root" or "recovery". One that was cut short is
    finished first. Raises CeremonyError for a key that the log never named, and RefusedError for a time to come.
    """
    title = vault.origin if name == "log" else name
    is_settled_late = name == "log" and waits(keys, name, vault.verifier.vkey)
    if is_settled_late:
        settle_log(vault, keys)
    with Ceremony(vault, keys, cosigners) as ceremony:
        past = ceremony.past
        current = past.current(title)
        is_cut_short = is_settled_late or (current is not None and waits(keys, name, current.vkey))
        if is_cut_short and name in PERMITS:
            rotate_process(ceremony, name)
        key = _meant(past, title, vkey, is_cut_short=is_cut_short)
        facts = {"name": title, "vkey": key.vkey, "since": stamp(since)}
        said = Said(COMPROMISE, facts, about=(vault.id,))  # so that rules find it (vault.retention.chronicle)
        is_told, in_force = key.vkey in past.compromised, current == key
        if not is_told and name in PERMITS and in_force:
            return Declared(key, NEXT_STEPS["process"], rotate_process(ceremony, name, said))
        if not is_told and not (name == "log" and in_force):
            ceremony.enter([said])
    if name != "log":
        return Declared(key, NEXT_STEPS[name if name in READERS else "process"], None)
    if in_force or (is_cut_short and not is_settled_late):
        vault = rotate_log(vault, keys, said)
    settle_log(vault, keys)
    return Declared(key, NEXT_STEPS["log"], vault.verifier.vkey)


def _meant(past: Past, name: str, vkey: str | None, *, is_cut_short: bool) -> KnownKey:
    """The key with that text; without one the newest, or the one before it while its successor is not in place."""
    known = past.keys.get(name, [])
    if vkey is None:
        found = known[-2:-1] if is_cut_short else known[-1:]
    else:
        found = [key for key in known if key.vkey == vkey][-1:]
    if not found:
        raise CeremonyError(why=f"the log names no such key of {name}")
    return found[0]
