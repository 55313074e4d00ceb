"""Log rule of `anchor` entries: outside evidence is named so that an outsider finds and checks it for ever."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from core.clock import parse_stamp
from vault.anchor.entry import ANCHOR
from vault.formats.entry import Leaf
from vault.formats.merkle import HASH_SIZE
from vault.log.outbox import RefusedError
from vault.log.rules import LogView, Rules
from vault.log.shape import Facts, shaped


def _root(text: str) -> str:
    raw = b64decode(text, validate=True)
    if len(raw) != HASH_SIZE or b64encode(raw).decode() != text:
        raise ValueError("it is not one SHA-256 digest")
    return text


def _stamped(text: str) -> str:
    parse_stamp(text)
    return text


class AnchorFacts(Facts):
    """`root` is spelt as in the checkpoint; `at` is the source's own clock; `sha256` is of the stored file."""

    size: Annotated[int, Field(ge=1, le=10**18)]
    root: Annotated[str, AfterValidator(_root), Field(pattern=r"^[A-Za-z0-9+/]{43}=$")]
    kind: Literal["timestamp", "cosignature", "signature"]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    at: Annotated[str, AfterValidator(_stamped)]


def register(rules: Rules) -> None:
    """Check `anchor` entries."""
    rules.on(ANCHOR, shaped(AnchorFacts))
    rules.on(ANCHOR, speaks_of_the_past)


def speaks_of_the_past(log: LogView, leaf: Leaf) -> None:
    """Evidence over a checkpoint comes after the entries that it covers: that order is the lower bound of its time."""
    if leaf.facts["size"] > log.size:
        raise RefusedError(why="its checkpoint has more entries than the log")
