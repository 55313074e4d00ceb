"""Shapes of public facts: what an entry of a type must say, checked before the log takes it.

The log is for ever, so an entry that no program could read must not get onto it, whoever signed it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.canonical import encode
from vault.formats.entry import Leaf
from vault.log.outbox import RefusedError
from vault.log.rules import LogView, Rule

Id = Annotated[str, Field(pattern=r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
"""A ULID in its canonical spelling."""


class Facts(BaseModel):
    """The public facts of one type of entry; subclass it and name them. Unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def shaped(facts: type[Facts]) -> Rule:
    """The rule that an entry's facts are exactly such `facts`."""

    def check(_log: LogView, leaf: Leaf) -> None:
        try:
            facts.model_validate_json(encode(dict(leaf.facts)))  # as JSON, so that an enum may be its value
        except ValidationError as cause:
            first = cause.errors()[0]
            place = ".".join(map(str, first["loc"])) or "facts"
            raise RefusedError(
                why=f"its facts are not those of '{leaf.type}' ({place}: {first['msg']})"
            ) from cause

    return check
