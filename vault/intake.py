"""Intake: taking over a finished object from `incoming/`, and trusting nothing but what the medium gives back.

  1. The object is opened once, and everything that follows is done to what was opened: names in `incoming/` belong to
     the dock, and may lead elsewhere a moment later. Only a plain file is an object.
  2. It becomes ours and read-only, and the kernel says that nobody is still writing it.
  3. It is read back past the page cache and compared with what its submission promised, and still nobody wrote.
  4. It gets its name in `objects/`, the other name goes, and both directories are made durable.
Bytes that came back changed are set aside, never sealed and never thrown away. Whatever says nothing of the bytes (no
room, no descriptor) is waited for. Every step may be done again after a crash. Reading back takes as long as the
object is big, so it runs beside the log and not in its way.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from threading import Event, local

from core import log
from core.durable import READ_ONLY, fsync_directory, settle_directory
from vault.error import VaultError
from vault.formats.entry import ObjectCommitment
from vault.log.outbox import MISMATCH_CODE
from vault.store.medium import CancelledError, MediumError, Reader, is_bad_medium, lease_holds, take_lease
from vault.store.objects import Vault

_LOG = log.get("vault.intake")
_AT_ONCE = 2  # objects read back at a time; more would only make the disk's head wander
AGAIN_S = 1.0  # how long an object that was not ready is left alone
_NAMES = 2  # of an object being taken over: its name in incoming/, and after a crash the one in objects/ too
_NO_OBJECT = frozenset({errno.ELOOP, errno.ENXIO})  # a symbolic link (O_NOFOLLOW), a socket (open(2))


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


class NotReadyError(VaultError):
    """This machine could not take the object over just now; that says nothing of the object."""

    code = "vault.not_ready"
    sentence = (
        "The object {id} cannot be taken over at the moment ({why}). It was not changed and is tried again; check the "
        "room on the vault's disk and the rights of its directories."
    )


class Intake:
    """Objects on their way in; `is_in` is asked again until it gives an answer."""

    def __init__(self, vault: Vault, wake: Callable[[], None]) -> None:
        self._vault = vault
        self._wake = wake
        self._running: dict[str, Future[None]] = {}
        self._not_before: dict[
            str, float
        ] = {}  # objects that were not ready, and when to try again (monotonic)
        self._stop = Event()
        self._workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="read-back")
        self._thread = local()

    @property
    def busy(self) -> int:
        """How many objects are being read back or wait for their turn."""
        return len(self._running)

    def is_in(self, entry_id: str, sealed: ObjectCommitment) -> bool:
        """Whether the object lies in `objects/`, compared and durable; begins the work when first asked.

        Raises MismatchError once it is known that it never will.
        """
        if entry_id not in self._running:
            self._begin(entry_id, sealed)
            return False
        if not self._running[entry_id].done():
            return False
        try:
            self._running.pop(entry_id).result()
        except (StillWrittenError, NotReadyError, CancelledError) as cause:
            _LOG.warning("an object is not ready", id=entry_id, code=cause.code, why=str(cause))
            self._not_before[entry_id] = time.monotonic() + AGAIN_S
            return False
        return True

    def close(self) -> None:
        """Stop; objects that were being read back are begun again at the next start."""
        self._stop.set()
        self._workers.shutdown(cancel_futures=True)

    def _begin(self, entry_id: str, sealed: ObjectCommitment) -> None:
        if self._not_before.get(entry_id, 0.0) > time.monotonic():
            return
        self._not_before.pop(entry_id, None)
        work = self._running[entry_id] = self._workers.submit(self._take_over, entry_id, sealed)
        work.add_done_callback(lambda _: self._wake())

    def _take_over(self, entry_id: str, sealed: ObjectCommitment) -> None:
        try:
            try:
                with self._opened(entry_id) as held:  # 1
                    self._compare(entry_id, held, sealed)  # 2, 3
                    self._name(entry_id, held)  # 4
            except MismatchError:
                self._set_aside(entry_id)
                raise
        except OSError as cause:
            raise NotReadyError(id=entry_id, why=cause.strerror or str(cause)) from cause

    @contextmanager
    def _opened(self, entry_id: str) -> Iterator[int]:
        """The object's descriptor; a crash after 4 left it with its final name only."""
        incoming, final = self._vault.incoming_path(entry_id), self._vault.object_path(entry_id)
        try:
            held = _open(incoming if os.path.lexists(incoming) else final)
        except FileNotFoundError as cause:
            raise MismatchError(id=entry_id, why="it is not there") from cause
        except OSError as cause:
            if cause.errno not in _NO_OBJECT and not is_bad_medium(cause):
                raise
            raise MismatchError(id=entry_id, why=cause.strerror) from cause
        try:
            about = os.fstat(held)
            if not stat.S_ISREG(about.st_mode) or about.st_nlink > _NAMES:
                raise MismatchError(id=entry_id, why="it is no plain file, or has more names than it should")
            yield held
        finally:
            os.close(held)

    def _compare(self, entry_id: str, held: int, sealed: ObjectCommitment) -> None:
        _own(held)
        leased = take_lease(held)
        if leased is False:
            raise StillWrittenError(id=entry_id)
        if not hasattr(self._thread, "reader"):
            self._thread.reader = Reader()
        try:
            found = self._thread.reader.digest(_path_of(held), self._stop)
        except MediumError as cause:
            raise MismatchError(id=entry_id, why=cause.parameters["why"]) from cause
        if leased and not lease_holds(held):
            raise StillWrittenError(id=entry_id)
        if found.size != sealed.stored_size:
            why = f"{found.size} bytes instead of {sealed.stored_size}"
            raise MismatchError(id=entry_id, why=why)
        if found.sha256 != sealed.stored_sha256:
            raise MismatchError(id=entry_id, why=f"its SHA-256 came back as {found.sha256}")

    def _name(self, entry_id: str, held: int) -> None:
        """Step 4, for what was compared and nothing else; every directory on the way is made durable each time."""
        incoming, final = self._vault.incoming_path(entry_id), self._vault.object_path(entry_id)
        settle_directory(final.parent, self._vault.path)
        try:
            _link(held, final)
        except FileExistsError as cause:
            if not _is(final, held):
                raise MismatchError(id=entry_id, why="another file has its place") from cause
        except FileNotFoundError as cause:  # its last name went away while it was read
            raise MismatchError(id=entry_id, why="it was removed") from cause
        if _is(incoming, held):
            incoming.unlink()
        fsync_directory(final.parent)
        fsync_directory(incoming.parent)

    def _set_aside(self, entry_id: str) -> None:
        """Both names are free for the next copy; what had them is kept, each attempt under a name of its own."""
        for place in (self._vault.incoming_path(entry_id), self._vault.object_path(entry_id)):
            if os.path.lexists(place):
                aside = self._vault.mismatched_path(f"{entry_id}.{token_hex(4)}")
                place.rename(aside)
                fsync_directory(place.parent)
                fsync_directory(aside.parent)
                _LOG.error("a copy is set aside", id=entry_id, place=str(aside))


def _open(path: Path) -> int:
    """Never through a link, and never waiting: a pipe would wait for its writer for ever."""
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _own(held: int) -> None:
    """Ours and read-only: from here on nobody else can open it for writing."""
    if os.fstat(held).st_uid != os.geteuid():  # where all processes are one user, it is ours already
        os.fchown(held, os.geteuid(), -1)
    if os.fstat(held).st_mode & 0o777 != READ_ONLY:
        os.fchmod(held, READ_ONLY)


def _path_of(held: int) -> Path:
    """A path that leads to the opened file itself, whatever its names lead to by now (proc(5), /proc/pid/fd)."""
    return Path(f"/proc/self/fd/{held}")


def _link(held: int, final: Path) -> None:
    """Give the opened file a name (open(2), O_TMPFILE, shows this call); raises FileExistsError, never overwrites.

    Python follows the link in /proc only when it is given a directory; for an absolute path the kernel ignores it.
    """
    os.link(_path_of(held), final, src_dir_fd=held, follow_symlinks=True)


def _is(path: Path, held: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(held))
    except FileNotFoundError:
        return False
