"""The `anchor` entry: each piece of outside evidence is itself put on the log, by anchord under its own key.

So the log says which evidence there was, a lost or changed file is noticed, and the entry's place is a lower bound:
it, and everything after it, was entered after the token was made. An entry's id follows from the evidence, so asking
again after a crash or a lost database enters nothing twice.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy.orm import Session
from ulid import ULID

from core.clock import stamp
from core.db import Database
from vault.audit.anchor import Anchor
from vault.error import VaultError
from vault.formats import timestamp
from vault.formats.checkpoint import Checkpoint
from vault.formats.cosignature import claimed_at
from vault.formats.note import Note
from vault.log.index import place_of
from vault.log.outbox import Submitter, find
from vault.log.submission import Draft

ANCHOR = "anchor"
_LATEST_MS = (1 << 48) - 1  # what a ULID can hold


class AnchorEntries:
    """Puts evidence on the log, each piece once."""

    def __init__(self, db: Database, submitter: Submitter) -> None:
        self._db, self._submitter = db, submitter

    def enter(self, anchor: Anchor) -> list[str]:
        """Submit the entries of an anchor's evidence that neither log nor outbox has; gives their ids."""
        drafts = list(_drafts(anchor))
        with self._db.reading() as session:
            fresh = [one for one in drafts if not _is_known(session, one)]
        if not fresh:
            return []
        with self._db.writing() as session:
            ids = [self._submitter.submit(session, one) for one in fresh if not _is_known(session, one)]
        self._submitter.ring()
        return ids

    def enter_all(self, anchors: Iterable[Anchor]) -> list[str]:
        """As `enter`, for several."""
        return [entered for anchor in anchors for entered in self.enter(anchor)]


def _is_known(session: Session, draft: Draft) -> bool:
    entry_id = str(draft.id)
    return place_of(session, entry_id) is not None or find(session, entry_id) is not None


def _drafts(anchor: Anchor) -> Iterable[Draft]:
    checkpoint = Checkpoint.parse(Note.parse(anchor.note()).text)
    for kind, name, path in anchor.files():
        raw = path.read_bytes()
        digest = sha256(raw).hexdigest()
        try:
            at = _at(kind, raw) or datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
        except VaultError:
            continue  # nothing that reads as evidence: the verifier names it, the log need not
        facts = {
            "size": checkpoint.size, "root": b64encode(checkpoint.root).decode(), "kind": kind, "name": name,
            "sha256": digest, "at": stamp(at),
        }  # fmt: skip
        yield Draft(ANCHOR, facts=facts, id=_entry_id(checkpoint, kind, name, digest, at))


def _at(kind: str, raw: bytes) -> datetime | None:
    """The time that evidence claims, None for a line that has none (SM2)."""
    if kind == "timestamp":
        return timestamp.parse(raw).at
    return claimed_at(raw)


def _entry_id(checkpoint: Checkpoint, kind: str, name: str, digest: str, at: datetime) -> str:
    """A ULID whose random part is the digest of what the entry says."""
    said = f"{checkpoint.text()}{kind}\n{name}\n{digest}\n".encode()
    milliseconds = min(max(0, int(at.timestamp() * 1000)), _LATEST_MS)
    return str(ULID(milliseconds.to_bytes(6) + sha256(said).digest()[:10]))
