"""What the log holds erasing to; vaultd runs these before it takes an entry, and the eraser acts on nothing else.

An `open` entry is the worker's: one recording was decrypted in full, outside the dock, to the digest of its receipt. An
`erase` entry is the dock's, in three stages:
  allowed   before: these recordings may be erased from the recorder of this session
  erased    after each file: verified gone, or not found when its recorder came back
  ended     once for a session: how many went and stayed, and how much was written to the medium
Rules of `allowed`; code is labelled with the numbers.
  1. The session is on the log, complete, and not in quarantine.
  2. Each subject is a whole recording, of a session that ended outside quarantine.
  3. It was opened to its own digest, and, where copies are asked for, from a state of which a second copy was proven.
  4. Nothing holds it, and it was not disposed of.
  5. Its days of grace are over, clocks that were set considered.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from core.clock import parse_stamp
from ingest.erase_evidence import ALLOWED, ERASE
from vault.formats.entry import Leaf
from vault.log.outbox import RefusedError
from vault.log.rules import LogView, Rules
from vault.log.shape import Facts, Id, shaped
from vault.retention.chronicle import Chronicle
from vault.retention.policy import Policy

OPEN = "open"
ERASED, ENDED = "erased", "ended"
_Count = Annotated[int, Field(ge=0)]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class OpenFacts(Facts):
    """A recording was decrypted in full. `second_copy`: its stored bytes and its key were proven in the copy too."""

    sha256: _Digest
    size: _Count
    second_copy: bool


class AllowedFacts(Facts):
    """`witnessed` is the size of a checkpoint that somebody outside vouched for and that covers every subject."""

    stage: Literal["allowed"]
    session: Id
    grace_days: _Count
    replicated: bool
    witnessed: _Count | None = None


class ErasedFacts(Facts):
    """`not_found`: a cut kept the dock from seeing it go, and it was not there when the recorder came back."""

    stage: Literal["erased"]
    session: Id
    warrant: Id
    result: Literal["verified_gone", "not_found"]
    bytes: _Count


class EndedFacts(Facts):
    """What was done to the medium; `sectors_written` of 512 bytes, left out where the kernel did not say."""

    stage: Literal["ended"]
    session: Id
    erased: _Count
    bytes: _Count
    kept: _Count
    sectors_written: _Count | None = None


_STAGES: dict[str, type[Facts]] = {ALLOWED: AllowedFacts, ERASED: ErasedFacts, ENDED: EndedFacts}


def register(rules: Rules) -> None:
    """Register the rules of opening and erasing."""
    rules.on(OPEN, shaped(OpenFacts))
    rules.on(OPEN, _opens_one_recording)
    rules.on(ERASE, _has_a_stage)
    rules.on(ERASE, _may_be_erased)


def _has_a_stage(log: LogView, leaf: Leaf) -> None:
    facts = _STAGES.get(str(leaf.facts.get("stage")))
    if facts is None:
        raise RefusedError(why="an erase entry is of the stage allowed, erased or ended")
    shaped(facts)(log, leaf)


def _opens_one_recording(log: LogView, leaf: Leaf) -> None:
    sealed = _recording(log, leaf.about[0]).object if len(leaf.about) == 1 else None
    if sealed is None or (sealed.sha256, sealed.size) != (leaf.facts["sha256"], leaf.facts["size"]):
        raise RefusedError(why="it names one recording, by the digest and size of its receipt")


def _may_be_erased(log: LogView, leaf: Leaf) -> None:
    session = leaf.facts["session"]
    if not leaf.about or leaf.about[0] != session:
        raise RefusedError(why="an erase entry names its session first")
    {ALLOWED: _allowed, ERASED: _erased, ENDED: _ended}[leaf.facts["stage"]](log, leaf)


def _allowed(log: LogView, leaf: Leaf) -> None:
    session = _ended_session(log, leaf.facts["session"])
    if session.facts.get("outcome") != "complete":  # 1
        raise RefusedError(why="the session is not complete")
    chronicle = Chronicle(log, Policy())
    for recording in leaf.about[1:]:
        sealed = _recording(log, recording)  # 2
        _ended_session(log, sealed.facts["session"])
        _check_opened(log, sealed, is_copied=leaf.facts["replicated"])  # 3
        standing = chronicle.standing(recording)
        if standing.holds or standing.dispose:  # 4
            raise RefusedError(why=f"{recording} is held, or was disposed of")
        if parse_stamp(leaf.time) < standing.started_at + timedelta(days=leaf.facts["grace_days"]):  # 5
            raise RefusedError(why=f"the days of grace of {recording} are not over")


def _erased(log: LogView, leaf: Leaf) -> None:
    """Once, and only under a warrant that names it."""
    place = log.find(leaf.facts["warrant"])
    warrant = log.leaf(place) if place is not None else None
    if warrant is None or warrant.type != ERASE or warrant.facts.get("stage") != ALLOWED:
        raise RefusedError(why="its warrant is not on the log")
    if len(leaf.about) != 2 or leaf.about[1] not in warrant.about[1:]:  # noqa: PLR2004  # session and recording
        raise RefusedError(why="it names one recording of its warrant")
    if any(log.leaf(at).facts["stage"] == ERASED for at in log.about(leaf.about[1], ERASE)):
        raise RefusedError(why=f"{leaf.about[1]} was erased already")


def _ended(log: LogView, leaf: Leaf) -> None:
    _ended_session(log, leaf.facts["session"])
    if len(leaf.about) != 1:
        raise RefusedError(why="the end of an erasing names its session alone")


def _ended_session(log: LogView, session: str) -> Leaf:
    place = log.find(session)
    leaf = log.leaf(place) if place is not None else None
    if leaf is None or leaf.type != "session":
        raise RefusedError(why=f"the session {session} has not ended on this log")
    if leaf.facts.get("quarantined"):
        raise RefusedError(why=f"the session {session} is in quarantine")
    return leaf


def _recording(log: LogView, recording: str) -> Leaf:
    place = log.find(recording)
    leaf = log.leaf(place) if place is not None else None
    if leaf is None or leaf.object is None or leaf.facts.get("damaged"):
        raise RefusedError(why=f"{recording} is no whole recording on this log")
    return leaf


def _check_opened(log: LogView, sealed: Leaf, *, is_copied: bool) -> None:
    opened = [log.leaf(place) for place in log.about(sealed.id, OPEN)]
    if not any(one.facts["second_copy"] or not is_copied for one in opened):
        raise RefusedError(why=f"{sealed.id} was not opened as the policy asks")
