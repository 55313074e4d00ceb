from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from crash.house import House
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from keeping.people import HALF_A_YEAR, Keeping
from sqlalchemy import update

from core.clock import new_id, stamp, utc_now
from vault.formats.approval import sign
from vault.formats.statement import Statement
from vault.log.outbox import REFUSAL, OutboxRow, RowState
from vault.log.submission import Draft
from vault.retention.schedule import RetentionClass, Schedule, default_schedule
from vault.timekeeper import Jump


def days(length: int | None, version: int = 2) -> Schedule:
    """The default with another period for what is ordinary."""
    first, *others = default_schedule(utc_now() - timedelta(days=1)).classes
    return Schedule(version, utc_now(), (RetentionClass(first.name, length, first.basis), *others))


# --- disposal


def test_two_people_dispose_of_what_is_due(keeping: Keeping, two: list[str]) -> None:
    entry_id = keeping.dispose([keeping.recording(), keeping.recording(b"x")], two)
    assert keeping.why(entry_id) == ""
    assert keeping.house.row(entry_id).state == RowState.SEQUENCED


def test_what_is_refused_is_said_on_the_log(keeping: Keeping, two: list[str]) -> None:
    entry_id = keeping.dispose([keeping.recording()], two[:1])
    assert "1 of 2 approvals" in keeping.why(entry_id)
    last = keeping.house.reader.leaf(keeping.house.reader.size - 1)
    assert (last.type, last.about) == (REFUSAL, (entry_id,))


def test_a_period_that_is_not_over_keeps(keeping: Keeping, two: list[str]) -> None:
    recording = keeping.recording()
    keeping.ahead = timedelta(days=182)
    assert "is kept until" in keeping.why(keeping.dispose([recording], two))
    keeping.ahead = timedelta(days=183, minutes=1)
    assert keeping.why(keeping.dispose([recording], two)) == ""


def test_a_disposal_dated_ahead_of_the_clock_is_refused(keeping: Keeping, two: list[str]) -> None:
    recording = keeping.recording()
    facts = keeping.reasons()
    approvals = keeping.approvals("dispose", (recording,), facts, two)
    draft = Draft("dispose", about=(recording,), facts=facts | {"approvals": approvals},
                  time=keeping.now() + timedelta(minutes=5))  # fmt: skip
    assert "its time has not come" in keeping.why(keeping.submit("console", draft))


def test_one_recording_that_is_kept_keeps_the_whole_act_from_happening(
    keeping: Keeping, two: list[str]
) -> None:
    due, held = keeping.recording(), keeping.recording(b"y")
    keeping.hold(held)
    assert "under hold" in keeping.why(keeping.dispose([due, held], two))
    assert keeping.why(keeping.dispose([due], two)) == ""


def test_what_was_ever_evidence_of_a_case_is_kept_for_ever(keeping: Keeping, two: list[str]) -> None:
    recording, case = keeping.recording(), new_id()
    for action in ("link", "unlink"):
        facts = {"recording": recording, "case": case, "action": action, "stage": "evidence"}
        keeping.submit("console", Draft("link", about=(recording, case), facts=facts))
    assert "for ever under schedule 1" in keeping.why(keeping.dispose([recording], two))


def test_what_was_disposed_of_is_not_disposed_of_again(keeping: Keeping, two: list[str]) -> None:
    recording = keeping.recording()
    keeping.dispose([recording], two)
    assert "was disposed of by" in keeping.why(keeping.dispose([recording], two))
    assert "was disposed of by" in keeping.why(keeping.hold(recording))


@pytest.mark.parametrize("subject", ["nothing", "unknown", "no recording"])
def test_only_recordings_are_disposed_of(keeping: Keeping, two: list[str], subject: str) -> None:
    about = {"nothing": [], "unknown": [new_id()], "no recording": [keeping.schedule]}[subject]
    assert "recording" in keeping.why(keeping.dispose(about, two))


def test_the_schedule_in_force_is_named(keeping: Keeping, two: list[str]) -> None:
    recording, first = keeping.recording(), keeping.schedule
    keeping.schedule = keeping.enact(days(184))
    assert keeping.why(keeping.schedule) == ""
    assert keeping.why(keeping.dispose([recording], two, schedule=first)).endswith("is itself on the log.")
    assert keeping.why(keeping.dispose([recording], two)) == ""


def test_without_a_schedule_nothing_goes(house: House) -> None:
    keeping = Keeping(house, HALF_A_YEAR)
    keeping.schedule = new_id()
    two = [keeping.person("custodian"), keeping.person("head")]
    assert "not the one in force" in keeping.why(keeping.dispose([keeping.recording()], two))


def test_what_was_approved_is_what_happens(keeping: Keeping, two: list[str]) -> None:
    recording = keeping.recording()
    assert "is false" in keeping.why(keeping.dispose([recording], two, basis="another basis"))


def test_one_person_with_two_keys_is_one_person(keeping: Keeping, two: list[str]) -> None:
    recording, second = keeping.recording(), Ed25519PrivateKey.generate()
    keeping.signer(two[0], second)
    facts = keeping.reasons()
    statement = Statement("dispose", (recording,), facts, keeping.house.vault.id)
    approvals = [sign(statement, two[0], key).facts() for key in (keeping.keys[two[0]], second)]
    draft = Draft("dispose", about=(recording,), facts=facts | {"approvals": approvals}, time=keeping.now())
    assert "signed twice" in keeping.why(keeping.submit("console", draft))


def test_one_key_in_two_hands_is_one_person(keeping: Keeping, two: list[str]) -> None:
    keeping.keys[two[1]] = keeping.keys[two[0]]
    keeping.signer(two[1], keeping.keys[two[0]])
    assert "signed twice" in keeping.why(keeping.dispose([keeping.recording()], two))


def test_a_revoked_key_approves_nothing(keeping: Keeping, two: list[str]) -> None:
    assert keeping.why(keeping.signer(two[1], keeping.keys[two[1]], "revoked")) == ""
    assert "no such key in force" in keeping.why(keeping.dispose([keeping.recording()], two))


@pytest.mark.parametrize("roles", [["administrator"], ["auditor"], ["officer", "reviewer"], []])
def test_whoever_does_not_decide_over_evidence_gets_no_key(keeping: Keeping, roles: list[str]) -> None:
    account = keeping.account(*roles)
    assert "may approve nothing" in keeping.why(keeping.signer(account, Ed25519PrivateKey.generate()))


def test_an_approver_who_becomes_administrator_approves_no_more_even_if_it_is_taken_back(
    keeping: Keeping, two: list[str]
) -> None:
    keeping.account("custodian", "administrator", event="granted", account=two[0])
    keeping.account("custodian", event="granted", account=two[0])  # as whoever has console.key could write it
    assert "may not approve" in keeping.why(keeping.dispose([keeping.recording()], two))


def test_a_closed_account_approves_nothing(keeping: Keeping, two: list[str]) -> None:
    keeping.account(event="disabled", account=two[0])
    assert "may not approve" in keeping.why(keeping.dispose([keeping.recording()], two))


# --- a console in the wrong hands


def test_a_console_that_forges_rows_and_both_approvals_is_refused_and_told_of(
    keeping: Keeping, two: list[str]
) -> None:
    """It has console.key and the database, no personal key, and cannot enrol one."""
    recording = keeping.recording()
    forged = {account: Ed25519PrivateKey.generate() for account in two}
    for account, key in forged.items():
        for by in ("console", "bureau"):  # in its own name it may not; in the bureau's it cannot sign
            entry_id = keeping.house.submit("console", _enrolment(account, key))
            if by == "bureau":
                _rewrite(keeping, entry_id, '"by":"console"', '"by":"bureau"')
            keeping.house.settle()
            assert keeping.house.row(entry_id).state == RowState.REFUSED
    real, keeping.keys = keeping.keys, forged
    assert "no such key in force" in keeping.why(keeping.dispose([recording], two))
    ids = {account: sign(_statement(keeping, recording), account, key).key for account, key in real.items()}
    approvals = keeping.approvals("dispose", (recording,), _facts(keeping), two)
    named = [each | {"key": ids[each["account"]]} for each in approvals]
    assert "is false" in keeping.why(keeping.dispose([recording], two, approvals=named))
    assert keeping.house.vault.object_path(recording).exists()
    refusals = [leaf for leaf in keeping.house.reader.leaves() if leaf.type == REFUSAL]
    assert len(refusals) == 6


def _facts(keeping: Keeping) -> dict[str, Any]:
    return keeping.reasons()


def _statement(keeping: Keeping, recording: str) -> Statement:
    return Statement("dispose", (recording,), _facts(keeping), keeping.house.vault.id)


def _enrolment(account: str, key: Ed25519PrivateKey) -> Draft:
    public = b64encode(key.public_key().public_bytes_raw()).decode()
    facts = {"account": account, "kind": "ed25519", "key": public, "action": "enrolled"}
    return Draft("signer", about=(account,), facts=facts)


def _rewrite(keeping: Keeping, entry_id: str, old: str, new: str) -> None:
    note = keeping.house.row(entry_id).note.replace(old, new)
    with keeping.house.db.writing() as session:
        session.execute(update(OutboxRow).where(OutboxRow.id == entry_id).values(note=note))


def test_people_whom_a_thief_of_the_bureaus_key_enrolled_approve_nothing(
    keeping: Keeping, two: list[str]
) -> None:
    """He has bureau.key for a day and writes any time he likes; that day is declared afterwards."""
    house, recording = keeping.house, keeping.recording()
    since = keeping.now() - timedelta(minutes=1)
    house.submit("dockd", Draft("session", facts={}, time=keeping.now()))
    house.settle()
    own = Ed25519PrivateKey.generate()
    public = b64encode(own.public_key().public_bytes_raw()).decode()
    facts: dict[str, Any] = {"account": two[1], "kind": "ed25519", "key": public, "action": "enrolled"}
    early = Draft("signer", about=(two[1],), facts=facts, time=since - timedelta(days=100))
    assert keeping.why(keeping.submit("bureau", early)) == ""
    honest, keeping.keys[two[1]] = keeping.keys[two[1]], own
    said = {"name": "bureau", "vkey": house.key("bureau").vkey, "since": stamp(since)}
    keeping.submit("vaultd", Draft("compromise", about=(house.vault.id,), facts=said))
    assert "no such key in force" in keeping.why(keeping.dispose([recording], two))
    keeping.keys[two[1]] = honest
    assert keeping.why(keeping.dispose([recording], two)) == ""


# --- clocks


def test_a_clock_that_fell_back_makes_no_footage_old(keeping: Keeping, two: list[str]) -> None:
    """The entry says 2020; the entries before it are from today."""
    house = keeping.house
    draft = Draft("ingest", facts={"origin": "hand"}, deposit=house.deposit(b"z"),
                  time=utc_now() - timedelta(days=2000))  # fmt: skip
    recording = house.submit("dockd", draft)
    house.settle()
    keeping.ahead = timedelta(days=100)
    assert "is kept until" in keeping.why(keeping.dispose([recording], two))
    keeping.ahead = HALF_A_YEAR
    assert keeping.why(keeping.dispose([recording], two)) == ""


def set_clock(keeping: Keeping, forward: timedelta) -> None:
    """As vaultd says it in the round after the clock was set."""
    before, keeping.ahead = keeping.now(), keeping.ahead + forward
    statement = Jump(before, keeping.now()).statement("vaultd", keeping.house.vault.id)
    said = keeping.submit("vaultd", Draft("clock", about=statement.about, facts=statement.facts))
    assert keeping.why(said) == ""


def test_a_clock_that_is_set_forward_ends_no_period(keeping: Keeping, two: list[str]) -> None:
    keeping.ahead = timedelta(0)
    recording = keeping.recording()
    set_clock(keeping, timedelta(days=365))
    assert "is kept until" in keeping.why(keeping.dispose([recording], two))
    keeping.ahead += HALF_A_YEAR  # time that passed
    assert keeping.why(keeping.dispose([recording], two)) == ""


def test_a_clock_that_is_put_right_keeps_nothing_longer(keeping: Keeping, two: list[str]) -> None:
    """The battery was dead: years back at the start, forward again as soon as the time came over the network."""
    keeping.ahead = timedelta(0)
    set_clock(keeping, timedelta(days=-3000))
    recording = keeping.recording()
    set_clock(keeping, timedelta(days=3000))
    keeping.ahead += HALF_A_YEAR
    assert keeping.why(keeping.dispose([recording], two)) == ""


def test_a_clock_that_is_set_back_brings_no_old_schedule_back(keeping: Keeping, two: list[str]) -> None:
    """Half a year under the first schedule, then a longer one; the clock is set to the day before that."""
    house, recording, first = keeping.house, keeping.recording(), keeping.schedule
    keeping.schedule = keeping.enact(replace(days(1000), effective_from=keeping.now()))
    assert keeping.why(keeping.schedule) == ""
    keeping.ahead += timedelta(days=30)
    house.submit("dockd", Draft("session", facts={}, time=keeping.now()))
    house.settle()
    keeping.ahead -= timedelta(days=31)
    keeping.schedule = first
    assert "its time lies before" in keeping.why(keeping.dispose([recording], two))


# --- schedules


def test_a_longer_schedule_needs_nobody_and_a_shorter_one_two_people(
    keeping: Keeping, two: list[str]
) -> None:
    assert keeping.why(keeping.enact(days(400))) == ""
    assert "0 of 2 approvals" in keeping.why(keeping.enact(days(200, 3)))
    assert "1 of 2 approvals" in keeping.why(keeping.enact(days(200, 3), two[:1]))
    assert keeping.why(keeping.enact(days(200, 3), two)) == ""


def test_a_class_that_a_schedule_leaves_out_is_longer_and_one_that_it_brings_in_is_shorter(
    keeping: Keeping, two: list[str]
) -> None:
    ordinary, *_ = default_schedule(utc_now()).classes
    assert keeping.why(keeping.enact(Schedule(2, utc_now(), (ordinary,)))) == ""
    wider = Schedule(3, utc_now(), (ordinary, RetentionClass("case_evidence", 3650, "依据")))
    assert "0 of 2 approvals" in keeping.why(keeping.enact(wider))


def test_a_short_schedule_of_next_year_cannot_be_brought_forward(keeping: Keeping, two: list[str]) -> None:
    long = replace(days(1000), effective_from=utc_now())
    assert keeping.why(keeping.enact(long)) == ""
    later = replace(days(200, 3), effective_from=keeping.now() + timedelta(days=365))
    assert keeping.why(keeping.enact(later, two)) == ""
    assert "of 2 approvals" in keeping.why(keeping.enact(days(200, 4)))


@pytest.mark.parametrize(
    "facts",
    [
        {"version": 7},
        {"effective_from": "2026-12-01"},
        {"classes": []},
        {"classes": [{"class": "ordinary", "days": 182, "basis": "x"}]},
        {"classes": [{"class": "ordinary", "days": 400, "basis": ""}]},
        {"classes": [{"class": "ordinary", "days": 400, "basis": "x"}] * 2},
        {"surprise": 1},
    ],
)
def test_a_schedule_that_is_none_is_refused(keeping: Keeping, facts: dict[str, Any]) -> None:
    wanted = {**days(400).facts(), **facts}
    draft = Draft("schedule", about=(keeping.house.vault.id,), facts=wanted)
    assert keeping.why(keeping.submit("bureau", draft)) != ""


def test_only_the_root_command_line_enacts(keeping: Keeping) -> None:
    entry_id = keeping.enact(days(400), by="console")
    assert "may not put entries of type schedule" in keeping.why(entry_id)


# --- holds


def test_a_hold_outlives_everything_until_somebody_else_releases_it(keeping: Keeping, two: list[str]) -> None:
    recording = keeping.recording()
    hold = keeping.hold(recording, actor=two[0])
    keeping.ahead = timedelta(days=36500)
    assert "under hold" in keeping.why(keeping.dispose([recording], two))
    for approvers, why in (([], "0 of 1"), (two[:1], "whoever placed the hold")):
        assert why in keeping.why(release(keeping, hold, recording, approvers))
    assert keeping.why(release(keeping, hold, recording, two[1:])) == ""
    assert "not under hold" in keeping.why(release(keeping, hold, recording, two[1:]))
    assert keeping.why(keeping.dispose([recording], two)) == ""


def test_what_was_approved_before_a_hold_is_no_decision_after_it(keeping: Keeping, two: list[str]) -> None:
    """A console that kept both approvals waits until the hold is released in due form."""
    recording, other = keeping.recording(), keeping.recording(b"other")
    asked = keeping.reasons()
    about = (recording,)
    signed = asked | {"approvals": keeping.approvals("dispose", about, asked, two)}
    hold = keeping.hold(recording)
    assert keeping.why(release(keeping, hold, recording, two[:1])) == ""
    late = Draft("dispose", about=about, facts=signed, time=keeping.now())
    assert "came after the request" in keeping.why(keeping.submit("console", late))
    keeping.hold(other)  # what is said of another recording changes nothing
    assert keeping.why(keeping.dispose([recording], two)) == ""


@pytest.mark.parametrize("as_of", [1, 10_000])
def test_what_was_asked_of_another_log_is_not_approved(keeping: Keeping, two: list[str], as_of: int) -> None:
    recording = keeping.recording()
    asked = keeping.reasons() | {"as_of": as_of}
    signed = asked | {"approvals": keeping.approvals("dispose", (recording,), asked, two)}
    draft = Draft("dispose", about=(recording,), facts=signed, time=keeping.now())
    assert "another log" in keeping.why(keeping.submit("console", draft))


def test_two_holds_are_two_reasons(keeping: Keeping, two: list[str]) -> None:
    recording = keeping.recording()
    first, second = keeping.hold(recording), keeping.hold(recording)
    assert keeping.why(release(keeping, first, recording, two[:1])) == ""
    assert f"under hold {second}" in keeping.why(keeping.dispose([recording], two))


def test_nobody_anonymous_holds(keeping: Keeping) -> None:
    draft = Draft("hold", about=(keeping.recording(),), facts={"review_on": "2027-01-01"})
    assert "placed by a person" in keeping.why(keeping.submit("console", draft))


def release(keeping: Keeping, hold: str, recording: str, approvers: list[str]) -> str:
    facts: dict[str, Any] = {"hold": hold}
    facts["approvals"] = keeping.approvals("release", (recording,), facts, approvers)
    return keeping.submit("console", Draft("release", about=(recording,), facts=facts))


# --- what the sealer may say


def test_the_sealer_speaks_only_of_disposals_that_are_there(keeping: Keeping, two: list[str]) -> None:
    recording = keeping.recording()
    dispose = keeping.dispose([recording], two)
    for about, facts, why in (
        ((recording,), {"dispose": new_id(), "state": "erased"}, "no such disposal"),
        ((keeping.recording(b"k"),), {"dispose": dispose, "state": "erased"}, "no such disposal"),
        ((recording,), {"dispose": dispose, "state": "unreadable"}, "names the buckets"),
        (
            (recording,),
            {"dispose": dispose, "state": "unreadable", "buckets": ["A-2026-11"]},
            "not erased yet",
        ),
    ):
        assert why in keeping.why(keeping.submit("sealer", Draft("destroy", about=about, facts=facts)))


def test_the_sealer_calls_nothing_done_that_is_half_done(keeping: Keeping, two: list[str]) -> None:
    recordings = (keeping.recording(), keeping.recording(b"k"))
    dispose = keeping.dispose(recordings, two)
    for about, state, buckets, why in (
        (recordings[:1], "erased", [], "as a whole"),
        (recordings, "erased", ["A-2026-11"], "not erased yet"),
        (recordings, "erased", [], ""),
        (recordings, "unreadable", ["A-1999-01"], "also lay in A-2026-11"),
        (recordings, "unreadable", ["A-2026-11"], ""),
    ):
        facts = {"dispose": dispose, "state": state, "buckets": buckets}
        said = keeping.why(keeping.submit("sealer", Draft("destroy", about=about, facts=facts)))
        assert why in said if why else said == ""
