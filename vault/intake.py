"""Intake: taking over a finished object from `incoming/`, and trusting nothing but what the medium gives back.

  1. The object becomes ours and read-only, and the kernel says that nobody is still writing it.
  2. It is read back past the page cache and compared with what its submission promised.
  3. It is renamed into `objects/`, and both directories are made durable.
Bytes that came back changed are set aside, never sealed and never thrown away. Every step may be done again after a
crash. Reading back takes as long as the object is big, so it runs beside the log and not in its way.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event, local

from core import log
from core.durable import READ_ONLY, fsync_directory, make_directory, rename_into
from core.errors import SealdockError
from vault.error import VaultError
from vault.formats.entry import ObjectCommitment
from vault.log.outbox import MISMATCH_CODE
from vault.store.medium import CancelledError, Reader, prove_no_writer
from vault.store.objects import Vault

_LOG = log.get("vault.intake")
_AT_ONCE = 2  # objects read back at a time; more would only make the disk's head wander


class MismatchError(VaultError):
    """The medium does not hold what was written to it."""

    code = MISMATCH_CODE
    sentence = (
        "The copy of {id} on the disk is not what was read from the recorder ({why}). It was not sealed. The recorder "
        "still has the original: dock it again. If this happens twice, replace the disk."
    )


class StillWrittenError(VaultError):
    """Some process has the object open for writing."""

    code = "vault.still_written"
    sentence = "The object {id} is still open for writing; it is sealed as soon as its writer closes it."


class Intake:
    """Objects on their way in; `outcome` is asked again until it gives an answer."""

    def __init__(self, vault: Vault, wake: Callable[[], None]) -> None:
        self._vault = vault
        self._wake = wake
        self._running: dict[str, Future[None]] = {}
        self._stop = Event()
        self._workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="read-back")
        self._thread = local()

    def is_in(self, entry_id: str, sealed: ObjectCommitment) -> bool:
        """Whether the object lies in `objects/`, compared and durable; begins the work when first asked.

        Raises MismatchError once it is known that it never will.
        """
        work = self._running.get(entry_id)
        if work is None:
            work = self._running[entry_id] = self._workers.submit(self._take_over, entry_id, sealed)
            work.add_done_callback(lambda _: self._wake())
        if not work.done():
            return False
        del self._running[entry_id]
        try:
            work.result()
        except (StillWrittenError, CancelledError) as cause:
            _LOG.warning("an object is not ready", id=entry_id, why=str(cause))
            return False
        return True

    def close(self) -> None:
        """Stop; objects that were being read back are begun again at the next start."""
        self._stop.set()
        self._workers.shutdown(cancel_futures=True)

    def _take_over(self, entry_id: str, sealed: ObjectCommitment) -> None:
        incoming, final = self._vault.incoming_path(entry_id), self._vault.object_path(entry_id)
        try:
            place = incoming if incoming.exists() else final  # a crash after 3 leaves it in its final place
            with place.open("rb", buffering=0) as held:
                _own(held.fileno())
                if not prove_no_writer(held.fileno()):  # 1
                    raise StillWrittenError(id=entry_id)
                self._compare(entry_id, place, sealed)  # 2
                _move(incoming, final)  # 3
        except FileNotFoundError as cause:
            raise MismatchError(id=entry_id, why="it is not there") from cause
        except MismatchError:
            self._set_aside(entry_id)
            raise
        except OSError as cause:
            raise MismatchError(id=entry_id, why=cause.strerror or str(cause)) from cause

    def _compare(self, entry_id: str, place: Path, sealed: ObjectCommitment) -> None:
        if not hasattr(self._thread, "reader"):
            self._thread.reader = Reader()
        try:
            found = self._thread.reader.digest(place, self._stop)
        except CancelledError:
            raise
        except SealdockError as cause:
            raise MismatchError(id=entry_id, why=str(cause)) from cause
        if found.size != sealed.stored_size:
            why = f"{found.size} bytes instead of {sealed.stored_size}"
            raise MismatchError(id=entry_id, why=why)
        if found.sha256 != sealed.stored_sha256:
            raise MismatchError(id=entry_id, why=f"its SHA-256 came back as {found.sha256}")

    def _set_aside(self, entry_id: str) -> None:
        aside = self._vault.mismatched_path(entry_id)
        for place in (self._vault.incoming_path(entry_id), self._vault.object_path(entry_id)):
            if place.exists():
                place.replace(aside)
                fsync_directory(place.parent)
                fsync_directory(aside.parent)


def _own(descriptor: int) -> None:
    """Ours and read-only: from here on nobody else can open it for writing."""
    if os.fstat(descriptor).st_uid != os.geteuid():  # where all processes are one user, it is ours already
        os.fchown(descriptor, os.geteuid(), -1)
    if os.fstat(descriptor).st_mode & 0o777 != READ_ONLY:
        os.fchmod(descriptor, READ_ONLY)


def _move(incoming: Path, final: Path) -> None:
    if not incoming.exists():
        return
    make_directory(final.parent)
    if final.exists() and final.samefile(incoming):  # a crash between the two halves of 3
        incoming.unlink()
        fsync_directory(incoming.parent)
        fsync_directory(final.parent)
        return
    rename_into(incoming, final)
