"""What the log itself holds the dock and the worker to; vaultd runs these before it takes an entry."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from devices.recorder import Medium
from ingest import erase_rule
from ingest.circumstance import Origin
from ingest.damage import RANGES_LIMIT
from vault.log.rules import Rules
from vault.log.shape import Facts, Id, shaped

_Count = Annotated[int, Field(ge=0)]
_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9.]{0,31}$")]
_Range = Annotated[list[_Count], Field(min_length=2, max_length=2)]  # [start, end) in bytes of the plaintext
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class IngestFacts(Facts):
    """A recording was sealed."""

    origin: Origin
    media: Medium
    session: Id
    damaged: Annotated[list[_Range], Field(min_length=1, max_length=RANGES_LIMIT + 1)] | None = None

    @model_validator(mode="after")
    def _ranges_are_apart(self) -> Self:
        places = [place for one in self.damaged or () for place in one]
        if any(low >= high for low, high in pairwise(places)):
            raise ValueError("damaged ranges are [start, end) in order and apart")
        return self


class StatementCounts(Facts):
    """How much an omission statement says; what it says is private."""

    listed: _Count
    omitted: _Count
    damaged: _Count
    number_gaps: _Count
    time_gaps: _Count
    pages: _Count


class StatementFacts(Facts):
    """One page of the omission statement of a session."""

    session: Id
    page: Annotated[int, Field(ge=1)]
    pages: Annotated[int, Field(ge=1)]


class SessionFacts(Facts):
    """A docking session ended."""

    session: Id
    files: _Count
    bytes: _Count
    outcome: Literal["complete", "partial"]
    quarantined: Id | None = None  # the claim that the recorder was taken under (casework.log_rule)
    statement: StatementCounts | None = None  # sessions of earlier versions had none


class Rendition(Facts):
    """One derivative, by the digest of its plaintext."""

    rendition: _Name
    sha256: _Digest
    size: _Count


class DeriveFacts(Facts):
    """The worker made derivatives of a recording."""

    parent: Id
    renditions: Annotated[list[Rendition], Field(min_length=1, max_length=16)]


def register(rules: Rules) -> None:
    """Register the rules of what comes in."""
    rules.on("ingest", shaped(IngestFacts))
    rules.on("session", shaped(SessionFacts))
    rules.on("statement", shaped(StatementFacts))
    rules.on("derive", shaped(DeriveFacts))
    erase_rule.register(rules)
