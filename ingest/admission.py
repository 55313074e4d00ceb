"""Whether a recorder may be read: at once when the register has it, else when an officer says it holds duty footage.

Invariants: nothing is copied before the answer; an answer counts for the device that was there when it was asked and
for its other volumes, and a device that leaves takes its question with it; a recorder that is registered meanwhile
needs no answer; a session that was interrupted in quarantine goes on under the answer that it was begun with.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from threading import Event

from core import log
from core.clock import new_id
from core.db import Database
from devices.error import DepartedError
from devices.mass_storage import Presence
from devices.recorder import Recorder
from ingest.answer import BayAnswer, answer_to
from ingest.error import IngestError
from ingest.status import Message, Need, Tile, TileState
from vault.store.medium import CancelledError

LOOK_EVERY_S = 0.5  # for the answer; an officer who has just confirmed waits no longer than that
_log = log.get(__name__)


class Standing(StrEnum):
    """What the register says of a recorder."""

    REGISTERED = "registered"
    UNREGISTERED = "unregistered"
    NAMELESS = "nameless"  # it says no serial, so no register can have it
    LOST = "lost"
    RETIRED = "retired"


Admit = Callable[[str], Standing]  # by the serial that the recorder says; empty when it says none


class NotAdmittedError(IngestError):
    """A recorder that nobody answers for yet: an officer has to."""

    code = "ingest.not_admitted"
    sentence = (
        "This recorder may not be read yet. Nothing was copied from it; show a badge, or type number and PIN, and "
        "confirm that it holds duty footage."
    )


class UnregisteredError(NotAdmittedError):
    """The register does not have it."""

    code = "ingest.unregistered"
    sentence = (
        "Recorder {serial} is not in the register. Nothing was copied from it; show a badge, or type number and PIN, "
        "and confirm that it holds duty footage."
    )


class NamelessRecorderError(NotAdmittedError):
    """It says no serial."""

    code = "ingest.nameless_recorder"
    sentence = (
        "This device says no serial number, so it can be in no register. Nothing was copied from it; show a badge, or "
        "type number and PIN, and confirm that it holds duty footage."
    )


class LostRecorderError(NotAdmittedError):
    """It turned up."""

    code = "ingest.lost_recorder"
    sentence = (
        "Recorder {serial} was reported lost. Nothing was copied from it; show a badge, or type number and PIN, "
        "confirm that it holds duty footage, and tell the custodian that it was found."
    )


class RetiredRecorderError(NotAdmittedError):
    """It should not be in use any more."""

    code = "ingest.retired_recorder"
    sentence = (
        "Recorder {serial} was taken out of use. Nothing was copied from it; show a badge, or type number and PIN, and "
        "confirm that it holds duty footage."
    )


def admit_all(_serial: str) -> Standing:
    """The gate of a dock that takes every recorder whose layout it recognises."""
    return Standing.REGISTERED


def question_about(standing: Standing, serial: str) -> NotAdmittedError:
    """Why an officer is asked."""
    match standing:
        case Standing.NAMELESS:
            return NamelessRecorderError()
        case Standing.LOST:
            return LostRecorderError(serial=serial)
        case Standing.RETIRED:
            return RetiredRecorderError(serial=serial)
        case _:
            return UnregisteredError(serial=serial)


def ask(
    db: Database, admit: Admit, recorder: Recorder, standing: Standing, presence: Presence, tile: Tile, stop: Event
) -> BayAnswer | None:  # fmt: skip
    """Ask on the tile and wait, for days if need be; None when the register has the recorder meanwhile.

    Raises DepartedError when the device leaves, CancelledError when the dock stops.
    """
    serial, question = recorder.identity.serial, new_id()
    why = question_about(standing, serial)
    _log.warning("an officer is asked", question=question, standing=standing.value, serial=serial)
    tile.show(
        state=TileState.UNKNOWN, needs=Need.BADGE.value, message=Message.of(why), question=question,
        recorder_serial=serial or None, profile=recorder.profile_id,
    )  # fmt: skip
    try:
        return _wait(db, admit, serial, question, presence, stop)
    finally:
        tile.show(state=TileState.RECOGNISING, needs=None, message=None, question=None)


def _wait(
    db: Database, admit: Admit, serial: str, question: str, presence: Presence, stop: Event
) -> BayAnswer | None:
    while not stop.is_set():
        if presence.wait_departed(LOOK_EVERY_S):
            raise DepartedError(device=presence.device)
        with db.reading() as session:
            said = answer_to(session, question)
        if said is not None or admit(serial) is Standing.REGISTERED:
            return said
    raise CancelledError
