"""Erasing by policy on a real file system: what goes, what stays, and that the log says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest
from emulation.dock import PASSPHRASE, PORTS, wait_until
from sqlalchemy import select
from support.root import opener

from core.db import Database
from core.settings import EraseSettings
from devices.detect import Departure
from devices.eraser import Fate
from ingest.erase_gate import tally
from ingest.erase_line import CardOpenError, Exchange
from ingest.erase_record import ErasedFile, erased_among, erasing_of
from ingest.erase_run import ErasingRun
from ingest.erase_words import erasing_sentences
from ingest.recording import IngestRecording
from ingest.status import TileState
from ingest.workplace import keep_all
from vault.audit.verify import verify_vault
from vault.care.backup import Backup
from vault.log.index import reindex
from vault.log.submission import Draft

from .erase_scene import FILES, Scene, projections, scene

S = TileState
TOTAL = sum(map(len, FILES.values()))


def policy(*, grace_days: int = 0, replicated: bool = False, witnessed: bool = False) -> EraseSettings:
    return EraseSettings(policy="erase", grace_days=grace_days, replicated=replicated, witnessed=witnessed)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as made:
        yield made


def test_what_is_sealed_and_opened_is_erased_file_by_file_and_the_log_says_so(at: Scene) -> None:
    assert at.dock(at.policy()) is S.SEALED
    assert at.on_card() == {}
    assert at.states() == ["erased"] * len(FILES)
    (allowed,), erased, (ended,) = (at.entries(stage) for stage in ("allowed", "erased", "ended"))
    assert {leaf.about[1] for leaf in erased} == set(allowed.about[1:])
    assert all(leaf.facts["result"] == "verified_gone" for leaf in erased)
    assert (ended.facts["erased"], ended.facts["kept"], ended.facts["bytes"]) == (len(FILES), 0, TOTAL)
    assert ended.facts["sectors_written"] > 0
    assert verify_vault(at.station.vault.path, at.station.vault.verifier).failures == []
    with at.station.db.reading() as session:
        told = erasing_of(session, ended.facts["session"])
        assert told is not None
        assert (told.erased, told.bytes, told.kept, told.is_over) == (len(FILES), TOTAL, 0, True)
        assert set(erased_among(session, list(allowed.about))) == set(allowed.about[1:])
        said = [str(one) for one in erasing_sentences(session, ended.facts["session"])]
    assert said[0].startswith(f"Afterwards {len(FILES)} files ({TOTAL} bytes) were erased")
    assert f"{ended.facts['sectors_written']} sectors" in said[1]


def test_the_tile_is_clearing_and_never_green_while_anything_is_erased(at: Scene) -> None:
    at.dock(at.policy())
    shown = [state for state in at.seen if state is not S.EMPTY]
    assert S.SEALED not in shown[:-1]
    assert shown[-2:] == [S.CLEARING, S.SEALED]


def test_the_default_keeps_everything(at: Scene) -> None:
    assert at.dock(keep_all) is S.SEALED
    assert at.on_card() == FILES
    assert at.entries("allowed") == []


def test_within_the_days_of_grace_it_stays_and_is_proven_for_the_docking_after_them(at: Scene) -> None:
    assert at.dock(at.policy(policy(grace_days=30))) is S.SEALED
    assert at.on_card() == FILES
    assert S.CLEARING not in at.seen
    assert tally(at.station.db, at.policy(policy(grace_days=30)).gates) == {"grace": len(FILES)}
    wait_until(lambda: sum(leaf.type == "open" for leaf in at.reader.leaves()) == len(FILES))
    at.is_working = False
    assert at.dock(at.policy()) is S.SEALED  # the days are over: nothing has to be waited for
    assert at.on_card() == {}


def test_an_object_that_opens_to_other_bytes_is_no_proof_and_its_file_stays(at: Scene) -> None:
    at.dock(keep_all)
    spoilt = at.rows()[0]
    path = at.station.vault.object_path(spoilt.id)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    at.dock(at.policy())
    assert set(at.on_card()) == {spoilt.shown_path}


def test_after_a_lost_database_what_was_erased_is_known_from_the_log(at: Scene) -> None:
    at.dock(at.policy())
    at.entries("ended")
    keyring = opener(at.station.vault, at.station.root / "keys")(PASSPHRASE)
    with closing(Database(f"sqlite:///{at.mounts.parent / 'new.db'}")) as db:
        db.create_tables()
        reindex(at.station.vault, keyring, db, projections())
        with db.reading() as session:
            states = set(session.scalars(select(IngestRecording.state)))
            assert states == {"erased"}
            assert len(list(session.scalars(select(ErasedFile)))) == len(FILES)


def test_what_is_held_stays_and_the_rest_goes(at: Scene) -> None:
    at.dock(keep_all)
    held = at.rows()[1]
    at.submit("console", Draft("hold", about=(held.id,), facts={"review_on": "2027-01-01"}))
    at.dock(at.policy())
    assert set(at.on_card()) == {held.shown_path}
    assert held.id not in at.entries("allowed")[0].about


def test_without_anybody_outside_who_vouches_for_it_nothing_goes(at: Scene) -> None:
    at.dock(at.policy(policy(witnessed=True), covered=at.reader.size))
    assert at.on_card() == FILES
    at.dock(at.policy(policy(witnessed=True), covered=at.reader.size))
    assert at.on_card() == {}
    assert at.entries("allowed")[0].facts["witnessed"] > 0


def test_only_what_was_proven_in_the_second_copy_goes(at: Scene, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    at.copy = copy
    at.dock(at.policy(policy(replicated=True)))
    assert at.on_card() == FILES
    Backup(at.station.vault, copy).run()
    spoilt = at.rows()[0]
    path = copy / "vault" / at.station.vault.object_path(spoilt.id).relative_to(at.station.vault.path)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    at.dock(at.policy(policy(replicated=True)))
    assert set(at.on_card()) == {spoilt.shown_path}


def test_a_worker_that_does_not_answer_keeps_everything_on_the_recorder(at: Scene) -> None:
    at.is_working = False
    assert at.dock(at.policy(stalled_s=1.5)) is S.SEALED
    assert at.on_card() == FILES
    assert S.CLEARING in at.seen
    assert (at.entries("allowed"), at.entries("ended")) == ([], [])


def test_a_file_that_changed_after_it_was_sealed_is_not_erased_and_is_copied_the_next_time(at: Scene) -> None:
    name, content = list(FILES.items())[2]
    erasing = at.policy(stalled_s=60)

    def changed_behind_the_kernels_back(*given: object) -> None:
        at.tamper(content)
        erasing(*given)  # type: ignore[arg-type]

    assert at.dock(changed_behind_the_kernels_back) is S.PARTIAL
    left = at.on_card()
    assert set(left) == {name}
    assert left[name] != content
    assert at.dock(keep_all) is S.SEALED
    at.entries("ended")
    sealed = Counter(leaf.object.sha256 for leaf in at.reader.leaves() if leaf.object)
    assert len(sealed) == len(FILES) + 1
    assert at.dock(at.policy(stalled_s=60)) is S.SEALED
    assert at.on_card() == {}


def test_a_recorder_that_leaves_in_the_middle_goes_on_where_it_was(
    at: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    erase, done = Exchange.erase, list[Fate]()

    def pulled_after_two(exchange: Exchange, path: bytes, receipt: bytes) -> Fate:
        done.append(erase(exchange, path, receipt))
        if len(done) == 2:
            at.bay.depart(Departure(at.volume, PORTS[0]))
        return done[-1]

    monkeypatch.setattr(Exchange, "erase", pulled_after_two)
    assert at.dock(at.policy()) is S.INTERRUPTED
    assert len(at.on_card()) == len(FILES) - 2
    (ended,) = at.entries("ended")
    assert (ended.facts["erased"], ended.facts["kept"]) == (2, len(FILES) - 2)
    assert Counter(at.states()) == {"erased": 2, "receipted": len(FILES) - 2}
    assert at.dock(at.policy()) is S.SEALED
    assert at.on_card() == {}
    erased = Counter(leaf.about[1] for leaf in at.entries("erased"))
    assert set(erased.values()) == {1}
    assert len(erased) == len(FILES)


def test_what_a_cut_left_open_is_said_when_the_recorder_comes_back(
    at: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> NoReturn:
        raise KeyboardInterrupt  # the power: nothing of ours runs after it

    with monkeypatch.context() as once:
        once.setattr(ErasingRun, "_enter_erased", cut)
        once.setattr(ErasingRun, "_give_back", lambda *_: None)
        once.setattr(ErasingRun, "_enter_end", lambda *_: None)
        once.setattr("threading.excepthook", lambda _: None)
        at.dock(at.policy())
    assert Counter(at.states()) == {"erasing": 1, "erasable": len(FILES) - 1}
    assert len(at.on_card()) == len(FILES) - 1
    assert at.dock(at.policy()) is S.SEALED
    results = Counter(leaf.facts["result"] for leaf in at.entries("erased"))
    assert results == {"verified_gone": len(FILES) - 1, "not_found": 1}
    assert at.on_card() == {}


def test_a_name_that_is_used_again_after_erasing_is_another_recording(at: Scene) -> None:
    at.dock(at.policy())
    before = len(at.rows())
    at.refill()
    assert at.dock(keep_all) is S.SEALED
    assert len(at.rows()) == before + len(FILES)


def test_a_file_that_was_not_seen_to_go_is_on_the_log_at_the_next_docking(
    at: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    erase = Exchange.erase

    begun: list[bytes] = []

    def failing_after_it(exchange: Exchange, path: bytes, receipt: bytes) -> Fate:
        begun.append(path)
        if len(begun) < len(FILES):
            erase(exchange, path, receipt)
        return Fate.STILL_THERE

    with monkeypatch.context() as once:
        once.setattr(Exchange, "erase", failing_after_it)
        at.dock(at.policy())
    assert at.entries("erased") == []
    assert len(at.on_card()) == 1
    at.dock(at.policy())
    told = [leaf.facts["result"] for leaf in at.entries("erased")]
    assert told == [*["not_found"] * (len(FILES) - 1), "verified_gone"]


def test_an_empty_card_does_not_say_that_a_file_was_erased(
    at: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another card, or another recorder with this serial."""
    with monkeypatch.context() as once:
        once.setattr(Exchange, "erase", lambda *_: Fate.STILL_THERE)
        at.dock(at.policy())
    at.empty()
    at.dock(at.policy())
    assert (at.entries("erased"), at.on_card()) == ([], {})


def test_a_warrant_that_is_half_an_hour_old_is_followed_by_another(
    at: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.erase_run.RENEW_S", 0.0)
    assert at.dock(at.policy()) is S.SEALED
    assert at.on_card() == {}
    assert len(at.entries("allowed")) == len(FILES)


def test_a_card_that_stayed_open_never_ends_green(at: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def left_open(exchange: Exchange) -> NoReturn:
        raise CardOpenError(card=exchange.card, why="the medium hangs")

    monkeypatch.setattr(Exchange, "end", left_open)
    assert at.dock(at.policy()) is S.FAULT
    assert S.SEALED not in at.seen
    assert len(at.entries("ended")) == 1
