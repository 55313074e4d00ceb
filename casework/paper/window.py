"""The uncovered window: what outsiders have confirmed of the log, and what its owner alone vouches for.

A checkpoint proves who signed it, and the machine's owner holds the key that signs. Only what somebody outside
has seen (a time stamp, a cosignature) is beyond the owner's reach, up to the size that was seen. Every receipt,
daily page and screen says how far that is, also when the answer is "nowhere yet".

Judging one anchor costs milliseconds and a station gathers thousands, so neither question reads them all: the
newest evidence is looked for from the end, and the first over one entry from that entry on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from core import log as core_log
from core.settings import AnchorSettings
from vault.audit.anchor import (
    Anchor,
    Judge,
    OutsideEvidence,
    anchors,
    last_evidence,
    no_beginning,
    outside_evidence,
)
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint
from vault.formats.merkle import DirectoryTiles
from vault.formats.note import VerifierKey
from vault.log.ledger import LogReader

FURTHEST = 64  # anchors looked at behind an entry: a stamp that took longer to come is told by the newest one
_LOG = core_log.get("casework.window")


@dataclass(frozen=True)
class Outsiders:
    """Whom the house believes: time-stamping authorities by name (PEM), and witnesses by key."""

    roots: Mapping[str, bytes] = field(default_factory=dict)
    witness_vkeys: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: AnchorSettings) -> Outsiders:
        """Those of the settings; an authority whose certificates cannot be read is logged and not believed."""
        roots = dict[str, bytes]()
        for authority in settings.authorities:
            try:
                roots[authority.name] = authority.roots.read_bytes()
            except OSError as cause:
                _LOG.error(
                    "an authority's certificates cannot be read", name=authority.name, why=cause.strerror
                )
        return cls(roots, tuple(witness.vkey for witness in settings.witnesses))


@dataclass(frozen=True)
class Window:
    """What a page about the log of `size` entries has to admit."""

    size: int
    latest: OutsideEvidence | None
    first: OutsideEvidence | None = (
        None  # over the entry in question: since then it is out of the owner's reach
    )

    @property
    def open_entries(self) -> int:
        """Entries that nobody outside has confirmed."""
        return max(0, self.size - (self.latest.size if self.latest else 0))


def window_of(log: LogReader, outsiders: Outsiders, index: int | None = None) -> Window:
    """The window of the log as it stands, and of entry `index` when a page is about one. Raises VaultError."""
    head, _ = log.checkpoint()
    evidence = outside_evidence(
        log.vault.path, log_keys(log), outsiders.roots, outsiders.witness_vkeys, head=head, newest_only=True
    )
    found = None if index is None else first_over(log, outsiders, index)
    return Window(head.size, last_evidence(evidence), found[1] if found else None)


def first_over(log: LogReader, outsiders: Outsiders, index: int) -> tuple[Anchor, OutsideEvidence] | None:
    """The earliest anchored checkpoint that covers entry `index` and that an outsider vouched for."""
    judge = Judge(log_keys(log), outsiders.roots, outsiders.witness_vkeys)
    head, _ = log.checkpoint()
    tiles = DirectoryTiles(log.vault.log_path, head.size)
    covering = (anchor for anchor in anchors(log.vault.path) if anchor.size > index)
    for anchor in islice(covering, FURTHEST):
        trusted = [one for one in _judged(judge, anchor) if one.trusted]
        if trusted and not no_beginning(Checkpoint(head.origin, anchor.size, trusted[0].root), head, tiles):
            return anchor, min(trusted, key=lambda one: one.at)
    return None


def log_keys(log: LogReader) -> list[VerifierKey]:
    """Every key that ever signed this log, today's first."""
    return [log.vault.verifier, *reversed(log.vault.earlier)]


def _judged(judge: Judge, anchor: Anchor) -> list[OutsideEvidence]:
    """What lies beside one anchored checkpoint; damage is the audit's to name, and here no evidence."""
    found = list[OutsideEvidence]()
    try:
        stored = judge.checkpoint(anchor.note(), anchor.size)
        for kind, name, path in anchor.files():
            if kind != "signature":
                found.append(judge.evidence(anchor, stored, kind, name, path))
    except (OSError, VaultError) as cause:
        _LOG.warning("an anchor is passed over", size=anchor.size, why=str(cause))
    return found
