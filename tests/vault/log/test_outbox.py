from __future__ import annotations

import threading
from typing import Any

import pytest
from crash.house import BUCKET, House
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.bell import Bell
from core.canonical import decode, encode
from core.db import Base
from core.digest import sha256_hex
from vault.error import VaultError
from vault.formats.entry import EntryError
from vault.formats.note import NoteSignatureError, SigningKey, sign_note
from vault.log.index import wait_sequenced
from vault.log.outbox import (
    AppliedEntry,
    NotSequencedError,
    RefusedError,
    RowState,
    Submitter,
    pending_ids,
)
from vault.log.submission import Draft, Submission, SubmissionError, exact, open_submission, read_submission


class Title(Base):
    __tablename__ = "outbox_test_title"

    id: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    index: Mapped[int | None]


def project_title(session: Session, entry: AppliedEntry) -> None:
    title = entry.fields["title"] if entry.fields else "disposed"
    session.merge(Title(id=entry.leaf.id, title=title, index=entry.index))


@pytest.fixture
def titled(house: House) -> House:
    house.projections.on("case", project_title)
    house.projections.owns(Title)
    return house


def titles(house: House) -> list[tuple[str, int | None]]:
    with house.db.reading() as session:
        return [(row.title, row.index) for row in session.scalars(select(Title).order_by(Title.id))]


def test_row_submission_and_projection_are_one_transaction(titled: House) -> None:
    submitter = Submitter(titled.key("console"), titled.projections, titled.bell)

    def submit_and_fail() -> None:
        with titled.db.writing() as session:
            submitter.submit(session, Draft("case", body={"title": "x"}))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        submit_and_fail()
    assert titled.rows() == []
    assert titles(titled) == []


def test_a_projection_runs_at_once_and_again_with_the_index(titled: House) -> None:
    entry_id = titled.case(body={"title": "案件"})
    assert titles(titled) == [("案件", None)]
    titled.settle()
    assert titles(titled) == [("案件", titled.row(entry_id).entry_index)]


def test_what_is_signed_says_everything_but_the_private_part(house: House) -> None:
    entry_id = house.case(body={"title": "private words"})
    row = house.row(entry_id)
    assert "private words" not in row.note
    submission = open_submission(row.note.encode(), {"console": house.key("console").verifier})
    assert submission.leaf.id == entry_id
    assert submission.body
    assert row.body
    assert submission.body.bucket == "facts"
    assert submission.body.sha256 == sha256_hex(encode(row.body))
    assert len(bytes.fromhex(row.body["salt"])) == 32


def test_equal_bodies_have_different_digests(house: House) -> None:
    first, second = (exact(Draft("case", body={"a": 1}), "console")[0] for _ in range(2))
    assert first.body
    assert second.body
    assert first.body.sha256 != second.body.sha256


def test_a_deposit_brings_its_id_its_bucket_and_its_wrapped_key(house: House) -> None:
    deposit = house.deposit(b"x")
    entry_id = house.submit("dockd", Draft("ingest", body={"name": "x"}, deposit=deposit))
    row = house.row(entry_id)
    submission = read_submission(row.note.encode())
    assert entry_id == deposit.id
    assert submission.body
    assert submission.body.bucket == BUCKET
    assert row.key_slot == deposit.key_slot


def test_an_entry_cannot_take_an_object_of_another_id(house: House) -> None:
    draft = Draft("ingest", deposit=house.deposit(b"x"), id="01K8Z3V9Q2M4T6X8A0B2C4D6EF")
    with pytest.raises(SubmissionError, match="the object's id"):
        house.submit("dockd", draft)


@pytest.mark.parametrize(
    "draft",
    [
        Draft("case", about=("not a ulid",)),
        Draft("case", actor="somebody"),
        Draft("Case"),
        Draft("case", facts={"n": float("nan")}),
        Draft("case", facts={"x": "y" * 70_000}),
    ],
)
def test_what_no_log_can_hold_is_refused_when_it_is_submitted(house: House, draft: Draft) -> None:
    with pytest.raises(EntryError):
        house.submit("console", draft)
    assert house.rows() == []


def test_an_id_is_submitted_once(house: House) -> None:
    entry_id = house.case()
    with pytest.raises(IntegrityError):
        house.case(id=entry_id)


def test_a_submission_is_worth_its_signature(house: House) -> None:
    submission, _ = exact(Draft("case"), "console")
    stranger = SigningKey.generate("console")
    with pytest.raises(NoteSignatureError):
        open_submission(submission.signed(stranger), {"console": house.key("console").verifier})
    keys = {name: house.key(name).verifier for name in ("console", "dockd")}
    with pytest.raises(NoteSignatureError):  # another registered key cannot speak as the console
        open_submission(submission.signed(house.key("dockd")), keys)
    with pytest.raises(SubmissionError, match="no key is registered"):
        open_submission(submission.signed(stranger), {})


@pytest.mark.parametrize(
    "text",
    ["x\n", "{}\n", '{"v":1}\n', '{"body":{"x":1}}\n', '{"body":3}\n', "[]\n"],
)
def test_a_signed_text_that_is_no_submission_is_refused(house: House, text: str) -> None:
    with pytest.raises(VaultError):
        read_submission(sign_note(text, house.key("console")))


def test_waiting_gives_the_index_once_it_is_there(house: House) -> None:
    stop, place = threading.Event(), house.reader.size
    vaultd = house.vaultd()
    thread = threading.Thread(target=vaultd.run, args=(stop,))
    thread.start()
    try:
        entry_id = house.case()
        assert wait_sequenced(house.db, entry_id, 20) == place
        assert house.reader.leaf(place).id == entry_id
        refused = house.submit("dockd", Draft("case"))
        with pytest.raises(RefusedError, match="dockd may not put"):
            wait_sequenced(house.db, refused, 20)
    finally:
        stop.set()
        thread.join()


def test_waiting_has_an_end(house: House) -> None:
    entry_id = house.case()
    with pytest.raises(NotSequencedError, match="sealdock-vaultd"):
        wait_sequenced(house.db, entry_id, 0.01)
    with house.db.reading() as session:
        assert pending_ids(session) == {entry_id}


def test_ringing_wakes_whoever_listens_and_nobody_is_no_error(house: House) -> None:
    submitter = Submitter(house.key("console"), house.projections, house.bell)
    submitter.ring()
    bell = Bell(house.bell)
    submitter.ring()
    bell.wait(20)  # returns at once, or this test takes twenty seconds
    bell.close()


def test_the_outbox_lets_go_of_private_words_once_the_vault_holds_them(house: House) -> None:
    entry_id = house.case(body={"title": "private words"})
    house.settle()
    row = house.row(entry_id)
    assert (row.state, row.body, row.key_slot) == (RowState.SEQUENCED, None, None)


def test_a_submission_text_is_canonical(house: House) -> None:
    submission, _ = exact(Draft("case", facts={"b": 1, "a": "案"}), "console")
    text = submission.text()
    assert encode(decode(text.encode().removesuffix(b"\n"))).decode() + "\n" == text
    again: Any = read_submission(submission.signed(house.key("console")))
    assert again == Submission(submission.leaf)
