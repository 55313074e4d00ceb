"""From settings to what clears recorders: the gates, the eraser, and whoever outside has vouched for the log."""

from __future__ import annotations

from functools import partial
from threading import Event

from core.settings import Settings
from ingest.copying import SealingLine
from ingest.erase_gate import Gates
from ingest.erase_line import SOCKET, Reach
from ingest.erasing import Erasing
from ingest.workplace import Erase, keep_all
from vault.anchor.store import AnchorStore
from vault.audit.anchor import outside_evidence
from vault.log.ledger import LogReader


def erase_by_policy(settings: Settings, reader: LogReader, line: SealingLine, stop: Event) -> Erase:
    """What becomes of footage on a recorder once it is sealed: it stays, unless the settings say otherwise."""
    policy, mounts = settings.dock.erase, settings.dock.mounts
    if policy.policy == "keep":
        return keep_all
    reach = Reach(mounts.parent / SOCKET, settings.vault, mounts, policy.grace_days)
    return Erasing(line, gates(settings, reader), reach, stop)


def gates(settings: Settings, reader: LogReader) -> Gates:
    """What a recording must pass before its file may be erased from a recorder."""
    return Gates(settings.dock.erase, reader, partial(_covered, settings, reader))


def _covered(settings: Settings, reader: LogReader) -> int:
    """Entries of the log that an authority or a witness of the settings has vouched for; 0 when nobody has."""
    anchor = settings.anchor
    roots = {one.name: one.roots.read_bytes() for one in anchor.authorities if one.roots.exists()}
    vkeys = [one.vkey for one in anchor.witnesses]
    head, _ = reader.checkpoint()
    keys = AnchorStore(reader).log_keys()
    told = outside_evidence(reader.vault.path, keys, roots, vkeys, head=head, newest_only=True)
    return max((one.size for one in told if one.trusted), default=0)
