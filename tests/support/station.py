"""Two stations for tests: small houses that anchor their logs and witness each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from crash.house import House

from vault.anchor.entry import AnchorEntries
from vault.anchor.gather import Gatherer
from vault.anchor.source import Authority, Witness
from vault.anchor.store import AnchorStore
from vault.anchor.witness import Witness as WitnessDesk
from vault.formats.cosignature import Cosigner, CosignerKey, CosignerSigningKey, Kind
from vault.formats.note import VerifierKey
from vault.log.outbox import RowState, Submitter

__all__ = ["Station"]


@dataclass
class Station:
    """A house, its anchors, and its desk as a witness of others."""

    house: House
    name: str
    authorities: list[Authority] = field(default_factory=list)
    witnesses: list[Witness] = field(default_factory=list)
    cosigners: list[Cosigner] = field(default_factory=list)  # of vaultd: further lines under every checkpoint

    def __post_init__(self) -> None:
        self.keys = [CosignerSigningKey.generate(f"witness/{self.name}", kind) for kind in Kind]

    @property
    def store(self) -> AnchorStore:
        return AnchorStore(self.house.reader)

    @property
    def alarms(self) -> Path:
        return self.house.directory / "state/anchor/conflicts"

    @property
    def gatherer(self) -> Gatherer:
        return Gatherer(self.store, self.alarms, self.authorities, self.witnesses)

    @property
    def entries(self) -> AnchorEntries:
        return AnchorEntries(
            self.house.db, Submitter(self.house.key("anchord"), self.house.projections, self.house.bell)
        )

    def desk(self, *logs: VerifierKey, at: datetime | None = None) -> WitnessDesk:
        clock = (lambda: at) if at else (lambda: datetime.now(UTC))
        return WitnessDesk(self.house.directory / "state/witness", self.keys, logs, clock)

    def ask(self, name: str, url: str | None, key: CosignerKey) -> Witness:
        peer = Witness(name, url, key)
        self.witnesses.append(peer)
        return peer

    def grow(self, count: int = 1) -> int:
        for _ in range(count):
            self.house.case()
        vaultd = self.house.vaultd(cosigners=self.cosigners)
        vaultd.start()
        while self.house.rows(RowState.PENDING):
            vaultd.step()
        vaultd.close()
        return self.house.reader.size
