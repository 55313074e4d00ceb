"""What the log itself holds the dock and the worker to; vaultd runs these before it takes an entry."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from devices.recorder import Medium
from ingest.docking import Origin
from vault.log.rules import Rules
from vault.log.shape import Facts, Id, shaped

_Count = Annotated[int, Field(ge=0)]
_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9.]{0,31}$")]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class IngestFacts(Facts):
    """A recording was sealed."""

    origin: Origin
    media: Medium
    session: Id


class SessionFacts(Facts):
    """A docking session ended."""

    session: Id
    files: _Count
    bytes: _Count
    outcome: Literal["complete", "partial"]


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
    rules.on("derive", shaped(DeriveFacts))
