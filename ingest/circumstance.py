"""How and where a recorder is pulled, and what that says of whose recordings these are.

Invariants: how an identity or a holder was established is always told with it; nothing here says who recorded it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from core.clock import utc_now
from devices.recorder import Recorder
from devices.serial.transcript import Transcript
from ingest.answer import BayAnswer
from ingest.holding import Holder, Ledger, silent_ledger
from ingest.statement import HolderBy, IdentityBy

MEANS = {"badge": HolderBy.BADGE, "pin": HolderBy.PIN}  # how an officer was recognised at the kiosk


class Origin(StrEnum):
    """How a recording came in."""

    DOCK = "dock"
    HAND = "hand"
    INBOX = "inbox"


@dataclass(frozen=True)
class Circumstance:
    """How and where a recorder is being pulled.

    `officer_number` is what a person said or showed, and `holder_by` how; `identity_by` is given where the bay knows
    more than the recorder tells (it answered an unlocking); `hub` is the budget that the bay's reading counts against
    (ingest.turns.hub_of). `transcript` is what was said on its serial line, `refused` the interfaces of the device that
    were not let in; both go into the private body of the session's entry. `answer` is what an officer said of a
    recorder that the register does not answer for, `standing` why; `ledger` knows who held it, `arrived_at` when.
    """

    origin: Origin
    bay: int | None = None
    officer_number: str | None = None
    hub: str = ""
    identity_by: IdentityBy | None = None
    holder_by: HolderBy | None = None
    transcript: Transcript | None = None
    refused: tuple[str, ...] = ()
    answer: BayAnswer | None = None
    standing: str = ""
    ledger: Ledger = silent_ledger
    arrived_at: datetime = field(default_factory=utc_now)

    def identified(self, recorder: Recorder, said: Collection[str]) -> IdentityBy:
        """How it is known which recorder this is; `said` are the serials that its names say."""
        if self.identity_by is not None:
            return self.identity_by
        if self.origin is not Origin.DOCK:
            return IdentityBy.HAND if self.origin is Origin.HAND else IdentityBy.SENT_IN
        if not recorder.identity.serial:
            return IdentityBy.NONE
        return IdentityBy.NAMES if set(said) == {recorder.identity.serial} else IdentityBy.USB

    def holder(self, named: str | None, moment: datetime | None = None) -> Holder:
        """Who held it at a moment, else when it came; `named` is the officer that the names say, if any."""
        if self.officer_number is not None:
            return Holder(self.officer_number, self.holder_by or HolderBy.TYPED)
        if (number := self.ledger(moment or self.arrived_at)) is not None:
            return Holder(number, HolderBy.LEDGER)
        return Holder(named, HolderBy.NAMES) if named else Holder(None, HolderBy.NONE)

    def shown(self, answer: BayAnswer) -> Circumstance:
        """The same, once an officer has shown who they are at this docking."""
        by = MEANS.get(answer.means, HolderBy.TYPED)
        return replace(self, officer_number=answer.officer_number, holder_by=by)
