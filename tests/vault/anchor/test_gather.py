from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from crash.house import Foundation, House, found
from support.authority import Authority as OpensslAuthority
from support.authority import AuthorityServer
from support.station import Station

from vault.anchor import rule, web
from vault.anchor.add_checkpoint import request
from vault.anchor.conflict import ConflictKind
from vault.anchor.gather import UnmatchedError
from vault.anchor.source import Authority
from vault.anchor.store import AnchorStore, HistoryError, OtherEvidenceError
from vault.anchor.web import OutsideError, Place
from vault.anchor.witness import NotContinuedError, OtherSizeError
from vault.anchor.witness_server import WitnessServer
from vault.audit.anchor import Anchor, check_anchors, last_evidence, outside_evidence
from vault.audit.report import Report
from vault.ceremony.signing import rotate_log
from vault.formats import timestamp
from vault.formats.checkpoint import parse_checkpoint
from vault.formats.cosignature import CosignerSigningKey, Kind
from vault.formats.note import Note
from vault.formats.sm2 import Sm2SigningKey
from vault.log.outbox import RowState
from vault.log.rules import Rules
from vault.log.submission import Draft


@pytest.fixture(scope="session")
def other_foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("other"))


@pytest.fixture
def stations(
    foundation: Foundation, other_foundation: Foundation, tmp_path: Path
) -> Iterator[tuple[Station, Station]]:
    houses = House.copy(foundation, tmp_path / "a"), House.copy(other_foundation, tmp_path / "b")
    yield Station(houses[0], "a"), Station(houses[1], "b")
    for house in houses:
        house.close()


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    return OpensslAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def lines() -> Iterator[ExitStack]:
    """Connections that stay up for the test."""
    with ExitStack() as stack:
        yield stack


def connect(lines: ExitStack, asker: Station, desk: Station) -> None:
    server = lines.enter_context(WitnessServer(desk.desk(asker.house.vault.verifier), "127.0.0.1:0"))
    asker.ask(desk.name, f"http://127.0.0.1:{server.port}", desk.keys[0].verifier)


def authority(openssl: OpensslAuthority, url: str | None) -> Authority:
    return Authority("stamper", url, openssl.place / "roots.pem")


def evidence(station: Station, openssl: OpensslAuthority | None = None) -> list[tuple[int, str, bool]]:
    roots = {"stamper": openssl.roots} if openssl else {}
    vkeys = [one.key.vkey for one in station.witnesses]
    told = outside_evidence(station.house.vault.path, station.store.log_keys(), roots, vkeys)
    return [(one.size, one.name, one.trusted) for one in told]


def test_two_stations_witness_each_other(stations: tuple[Station, Station], lines: ExitStack) -> None:
    one, two = stations
    connect(lines, one, two)
    connect(lines, two, one)
    for count in (1, 3, 300):
        for station in stations:
            size = station.grow(count)
            gathered = station.gatherer.gather()
            assert not gathered.failed
            assert evidence(station)[-1] == (size, f"witness/{gathered.outcomes[0].name}", True)
    assert not one.gatherer.gather().outcomes  # nothing new: nobody is asked twice


def test_a_timestamp_is_kept_over_the_checkpoint_as_the_log_signed_it(
    stations: tuple[Station, Station], openssl: OpensslAuthority, lines: ExitStack
) -> None:
    station = stations[0]
    station.authorities.append(authority(openssl, lines.enter_context(AuthorityServer(openssl)).url))
    size = station.grow()
    _, note = station.house.reader.checkpoint()
    gathered = station.gatherer.gather()
    assert gathered.anchor.note() == note
    assert evidence(station, openssl) == [(size, "stamper", True)]
    kept = gathered.anchor.path("timestamp", "stamper")
    assert timestamp.verify(kept.read_bytes(), note, timestamp.load_roots(openssl.roots))
    assert kept.stat().st_mode & 0o222 == 0


def test_one_that_is_away_keeps_no_other_from_answering(
    stations: tuple[Station, Station], openssl: OpensslAuthority, lines: ExitStack
) -> None:
    one, two = stations
    connect(lines, one, two)
    one.authorities.append(authority(openssl, "http://127.0.0.1:9/"))
    one.grow()
    gathered = one.gatherer.gather()
    assert gathered.failed == {"stamper"}
    assert one.gatherer.missing(gathered.anchor) == {"stamper"}
    one.authorities[0] = authority(openssl, lines.enter_context(AuthorityServer(openssl)).url)
    assert not one.gatherer.gather({"stamper"}).failed
    assert not one.gatherer.missing(gathered.anchor)


@pytest.mark.parametrize("lie", [b"", b"<html>", b"0" * 100_000])
def test_a_lying_authority_is_told_and_nothing_is_kept(
    lie: bytes, stations: tuple[Station, Station], openssl: OpensslAuthority, lines: ExitStack
) -> None:
    station = stations[0]
    server = lines.enter_context(AuthorityServer(openssl, lie=lie))
    station.authorities.append(authority(openssl, server.url))
    station.grow()
    gathered = station.gatherer.gather()
    assert gathered.failed == {"stamper"}
    assert gathered.anchor.files() == []


def test_a_replayed_reply_is_refused_on_line(
    stations: tuple[Station, Station], openssl: OpensslAuthority, lines: ExitStack
) -> None:
    station = stations[0]
    station.grow()
    _, note = station.house.reader.checkpoint()
    old = openssl.answer(timestamp.query(note).raw)
    station.authorities.append(authority(openssl, lines.enter_context(AuthorityServer(openssl, lie=old)).url))
    assert "another request" in station.gatherer.gather().outcomes[0].why


def test_everything_goes_by_exchanged_files_too(
    stations: tuple[Station, Station], openssl: OpensslAuthority
) -> None:
    one, two = stations
    one.ask("two", None, two.keys[0].verifier)
    one.authorities.append(authority(openssl, None))
    desk = two.desk(one.house.vault.verifier)
    asked = one.grow()
    pinned = one.store.pin(one.house.reader.checkpoint()[1])
    question, query = request(one.house.reader, pinned.note(), 0).raw(), timestamp.query(pinned.note())
    one.grow(20)  # life goes on while the stick travels
    for raw in (openssl.answer(query.raw), desk.add_checkpoint(question)):
        anchor, outcome = one.gatherer.accept("answer", raw)
        assert anchor.size == asked
        assert outcome.at is not None
    assert {(size, trusted) for size, _, trusted in evidence(one, openssl)} == {(asked, True)}
    again = request(one.house.reader, one.store.pin(one.house.reader.checkpoint()[1]).note(), asked)
    one.gatherer.accept("answer", desk.add_checkpoint(again.raw()))
    assert one.witnesses[0].last_size(one.store) == one.house.reader.size


def test_what_answers_nothing_is_not_kept(
    stations: tuple[Station, Station], openssl: OpensslAuthority
) -> None:
    one, two = stations
    one.ask("two", None, two.keys[0].verifier)
    one.authorities.append(authority(openssl, None))
    one.grow()
    head, note = one.house.reader.checkpoint()
    one.store.pin(note)
    stranger = CosignerSigningKey.generate("witness/b", Kind.ED25519).line(head.text(), one.desk()._clock())
    for raw in (b"", b"noise", openssl.answer(timestamp.query(b"something else").raw), stranger):
        with pytest.raises(UnmatchedError):
            one.gatherer.accept("answer", raw)
    assert one.store.newest().files() == []  # type: ignore[union-attr]


def roll_back(station: Station, foundation: Foundation) -> None:
    """Put an older copy of the whole station's vault in place, anchors and database included."""
    directory = station.house.directory
    station.house.close()
    for name in ("vault", "house.db", "house.db-wal", "house.db-shm"):
        path = directory / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    shutil.copytree(foundation.directory / "vault", directory / "vault")
    station.house = House(directory, foundation.identity.recovery_identity)


def test_a_vault_that_was_set_back_is_found_out_by_the_witness(
    stations: tuple[Station, Station], foundation: Foundation, lines: ExitStack
) -> None:
    one, two = stations
    connect(lines, one, two)
    one.grow(20)
    one.gatherer.gather()
    seen = parse_checkpoint(one.house.reader.checkpoint()[1], one.house.vault.verifier)
    roll_back(one, foundation)
    one.grow(2)
    (alarm,) = one.gatherer.gather().conflicts
    assert alarm.kind is ConflictKind.ROLLBACK
    known, offered = ((alarm.place / name).read_bytes() for name in ("known", "offered"))
    assert parse_checkpoint(known, one.house.vault.verifier) == seen
    assert parse_checkpoint(offered, one.house.vault.verifier).size == one.house.reader.size


def test_a_history_that_was_written_anew_is_found_out_on_both_sides(
    stations: tuple[Station, Station], foundation: Foundation, lines: ExitStack
) -> None:
    one, two = stations
    connect(lines, one, two)
    one.grow(5)
    one.gatherer.gather()
    roll_back(one, foundation)
    one.grow(30)  # longer than what was seen, and other entries
    (alarm,) = one.gatherer.gather().conflicts
    assert alarm.kind is ConflictKind.UNPROVEN
    for evidence in (alarm, *two.desk(one.house.vault.verifier).status()[0].conflicts):
        known, offered = (
            parse_checkpoint((evidence.place / name).read_bytes(), one.house.vault.verifier)
            for name in ("known", "offered")
        )
        assert known.size < offered.size
        assert known.root != offered.root


def test_a_fork_and_a_rollback_are_found_out_by_files(
    stations: tuple[Station, Station], foundation: Foundation
) -> None:
    one, two = stations
    desk = two.desk(one.house.vault.verifier)
    size = one.grow(5)
    desk.add_checkpoint(request(one.house.reader, one.house.reader.checkpoint()[1], 0).raw())
    roll_back(one, foundation)
    behind = one.grow(2)
    with pytest.raises(OtherSizeError) as caught:
        desk.add_checkpoint(request(one.house.reader, one.house.reader.checkpoint()[1], 1).raw())
    assert caught.value.conflict is not None
    assert one.grow(size - behind) == size
    with pytest.raises(NotContinuedError):
        desk.add_checkpoint(request(one.house.reader, one.house.reader.checkpoint()[1], size).raw())
    kinds = {conflict.kind for conflict in desk.status()[0].conflicts}
    assert kinds == {ConflictKind.FORK, ConflictKind.ROLLBACK}


def test_the_stations_own_anchors_already_tell_a_rewritten_log(
    stations: tuple[Station, Station], foundation: Foundation
) -> None:
    """Set back the log and leave log/anchors, which belongs to another user."""
    one, _ = stations
    one.grow(5)
    one.gatherer.gather()
    kept = one.store.newest()
    assert kept is not None
    note = kept.note()
    roll_back(one, foundation)
    one.store.pin(note)
    with pytest.raises(HistoryError, match="only"):
        one.gatherer.gather()
    one.grow(5)
    with pytest.raises(HistoryError):
        one.gatherer.gather()
    assert one.house.reader.size == kept.size


def test_evidence_enters_the_log_once(
    stations: tuple[Station, Station], openssl: OpensslAuthority, lines: ExitStack
) -> None:
    station = stations[0]
    station.authorities.append(authority(openssl, lines.enter_context(AuthorityServer(openssl)).url))
    size = station.grow()
    anchor = station.gatherer.gather().anchor
    (entry_id,) = station.entries.enter(anchor)
    assert station.entries.enter(anchor) == []
    station.house.settle()
    assert station.entries.enter_all(station.store.newest_first()) == []
    leaf = station.house.reader.leaf(size)
    assert (leaf.id, leaf.type, leaf.by) == (entry_id, "anchor", "anchord")
    assert (leaf.facts["size"], leaf.facts["kind"], leaf.facts["name"]) == (size, "timestamp", "stamper")
    assert not station.gatherer.has_grown()  # an anchor's own entry asks for no further anchor
    station.grow()
    assert station.gatherer.has_grown()


def test_a_log_rule_takes_our_entries_and_no_others(stations: tuple[Station, Station]) -> None:
    station = stations[0]
    rules = Rules()
    rule.register(rules)
    station.house.rules = rules
    good = {
        "size": 3, "root": "A" * 43 + "=", "kind": "timestamp", "name": "stamper", "sha256": "0" * 64,
        "at": "2026-11-23T06:05:04.000000Z",
    }  # fmt: skip
    wrong = [
        {"size": 10**9}, {"size": 0}, {"size": "3"}, {"root": "A" * 44}, {"root": "B" * 43 + "="}, {"kind": "word"},
        {"name": "../x"}, {"sha256": "0"}, {"at": "yesterday"}, {"more": 1},
    ]  # fmt: skip
    ids = [station.house.submit("anchord", Draft("anchor", facts=good | change)) for change in ({}, *wrong)]
    station.house.settle()
    states = [station.house.row(entry_id).state for entry_id in ids]
    assert states[0] == RowState.SEQUENCED
    allowed = [change for change, state in zip(wrong, states[1:], strict=True) if state == RowState.SEQUENCED]
    assert allowed == []


def test_evidence_is_never_overwritten(stations: tuple[Station, Station]) -> None:
    one, _ = stations
    one.grow()
    anchor = one.store.pin(one.house.reader.checkpoint()[1])
    one.store.keep(anchor, "cosignature", "two", b"first")
    one.store.keep(anchor, "cosignature", "two", b"first")
    with pytest.raises(OtherEvidenceError):
        one.store.keep(anchor, "cosignature", "two", b"second")


def test_the_last_evidence_is_over_the_longest_log_and_the_earliest_of_it(
    stations: tuple[Station, Station], openssl: OpensslAuthority, lines: ExitStack
) -> None:
    one, two = stations
    connect(lines, one, two)
    one.authorities.append(authority(openssl, lines.enter_context(AuthorityServer(openssl)).url))
    for _ in range(2):
        one.grow()
        one.gatherer.gather()
    told = outside_evidence(
        one.house.vault.path,
        one.store.log_keys(),
        {"stamper": openssl.roots},
        [two.keys[0].vkey],
        newest_only=True,
    )
    last = last_evidence(told)
    assert {one.size for one in told} == {last.size}  # type: ignore[union-attr]
    assert last.at == min(one.at for one in told)  # type: ignore[union-attr]


def test_a_gathered_note_reads_as_the_checkpoint(stations: tuple[Station, Station], lines: ExitStack) -> None:
    one, two = stations
    connect(lines, one, two)
    one.grow()
    anchor: Anchor = one.gatherer.gather().anchor
    gathered = anchor.gathered()
    assert parse_checkpoint(gathered, one.house.vault.verifier).size == anchor.size
    assert gathered == anchor.note() + anchor.path("cosignature", "b").read_bytes()


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "nonsense", "http://[", "http://127.0.0.1:1/"]
)
def test_only_the_web_is_asked_and_silence_is_our_error(url: str) -> None:
    with pytest.raises(OutsideError):
        web.ask(Place("x", url), 100, b"question", timeout_s=2)


def test_a_store_without_anchors_has_none(stations: tuple[Station, Station]) -> None:
    store: AnchorStore = stations[0].store
    assert store.newest() is None
    store.check_history(stations[0].house.reader.checkpoint()[0])
    assert stations[0].gatherer.has_grown()


def test_further_keys_of_our_own_add_their_lines_and_are_no_evidence(
    stations: tuple[Station, Station], tmp_path: Path
) -> None:
    station = stations[0]
    origin = station.house.vault.origin
    station.cosigners.append(CosignerSigningKey.generate(origin, Kind.ML_DSA_44))
    station.grow()
    sm2 = Sm2SigningKey.generate(origin, tmp_path / "sm2.pem")
    anchor = replace(station.gatherer, signers={"sm2": sm2}).gather().anchor
    assert [(kind, name) for kind, name, _ in anchor.files()] == [
        ("signature", "ml-dsa-44"), ("signature", "sm2"),
    ]  # fmt: skip
    assert len(Note.parse(anchor.note()).signatures) == 1
    gathered = Note.parse(anchor.gathered())
    for key in (station.cosigners[0].verifier, sm2.verifier):  # type: ignore[attr-defined]
        (line,) = (one for one in gathered.signatures if key.made(one))
        key.check(gathered.text, line)
    assert evidence(station) == []
    assert len(station.entries.enter(anchor)) == 2
    station.house.settle()
    assert station.entries.enter(anchor) == []


def test_anchors_outlive_the_handover_of_the_log_to_another_key(stations: tuple[Station, Station]) -> None:
    one, two = stations
    one.ask("two", None, two.keys[0].verifier)
    first = one.house.vault.verifier
    for number in range(2):
        size = one.grow()
        anchor = one.store.pin(one.house.reader.checkpoint()[1])
        question = request(one.house.reader, anchor.note(), one.witnesses[0].last_size(one.store))
        desk = two.desk(first, one.house.vault.verifier)
        one.gatherer.accept("answer", desk.add_checkpoint(question.raw()))
        if not number:
            one.house.close()
            rotate_log(one.house.vault, one.house.keys)
            one.house = House(one.house.directory, one.house.recovery_identity)
    assert one.house.vault.verifier != first
    assert evidence(one)[-1] == (size, "witness/b", True)
    report, head = Report("x"), one.house.reader.checkpoint()[0]
    check_anchors(one.house.vault.path, head, one.store.log_keys(), report, witness_vkeys=[two.keys[0].vkey])
    assert report.failures == []
    assert report.counts["outside_evidence"] == 2
