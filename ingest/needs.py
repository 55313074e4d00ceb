"""What a person must do about a cause, as the board's code.

Invariants: a cause that is not named here has no need of its own: the tile shows the step of its sentence. A need says
neither less than the sentence nor another thing: where a sentence asks for more than a code can say, there is no code.
"""

from __future__ import annotations

from core.errors import SealdockError
from devices.error import (
    AmbiguousProfileError,
    DamagedFileSystemError,
    NotMountableError,
    UnknownFileSystemError,
    UnknownRecorderError,
)
from devices.serial.error import (
    NoPasswordError,
    NoteUnreadableError,
    PasswordRefusedBeforeError,
    PortError,
    RecorderLockedError,
    RefusedError,
    SilentError,
    TriesSpentError,
    UnreadableReplyError,
    WrongPasswordError,
)
from ingest.admission import NotAdmittedError
from ingest.damage import FilesDamagedError
from ingest.error import (
    DockFaultError,
    NothingTakenError,
    NoTransportError,
    SealingStalledError,
    SomeFilesNotTakenError,
    SwitchError,
    UnpluggedError,
    VaultFullError,
)
from ingest.room import CardDoesNotFitError
from ingest.status import Need

NEEDS: dict[type[SealdockError], Need] = {
    NotAdmittedError: Need.BADGE,
    UnpluggedError: Need.PUT_BACK,
    SwitchError: Need.REPLUG,
    PortError: Need.REPLUG,
    SilentError: Need.REPLUG,
    UnreadableReplyError: Need.REPLUG,
    RefusedError: Need.REPLUG,
    DockFaultError: Need.REPLUG,
    WrongPasswordError: Need.CUSTODIAN,
    NoPasswordError: Need.CUSTODIAN,
    PasswordRefusedBeforeError: Need.CUSTODIAN,
    TriesSpentError: Need.CUSTODIAN,
    RecorderLockedError: Need.CUSTODIAN,
    NoteUnreadableError: Need.ADMINISTRATOR,
    NoTransportError: Need.ADMINISTRATOR,
    AmbiguousProfileError: Need.ADMINISTRATOR,
    NotMountableError: Need.ADMINISTRATOR,
    DamagedFileSystemError: Need.CUSTODIAN,
    SealingStalledError: Need.ADMINISTRATOR,
    CardDoesNotFitError: Need.ADMINISTRATOR,
    VaultFullError: Need.ADMINISTRATOR,
    UnknownRecorderError: Need.CUSTODIAN,
    UnknownFileSystemError: Need.CUSTODIAN,
    SomeFilesNotTakenError: Need.CUSTODIAN,
    NothingTakenError: Need.CUSTODIAN,
    FilesDamagedError: Need.CUSTODIAN,
}


def need_of(cause: SealdockError | None) -> str | None:
    """The need of a cause, None where its own sentence says the step; the nearest class that is named decides."""
    named = (NEEDS[kind] for kind in type(cause).__mro__ if kind in NEEDS)
    need = next(named, None)
    return None if need is None else need.value
