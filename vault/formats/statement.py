"""What a person approves: the exact act as canonical JSON, and the digest that the person compares.

The text is a domain prefix and the RFC 8785 form of {"about", "facts", "type", "vault"}: the facts of the entry without
its approvals. One act has one text, so two people who compare the digest approve the same act; the prefix keeps a
signature from meaning anything elsewhere, the vault's id keeps it out of any other vault. No id or time of the entry is
in it: an act that was done cannot be done again, because every rule refuses the second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.canonical import CanonicalError, decode, encode
from core.digest import sha256_hex
from core.errors import Exit
from vault.error import VaultError
from vault.formats.entry import Leaf, is_ulid

PREFIX = b"sealdock-approval/v1\n"
APPROVALS = "approvals"  # the one fact that is not approved, because it is the approving
_KEYS = {"about", "facts", "type", "vault"}


class StatementError(VaultError):
    """A file that does not say what is to be approved."""

    code = "vault.statement"
    sentence = (
        "This is not a request for approval ({why}). Nothing was signed or changed; "
        "have the request made again and compare its digest."
    )
    exit_code = Exit.WRONG_USE


@dataclass(frozen=True)
class Statement:
    """One act that people approve; equal statements have equal digests."""

    type: str
    about: tuple[str, ...]
    facts: Mapping[str, Any]
    vault: str

    @classmethod
    def of(cls, leaf: Leaf, vault: str) -> Statement:
        """What the approvals of an entry must be about."""
        return cls(leaf.type, leaf.about, without_approvals(leaf.facts), vault)

    @classmethod
    def parse(cls, raw: bytes) -> Statement:
        """Read a request file, as `raw` gives it. Raises StatementError."""
        try:
            value = decode(raw.removesuffix(b"\n"))
        except CanonicalError as cause:
            raise StatementError(why=str(cause.parameters["why"])) from cause
        if set(value) != _KEYS or not isinstance(value["facts"], dict) or APPROVALS in value["facts"]:
            raise StatementError(why="it has other keys than it must have")
        about = value["about"]
        if not isinstance(about, list) or not all(map(is_ulid, [*about, value["vault"]])):
            raise StatementError(why="its subjects are not ULIDs")
        if not isinstance(value["type"], str):
            raise StatementError(why="its type is not text")
        return cls(value["type"], tuple(about), value["facts"], value["vault"])

    def raw(self) -> bytes:
        """The request file: canonical JSON. Raises CanonicalError."""
        return encode(
            {"type": self.type, "about": list(self.about), "facts": dict(self.facts), "vault": self.vault}
        )

    def message(self) -> bytes:
        """The bytes that an Ed25519 key signs."""
        return PREFIX + self.raw()

    @property
    def digest(self) -> str:
        """SHA-256 of the message, in hexadecimal; a passkey's challenge is its 32 bytes."""
        return sha256_hex(self.message())


def without_approvals(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that are approved."""
    return {name: value for name, value in facts.items() if name != APPROVALS}
