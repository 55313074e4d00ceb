"""Reception: what is checked of a submission before it may go on the log, and how it goes there.

  1. The registered key that it names as `by` signed it.
  2. Row and note belong together: id, type, and the wrapped keys, which go into the key slots as they are.
  3. That key may submit this type, and the time it claims has come.
  4. The log's rules hold.
  5. Its private part is the one that was signed.
Whoever owns the database can change a row between two looks at it. So only 1 is remembered, for one exact note and
key; everything else is checked on the very row that is written, in the moment in which it is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from core import log
from core.clock import new_id, parse_stamp, stamp, utc_now
from core.digest import sha256_hex
from core.errors import SealdockError
from vault.error import VaultError
from vault.formats.age import KEY_SLOT_SIZE
from vault.formats.entry import Leaf, is_ulid
from vault.formats.note import VerifierKey
from vault.formats.pack import Private
from vault.log.bucket_rule import BUCKET, REWRAP, Commitment
from vault.log.ledger import LogReader
from vault.log.outbox import REFUSAL, OutboxRow, fingerprint, private_fields
from vault.log.rules import GRANTS, Lookup, Register, Rules
from vault.log.submission import Submission, SubmissionError, open_submission
from vault.store.keys import seal_body
from vault.store.objects import Vault

CLOCK_ALLOWANCE = timedelta(minutes=5)  # how far a grant may be ahead: a clock set back between two processes
_LOG = log.get("vault.reception")


class NotPermittedError(VaultError):
    """A process that submits what is not its business."""

    code = "vault.not_permitted"
    sentence = "The key {by} may not put entries of type {type} on the log. The attempt is itself on the log."


class IdTakenError(VaultError):
    """A submission under the id of an entry that says something else."""

    code = "vault.id_taken"
    sentence = (
        "Entry {index} on the log already has the id {id} and says something else. It was not changed, and the log "
        "tells of the attempt. Find out who wrote to the database."
    )


@dataclass
class Batch:
    """Entries about to go on the log together; to a log rule they are on it already."""

    reader: LogReader
    lookup: Lookup
    start: int
    items: list[tuple[Leaf, Private]] = field(default_factory=list)
    committed: set[str] = field(default_factory=set)  # buckets that an entry of this batch commits to
    _ids: dict[str, int] = field(default_factory=dict)  # places of the items, by id
    _subjects: dict[str, list[int]] = field(default_factory=dict)
    _known: int = 0  # items that the two above have

    @property
    def size(self) -> int:
        """As LogView."""
        return self.start + len(self.items)

    def leaf(self, place: int) -> Leaf:
        """As LogView."""
        return self.items[place - self.start][0] if place >= self.start else self.reader.leaf(place)

    def find(self, entry_id: str) -> int | None:
        """As LogView."""
        self._learn()
        return self._ids.get(entry_id) if (known := self.lookup.find(entry_id)) is None else known

    def about(self, subject_id: str, *types: str) -> list[int]:
        """As LogView."""
        self._learn()
        here = self._subjects.get(subject_id, ())
        return self.lookup.about(subject_id, *types) + [
            place for place in here if not types or self.leaf(place).type in types
        ]

    def _learn(self) -> None:
        """Look at each item once: what one round costs grows with what its entries say, and not with its square."""
        for place, (leaf, _) in enumerate(self.items[self._known :], self.start + self._known):
            self._ids.setdefault(leaf.id, place)
            for subject in dict.fromkeys(leaf.about):
                self._subjects.setdefault(subject, []).append(place)
        self._known = len(self.items)


@dataclass(frozen=True)
class _Opened:
    """A submission whose signature was checked: by this key, on this note."""

    note: str
    verifier: VerifierKey | None
    submission: Submission


class Reception:
    """Checks the submissions to one vault; `by` is the name under which refusals are signed for."""

    def __init__(self, vault: Vault, register: Register, rules: Rules, by: str) -> None:
        self._vault, self._register, self._rules, self._by = vault, register, rules, by
        self._opened: dict[str, _Opened] = {}
        self.reasons: dict[str, str] = {}  # sentences of refusals, for the outbox; the log has only the code

    def open(self, row: OutboxRow) -> Submission:
        """Checks 1 to 3. Raises VaultError."""
        submission = self._signed(row)  # 1
        leaf = submission.leaf
        if (leaf.id, leaf.type) != (row.id, row.type):  # 2
            raise SubmissionError(why="the row in the outbox is not the one that was signed")
        _check_slot(leaf, row.key_slot)
        if leaf.type == REWRAP and submission.body is not None and "body_header_sha256" in leaf.facts:
            raise SubmissionError(why="the slot of its body is taken by the key that it wraps anew")
        if not self._register.permits(leaf.by, leaf.type):  # 3
            raise NotPermittedError(by=leaf.by, type=leaf.type)
        if (
            leaf.type in GRANTS and parse_stamp(leaf.time) > utc_now() + CLOCK_ALLOWANCE
        ):  # never footage: it may wait
            raise SubmissionError(why="its time has not come yet")
        return submission

    def check_rules(self, batch: Batch, submission: Submission) -> None:
        """Check 4. Raises VaultError."""
        self._rules.check(batch, submission.leaf)

    def seal(self, row: OutboxRow, submission: Submission) -> tuple[Leaf, Private]:
        """Check 5; gives the entry, and what lies beside the log. Raises VaultError or CanonicalError."""
        plan = submission.body
        object_slot, body_slot = _slots(row.key_slot)
        if plan is None:
            return submission.leaf, Private(body_slot=body_slot, object_slot=object_slot)
        if private_fields(row.body) is None:
            raise SubmissionError(why="its private part is gone, or holds no facts")
        commitment, stored, slot = seal_body(self._vault, row.body or {}, plan.bucket)
        if commitment.sha256 != plan.sha256:
            raise SubmissionError(why="its private part is not the one that was signed")
        return submission.sealed_with(commitment), Private(stored, slot, object_slot)

    def commit(self, due: Commitment) -> Leaf:
        """The entry that says which keys a bucket has; it comes before the first entry that uses the bucket."""
        return Leaf(id=new_id(), type=BUCKET, time=stamp(utc_now()), by=self._by, facts=due.facts())

    def refuse(self, row: OutboxRow, cause: SealdockError) -> Leaf:
        """What is said on the log of a submission that it does not take; no word of the submission itself."""
        _LOG.error("a submission is refused", id=row.id, type=row.type, code=cause.code, why=str(cause))
        self.reasons[row.id] = str(cause)
        return Leaf(
            id=new_id(), type=REFUSAL, time=stamp(utc_now()), by=self._by,
            about=(row.id,) if is_ulid(row.id) else (),
            facts={"code": cause.code, "submission": fingerprint(row.note)},
        )  # fmt: skip

    def forget(self, entry_id: str) -> None:
        """It is answered; what was remembered of it goes."""
        self._opened.pop(entry_id, None)

    def _signed(self, row: OutboxRow) -> Submission:
        known = self._opened.get(row.id)
        if known and (known.note, known.verifier) == (row.note, self._verifier(known.submission)):
            return known.submission
        submission = open_submission(row.note.encode(), self._register.verifiers)
        self._opened[row.id] = _Opened(row.note, self._verifier(submission), submission)
        return submission

    def _verifier(self, submission: Submission) -> VerifierKey | None:
        return self._register.verifiers.get(submission.leaf.by)


def _check_slot(leaf: Leaf, key_slot: bytes | None) -> None:
    """Wrapped keys are the ones that were signed, to the byte; where nothing is sealed or wrapped anew, none is."""
    if (expected := _slot_digests(leaf)) is None:
        if key_slot is not None:
            raise SubmissionError(why="it brings a wrapped key and seals no object")
        return
    slots = [slot for slot in _slots(key_slot) if slot is not None]
    if any(len(slot) != KEY_SLOT_SIZE for slot in slots) or [sha256_hex(slot) for slot in slots] != expected:
        raise SubmissionError(why="its wrapped key is not the one that was signed")


def _slot_digests(leaf: Leaf) -> list[object] | None:
    """Digests of the wrapped keys that an entry brings: an object's, and where it wraps one anew also a body's."""
    if leaf.object is not None:
        return [leaf.object.header_sha256]
    if leaf.type != REWRAP:
        return None
    names = ("object_header_sha256", "body_header_sha256")
    return [leaf.facts[name] for name in names if name in leaf.facts]


def _slots(key_slot: bytes | None) -> tuple[bytes | None, bytes | None]:
    """Object's and body's wrapped keys as the outbox holds them, one behind the other."""
    if key_slot is None:
        return None, None
    return key_slot[:KEY_SLOT_SIZE], key_slot[KEY_SLOT_SIZE:] or None
