"""Who is asked: time-stamping authorities and witnesses, and how to judge what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509

from vault.anchor import conflict
from vault.anchor.add_checkpoint import RequestError, parse_size, request
from vault.anchor.conflict import ConflictError, ConflictKind
from vault.anchor.store import AnchorStore
from vault.anchor.web import Answer, OutsideError, Place, ask
from vault.audit.anchor import Anchor
from vault.error import VaultError
from vault.formats import timestamp
from vault.formats.checkpoint import Checkpoint
from vault.formats.cosignature import CosignerKey, cosignatures, with_lines
from vault.formats.merkle import DirectoryTiles, tree_root
from vault.formats.note import NOTE_LIMIT, Note, VerifierKey
from vault.formats.timestamp import REPLY_LIMIT, Query, RootsError

_LINES_LIMIT = 64 * 1024  # bytes of an answer; one ML-DSA-44 line has some 3.3 KiB
_OK, _CONFLICT, _UNPROCESSABLE = 200, 409, 422
_WHY = {
    400: "it finds the request malformed",
    403: "it does not accept the log's signature: it may know an older key of this log",
    404: "it does not look after this log: its owner has to add the log's key to `anchor.witness_for`",
}


@dataclass(frozen=True)
class Proven:
    """What a source gave, checked: the bytes to keep, and its own time."""

    raw: bytes
    at: datetime


@dataclass(frozen=True)
class Authority:
    """A time-stamping authority (RFC 3161)."""

    name: str
    url: str | None
    roots_path: Path
    kind = "timestamp"

    def roots(self) -> tuple[x509.Certificate, ...]:
        """Its root certificates. Raises RootsError."""
        try:
            return timestamp.load_roots(self.roots_path.read_bytes())
        except OSError as cause:
            raise RootsError(why=f"{self.roots_path}: {cause.strerror}") from cause

    def judge(self, note: bytes, raw: bytes, asked: Query | None = None) -> Proven:
        """A reply over `note`, verified. Raises TimestampError or RootsError."""
        nonce = asked.nonce if asked else None
        return Proven(raw, timestamp.verify(raw, note, self.roots(), nonce=nonce).at)

    def gather(self, _store: AnchorStore, anchor: Anchor, _alarms: Path) -> Proven:
        """Ask on line. Raises OutsideError, TimestampError or RootsError."""
        note = anchor.note()
        asked = timestamp.query(note)
        place = Place(self.name, self.url or "")
        answer = ask(place, REPLY_LIMIT, asked.raw, "application/timestamp-query")
        if answer.status != _OK:
            raise OutsideError(name=self.name, why=f"status {answer.status}")
        return self.judge(note, answer.body, asked)


@dataclass(frozen=True)
class Witness:
    """Another machine that cosigns (c2sp.org/tlog-witness), as its client sees it."""

    name: str
    url: str | None
    key: CosignerKey
    tls_roots: Path | None = None
    kind = "cosignature"

    def judge(self, note: bytes, raw: bytes) -> Proven:
        """Its own lines among those it gave, verified; lines of others are left out. Raises VaultError."""
        found = cosignatures(with_lines(note, raw), [self.key])
        if not found:
            raise OutsideError(name=self.name, why="none of its lines is by the key in the settings")
        return Proven(found[0].line, found[0].at)

    def last_size(self, store: AnchorStore) -> int:
        """The largest size for which its cosignature lies here; 0 when there is none."""
        kept = (one.size for one in store.newest_first() if one.path(self.kind, self.name).exists())
        return next(kept, 0)

    def gather(self, store: AnchorStore, anchor: Anchor, alarms: Path) -> Proven:
        """Ask on line. Raises OutsideError, ConflictError (with the evidence kept in `alarms`) or VaultError."""
        note, old = anchor.note(), min(self.last_size(store), anchor.size)
        answer = self._post(store, note, old)
        if answer.status == _CONFLICT:
            size = self._size_in(answer)
            if size > anchor.size:
                self._behind(store, answer, alarms)
            answer = self._post(store, note, size)
        if answer.status == _UNPROCESSABLE:
            self._refused(store, note, answer, alarms)
        if answer.status != _OK:
            why = _WHY.get(answer.status, f"status {answer.status}")
            raise OutsideError(name=self.name, why=why)
        return self.judge(note, answer.body)

    def _post(self, store: AnchorStore, note: bytes, old: int) -> Answer:
        body = request(store.reader, note, old).raw()
        return ask(self._place.below("add-checkpoint"), _LINES_LIMIT, body)

    def _size_in(self, answer: Answer) -> int:
        try:
            return parse_size(answer.body)
        except RequestError as cause:
            raise OutsideError(name=self.name, why="its 409 names no size") from cause

    def _behind(self, store: AnchorStore, answer: Answer, alarms: Path) -> None:
        """It has cosigned more entries than we asked about: by another hand of ours, or the log was set back."""
        head, head_note = store.reader.checkpoint()
        if self._size_in(answer) <= head.size:
            raise OutsideError(name=self.name, why="it cosigned a newer checkpoint meanwhile")
        self._alarm(store, head_note, answer, alarms)

    def _refused(self, store: AnchorStore, note: bytes, answer: Answer, alarms: Path) -> None:
        """It says that our proof does not hold. Its own checkpoint decides whether it is wrong."""
        theirs = self._their_checkpoint(store)
        if theirs is not None:
            seen = Checkpoint.parse(Note.parse(theirs).text)
            head = store.reader.size
            if (
                seen.size <= head
                and tree_root(DirectoryTiles(store.directory / "log", head), seen.size) == seen.root
            ):
                raise OutsideError(name=self.name, why="it refuses a proof that holds")
        self._alarm(store, note, answer, alarms, theirs)

    def _alarm(
        self, store: AnchorStore, ours: bytes, answer: Answer, alarms: Path, theirs: bytes | None = None
    ) -> None:
        theirs = theirs or self._their_checkpoint(store)
        kind = ConflictKind.ROLLBACK if answer.status == _CONFLICT else ConflictKind.UNPROVEN
        if theirs is not None:
            seen, shown = (Checkpoint.parse(Note.parse(one).text) for one in (theirs, ours))
            kind = conflict.between(seen, shown)
        said = f"{self.name} answered {answer.status}\n".encode() + answer.body
        raise ConflictError(conflict.keep(alarms, kind, theirs or said, ours, said))

    def _their_checkpoint(self, store: AnchorStore) -> bytes | None:
        """What the witness shows as its last checkpoint of our log, if our log's key really signed that."""
        keys: list[VerifierKey] = store.log_keys()
        origin = store.reader.vault.origin
        path = f"{sha256(origin.encode()).hexdigest()}/checkpoint"
        try:
            answer = ask(self._place.below(path), NOTE_LIMIT)
            parsed = Note.parse(answer.body) if answer.status == _OK else None
            signed = (
                parsed is not None and parsed.signers(keys) and Checkpoint.parse(parsed.text).origin == origin
            )
        except VaultError:
            return None  # then its answer alone is the evidence
        return answer.body if signed else None

    @property
    def _place(self) -> Place:
        return Place(self.name, self.url or "", self.tls_roots)


Source = Authority | Witness
