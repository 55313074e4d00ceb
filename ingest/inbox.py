"""A watched folder for files that come from elsewhere: phones, fixed cameras, another bureau's disc.

Invariants: a file is taken only when it is complete (nobody has it open for writing, and its size and time
have not moved for a while); it is moved to `.sealed/` only after its receipt was verified and only when it is
still the file that was sealed; nothing here is ever deleted or overwritten; what cannot be sealed is said once
and tried ever more rarely, so that one bad file costs neither the log nor the others. Everything is sealed with
origin `inbox`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from core import log
from core.durable import AlreadyExistsError, make_directory, rename_into
from devices.mass_storage import Listing, MassStorage, Medium, Presence
from devices.name import show
from devices.profile import FOLDER
from devices.recorder import Identity, RefusedFile, SourceFile
from devices.tree import Entry, Kind
from ingest.circumstance import Circumstance, Origin
from ingest.copying import SealingLine
from ingest.offload import Offload
from ingest.recording import IngestRecording
from ingest.status import Tile
from vault.store.medium import CancelledError, prove_no_writer

SEALED = ".sealed"
SETTLE_S = 2.0  # a copy over the network pauses for less; a lease shows open writers on local file systems
LOOK_EVERY_S = 30.0  # without an event: network folders send none
FIRST_WAIT_S, LAST_WAIT_S = 60.0, 3600.0  # before a file that failed is tried again: doubled each time
NAME_BYTES = 255  # of one name (NAME_MAX of every file system that an inbox may be on)
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_log = log.get(__name__)
Look = tuple[int, int]  # size and modification time in nanoseconds


@dataclass(frozen=True)
class PutOff:
    """A file that was tried and could not be sealed: as it looked, and when (monotonic) it is tried again."""

    look: Look
    wait_s: float
    until: float


class Inbox:
    """The folder and what has been seen of it."""

    def __init__(self, folder: Path, line: SealingLine, *, settle_s: float = SETTLE_S) -> None:
        self._folder, self._line, self._settle_s = folder, line, settle_s
        self._seen: dict[bytes, tuple[Look, float]] = {}
        self._put_off: dict[bytes, PutOff] = {}
        self._said: set[tuple[bytes, str]] = set()
        self._stirred, self._done = Event(), Event()

    def run(self, stop: Event) -> None:
        """Watch until `stop`."""
        make_directory(self._folder / SEALED)
        observer = Observer()
        observer.schedule(_Stir(self._stirred), str(self._folder), recursive=True)
        observer.start()
        try:
            while not stop.is_set():
                self._look_once(stop)
                self._pause(stop)
        finally:
            observer.stop()
            observer.join()
            self._done.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of `run`."""
        return self._done.wait(timeout_s)

    def seal_ready(self, stop: Event) -> int:
        """Seal every file that is complete by now; gives how many were moved."""
        medium = Medium(self._folder, "inbox", Identity(), Presence(str(self._folder)))
        listing = medium.list()
        try:
            ready = self._ready(listing)
            if not ready:
                return 0
            recorder = _Ready(listing, ready)
            offload = Offload(self._line, recorder, FOLDER, Circumstance(Origin.INBOX), Tile(0), stop)
            outcome = offload.run()
            return sum(self._move(recording_id, ready) for recording_id in [*outcome.sealed, *outcome.known])
        finally:
            listing.close()
            self._wait_longer(ready)

    def _look_once(self, stop: Event) -> None:
        try:
            self.seal_ready(stop)
        except CancelledError:
            _log.info("the inbox stopped in the middle of a file", folder=str(self._folder))
        except Exception:  # noqa: BLE001  # a database that is away must not end the watch
            _log.exception("the inbox could not be sealed", folder=str(self._folder))

    def _pause(self, stop: Event) -> None:
        """Until something stirs, a file may have settled, or it is time to look anyway."""
        is_settling = self._seen.keys() - self._put_off.keys()
        wait_s = self._settle_s / 2 if is_settling else LOOK_EVERY_S
        end = monotonic() + wait_s
        while not stop.is_set() and not self._stirred.is_set() and monotonic() < end:
            self._stirred.wait(min(0.5, wait_s))
        if self._stirred.is_set():
            self._stirred.clear()
            stop.wait(self._settle_s / 4)

    def _ready(self, listing: Listing) -> dict[bytes, Look]:
        """The files that have not moved since they were last looked at, long enough ago, and are not put off."""
        now, seen, ready = monotonic(), dict[bytes, tuple[Look, float]](), dict[bytes, Look]()
        for entry in listing.entries:
            if entry.path.split(b"/")[0] == SEALED.encode():
                continue
            if entry.kind is Kind.REFUSED:
                self._say_once(entry.path, entry.shown_path, str(entry.reason))
            look = _look_at(self._folder, entry.path) if entry.kind is Kind.FILE else None
            if look is None:
                continue
            before, since = self._seen.get(entry.path, (None, now))
            seen[entry.path] = (look, since if before == look else now)
            is_settled = before == look and now - since >= self._settle_s
            if is_settled and not self._is_put_off(entry.path, look, now) and self._is_closed(entry):
                ready[entry.path] = look
        self._seen = seen
        self._put_off = {path: kept for path, kept in self._put_off.items() if path in seen}
        return ready

    def _is_put_off(self, path: bytes, look: Look, now: float) -> bool:
        kept = self._put_off.get(path)
        return kept is not None and kept.look == look and now < kept.until

    def _wait_longer(self, ready: dict[bytes, Look]) -> None:
        """What was tried and still lies there is tried again later, ever more rarely, unless it changes."""
        for path, look in ready.items():
            if _look_at(self._folder, path) != look:
                continue
            before = self._put_off.get(path)
            wait_s = min(2 * before.wait_s, LAST_WAIT_S) if before and before.look == look else FIRST_WAIT_S
            self._put_off[path] = PutOff(look, wait_s, monotonic() + wait_s)
            self._say_once(path, show(path), "it could not be sealed; it is tried again later")

    def _say_once(self, path: bytes, shown: str, why: str) -> None:
        if (path, why) not in self._said:
            self._said.add((path, why))
            _log.warning("left in the inbox", file=shown, why=why)

    def _is_closed(self, entry: Entry) -> bool:
        """Whether nobody has the file open for writing."""
        try:
            descriptor = os.open(self._folder / os.fsdecode(entry.path), _READING)
        except OSError as cause:
            self._say_once(entry.path, entry.shown_path, cause.strerror or str(cause))
            return False
        try:
            return prove_no_writer(descriptor)
        finally:
            os.close(descriptor)

    def _move(self, recording_id: str, ready: dict[bytes, Look]) -> int:
        with self._line.db.reading() as session:
            path = session.get_one(IngestRecording, recording_id).path
        if _look_at(self._folder, path) != ready.get(path):
            _log.warning(
                "a file changed after it was sealed; it stays and is sealed again", file=os.fsdecode(path)
            )
            return 0
        try:
            self._put_away(path, recording_id)
        except (OSError, AlreadyExistsError) as cause:
            self._say_once(path, show(path), f"it is sealed and could not be moved: {cause}")
            return 0
        self._seen.pop(path, None)
        return 1

    def _put_away(self, path: bytes, recording_id: str) -> None:
        source, target = self._folder / os.fsdecode(path), self._folder / SEALED / os.fsdecode(path)
        make_directory(target.parent)
        try:
            rename_into(source, target)
        except AlreadyExistsError:
            rename_into(source, target.with_name(_longer_name(recording_id, target.name)))


class _Ready(MassStorage):
    """The inbox as a recorder that holds only its complete files."""

    def __init__(self, listing: Listing, ready: dict[bytes, Look]) -> None:
        super().__init__(listing, FOLDER)
        self._ready = ready

    def files(self) -> Iterator[SourceFile | RefusedFile]:
        """The complete files."""
        ready = getattr(self, "_ready", {})
        return (f for f in super().files() if isinstance(f, SourceFile) and f.path in ready)


class _Stir(FileSystemEventHandler):
    """Any change under the folder wakes the inbox."""

    def __init__(self, stirred: Event) -> None:
        self._stirred = stirred

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Reading a file is no change."""
        if event.event_type not in {"opened", "closed_no_write"}:
            self._stirred.set()


def _look_at(folder: Path, path: bytes) -> Look | None:
    with suppress(OSError):
        facts = (folder / os.fsdecode(path)).lstat()
        return facts.st_size, facts.st_mtime_ns
    return None


def _longer_name(recording_id: str, name: str) -> str:
    """The name behind the recording's id, its beginning cut where a file system would have no room for it."""
    room = NAME_BYTES - len(recording_id) - 1
    return f"{recording_id} " + os.fsdecode(os.fsencode(name)[-room:])
