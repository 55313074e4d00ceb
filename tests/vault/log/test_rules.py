from __future__ import annotations

from typing import Any

import pytest
from crash.house import House

from vault.formats.note import SigningKey
from vault.log import rules
from vault.log.outbox import RowState
from vault.log.submission import Draft

VKEY = SigningKey.generate("dockd").vkey
WHOLE = {"name": "dockd", "vkey": VKEY, "permits": ["ingest", "session"]}


@pytest.fixture
def strict(house: House) -> House:
    rules.register(house.rules)
    return house


def state(house: House, entry_id: str) -> str:
    house.settle()
    return house.row(entry_id).state


def test_a_recording_has_an_object(strict: House) -> None:
    assert state(strict, strict.submit("dockd", Draft("ingest", body={"name": "a.mp4"}))) == RowState.REFUSED
    assert state(strict, strict.ingest(b"footage")) == RowState.SEQUENCED


def test_nothing_else_has_an_object(strict: House) -> None:
    entry_id = strict.submit("dockd", Draft("session", deposit=strict.deposit(b"footage")))
    assert state(strict, entry_id) == RowState.REFUSED
    assert "no other entry does" in strict.row(entry_id).reason
    assert strict.vault.incoming_path(entry_id).exists(), "nothing that is refused is read back or moved"


@pytest.mark.parametrize(
    "facts",
    [{}, {**WHOLE, "name": None}, {**WHOLE, "vkey": "noise"}, {**WHOLE, "vkey": 7}, {**WHOLE, "permits": "all"},
     {**WHOLE, "permits": [7]}, {**WHOLE, "name": "console"}, {**WHOLE, "more": 1}],
)  # fmt: skip
def test_a_key_entry_that_nobody_could_read_never_gets_onto_the_log(
    strict: House, facts: dict[str, Any]
) -> None:
    """It would end vaultd at every start."""
    assert state(strict, strict.submit("vaultd", Draft("key", facts=facts))) == RowState.REFUSED


def test_a_whole_key_entry_is_taken(strict: House) -> None:
    assert state(strict, strict.submit("vaultd", Draft("key", facts=WHOLE))) == RowState.SEQUENCED
