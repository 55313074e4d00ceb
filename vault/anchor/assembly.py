"""From settings to the parts: whom this station asks, its own further keys, and its witness."""

from __future__ import annotations

from pathlib import Path

from core.settings import AnchorSettings, Settings
from vault.anchor.anchord import Anchord
from vault.anchor.entry import AnchorEntries
from vault.anchor.gather import Gatherer
from vault.anchor.key import WITNESS_KEY, read_keys
from vault.anchor.source import Authority
from vault.anchor.source import Witness as Peer
from vault.anchor.store import AnchorStore
from vault.anchor.witness import Witness
from vault.anchor.witness_server import WitnessServer
from vault.formats.cosignature import Cosigner, CosignerKey
from vault.formats.note import VerifierKey
from vault.formats.sm2 import Sm2SigningKey
from vault.log.ledger import LogReader

SM2_KEY = "log.sm2.pem"  # made by `sealdock key make sm2`


def gatherer(settings: Settings, reader: LogReader) -> Gatherer:
    """Whom `settings` names. Raises CosignerKeyError."""
    anchor = settings.anchor
    return Gatherer(
        AnchorStore(reader), alarms(settings),
        [Authority(one.name, one.url, one.roots) for one in anchor.authorities],
        [Peer(one.name, one.url, CosignerKey.parse(one.vkey), one.roots) for one in anchor.witnesses],
        own_signers(settings, reader.vault.origin),
    )  # fmt: skip


def own_signers(settings: Settings, origin: str) -> dict[str, Cosigner]:
    """The station's further keys for anchored checkpoints: SM2, where the settings ask for it and the key was made.

    An ML-DSA-44 line is vaultd's: it stands under every checkpoint and is taken from there.
    """
    path = settings.keys / SM2_KEY
    return {"sm2": Sm2SigningKey(origin, path)} if settings.anchor.sm2 and path.exists() else {}


def witness(settings: Settings) -> Witness:
    """This station as a witness. Raises NoCosignerError or NoteKeyError."""
    logs = [VerifierKey.parse(vkey) for vkey in settings.anchor.witness_for]
    return Witness(settings.state / "witness", read_keys(settings.keys / WITNESS_KEY), logs)


def server(settings: Settings) -> WitnessServer | None:
    """The witness's server, where the settings say that it listens. Raises ListenError."""
    anchor: AnchorSettings = settings.anchor
    if anchor.listen is None:
        return None
    return WitnessServer(witness(settings), anchor.listen, anchor.certificate, anchor.private_key)


def anchord(settings: Settings, reader: LogReader, entries: AnchorEntries) -> Anchord:
    """The process."""
    return Anchord(
        gatherer(settings, reader), entries, settings.anchor.interval_minutes * 60.0, server(settings)
    )


def alarms(settings: Settings) -> Path:
    """Where conflicts with a witness are kept."""
    return settings.state / "anchor" / "conflicts"
