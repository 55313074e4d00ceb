"""A card or folder by hand: the same line as a bay, without a bay.

A folder that no profile recognises is taken whole under the plain `folder` profile, because a person asked
for it; in a bay the same layout would be refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Event

from sqlalchemy import select

from core.errors import SealdockError
from devices.mass_storage import Medium, Presence
from devices.match import match
from devices.profile import FOLDER, Profile, find_profile
from devices.recorder import Identity
from ingest.circumstance import Circumstance, Origin
from ingest.copying import SealingLine
from ingest.error import NotAFolderError
from ingest.offload import Offload
from ingest.recording import IngestRecording
from ingest.status import Tile
from vault.log.index import receipt_of

TRANSPORT = "folder"


@dataclass(frozen=True)
class HandResult:
    """One file: its recording and receipt, or the error that kept it out. `was_known`: sealed before."""

    path: str
    recording_id: str | None = None
    entry_index: int | None = None
    receipt: bytes | None = None
    was_known: bool = False
    failure: SealdockError | None = None


@dataclass(frozen=True)
class HandReport:
    """A whole folder; `is_complete` when nothing was left out."""

    session_id: str
    profile_id: str
    results: tuple[HandResult, ...]

    @property
    def is_complete(self) -> bool:
        """Whether everything is sealed."""
        return all(result.failure is None for result in self.results)


def ingest_path(
    line: SealingLine,
    path: Path,
    *,
    profiles: tuple[Profile, ...],
    profile: str | None = None,
    officer: str | None = None,
    tile: Tile | None = None,
    stop: Event | None = None,
) -> HandReport:
    """Seal everything in `path` and wait for the receipts. `tile` shows the progress to whoever holds it.

    Raises NotAFolderError, UnknownProfileError, AmbiguousProfileError; a file's own trouble is in its result.
    """
    if not path.is_dir():
        raise NotAFolderError(path=path)
    medium = Medium(path, TRANSPORT, Identity(), Presence(str(path)))
    try:
        listing = medium.list()
    except OSError as cause:
        raise NotAFolderError(path=path) from cause
    try:
        fitting = find_profile((*profiles, FOLDER), profile) if profile else None
        chosen = fitting or match(profiles, listing.layout, str(path)) or FOLDER
        offload = Offload(
            line, listing.recorder(chosen), chosen, Circumstance(Origin.HAND, officer_number=officer),
            tile or Tile(0), stop or Event(),
        )  # fmt: skip
        outcome = offload.run()
    finally:
        listing.close()
    failed = [HandResult(path, failure=error) for path, error in outcome.failures.items()]
    sealed = _results(line, outcome.sealed, was_known=False) + _results(line, outcome.known, was_known=True)
    return HandReport(
        outcome.session_id, chosen.id, tuple(sorted([*sealed, *failed], key=lambda result: result.path))
    )


def _results(line: SealingLine, ids: list[str], *, was_known: bool) -> list[HandResult]:
    with line.db.reading() as session:
        rows = [session.scalars(select(IngestRecording).where(IngestRecording.id == i)).one() for i in ids]
        return [
            HandResult(row.shown_path, row.id, row.entry_index, receipt_of(session, row.id), was_known)
            for row in rows
        ]
