from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vault.formats.payload import (
    CHUNK_SIZE,
    SEALED_CHUNK_SIZE,
    ChunkOpener,
    ChunkSealer,
    PayloadError,
    PayloadReader,
    open_payload,
    plain_size,
    seal_payload,
    sealed_size,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FILE_KEY, NONCE = b"k" * 16, b"n" * 16
SIZES = [
    0,
    1,
    CHUNK_SIZE - 1,
    CHUNK_SIZE,
    CHUNK_SIZE + 1,
    2 * CHUNK_SIZE,
    3 * CHUNK_SIZE + 77,
    20 * CHUNK_SIZE,
]


def pattern(size: int) -> bytes:
    return (os.urandom(4096) * (size // 4096 + 1))[:size]


def stored(tmp_path: Path, sealed: bytes, name: str = "object.chunks") -> Path:
    path = tmp_path / name
    path.write_bytes(sealed)
    return path


def read_all(path: Path, start: int = 0) -> bytes:
    with PayloadReader.open(path, FILE_KEY, NONCE, start=start) as reader:
        return reader.read()


@pytest.mark.parametrize("size", SIZES)
def test_every_size_reads_back_by_file_and_in_memory(size: int, tmp_path: Path) -> None:
    plaintext = pattern(size)
    sealed = seal_payload(FILE_KEY, NONCE, plaintext)
    assert len(sealed) == sealed_size(size)
    assert plain_size(len(sealed)) == size
    assert open_payload(FILE_KEY, NONCE, sealed) == plaintext
    assert read_all(stored(tmp_path, sealed)) == plaintext


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_a_payload_sealed_in_pieces_is_the_same_bytes(pieces: int) -> None:
    plaintext = pattern(5 * CHUNK_SIZE + 3)
    sealer, out, sealed = ChunkSealer(FILE_KEY, NONCE), bytearray(sealed_size(len(plaintext))), b""
    step = -(-6 // pieces) * CHUNK_SIZE
    for start in range(0, len(plaintext), step):
        count = sealer.seal(plaintext[start : start + step], out, final=start + step >= len(plaintext))
        sealed += out[:count]
    assert sealed == seal_payload(FILE_KEY, NONCE, plaintext)


def test_the_opener_reverses_the_sealer_in_any_pieces() -> None:
    plaintext = pattern(4 * CHUNK_SIZE + 9)
    sealed = seal_payload(FILE_KEY, NONCE, plaintext)
    opener, out, opened = ChunkOpener(FILE_KEY, NONCE), bytearray(2 * CHUNK_SIZE), b""
    for start in range(0, len(sealed), 2 * SEALED_CHUNK_SIZE):
        piece = sealed[start : start + 2 * SEALED_CHUNK_SIZE]
        opened += out[: opener.open(piece, out, final=start + len(piece) == len(sealed))]
    assert opened == plaintext


def test_the_sealer_refuses_what_could_never_be_opened() -> None:
    out = bytearray(2 * SEALED_CHUNK_SIZE)
    with pytest.raises(ValueError, match="inside a chunk"):
        ChunkSealer(FILE_KEY, NONCE).seal(b"x", out, final=False)
    with pytest.raises(ValueError, match="too small"):
        ChunkSealer(FILE_KEY, NONCE).seal(b"x", out[:16], final=True)
    sealer = ChunkSealer(FILE_KEY, NONCE)
    sealer.seal(bytes(CHUNK_SIZE), out, final=False)
    with pytest.raises(ValueError, match="empty"):
        sealer.seal(b"", out, final=True)
    sealer.seal(b"x", out, final=True)
    with pytest.raises(ValueError, match="finished"):
        sealer.seal(b"x", out, final=True)


PLAINTEXT = pattern(20 * CHUNK_SIZE + 5)
SEALED = seal_payload(FILE_KEY, NONCE, PLAINTEXT)


@given(st.lists(st.tuples(st.integers(0, len(PLAINTEXT) + 10), st.integers(0, 9 * CHUNK_SIZE)), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_range_in_any_order(tmp_path: Path, ranges: list[tuple[int, int]]) -> None:
    path = tmp_path / "object.chunks"
    if not path.exists():
        path.write_bytes(SEALED)
    with PayloadReader.open(path, FILE_KEY, NONCE) as reader:
        for first, length in ranges:
            assert reader.seek(first) == first
            assert reader.read(length) == PLAINTEXT[first : first + length]
            assert reader.tell() == max(first, min(first + length, len(PLAINTEXT)))


def test_seeking_from_here_and_from_the_end(tmp_path: Path) -> None:
    with PayloadReader.open(stored(tmp_path, SEALED), FILE_KEY, NONCE) as reader:
        assert reader.seek(-5, os.SEEK_END) == len(PLAINTEXT) - 5
        assert reader.read() == PLAINTEXT[-5:]
        reader.seek(10)
        reader.seek(5, os.SEEK_CUR)
        assert reader.read(3) == PLAINTEXT[15:18]
        for offset, whence in ((-1, os.SEEK_SET), (0, 7)):
            with pytest.raises(ValueError, match="negative"):
                reader.seek(offset, whence)


def test_a_closed_reader_reads_nothing(tmp_path: Path) -> None:
    reader = PayloadReader.open(stored(tmp_path, SEALED), FILE_KEY, NONCE)
    assert reader.readable()
    assert reader.seekable()
    reader.close()
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        reader.read(1)


def test_a_payload_may_start_behind_its_header(tmp_path: Path) -> None:
    assert read_all(stored(tmp_path, b"h" * 184 + SEALED), start=184) == PLAINTEXT


CUTS = [1, 15, 16, 17, 5 + 16, SEALED_CHUNK_SIZE, 3 * SEALED_CHUNK_SIZE, len(SEALED) - 1, len(SEALED)]


@pytest.mark.parametrize("cut", CUTS)
def test_a_shortened_object_is_refused_before_its_first_byte(cut: int, tmp_path: Path) -> None:
    path = stored(tmp_path, SEALED[:-cut])
    with pytest.raises(PayloadError):
        PayloadReader.open(path, FILE_KEY, NONCE)


def test_a_lengthened_object_is_refused(tmp_path: Path) -> None:
    for extra in (b"\0", bytes(16), bytes(SEALED_CHUNK_SIZE)):
        with pytest.raises(PayloadError):
            PayloadReader.open(stored(tmp_path, SEALED + extra), FILE_KEY, NONCE)


def test_swapped_chunks_are_refused(tmp_path: Path) -> None:
    first, second = SEALED[:SEALED_CHUNK_SIZE], SEALED[SEALED_CHUNK_SIZE : 2 * SEALED_CHUNK_SIZE]
    path = stored(tmp_path, second + first + SEALED[2 * SEALED_CHUNK_SIZE :])
    with PayloadReader.open(path, FILE_KEY, NONCE) as reader, pytest.raises(PayloadError):
        reader.read(1)


def test_a_flipped_byte_is_named_and_nothing_of_its_chunk_leaves(tmp_path: Path) -> None:
    damaged = bytearray(SEALED)
    damaged[3 * SEALED_CHUNK_SIZE + 100] ^= 1
    with PayloadReader.open(stored(tmp_path, bytes(damaged)), FILE_KEY, NONCE) as reader:
        assert reader.read(3 * CHUNK_SIZE) == PLAINTEXT[: 3 * CHUNK_SIZE]
        target = bytearray(CHUNK_SIZE)
        with pytest.raises(PayloadError) as caught:
            reader.readinto(target)
        assert target == bytes(CHUNK_SIZE)
        assert caught.value.parameters["first"] == 3 * SEALED_CHUNK_SIZE
        assert caught.value.parameters["last"] == 4 * SEALED_CHUNK_SIZE - 1
        assert "object.chunks" in str(caught.value)
        reader.seek(4 * CHUNK_SIZE)
        assert reader.read(10) == PLAINTEXT[4 * CHUNK_SIZE :][:10]


def test_an_object_cut_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = stored(tmp_path, SEALED)
    with PayloadReader.open(path, FILE_KEY, NONCE) as reader:
        os.truncate(path, 2 * SEALED_CHUNK_SIZE)
        reader.seek(5 * CHUNK_SIZE)
        with pytest.raises(PayloadError, match="ends early"):
            reader.read(1)


def test_another_file_key_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(PayloadError):
        PayloadReader.open(stored(tmp_path, SEALED), b"x" * 16, NONCE)


def test_a_failed_opening_leaks_no_descriptor(tmp_path: Path) -> None:
    path = stored(tmp_path, SEALED[:-1])
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(PayloadError):
            PayloadReader.open(path, FILE_KEY, NONCE)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_rest_comes_in_one_piece(tmp_path: Path) -> None:
    """Without a size the base class reads 8 KiB at a time; a film of hours would take hours."""
    content, sizes = pattern(9 * CHUNK_SIZE + 5), list[int]()
    path = stored(tmp_path, seal_payload(FILE_KEY, NONCE, content))

    class Watched(PayloadReader):
        def readinto(self, buffer: WriteableBuffer) -> int:
            sizes.append(memoryview(buffer).nbytes)
            return super().readinto(buffer)

    with Watched.open(path, FILE_KEY, NONCE) as reader:
        assert reader.read(7) == content[:7]
        assert reader.read() == content[7:]
        assert reader.read() == b""
        assert sizes == [7, len(content) - 7, 0]
        reader.seek(5, os.SEEK_END)
        assert reader.readall() == b""
    with pytest.raises(ValueError, match="closed"):
        reader.readall()


def test_a_sealer_says_whether_the_last_chunk_was_sealed() -> None:
    sealer, out = ChunkSealer(FILE_KEY, NONCE), bytearray(2 * CHUNK_SIZE)
    sealer.seal(bytes(CHUNK_SIZE), out, final=False)
    assert not sealer.is_finished
    sealer.seal(b"end", out, final=True)
    assert sealer.is_finished


@given(st.binary(max_size=200))
def test_any_bytes_are_opened_or_refused(raw: bytes) -> None:
    with pytest.raises(PayloadError):
        open_payload(FILE_KEY, NONCE, raw)
