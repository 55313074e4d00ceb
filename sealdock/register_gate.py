"""What the dock asks of casework's register and issue ledger, each time in a look of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from casework.equipment.event import RecorderState
from casework.equipment.issue import holder_at
from casework.equipment.recorder import recorder_by_serial
from core.db import Database
from ingest.admission import Standing

NOT_IN_USE = {RecorderState.LOST: Standing.LOST, RecorderState.RETIRED: Standing.RETIRED}


@dataclass(frozen=True)
class RegisterGate:
    """The register, as the dock sees it."""

    db: Database

    def admit(self, serial: str) -> Standing:
        """What the register says of the recorder with this serial."""
        if not serial:
            return Standing.NAMELESS
        with self.db.reading() as session:
            recorder = recorder_by_serial(session, serial)
        if recorder is None or not recorder.is_registered:
            return Standing.UNREGISTERED
        return NOT_IN_USE.get(RecorderState(recorder.state), Standing.REGISTERED)

    def holder(self, serial: str, moment: datetime) -> str | None:
        """The number of the officer who held it at that moment, by the ledger."""
        with self.db.reading() as session:
            return holder_at(session, serial, moment)
