"""How often a recorder was given a wrong password: kept on disk, so that the station never locks a recorder.

Invariants: a password is counted as tried before it is sent, durably, so that neither a crash nor a pulled plug hides
a try; at most `lock_after - 1` tries are ever spent on one recorder without a person; a password that was refused is
never sent to that recorder again. A try that was never answered counts too, unless this recorder took this password
before.
The password itself is not kept: only a salted scrypt mark, to know it again.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex

from core import durable
from core.clock import parse_stamp, stamp
from core.regular import read_bounded
from devices.serial.error import (
    NoteUnreadableError,
    PasswordRefusedBeforeError,
    PasswordWaitsError,
    RecorderLockedError,
    TriesSpentError,
)

FIRST_WAIT = timedelta(minutes=1)  # longer than an officer's second and third attempt at the bay
LONGEST_WAIT = timedelta(days=1)
COST = 2**14  # RFC 7914's n for an interactive sign-in: about 16 MiB and 50 ms
MOST_BYTES = 4096  # of a note; it has about 300
_ONE_AT_A_TIME = threading.Lock()  # two bays can hold recorders that claim one serial


@dataclass(frozen=True)
class Note:
    """What is known of one recorder and its passwords."""

    salt: str
    wrong: int = 0
    unanswered: int = 0
    is_locked: bool = False
    last_at: str = ""
    refused: tuple[str, ...] = ()
    accepted: str = ""


class Attempts:
    """The notes, one file for each recorder, in a directory that only the dock writes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def reserve(self, profile_id: str, serial: str, secret: bytes, lock_after: int, now: datetime) -> None:
        """Count one try, durably, before it is made. Raises PasswordHeldBackError, RecorderLockedError."""
        with _ONE_AT_A_TIME:
            note = self._read(profile_id, serial)
            mark = _mark(secret, note.salt)
            _refuse(serial, note, mark, lock_after, now)
            more = 0 if mark == note.accepted else 1
            self._write(
                profile_id, serial, replace(note, unanswered=note.unanswered + more, last_at=stamp(now))
            )

    def accepted(self, profile_id: str, serial: str, secret: bytes) -> None:
        """The recorder took it: all counts begin again."""
        with _ONE_AT_A_TIME:
            note = self._read(profile_id, serial)
            self._write(profile_id, serial, Note(note.salt, accepted=_mark(secret, note.salt)))

    def refused(self, profile_id: str, serial: str, secret: bytes, *, is_locked: bool = False) -> None:
        """The recorder said no: this password is not for it."""
        with _ONE_AT_A_TIME:
            note = self._read(profile_id, serial)
            mark = _mark(secret, note.salt)
            known = tuple(sorted({*note.refused, mark} - {""}))
            open_tries = note.unanswered if mark == note.accepted else max(0, note.unanswered - 1)
            told = replace(note, wrong=note.wrong + 1, unanswered=open_tries, refused=known, accepted="")
            self._write(profile_id, serial, replace(told, is_locked=is_locked or note.is_locked))

    def forgive(self, profile_id: str, serial: str) -> bool:
        """A person has unlocked the recorder: forget what was tried. Whether there was a note."""
        with _ONE_AT_A_TIME:
            path = self._path(profile_id, serial)
            if not path.exists():
                return False
            path.unlink()
            durable.fsync_directory(path.parent)
            return True

    def _path(self, profile_id: str, serial: str) -> Path:
        name = hashlib.sha256(f"{profile_id}\0{serial}".encode()).hexdigest()[:32]
        return self._directory / f"{profile_id}-{name}.json"

    def _read(self, profile_id: str, serial: str) -> Note:
        path = self._path(profile_id, serial)
        try:
            content = json.loads(read_bounded(path, MOST_BYTES))
            note = Note(**{**content, "refused": tuple(content["refused"])})
            if note.last_at:
                parse_stamp(note.last_at)
        except FileNotFoundError:
            return Note(salt=token_hex(16))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as cause:
            raise NoteUnreadableError(serial=serial, path=path) from cause
        return note

    def _write(self, profile_id: str, serial: str, note: Note) -> None:
        durable.make_directory(self._directory, 0o700)
        content = json.dumps(asdict(note), sort_keys=True).encode()
        durable.replace(self._path(profile_id, serial), content, 0o600)


def _refuse(serial: str, note: Note, mark: str, lock_after: int, now: datetime) -> None:
    """Raises what says why a password must not be sent now."""
    if note.is_locked:
        raise RecorderLockedError(serial=serial)
    if mark in note.refused:
        raise PasswordRefusedBeforeError(serial=serial)
    spent = note.wrong + note.unanswered
    if spent >= lock_after - 1:
        raise TriesSpentError(serial=serial, tries=spent, lock_after=lock_after)
    until = _wait_until(note)
    if note.wrong and not (parse_stamp(note.last_at) <= now and until <= now):
        raise PasswordWaitsError(serial=serial, until=stamp(until))


def _wait_until(note: Note) -> datetime:
    """Four times as long after each wrong one."""
    if not note.last_at:
        return datetime.min.replace(tzinfo=UTC)
    factor = 4 ** min(max(note.wrong - 1, 0), 10)
    return parse_stamp(note.last_at) + min(FIRST_WAIT * int(factor), LONGEST_WAIT)


def _mark(secret: bytes, salt: str) -> str:
    return hashlib.scrypt(secret, salt=bytes.fromhex(salt), n=COST, r=8, p=1, dklen=32).hex()
