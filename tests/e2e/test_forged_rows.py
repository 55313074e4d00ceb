"""A console that was taken over: it has the console's key and the whole database, and writes what it likes.

vaultd refuses, says so on the log, and goes on with everybody else's submissions; no footage goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from crash.house import Foundation, House, found
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from keeping.people import HALF_A_YEAR, Keeping
from sqlalchemy import text, update

from core.clock import new_id
from vault.formats.approval import sign
from vault.formats.note import SigningKey
from vault.formats.statement import Statement
from vault.log.outbox import OutboxRow, RowState
from vault.log.submission import Draft, exact
from vault.retention.execution import carry_out, waiting
from vault.sealer import Sealer, clear


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("foundation"))


@pytest.fixture
def keeping(foundation: Foundation, tmp_path: Any) -> Any:
    house = House.copy(foundation, tmp_path / "house")
    made = Keeping(house)
    made.begin()
    made.ahead = HALF_A_YEAR
    yield made
    house.close()


def write(house: House, statement: str, **values: object) -> None:
    """As any program with the database open can."""
    with house.db.writing() as session:
        session.execute(text(statement), values)


def refusals(house: House) -> list[str]:
    return [str(leaf.facts["code"]) for leaf in house.reader.leaves() if leaf.type == "refusal"]


def forge(house: House, key: SigningKey, draft: Draft, by: str = "console") -> str:
    """A row whose note `key` signs in the name of `by`."""
    submission, body = exact(draft, by)
    row = {
        "id": submission.leaf.id, "type": draft.type, "note": submission.signed(key).decode(),
        "body": body, "key_slot": None, "state": RowState.PENDING,
    }  # fmt: skip
    waiting = house.case()
    with house.db.writing() as session:
        session.execute(update(OutboxRow).where(OutboxRow.id == waiting).values(**row))
    return submission.leaf.id


def test_a_strangers_signature_in_the_consoles_name(keeping: Keeping) -> None:
    forged = forge(keeping.house, SigningKey.generate("console"), Draft("case"))
    honest = keeping.house.case()
    keeping.house.settle()
    assert keeping.house.row(forged).state == RowState.REFUSED
    assert refusals(keeping.house) == ["vault.note_signature"]
    assert keeping.house.row(honest).state == RowState.SEQUENCED
    assert keeping.house.verify().ok


@pytest.mark.parametrize(
    "kind", ["ingest", "session", "key", "bucket", "signer", "schedule", "destroy", "derive"]
)
def test_what_is_another_processs_business(keeping: Keeping, kind: str) -> None:
    forged = keeping.house.submit("console", Draft(kind))
    keeping.house.settle()
    assert keeping.house.row(forged).state == RowState.REFUSED
    assert refusals(keeping.house) == ["vault.not_permitted"]


def test_a_submission_that_was_edited_or_is_played_again(keeping: Keeping) -> None:
    house = keeping.house
    edited, body, replayed = house.case(), house.case(body={"title": "before"}), house.case()
    write(house, "UPDATE outbox SET note = replace(note, 'opened', 'closed') WHERE id = :id", id=edited)
    write(house, "UPDATE outbox SET body = replace(body, 'before', 'after!') WHERE id = :id", id=body)
    house.settle()
    assert [house.row(one).state for one in (edited, body)] == [RowState.REFUSED] * 2
    size = house.reader.size
    write(
        house, "UPDATE outbox SET state = 'pending', entry_index = NULL, sequenced_at = NULL WHERE id = :id",
        id=replayed,
    )  # fmt: skip
    house.settle()
    assert house.reader.size == size, "an entry is entered once"
    assert house.verify().ok


NOISE = {
    "the note is no text": "UPDATE outbox SET note = CAST(X'FF00FE' AS TEXT) WHERE id = :id",
    "the type is no text": "UPDATE outbox SET type = CAST(X'C328' AS TEXT) WHERE id = :id",
    "the body is no JSON": "UPDATE outbox SET body = '{\"salt\": ' WHERE id = :id",
    "the body is no text": "UPDATE outbox SET body = X'FFFF' WHERE id = :id",
    "the time is none": "UPDATE outbox SET made_at = 'yesterday', body = 'x' WHERE id = :id",
    "the wrapped key is text": "UPDATE outbox SET key_slot = 'text' WHERE id = :id",
    "the id is no text": "UPDATE outbox SET id = CAST(X'FFFE' AS TEXT) WHERE id = :id",
}


@pytest.mark.parametrize("noise", NOISE)
def test_noise_in_one_row_is_refused_and_stops_no_other(keeping: Keeping, noise: str) -> None:
    house = keeping.house
    before, forged, after = house.case(), house.case(), house.case()
    write(house, NOISE[noise], id=forged)
    daemon = house.vaultd()
    daemon.start()
    for _ in range(5):
        daemon.step()
    daemon.close()
    assert {before, after} <= {leaf.id for leaf in house.reader.leaves()}
    assert len(refusals(house)) == 1, "said once, and not again with every round"
    assert house.verify().ok


def stranger(keeping: Keeping, recording: str) -> list[dict[str, Any]]:
    """Keys that the console made itself, in the names of real people."""
    return approvals(keeping, recording, {name: Ed25519PrivateKey.generate() for name in keeping.keys})


def one_person_twice(keeping: Keeping, recording: str) -> list[dict[str, Any]]:
    name, key = next(iter(keeping.keys.items()))
    return approvals(keeping, recording, {name: key}) * 2


def one_real_and_one_forged(keeping: Keeping, recording: str) -> list[dict[str, Any]]:
    first, second = keeping.keys
    return approvals(keeping, recording, {first: keeping.keys[first], second: Ed25519PrivateKey.generate()})


def for_another_recording(keeping: Keeping, _recording: str) -> list[dict[str, Any]]:
    return approvals(keeping, new_id(), keeping.keys)


def none(_keeping: Keeping, _recording: str) -> list[dict[str, Any]]:
    return []


def approvals(keeping: Keeping, recording: str, keys: dict[str, Ed25519PrivateKey]) -> list[dict[str, Any]]:
    facts = keeping.reasons()
    statement = Statement("dispose", (recording,), facts, keeping.house.vault.id)
    return [sign(statement, account, key).facts() for account, key in keys.items()]


@pytest.mark.parametrize(
    "forged", [stranger, one_person_twice, one_real_and_one_forged, for_another_recording, none]
)
def test_both_approvals_of_a_disposal_are_forged(
    keeping: Keeping, forged: Callable[[Keeping, str], list[dict[str, Any]]]
) -> None:
    for role in ("custodian", "head"):
        keeping.person(role)
    recording = keeping.recording()
    facts = {**keeping.reasons(), "approvals": forged(keeping, recording)}
    dispose = keeping.submit("console", Draft("dispose", about=(recording,), facts=facts, time=keeping.now()))
    assert keeping.house.row(dispose).state == RowState.REFUSED
    assert len(refusals(keeping.house)) == 1
    assert waiting(keeping.house.reader) == []
    Sealer(keeping.house.vault, pytest.fail, immutable=False).step()
    assert keeping.house.vault.object_path(recording).exists()
    assert keeping.house.verify().ok


def test_people_who_were_enrolled_by_the_console_approve_nothing(keeping: Keeping) -> None:
    for role in ("custodian", "head"):
        account, key = keeping.account(role), Ed25519PrivateKey.generate()
        assert keeping.why(keeping.signer(account, key, by="console"))
        keeping.keys[account] = key
    recording = keeping.recording()
    dispose = keeping.dispose([recording], list(keeping.keys))
    assert keeping.house.row(dispose).state == RowState.REFUSED
    assert keeping.house.vault.object_path(recording).exists()


def test_even_a_vaultd_that_asks_nothing_gets_nothing_erased(keeping: Keeping) -> None:
    """The sealer checks again what is on the log: both approvals, by the log alone."""
    for role in ("custodian", "head"):
        keeping.person(role)
    recording = keeping.recording()
    facts = {**keeping.reasons(), "approvals": stranger(keeping, recording)}
    asked = keeping.house.submit(
        "console", Draft("dispose", about=(recording,), facts=facts, time=keeping.now())
    )
    House(keeping.house.directory).settle()  # without any rule
    assert keeping.house.row(asked).state == RowState.SEQUENCED
    house, tried = keeping.house, list[int]()

    def carry(index: int) -> None:
        tried.append(index)
        carry_out(house.vault, house.reader, index, keeping.hands(clear=clear))

    Sealer(house.vault, carry, immutable=False).step()
    assert tried == [keeping.index(asked)]
    assert house.vault.object_path(recording).exists()
    assert house.vault.slots.object_slot(keeping.index(recording))
    assert not house.rows(RowState.PENDING), "nothing claims that it was destroyed"
