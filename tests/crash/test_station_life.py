"""A station's life in any order: what was acknowledged is never lost, the log proves, the database follows.

Hypothesis chooses: recordings come in, are linked, held, released and disposed of, the log's vaultd is killed before
any of its write steps, the database is lost and made again. After every step the invariants hold.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from crash import child
from crash.house import Foundation, House, found
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from keeping.people import HALF_A_YEAR, Keeping
from sqlalchemy import select

from core.db import Database
from vault.log.index import EntryAbout, EntryRow, ReceiptRow, reindex
from vault.log.outbox import RowState, Submitter
from vault.log.submission import Draft
from vault.retention.execution import carry_out
from vault.sealer import Sealer

LIVES = int(os.environ.get("SEALDOCK_LIVES", "4"))  # of the short form; `SEALDOCK_LIVES=100` is the long one
STEPS = 14


@cache
def foundation() -> Foundation:
    return found(Path(tempfile.mkdtemp(prefix="sealdock-life-")))


class StationLife(RuleBasedStateMachine):
    """What one station goes through."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="sealdock-life-"))
        self.house = House.copy(foundation(), self.place / "house")
        self.keeping = Keeping(self.house)
        self.acknowledged: set[str] = set()
        self.recordings: dict[str, str] = {}  # each and the hold that is on it
        self.disposed: set[str] = set()

    def teardown(self) -> None:
        self.house.settle()
        self.everything_acknowledged_is_there_and_proven()
        self.house.close()
        shutil.rmtree(self.place)

    @initialize()
    def begin(self) -> None:
        self.keeping.begin()
        self.keeping.ahead = HALF_A_YEAR
        self.people = [self.keeping.person("custodian"), self.keeping.person("head")]

    @property
    def here(self) -> list[str]:
        """Recordings that are on the log, not held and not disposed of."""
        known = {leaf.id for leaf in self.house.reader.leaves()}
        return sorted(one for one, hold in self.recordings.items() if one in known and not hold)

    @rule(size=st.sampled_from([0, 1, 65_536, 70_000]))
    def ingest(self, size: int) -> None:
        entry_id = self.house.ingest(os.urandom(size))
        self.acknowledged.add(entry_id)
        self.recordings[entry_id] = ""

    @rule(count=st.sampled_from([1, 3, 40, 260]))
    def open_cases(self, count: int) -> None:
        with self.house.db.writing() as session:
            submitter = Submitter(self.house.key("console"), self.house.projections, self.house.bell)
            self.acknowledged |= {submitter.submit(session, Draft("case")) for _ in range(count)}

    @precondition(lambda self: self.recordings)
    @rule(data=st.data())
    def link(self, data: Any) -> None:
        recording = data.draw(st.sampled_from(sorted(self.recordings)))
        self.acknowledged.add(self.house.submit("console", Draft("link", about=(recording,), facts={})))

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def hold(self, data: Any) -> None:
        recording = data.draw(st.sampled_from(self.here))
        hold = self.keeping.hold(recording)
        assert self.keeping.why(hold) == ""
        self.acknowledged.add(hold)
        self.recordings[recording] = hold

    @precondition(lambda self: any(self.recordings.values()))
    @rule(data=st.data())
    def nobody_disposes_of_what_is_held(self, data: Any) -> None:
        recording = data.draw(st.sampled_from(sorted(one for one, hold in self.recordings.items() if hold)))
        assert self.keeping.why(self.keeping.dispose([recording], self.people))

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def dispose(self, data: Any) -> None:
        recording = data.draw(st.sampled_from(self.here))
        self.house.settle()
        dispose = self.keeping.dispose([recording], self.people)
        assert self.keeping.why(dispose) == ""
        self.acknowledged.add(dispose)
        del self.recordings[recording]
        self.disposed.add(recording)

    @rule()
    def the_sealer_works(self) -> None:
        self.house.settle()
        house, hands = self.house, self.keeping.hands()
        Sealer(
            house.vault, lambda at: carry_out(house.vault, house.reader, at, hands), immutable=False
        ).step()
        house.settle()
        assert not any(house.vault.object_path(one).exists() for one in self.disposed)

    @rule()
    def settle(self) -> None:
        self.house.settle()

    @rule(at=st.integers(1, 40))
    def vaultd_is_killed(self, at: int) -> None:
        assert child.outcome(child.start(child.settle_dying_at, self.house.directory, at)) in {
            0,
            -signal.SIGKILL,
        }

    @rule()
    def the_database_is_lost_and_made_again(self) -> None:
        self.house.settle()
        again = Database(f"sqlite:///{self.place / 'again.db'}")
        again.create_tables()
        reindex(self.house.vault, self.house.keyring, again, self.house.projections)
        assert everything_in(again) == everything_in(self.house.db)
        again.close()
        (self.place / "again.db").unlink()

    @invariant()
    def everything_acknowledged_is_there_and_proven(self) -> None:
        on_the_log = [leaf.id for leaf in self.house.reader.leaves()]
        assert len(on_the_log) == len(set(on_the_log)), "something is there twice"
        waiting = {row.id for row in self.house.rows(RowState.PENDING)}
        assert self.acknowledged <= waiting | set(on_the_log)
        report = self.house.verify()
        wrong = [one for one in report.failures if not any(gone in one.file for gone in self.disposed)]
        assert wrong == []
        for recording in self.recordings:
            is_here = self.house.vault.object_path(recording).exists()
            assert is_here or self.house.vault.incoming_path(recording).exists()


def everything_in(db: Database) -> list[Any]:
    with db.reading() as session:
        entries = session.execute(
            select(EntryRow.index, EntryRow.id, EntryRow.type).order_by(EntryRow.index)
        ).all()
        about = session.execute(select(EntryAbout.index, EntryAbout.subject_id)).all()
        receipts = session.execute(select(ReceiptRow.entry_id)).all()
    return [entries, sorted(about), sorted(receipts)]


TestStationLife = pytest.mark.timeout(900)(pytest.mark.crash(StationLife.TestCase))
TestStationLife.settings = settings(
    max_examples=LIVES, stateful_step_count=STEPS, deadline=None, phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
