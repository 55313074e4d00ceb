from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from crash.house import House
from support.authority import Authority as OpensslAuthority
from support.authority import AuthorityServer
from support.station import Station

from vault.anchor.anchord import FIRST_PAUSE_S, Anchord
from vault.anchor.source import Authority

INTERVAL_S = 3600.0


class Clock:
    """A monotonic clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def station(house: House) -> Station:
    return Station(house, "a")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    return OpensslAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def stamper(openssl: OpensslAuthority, station: Station) -> Iterator[AuthorityServer]:
    with AuthorityServer(openssl) as server:
        station.authorities.append(Authority("stamper", server.url, openssl.place / "roots.pem"))
        yield server


def process(station: Station, clock: Clock) -> Anchord:
    return Anchord(station.gatherer, station.entries, INTERVAL_S, clock=clock)


def test_a_round_comes_when_the_interval_is_over_and_the_log_has_grown(
    station: Station, clock: Clock, stamper: AuthorityServer
) -> None:
    anchord = process(station, clock)
    station.grow()
    assert anchord.step()
    station.house.settle()  # the anchor's own entry
    clock.now += INTERVAL_S
    assert anchord.step() is None
    station.grow()
    assert anchord.step()
    station.grow()
    clock.now += INTERVAL_S - 1
    assert anchord.step() is None
    clock.now += 1
    assert anchord.step()
    station.house.settle()
    assert [leaf.type for leaf in station.house.reader.leaves()].count("anchor") == 3


def test_one_that_is_away_is_asked_again_with_growing_pauses(
    station: Station, clock: Clock, stamper: AuthorityServer
) -> None:
    stamper.status = 503
    anchord = process(station, clock)
    station.grow()
    tried = []
    for _ in range(200):
        if anchord.step():
            tried.append(clock.now - 1000)
        clock.now += 30
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert pauses[:4] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S, 8 * FIRST_PAUSE_S]
    assert max(pauses) <= INTERVAL_S
    stamper.status = 200
    clock.now += INTERVAL_S
    gathered = anchord.step()
    assert gathered is not None
    assert not gathered.failed


def test_a_restart_remembers_whom_it_waits_for_and_what_is_not_on_the_log(
    station: Station, clock: Clock, stamper: AuthorityServer
) -> None:
    station.grow()
    gathered = station.gatherer.gather()  # and died before the entry
    assert not gathered.failed
    process(station, clock).step()
    station.house.settle()
    assert [leaf.type for leaf in station.house.reader.leaves()].count("anchor") == 1
    stamper.status = 503
    station.grow()
    process(station, clock).step()
    stamper.status = 200
    again = process(station, clock).step()
    assert again is not None
    assert [one.name for one in again.outcomes] == ["stamper"]


def test_where_everything_is_carried_by_hand_it_leaves_the_log_alone(station: Station, clock: Clock) -> None:
    station.ask("two", None, station.keys[0].verifier)
    station.grow()
    assert process(station, clock).step() is None
    assert station.store.newest() is None


def test_nothing_stops_it(station: Station, clock: Clock, stamper: AuthorityServer, tmp_path: Path) -> None:
    station.grow()
    anchord = process(station, clock)
    head = station.house.vault.log_path / "checkpoint"
    kept = head.read_bytes()
    head.write_bytes(b"noise")
    assert anchord.step() is None
    head.write_bytes(kept)
    assert anchord.step() is None  # not before its pause is over
    clock.now += FIRST_PAUSE_S
    assert anchord.step()


def test_it_runs_until_it_is_told_to_stop(station: Station, stamper: AuthorityServer) -> None:
    station.grow()
    stop = threading.Event()
    thread = threading.Thread(target=Anchord(station.gatherer, station.entries, INTERVAL_S).run, args=(stop,))
    thread.start()
    for _ in range(400):
        if station.store.newest() and station.store.newest().files():  # type: ignore[union-attr]
            break
        stop.wait(0.05)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert station.store.newest().files()  # type: ignore[union-attr]
