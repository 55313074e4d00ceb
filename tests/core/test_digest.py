from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from core.digest import Sha256, pass_through, sha256_hex

chunks = st.lists(st.binary(max_size=200), max_size=12)


@given(st.binary(max_size=5000))
def test_it_is_the_sha256_that_everybody_else_computes(whole: bytes) -> None:
    assert sha256_hex(whole) == hashlib.sha256(whole).hexdigest()
    assert sha256_hex(memoryview(whole)) == hashlib.sha256(whole).hexdigest()


@given(chunks)
def test_it_can_be_looked_at_on_the_way_without_disturbing_it(parts: list[bytes]) -> None:
    running, seen = Sha256(), b""
    for part in parts:
        running.update(bytearray(part))
        seen += part
        assert running.hexdigest() == hashlib.sha256(seen).hexdigest()
        assert running.hexdigest() == running.hexdigest()


@given(chunks)
def test_passing_through_changes_nothing_and_counts_everything(parts: list[bytes]) -> None:
    running = Sha256()
    assert list(pass_through(parts, running)) == parts
    assert running.hexdigest() == hashlib.sha256(b"".join(parts)).hexdigest()


def test_passing_through_takes_a_chunk_only_when_asked() -> None:
    running = Sha256()
    stream = pass_through(iter([b"a", b"b"]), running)
    assert next(stream) == b"a"
    assert running.hexdigest() == hashlib.sha256(b"a").hexdigest()


def test_the_known_answer() -> None:
    # FIPS 180-4 example "abc"
    assert sha256_hex(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
