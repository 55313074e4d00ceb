"""A station's life in any order: what was acknowledged is never lost, the log proves, the database follows.

Hypothesis chooses: recordings come in, are linked, held, released and disposed of, the log's vaultd is killed before
any of its write steps, the database is lost and made again, keys of processes, of the log and of its readers are
rotated, and a rotation is killed before any of its write steps. After every step the invariants hold, for somebody
who has the key of the founding, every receipt that was ever given out, and today's root and recovery key.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from crash import child
from crash.house import Foundation, House, found, rotate_dying_at
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from keeping.people import HALF_A_YEAR, Keeping
from sqlalchemy import select

from core.clock import new_id
from core.db import Database
from vault.audit.report import Finding
from vault.audit.verify import verify_vault
from vault.formats.age import Identity
from vault.formats.handover import read_handovers, spoken_by
from vault.formats.note import SigningKey
from vault.formats.proof import Receipt
from vault.founding import PERMITS
from vault.log.index import EntryAbout, EntryRow, ReceiptRow, reindex
from vault.log.outbox import RowState, Submitter
from vault.log.submission import Draft
from vault.log.writer import LogKeyError
from vault.retention.execution import carry_out
from vault.sealer import Sealer
from vault.store.keys import Keyring, WrongRootError, bucket_names, open_body
from vault.store.objects import DisposedError, open_object

LIVES = int(os.environ.get("SEALDOCK_LIVES", "3"))  # of the short form; `SEALDOCK_LIVES=100` is the long one
STEPS = 14
PROCESSES = ("dockd", "console", "sealer", "vaultd")
READERS = ("root", "recovery")
WRITES = {"log": 90, "root": 130, "recovery": 105}  # calls that change the disk, with two buckets
WRITES_OF_A_PROCESS = 65
HALFWAY = {  # what a verifier may name while a rotation is cut short, and never after it
    "log": {"verify.handover", "verify.key"},  # not proven yet; not in log/policy yet
    "root": {"verify.bucket"},  # the log is ahead of the files
    "recovery": {"verify.bucket"},
}


def deaths(writes: int) -> st.SearchStrategy[list[int]]:
    """Before which writes a rotation is killed, time after time; at its end the steps that need an order are close."""
    return st.lists(st.integers(1, writes) | st.integers(writes * 2 // 3, writes), max_size=2)


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
        self.contents: dict[str, bytes] = {}
        self.linked: set[str] = set()  # case evidence: no period ends it
        self.disposed: set[str] = set()
        self.erased: set[str] = set()
        self.founding_key = self.house.vault.verifier  # as it was printed
        self.receipts = self.place / "receipts"  # outside: whoever was given one has it for ever
        self.receipts.mkdir()
        self.given_up: list[tuple[str, SigningKey]] = []

    def teardown(self) -> None:
        self.house.settle()
        self.everything_acknowledged_is_there_and_proven()
        self.everything_opens_that_is_not_disposed_of()
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
        content = os.urandom(size)
        entry_id = self.house.ingest(content)
        self.contents[entry_id] = content
        self.acknowledged.add(entry_id)
        self.recordings[entry_id] = ""

    @rule(count=st.sampled_from([1, 3, 40, 260]))
    def open_cases(self, count: int) -> None:
        self.open_cases_now(count)

    def open_cases_now(self, count: int) -> None:
        with self.house.db.writing() as session:
            submitter = Submitter(self.house.key("console"), self.house.projections, self.house.bell)
            self.acknowledged |= {submitter.submit(session, Draft("case")) for _ in range(count)}

    @precondition(lambda self: self.recordings)
    @rule(data=st.data())
    def link(self, data: Any) -> None:
        recording, case = data.draw(st.sampled_from(sorted(self.recordings))), new_id()
        facts = {"recording": recording, "case": case, "action": "link", "stage": "evidence"}
        draft = Draft("link", about=(recording, case), facts=facts)
        self.acknowledged.add(self.house.submit("console", draft))
        self.linked.add(recording)

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def hold(self, data: Any) -> None:
        recording = data.draw(st.sampled_from(self.here))
        hold = self.keeping.hold(recording)
        assert self.keeping.why(hold) == ""
        self.acknowledged.add(hold)
        self.recordings[recording] = hold

    @precondition(lambda self: self.linked or any(self.recordings.values()))
    @rule(data=st.data())
    def nobody_disposes_of_what_is_held_or_evidence(self, data: Any) -> None:
        held = {one for one, hold in self.recordings.items() if hold}
        recording = data.draw(st.sampled_from(sorted(held | self.linked)))
        self.house.settle()
        assert self.keeping.why(self.keeping.dispose([recording], self.people))

    @precondition(lambda self: set(self.here) - self.linked)
    @rule(data=st.data())
    def dispose(self, data: Any) -> None:
        recording = data.draw(st.sampled_from(sorted(set(self.here) - self.linked)))
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
        self.erased |= self.disposed

    @rule()
    def settle(self) -> None:
        self.house.settle()

    @rule(at=st.integers(1, 40))
    def vaultd_is_killed(self, at: int) -> None:
        assert child.outcome(child.start(child.settle_dying_at, self.house.directory, at)) in {
            0,
            -signal.SIGKILL,
        }

    @rule(name=st.sampled_from(PROCESSES), deaths=deaths(WRITES_OF_A_PROCESS))
    def a_process_gets_another_key(self, name: str, deaths: list[int]) -> None:
        self.house.settle()  # `key rotate process` asks for it: what waits would be refused
        before = self.house.key(name)
        self.rotate(name, deaths)
        assert self.house.key(name).vkey != before.vkey
        self.given_up.append((name, before))

    @rule(deaths=deaths(WRITES["log"]))
    def the_log_is_handed_over(self, deaths: list[int]) -> None:
        before = self.house.vault.verifier
        self.rotate("log", deaths)
        assert before in self.house.vault.earlier
        assert self.house.vault.verifier == self.house.key("log").verifier

    @rule(data=st.data(), name=st.sampled_from(READERS))
    def others_read(self, data: Any, name: str) -> None:
        before = self.house.root() if name == "root" else Identity.parse(self.house.recovery_identity or "")
        self.rotate(name, data.draw(deaths(WRITES[name])))
        with pytest.raises(WrongRootError):
            Keyring.opened(self.house.vault, before)

    def rotate(self, name: str, deaths: list[int]) -> None:
        """The station stands still; a ceremony that was cut short is held again; then everything starts anew."""
        house, recovery = self.house, Identity.generate().text
        for at in deaths:
            death = child.start(rotate_dying_at, house.directory, child.STEPS, at, name, recovery)
            assert child.outcome(death) in {0, -signal.SIGKILL}
            house.restart()
            self.halfway(name)
        house.rotate(name, recovery)
        if name == "recovery":
            house.recovery_identity = recovery
        assert not list(house.keys.glob("*.next")) + list(house.directory.glob("*/rotation"))
        self.everything_opens_that_is_not_disposed_of()

    def halfway(self, name: str) -> None:
        """A ceremony was cut short: readers are not locked out, and vaultd loses nothing, or does not start."""
        wrong = {one.code for one in self.failures()}
        assert wrong <= HALFWAY.get(name, set())
        self.receipts_hold(self.receipts.iterdir())
        self.receipts_are_given_out()
        if name not in PERMITS:
            self.open_cases_now(1)
        daemon = self.house.vaultd()
        try:
            daemon.start()
            daemon.step()
        except LogKeyError:
            assert name == "log"
        finally:
            daemon.close()

    @precondition(lambda self: self.given_up)
    @rule(data=st.data())
    def nobody_submits_under_a_key_that_was_given_up(self, data: Any) -> None:
        name, key = data.draw(st.sampled_from(self.given_up))
        draft = Draft(PERMITS[name][0], facts={})
        with self.house.db.writing() as session:
            stolen = Submitter(key, self.house.projections, self.house.bell).submit(session, draft)
        self.house.settle()
        assert self.house.row(stolen).state == RowState.REFUSED

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
        assert self.failures() == []
        for recording in self.recordings:
            is_here = self.house.vault.object_path(recording).exists()
            assert is_here or self.house.vault.incoming_path(recording).exists()

    def failures(self, **brought: Any) -> list[Finding]:
        """What `vault verify --key` says to whoever has the first key and these."""
        report = verify_vault(self.house.vault.path, self.founding_key, **brought)
        assert report.checkpoint
        return [one for one in report.failures if not any(gone in one.file for gone in self.disposed)]

    @invariant()
    def stock_verifiers_know_every_key(self) -> None:
        vault = self.house.vault
        lines = (vault.log_path / "policy").read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if line.startswith("log ")] == [
            f"log {key.vkey}" for key in (vault.verifier, *reversed(vault.earlier))
        ]

    @invariant()
    def receipts_are_given_out(self) -> None:
        """Those of recordings as the database keeps them, and one of the newest entry."""
        reader = self.house.reader
        with self.house.db.reading() as session:
            issued = [*session.scalars(select(ReceiptRow.text)), reader.proof(reader.size - 1)]
        fresh = {self.receipts / f"{sha256(raw).hexdigest()}.tlog-proof": raw for raw in issued}
        fresh = {file: raw for file, raw in fresh.items() if not file.exists()}
        for file, raw in fresh.items():
            file.write_bytes(raw)
        self.receipts_hold(fresh)

    def receipts_hold(self, files: Iterable[Path]) -> None:
        """Each leads from the founding key to its entry, as the log has it today."""
        house, handovers = self.house, read_handovers(self.house.vault.path)
        for file in files:
            receipt = Receipt.parse(file.read_bytes())
            leaf = receipt.verify(spoken_by(receipt.proof.checkpoint_note, self.founding_key, handovers))
            assert house.reader.leaf(receipt.proof.index) == leaf

    def everything_opens_that_is_not_disposed_of(self) -> None:
        """Under the root and under the recovery key of today; what was erased, under none."""
        vault = self.house.vault
        self.receipts_hold(self.receipts.iterdir())
        kept = {"identities": [self.house.root()], "against": sorted(self.receipts.iterdir())}
        assert self.failures(**kept) == []
        for identity in (self.house.root(), Identity.parse(self.house.recovery_identity or "")):
            keyring = Keyring.opened(vault, identity)
            assert all(keyring.bucket(name) for name in bucket_names(vault))
            for index, leaf in enumerate(self.house.reader.leaves()):
                if leaf.id in self.erased:
                    assert open_body(vault, index, leaf, keyring) is None
                    with pytest.raises(DisposedError):
                        open_object(vault, index, leaf, bytes(16))
                elif leaf.id in self.recordings and leaf.object is not None:
                    slot = vault.slots.object_slot(index)
                    assert slot
                    with open_object(
                        vault, index, leaf, keyring.file_key(slot, leaf.object.bucket)
                    ) as source:
                        assert source.read() == self.contents[leaf.id]


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
