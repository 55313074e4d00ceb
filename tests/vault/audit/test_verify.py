"""One fact is changed, one exact failure is expected."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from copy import copy
from pathlib import Path

import pytest
from conformance.small_vault import BUCKET, TIME, SmallVault, found
from hypothesis import given, settings
from hypothesis import strategies as st

from core.canonical import decode, encode
from core.errors import Exit
from vault.audit.report import Finding, Report
from vault.audit.verify import Progress, verify_vault
from vault.formats.age import Identity, encrypt_file
from vault.formats.entry import Leaf
from vault.formats.merkle import DirectoryTiles, inclusion_proof
from vault.formats.note import SigningKey
from vault.formats.payload import SEALED_CHUNK_SIZE
from vault.formats.proof import Receipt, Trust

BIG = 7  # index of an object of several chunks
BODY = 4  # index of an entry with a body and no object


def build(path: Path) -> SmallVault:
    vault = found(path)
    for index in range(2, 300):
        original = os.urandom(300_000) if index == BIG else os.urandom(index) if index % 3 == 1 else None
        vault.add(original=original, fields={"n": index} if index % 2 == 0 else None)
    vault.write()
    return vault


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> SmallVault:
    return build(tmp_path_factory.mktemp("pristine") / "vault")


@pytest.fixture
def vault(pristine: SmallVault, tmp_path: Path) -> SmallVault:
    shutil.copytree(pristine.path, tmp_path / "vault")
    own = {name: copy(value) for name, value in vars(pristine).items() if isinstance(value, list | dict)}
    return SmallVault(**{**vars(pristine), **own, "path": tmp_path / "vault"})


def check(vault: SmallVault, *identities: Identity, against: tuple[Path, ...] = ()) -> Report:
    return verify_vault(vault.path, vault.verifier, identities=identities, against=against)


def flip(path: Path, place: int = 0) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 0x20
    path.write_bytes(raw)


def only(report: Report) -> Finding:
    [finding] = report.failures
    assert not report.ok
    assert report.exit_code is Exit.NO
    assert finding.file in finding.sentence
    return finding


def place_of(finding: Finding) -> tuple[int, str, str, int | None]:
    return finding.obligation, finding.code, finding.file, finding.entry


def test_a_whole_vault_without_keys(vault: SmallVault) -> None:
    report = check(vault)
    assert report.ok
    assert report.exit_code is Exit.YES
    assert not report.notices
    assert report.counts["entries"] == report.size == 300
    assert report.counts["objects"] == len(vault.originals) == 99
    assert report.counts["opened_objects"] == report.counts["opened_bodies"] == 0
    assert json.loads(json.dumps(report.to_json()))["trust"] == "confirmed"


@pytest.mark.parametrize("which", ["root", "recovery", "bucket"])
def test_with_any_of_its_keys_every_plaintext_is_compared(vault: SmallVault, which: str) -> None:
    identity = vault.buckets[BUCKET] if which == "bucket" else getattr(vault, which)
    report = check(vault, identity)
    assert report.ok
    assert report.counts["opened_objects"] == len(vault.originals)
    assert report.counts["opened_bodies"] == report.counts["bodies"] == 149


def test_without_a_trusted_key_it_says_so(vault: SmallVault) -> None:
    report = verify_vault(vault.path, None)
    assert report.ok
    assert report.trust is Trust.CLAIMED
    assert report.exit_code is Exit.CANNOT
    assert vault.log_key.vkey in report.sentence
    assert "nothing here confirms" in report.sentence


def test_another_trusted_key_is_a_no(vault: SmallVault) -> None:
    other = SigningKey.generate(vault.log_key.name)
    report = verify_vault(vault.path, other.verifier)
    assert [finding.code for finding in report.failures] == ["verify.key", "verify.key", "verify.checkpoint"]


def test_a_strangers_key_opens_nothing_and_that_is_said(vault: SmallVault) -> None:
    report = check(vault, Identity.generate())
    assert report.ok
    assert [notice.code for notice in report.notices] == ["notice.not_opened"]
    assert report.counts["opened_objects"] == 0


def test_progress_is_told(vault: SmallVault) -> None:
    steps: list[Progress] = []
    verify_vault(vault.path, vault.verifier, progress=steps.append)
    assert {(step.entries, step.entries_total) for step in steps} >= {(256, 300), (300, 300)}
    assert steps == sorted(steps, key=lambda step: (step.entries, step.bytes_read))
    assert 0 < steps[-1].bytes_read <= steps[-1].bytes_total


def test_an_altered_checkpoint(vault: SmallVault) -> None:
    flip(vault.path / "log/checkpoint", -5)
    assert place_of(only(check(vault))) == (2, "verify.checkpoint", "log/checkpoint", None)


def test_a_checkpoint_of_another_origin(vault: SmallVault) -> None:
    facts = decode((vault.path / "vault.json").read_bytes())
    (vault.path / "vault.json").write_bytes(encode({**facts, "origin": "sealdock/other"}))
    assert only(check(vault)).code == "verify.vault_file"


def test_an_altered_entry_is_named_and_what_it_sealed_is_left_out(vault: SmallVault) -> None:
    bundle = vault.path / "log/tile/entries/000"
    flip(bundle, bundle.read_bytes().index(vault.leaves[BIG].id.encode()))
    finding = only(check(vault, vault.root))
    assert place_of(finding) == (3, "verify.bundle", "log/tile/entries/000", BIG)


def test_an_altered_tile(vault: SmallVault) -> None:
    flip(vault.path / "log/tile/0/000", 32 * BIG)
    finding = only(check(vault))
    assert place_of(finding) == (3, "verify.tile", "log/tile/0/000", BIG)
    assert (finding.first, finding.last) == (32 * BIG, 32 * BIG + 31)


def test_an_altered_object_without_keys_is_named_whole(vault: SmallVault) -> None:
    path = vault.object_path(BIG)
    flip(path, 2 * SEALED_CHUNK_SIZE)
    finding = only(check(vault))
    assert place_of(finding) == (6, "verify.object", str(path.relative_to(vault.path)), BIG)
    assert (finding.first, finding.last) == (0, path.stat().st_size - 1)


def test_an_altered_object_with_keys_is_named_to_the_chunk(vault: SmallVault) -> None:
    path = vault.object_path(BIG)
    flip(path, 2 * SEALED_CHUNK_SIZE)
    stored, chunk = check(vault, vault.root).failures
    assert stored.obligation == 6
    assert place_of(chunk) == (9, "verify.plaintext", str(path.relative_to(vault.path)), BIG)
    assert (chunk.first, chunk.last) == (2 * SEALED_CHUNK_SIZE, 3 * SEALED_CHUNK_SIZE - 1)


def lose(path: Path) -> None:
    path.unlink()


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("damage", [lose, shorten, lengthen, link])
def test_a_lost_or_resized_object(vault: SmallVault, damage: Callable[[Path], None]) -> None:
    path = vault.object_path(BIG)
    damage(path)
    assert place_of(only(check(vault))) == (6, "verify.object", str(path.relative_to(vault.path)), BIG)


def test_an_object_in_the_place_of_another(vault: SmallVault) -> None:
    shutil.copyfile(vault.object_path(4), vault.object_path(BIG))
    assert only(check(vault)).entry == BIG


@pytest.mark.parametrize(("index", "first"), [(BIG, 512 * BIG + 256), (BODY, 512 * BODY)])
@pytest.mark.parametrize("offset", [0, 100, 183, 184, 255])
def test_an_altered_slot(vault: SmallVault, index: int, first: int, offset: int) -> None:
    flip(vault.path / "keys/slots/000", first + offset)
    finding = only(check(vault))
    assert place_of(finding) == (7, "verify.slot", "keys/slots/000", index)
    assert (finding.first, finding.last) == (first, first + 255)


def test_an_emptied_slot_that_no_disposal_covers(vault: SmallVault) -> None:
    path = vault.path / "keys/slots/000"
    raw = bytearray(path.read_bytes())
    raw[512 * BIG + 256 : 512 * BIG + 512] = bytes(256)
    path.write_bytes(raw)
    finding = only(check(vault, vault.root))
    assert place_of(finding) == (7, "verify.slot", "keys/slots/000", BIG)
    assert "gone" in finding.why


def test_a_slot_where_no_entry_has_a_key(vault: SmallVault) -> None:
    flip(vault.path / "keys/slots/000", 512 * BODY + 256)
    assert place_of(only(check(vault))) == (7, "verify.slot", "keys/slots/000", BODY)


def test_lost_slots_are_missed_one_by_one(vault: SmallVault) -> None:
    (vault.path / "keys/slots/001").unlink()
    missed = {finding.entry for finding in check(vault).failures}
    assert missed == {index for index in range(256, 300) if index % 3 == 1 or index % 2 == 0}


def test_an_altered_body(vault: SmallVault) -> None:
    pack = vault.path / "packs/000"
    first = pack.read_bytes().index(vault.private[BODY][2])
    flip(pack, first + 3)
    finding = only(check(vault, vault.root))
    assert place_of(finding) == (8, "verify.pack", "packs/000", BODY)
    assert (finding.first, finding.last) == (first - 4, first + len(vault.private[BODY][2]) - 1)


def test_a_body_where_no_entry_has_one(vault: SmallVault) -> None:
    pack = vault.path / "packs/000"
    raw = pack.read_bytes()
    pack.write_bytes(b"\0\0\0\1x" + raw[4:])
    assert place_of(only(check(vault))) == (8, "verify.pack", "packs/000", 0)


def test_a_pack_that_ends_early_or_is_lost(vault: SmallVault) -> None:
    pack = vault.path / "packs/000"
    os.truncate(pack, pack.stat().st_size - 1)
    assert place_of(only(check(vault))) == (8, "verify.pack", "packs/000", 255)
    pack.unlink()
    assert place_of(only(check(vault))) == (8, "verify.pack", "packs/000", None)


def test_a_damaged_length_does_not_fill_the_memory(vault: SmallVault) -> None:
    pack = vault.path / "packs/000"
    pack.write_bytes(b"\xff\xff\xff\xff" + pack.read_bytes()[4:])
    assert place_of(only(check(vault))) == (8, "verify.pack", "packs/000", 0)


def test_a_pack_with_a_tail_is_only_noticed(vault: SmallVault) -> None:
    pack = vault.path / "packs/001"
    size = pack.stat().st_size
    pack.write_bytes(pack.read_bytes() + b"tail")
    report = check(vault)
    assert report.ok
    [notice] = report.notices
    assert (notice.code, notice.file, notice.first) == ("notice.pack_tail", "packs/001", size)


def test_an_object_that_nobody_logged_is_only_noticed(vault: SmallVault) -> None:
    (vault.path / "objects" / "zz").mkdir(
        exist_ok=True
    )  # the random end of some object's id may be just this
    (vault.path / "objects" / "zz" / "stray.chunks").write_bytes(b"x")
    report = check(vault)
    assert report.ok
    assert [notice.file for notice in report.notices] == ["objects/zz/stray.chunks"]


@pytest.mark.parametrize("name", ["recipient", "identity.age"])
def test_lost_bucket_keys(vault: SmallVault, name: str) -> None:
    (vault.path / "keys/buckets" / BUCKET / name).unlink()
    assert place_of(only(check(vault))) == (7, "verify.bucket", f"keys/buckets/{BUCKET}", None)


def test_a_bucket_exchanged_after_its_entry_is_seen_without_keys(vault: SmallVault) -> None:
    place = vault.path / "keys/buckets" / BUCKET
    other = Identity.generate()
    (place / "identity.age").write_bytes(encrypt_file([other.recipient], vault.buckets[BUCKET].text.encode()))
    finding = only(check(vault))
    assert place_of(finding) == (7, "verify.bucket", f"keys/buckets/{BUCKET}/identity.age", None)
    (place / "recipient").write_text(f"{other.recipient.text}\n")
    assert only(check(vault)).file == f"keys/buckets/{BUCKET}/recipient"


def test_a_bucket_sealed_to_somebody_else_from_the_start_is_seen_with_a_key(vault: SmallVault) -> None:
    path = vault.path / "keys/buckets" / BUCKET / "identity.age"
    path.write_bytes(encrypt_file([Identity.generate().recipient], vault.buckets[BUCKET].text.encode()))
    vault.commit(BUCKET)
    vault.write()
    assert check(vault).ok  # nobody can see that without a key
    assert only(check(vault, vault.root)).why == "it is not sealed to root and recovery"


def test_a_bucket_whose_halves_are_not_a_pair(tmp_path: Path) -> None:
    vault = found(tmp_path / "vault")
    (vault.path / "keys/buckets" / BUCKET / "recipient").write_text(f"{Identity.generate().recipient.text}\n")
    vault.leaves = vault.leaves[:1]
    vault.commit(BUCKET)
    vault.write()
    assert check(vault).ok
    assert "pair" in only(check(vault, vault.root)).why


@pytest.mark.parametrize("name", ["root", "recovery"])
def test_another_reader_of_new_buckets(vault: SmallVault, name: str) -> None:
    (vault.path / "keys" / f"{name}.recipient").write_text(f"{Identity.generate().recipient.text}\n")
    assert place_of(only(check(vault))) == (7, "verify.bucket", f"keys/{name}.recipient", None)


def test_an_entry_whose_digests_are_lies_is_found_with_keys_only(tmp_path: Path) -> None:
    vault = found(tmp_path / "vault")
    leaf = vault.add(original=b"what was recorded", fields={"a": 1})
    sealed = {**vars(leaf.object), "sha256": "0" * 64}
    body = {**vars(leaf.body), "sha256": "0" * 64}
    vault.leaves[-1] = Leaf(
        id=leaf.id, type=leaf.type, time=TIME, by="dockd", object=type(leaf.object)(**sealed),
        body=type(leaf.body)(**body),
    )  # fmt: skip
    vault.write()
    assert check(vault).ok
    assert [(finding.obligation, finding.entry) for finding in check(vault, vault.root).failures] == [
        (9, 2),
        (9, 2),
    ]


def test_entries_that_no_log_may_hold(tmp_path: Path) -> None:
    vault = found(tmp_path / "vault")
    vault.leaves[0] = Leaf(
        id=vault.leaves[0].id, type="genesis", time=TIME, by="vaultd", facts={"key": "other"}
    )
    vault.leaves.append(Leaf(id=vault.leaves[0].id, type="genesis", time=TIME, by="vaultd"))
    vault.write()
    found_in = [(finding.obligation, finding.entry) for finding in check(vault).failures]
    assert found_in == [(4, 2), (4, 2), (4, 0), (7, None), (7, None)]


def test_earlier_checkpoints_and_receipts_of_this_log(vault: SmallVault, tmp_path: Path) -> None:
    size = 300
    hashes = inclusion_proof(DirectoryTiles(vault.path / "log", size), BIG, size)
    note = (vault.path / "log/checkpoint").read_bytes()
    (tmp_path / "kept.checkpoint").write_bytes(note)
    (tmp_path / "kept.tlog-proof").write_bytes(Receipt.build(vault.leaves[BIG], BIG, hashes, note).raw())
    kept = (tmp_path / "kept.checkpoint", tmp_path / "kept.tlog-proof")
    for _ in range(5):
        vault.add(fields={})
    vault.write()
    report = check(vault, against=kept)
    assert report.ok
    assert report.counts["against"] == 2


def rewritten(report: Report) -> Finding:
    [finding] = [finding for finding in report.failures if finding.obligation == 5]
    return finding


def test_a_log_that_was_shortened_or_rewritten(vault: SmallVault, tmp_path: Path) -> None:
    kept = tmp_path / "kept.checkpoint"
    kept.write_bytes((vault.path / "log/checkpoint").read_bytes())
    last = vault.leaves[-1]
    vault.leaves = [*vault.leaves[:-1]]
    vault.write()
    assert "only 299" in rewritten(check(vault, against=(kept,))).why
    vault.leaves = [*vault.leaves, Leaf(id=last.id, type="case", time=TIME, by="console")]
    vault.private = {**vault.private, 299: (b"", b"", b"")}
    vault.write()
    finding = rewritten(check(vault, against=(kept,)))
    assert (finding.file, finding.code) == (str(kept), "verify.against")
    assert "not what they were" in finding.why


def test_something_kept_that_is_no_checkpoint_of_this_vault(vault: SmallVault, tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"junk")
    (tmp_path / "junk.tlog-proof").write_bytes(b"c2sp.org/tlog-proof@v1\n\n")
    report = check(vault, against=(tmp_path / "junk", tmp_path / "junk.tlog-proof", tmp_path / "missing"))
    assert [finding.obligation for finding in report.failures] == [5, 5, 5]


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"v":1}', b"\xff"])
def test_an_unusable_vault_file(vault: SmallVault, raw: bytes) -> None:
    (vault.path / "vault.json").write_bytes(raw)
    assert only(check(vault)).code == "verify.vault_file"


@pytest.mark.parametrize("name", ["vault.json", "log/checkpoint", "log/policy", "keys/root.recipient"])
def test_a_pipe_makes_nobody_wait(vault: SmallVault, name: str) -> None:
    (vault.path / name).unlink()
    os.mkfifo(vault.path / name)
    assert name in {finding.file for finding in check(vault).failures}


@pytest.mark.parametrize("change", ["gone", "another", "a second"])
def test_a_policy_that_sends_people_to_another_log(vault: SmallVault, change: str) -> None:
    policy = vault.path / "log/policy"
    other = f"log {SigningKey.generate('sealdock/other').vkey}\n".encode()
    written = {"another": other, "a second": policy.read_bytes() + other}
    policy.unlink()
    if change in written:
        policy.write_bytes(written[change])
    assert only(check(vault)).file == "log/policy"


def test_no_vault_at_all(tmp_path: Path) -> None:
    report = verify_vault(tmp_path, None)
    assert only(report).code == "verify.vault_file"
    assert report.size == 0


def test_a_wrecked_vault_does_not_fill_the_memory(vault: SmallVault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vault.audit.report.FINDINGS_KEPT", 3)
    shutil.rmtree(vault.path / "objects")
    report = check(vault)
    assert len(report.failures) == 3
    assert report.to_json()["failure_count"] == 99


FILES = st.integers(0, 1_000_000), st.floats(0, 1, exclude_max=True), st.integers(1, 255)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> SmallVault:
    vault = found(tmp_path_factory.mktemp("tiny") / "vault")
    for index in range(2, 7):
        vault.add(
            original=b"x" * index if index % 3 == 1 else None, fields={"n": index} if index % 2 == 0 else None
        )
    vault.write()
    return vault


@given(*FILES)
@settings(max_examples=300)
def test_no_byte_anywhere_can_change_unseen(tiny: SmallVault, which: int, where: float, change: int) -> None:
    files = sorted(path for path in tiny.path.rglob("*") if path.is_file())
    path = files[which % len(files)]
    kept = path.read_bytes()
    raw = bytearray(kept)
    raw[int(where * len(raw))] ^= change
    path.write_bytes(raw)
    try:
        report = check(tiny, tiny.root)
    finally:
        path.write_bytes(kept)
    if (
        path.name == "policy" and report.ok
    ):  # witnesses are the administrator's; what the log's line says is not
        assert bytes(raw).split(b"\n")[0].split() == kept.split(b"\n")[0].split()
        return
    if path.name == "vault.json" and report.ok:  # when it was founded is for people, and nothing proves it
        assert {**decode(bytes(raw)), "made_at": ""} == {**decode(kept), "made_at": ""}
        return
    assert not report.ok
    named = str(path.relative_to(tiny.path))
    assert any(named.startswith(finding.file) for finding in report.failures)
