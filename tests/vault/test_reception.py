"""Whoever owns the database changes one fact; the log takes the truth or nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from crash.house import House
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from core.canonical import decode, encode
from core.clock import new_id, stamp, utc_now
from core.digest import sha256_hex
from vault.formats.entry import Leaf
from vault.formats.note import Note, SigningKey, sign_note
from vault.formats.pack import Private
from vault.intake import Intake
from vault.log.outbox import AppliedEntry, OutboxRow, Projections, RefusedError, RowState, Submitter
from vault.log.rules import LogView, Lookup
from vault.log.submission import Draft, exact
from vault.reception import CLOCK_ALLOWANCE, Batch
from vault.store import keys
from vault.store.keys import BODY_LIMIT, BodyLimitError
from vault.store.medium import MediumError
from vault.vaultd import NOT_PROJECTED


def tamper(house: House, entry_id: str, **values: object) -> None:
    with house.db.writing() as session:
        session.execute(update(OutboxRow).where(OutboxRow.id == entry_id).values(**values))


def refused(house: House, entry_id: str) -> str:
    """The code under which the log says that it did not take this submission."""
    house.settle()
    row = house.row(entry_id)
    assert row.state == RowState.REFUSED
    assert row.entry_index is not None
    assert house.verify().ok
    return str(house.reader.leaf(row.entry_index).facts["code"])


def resigned(house: House, entry_id: str, **changes: Any) -> str:
    """The note of a waiting submission, said differently and signed again by the console."""
    row = house.row(entry_id)
    submission, _ = exact(Draft(row.type, id=entry_id, **changes), "console")
    return submission.signed(house.key("console")).decode()


# --- key slots


@pytest.mark.parametrize("slot", [b"", b"x", b"x" * 184, b"x" * 5000])
def test_a_wrapped_key_where_no_object_is_never_reaches_a_slot(house: House, slot: bytes) -> None:
    sealed = house.ingest(b"footage")
    house.settle()
    before = house.vault.slots.path(0).read_bytes()
    case = house.case()
    tamper(house, case, key_slot=slot)
    assert refused(house, case) == "vault.submission"
    assert house.vault.slots.path(0).read_bytes()[: len(before)] == before
    assert house.row(sealed).state == RowState.SEQUENCED


def while_it_is_read_back(
    house: House, monkeypatch: pytest.MonkeyPatch, entry_id: str, change: Callable[[], None]
) -> None:
    """Let vaultd accept the submission, change something while its object is read back, and let it finish."""
    ready, real = threading.Event(), Intake.is_in
    monkeypatch.setattr(Intake, "is_in", lambda self, *args: ready.is_set() and real(self, *args))
    daemon = house.vaultd()
    daemon.start()
    assert daemon.step() == 0
    change()
    ready.set()
    while house.row(entry_id).state == RowState.PENDING:
        daemon.step()
    daemon.close()


@pytest.mark.parametrize("slot", [None, b"x" * 184, b"x" * 5000])
def test_a_wrapped_key_that_is_changed_during_the_read_back_is_not_written(
    house: House, monkeypatch: pytest.MonkeyPatch, slot: bytes | None
) -> None:
    entry_id = house.ingest(b"footage")
    while_it_is_read_back(house, monkeypatch, entry_id, lambda: tamper(house, entry_id, key_slot=slot))
    assert house.row(entry_id).state == RowState.REFUSED
    assert house.verify().ok


def test_a_note_that_is_changed_during_the_read_back_is_checked_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id = house.ingest(b"footage")
    note = house.row(entry_id).note.replace("hand", "dock")
    while_it_is_read_back(house, monkeypatch, entry_id, lambda: tamper(house, entry_id, note=note))
    assert house.row(entry_id).state == RowState.REFUSED
    assert "signature" in str(house.reader.leaf(house.reader.size - 1).facts["code"])


def test_a_rule_is_asked_again_after_the_read_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    def only_while_open(_log: LogView, _leaf: Leaf) -> None:
        if closed:
            raise RefusedError(why="the dock is closed")

    house.rules.on("ingest", only_while_open)
    entry_id = house.ingest(b"footage")
    while_it_is_read_back(house, monkeypatch, entry_id, lambda: closed.append(True))
    assert "the dock is closed" in house.row(entry_id).reason


# --- time


def at(house: House, moment: timedelta) -> str:
    return house.submit("console", Draft("view", time=utc_now() + moment))


def test_a_time_that_has_not_come_yet_is_refused(house: House) -> None:
    """A grant from the future would never expire."""
    assert refused(house, at(house, timedelta(days=3650))) == "vault.submission"
    assert refused(house, at(house, CLOCK_ALLOWANCE + timedelta(minutes=1))) == "vault.submission"


def test_footage_sealed_before_the_clock_was_set_back_is_taken(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is a statement and no credential; refusing it would strand a recording."""
    entry_id = house.ingest(b"footage")
    monkeypatch.setattr("vault.reception.utc_now", lambda: utc_now() - timedelta(days=365))
    house.settle()
    assert house.row(entry_id).state == RowState.SEQUENCED


def test_two_clocks_may_differ_a_little(house: House) -> None:
    ids = [at(house, CLOCK_ALLOWANCE - timedelta(minutes=1)), at(house, timedelta(days=-400))]
    house.settle()
    assert [house.row(entry_id).state for entry_id in ids] == [RowState.SEQUENCED] * 2


# --- an id that the log has already


def test_another_submission_under_a_known_id_is_refused(house: House) -> None:
    entry_id = house.case()
    house.settle()
    note = resigned(house, entry_id, facts={"event": "changed"})
    tamper(house, entry_id, state=RowState.PENDING, entry_index=None, note=note)
    assert refused(house, entry_id) == "vault.id_taken"
    assert "already has the id" in house.row(entry_id).reason


def test_another_body_under_a_known_id_is_refused(house: House) -> None:
    entry_id = house.case()
    facts = house.reader.leaf(house.reader.size - 1).facts
    house.settle()
    note = resigned(house, entry_id, facts=facts, body={"title": "another"})
    tamper(house, entry_id, state=RowState.PENDING, entry_index=None, note=note)
    assert refused(house, entry_id) == "vault.id_taken"


# --- bodies


@pytest.mark.parametrize("bucket", ["a\0b", "../../keys", "", 7, None, ["facts"], "facts\n"])
def test_a_bucket_that_is_no_name_is_refused(house: House, bucket: object) -> None:
    entry_id = house.case()
    note = sign_note(with_plan(house, entry_id, bucket=bucket), house.key("console")).decode()
    tamper(house, entry_id, note=note)
    assert refused(house, entry_id) in {"vault.entry", "vault.submission"}


@pytest.mark.parametrize("digest", ["", "x" * 64, 7, None])
def test_a_digest_that_is_none_is_refused(house: House, digest: object) -> None:
    entry_id = house.case()
    note = sign_note(with_plan(house, entry_id, sha256=digest), house.key("console")).decode()
    tamper(house, entry_id, note=note)
    assert refused(house, entry_id) == "vault.submission"


def with_plan(house: House, entry_id: str, **changes: object) -> str:
    """The text of a submission whose promise of a body is changed."""
    value = decode(Note.parse(house.row(entry_id).note.encode()).text.removesuffix("\n").encode())
    value["body"] = {**value["body"], **changes}
    return encode(value).decode() + "\n"


def test_a_recipient_that_is_noise_is_no_bucket(house: House) -> None:
    place = house.vault.keys_path / "buckets/noise"
    place.mkdir()
    (place / "recipient").write_bytes(b"\xff\xfe")
    assert refused(house, house.case(body_bucket="noise")) == "vault.no_bucket"


@pytest.mark.parametrize("body", [{"salt": "00"}, {"salt": "00", "fields": 7}, {"fields": [1]}])
def test_a_signed_body_without_facts_is_refused(house: House, body: dict[str, Any]) -> None:
    """The console's key alone must not be able to stop the log."""
    entry_id = house.case()
    digest = sha256_hex(encode(body))
    note = sign_note(with_plan(house, entry_id, sha256=digest), house.key("console")).decode()
    tamper(house, entry_id, note=note, body=body)
    assert refused(house, entry_id) == "vault.submission"


def test_nobody_submits_a_body_that_no_verifier_would_read(house: House) -> None:
    with pytest.raises(BodyLimitError, match=str(BODY_LIMIT)):
        house.case(body={"title": "x" * BODY_LIMIT})
    house.case(body={"title": "x" * (BODY_LIMIT - 200)})
    house.settle()
    assert house.verify().ok


def test_a_body_that_is_too_long_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    entry_id = house.case(body={"title": "x" * 1000})
    monkeypatch.setattr(keys, "BODY_LIMIT", 500)
    assert refused(house, entry_id) == "vault.body_limit"


def test_a_disk_that_says_nothing_of_the_submission_is_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_descriptor(*_: object) -> None:
        raise MediumError(path="recipient", why="Too many open files")

    entry_id = house.case()
    daemon = house.vaultd()
    daemon.start()
    with monkeypatch.context() as patched:
        patched.setattr(keys, "bucket_recipient", no_descriptor)
        assert daemon.step() == 0
    assert house.row(entry_id).state == RowState.PENDING
    assert daemon.step() == 1
    daemon.close()


# --- what stays in the outbox


@pytest.mark.parametrize("how", ["refused", "mismatched", "repeated"])
def test_no_plaintext_stays_behind_a_submission_that_left(house: House, how: str) -> None:
    if how == "refused":
        entry_id = house.submit("dockd", Draft("case", body={"title": "案件"}))
    else:
        entry_id = house.ingest(b"footage")
    row = house.row(entry_id)
    if how == "mismatched":
        house.vault.incoming_path(entry_id).write_bytes(b"noise")
    house.settle()
    if how == "repeated":
        kept = {"body": row.body, "key_slot": row.key_slot}
        tamper(house, entry_id, state=RowState.PENDING, entry_index=None, **kept)
        house.settle()
    after = house.row(entry_id)
    assert after.state != RowState.PENDING
    assert (after.body, after.key_slot) == (None, None)


# --- what cannot be projected


def needs_a_rendition(_session: object, entry: AppliedEntry) -> None:
    if entry.index is not None:  # submitted by somebody who does not project what he submits
        str(entry.leaf.facts["rendition"])


def test_an_entry_that_cannot_be_projected_stops_nothing(house: House) -> None:
    house.projections.on("view", needs_a_rendition)
    poison = house.submit("console", Draft("view"))
    whole = house.submit("console", Draft("view", facts={"rendition": "proxy"}))
    case = house.case()
    house.settle()
    assert [house.row(entry_id).state for entry_id in (poison, whole, case)] == [RowState.SEQUENCED] * 3
    assert [house.row(entry_id).reason for entry_id in (poison, whole, case)] == [NOT_PROJECTED, "", ""]
    later = house.case()
    house.settle()
    assert house.row(later).state == RowState.SEQUENCED


def test_the_rows_of_an_entry_that_cannot_be_projected_are_none(house: House) -> None:
    def half(session: Any, entry: AppliedEntry) -> None:
        if entry.index is not None:
            session.add(
                OutboxRow(id=f"half-{entry.leaf.id}", type="x", note="", state="x", made_at=utc_now())
            )
            session.flush()
            raise KeyError("rendition")

    house.projections.on("view", half)
    house.submit("console", Draft("view"))
    house.settle()
    assert [row.type for row in house.rows()] == ["view"]


def test_a_lock_or_a_full_disk_is_no_entrys_fault(house: House) -> None:
    def full(_session: object, entry: AppliedEntry) -> None:
        if entry.index is not None:
            raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    house.projections.on("view", full)
    entry_id = house.submit("console", Draft("view"))
    with pytest.raises(OperationalError):
        house.settle()
    assert house.row(entry_id).state == RowState.PENDING
    house.projections = Projections()
    house.settle()
    assert (house.row(entry_id).state, house.row(entry_id).reason) == (RowState.SEQUENCED, "")


# --- those who wait


def test_entries_that_wait_for_an_object_keep_nobody_else_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Intake, "is_in", lambda *_: False)
    recording = house.ingest(b"footage")
    with house.db.writing() as session:
        submitter = Submitter(house.key("console"), house.projections, house.bell)
        for _ in range(300):
            submitter.submit(session, Draft("view", about=(recording,)))
    case = house.case()
    daemon = house.vaultd()
    daemon.start()
    assert daemon.step() == 1
    assert house.row(case).state == RowState.SEQUENCED
    daemon.close()


def test_objects_that_are_not_ready_keep_no_other_object_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vault.vaultd._OBJECTS_PER_ROUND", 3)
    held = [house.vault.incoming_path(house.ingest(b"held")).open("r+b") for _ in range(4)]
    last = house.ingest(b"footage")
    daemon = house.vaultd()
    daemon.start()
    while house.row(last).state == RowState.PENDING:
        daemon.step()
    assert len(house.rows(RowState.PENDING)) == 4
    for file in held:
        file.close()
    daemon.close()


def test_a_replaced_key_is_not_remembered(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A submission that was accepted under a key is not sealed under it once the log names another."""
    entry_id = house.ingest(b"footage")
    new_key = SigningKey.generate("dockd")
    facts = {"name": "dockd", "vkey": new_key.vkey, "permits": ["ingest"]}

    def replace_key() -> None:
        house.submit("vaultd", Draft("key", facts=facts))

    real = Intake.is_in
    seen: list[str] = []

    def once_more(self: Intake, *args: Any) -> bool:
        seen.append("asked")
        return len(seen) > 2 and real(self, *args)

    monkeypatch.setattr(Intake, "is_in", once_more)
    daemon = house.vaultd()
    daemon.start()
    daemon.step()
    replace_key()
    while house.rows(RowState.PENDING):
        daemon.step()
    daemon.close()
    assert house.row(entry_id).state == RowState.REFUSED


def test_a_submission_knows_its_entry() -> None:
    submission, _ = exact(Draft("case", facts={"event": "opened"}), "console")
    assert submission.is_entry(submission.leaf)
    assert not submission.is_entry(replace(submission.leaf, id=new_id()))
    assert not submission.is_entry(replace(submission.leaf, time=stamp(utc_now() + timedelta(seconds=1))))


# --- what a rule sees of the batch


def test_a_rule_sees_what_stands_before_it_in_the_same_batch_by_type_or_by_all(house: House) -> None:
    batch = Batch(house.reader, Lookup(), house.reader.size)
    subject = new_id()
    leaves = [
        Leaf(new_id(), kind, stamp(utc_now()), "console", about=(subject,))
        for kind in ("view", "hold", "view")
    ]
    assert batch.about(subject) == []
    for place, leaf in enumerate(leaves, batch.start):
        batch.items.append((leaf, Private()))
        assert batch.find(leaf.id) == place
    first = batch.start
    assert batch.about(subject) == [first, first + 1, first + 2]
    assert batch.about(subject, "hold", "release") == [first + 1]


def test_what_was_said_of_a_recording_for_years_is_not_read_for_a_rule() -> None:
    lookup, recording = Lookup(), new_id()
    lookup.add((place, new_id(), (recording,), "hold" if place == 7 else "verify") for place in range(300))
    assert lookup.about(recording, "hold", "dispose") == [7]
    assert lookup.about(recording) == list(range(300))
    lookup.close()
