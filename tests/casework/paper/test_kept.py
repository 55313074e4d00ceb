"""Receipts to keep, and what outsiders have confirmed: a real log with real stamps and cosignatures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from crash.house import Foundation, House, found
from support.authority import Authority

from casework.package.receipts import ReceiptShelf
from casework.paper.daily import bounds, day_of
from casework.paper.kept import keep
from casework.paper.scan import joined, pieces
from casework.paper.window import Outsiders, window_of
from core.errors import Exit
from sealdock.command.receipt import receipt as command
from sealdock.outside import confirmations
from vault.formats import timestamp
from vault.formats.checkpoint import Checkpoint
from vault.formats.cosignature import CosignerSigningKey, Kind, with_lines
from vault.formats.note import SigningKey
from vault.formats.proof import Receipt


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("founded"))


@pytest.fixture
def house(tmp_path: Path, founded: Foundation) -> Iterator[House]:
    made = House.copy(founded, tmp_path / "house")
    yield made
    made.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "hour")


WITNESS = CosignerSigningKey.generate("witness/next-door", Kind.ED25519)


def sealed(house: House) -> int:
    recording = house.ingest(b"what was recorded")
    house.settle()
    index = house.row(recording).entry_index
    assert index is not None
    return index


def stamp_log(house: House, authority: Authority) -> int:
    """A time stamp and a cosignature over the newest checkpoint, laid where the anchors lie."""
    checkpoint, note = house.reader.checkpoint()
    place = house.vault.log_path / "anchors" / str(checkpoint.size)
    place.mkdir(parents=True)
    (place / "checkpoint").write_bytes(note)
    (place / "hour.tsr").write_bytes(authority.answer(timestamp.query(note).raw))
    (place / "door.cosignature").write_bytes(WITNESS.line(checkpoint.text(), datetime.now(UTC)))
    return checkpoint.size


def outsiders(authority: Authority) -> Outsiders:
    return Outsiders({"hour": authority.roots}, (WITNESS.vkey,))


def test_without_anchors_the_window_is_everything(house: House) -> None:
    index = sealed(house)
    kept = keep(house.reader, Outsiders(), index)
    assert kept.receipt.verify(house.vault.verifier).id == kept.leaf.id
    assert kept.window.latest is None
    assert kept.window.first is None
    assert kept.window.open_entries == house.reader.size == kept.checkpoint.size
    assert kept.stamps == ()


def test_a_receipt_is_made_under_what_outsiders_saw(house: House, authority: Authority) -> None:
    index = sealed(house)
    size = stamp_log(house, authority)
    later = sealed(house)
    kept = keep(house.reader, outsiders(authority), index)
    assert kept.checkpoint.size == size
    assert b"witness/next-door" in kept.receipt.raw()
    assert kept.window.first is not None
    assert {kept.window.first.name} <= {"hour", "witness/next-door", "door"}
    assert [path.name for path in kept.stamps] == ["hour.tsr"]
    beyond = keep(house.reader, outsiders(authority), later)
    assert beyond.window.first is None
    assert beyond.window.latest is not None
    assert beyond.window.open_entries == house.reader.size - size


def test_nobody_who_was_not_named_is_believed(house: House, authority: Authority) -> None:
    index = sealed(house)
    stamp_log(house, authority)
    assert window_of(house.reader, Outsiders(), index).latest is None
    assert keep(house.reader, Outsiders(), index).stamps == ()


def test_a_damaged_anchor_is_no_evidence_and_no_obstacle(house: House, authority: Authority) -> None:
    index = sealed(house)
    size = stamp_log(house, authority)
    note = house.vault.log_path / "anchors" / str(size) / "checkpoint"
    note.write_bytes(note.read_bytes().replace(b"\n\n", b"\nx\n\n", 1))
    kept = keep(house.reader, outsiders(authority), index)
    assert kept.window.first is None
    kept.receipt.verify(house.vault.verifier)


def test_a_stamped_checkpoint_of_another_history_is_no_evidence(house: House, authority: Authority) -> None:
    index = sealed(house)
    size = stamp_log(house, authority)
    genuine = keep(house.reader, outsiders(authority), index)
    log_key = SigningKey.read(house.keys / "log.key")
    for other in (size - 1, size + 100):  # whoever holds the log's key can have anything stamped
        note = Checkpoint(log_key.name, other, bytes(32)).signed(log_key)
        place = house.vault.log_path / "anchors" / str(other)
        place.mkdir()
        (place / "checkpoint").write_bytes(note)
        (place / "hour.tsr").write_bytes(authority.answer(timestamp.query(note).raw))
    window = window_of(house.reader, outsiders(authority), index)
    assert window.latest is not None
    assert window.latest.size == size
    kept = keep(house.reader, outsiders(authority), index)
    assert kept.checkpoint == genuine.checkpoint


def test_a_stamp_counts_whatever_further_lines_the_log_put_under_its_checkpoint(
    house: House, authority: Authority
) -> None:
    index = sealed(house)
    stamp_log(house, authority)
    kept = keep(house.reader, outsiders(authority), index)
    further = CosignerSigningKey.generate(house.vault.origin, Kind.ML_DSA_44)
    note = kept.receipt.proof.checkpoint_note
    note = with_lines(note, further.line(kept.checkpoint.text(), datetime.now(UTC)))
    whole = Receipt(replace(kept.receipt.proof, checkpoint_note=note), kept.leaf)
    for key in (None, house.vault.verifier):
        [seen] = confirmations(whole, key, kept.stamps, [authority.place / "roots.pem"], ())
        assert seen.name == "hour.tsr"


def test_the_command_line_says_who_confirmed_it(house: House, authority: Authority, tmp_path: Path) -> None:
    index = sealed(house)
    stamp_log(house, authority)
    kept = keep(house.reader, outsiders(authority), index)
    scanned = []
    for number, piece in enumerate(pieces(kept.on_paper.raw()), 1):
        scanned.append(tmp_path / f"{number}.txt")
        scanned[-1].write_bytes(piece + b"\r\n")
    stamp, key = kept.stamps[0], house.vault.verifier.vkey
    asked = [*scanned, "--key", key, "--stamp", stamp, "--roots", authority.place / "roots.pem"]
    told = CliRunner().invoke(command, ["verify", *map(str, asked)])
    assert told.exit_code == Exit.YES, told.output
    assert "hour.tsr confirmed the log with this entry on" in told.output
    told = CliRunner().invoke(
        command, ["verify", *map(str, scanned), "--key", key, "--witness", WITNESS.vkey]
    )
    assert "witness/next-door confirmed" in told.output
    told = CliRunner().invoke(command, ["verify", *map(str, scanned), "--key", key])
    assert "could have rewritten this entry" in told.output
    whole = tmp_path / "whole.tlog-proof"
    read = CliRunner().invoke(command, ["read", *map(str, scanned), "--out", str(whole)])
    assert read.exit_code == 0, read.output
    assert whole.read_bytes() == kept.on_paper.raw()
    assert Receipt.parse(joined([whole.read_bytes()])).leaf.id == kept.leaf.id


def test_the_codes_out_of_order_prove_nothing(house: House, tmp_path: Path) -> None:
    kept = keep(house.reader, Outsiders(), sealed(house))
    cut = pieces(kept.on_paper.raw())
    files = [tmp_path / f"{number}.txt" for number in range(len(cut))]
    for file, piece in zip(files, reversed(cut), strict=True):
        file.write_bytes(piece)
    told = CliRunner().invoke(command, ["verify", *map(str, files), "--key", house.vault.verifier.vkey])
    assert told.exit_code != Exit.YES


def test_a_package_carries_what_outsiders_saw(house: House, authority: Authority) -> None:
    index = sealed(house)
    size = stamp_log(house, authority)
    sealed(house)
    shelf = ReceiptShelf(house.reader)
    leaf = shelf.prove(index)
    members = {member.path: b"".join(member.open()) for member in shelf.members()}
    folder = f"data/anchors/{size}"
    assert {f"{folder}/checkpoint", f"{folder}/hour.tsr", f"{folder}/door.cosignature"} <= set(members)
    receipt = Receipt.parse(members[f"{folder}/{leaf.id}.tlog-proof"])
    assert receipt.examine(house.vault.verifier).checkpoint.size == size
    roots = timestamp.load_roots(authority.roots)
    timestamp.verify(members[f"{folder}/hour.tsr"], members[f"{folder}/checkpoint"], roots)


def test_the_day_is_counted_from_the_log(house: House) -> None:
    sealed(house)
    sealed(house)
    now = datetime.now(UTC)
    with house.db.reading() as session:
        today = day_of(session, house.reader, now.date(), "UTC", now)
        before = day_of(session, house.reader, datetime(2020, 1, 1, tzinfo=UTC).date(), "UTC", now)
    assert (today.counts.recordings, today.counts.size_bytes) == (2, 2 * len(b"what was recorded"))
    assert before.counts.recordings == 0
    assert today.note == house.reader.checkpoint()[1]


def test_a_day_is_the_bureaus_own() -> None:
    since, until = bounds(datetime(2026, 11, 23, tzinfo=UTC).date(), "Asia/Shanghai")
    assert since.astimezone(UTC).isoformat() == "2026-11-22T16:00:00+00:00"
    assert (until - since).days == 1
