"""The worker's media jobs: index every sealed recording, and make a proxy of what a browser cannot play.

    media.index   facts, poster, thumbnails, loudness and packet map; decides how the recording is shown
    media.proxy   H.264 rendition of what the index found to need one

Invariants: the original is only read, through a lens, by sandboxed tools; a derivative is on disk before the
`derive` entry that names it is submitted, and that entry, the row and the end of the job are one
transaction, so a job that is killed anywhere can simply run again. What the file itself is the reason for is
noted with the file and not tried again; what the station is the reason for (locked vault, missing program)
waits until it is mended; what may be either (too slow, killed, a bad read) is tried a few times, and then noted
with the file, so that nobody waits for a recording that no job will look at again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core import jobs, log
from core.clock import utc_now
from core.db import Database
from core.durable import make_directory
from core.errors import SealdockError
from core.jobs import Job, JobState
from core.settings import MEBIBYTE, MediaSettings
from ingest import media_facts
from ingest.media_facts import MediaFacts
from media import lens
from media.error import (
    LensError,
    MediaCrashedError,
    MediaError,
    MediaTimeoutError,
    MediaToolMissingError,
    SandboxRefusedError,
)
from media.index import MediaIndex, index, stored_facts
from media.play import Play
from media.probe import probe
from media.proxy import MIME, Proxy
from media.walls import Limits
from vault.formats.entry import Leaf
from vault.formats.note import SigningKey
from vault.formats.payload import PayloadError
from vault.keyd import KeydClient, KeydLockedError, KeydUnreachableError, RateLimitedError
from vault.log.index import EntryAbout, EntryRow
from vault.log.ledger import LogReader
from vault.log.outbox import (
    AppliedEntry,
    NotSequencedError,
    OutboxRow,
    Projections,
    RefusedError,
    RowState,
    Submitter,
    find,
)
from vault.log.submission import Draft
from vault.store.derived import Derivative, DerivedStore
from vault.store.objects import Vault, open_object
from vault.store.spool import SealedSpool

__all__ = [
    "INDEX",
    "KINDS",
    "PROXY",
    "AppliedEntry",
    "MediaFacts",
    "PayloadError",
    "Workshop",
    "handle",
    "register",
]

INDEX, PROXY = "media.index", "media.proxy"
KINDS = (INDEX, PROXY)
INDEX_OUTPUT = 112 * MEBIBYTE  # all sections of the index at their limits
SEQUENCED_WITHIN_S = 5.0
RENEW_EVERY_S = 5.0
INDEX_MIME, JPEG, JSON = "application/vnd.sealdock.index", "image/jpeg", "application/json"

KILLED = {-signal.SIGKILL, 128 + signal.SIGKILL}  # the kernel's answer to too little memory

LATER = {  # the station's fault, not the file's: how long to wait before another look
    KeydLockedError: timedelta(seconds=10),
    KeydUnreachableError: timedelta(seconds=10),
    RateLimitedError: timedelta(seconds=5),
    NotSequencedError: timedelta(seconds=5),
    MediaToolMissingError: timedelta(minutes=1),
    SandboxRefusedError: timedelta(minutes=1),
    LensError: timedelta(minutes=1),
}
_LOG = log.get("ingest.proxies")


@dataclass(frozen=True)
class Workshop:
    """What the media jobs work with; `lenses` is a directory for mounts, private to the worker."""

    db: Database
    vault: Vault
    reader: LogReader
    keyd: KeydClient
    derived: DerivedStore
    signer: SigningKey
    submitter: Submitter
    lenses: Path
    settings: MediaSettings

    def sweep(self) -> None:
        """Remove mounts that a killed worker left; call once at start."""
        if left := lens.sweep(self.lenses):
            _LOG.info("lenses of an earlier run removed", count=left)

    def limits(self, seconds: int, output_bytes: int) -> Limits:
        """The sandbox's limits; processor time for two busy cores over the whole time."""
        memory = self.settings.memory_mib * MEBIBYTE
        return Limits(wall_s=seconds, cpu_s=2 * seconds, memory_bytes=memory, output_bytes=output_bytes)


def register(projections: Projections) -> None:
    """Every sealed recording is to be indexed."""
    projections.on("ingest", _ask_for_index)


def handle(job: Job, workshop: Workshop) -> None:
    """Do one media job; on return it is done, or waits for the station to be mended.

    Raises SealdockError or OSError for what the worker should try again and then show to a person.
    """
    recording_id = str(job.payload["recording_id"])
    try:
        {INDEX: _index, PROXY: _make_proxy}[job.kind](job, workshop, recording_id)
    except tuple(LATER) as cause:
        postpone(workshop.db, job, cause)
    except RefusedError as cause:  # it will never be on the log
        _refuse(workshop, job, recording_id, cause)
        jobs.fail(workshop.db, job, str(cause), final=True)
    except MediaError as cause:
        if _may_be_the_station(cause) and not _is_last_try(job):
            raise
        _refuse(workshop, job, recording_id, cause, is_done=True)
    except Exception as cause:
        if _is_last_try(
            job
        ):  # nobody will look again: whoever waits for this recording must not wait for ever
            _refuse(workshop, job, recording_id, cause)
        raise


def _refuse(
    workshop: Workshop, job: Job, recording_id: str, cause: Exception, *, is_done: bool = False
) -> None:
    """Note with the recording why it is not shown; `is_done` ends the job in the same transaction."""
    code = cause.code if isinstance(cause, SealdockError) else MediaError.code
    _LOG.warning("not playable", recording=recording_id, code=code, why=str(cause))
    with workshop.db.writing() as session:
        media_facts.refuse(session, recording_id, code)
        if is_done:
            jobs.complete(session, job)


def _may_be_the_station(cause: MediaError) -> bool:
    """Whether a busy machine or one short of memory may be the reason: too slow, or killed."""
    return isinstance(cause, MediaTimeoutError) or (
        isinstance(cause, MediaCrashedError) and cause.parameters.get("status") in KILLED
    )


def _is_last_try(job: Job) -> bool:
    """Whether the job stands as failed when it fails now (core.jobs.fail)."""
    return job.attempts > len(jobs.RETRY_AFTER)


def _ask_for_index(session: Session, entry: AppliedEntry) -> None:
    """The projection of `ingest` entries; safe to run again."""
    if entry.leaf.object is None:
        return
    recording_id = entry.leaf.id
    if media_facts.add_pending(session, recording_id, str(entry.leaf.facts.get("media", "other"))):
        jobs.enqueue(session, INDEX, f"{INDEX}:{recording_id}", {"recording_id": recording_id})


def _index(job: Job, workshop: Workshop, recording_id: str) -> None:
    place, leaf = _sealed(workshop, recording_id)
    if _restore(job, workshop, place, leaf):
        return
    seconds = workshop.settings.index_seconds
    jobs.renew(workshop.db, job, 0.0, timedelta(seconds=seconds + 60))
    with _opened(workshop, place, leaf, "index") as original:
        made = index(original, workshop.limits(seconds, INDEX_OUTPUT))
    written = [workshop.derived.write(leaf, name, mime, [content], workshop.signer)
               for name, mime, content in _renditions(made)]  # fmt: skip
    with workshop.db.writing() as session:
        play = media_facts.take(session, recording_id, made.facts, {d.rendition for d in written})
        workshop.submitter.submit(session, _derive(recording_id, written))
        _finish_index(session, job, recording_id, needs_proxy=play is Play.PROXY)
    workshop.submitter.ring()


def _restore(job: Job, workshop: Workshop, place: int, leaf: Leaf) -> bool:
    """Whether the facts could be taken from derivatives that are there (after a lost database)."""
    found = workshop.derived.find(leaf.id, "index")
    if found is None:
        return False
    file_key = workshop.keyd.unwrap_derived(found.note, found.key_slot, place, job="index")
    try:
        with workshop.derived.open(leaf.id, "index", file_key) as reader:
            facts = stored_facts(reader.read(found.size))
    except SealdockError as cause:
        _LOG.warning("a stored index is damaged and is made again", recording=leaf.id, why=str(cause))
        return False
    names = workshop.derived.list(leaf.id)
    usable = [made for name in names if (made := workshop.derived.find(leaf.id, name)) is not None]
    has_proxy = any(made.rendition == "proxy" for made in usable)
    with workshop.db.writing() as session:
        play = media_facts.take(session, leaf.id, facts, {made.rendition for made in usable})
        if not _is_entered(session, leaf.id):  # killed between the files and their entry
            workshop.submitter.submit(session, _derive(leaf.id, usable))
        _finish_index(session, job, leaf.id, needs_proxy=play is Play.PROXY and not has_proxy)
    workshop.submitter.ring()
    return True


def _is_entered(session: Session, recording_id: str) -> bool:
    """Whether the log, or the outbox on its way there, has an entry about derivatives of this recording."""
    about = select(EntryRow.index).join(EntryAbout, EntryAbout.index == EntryRow.index)
    on_log = about.where(EntryAbout.subject_id == recording_id, EntryRow.type == "derive").limit(1)
    waiting = select(OutboxRow.note).where(OutboxRow.type == "derive", OutboxRow.state == RowState.PENDING)
    if session.scalar(on_log) is not None:
        return True
    return any(recording_id in note for note in session.scalars(waiting))


def _finish_index(session: Session, job: Job, recording_id: str, *, needs_proxy: bool) -> None:
    if needs_proxy:
        jobs.enqueue(session, PROXY, f"{PROXY}:{recording_id}", {"recording_id": recording_id})
    jobs.complete(session, job)


def _make_proxy(job: Job, workshop: Workshop, recording_id: str) -> None:
    place, leaf = _sealed(workshop, recording_id)
    settings = workshop.settings
    limits = workshop.limits(settings.proxy_seconds, settings.output_mib * MEBIBYTE)
    with _opened(workshop, place, leaf, "proxy") as original:
        facts = probe(original, workshop.limits(settings.index_seconds, INDEX_OUTPUT))
        proxy = Proxy(original, facts, limits, _Renewal(workshop.db, job))
        make_directory(workshop.derived.directory)
        with SealedSpool(workshop.derived.directory) as spool:
            for piece in proxy:
                spool.write(piece)
            whole = chain([proxy.head()], spool.read())
            written = workshop.derived.write(leaf, "proxy", MIME[facts.kind], whole, workshop.signer)
    with workshop.db.writing() as session:
        session.execute(update(MediaFacts).where(MediaFacts.recording_id == recording_id).values(proxy=True))
        workshop.submitter.submit(session, _derive(recording_id, [written]))
        jobs.complete(session, job)
    workshop.submitter.ring()


def _renditions(made: MediaIndex) -> Iterator[tuple[str, str, bytes]]:
    pictures = (
        ("poster", JPEG, made.poster),
        ("sprite", JPEG, made.sprite),
        ("waveform", JSON, made.waveform),
    )
    for name, mime, content in (*pictures, ("index", INDEX_MIME, made.stored())):
        if content is not None:  # the index last: where it is, the others are
            yield name, mime, content


def _derive(recording_id: str, written: Iterable[Derivative]) -> Draft:
    """The entry that says which derivatives were made of a recording."""
    renditions = [{"rendition": d.rendition, "sha256": d.sha256, "size": d.size} for d in written]
    return Draft("derive", about=(recording_id,), facts={"parent": recording_id, "renditions": renditions})


@contextmanager
def _opened(workshop: Workshop, place: int, leaf: Leaf, purpose: str) -> Iterator[Path]:
    """The recording as a read-only file that decrypts as it is read."""
    file_key = workshop.keyd.unwrap(place, job=purpose)
    with (
        open_object(workshop.vault, place, leaf, file_key) as reader,
        lens.present(reader, reader.size, workshop.lenses) as original,
    ):
        yield original


def _sealed(workshop: Workshop, recording_id: str) -> tuple[int, Leaf]:
    """Where the recording's entry is on the log, and the entry.

    Raises NotSequencedError while it is not there, RefusedError when it never will be.
    """
    deadline = time.monotonic() + SEQUENCED_WITHIN_S
    while True:
        with workshop.db.reading() as session:
            place = session.scalar(select(EntryRow.index).where(EntryRow.id == recording_id))
            row = find(session, recording_id)
        if place is not None:
            return place, workshop.reader.leaf(place)
        if row is not None and row.state == RowState.REFUSED:
            raise RefusedError(why=row.reason)
        waits = row is not None and row.state == RowState.PENDING
        if not waits or time.monotonic() > deadline:
            raise NotSequencedError(id=recording_id, seconds=SEQUENCED_WITHIN_S)
        time.sleep(0.05)


def postpone(db: Database, job: Job, cause: Exception) -> None:
    """Leave the job waiting for the station to be mended, with its reason, without using up its tries."""
    delay = next(wait for kind, wait in LATER.items() if isinstance(cause, kind))
    _LOG.warning("media job waits", kind=job.kind, key=job.key, why=str(cause))
    with db.writing() as session:
        session.execute(
            update(Job).where(Job.id == job.id)
            .values(state=JobState.WAITING, run_after=utc_now() + delay, lease_until=None, attempts=0,
                    error=str(cause))
        )  # fmt: skip


class _Renewal:
    """Hears how far the proxy is and keeps the job's lease alive, every few seconds."""

    def __init__(self, db: Database, job: Job) -> None:
        self._db, self._job, self._next = db, job, 0.0

    def __call__(self, share: float) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + RENEW_EVERY_S
            jobs.renew(self._db, self._job, share)
