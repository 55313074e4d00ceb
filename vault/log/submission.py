"""Submissions: an entry as the process that asks for it signs it, before vaultd gives it a place on the log.

The text of the signed note is the entry's canonical JSON with two differences: of the body it names only the
plaintext's digest and the bucket (vaultd encrypts the body and adds the rest), and it ends in a newline. Whoever owns
the database can therefore lose a submission or repeat one (vaultd takes each id once) and cannot make or alter one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from secrets import token_hex
from typing import Any

from core.canonical import CanonicalError, Json, decode, encode
from core.clock import new_id, stamp, utc_now
from core.digest import sha256_hex
from vault.error import VaultError
from vault.formats.entry import BodyCommitment, Leaf, ObjectCommitment, check_bucket
from vault.formats.note import Note, SigningKey, VerifierKey, open_note, sign_note
from vault.store.deposit import Deposit
from vault.store.keys import check_body_size

FACTS_BUCKET = "facts"  # people and case facts: the disposal of recordings never touches it
SALT_BYTES = 32  # 256 bits: nobody can guess a body from its digest
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class SubmissionError(VaultError):
    """A signed text that is not a submission."""

    code = "vault.submission"
    sentence = "This submission cannot be an entry ({why}). It was not put on the log."


@dataclass(frozen=True)
class Draft:
    """What a domain operation wants on the log.

    `facts` are public for ever and name no person; `body` is encrypted to `body_bucket` (left out: the deposit's
    bucket, or "facts"). An entry with a `deposit` has the deposit's id.
    """

    type: str
    actor: str | None = None
    about: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    body_bucket: str | None = None
    deposit: Deposit | None = None
    id: str | None = None
    time: datetime | None = None


@dataclass(frozen=True)
class BodyPlan:
    """The promise about a body that is not encrypted yet. Raises SubmissionError or EntryError."""

    sha256: str
    bucket: str

    def __post_init__(self) -> None:
        if not isinstance(self.sha256, str) or not _SHA256.match(self.sha256):
            raise SubmissionError(why="its body's digest is not 64 lower-case hexadecimal digits")
        check_bucket(self.bucket)


@dataclass(frozen=True)
class Submission:
    """A draft made exact: the leaf without its body's commitment, and the body's promise."""

    leaf: Leaf
    body: BodyPlan | None = None

    def text(self) -> str:
        """What the submitting process signs."""
        value = decode(self.leaf.canonical())
        if self.body is not None:
            value["body"] = vars(self.body)
        return encode(value).decode() + "\n"

    def signed(self, key: SigningKey) -> bytes:
        """The signed note for the outbox."""
        return sign_note(self.text(), key)

    def is_entry(self, leaf: Leaf) -> bool:
        """Whether `leaf`, as it stands on the log, is what this submission asked for."""
        told = None if leaf.body is None else BodyPlan(leaf.body.sha256, leaf.body.bucket)
        return self.leaf == replace(leaf, body=None) and self.body == told

    def sealed_with(self, body: BodyCommitment | None) -> Leaf:
        """The entry as it goes on the log."""
        return replace(self.leaf, body=body)


def exact(draft: Draft, by: str) -> tuple[Submission, Json | None]:
    """The submission of a draft and the salted body to keep beside it.

    Raises EntryError for facts that no log can hold, BodyLimitError for a body that no pack should.
    """
    deposit = draft.deposit
    leaf = Leaf(
        id=draft.id or (deposit.id if deposit else new_id()),
        type=draft.type,
        time=stamp(draft.time or utc_now()),
        by=by,
        actor=draft.actor,
        about=tuple(draft.about),
        facts=dict(draft.facts),
        object=_commitment(deposit) if deposit else None,
    )
    if deposit is not None and leaf.id != deposit.id:
        raise SubmissionError(why="an entry that seals an object has the object's id")
    if draft.body is None:
        return Submission(leaf), None
    salted = {"salt": token_hex(SALT_BYTES), "fields": dict(draft.body)}
    bucket = draft.body_bucket or (deposit.bucket if deposit else FACTS_BUCKET)
    plain = encode(salted)
    check_body_size(len(plain))
    return Submission(leaf, BodyPlan(sha256_hex(plain), bucket)), salted


def open_submission(note: bytes, verifiers: Mapping[str, VerifierKey]) -> Submission:
    """The submission in a signed note, once the registered key that it names as `by` is found to have signed it.

    Raises VaultError for anything else.
    """
    submission = read_submission(note)
    signer = verifiers.get(submission.leaf.by)
    if signer is None:
        raise SubmissionError(why=f"no key is registered for {submission.leaf.by}")
    open_note(note, [signer])
    return submission


def read_submission(note: bytes) -> Submission:
    """What a note says, whoever signed it. Raises VaultError for what is no submission."""
    try:
        value = decode(Note.parse(note).text.removesuffix("\n").encode())
        body = value.pop("body", None)
        plan = None if body is None else BodyPlan(**body)
        return Submission(Leaf.parse(encode(value)), plan)
    except (CanonicalError, TypeError) as cause:
        raise SubmissionError(why=str(cause)) from cause


def _commitment(deposit: Deposit) -> ObjectCommitment:
    return ObjectCommitment(
        sha256=deposit.sha256, size=deposit.size, stored_sha256=deposit.stored_sha256,
        stored_size=deposit.stored_size, bucket=deposit.bucket, header_sha256=deposit.header_sha256,
    )  # fmt: skip
