"""What must be shown before a file on a recorder may go, as the process that erases checks it for itself.

Whoever asks for erasing is not believed. Code is labelled with the numbers.
  1. A warrant is an `erase` entry of the stage `allowed`, on the log under the log's key: vaultd's rules let it on
     (ingest.erase_rule), so that nothing of it is held, quarantined, damaged, or unopened. It asks for a second copy
     where the settings do, and it is at most an hour old, for the last of its files too.
  2. A recording's receipt is an entry on the same log, with an object and without damaged ranges; where the settings
     want somebody outside to have vouched for it, it lies before what the warrant says was vouched for.
  3. The warrant names that recording.
  4. The days of grace are over, by this machine's clock: those of the warrant, and those of the settings.
What comes out is the size and digest of the sealed plaintext; no name of a file is part of it. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.clock import parse_stamp
from core.errors import SealdockError
from devices.eraser import Content
from ingest.error import IngestError
from vault.formats.entry import Leaf
from vault.formats.proof import Receipt
from vault.store.objects import Vault

ERASE, ALLOWED = "erase", "allowed"
WARRANT_AGE = timedelta(
    hours=1
)  # dockd shows it a moment after it was made; longer, and a hold may have come
EARLY = timedelta(minutes=1)  # between two processes on one clock


class NoWarrantError(IngestError):
    """Asked to erase without proof."""

    code = "ingest.no_warrant"
    sentence = "Nothing was erased: {why}. The file is still on the recorder."


@dataclass(frozen=True)
class Terms:
    """Whose log is believed, how long after sealing a file stays on its recorder at least, and what is asked for."""

    vault: Vault
    grace_days: int
    replicated: bool = False
    witnessed: bool = False


def check_warrant(raw: bytes, terms: Terms, now: datetime) -> Leaf:
    """The warrant in a receipt. Raises NoWarrantError."""  # 1
    leaf = _proven(raw, terms.vault).leaf
    if leaf.type != ERASE or leaf.facts.get("stage") != ALLOWED:
        raise NoWarrantError(why="what was shown is no warrant")
    if terms.replicated and not leaf.facts["replicated"]:
        raise NoWarrantError(why="the warrant asks for no second copy, and the settings do")
    _check_age(leaf, now)
    return leaf


def check_erasable(raw: bytes, warrant: Leaf, terms: Terms, now: datetime) -> Content:
    """What the file must hold. Raises NoWarrantError."""
    _check_age(warrant, now)
    receipt = _proven(raw, terms.vault)
    leaf = receipt.leaf
    if leaf.object is None or leaf.facts.get("damaged"):  # 2
        raise NoWarrantError(why="the receipt is of no whole recording")
    if terms.witnessed and receipt.proof.index >= warrant.facts.get("witnessed", 0):
        raise NoWarrantError(why="nobody outside has vouched for this recording")
    if leaf.id not in warrant.about:  # 3
        raise NoWarrantError(why="the warrant does not name this recording")
    days = max(terms.grace_days, int(warrant.facts["grace_days"]))
    if now < parse_stamp(leaf.time) + timedelta(days=days):  # 4
        raise NoWarrantError(why=f"{days} days of grace are not over")
    return Content(leaf.object.size, leaf.object.sha256)


def _check_age(warrant: Leaf, now: datetime) -> None:
    if not now - WARRANT_AGE <= parse_stamp(warrant.time) <= now + EARLY:
        raise NoWarrantError(why="the warrant is too old, or a clock is wrong")


def _proven(raw: bytes, vault: Vault) -> Receipt:
    """A receipt that holds under a key of this vault's log."""
    try:
        receipt = Receipt.parse(raw)
        receipt.verify(vault.speaker(receipt.proof.checkpoint_note))
    except SealdockError as cause:
        raise NoWarrantError(why=str(cause)) from cause
    return receipt
