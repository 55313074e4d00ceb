"""What to do with each file on a recorder: copy it, go on with it, or leave it because the log has it; in which order.

Invariants: a file may count as sealed only when serial, path, size and time are those of a recording that is on the
log or on its way. Where the recorder has a serial, a random sample of them is compared in full (ingest.sample) and the
statement names every one that was not; where it has none (a folder given by hand) each is compared in full, and where
the file has no time at least its first and last MiB are. Anything else is copied: sealing a file twice is a waste,
skipping one that was never sealed is a loss. What was decided to be copied stays so when the session goes on later.
Known files come first, which costs nothing; then flagged ones, then short, then long.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.clock import new_id
from core.digest import Sha256
from devices.recorder import Recorder, RefusedFile, SourceFile, SourceStream
from ingest.docking import DockingSession, SessionState
from ingest.recording import (
    ON_THE_WAY,
    SEALED,
    UNFINISHED,
    IngestRecording,
    RecordingState,
    damaged_among,
)

EDGE = (
    1024 * 1024
)  # bytes at each end: containers keep their index in one or the other, so a new film differs there
BATCH = 500  # paths in one query
LOGGED = (SEALED - {RecordingState.ERASED}) | ON_THE_WAY  # what was erased and is there again is another file
_READ = 1024 * 1024
Identity = tuple[bytes, int, datetime | None]


@dataclass
class Planned:
    """One file and its row. `known` is the recording with the same name, size and time, if any.

    `is_damaged`: that recording was sealed with holes. `is_compared`: its bytes were read again and are equal.
    """

    file: SourceFile
    recording_id: str
    known: IngestRecording | None = None
    is_damaged: bool = False
    is_compared: bool = False


@dataclass
class Plan:
    """Everything on the medium, in the order in which it will be taken."""

    files: list[Planned] = field(default_factory=list)
    refused: list[RefusedFile] = field(default_factory=list)

    @property
    def bytes_total(self) -> int:
        """Bytes of all files."""
        return sum(planned.file.size for planned in self.files)

    @property
    def known(self) -> list[Planned]:
        """The files that the log has by their names; the damaged ones cannot be compared and are not among them."""
        return [one for one in self.files if one.known is not None and not one.is_damaged]


def make_plan(session: Session, recorder: Recorder, docking: DockingSession) -> Plan:
    """List the recorder and write a row for each file that none stands for, in the caller's transaction."""
    serial, plan, listed = recorder.identity.serial, Plan(), list(recorder.files())
    plan.refused = [entry for entry in listed if isinstance(entry, RefusedFile)]
    files = [entry for entry in listed if isinstance(entry, SourceFile)]
    rows = _rows_of(session, serial, docking.id, [file.path for file in files])
    damaged = damaged_among(
        session, [row.id for same in rows.values() for row in same if row.state in LOGGED]
    )
    for entry in files:
        row = next(iter(rows.get(_identity(entry), [])), None)  # the latest: a later decision to copy stands
        if row is None:
            row = _found(session, entry, serial, docking)
        elif row.state in UNFINISHED:
            row.session_id = docking.id
        is_damaged = row.id in damaged
        known = row if row.state in LOGGED and (serial or not is_damaged) else None
        planned = Planned(entry, row.id, known, is_damaged and known is not None)
        if is_damaged and known is None:
            add_found(session, planned, serial, docking)
        plan.files.append(planned)
    plan.files.sort(key=_order)
    docking.files, docking.bytes = len(plan.files), plan.bytes_total
    return plan


def add_found(session: Session, planned: Planned, serial: str, docking: DockingSession) -> None:
    """A file that only looked like one on the log: it gets a row of its own."""
    planned.recording_id = _found(session, planned.file, serial, docking).id
    planned.known = None


def is_same(stream: SourceStream, known: IngestRecording, *, by_edges: bool) -> bool:
    """Whether the recorder's file is the recording on the log. Raises OSError."""
    if by_edges and known.edges_sha256:
        return edges_of(stream) == known.edges_sha256
    whole, room = Sha256(), memoryview(bytearray(_READ))
    while count := stream.readinto(room):
        whole.update(room[:count])
    return whole.hexdigest() == known.sha256


def edges_of(stream: SourceStream) -> str:
    """The edges digest of a whole file, read here. Raises OSError."""
    edges, room = Edges(stream.size), memoryview(bytearray(_READ))
    for start, end in edges.spans:
        stream.seek(start)
        place = start
        while place < end and (count := stream.readinto(room[: end - place])):
            edges.take(place, room[:count])
            place += count
    return edges.hexdigest()


class Edges:
    """The digest of a file's first and last MiB, from bytes that go by in order."""

    def __init__(self, size: int) -> None:
        head = min(size, EDGE)
        self.spans = ((0, head), (max(head, size - EDGE), size))
        self._running = Sha256()

    def take(self, place: int, chunk: memoryview) -> None:
        """See the bytes at `place`; those outside the edges are passed over."""
        for start, end in self.spans:
            low, high = max(start, place), min(end, place + len(chunk))
            if low < high:
                self._running.update(chunk[low - place : high - place])

    def hexdigest(self) -> str:
        """Of everything seen."""
        return self._running.hexdigest()


def _rows_of(
    session: Session, serial: str, docking_id: str, paths: list[bytes]
) -> dict[Identity, list[IngestRecording]]:
    """This recorder's recordings of these paths, the latest first, without those another bay is taking right now.

    Serials repeat: two recorders that claim one serial may be in two bays at once.
    """
    elsewhere = (DockingSession.state == SessionState.OFFLOADING) & (DockingSession.id != docking_id)
    busy = set(session.scalars(select(DockingSession.id).where(elsewhere)))
    rows: dict[Identity, list[IngestRecording]] = defaultdict(list)
    for start in range(0, len(paths), BATCH):
        query = (
            select(IngestRecording)
            .where(
                IngestRecording.recorder_serial == serial,
                IngestRecording.path.in_(paths[start : start + BATCH]),
                IngestRecording.state.in_(LOGGED | UNFINISHED),
            )
            .order_by(IngestRecording.id.desc())
        )
        for row in session.scalars(query):
            if row.state in SEALED or row.session_id not in busy:
                rows[row.identity].append(row)
    return rows


def _identity(file: SourceFile) -> Identity:
    return file.path, file.size, file.modified_at


def _found(session: Session, file: SourceFile, serial: str, docking: DockingSession) -> IngestRecording:
    row = IngestRecording(
        id=new_id(), session_id=docking.id, state=RecordingState.FOUND, path=file.path, size=file.size,
        shown_path=file.shown_path, modified_at=file.modified_at, media=file.media, recorder_serial=serial,
        officer_number=file.officer_number or docking.officer_number,
    )  # fmt: skip
    session.add(row)
    return row


def _order(planned: Planned) -> tuple[bool, bool, int, str, bytes]:
    """Known files, then flagged ones, then short before long; equal ones by recording time and name."""
    file = planned.file
    started = file.started_at.isoformat() if file.started_at else ""
    return planned.known is None, not file.flagged, file.size, started, file.path
