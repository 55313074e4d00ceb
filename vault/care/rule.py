"""What the log itself holds the care of sealed things to; vaultd runs these before it takes an entry."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vault.formats.entry import Leaf
from vault.log.outbox import RefusedError
from vault.log.rules import INGEST, LogView, Rules
from vault.log.shape import Facts, shaped

_Count = Annotated[int, Field(ge=0)]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Root = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")]
_File = Annotated[str, Field(pattern=r"^(objects|packs|log/tile|keys/slots)/[A-Za-z0-9./]{1,96}$")]
Fault = Literal["damaged", "missing", "unreadable"]


class VerifyFacts(Facts):
    """Objects were read back. `bytes` were read for them; a failure has an entry of its own and says what it is."""

    result: Literal["proven", "failed"]
    bytes: _Count
    fault: Fault | None = None


class RepairFacts(Facts):
    """A file of the vault was put right from a copy whose checkpoint had `copy_size` entries.

    `sha256` is of the file as it is now; `entries` are those whose slots or records were put right.
    """

    file: _File
    fault: Fault
    sha256: _Digest
    copy_size: _Count
    entries: list[_Count] | None = None


class DrillFacts(Facts):
    """A copy was restored to a scratch directory and verified; `sha256` is of the signed report."""

    sha256: _Digest
    size: _Count
    root: _Root
    ok: bool
    failures: _Count
    recordings: _Count
    opened: _Count


def register(rules: Rules) -> None:
    """Register the rules of scrubbing, repair and drills."""
    rules.on("verify", shaped(VerifyFacts))
    rules.on("verify", verify_is_about_recordings)
    rules.on("repair", shaped(RepairFacts))
    rules.on("repair", _about_one_recording_at_most)
    rules.on("drill", shaped(DrillFacts))


def verify_is_about_recordings(log: LogView, leaf: Leaf) -> None:
    """Only what is on the log was proven; a failure names one recording and its fault."""
    failed = leaf.facts["result"] == "failed"
    if failed != ("fault" in leaf.facts) or (failed and len(leaf.about) != 1) or not leaf.about:
        raise RefusedError(why="a failure names one recording and its fault, a proof names no fault")
    for subject in leaf.about:
        if (place := log.find(subject)) is None or (failed and log.leaf(place).type != INGEST):
            raise RefusedError(why=f"{subject} is no recording on this log")


def _about_one_recording_at_most(log: LogView, leaf: Leaf) -> None:
    is_object = str(leaf.facts["file"]).startswith("objects/")
    if is_object != bool(leaf.about) or len(leaf.about) > 1:
        raise RefusedError(why="the repair of an object names its recording, and no other repair names one")
    if is_object and log.find(leaf.about[0]) is None:
        raise RefusedError(why=f"{leaf.about[0]} is no recording on this log")
