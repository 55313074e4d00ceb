"""The station's clock jumps a year forward and back: order stays, no grant lives for ever, footage is taken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
import ulid
from crash.house import PASSPHRASE, Foundation, House, found
from support.root import opener

import core.clock
from core.canonical import encode
from core.clock import new_id, parse_stamp, stamp, utc_now
from vault.formats.note import sign_note
from vault.keyd import GRANT_AGE, Keyd
from vault.log.outbox import RowState
from vault.log.submission import Draft

pytestmark = pytest.mark.crash
A_YEAR = timedelta(days=365)


class Clock:
    """The station's clock, which can be set: every module takes the time from core.clock, and ULIDs from time.time."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self, zone: tzinfo | None = None) -> datetime:
        return datetime.now(zone) + self.ahead

    def time(self) -> float:
        return time.time() + self.ahead.total_seconds()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()

    class Shifted(datetime):
        now = staticmethod(made.now)

    monkeypatch.setattr(core.clock, "datetime", Shifted)
    monkeypatch.setattr(ulid.time, "time", made.time)
    return made


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("foundation"))


@pytest.fixture
def house(foundation: Foundation, tmp_path: Path) -> Iterator[House]:
    made = House.copy(foundation, tmp_path / "house")
    yield made
    made.close()


@pytest.fixture
def keyd(house: House) -> Keyd:
    made = Keyd(house.vault, opener(house.vault, house.keys), house.directory / "keyd.sock")
    made.unlock(PASSPHRASE)
    return made


def is_given(house: House, keyd: Keyd, recording: str, grant: str) -> bool:
    """Whether keyd gives the console the key of `recording` for the view `grant`."""
    places = {leaf.id: place for place, leaf in enumerate(house.reader.leaves())}
    request = {
        "op": "unwrap", "by": "console", "id": new_id(), "time": stamp(utc_now()),
        "object": places[recording], "grant": places[grant],
    }  # fmt: skip
    note = sign_note(encode(request).decode() + "\n", house.key("console"))
    return bool(keyd.answer(encode({"request": note.decode()}))["ok"])


def viewed(house: House, recording: str) -> str:
    grant = house.submit("console", Draft("view", about=(recording,)))
    house.settle()
    return grant


@pytest.mark.parametrize("jump", [A_YEAR, -A_YEAR], ids=["forward", "back"])
def test_entries_keep_their_order_and_footage_is_taken(house: House, clock: Clock, jump: timedelta) -> None:
    ids = []
    for ahead in (timedelta(0), jump, timedelta(0)):
        clock.ahead = ahead
        for submit in (lambda: house.ingest(b"footage"), house.case):
            ids.append(submit())
            house.settle()
    leaves = list(house.reader.leaves())
    assert [leaf.id for leaf in leaves if leaf.id in ids] == ids
    told = [parse_stamp(leaf.time) for leaf in leaves if leaf.id in ids]
    assert abs(told[2] - told[0] - jump) < timedelta(minutes=1), (
        "an entry tells the time that its clock showed"
    )
    assert house.rows(RowState.REFUSED) == []
    assert house.verify().ok


def test_no_grant_outlives_a_jump(house: House, keyd: Keyd, clock: Clock) -> None:
    recording = house.ingest(b"footage")
    house.settle()
    now = viewed(house, recording)
    assert is_given(house, keyd, recording, now)
    clock.ahead = A_YEAR
    assert not is_given(house, keyd, recording, now), "a year old, by a clock that is wrong"
    ahead = viewed(house, recording)
    assert is_given(house, keyd, recording, ahead)
    clock.ahead = timedelta(0)
    assert not is_given(house, keyd, recording, ahead), "dated in the future: it would live for a year"
    clock.ahead = A_YEAR + GRANT_AGE + timedelta(minutes=1)
    assert not is_given(house, keyd, recording, ahead)
    clock.ahead = timedelta(0)
    assert is_given(house, keyd, recording, viewed(house, recording)), "and whoever views now, sees"


def test_a_grant_that_was_signed_ahead_of_the_clock_is_not_taken(house: House, clock: Clock) -> None:
    recording = house.ingest(b"footage")
    house.settle()
    clock.ahead = A_YEAR
    ahead = house.submit("console", Draft("view", about=(recording,)))
    clock.ahead = timedelta(0)
    house.settle()
    assert house.row(ahead).state == RowState.REFUSED
