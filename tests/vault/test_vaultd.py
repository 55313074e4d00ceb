from __future__ import annotations

import errno
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crash.house import BUCKET, House
from sqlalchemy import select, update

from core.clock import new_id
from core.digest import sha256_hex
from vault import intake, vaultd
from vault.formats.age import Identity, encrypt_file
from vault.formats.entry import Leaf
from vault.formats.note import SigningKey
from vault.formats.proof import Receipt
from vault.founding import PERMITS
from vault.intake import Intake
from vault.log import bucket_rule
from vault.log import writer as logwriter
from vault.log.bucket_rule import commitment
from vault.log.index import EntryRow, custody, receipt_of
from vault.log.outbox import OutboxRow, RefusedError, RowState, Submitter
from vault.log.rules import LogView, Lookup, Rules
from vault.log.submission import Draft, exact
from vault.log.writer import LogFullError, LogWriteError, SecondWriterError
from vault.reception import Batch
from vault.store.keys import ensure_bucket, open_body
from vault.store.medium import MediumError
from vault.vaultd import RolledBackError

FOUNDED = 2 + len(PERMITS)  # genesis, the process keys, the facts bucket


def index_of(house: House, entry_id: str) -> int:
    index = house.row(entry_id).entry_index
    assert index is not None
    return index


def last_leaf(house: House) -> Leaf:
    return house.reader.leaf(house.reader.size - 1)


def tamper(house: House, entry_id: str, **values: object) -> None:
    """What whoever owns the database can do."""
    with house.db.writing() as session:
        session.execute(update(OutboxRow).where(OutboxRow.id == entry_id).values(**values))


def test_entries_get_their_places_in_the_order_of_submitting(house: House) -> None:
    ids = [house.case() for _ in range(20)]
    house.settle()
    assert [house.reader.leaf(index).id for index in range(FOUNDED, FOUNDED + 20)] == ids
    assert [row.state for row in house.rows()] == [RowState.SEQUENCED] * 20
    assert house.verify().ok


def test_what_waits_goes_on_the_log_in_one_batch(house: House) -> None:
    for _ in range(12):
        house.case()
    daemon = house.vaultd()
    daemon.start()
    assert [daemon.step(), daemon.step()] == [12, 0]
    daemon.close()


def test_more_than_a_batch_is_taken_in_turns(house: House) -> None:
    with house.db.writing() as session:
        submitter = Submitter(house.key("console"), house.projections, house.bell)
        ids = [submitter.submit(session, Draft("case")) for _ in range(300)]
    house.settle()
    assert [leaf.id for leaf in house.reader.leaves(FOUNDED)] == ids


def test_a_sealed_object_is_in_its_place_with_receipt_and_custody(house: House) -> None:
    entry_id = house.ingest(b"footage" * 1000)
    view = house.submit("console", Draft("view", about=(entry_id,)))
    house.settle()
    assert house.vault.object_path(entry_id).exists()
    assert not house.vault.incoming_path(entry_id).exists()
    with house.db.reading() as session:
        receipt = receipt_of(session, entry_id)
        assert [row.id for row in custody(session, entry_id)] == [entry_id, view]
    assert receipt
    assert Receipt.parse(receipt).verify(house.vault.verifier).id == entry_id
    assert house.verify().ok


def test_an_entry_about_an_object_waits_for_the_object(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = threading.Event()
    real = Intake.is_in
    monkeypatch.setattr(Intake, "is_in", lambda self, *args: ready.is_set() and real(self, *args))
    entry_id = house.ingest(b"footage")
    view = house.submit("console", Draft("view", about=(entry_id,)))
    other = house.case()
    daemon = house.vaultd()
    daemon.start()
    assert daemon.step() == 1
    assert house.row(other).state == RowState.SEQUENCED
    assert house.row(view).state == RowState.PENDING
    ready.set()
    while house.rows(RowState.PENDING):
        daemon.step()
    daemon.close()
    assert index_of(house, entry_id) < index_of(house, view)


# --- who may say what


def refusal(house: House, entry_id: str) -> str:
    """Settle, and give the code under which the log says that it did not take this submission."""
    house.settle()
    row = house.row(entry_id)
    assert row.state in {RowState.REFUSED, RowState.MISMATCHED}
    leaf = house.reader.leaf(index_of(house, entry_id))
    assert (leaf.type, leaf.about, leaf.by) == ("refusal", (entry_id,), "vaultd")
    assert entry_id not in [each.id for each in house.reader.leaves()]
    assert row.reason
    assert house.verify().ok
    return str(leaf.facts["code"])


@pytest.mark.parametrize(
    ("by", "kind"),
    [("dockd", "case"), ("dockd", "view"), ("worker", "ingest"), ("console", "ingest"), ("console", "genesis"),
     ("console", "key"), ("dockd", "refusal"), ("console", "clock"), ("worker", "view"), ("console", "unheard_of")],
)  # fmt: skip
def test_a_process_that_submits_what_is_not_its_business_is_refused(house: House, by: str, kind: str) -> None:
    assert refusal(house, house.submit(by, Draft(kind))) == "vault.not_permitted"


def test_a_submission_under_an_unregistered_key_is_refused(house: House) -> None:
    entry_id = house.case()
    submission, _ = exact(Draft("case", id=entry_id), "console")
    tamper(house, entry_id, note=submission.signed(SigningKey.generate("console")).decode())
    assert refusal(house, entry_id) == "vault.note_signature"


def test_a_changed_submission_is_refused(house: House) -> None:
    entry_id = house.case()
    tamper(house, entry_id, note=house.row(entry_id).note.replace("opened", "closed"))
    assert refusal(house, entry_id) == "vault.note_signature"


def test_noise_instead_of_a_submission_is_refused(house: House) -> None:
    entry_id = house.case()
    tamper(house, entry_id, note="no note at all")
    assert refusal(house, entry_id) == "vault.note"


def test_a_changed_body_is_refused(house: House) -> None:
    entry_id = house.case(body={"title": "before"})
    body = house.row(entry_id).body
    assert body
    tamper(house, entry_id, body={**body, "fields": {"title": "after"}})
    assert refusal(house, entry_id) == "vault.submission"


@pytest.mark.parametrize("body", [None, {"salt": "x"}, [], "text"])
def test_a_body_that_is_gone_or_noise_is_refused(house: House, body: Any) -> None:
    entry_id = house.case()
    tamper(house, entry_id, body=body)
    assert refusal(house, entry_id) == "vault.submission"


@pytest.mark.parametrize("slot", [None, b"", b"x" * 184])
def test_an_exchanged_wrapped_key_is_refused(house: House, slot: bytes | None) -> None:
    entry_id = house.ingest(b"footage")
    tamper(house, entry_id, key_slot=slot)
    assert refusal(house, entry_id) == "vault.submission"


def test_a_submission_under_another_rows_id_is_refused(house: House) -> None:
    first, second = house.case(), house.case()
    tamper(house, first, note=house.row(second).note)
    assert refusal(house, first) == "vault.submission"


def test_a_bucket_that_is_not_there_is_refused(house: House) -> None:
    assert refusal(house, house.case(body_bucket="A-1999-01")) == "vault.no_bucket"


def test_a_sequenced_submission_that_is_put_back_is_not_entered_twice(house: House) -> None:
    """Whoever owns the database replays a signed submission."""
    entry_id = house.case()
    house.settle()
    tamper(house, entry_id, state=RowState.PENDING, entry_index=None)
    house.settle()
    assert [leaf.id for leaf in house.reader.leaves()].count(entry_id) == 1
    assert index_of(house, entry_id) == FOUNDED


def test_a_rule_sees_the_log_and_the_batch_before_it(house: House) -> None:
    def opened_before_it_changes(log: LogView, leaf: Leaf) -> None:
        earlier = [log.leaf(index).facts.get("event") for index in log.about(leaf.facts["case"])]
        if leaf.facts["event"] == "changed" and "opened" not in earlier:
            raise RefusedError(why="the case was never opened")

    house.rules.on("case", opened_before_it_changes)
    case_id = new_id()

    def say(event: str) -> str:
        facts = {"event": event, "case": case_id}
        return house.submit("console", Draft("case", about=(case_id,), facts=facts))

    too_early, opened, changed = say("changed"), say("opened"), say("changed")
    house.settle()
    later = say("changed")
    house.settle()
    states = [house.row(entry_id).state for entry_id in (too_early, opened, changed, later)]
    assert states == [RowState.REFUSED, *[RowState.SEQUENCED] * 3]
    assert "never opened" in house.row(too_early).reason


def test_a_rule_can_find_an_entry_by_its_id(house: House) -> None:
    found: list[int | None] = []
    house.rules.on("link", lambda log, leaf: found.extend([log.find(leaf.about[0]), log.size]))
    case = house.case()
    house.submit("console", Draft("link", about=(case,)))
    house.settle()
    assert found == [FOUNDED, FOUNDED + 1]


# --- buckets


def bucket_entries(house: House) -> list[tuple[int, Leaf]]:
    return [(index, leaf) for index, leaf in enumerate(house.reader.leaves()) if leaf.type == "bucket"]


def test_a_bucket_is_committed_to_in_the_batch_of_its_first_use(house: House) -> None:
    first, second = house.ingest(b"footage"), house.ingest(b"more")
    house.settle()
    later = house.ingest(b"later")
    house.settle()
    entries = bucket_entries(house)
    assert [leaf.facts["name"] for _, leaf in entries] == ["facts", BUCKET]
    index, leaf = entries[1]
    assert (leaf.by, leaf.facts) == ("vaultd", commitment(house.vault, BUCKET).facts())
    assert index < min(index_of(house, one) for one in (first, second, later))
    assert house.verify().ok


def test_a_body_in_another_bucket_than_its_object_commits_to_both(house: House) -> None:
    ensure_bucket(house.vault, "B-2026-11")
    deposit = house.deposit(b"footage")
    body = {"name": "a.mp4"}
    house.submit("dockd", Draft("ingest", deposit=deposit, body=body, body_bucket="B-2026-11"))
    house.settle()
    assert [leaf.facts["name"] for _, leaf in bucket_entries(house)] == ["facts", BUCKET, "B-2026-11"]
    assert house.verify().ok


def test_a_restart_does_not_commit_again(house: House) -> None:
    for _ in range(3):
        house.ingest(b"footage")
        house.settle()
    assert len(bucket_entries(house)) == 2


def test_a_batch_that_commitments_fill_leaves_the_rest_for_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vaultd, "BATCH_LIMIT", 2)
    names = [f"C-2026-{month:02}" for month in range(1, 6)]
    for name in names:
        ensure_bucket(house.vault, name)
    entries = [house.case(body={"title": name}, body_bucket=name) for name in names]
    house.settle()
    assert [house.row(entry).state for entry in entries] == [RowState.SEQUENCED] * 5
    assert [leaf.facts["name"] for _, leaf in bucket_entries(house)] == ["facts", *names]
    assert house.verify().ok


def test_a_bucket_that_was_wrapped_anew_unasked_is_not_committed_to(house: House) -> None:
    """Its digest differs and nothing on the log says why: sealing goes on, and verify names the file."""
    house.ingest(b"footage")
    house.settle()
    place = house.vault.keys_path / "buckets" / BUCKET / "identity.age"
    wrapped = encrypt_file([Identity.generate().recipient], b"noise")
    place.unlink()
    place.write_bytes(wrapped)
    entry = house.ingest(b"more")
    house.settle()
    assert house.row(entry).state == RowState.SEQUENCED
    assert len(bucket_entries(house)) == 2
    assert not house.verify().ok


def test_nobody_else_commits_to_a_bucket(house: House) -> None:
    entry = house.submit("console", Draft("bucket", facts=dict(commitment(house.vault, BUCKET).facts())))
    assert refusal(house, entry) == "vault.not_permitted"
    rules = Rules()
    bucket_rule.register(rules)
    leaf = house.reader.leaf(FOUNDED - 1)
    rules.check(Batch(house.reader, Lookup(), 0), leaf)
    with pytest.raises(RefusedError, match="only vaultd commits"):
        rules.check(Batch(house.reader, Lookup(), 0), replace(leaf, by="console"))


# --- keys that an entry wraps anew


def rewrap(house: House, slots: bytes, **facts: object) -> str:
    entry = house.submit("bureau", Draft("rewrap", facts={"bucket": BUCKET, **facts}))
    tamper(house, entry, key_slot=slots)
    return entry


def test_a_rewrap_keeps_new_keys_in_its_own_slots(house: House) -> None:
    header, body = os.urandom(184), os.urandom(184)
    entry = rewrap(
        house, header + body, object_header_sha256=sha256_hex(header), body_header_sha256=sha256_hex(body)
    )
    house.settle()
    index = index_of(house, entry)
    assert house.vault.slots.object_slot(index) == header
    assert house.vault.slots.body_slot(index) == body
    assert [leaf.facts["name"] for _, leaf in bucket_entries(house)] == ["facts", BUCKET]
    alone = rewrap(house, header, object_header_sha256=sha256_hex(header))
    house.settle()
    assert house.vault.slots.object_slot(index_of(house, alone)) == header
    assert house.vault.slots.body_slot(index_of(house, alone)) is None


@pytest.mark.parametrize("slots", [None, b"", b"x" * 184, b"x" * 183, b"x" * 368, b"x" * 1000])
def test_a_rewrap_with_other_keys_than_it_says_is_refused(house: House, slots: bytes | None) -> None:
    header = os.urandom(184)
    entry = rewrap(house, header, object_header_sha256=sha256_hex(header))
    tamper(house, entry, key_slot=slots)
    assert refusal(house, entry) == "vault.submission"


def test_a_rewraps_own_body_and_a_body_it_wraps_anew_do_not_share_a_slot(house: House) -> None:
    header = os.urandom(184)
    facts = {"bucket": BUCKET, "object_header_sha256": sha256_hex(header)}
    alone = house.submit("bureau", Draft("rewrap", facts=facts, body={"reason": "x"}))
    tamper(house, alone, key_slot=header)
    house.settle()
    index = index_of(house, alone)
    assert open_body(house.vault, index, house.reader.leaf(index), house.keyring) == {"reason": "x"}
    assert house.vault.slots.object_slot(index) == header
    both = house.submit(
        "console",
        Draft("rewrap", facts={**facts, "body_header_sha256": sha256_hex(header)}, body={"reason": "x"}),
    )
    tamper(house, both, key_slot=header + header)
    house.settle()
    assert house.row(both).state == RowState.REFUSED
    assert "slot of its body is taken" in house.row(both).reason


# --- the medium


def aside(house: House, entry_id: str) -> list[Path]:
    return sorted((house.vault.path / "incoming").glob(f"{entry_id}.*.mismatched"))


def test_an_object_that_came_back_changed_is_set_aside_and_never_sealed(house: House) -> None:
    entry_id = house.ingest(b"footage" * 1000)
    part = house.vault.incoming_path(entry_id)
    raw = bytearray(part.read_bytes())
    raw[100] ^= 1
    part.write_bytes(raw)
    assert refusal(house, entry_id) == "vault.mismatched"
    assert house.row(entry_id).state == RowState.MISMATCHED
    assert "dock it again" in house.row(entry_id).reason
    assert [path.read_bytes() for path in aside(house, entry_id)] == [bytes(raw)]
    assert not house.vault.object_path(entry_id).exists()


@pytest.mark.parametrize("change", ["shorter", "longer", "gone"])
def test_an_object_of_another_length_is_never_sealed(house: House, change: str) -> None:
    entry_id = house.ingest(b"footage" * 1000)
    part = house.vault.incoming_path(entry_id)
    if change == "gone":
        part.unlink()
    else:
        part.write_bytes(part.read_bytes()[:-1] if change == "shorter" else part.read_bytes() + b"x")
    assert refusal(house, entry_id) == "vault.mismatched"


def test_a_medium_that_cannot_be_read_is_a_mismatch(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(intake.Reader):
        def digest(self, path: Path, cancel: threading.Event | None = None) -> Any:  # noqa: ARG002
            raise MediumError(path=path, why=os.strerror(errno.EIO))

    monkeypatch.setattr(intake, "Reader", Failing)
    entry_id = house.ingest(b"footage")
    assert refusal(house, entry_id) == "vault.mismatched"
    assert "Input/output error" in house.row(entry_id).reason


def test_a_mismatched_recording_may_be_copied_again_under_its_id(house: House) -> None:
    entry_id = house.ingest(b"footage")
    house.vault.incoming_path(entry_id).write_bytes(b"noise")
    assert refusal(house, entry_id) == "vault.mismatched"
    deposit = house.deposit(b"footage", entry_id=entry_id)
    house.submit("dockd", Draft("ingest", deposit=deposit))
    house.settle()
    assert house.row(entry_id).state == RowState.SEQUENCED
    assert last_leaf(house).id == entry_id
    assert house.verify().ok


def test_an_object_that_somebody_still_writes_waits(house: House) -> None:
    entry_id = house.ingest(b"footage")
    daemon = house.vaultd()
    daemon.start()
    with house.vault.incoming_path(entry_id).open("r+b"):
        for _ in range(3):
            assert daemon.step() == 0
        assert house.row(entry_id).state == RowState.PENDING
    while house.row(entry_id).state == RowState.PENDING:
        daemon.step()
    daemon.close()
    assert house.row(entry_id).state == RowState.SEQUENCED


@pytest.mark.parametrize("moved", ["link", "whole"])
def test_an_object_that_a_crash_left_half_moved_is_taken_over(house: House, moved: str) -> None:
    entry_id = house.ingest(b"footage")
    part, final = house.vault.incoming_path(entry_id), house.vault.object_path(entry_id)
    final.parent.mkdir()
    final.hardlink_to(part)
    if moved == "whole":
        part.unlink()
    house.settle()
    assert house.row(entry_id).state == RowState.SEQUENCED
    assert not part.exists()
    assert house.verify().ok


# --- failures and restarts


def test_a_second_vaultd_does_not_start(house: House) -> None:
    daemon = house.vaultd()
    daemon.start()
    other = house.vaultd()
    with pytest.raises(SecondWriterError):
        other.start()
    other.close()
    daemon.close()


def test_a_log_that_was_rolled_back_is_not_written_to(house: House, tmp_path: Path) -> None:
    shutil.copytree(house.vault.path, tmp_path / "older")
    house.case()
    house.settle()
    shutil.rmtree(house.vault.path)
    shutil.copytree(tmp_path / "older", house.vault.path)
    daemon = house.vaultd()
    with pytest.raises(
        RolledBackError, match=rf"knows {FOUNDED + 1} entries and the log in .* has {FOUNDED}"
    ):
        daemon.start()
    daemon.close()


def test_an_older_checkpoint_is_noticed_before_anything_beyond_it_is_cut_off(house: House) -> None:
    head = house.vault.log_path / "checkpoint"
    older = head.read_bytes()
    house.case()
    house.ingest(b"footage")
    house.settle()
    private = [house.vault.slots.path(0), house.vault.packs.path(0)]
    before = [path.read_bytes() for path in private]
    newest = head.read_bytes()
    head.write_bytes(older)
    daemon = house.vaultd()
    with pytest.raises(RolledBackError):
        daemon.start()
    daemon.close()
    assert [path.read_bytes() for path in private] == before
    head.write_bytes(newest)
    house.settle()
    assert house.verify().ok


def test_a_log_that_was_replaced_by_another_of_its_length_is_not_written_to(house: House) -> None:
    house.case()
    house.settle()
    with house.db.writing() as session:
        session.execute(update(EntryRow).where(EntryRow.index == FOUNDED).values(id=new_id()))
    daemon = house.vaultd()
    with pytest.raises(RolledBackError):
        daemon.start()
    daemon.close()


def step_for_ever(daemon: vaultd.Vaultd) -> None:
    while True:
        daemon.step()


def test_a_database_that_missed_the_commit_catches_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [house.case(), house.ingest(b"footage"), house.submit("dockd", Draft("case"))]
    daemon = house.vaultd()
    daemon.start()

    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(vaultd.index, "insert", power_cut)
    with pytest.raises(KeyboardInterrupt):
        step_for_ever(daemon)
    daemon.close()
    monkeypatch.undo()
    house.settle()
    states = [house.row(entry_id).state for entry_id in ids]
    assert states == [RowState.SEQUENCED, RowState.SEQUENCED, RowState.REFUSED]
    with house.db.reading() as session:
        assert list(session.scalars(select(EntryRow.index).order_by(EntryRow.index))) == list(
            range(house.reader.size)
        )
        assert receipt_of(session, ids[1])
    assert house.verify().ok


def test_a_full_disk_is_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vaultd, "FULL_DISK_PAUSE_S", 0.01)
    full = iter([True, True, False])
    put = logwriter.replace

    def sometimes(path: Path, content: bytes) -> None:
        if next(full, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        put(path, content)

    monkeypatch.setattr(logwriter, "replace", sometimes)
    entry_id = house.case()
    stop = threading.Event()
    thread = threading.Thread(target=house.vaultd().run, args=(stop,))
    thread.start()
    while house.row(entry_id).state == RowState.PENDING:
        stop.wait(0.01)
    stop.set()
    thread.join()
    assert house.verify().ok
    assert house.reader.size == FOUNDED + 1


def test_a_disk_that_fails_ends_vaultd_with_a_sentence(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path, content: bytes) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(logwriter, "replace", broken)
    entry_id = house.case()
    with pytest.raises(
        LogWriteError, match=r"checkpoint \(Input/output error\).*wait in the outbox"
    ) as raised:
        house.vaultd().run(threading.Event())
    assert not isinstance(raised.value, LogFullError)
    monkeypatch.undo()
    assert house.row(entry_id).state == RowState.PENDING
    house.settle()
    assert house.row(entry_id).state == RowState.SEQUENCED
