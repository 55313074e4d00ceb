"""Sealed objects are read back in time, gently, and a failure is an entry at once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from crash.house import Foundation, House
from sqlalchemy import delete, select, update

from core.clock import utc_now
from vault.care import fixity, rule, scrub
from vault.care.fixity import FixityRow, Result, enter_missing, failures, fixity_state, last_proven
from vault.care.paced import PIECE, Budget, PacedReader, be_idle
from vault.care.scrub import Scrubber
from vault.formats.entry import Leaf
from vault.log.index import reindex
from vault.log.outbox import Submitter
from vault.log.submission import Draft
from vault.store.medium import CancelledError

FAST = 1e12  # bytes a second: no waiting


@pytest.fixture
def house(foundation: Foundation, tmp_path: Path) -> Iterator[House]:
    house = House.copy(foundation, tmp_path / "house")
    fixity.register(house.projections)
    rule.register(house.rules)
    yield house
    house.close()


def scrubber(house: House, **options: object) -> Scrubber:
    submitter = Submitter(house.key("worker"), house.projections, house.bell)
    settings: dict[str, object] = {"bytes_per_second": FAST, "days": 90, **options}
    return Scrubber(house.vault, house.db, submitter, **settings)  # type: ignore[arg-type]


def seal(house: House, count: int) -> list[str]:
    ids = [house.ingest(os.urandom(200_000 + n)) for n in range(count)]
    house.settle()
    return ids


def age(house: House, days: float, *ids: str) -> None:
    moment = utc_now() - timedelta(days=days)
    which = FixityRow.entry_id.in_(ids) if ids else FixityRow.entry_id.is_not(None)
    with house.db.writing() as session:
        session.execute(update(FixityRow).where(which).values(checked_at=moment, last_proven_at=moment))


def entries(house: House, kind: str) -> list[Leaf]:
    house.settle()
    return [leaf for leaf in house.reader.leaves() if leaf.type == kind]


def flip(path: Path) -> None:
    path.chmod(0o600)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def proofs(house: House, ids: list[str]) -> dict[str, str]:
    with house.db.reading() as session:
        return {one: proof.result for one, proof in last_proven(session, ids).items()}


def test_what_is_due_is_read_and_one_entry_tells_of_the_slice(house: House) -> None:
    old, fresh = seal(house, 3), seal(house, 2)
    age(house, 80, *old)
    done = scrubber(house).round(threading.Event())
    assert (done.proven, done.failed, done.skipped) == (3, [], [])
    (entry,) = entries(house, "verify")
    assert set(entry.about) == set(old)
    assert dict(entry.facts) == {"result": "proven", "bytes": done.bytes}
    assert proofs(house, [*old, *fresh]) == dict.fromkeys(old, "proven") | dict.fromkeys(fresh, "sealed")
    assert scrubber(house).round(threading.Event()).proven == 0
    assert scrubber(house).round(threading.Event(), everything=True).proven == 5


def test_the_longest_unproven_is_read_first(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, read = seal(house, 4), list[str]()
    for place, one in enumerate(ids):
        age(house, 100 + (place * 7) % 4, one)
    real = PacedReader.digest
    monkeypatch.setattr(PacedReader, "digest", lambda self, p, s: (read.append(p.stem), real(self, p, s))[1])
    scrubber(house).round(threading.Event())
    assert read == sorted(ids, key=lambda one: -((ids.index(one) * 7) % 4))


@pytest.mark.parametrize("fault", ["damaged", "missing", "unreadable"])
def test_a_failure_is_an_entry_of_its_own_at_once_and_once(
    house: House, fault: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = seal(house, 2)
    path = house.vault.object_path(bad)
    if fault == "damaged":
        flip(path)
    elif fault == "missing":
        path.rename(path.with_suffix(".away"))
    else:
        real = os.preadv

        def failing(held: int, *rest: object) -> int:
            if Path(f"/proc/self/fd/{held}").readlink() == path:
                raise OSError(5, "Input/output error")
            return real(held, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "preadv", failing)
    age(house, 100)
    for _ in range(2):
        done = scrubber(house).round(threading.Event())
        assert done.failed == [bad] or not done.failed
        age(house, 2, bad)
    told = [leaf for leaf in entries(house, "verify") if leaf.facts["result"] == "failed"]
    assert [(leaf.about, leaf.facts["fault"]) for leaf in told] == [((bad,), fault)]
    with house.db.reading() as session:
        assert [(one.entry_id, one.fault) for one in failures(session)] == [(bad, fault)]
        assert fixity_state(session, 90).failed == 1
    assert proofs(house, [good]) == {good: "proven"}
    out = capsys.readouterr()
    assert "does not hold" in out.out + out.err


def test_an_object_that_holds_again_is_proven_and_no_failure_any_more(house: House) -> None:
    (one,) = seal(house, 1)
    path = house.vault.object_path(one)
    away = path.rename(path.with_suffix(".away"))
    age(house, 100)
    assert scrubber(house).round(threading.Event()).failed == [one]
    away.rename(path)
    with house.db.writing() as session:
        session.execute(update(FixityRow).values(checked_at=utc_now() - timedelta(days=2)))
    assert scrubber(house).round(threading.Event()).proven == 1
    assert proofs(house, [one]) == {one: "proven"}


def test_a_fault_that_is_not_there_at_the_second_reading_is_no_failure(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = seal(house, 1)
    age(house, 100)
    faults = ["damaged", ""]
    monkeypatch.setattr(Scrubber, "_fault", lambda *_: faults.pop(0))
    assert scrubber(house).round(threading.Event()).proven == 1
    assert proofs(house, [one]) == {one: "proven"}


def test_what_this_machine_cannot_read_is_not_called_damage(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = seal(house, 1)
    age(house, 100)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(PacedReader, "digest", refuse)
        done = scrubber(house).round(threading.Event())
    assert (done.skipped, done.failed) == ([one], [])
    assert scrubber(house).round(threading.Event()).proven == 0, "not again within the hour"
    assert entries(house, "verify") == []


def test_what_was_disposed_of_is_neither_read_nor_missed(house: House) -> None:
    kept, gone = seal(house, 2)
    house.vault.object_path(gone).unlink()
    house.submit("bureau", Draft("dispose", about=(gone,)))
    assert proofs(house, [gone]) == {gone: "sealed"}, "asked for is not disposed of"
    house.settle()
    assert proofs(house, [kept, gone]) == {kept: "sealed"}
    age(house, 100)
    assert scrubber(house).round(threading.Event()).failed == []
    assert enter_missing(house.db, house.reader) == 0


def test_a_disposal_in_the_middle_of_a_look_is_no_failure(house: House) -> None:
    (gone,) = seal(house, 1)
    age(house, 100)
    looking = scrubber(house)
    with house.db.reading() as session:
        row = session.scalars(select(FixityRow)).one()
    house.submit("bureau", Draft("dispose", about=(gone,)))
    house.settle()
    house.vault.object_path(gone).unlink()
    done = scrub.Round()
    looking._look(row, done, scrub._Slice(), threading.Event())
    assert done.failed == []


def test_a_log_older_than_the_table_gets_its_rows_and_a_wrong_row_is_made_again(house: House) -> None:
    ids = seal(house, 3)
    with house.db.writing() as session:
        session.execute(delete(FixityRow))
    assert enter_missing(house.db, house.reader) == 3
    with house.db.writing() as session:
        session.execute(update(FixityRow).where(FixityRow.entry_id == ids[0]).values(entry_index=1))
    age(house, 100)
    assert scrubber(house).round(threading.Event()).proven == 2
    assert enter_missing(house.db, house.reader) == 1


def test_a_reindex_brings_the_proofs_back(house: House) -> None:
    good, bad = seal(house, 2)
    flip(house.vault.object_path(bad))
    age(house, 100)
    scrubber(house).round(threading.Event())
    house.settle()
    before = proofs(house, [good, bad])
    reindex(house.vault, house.keyring, house.db, house.projections)
    assert proofs(house, [good, bad]) == before == {good: "proven", bad: "failed"}


def test_reading_waits_while_intake_is_busy_and_goes_on_afterwards(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub, "BUSY_FOR_S", 0.0)
    monkeypatch.setattr("vault.care.paced.WAIT_S", 0.01)
    seal(house, 1)
    age(house, 100)
    docking, stop, done = threading.Event(), threading.Event(), list[scrub.Round]()
    docking.set()
    gentle = scrubber(house, is_docking=docking.is_set)
    thread = threading.Thread(target=lambda: done.append(gentle.round(stop)))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    assert not done
    docking.clear()
    thread.join(30)
    assert done[0].proven == 1
    house.deposit(b"waiting")
    house.submit("dockd", Draft("ingest", facts={"origin": "hand"}, deposit=house.deposit(b"another")))
    assert gentle.is_intake_busy()


def test_the_thread_scrubs_and_stops_in_the_middle_of_an_object(house: House) -> None:
    ids = seal(house, 2)
    age(house, 100)
    stop = threading.Event()
    quick = threading.Thread(target=scrubber(house, look_every_s=0.05).run, args=(stop,))
    quick.start()
    end = time.monotonic() + 30
    while set(proofs(house, ids).values()) != {"proven"}:
        assert time.monotonic() < end
        stop.wait(0.02)
    stop.set()
    quick.join(10)
    age(house, 100)
    stop = threading.Event()
    slow = threading.Thread(target=scrubber(house, bytes_per_second=1000).run, args=(stop,))
    slow.start()
    stop.wait(0.2)
    stop.set()
    slow.join(5)
    assert not slow.is_alive()


def test_the_budget_holds_over_any_stretch_and_saves_nothing_up() -> None:
    now = [100.0]
    budget = Budget(2 * PIECE, lambda: now[0])
    assert [budget.wait_s(PIECE) for _ in range(3)] == [0.0, 0.5, 1.0]
    now[0] += 60
    assert [budget.wait_s(PIECE) for _ in range(2)] == [0.0, 0.5]


def test_a_paced_read_takes_as_long_as_its_budget_says(tmp_path: Path) -> None:
    path = tmp_path / "object"
    path.write_bytes(os.urandom(5 * PIECE))
    begun = time.monotonic()
    found = PacedReader(Budget(20 * PIECE)).digest(path, threading.Event())
    assert found.size == 5 * PIECE
    assert 0.2 <= time.monotonic() - begun < 5
    stop = threading.Event()
    stop.set()
    with pytest.raises(CancelledError):
        PacedReader(Budget(20 * PIECE)).digest(path, stop)


def test_only_the_calling_thread_becomes_idle() -> None:
    found = list[object]()
    thread = threading.Thread(
        target=lambda: found.extend([be_idle(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())])
    )
    thread.start()
    thread.join()
    assert found == [True, 19]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < 19


@pytest.mark.parametrize(
    ("facts", "about"),
    [
        ({"result": "proven", "bytes": 1}, ()),
        ({"result": "proven", "bytes": 1, "fault": "damaged"}, ("mine",)),
        ({"result": "failed", "bytes": 1}, ("mine",)),
        ({"result": "failed", "bytes": 1, "fault": "damaged"}, ("mine", "other")),
        ({"result": "failed", "bytes": 1, "fault": "eaten"}, ("mine",)),
        ({"result": "proven", "bytes": -1}, ("mine",)),
        ({"result": "proven", "bytes": 1}, ("01ARZ3NDEKTSV4RRFFQ69G5FAV",)),
        ({"result": "proven", "bytes": 1, "by": "x"}, ("mine",)),
    ],
)
def test_the_log_takes_no_other_proof(house: House, facts: dict[str, object], about: tuple[str, ...]) -> None:
    mine, other = seal(house, 2)
    names = {"mine": mine, "other": other}
    # a projection of nonsense is not of interest here: the log decides
    house.projections._functions.pop("verify")
    house.submit("worker", Draft("verify", about=tuple(names.get(one, one) for one in about), facts=facts))
    house.settle()
    assert entries(house, "verify") == []
    assert [leaf.facts["code"] for leaf in entries(house, "refusal")] == ["vault.refused"]


def test_results_of_the_table_are_those_of_the_log() -> None:
    assert {Result.PROVEN.value, Result.FAILED.value} <= set(Result)
