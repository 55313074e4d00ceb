"""What the vault's page says: the log's head, outside evidence, fixity and room, each read where it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from casework.access.permission import Permission
from casework.keeping.projection import holds
from casework.keeping.standing import disposals
from casework.paper.window import Outsiders, Window, window_of
from core.clock import utc_now
from core.settings import MEBIBYTE
from ingest.room import promised_by
from ingest.status import read_status
from vault.care.fixity import Failure, FixityState, failures, fixity_state
from vault.care.space import Space, measure
from vault.formats.checkpoint import Checkpoint
from vault.formats.note import VerifierKey
from webconsole.context import console
from webconsole.gate import may

SHOWN_FAILURES = 20


@dataclass(frozen=True)
class VaultState:
    """Everything on the page; `names_recordings` only for who may list them."""

    vault_id: str
    checkpoint: Checkpoint
    key: VerifierKey
    window: Window
    fixity: FixityState
    days: int  # within which everything is to be proven again
    failures: list[Failure]
    space: Space
    names_recordings: bool
    holds: int
    holds_due: int  # for review
    disposals: int  # approved and not yet carried out

    @property
    def used_permille(self) -> int:
        """How full the disk is, for a bar; what is reserved counts as full."""
        return round(1000 * (1 - self.space.room / self.space.total)) if self.space.total else 0


def vault_state() -> VaultState:
    """The state now. Raises VaultError when the log cannot be read, OSError when the disk cannot be asked."""
    context = console()
    settings, vault, reader = context.settings, context.vault, context.reader
    checkpoint, _ = reader.checkpoint()
    promised = promised_by(read_status(settings.run / "dock.json"))
    today = utc_now().astimezone(ZoneInfo(settings.station.timezone)).date()
    with context.db.reading() as session:
        placed = [hold for hold, _ in holds(session)]
        return VaultState(
            vault_id=vault.id,
            checkpoint=checkpoint,
            key=vault.verifier,
            window=window_of(reader, Outsiders.of(settings.anchor)),
            fixity=fixity_state(session, settings.fixity.days),
            days=settings.fixity.days,
            failures=failures(session, SHOWN_FAILURES),
            space=measure(
                vault.path, session, reserve=settings.fixity.reserve_mib * MEBIBYTE, promised=promised
            ),
            names_recordings=may(Permission.RECORDING_LIST),
            holds=len(placed),
            holds_due=sum(hold.review_on <= today for hold in placed),
            disposals=sum(one.state == "approved" for one in disposals(session, reader)),
        )
