"""Approvals: who signed an act with a key of their own, checked from the log and nothing else.

A personal key stands on the log in a `signer` entry, which only the command line run as root can put there; a process
in the wrong hands can therefore neither make a key nor use one. Whether an account may approve at all is said by the
packages above (vault.retention.policy), from the log as well.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.digest import sha256_hex
from core.errors import Exit
from vault.error import VaultError
from vault.formats.assertion import Assertion, PasskeyError, public_key
from vault.formats.entry import Leaf
from vault.formats.statement import APPROVALS, Statement

ED25519, WEBAUTHN = "ed25519", "webauthn"
ENROLLED, REVOKED = "enrolled", "revoked"
_ASSERTION = ("authenticator_data", "client_data", "signature")


class ApprovalError(VaultError):
    """Signatures that do not approve what was asked for."""

    code = "vault.approval"
    sentence = (
        "This is not approved ({why}). Nothing was changed; each approver signs the request with a personal key, and "
        "two approvals are those of two people."
    )
    exit_code = Exit.NO


@dataclass(frozen=True)
class PersonalKey:
    """The public half of a person's key, as its `signer` entry says it; `rp_id` only for a passkey."""

    account: str
    kind: str
    raw: bytes
    rp_id: str | None = None

    @classmethod
    def of(cls, leaf: Leaf) -> PersonalKey:
        """The key that a `signer` entry is about. Raises ApprovalError for one that no program can read."""
        facts = leaf.facts
        return cls(facts["account"], facts["kind"], unbase64(facts["key"]), facts.get("rp_id"))

    @property
    def id(self) -> str:
        """SHA-256 of the public key."""
        return sha256_hex(self.raw)

    def check_form(self) -> None:
        """Raises ApprovalError or PasskeyError for bytes that are no such key."""
        if self.kind == ED25519:
            try:
                Ed25519PublicKey.from_public_bytes(self.raw)
            except ValueError as cause:
                raise ApprovalError(why="the key is not an Ed25519 key") from cause
        else:
            public_key(self.raw)


@dataclass(frozen=True)
class Approval:
    """One person's signature under one statement; an Ed25519 `signature`, or a passkey's `assertion`."""

    account: str
    key: str
    signature: bytes | None = None
    assertion: Assertion | None = None

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Approval:
        """From an entry's facts or a file. Raises ApprovalError."""
        try:
            said = value.get("assertion")
            if set(value) != {"account", "key", "assertion" if said is not None else "signature"}:
                raise ApprovalError(why="an approval has other keys than it must have")
            if said is None:
                return cls(value["account"], value["key"], signature=unbase64(value["signature"]))
            if set(said) != set(_ASSERTION):
                raise ApprovalError(why="an assertion has other keys than it must have")
            return cls(
                value["account"],
                value["key"],
                assertion=Assertion(*(unbase64(said[name]) for name in _ASSERTION)),
            )
        except (TypeError, AttributeError) as cause:
            raise ApprovalError(why="an approval is malformed") from cause

    def facts(self) -> dict[str, Any]:
        """As it stands in an entry."""
        said: dict[str, Any] = {"account": self.account, "key": self.key}
        if self.assertion is None:
            return said | {"signature": b64encode(self.signature or b"").decode()}
        parts = {name: b64encode(getattr(self.assertion, name)).decode() for name in _ASSERTION}
        return said | {"assertion": parts}

    def check(self, key: PersonalKey, statement: Statement) -> None:
        """Raises ApprovalError or PasskeyError unless `key` signed this very statement."""
        if (key.kind == ED25519) != (self.assertion is None):
            raise ApprovalError(why="the signature is not of the key's kind")
        if self.assertion is not None:
            self.assertion.check(key.raw, key.rp_id or "", bytes.fromhex(statement.digest))
            return
        try:
            Ed25519PublicKey.from_public_bytes(key.raw).verify(self.signature or b"", statement.message())
        except (InvalidSignature, ValueError) as cause:
            raise ApprovalError(why=f"the signature of {self.account} is false") from cause


def sign(statement: Statement, account: str, key: Ed25519PrivateKey) -> Approval:
    """The approval of whoever holds the key."""
    raw = key.public_key().public_bytes_raw()
    return Approval(account, sha256_hex(raw), signature=key.sign(statement.message()))


def approvals_of(leaf: Leaf) -> tuple[Approval, ...]:
    """The approvals that an entry carries. Raises ApprovalError."""
    said = leaf.facts.get(APPROVALS, [])
    if not isinstance(said, list):
        raise ApprovalError(why="its approvals are not a list")
    return tuple(Approval.parse(each) for each in said)


def check_approvals(
    statement: Statement,
    approvals: tuple[Approval, ...],
    keys: Mapping[str, Mapping[str, PersonalKey]],
    least: int,
) -> None:
    """Every approval holds, and they are those of at least `least` different people with different keys.

    `keys` are the unrevoked keys of each account that may approve. Raises ApprovalError or PasskeyError.
    """
    for approval in approvals:
        key = keys.get(approval.account, {}).get(approval.key)
        if key is None:
            raise ApprovalError(why=f"{approval.account} has no such key in force, or may not approve")
        approval.check(key, statement)
    people = {approval.account for approval in approvals}
    if len(people) != len(approvals) or len({approval.key for approval in approvals}) != len(approvals):
        raise ApprovalError(why="one person, or one key, signed twice")
    if len(people) < least:
        raise ApprovalError(why=f"it has {len(people)} of {least} approvals")


def unbase64(text: object) -> bytes:
    """Canonical base64. Raises ApprovalError."""
    try:
        raw = b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError as cause:
        raise ApprovalError(why="base64 that is not base64") from cause
    if not raw or b64encode(raw).decode() != text:
        raise ApprovalError(why="base64 that is not base64")
    return raw


__all__ = [
    "ED25519", "ENROLLED", "REVOKED", "WEBAUTHN", "Approval", "ApprovalError", "PasskeyError", "PersonalKey",
    "approvals_of", "check_approvals", "sign", "unbase64",
]  # fmt: skip
