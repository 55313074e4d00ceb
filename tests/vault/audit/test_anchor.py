from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from crash.house import Foundation, House
from hypothesis import given
from hypothesis import strategies as st
from support.authority import Authority as OpensslAuthority
from support.authority import AuthorityServer
from support.station import Station

from vault.anchor.source import Authority
from vault.anchor.witness_server import WitnessServer
from vault.audit.anchor import (
    NEVER,
    OutsideEvidence,
    anchors,
    check_anchors,
    last_evidence,
    outside_evidence,
    uncovered,
)
from vault.audit.report import Finding, Report
from vault.formats import timestamp
from vault.formats.checkpoint import Checkpoint
from vault.formats.cosignature import CosignerSigningKey, Kind
from vault.formats.note import SigningKey

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    return OpensslAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def anchored(
    foundation: Foundation, openssl: OpensslAuthority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Station]:
    """A log with two anchors, each with a timestamp, a cosignature and a line of our own, all on the log."""
    house = House.copy(foundation, tmp_path_factory.mktemp("house") / "h")
    station = Station(house, "a", cosigners=[CosignerSigningKey.generate(house.vault.origin, Kind.ML_DSA_44)])
    desk = Station(station.house, "w")
    with (
        AuthorityServer(openssl) as server,
        WitnessServer(desk.desk(station.house.vault.verifier), "127.0.0.1:0") as peer,
    ):
        station.authorities.append(Authority("stamper", server.url, openssl.place / "roots.pem"))
        station.ask("peer", f"http://127.0.0.1:{peer.port}", desk.keys[0].verifier)
        for _ in range(2):
            station.grow(3)
            station.entries.enter(station.gatherer.gather().anchor)
            station.house.settle()
    yield station
    station.house.close()


def check(
    station: Station, openssl: OpensslAuthority | None, **options: object
) -> tuple[Report, list[OutsideEvidence]]:
    vault, report = station.house.vault, Report(str(station.house.vault.path))
    report.checkpoint = station.house.reader.checkpoint()[0]
    given: dict[str, object] = {
        "entries": list(station.house.reader.leaves()), "roots": {"stamper": openssl.roots} if openssl else {},
        "witness_vkeys": [one.key.vkey for one in station.witnesses],
    }  # fmt: skip
    return report, check_anchors(
        vault.path,
        report.checkpoint,
        [vault.verifier],
        report,
        **(given | options),  # type: ignore[arg-type]
    )


def test_everything_holds_under_the_right_roots_and_keys(
    anchored: Station, openssl: OpensslAuthority
) -> None:
    report, evidence = check(anchored, openssl)
    assert report.ok
    assert report.notices == []
    assert sorted((one.size, one.name) for one in evidence if one.trusted) == sorted(
        (anchor.size, name)
        for anchor in anchors(anchored.house.vault.path)
        for name in ("stamper", "witness/w")
    )
    assert report.counts["anchors"] == 2
    assert report.counts["outside_evidence"] == 4


def test_without_roots_and_keys_nothing_is_wrong_and_nothing_is_counted(anchored: Station) -> None:
    report, evidence = check(anchored, None, witness_vkeys=[])
    assert report.ok
    assert {one.code for one in report.notices} == {"notice.anchor"}
    assert report.counts["outside_evidence"] == 0
    assert last_evidence(evidence) is None
    assert uncovered(evidence, NOW) == NEVER


def test_another_roots_token_is_a_notice(anchored: Station, tmp_path: Path) -> None:
    other = OpensslAuthority(tmp_path / "other")
    report, evidence = check(anchored, None, roots={"stamper": other.roots})
    assert report.ok
    assert [one.why for one in evidence if one.kind == "timestamp"] == ["no given root stands behind it"] * 2


def test_a_random_flipped_bit_in_any_file_is_named(anchored: Station, openssl: OpensslAuthority) -> None:
    files = [path for anchor in anchors(anchored.house.vault.path) for path in anchor.place.iterdir()]
    assert len(files) == 8
    dice = random.Random(3161)  # noqa: S311  a repeatable test, no secret
    for _ in range(300):
        path = dice.choice(files)
        kept, place = path.read_bytes(), dice.randrange(path.stat().st_size * 8)
        raw = bytearray(kept)
        raw[place // 8] ^= 1 << place % 8
        path.chmod(0o600)
        path.write_bytes(raw)
        for brought in (openssl, None):
            report, _ = check(anchored, brought, **({} if brought else {"witness_vkeys": []}))
            assert str(path.relative_to(anchored.house.vault.path)) in {
                one.file for one in report.failures
            }, place
        path.write_bytes(kept)
    assert check(anchored, openssl)[0].ok


@given(st.data())
def test_noise_in_any_file_is_named_and_raises_nothing(
    anchored: Station, openssl: OpensslAuthority, data: st.DataObject
) -> None:
    files = [path for anchor in anchors(anchored.house.vault.path) for path in sorted(anchor.place.iterdir())]
    path, noise = data.draw(st.sampled_from(files)), data.draw(st.binary(max_size=300))
    kept = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(noise)
    try:
        report, _ = check(anchored, openssl, entries=())
        told = outside_evidence(anchored.house.vault.path, [anchored.house.vault.verifier])
    finally:
        path.write_bytes(kept)
    assert str(path.relative_to(anchored.house.vault.path)) in {one.file for one in report.failures}
    assert all(not one.trusted for one in told)


def test_a_lost_file_is_named_because_the_log_names_it(anchored: Station, openssl: OpensslAuthority) -> None:
    path = anchors(anchored.house.vault.path)[0].path("timestamp", "stamper")
    kept = path.read_bytes()
    path.unlink()
    report, _ = check(anchored, openssl)
    assert [one.file for one in report.failures] == [str(path.relative_to(anchored.house.vault.path))]
    assert check(anchored, openssl, entries=())[0].ok
    path.write_bytes(kept)


def test_a_checkpoint_of_another_history_is_named_as_such(
    anchored: Station, openssl: OpensslAuthority
) -> None:
    """Signed by the log's own key: only somebody with that key can have made the other history."""
    station = anchored
    first, second = anchors(station.house.vault.path)
    head = station.house.reader.checkpoint()[0]
    key: SigningKey = station.house.key("log")
    place = station.house.vault.path / "log/anchors"
    for size, root in ((first.size + 1, bytes(32)), (head.size + 5, bytes(32))):
        forged = place / str(size)
        forged.mkdir()
        (forged / "checkpoint").write_bytes(Checkpoint(key.name, size, root).signed(key))
        report, _ = check(station, openssl)
        assert [(one.code, one.file) for one in report.failures] == [
            ("verify.anchor_fork", f"log/anchors/{size}/checkpoint")
        ]
        (forged / "checkpoint").unlink()
        forged.rmdir()
    assert second.size < head.size


def test_evidence_over_another_history_covers_nothing(anchored: Station, openssl: OpensslAuthority) -> None:
    """A token that was really given, over a checkpoint that the key's owner made up."""
    key, head = anchored.house.key("log"), anchored.house.reader.checkpoint()[0]
    forged = anchored.house.vault.path / f"log/anchors/{head.size + 7}"
    forged.mkdir()
    note = Checkpoint(key.name, head.size + 7, bytes(32)).signed(key)
    (forged / "checkpoint").write_bytes(note)
    (forged / "stamper.tsr").write_bytes(openssl.answer(timestamp.query(note).raw))
    given = (anchored.house.vault.path, [key.verifier], {"stamper": openssl.roots})
    assert last_evidence(outside_evidence(*given, newest_only=True)).size == head.size + 7  # type: ignore[union-attr]
    honest = outside_evidence(*given, head=head, newest_only=True)
    assert last_evidence(honest).size < head.size  # type: ignore[union-attr]
    assert "the log now has only" in honest[-1].why
    shutil.rmtree(forged)


def test_a_damaged_tile_does_not_make_the_anchors_guilty(
    anchored: Station, openssl: OpensslAuthority
) -> None:
    tile = anchored.house.vault.log_path / f"tile/0/000.p/{anchored.house.reader.size}"
    kept = tile.read_bytes()
    tile.chmod(0o600)
    tile.write_bytes(bytes([kept[0] ^ 1]) + kept[1:])
    report, _ = check(anchored, openssl)
    assert {one.code for one in report.failures} == {
        "verify.anchor_fork"
    }  # as long as nobody looked at the tree
    named = Report("x")
    named.fail(Finding(3, "verify.tile", "log/tile/0/000"))
    head = anchored.house.reader.checkpoint()[0]
    check_anchors(anchored.house.vault.path, head, [anchored.house.vault.verifier], named)
    assert [one.code for one in named.failures] == ["verify.tile"]
    tile.write_bytes(kept)


def test_strange_names_and_pipes_are_no_evidence(anchored: Station, openssl: OpensslAuthority) -> None:
    place = anchors(anchored.house.vault.path)[0].place
    (place.parent / "007").mkdir()
    (place / "note.txt").write_text("x", encoding="ascii")
    os.mkfifo(place / "pipe.tsr")
    report, _ = check(anchored, openssl)
    assert [one.file for one in report.failures] == [f"log/anchors/{place.name}/pipe.tsr"]
    (place / "pipe.tsr").unlink()
    (place / "note.txt").unlink()
    (place.parent / "007").rmdir()


def test_damaged_evidence_is_left_out_of_the_list(anchored: Station, openssl: OpensslAuthority) -> None:
    newest = anchors(anchored.house.vault.path)[-1]
    kept = (newest.place / "checkpoint").read_bytes()
    (newest.place / "checkpoint").chmod(0o600)
    (newest.place / "checkpoint").write_bytes(kept[:-3])
    vault = anchored.house.vault
    told = outside_evidence(vault.path, [vault.verifier], {"stamper": openssl.roots}, newest_only=True)
    assert {one.size for one in told} == {anchors(vault.path)[0].size}
    (newest.place / "checkpoint").write_bytes(kept)


def one(size: int, at: datetime, *, trusted: bool = True) -> OutsideEvidence:
    return OutsideEvidence(size, bytes(32), at, "timestamp", "stamper", "x", trusted)


def test_the_sentence_names_the_last_evidence_and_its_age() -> None:
    told = [
        one(10, NOW - timedelta(hours=5)), one(12, NOW - timedelta(hours=2, minutes=7)),
        one(12, NOW - timedelta(minutes=1)), one(99, NOW, trusted=False),
    ]  # fmt: skip
    sentence = uncovered(told, NOW)
    assert sentence.startswith(
        "The machine's owner could have rewritten entries since 2026-11-23 09:53:00 UTC"
    )
    assert "first 12 entries" in sentence
    assert "2 h 7 min" in sentence
    assert "3 d 1 h" in uncovered([one(1, NOW - timedelta(days=3, hours=1))], NOW)
    assert uncovered([], NOW) == NEVER
