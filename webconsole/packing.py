"""Handing a package out: put together from the vault, streamed as it is read, and watched on the way.

Invariant: the `export` entry is on the log before the first key is asked for (casework.package.build holds
that); nothing is stored on the way, so a package of any size needs a few buffers. A package does not lack a copy
without anybody's knowing: it is refused while one is being made, unless somebody chose to go without. How far each
package is stands in this process only: it is there to be looked at, and means nothing after a restart.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from zipstream import ZipStream

from casework.evidence.recording import Recording
from casework.field import CaseworkError
from casework.package.bag import ByteSource
from casework.package.build import Package, Packager
from casework.package.door import OriginalDoor
from core.errors import SealdockError
from ingest.media_facts import MediaFacts
from media.play import Play
from vault.log.index import wait_sequenced
from vault.store.derived import Derivative
from webconsole.context import ConsoleContext

PROXY = "proxy"
SEQUENCED_WITHIN_S = 5.0


class CopyNotReadyError(CaseworkError):
    """A recording needs a playable copy, or may need one, and the worker has not made it."""

    code = "casework.copy_not_ready"
    sentence = (
        "The copy of {name} that browsers can play is not made yet, so the package is not handed out. The original "
        "is sealed and whole. Wait a moment and repeat, or choose to go without copies that are not ready."
    )


class Way(StrEnum):
    """Where a package is on its way out."""

    SENDING = "sending"
    SENT = "sent"
    BROKEN = "broken"


@dataclass(frozen=True)
class Progress:
    """How far one package is."""

    way: Way
    sent: int
    total: int
    error: SealdockError | None = None


@dataclass(frozen=True)
class CopyDoor:
    """Opens the copy for browsers of what they cannot play; call it as `OpenRendition`.

    `may_lack` is a person's choice to go without the copies that are not made yet.
    """

    context: ConsoleContext
    may_lack: bool = False

    def __call__(self, recording_id: str, grant: int) -> tuple[ByteSource, int, str] | None:
        """The reader, size and digest of the copy; None where the original plays, or nothing does.

        Raises CopyNotReadyError, and VaultError (locked, refused, disposed, damaged).
        """
        made = self._copy(recording_id)
        if made is None:
            return None
        index = wait_sequenced(self.context.db, recording_id, SEQUENCED_WITHIN_S)
        file_key = self.context.keyd.unwrap_derived(made.note, made.key_slot, index, grant=grant)
        return self.context.derived.open(recording_id, PROXY, file_key), made.size, made.sha256

    def _copy(self, recording_id: str) -> Derivative | None:
        """What the worker made; None where nothing is needed, or where it may be lacking."""
        with self.context.db.reading() as session:
            facts, recording = session.get(MediaFacts, recording_id), session.get(Recording, recording_id)
        if facts is None or facts.play not in {Play.PENDING, Play.PROXY}:
            return None
        made = self.context.derived.find(recording_id, PROXY) if facts.play == Play.PROXY else None
        if made is None and not self.may_lack:
            raise CopyNotReadyError(name=recording.name if recording else recording_id)
        return made


class Ways:
    """What this process is sending or has sent; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, Progress] = {}

    def look(self, package_id: str) -> Progress | None:
        """How far a package is; None when this process never sent it."""
        with self._lock:
            return self._found.get(package_id)

    def send(self, package_id: str, stream: ZipStream) -> Iterator[bytes]:
        """The pieces of `stream`, counted as they go; a reader who leaves early is a broken way."""
        self._note(package_id, Progress(Way.SENDING, 0, len(stream)))
        sent, way, error = 0, Way.BROKEN, None
        try:
            for piece in stream:
                yield piece
                sent += len(piece)
                self._note(package_id, Progress(Way.SENDING, sent, len(stream)))
            way = Way.SENT
        except SealdockError as cause:
            error = cause
            raise
        finally:
            self._note(package_id, Progress(way, sent, len(stream), error))

    def _note(self, package_id: str, progress: Progress) -> None:
        with self._lock:
            self._found[package_id] = replace(progress)


WAYS = Ways()


def assemble(context: ConsoleContext, package_id: str, *, may_lack_copies: bool = False) -> Package:
    """The package of a disclosure, ready to be streamed; `may_lack_copies` goes without those not made yet.

    Raises DisclosurePendingError, CopyNotReadyError, KeydLockedError, VaultError.
    """
    station = context.settings.station
    packager = Packager(
        db=context.db,
        log=context.reader,
        signer=context.signer,
        organisation=station.bureau or station.name,
        zone=station.timezone,
        open_original=OriginalDoor(context.vault, context.keyd),
        open_rendition=CopyDoor(context, may_lack_copies),
    )
    return packager.package(package_id)
