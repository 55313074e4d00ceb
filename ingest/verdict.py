"""How a volume ended, as its tile says it, and which of several such words a bay says.

Invariants: the worst word is said, and of two that are equally bad the one that asks for somebody; green only for what
was sealed without a failure; what is said of a holder never changes whether a recorder may be taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import SealdockError
from devices.error import UnknownFileSystemError, UnknownRecorderError
from ingest.error import NotARecorderError, UnpluggedError
from ingest.needs import need_of
from ingest.outcome import Outcome
from ingest.status import BayStatus, Message, Need, TileState

BEST_TO_WORST = (
    TileState.SEALED,
    TileState.PARTIAL,
    TileState.INTERRUPTED,
    TileState.UNKNOWN,
    TileState.FAULT,
)
NOT_A_FAULT = {
    UnknownRecorderError: TileState.UNKNOWN,
    UnknownFileSystemError: TileState.UNKNOWN,
    UnpluggedError: TileState.INTERRUPTED,
    NotARecorderError: TileState.UNKNOWN,
}
SUMMED = ("files_done", "files_total", "bytes_done", "bytes_total")  # over the volumes of one recorder


def state_of(cause: SealdockError) -> TileState:
    """The state of a tile that ended with an error."""
    named = (state for kind, state in NOT_A_FAULT.items() if isinstance(cause, kind))
    return next(named, TileState.FAULT)


def ended(status: BayStatus, state: TileState, cause: SealdockError | None = None) -> BayStatus:
    """The tile as it is to end."""
    need = Need.PUT_BACK.value if state is TileState.INTERRUPTED else need_of(cause)
    told = {
        "state": state, "message": Message.of(cause) if cause else None, "needs": need, "file": None,
        "seconds_left": None, "bytes_per_second": 0,
    }  # fmt: skip
    return status.model_copy(update=told)


def judged(status: BayStatus, outcome: Outcome) -> BayStatus:
    """The tile of a recorder that was pulled to its end."""
    shortfall = outcome.shortfall()
    if shortfall is not None:
        return ended(status, TileState.PARTIAL, shortfall)
    need = Need.CLAIM.value if outcome.is_unclaimed else None
    note = Message.of(outcome.note) if outcome.note is not None else None
    return ended(status, TileState.SEALED).model_copy(update={"needs": need, "message": note})


def joined(here: Sequence[BayStatus], beside: Sequence[BayStatus]) -> BayStatus | None:
    """The word of a bay over the volumes that are `here` and what is said `beside` them; None for an empty bay."""
    said = [*here, *beside]
    if not said:
        return None
    worst = max(said, key=lambda one: (BEST_TO_WORST.index(one.state), one.needs is not None))
    if not any(worst is one for one in here):
        return worst
    return worst.model_copy(update={name: sum(getattr(one, name) for one in here) for name in SUMMED})
