"""A recorder over MTP: opened, listed once, and read in pieces that never touch a disk of the station.

Invariants: a stream gives exactly the bytes that were listed or raises, never fewer; when the session drops in the
middle it goes on at the same byte, once the device has proved to be the same and the file to be as it was listed; what
was sent to the device is known from the library's own record, and only a record without one operation that may change
something says "untouched".
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from core import log
from devices.condition import Condition
from devices.detect import Arrival
from devices.footage import is_ignored, read_name
from devices.mass_storage import Presence
from devices.match import Layout, Speaks
from devices.mtp.error import MtpSilentError
from devices.mtp.link import Link
from devices.mtp.listing import Place, Scope, Shelf, find, list_all
from devices.mtp.session import Address, DroppedError, Piece, Session, Start
from devices.mtp.wire import PIECE
from devices.name import show
from devices.profile import Profile
from devices.recorder import Identity, RefusedFile, SourceFile
from devices.tree import Entry, Kind, Refusal
from devices.unwritten import Method, Untouched

TRANSPORT = "mtp"
TRIES = 3  # of one piece, each with a session of its own
FAR = 1 << 32  # bytes: GetPartialObject has 32 bits for the place; Android's GetPartialObject64 has more
_log = log.get(__name__)


def mtp_opener(profiles: Sequence[Profile], start: Start = Link) -> Callable[[Arrival, Presence], MtpListing]:
    """What a bay opens MTP devices with: `Workplace.openers[Kind.STILL_IMAGE]`.

    Only what a profile for such a device asks for is listed. Raises MtpError, DepartedError.
    """

    def opened(arrival: Arrival, presence: Presence) -> MtpListing:
        session = Session(Address.of(arrival), presence, start)
        try:
            return MtpListing(session, presence, arrival, profiles)
        except DroppedError as cause:
            session.close()
            raise MtpSilentError(device=arrival.shown, why=str(cause)) from cause
        except BaseException:
            session.close()
            raise

    return opened


class MtpListing:
    """Everything in scope on a device, before it is known which profile reads it."""

    def __init__(
        self, session: Session, presence: Presence, arrival: Arrival, profiles: Sequence[Profile]
    ) -> None:
        self.session, self.presence = session, presence
        facts = session.facts
        label = show(facts.storages[0].name) if facts.storages else ""
        self.identity = Identity(arrival.serial or facts.serial, arrival.vendor_id, arrival.product_id, label)
        tables = [one.mtp for one in profiles if one.mtp is not None]
        claiming = [
            table for table in tables
            if table.claims(
                vendor_id=arrival.vendor_id, product_id=arrival.product_id,
                manufacturer=facts.manufacturer, model=facts.model,
            )
        ]  # fmt: skip
        self.shelf: Shelf = list_all(session, Scope(tuple(claiming)))

    @property
    def layout(self) -> Layout:
        """What matching needs."""
        paths = [entry.shown_path for entry in self.shelf.entries if entry.kind is not Kind.REFUSED]
        facts = self.session.facts
        return Layout(self.identity, paths, Speaks.MTP, facts.manufacturer, facts.model)

    def recorder(self, profile: Profile, condition: Condition | None = None) -> MtpRecorder:
        """The device read under a profile."""
        return MtpRecorder(self, profile, condition)

    def close(self) -> None:
        """End the session."""
        self.session.close()


class MtpRecorder:
    """A `Recorder` over an MTP listing."""

    transport = TRANSPORT

    def __init__(self, listing: MtpListing, profile: Profile, condition: Condition | None = None) -> None:
        self._listing, self._profile, self._session = listing, profile, listing.session
        self._scope = Scope((profile.mtp,) if profile.mtp else ())
        self.profile_id = profile.id
        self.condition = self._read_condition(condition or Condition())
        self.identity = self._identify()

    @property
    def ignored(self) -> int:
        """How many files the profile leaves out."""
        left_out: set[bytes] = set()
        out = [entry for entry in self._entries() if self._leaves_out(entry, left_out)]
        return sum(entry.kind is not Kind.DIRECTORY for entry in out)

    def files(self) -> Iterator[SourceFile | RefusedFile]:
        """Files and refusals in the order of the listing; what the profile ignores is left out."""
        left_out: set[bytes] = set()
        for entry in self._entries():
            if self._leaves_out(entry, left_out):
                continue
            if entry.kind is Kind.REFUSED:
                yield RefusedFile(entry.path, entry.shown_path, str(entry.reason))
            elif entry.kind is Kind.FILE:
                yield self._describe(entry)

    def open(self, file: SourceFile) -> MtpStream:
        """Open one file that `files` gave. Raises OSError; DepartedError when the recorder is gone."""
        self._session.check()
        place = self._listing.shelf.places.get(file.path)
        if place is None:
            raise OSError(errno.ENOENT, "not on the recorder's list", os.fsdecode(file.path))
        return MtpStream(self._session, file, place)

    def present(self) -> bool:
        """Whether the recorder is still on the bus."""
        return self._session.is_here()

    def has_departed(self, patience_s: float) -> bool:
        """Whether it is gone; waits so long for the event, which comes after the read error it explains."""
        return not self.present() or self._listing.presence.wait_departed(patience_s)

    def untouched(self) -> Untouched | None:
        """That only reading operations were sent; None where that is not so, or not known. Renews the acts."""
        operations = self._session.operations
        self.condition = replace(self.condition, acts=operations.acts)
        if operations.changing:
            said = ", ".join(f"0x{code:04x}" for code in operations.changing)
            _log.error("operations that may change a recorder were sent to it", operations=said)
        holds = operations.is_recorded and not operations.changing
        return Untouched(Method.READ_ONLY_TRANSPORT) if holds else None

    def close(self) -> None:
        """End the session; nothing was written."""
        self._listing.close()

    def _entries(self) -> Iterator[Entry]:
        """Of what was listed, what this profile asks for: another profile may have asked for more."""
        for entry in self._listing.shelf.entries:
            is_storage = b"/" not in entry.path
            if is_storage or self._scope.has(entry.path, is_folder=entry.kind is Kind.DIRECTORY):
                yield entry

    def _leaves_out(self, entry: Entry, left_out: set[bytes]) -> bool:
        is_below = entry.path.rpartition(b"/")[0] in left_out
        out = is_below or is_ignored(self._profile, entry.shown_path, entry.size)
        if out and entry.kind is Kind.DIRECTORY:
            left_out.add(entry.path)
        return out

    def _describe(self, entry: Entry) -> SourceFile:
        shown = entry.shown_path
        name = show(entry.path.rpartition(b"/")[2])
        facts = read_name(self._profile, shown)
        return SourceFile(
            entry.path, shown, name, entry.size, entry.modified_at, facts.media, facts.serial,
            facts.officer_number, facts.started_at, facts.part, facts.flagged, facts.sequence,
        )  # fmt: skip

    def _identify(self) -> Identity:
        """The serial that all names agree on, else what USB or MTP says."""
        said = {f.serial for f in self.files() if isinstance(f, SourceFile) and f.serial}
        given = self._listing.identity
        return replace(given, serial=said.pop()) if len(said) == 1 else given

    def _read_condition(self, known: Condition) -> Condition:
        """What MTP tells: battery, space of the storages that are read, and the device's version."""
        facts = self._session.facts
        storages = [one for one in facts.storages if self._scope.has_storage(one)]
        return replace(
            known, battery_percent=facts.battery_percent, firmware=facts.version or known.firmware,
            free_bytes=_sum([one.free for one in storages]), capacity_bytes=_sum([one.capacity for one in storages]),
            acts=self._session.operations.acts,
        )  # fmt: skip


def _sum(sizes: list[int | None]) -> int | None:
    """All storages together; None when there are none or one does not say."""
    known = [size for size in sizes if size is not None]
    return sum(known) if known and len(known) == len(sizes) else None


class MtpStream:
    """The bytes of one file in order, exactly as many as were listed."""

    def __init__(self, session: Session, file: SourceFile, place: Place) -> None:
        self._session, self._path, self._place = session, file.path, place
        self.size, self._offset = file.size, 0
        self._piece: memoryview | None = None  # the rest of a piece that lies in a shared slot
        self._whole: bool | None = None if session.facts.reads_parts else True

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer from the present place; 0 only at the end. Raises OSError, DepartedError."""
        self._session.check()
        room = buffer[: self.size - self._offset]
        if not room:
            return 0
        if self._piece is None or self._session.owner is not self:
            self._piece = self._fetch()
        count = min(len(room), len(self._piece))
        room[:count] = self._piece[:count]
        self._offset += count
        self._piece = self._piece[count:] or None
        return count

    def seek(self, offset: int) -> None:
        """Go to a byte offset from the start."""
        if offset != self._offset:
            self._offset, self._piece = offset, None

    def close(self) -> None:
        """Let go of the file; safe to call again."""
        self._piece = None

    def _fetch(self) -> memoryview:
        """The next piece, from a new session when this one drops. Raises OSError, DepartedError."""
        why = ""
        for _attempt in range(TRIES):
            try:
                self._locate()
                return self._take()
            except DroppedError as cause:
                why = str(cause)
                _log.warning("an MTP session dropped", path=show(self._path), offset=self._offset, why=why)
                self._reopen()
        raise OSError(errno.EIO, why, os.fsdecode(self._path))

    def _take(self) -> memoryview:
        self._session.owner = self
        piece = self._piece_at(self._offset)
        following = piece.offset + piece.length
        got = self._session.take(piece, self._piece_at(following) if following < self.size else None)
        if not got:
            raise OSError(errno.EIO, str(Refusal.CHANGED), os.fsdecode(self._path))
        return got

    def _piece_at(self, offset: int) -> Piece:
        return Piece(self._place.handle, offset, min(PIECE, self.size - offset), self._is_whole())

    def _is_whole(self) -> bool:
        """Whether the file must be taken whole: no pieces at all, or none beyond 4 GiB (asked for once)."""
        if self._whole is None:
            self._whole = self.size > FAR and not self._reads_far()
        return self._whole

    def _reads_far(self) -> bool:
        try:
            return len(self._session.take(Piece(self._place.handle, FAR, 1))) == 1
        except DroppedError:
            return False

    def _locate(self) -> None:
        """Handles hold within one session: after another began, look where the file is. Raises OSError."""
        if self._place.generation == self._session.generation:
            return
        found = find(self._session, self._path, self.size)
        if found is None:
            raise OSError(errno.EIO, str(Refusal.CHANGED), os.fsdecode(self._path))
        self._place = found

    def _reopen(self) -> None:
        """Take the session up again. Raises DepartedError, OSError."""
        try:
            self._session.reopen()
        except MtpSilentError as cause:
            raise OSError(errno.EIO, str(cause), os.fsdecode(self._path)) from cause
