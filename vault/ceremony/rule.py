"""What entries about keys say: `root`, `compromise` and `ceremony`, each in one strict shape.

They are made by `sealdock key` with the log's key in hand while vaultd stands still, and carry vaultd's name; nobody
submits them through the outbox.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from core.clock import parse_stamp
from vault.formats.entry import Leaf, is_stamp
from vault.log import bucket_rule
from vault.log import rules as log_rules
from vault.log.outbox import RefusedError
from vault.log.rules import LogView, Rules
from vault.log.shape import Facts, shaped

ROOT, COMPROMISE, CEREMONY = "root", "compromise", "ceremony"
_BY = "vaultd"
Recipient = Annotated[str, Field(pattern=r"^age1[02-9ac-hj-np-z]{58}$")]


class RootFacts(Facts):
    """Whom every bucket is wrapped to from here on; spelled as in the genesis entry."""

    root: Recipient
    recovery: Recipient | Annotated[list[Recipient], Field(min_length=2, max_length=16)]


class CompromiseFacts(Facts):
    """From `since` on nothing is believed because this key says so; `vkey` is a recipient for root and recovery."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9/_-]{0,63}$")]
    vkey: Annotated[str, Field(min_length=1, max_length=256)]
    since: str

    @field_validator("since")
    @classmethod
    def _is_stamp(cls, value: str) -> str:
        if not is_stamp(value):
            raise ValueError("a time is UTC with microseconds")
        return value


class CeremonyFacts(Facts):
    """What kind of ceremony it was; who was there is in the body."""

    kind: Annotated[str, Field(pattern=r"^[a-z][a-z-]{0,31}$")]


def register(rules: Rules) -> None:
    """Register the rules of these types."""
    for entry_type, facts in ((ROOT, RootFacts), (COMPROMISE, CompromiseFacts), (CEREMONY, CeremonyFacts)):
        rules.on(entry_type, shaped(facts))
        rules.on(entry_type, only_vaultd)
    rules.on(COMPROMISE, not_from_the_future)


def ceremony_rules() -> Rules:
    """All rules that an entry made at a ceremony has to pass."""
    rules = Rules()
    for registering in (log_rules.register, bucket_rule.register, register):
        registering(rules)
    return rules


def only_vaultd(_log: LogView, leaf: Leaf) -> None:
    """These entries are made beside the log's key."""
    if leaf.by != _BY:
        raise RefusedError(why="only the log's own key speaks of keys")


def not_from_the_future(_log: LogView, leaf: Leaf) -> None:
    """A key is compromised since some time before the entry."""
    if parse_stamp(leaf.facts["since"]) > parse_stamp(leaf.time):
        raise RefusedError(why="a key cannot be compromised from a later time on")
