"""One file's way from the recorder into the vault's outbox.

Invariants: the row is `copying` before the first byte is read and `submitted` in the transaction that puts
the entry into the outbox, so that at any moment a crash leaves either a file to copy or an entry to wait for,
never both and never neither. A copy that an unplugged recorder cut off is kept in memory and goes on after
its prefix was compared; it does not outlive this process, because its key is nowhere else. A file of which some
ranges cannot be read is sealed with zeros there, and its entry names every one of them (ingest.damage).
"""

from __future__ import annotations

import errno
import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event
from zoneinfo import ZoneInfo

from core import log
from core.canonical import Json
from core.clock import stamp, utc_now
from core.db import Database
from devices.profile import Profile
from devices.recorder import Recorder, SourceFile
from devices.tree import GONE
from ingest.circumstance import Circumstance
from ingest.damage import DEPARTURE_S, Ranges, TolerantStream, missing_bytes
from ingest.docking import DockingSession
from ingest.error import NoRoomError, UnpluggedError, UnreadableFileError
from ingest.holding import recorded_at
from ingest.parked import Parked
from ingest.plan import Edges
from ingest.recording import IngestRecording, move
from ingest.room import Room
from ingest.statement import IdentityBy
from ingest.turns import Claim, Turns
from vault.log.outbox import Submitter
from vault.log.submission import Draft
from vault.store.deposit import Deposit, Depositor, Sealing, SourceChangedError, SourceLostError
from vault.store.keys import ensure_bucket, open_bucket_for
from vault.store.medium import CancelledError
from vault.store.objects import Vault

RESERVE_BYTES = 64 * 1024 * 1024  # kept free for the log and the bodies where no settings say more
_log = log.get(__name__)


@dataclass
class SealingLine:
    """What every bay seals with: the vault's intake, the database and the outbox. Shared by all threads."""

    vault: Vault
    db: Database
    depositor: Depositor
    submitter: Submitter
    zone: str = "Asia/Shanghai"
    parked: Parked = field(default_factory=Parked)
    reserve_bytes: int = RESERVE_BYTES
    turns: Turns = field(default_factory=Turns)
    room: Room = field(init=False)

    def __post_init__(self) -> None:
        self.room = Room(lambda: self.free_bytes(), self.vault.incoming_path)  # noqa: PLW0108  looked up anew

    def free_bytes(self) -> int:
        """What is free in the vault beside the reserve, whatever of it is promised."""
        facts = os.statvfs(self.vault.path / "incoming")
        return max(0, facts.f_bavail * facts.f_frsize - self.reserve_bytes)


class WatchedStream:
    """A recorder's stream that tells how far it is and sees the edges go by."""

    def __init__(self, inner: TolerantStream, told: Callable[[int, int], None]) -> None:
        self._inner, self._told, self._place = inner, told, 0
        self.edges = Edges(inner.size)

    @property
    def ranges(self) -> Ranges:
        """What could not be read so far."""
        return self._inner.ranges

    def readinto(self, buffer: memoryview, /) -> int:
        """Read on; raises OSError as the recorder does."""
        count = self._inner.readinto(buffer)
        self.edges.take(self._place, buffer[:count])
        self._place += count
        self._told(self._place, count)
        return count


@dataclass(frozen=True)
class Copied:
    """One file as it was deposited: what its row and its entry say of it."""

    deposit: Deposit
    edges: str
    ranges: Ranges


@dataclass
class Copying:
    """Copies files of one recorder under one session, each in its turn. `claim` is what its bay asks turns with."""

    line: SealingLine
    recorder: Recorder
    profile: Profile
    docking: DockingSession
    circumstance: Circumstance
    stop: Event
    told: Callable[[int, int], None]  # place in the file, bytes just read
    claim: Claim
    identity_by: IdentityBy = IdentityBy.NONE
    begun: Callable[[], None] = lambda: None  # the file's turn has come
    opened: Callable[[], None] = lambda: None  # it was found on the recorder

    def copy(self, file: SourceFile, recording_id: str) -> Ranges:
        """Copy, seal and submit one file; gives the ranges that could not be read, none for a whole one.

        Raises NoRoomError, UnreadableFileError, DiskFullError or MediumError (the next file may do better),
        UnpluggedError or CancelledError (nothing more can be copied now).
        """
        self._keep_room(file, recording_id)
        try:
            with self.turn(is_flagged=file.flagged) as served:
                return self._copy(file, recording_id, served)
        finally:
            self.line.room.give_back([recording_id])

    @contextmanager
    def turn(self, *, is_flagged: bool = False) -> Iterator[Callable[[int], None]]:
        """One turn at reading the recorder. Raises UnpluggedError or CancelledError when it ends before that."""
        with self.line.turns.turn(replace(self.claim, is_flagged=is_flagged), self._check) as served:
            self.begun()
            yield served

    def _check(self) -> None:
        if self.stop.is_set():
            raise CancelledError
        if not self.recorder.present():
            raise UnpluggedError(left="?")

    def _copy(self, file: SourceFile, recording_id: str, served: Callable[[int], None]) -> Ranges:
        self._move(recording_id, "copy")
        try:
            copied = self._deposit(file, recording_id)
        except UnreadableFileError as cause:
            self._move(recording_id, "fail", str(cause.parameters["why"]))
            raise
        except BaseException as cause:
            self._move(recording_id, "interrupt", getattr(cause, "code", type(cause).__name__))
            raise
        finally:
            served(file.size)
        self._submit(file, recording_id, copied)
        return copied.ranges

    def _keep_room(self, file: SourceFile, recording_id: str) -> None:
        """Before the first byte is read: promised with the whole card already, or now, for this file alone."""
        room = self.line.room
        if room.promise({recording_id: file.size}):
            free = max(0, self.line.free_bytes() - room.outstanding)
            raise NoRoomError(path=file.shown_path, size=file.size, free=free)
        room.begin(recording_id)

    def _deposit(self, file: SourceFile, recording_id: str) -> Copied:
        sealing = self.line.parked.take(recording_id)
        try:
            if sealing is not None:
                return self._take(file, sealing)
        except SourceChangedError:
            _log.warning(
                "the recorder changed while it was away; copied again from the start", file=file.shown_path
            )
        bucket = open_bucket_for(self.line.vault, utc_now())
        ensure_bucket(self.line.vault, bucket)
        return self._take(
            file, self.line.depositor.begin(bucket, expected_size=file.size, entry_id=recording_id)
        )

    def _take(self, file: SourceFile, sealing: Sealing) -> Copied:
        try:
            stream = self.recorder.open(file)
        except OSError as cause:
            raise self._explain(file, sealing, cause) from cause
        watched = WatchedStream(TolerantStream(stream, self.recorder.has_departed), self.told)
        self.opened()
        try:
            deposit = sealing.take(watched, cancel=self.stop)
            return Copied(deposit, watched.edges.hexdigest(), watched.ranges)
        except SourceLostError as cause:
            raise self._explain(file, sealing, cause.__cause__ or cause, watched.ranges) from cause
        finally:
            stream.close()

    def _explain(
        self, file: SourceFile, sealing: Sealing, cause: BaseException, ranges: Ranges = ()
    ) -> Exception:
        """A read error is the recorder's departure or a bad file; the event that tells comes after the error.

        A copy that has holes is not gone on with later: its prefix is not what the recorder would give again.
        """
        may_be_gone = getattr(cause, "errno", None) in GONE | {errno.EIO}
        if self.recorder.has_departed(DEPARTURE_S if may_be_gone else 0):
            if ranges:
                sealing.abandon()
            else:
                self.line.parked.put(sealing.id, sealing)
            return UnpluggedError(left="?")
        sealing.abandon()
        why = getattr(cause, "strerror", None) or str(cause)
        return UnreadableFileError(path=file.shown_path, why=why)

    def _submit(self, file: SourceFile, recording_id: str, copied: Copied) -> None:
        if copied.ranges:
            _log.warning("sealed as damaged", file=file.shown_path, missing=missing_bytes(copied.ranges))
        with self.line.db.writing() as session:
            row = session.get_one(IngestRecording, recording_id)
            row.sha256, row.edges_sha256 = copied.deposit.sha256, copied.edges
            move(session, row, "damage" if copied.ranges else "finish")
            move(session, row, "submit")
            self.line.submitter.submit(
                session,
                Draft(
                    type="ingest", about=(self.docking.id,), facts=self._facts(file, copied),
                    body=self._body(file, is_damaged=bool(copied.ranges)), deposit=copied.deposit,
                ),
            )  # fmt: skip
        self.line.submitter.ring()

    def _facts(self, file: SourceFile, copied: Copied) -> Json:
        """The public part: a damaged object says where it is none of the recorder's bytes, whoever holds it."""
        facts: Json = {
            "origin": self.circumstance.origin.value,
            "media": file.media.value,
            "session": self.docking.id,
        }
        return facts | ({"damaged": [list(one) for one in copied.ranges]} if copied.ranges else {})

    def _body(self, file: SourceFile, *, is_damaged: bool) -> Json:
        """The private part of the entry (docs/operations/dock.md lists the fields)."""
        started = file.started_at
        if started is not None and self.profile.names.zone != "station":
            started = started.replace(tzinfo=ZoneInfo(self.profile.names.zone))
        moment = recorded_at(file, self.profile, self.line.zone)
        holder = self.circumstance.holder(file.officer_number, moment)
        body: Json = {
            "name": file.name,
            "path": file.shown_path,
            "size": file.size,
            "modified_at": stamp(file.modified_at) if file.modified_at else None,
            "profile": self.profile.id,
            "recorder_serial": self.recorder.identity.serial or None,
            "officer_number": file.officer_number or holder.number,
            "bay": self.circumstance.bay,
            "started_at": started.isoformat() if started else None,
            "clock_source": "name" if started else "file" if file.modified_at else "none",
            "part": file.part,
            "identity_by": self.identity_by.value,
            "holder_by": holder.by.value,
            "damaged": is_damaged,
        }
        if holder.number != body["officer_number"]:
            body["holder"] = holder.number  # the names say another officer
        if not file.name_is_exact:
            body["raw_name_base64"] = b64encode(file.path).decode()
        return body

    def _move(self, recording_id: str, event: str, reason: str = "") -> None:
        with self.line.db.writing() as session:
            move(session, session.get_one(IngestRecording, recording_id), event, reason)
