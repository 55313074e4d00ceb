"""The worker's proof before anything is erased from a recorder: a sealed recording opens, in full, to its digest.

Invariants: done outside the dock, with a key that keyd gave for this job, on the stored bytes and nothing that was kept
of the copying; what differs makes no entry and stays loud, so that its file stays on the recorder. `second_copy` is
said of a copy whose stored bytes and key header were read and are those that the log names. The answer is an entry on
the log (`open`, ingest.erase_rule), in one transaction with the end of the job.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from sqlalchemy.orm import Session

from core import jobs, log
from core.digest import sha256_hex
from core.jobs import Job
from ingest.erase_rule import OPEN
from ingest.error import IngestError
from ingest.proxies import LATER, Workshop, postpone
from vault.care.backup import VAULT_DIRECTORY
from vault.formats.entry import Leaf
from vault.formats.pack import KeySlots
from vault.log.index import wait_sequenced
from vault.log.submission import Draft
from vault.store.objects import Vault, open_object

KIND = "vault.open"
CHUNK = 1 << 20
SEQUENCED_WITHIN_S = 5.0
_log = log.get(__name__)


class OpenedOtherwiseError(IngestError):
    """A sealed object that opens to other bytes than its receipt says."""

    code = "ingest.opened_otherwise"
    sentence = (
        "Recording {id} does not open to what its receipt says ({why}). Its file stays on the recorder; keep the "
        "recorder, run `sealdock vault verify` and mend the object from the second copy."
    )


def ask(session: Session, recording_id: str, session_id: str) -> None:
    """Ask the worker in the caller's transaction; once for each docking session, because copies grow meanwhile."""
    jobs.enqueue(session, KIND, f"{KIND}:{recording_id}:{session_id}", {"recording_id": recording_id})


def handle(job: Job, workshop: Workshop, second_copy: Path | None) -> None:
    """Do one such job. Raises OpenedOtherwiseError, SealdockError or OSError."""
    try:
        place = wait_sequenced(workshop.db, str(job.payload["recording_id"]), SEQUENCED_WITHIN_S)
        leaf = workshop.reader.leaf(place)
        _open(job, workshop, place, leaf)
    except tuple(LATER) as cause:
        postpone(workshop.db, job, cause)
        return
    is_copied = second_copy is not None and _is_in_copy(workshop.vault, second_copy, place, leaf)
    sealed = leaf.object
    facts = {"sha256": sealed.sha256, "size": sealed.size, "second_copy": is_copied} if sealed else {}
    with workshop.db.writing() as session:
        workshop.submitter.submit(session, Draft(OPEN, about=(leaf.id,), facts=facts))
        jobs.complete(session, job)
    workshop.submitter.ring()


def _open(job: Job, workshop: Workshop, place: int, leaf: Leaf) -> None:
    """Decrypt the whole object and compare. Raises OpenedOtherwiseError and what opening raises."""
    if leaf.object is None:
        raise OpenedOtherwiseError(id=leaf.id, why="it seals nothing")
    file_key = workshop.keyd.unwrap(place, job="open")
    digest, total = hashlib.sha256(), 0
    with open_object(workshop.vault, place, leaf, file_key) as reader:
        while piece := reader.read(CHUNK):
            digest.update(piece)
            total += len(piece)
            if total % (64 * CHUNK) == 0:
                jobs.renew(workshop.db, job, total / max(1, leaf.object.size))
    if (digest.hexdigest(), total) != (leaf.object.sha256, leaf.object.size):
        raise OpenedOtherwiseError(id=leaf.id, why="other bytes")


def _is_in_copy(vault: Vault, copy: Path, place: int, leaf: Leaf) -> bool:
    """Whether the second copy has the object and the header of its key as the log names them."""
    sealed, inside = leaf.object, copy / VAULT_DIRECTORY
    path = inside / vault.object_path(leaf.id).relative_to(vault.path)
    try:
        slot = KeySlots(inside / "keys" / "slots").object_slot(place)
        with path.open("rb", buffering=0) as stored:
            digest = hashlib.file_digest(stored, "sha256").hexdigest()
    except OSError as cause:
        _log.warning("not proven in the second copy", recording=leaf.id, why=cause.strerror or str(cause))
        return False
    if sealed is None or slot is None:
        return False
    return digest == sealed.stored_sha256 and sha256_hex(slot) == sealed.header_sha256
