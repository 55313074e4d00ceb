"""What the log lets on of opening and erasing, whoever signed it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.canonical import Json
from core.clock import new_id, stamp
from ingest.erase_rule import register
from vault.formats.entry import Leaf, ObjectCommitment
from vault.log.outbox import RefusedError
from vault.log.rules import Rules

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
SEALED = ObjectCommitment("0" * 64, 100, "1" * 64, 116, "A-2026-11", "2" * 64)
OPENED: Json = {"sha256": "0" * 64, "size": 100, "second_copy": False}


@dataclass
class Log:
    """A log in memory."""

    leaves: list[Leaf] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.leaves)

    def leaf(self, index: int) -> Leaf:
        return self.leaves[index]

    def find(self, entry_id: str) -> int | None:
        return next((place for place, leaf in enumerate(self.leaves) if leaf.id == entry_id), None)

    def about(self, subject_id: str, *types: str) -> list[int]:
        return [
            place
            for place, leaf in enumerate(self.leaves)
            if (subject_id in leaf.about or leaf.id == subject_id) and (not types or leaf.type in types)
        ]

    def add(self, entry_type: str, facts: Json, *about: str, **more: Any) -> str:
        """Put an entry on without asking the rules."""
        self.leaves.append(entry(entry_type, facts, *about, **more))
        return self.leaves[-1].id

    def offer(self, entry_type: str, facts: Json, *about: str) -> None:
        """Raises RefusedError as vaultd would."""
        rules = Rules()
        register(rules)
        rules.check(self, entry(entry_type, facts, *about))


def entry(
    entry_type: str, facts: Json, *about: str, at: datetime = NOW, sealed: bool = False, entry_id: str = ""
) -> Leaf:
    by = {"open": "worker", "hold": "console", "genesis": "vaultd"}.get(entry_type, "dockd")
    content = SEALED if sealed else None
    return Leaf(entry_id or new_id(), entry_type, stamp(at), by, about=about, facts=facts, object=content)


@dataclass
class Case:
    log: Log
    session: str
    recording: str

    def allow(self, **more: object) -> Json:
        facts: Json = {"stage": "allowed", "session": self.session, "grace_days": 0, "replicated": False}
        return facts | more


@pytest.fixture
def case() -> Case:
    """A recording that was sealed a day ago and opened since, and its session."""
    log, session = Log(), new_id()
    before = NOW - timedelta(days=1)
    log.add("genesis", {"vault": new_id()}, at=before)
    recording = log.add("ingest", {"session": session, "origin": "dock"}, session, at=before, sealed=True)
    log.add("session", {"session": session, "outcome": "complete"}, recording, entry_id=session, at=before)
    log.add("open", OPENED, recording)
    return Case(log, session, recording)


def test_what_was_opened_and_is_kept_by_nothing_may_be_erased(case: Case) -> None:
    case.log.offer("erase", case.allow(), case.session, case.recording)
    case.log.offer("erase", case.allow(grace_days=1, witnessed=7), case.session, case.recording)


def test_a_warrant_names_its_session_first_and_recordings_only(case: Case) -> None:
    for about in ((), (case.recording,), (case.session, new_id()), (case.recording, case.session)):
        with pytest.raises(RefusedError):
            case.log.offer("erase", case.allow(), *about)


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("hold", {"review_on": "2027-01-01"}),
        ("dispose", {}),
    ],
)
def test_what_is_held_or_disposed_of_stays(case: Case, kind: str, facts: Json) -> None:
    hold = case.log.add(kind, facts, case.recording)
    with pytest.raises(RefusedError, match="held, or was disposed"):
        case.log.offer("erase", case.allow(), case.session, case.recording)
    if kind == "hold":
        case.log.add("release", {"hold": hold}, case.recording)
        case.log.offer("erase", case.allow(), case.session, case.recording)


def test_days_of_grace_that_are_stated_are_held_to(case: Case) -> None:
    with pytest.raises(RefusedError, match="days of grace"):
        case.log.offer("erase", case.allow(grace_days=2), case.session, case.recording)


def test_without_a_proof_of_the_second_copy_a_replicated_policy_permits_nothing(case: Case) -> None:
    with pytest.raises(RefusedError, match="as the policy asks"):
        case.log.offer("erase", case.allow(replicated=True), case.session, case.recording)
    case.log.add("open", OPENED | {"second_copy": True}, case.recording)
    case.log.offer("erase", case.allow(replicated=True), case.session, case.recording)


def test_what_nobody_opened_stays(case: Case) -> None:
    case.log.leaves.pop()
    with pytest.raises(RefusedError, match="was not opened"):
        case.log.offer("erase", case.allow(), case.session, case.recording)


@pytest.mark.parametrize(
    ("facts", "why"),
    [({"outcome": "partial"}, "not complete"), ({"outcome": "complete", "quarantined": "q"}, "quarantine")],
)
def test_nothing_of_a_partial_or_quarantined_session_goes(case: Case, facts: Json, why: str) -> None:
    case.log.leaves[2] = entry("session", facts | {"session": case.session}, entry_id=case.session)
    with pytest.raises(RefusedError, match=why):
        case.log.offer("erase", case.allow(), case.session, case.recording)


def test_what_was_sealed_in_quarantine_does_not_go_at_a_later_docking_either(case: Case) -> None:
    later = case.log.add("session", {"outcome": "complete"})
    case.log.leaves[2] = entry("session", {"outcome": "complete", "quarantined": "q"}, entry_id=case.session)
    with pytest.raises(RefusedError, match="quarantine"):
        case.log.offer("erase", case.allow(session=later), later, case.recording)


def test_a_damaged_recording_is_neither_opened_nor_erased(case: Case) -> None:
    facts = {"session": case.session, "damaged": [[0, 10]]}
    damaged = case.log.add("ingest", facts, case.session, sealed=True)
    for kind, said, about in (("open", OPENED, (damaged,)), ("erase", case.allow(), (case.session, damaged))):
        with pytest.raises(RefusedError, match="no whole recording"):
            case.log.offer(kind, said, *about)


def test_opening_says_the_digest_of_the_receipt_and_nothing_else(case: Case) -> None:
    case.log.offer("open", OPENED, case.recording)
    for facts, about in (
        (OPENED | {"sha256": "f" * 64}, (case.recording,)),
        (OPENED | {"size": 99}, (case.recording,)),
        (OPENED, ()),
        (OPENED | {"path": "x"}, (case.recording,)),
    ):
        with pytest.raises(RefusedError):
            case.log.offer("open", facts, *about)


def test_erased_is_said_only_of_what_a_warrant_names(case: Case) -> None:
    warrant = case.log.add("erase", case.allow(), case.session, case.recording)
    facts: Json = {
        "stage": "erased", "session": case.session, "warrant": warrant, "result": "verified_gone", "bytes": 100,
    }  # fmt: skip
    case.log.offer("erase", facts, case.session, case.recording)
    other = case.log.add("ingest", {"session": case.session}, case.session, sealed=True)
    for said, about in (
        (facts, (case.session, other)),
        (facts, (case.session,)),
        (facts | {"warrant": case.recording}, (case.session, case.recording)),
        (facts | {"result": "formatted"}, (case.session, case.recording)),
        ({"stage": "formatted"}, (case.session,)),
    ):
        with pytest.raises(RefusedError):
            case.log.offer("erase", said, *about)


def test_the_end_says_how_much_was_written(case: Case) -> None:
    facts: Json = {"stage": "ended", "session": case.session, "erased": 1, "bytes": 100, "kept": 0}
    case.log.offer("erase", facts, case.session)
    case.log.offer("erase", facts | {"sectors_written": 24}, case.session)
    with pytest.raises(RefusedError):
        case.log.offer("erase", facts | {"sectors_written": -1}, case.session)


def test_a_recording_is_erased_once(case: Case) -> None:
    warrant = case.log.add("erase", case.allow(), case.session, case.recording)
    facts: Json = {
        "stage": "erased", "session": case.session, "warrant": warrant, "result": "verified_gone", "bytes": 100,
    }  # fmt: skip
    case.log.add("erase", facts, case.session, case.recording)
    with pytest.raises(RefusedError, match="erased already"):
        case.log.offer("erase", facts, case.session, case.recording)
