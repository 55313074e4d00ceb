"""What the log itself holds casework to, whatever a database says; vaultd runs these before it takes an entry.

Rules read the new entry and the entries before it, never a table. Numbers and names are private and cannot be
checked here; the decide functions of this package check them before they submit.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from casework.access.permission import Permission, Role
from casework.cases.case import Stage
from casework.equipment.claim import ClaimFacts
from casework.evidence.exhibit import LinkAction
from casework.evidence.quarantine import QuarantineFacts
from casework.evidence.viewing import PurposeCode, Rendition
from vault.formats.entry import Leaf
from vault.log.outbox import RefusedError
from vault.log.rules import LogView, Rules
from vault.log.shape import Facts, Id, shaped


class CaseFacts(Facts):
    """A case was opened or changed."""

    event: Literal["opened", "changed"]
    case: Id


class LinkFacts(Facts):
    """A recording became an exhibit of a case, or ceased to be one."""

    recording: Id
    case: Id
    action: Literal["link", "unlink"]
    stage: Stage


class ViewFacts(Facts):
    """Somebody looked."""

    purpose_code: PurposeCode
    rendition: Rendition


class DeniedFacts(Facts):
    """Somebody tried what was not allowed."""

    permission: Permission
    count: Annotated[int, Field(ge=1)]


class ExportFacts(Facts):
    """A package leaves the house."""

    package: Id
    case: Id
    recordings: Annotated[int, Field(ge=1)]


class AccountFacts(Facts):
    """An account was made, given roles, disabled, or freed of its second factor."""

    event: Literal["created", "granted", "disabled", "factor_reset"]
    account: Id
    roles: list[Role]


class UnitFacts(Facts):
    """A unit was entered in the register or corrected."""

    event: Literal["registered", "changed"]
    unit: Id


class OfficerFacts(Facts):
    """An officer was entered in the register or corrected, or given or relieved of a badge or PIN."""

    event: Literal["registered", "changed", "badge_given", "badge_taken", "pin_given", "pin_taken"]
    officer: Id


class RecorderFacts(Facts):
    """A recorder was entered in the register or corrected, or something befell it."""

    event: Literal[
        "registered", "changed", "send_to_repair", "mend", "report_lost", "find", "retire", "reinstate"
    ]
    recorder: Id


class IssueFacts(Facts):
    """A recorder was handed to an officer, or came back by hand. To whom and what for is private."""

    recorder: Id
    action: Literal["out", "back"]


SHAPES: dict[str, type[Facts]] = {
    "unit": UnitFacts,
    "officer": OfficerFacts,
    "recorder": RecorderFacts,
    "issue": IssueFacts,
    "claim": ClaimFacts,
    "quarantine": QuarantineFacts,
    "account": AccountFacts,
    "case": CaseFacts,
    "link": LinkFacts,
    "view": ViewFacts,
    "denied": DeniedFacts,
    "export": ExportFacts,
}


def register(rules: Rules) -> None:
    """Register casework's log rules."""
    for entry_type, facts in SHAPES.items():
        rules.on(entry_type, shaped(facts))
    rules.on("link", _case_was_opened)
    rules.on("export", _case_was_opened)
    rules.on("export", _names_every_recording)
    rules.on("link", _names_both)
    rules.on("account", _names_its_account)
    rules.on("issue", _recorder_was_registered)
    rules.on("session", _duty_was_claimed)
    rules.on("quarantine", _was_quarantined)
    for entry_type in ("link", "export"):
        rules.on(entry_type, _is_not_disposed_of)


def _case_was_opened(log: LogView, leaf: Leaf) -> None:
    case_id = leaf.facts["case"]
    if not any(log.leaf(index).type == "case" for index in log.about(case_id)[:1]):
        raise RefusedError(why=f"no case {case_id} was ever opened")


def _names_every_recording(_log: LogView, leaf: Leaf) -> None:
    named = set(leaf.about) - {leaf.facts["case"]}
    if leaf.facts["case"] not in leaf.about or len(named) != leaf.facts["recordings"]:
        raise RefusedError(why="it does not name its case and each of its recordings")


def _names_both(_log: LogView, leaf: Leaf) -> None:
    """Or whoever asks the log what was ever evidence (casework.keeping.retention) would not find it."""
    if not {leaf.facts["recording"], leaf.facts["case"]} <= set(leaf.about):
        raise RefusedError(why="it does not name its recording and its case")


def _names_its_account(_log: LogView, leaf: Leaf) -> None:
    """Or a role taken away, or given, would be hidden from whoever asks who may approve."""
    if leaf.facts["account"] not in leaf.about:
        raise RefusedError(why="it does not name its account")


def _recorder_was_registered(log: LogView, leaf: Leaf) -> None:
    """Or the ledger would speak of a recorder that nobody answers for, or hide a line from who asks about one."""
    recorder_id = leaf.facts["recorder"]
    if recorder_id not in leaf.about:
        raise RefusedError(why="it does not name its recorder")
    if not log.about(recorder_id, "recorder"):
        raise RefusedError(why=f"no recorder {recorder_id} was ever registered")


def _duty_was_claimed(log: LogView, leaf: Leaf) -> None:
    """Or a database alone could take in a recorder that the register does not answer for."""
    claim = leaf.facts.get("quarantined")
    if claim is None:
        return
    index = log.find(claim)
    found = log.leaf(index) if index is not None else None
    if found is None or found.type != "claim" or found.facts.get("kind") != "duty":
        raise RefusedError(why="nobody claimed that the quarantined recorder holds duty footage")


def _was_quarantined(log: LogView, leaf: Leaf) -> None:
    """Or a decision would be of something that nobody asked about, or be hidden from whoever asks about it."""
    session = leaf.facts["session"]
    if session not in leaf.about:
        raise RefusedError(why="it does not name its session")
    index = log.find(session)
    found = log.leaf(index) if index is not None else None
    if found is None or found.type != "session" or not found.facts.get("quarantined"):
        raise RefusedError(why=f"the session {session} is not on the log, or was not taken in quarantine")


def _is_not_disposed_of(log: LogView, leaf: Leaf) -> None:
    """What two people let go of is evidence of no case any more; it may only be taken out of one."""
    if leaf.facts.get("action") == LinkAction.UNLINK:
        return
    for subject in leaf.about:
        if log.about(subject, "dispose"):
            raise RefusedError(why=f"{subject} was disposed of")
