"""Go's own transparency-log packages and openssl accept what our log code writes, and refuse it once altered."""

from __future__ import annotations

import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conformance.small_log import entry, write_log
from conformance.small_vault import SmallVault, found

from vault.formats.checkpoint import Checkpoint, parse_checkpoint
from vault.formats.merkle import DirectoryTiles, consistency_proof, inclusion_proof, tree_root
from vault.formats.note import SigningKey, open_note
from vault.formats.proof import Proof, Receipt

pytestmark = pytest.mark.stock
SIZES = [1, 2, 3, 255, 256, 257, 70_000]
Program = Callable[..., subprocess.CompletedProcess[bytes]]


def verify(run: Program, program: str, log: Path, key: SigningKey, *files: Path) -> tuple[bool, str]:
    done = run(program, log, key.vkey, *files)
    return done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[SigningKey, dict[int, Path]]:
    key, places = SigningKey.generate("sealdock/x"), {}
    for size in SIZES:
        places[size] = tmp_path_factory.mktemp("log")
        write_log(places[size], size, key)
    return key, places


@pytest.mark.parametrize("size", SIZES)
def test_go_accepts_log_and_every_earlier_checkpoint(
    size: int, logs: tuple[SigningKey, dict[int, Path]], run: Program, go_program: Callable[[str], str]
) -> None:
    key, places = logs
    earlier = [places[other] / "checkpoint" for other in SIZES if other <= size]
    accepted, said = verify(run, go_program("docs/formats/verify.go"), places[size], key, *earlier)
    assert accepted, said
    assert f"entries: {size} and every tile lead to the root" in said
    assert said.count("are the beginning of this log") == len(earlier)


@pytest.mark.parametrize("size", SIZES)
def test_go_accepts_our_inclusion_proofs(
    size: int, logs: tuple[SigningKey, dict[int, Path]], run: Program, go_program: Callable[[str], str],
    tmp_path: Path,
) -> None:  # fmt: skip
    key, places = logs
    note = (places[size] / "checkpoint").read_bytes()
    tiles = DirectoryTiles(places[size], size)
    indices = sorted({0, 1, 2, 254, 255, 256, 65_535, 65_536, size // 2, size - 1} & set(range(size)))
    files = []
    for index in indices:
        proof = Proof(index, tuple(inclusion_proof(tiles, index, size)), note, entry(index))
        files.append(tmp_path / f"{index}.tlog-proof")
        files[-1].write_bytes(proof.raw())
    accepted, said = verify(run, go_program("docs/formats/verify.go"), places[size], key, *files)
    assert accepted, said
    assert all(entry(index).decode() in said for index in indices)
    moved = Proof(indices[-1], tuple(inclusion_proof(tiles, indices[-1], size)), note, b"another entry")
    files[-1].write_bytes(moved.raw())
    assert not verify(run, go_program("docs/formats/verify.go"), places[size], key, files[-1])[0]


def test_go_accepts_our_consistency_proofs(
    logs: tuple[SigningKey, dict[int, Path]], run: Program, go_program: Callable[[str], str]
) -> None:
    tiles = DirectoryTiles(logs[1][70_000], 70_000)
    sizes = [*range(1, 20), 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 69_999, 70_000]
    pairs = [(old, new) for old in sizes for new in sizes if old <= new]
    lines = [
        " ".join([
            str(old), str(new),
            *(b64encode(one).decode() for one in (
                tree_root(tiles, old), tree_root(tiles, new), *consistency_proof(tiles, old, new)
            )),
        ])
        for old, new in pairs
    ]  # fmt: skip
    done = run(go_program("tests/conformance/consistency.go"), input="\n".join(lines).encode())
    assert done.stdout.decode() == f"{len(pairs)} proofs hold\n"


@pytest.fixture
def vault(tmp_path: Path) -> SmallVault:
    vault = found(tmp_path / "vault")
    for index in range(1, 299):
        vault.add(original=b"x" * index if index % 7 == 0 else None)
    vault.write()
    return vault


def receipt_file(vault: SmallVault, index: int, place: Path) -> Path:
    size = len(vault.leaves)
    note = (vault.path / "log/checkpoint").read_bytes()
    hashes = inclusion_proof(DirectoryTiles(vault.path / "log", size), index, size)
    path = place / f"{index}.tlog-proof"
    path.write_bytes(Receipt.build(vault.leaves[index], index, hashes, note).raw())
    return path


def test_go_accepts_receipts_now_and_when_the_log_has_grown(
    vault: SmallVault, run: Program, go_program: Callable[[str], str], tmp_path: Path
) -> None:
    program = go_program("docs/formats/verify.go")
    receipts = [receipt_file(vault, index, tmp_path) for index in (0, 1, 254, 255, 256, 298, 299)]
    for _ in range(2):
        accepted, said = verify(run, program, vault.path / "log", vault.log_key, *receipts)
        assert accepted, said
        assert all(vault.leaves[index].canonical().decode() in said for index in (0, 256, 299))
        for _ in range(100):
            vault.add()
        vault.write()


@contextmanager
def flipped(path: Path, place: int) -> Iterator[None]:
    kept = path.read_bytes()
    raw = bytearray(kept)
    raw[place] ^= 1
    path.write_bytes(raw)
    yield
    path.write_bytes(kept)


def test_go_refuses_one_flipped_byte_in_any_file_of_the_log(
    vault: SmallVault, run: Program, go_program: Callable[[str], str], tmp_path: Path
) -> None:
    program, receipt = go_program("docs/formats/verify.go"), receipt_file(vault, 77, tmp_path)
    log = vault.path / "log"
    files = [path for path in log.rglob("*") if path.is_file() and path.name != "policy"]
    assert len(files) == 6  # two bundles, two tiles of level 0, one of level 1, the checkpoint
    for path in [*files, receipt]:
        for place in (0, path.stat().st_size // 2, -1):
            with flipped(path, place):
                accepted, said = verify(run, program, log, vault.log_key, receipt)
            assert not accepted, (path, place, said)
    assert verify(run, program, log, vault.log_key, receipt)[0]


def test_openssl_verifies_the_checkpoints_signature(run: Program, tmp_path: Path) -> None:
    key = SigningKey.generate("sealdock/x")
    raw = Checkpoint("sealdock/x", 5, bytes(32)).signed(key)
    text, line = raw.split(b"\n\n")
    public = b64decode(key.vkey.split("+", 2)[2])[1:]
    (tmp_path / "text").write_bytes(text + b"\n")
    (tmp_path / "signature").write_bytes(b64decode(line.split()[2])[4:])
    # RFC 8410 section 4: SubjectPublicKeyInfo of an Ed25519 key is these twelve bytes and the key.
    (tmp_path / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100") + public)
    command = (
        "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", tmp_path / "key.der",
        "-sigfile", tmp_path / "signature", "-in", tmp_path / "text",
    )  # fmt: skip
    assert run("openssl", *command).returncode == 0
    (tmp_path / "text").write_bytes(text.replace(b"5", b"6") + b"\n")
    assert run("openssl", *command).returncode != 0


def test_we_open_what_gos_note_package_signs() -> None:
    """The signed note in the documentation of golang.org/x/mod/sumdb/note."""
    key = SigningKey.parse("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    published = (
        "— PeterNeumann "
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert key.sign(text).decode() == published
    assert open_note(f"{text}\n{published}".encode(), [key.verifier]) == text


def test_a_checkpoint_of_ours_reads_back(logs: tuple[SigningKey, dict[int, Path]]) -> None:
    key, places = logs
    for size in SIZES:
        assert parse_checkpoint((places[size] / "checkpoint").read_bytes(), key.verifier).size == size
