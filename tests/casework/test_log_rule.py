from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from casework.log_rule import SHAPES, register
from core.clock import new_id, stamp, utc_now
from vault.formats.entry import Leaf
from vault.log.outbox import RefusedError
from vault.log.rules import Rules

CASE, RECORDING, ACCOUNT, RECORDER = new_id(), new_id(), new_id(), new_id()
SESSION, DUTY = new_id(), new_id()
GOOD = {
    "unit": {"event": "registered", "unit": new_id()},
    "officer": {"event": "changed", "officer": new_id()},
    "recorder": {"event": "registered", "recorder": new_id()},
    "claim": {"kind": "case", "session": new_id()},
    "quarantine": {"session": SESSION, "decision": "accepted"},
    "issue": {"recorder": RECORDER, "action": "out"},
    "account": {"event": "created", "account": ACCOUNT, "roles": ["custodian"]},
    "case": {"event": "opened", "case": CASE},
    "link": {"recording": RECORDING, "case": CASE, "action": "link", "stage": "evidence"},
    "view": {"purpose_code": "hearing", "rendition": "original"},
    "denied": {"permission": "recording.watch", "count": 3},
    "export": {"package": new_id(), "case": CASE, "recordings": 1},
}


@dataclass
class Log:
    """A log of a few entries."""

    leaves: list[Leaf] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.leaves)

    def leaf(self, index: int) -> Leaf:
        return self.leaves[index]

    def find(self, entry_id: str) -> int | None:
        return next((place for place, leaf in enumerate(self.leaves) if leaf.id == entry_id), None)

    def about(self, subject_id: str, *types: str) -> list[int]:
        named = [place for place, leaf in enumerate(self.leaves) if subject_id in leaf.about]
        return [place for place in named if not types or self.leaves[place].type in types]


def entry(kind: str, facts: dict[str, object], about: tuple[str, ...] = (), entry_id: str = "") -> Leaf:
    return Leaf(
        id=entry_id or new_id(), type=kind, time=stamp(utc_now()), by="console", about=about, facts=facts
    )


@pytest.fixture
def rules() -> Rules:
    made = Rules()
    register(made)
    return made


@pytest.fixture
def log() -> Log:
    return Log([
        entry("case", GOOD["case"], (CASE,)), entry("recorder", GOOD["recorder"], (RECORDER,)),
        entry("claim", {"kind": "duty", "session": SESSION}, (SESSION,), DUTY),
        entry("session", {"quarantined": DUTY}, entry_id=SESSION),
    ])  # fmt: skip


def test_every_type_is_known_here() -> None:
    assert set(GOOD) == set(SHAPES)


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_what_casework_submits_is_taken(rules: Rules, log: Log, kind: str) -> None:
    rules.check(
        log,
        entry(
            kind, GOOD[kind], (CASE, RECORDING, ACCOUNT, RECORDER, SESSION)[: 2 if kind == "export" else 5]
        ),
    )


@pytest.mark.parametrize("kind", sorted(GOOD))
@pytest.mark.parametrize("spoil", ["missing", "unknown", "of another kind"])
def test_facts_that_no_program_could_read_are_refused(rules: Rules, log: Log, kind: str, spoil: str) -> None:
    facts = dict(GOOD[kind])
    name = min(facts)
    if spoil == "missing":
        del facts[name]
    elif spoil == "unknown":
        facts["surprise"] = 1
    else:
        facts[name] = {"nested": True}
    with pytest.raises(RefusedError, match=f"'{kind}'"):
        rules.check(log, entry(kind, facts, (CASE, RECORDING)))


@pytest.mark.parametrize("kind", ["link", "export"])
def test_nothing_is_joined_to_a_case_that_was_never_opened(rules: Rules, kind: str) -> None:
    with pytest.raises(RefusedError, match="ever opened"):
        rules.check(Log(), entry(kind, GOOD[kind], (CASE, RECORDING)))


def test_an_export_names_each_of_its_recordings(rules: Rules, log: Log) -> None:
    with pytest.raises(RefusedError, match="each of its recordings"):
        rules.check(log, entry("export", {**GOOD["export"], "recordings": 2}, (CASE, RECORDING)))
    with pytest.raises(RefusedError, match="each of its recordings"):
        rules.check(log, entry("export", GOOD["export"], (RECORDING, new_id())))


@pytest.mark.parametrize("kind", ["link", "export"])
def test_what_was_disposed_of_is_evidence_of_no_case(rules: Rules, log: Log, kind: str) -> None:
    log.leaves.append(entry("dispose", {}, (RECORDING,)))
    with pytest.raises(RefusedError, match="was disposed of"):
        rules.check(log, entry(kind, GOOD[kind], (CASE, RECORDING)))


def test_what_was_disposed_of_may_be_taken_out_of_a_case(rules: Rules, log: Log) -> None:
    log.leaves.append(entry("dispose", {}, (RECORDING,)))
    rules.check(log, entry("link", {**GOOD["link"], "action": "unlink"}, (CASE, RECORDING)))


@pytest.mark.parametrize(
    ("kind", "named"), [("link", (CASE,)), ("link", (RECORDING,)), ("account", (CASE,)), ("issue", (CASE,)),
                         ("quarantine", (CASE,))],
)  # fmt: skip
def test_an_entry_hides_from_nobody_whom_it_is_about(
    rules: Rules, log: Log, kind: str, named: tuple[str, ...]
) -> None:
    """Who asks the log about a recording or an account must find everything that is said of it."""
    with pytest.raises(RefusedError, match="does not name"):
        rules.check(log, entry(kind, GOOD[kind], named))


def test_nobody_is_handed_a_recorder_that_was_never_registered(rules: Rules) -> None:
    with pytest.raises(RefusedError, match="ever registered"):
        rules.check(Log(), entry("issue", GOOD["issue"], (RECORDER,)))


@pytest.mark.parametrize("event", ["badge_given", "badge_taken", "pin_given", "pin_taken"])
def test_a_badge_or_pin_is_given_without_a_secret_on_the_log(rules: Rules, log: Log, event: str) -> None:
    facts = {"event": event, "officer": new_id()}
    rules.check(log, entry("officer", facts))
    with pytest.raises(RefusedError, match="'officer'"):
        rules.check(log, entry("officer", {**facts, "digest": "0" * 64}))


def test_a_session_in_quarantine_needs_the_claim_of_an_officer(rules: Rules, log: Log) -> None:
    """A database alone must not take in a recorder that the register does not answer for."""
    rules.check(log, entry("session", {"quarantined": DUTY}))
    rules.check(log, entry("session", {}))
    held = entry("claim", {"kind": "holder", "session": SESSION}, (SESSION,))
    log.leaves.append(held)
    for claim in (held.id, new_id(), CASE):
        with pytest.raises(RefusedError, match="nobody claimed"):
            rules.check(log, entry("session", {"quarantined": claim}))


def test_a_decision_is_only_taken_of_a_session_that_was_quarantined(rules: Rules, log: Log) -> None:
    plain = entry("session", {})
    log.leaves.append(plain)
    for session in (plain.id, new_id(), DUTY):
        with pytest.raises(RefusedError, match="not on the log, or was not taken in quarantine"):
            rules.check(log, entry("quarantine", {"session": session, "decision": "not_duty"}, (session,)))
    with pytest.raises(RefusedError, match="'quarantine'"):
        rules.check(log, entry("quarantine", {"session": SESSION, "decision": "erase"}, (SESSION,)))
