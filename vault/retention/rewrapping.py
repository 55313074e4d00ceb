"""Re-wrapping: taking a recording's keys to another bucket before the one it lies in is closed.

keyd makes the headers and opens them again; what comes here is ciphertext. The entry commits to both headers and its
own slots keep them, so nothing old is overwritten and the payload is not touched. Later look-ups find the newest.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.digest import sha256_hex
from vault.error import VaultError
from vault.log.outbox import Submitter, find
from vault.log.submission import Draft
from vault.retention.chronicle import REWRAP


class RewrapError(VaultError):
    """The outbox lost what was just put into it."""

    code = "vault.rewrap"
    sentence = "The re-wrap of {recording} could not be handed in. Nothing was changed; try again."


def submit_rewrap(
    session: Session, submitter: Submitter, actor: str | None, recording_id: str, bucket: str,
    object_slot: bytes, body_slot: bytes | None,
) -> str:  # fmt: skip
    """Ask the log to keep new headers of a recording, as keyd gave them; gives the entry's id.

    Entry, row and headers are one transaction, the caller's. Raises EntryError or RewrapError.
    """
    facts = {"bucket": bucket, "object_header_sha256": sha256_hex(object_slot)}
    if body_slot is not None:
        facts["body_header_sha256"] = sha256_hex(body_slot)
    entry_id = submitter.submit(session, Draft(REWRAP, actor=actor, about=(recording_id,), facts=facts))
    row = find(session, entry_id)
    if row is None:
        raise RewrapError(recording=recording_id)
    row.key_slot = object_slot + (body_slot or b"")
    return entry_id
