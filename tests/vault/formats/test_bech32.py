from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.error import VaultError
from vault.formats import bech32
from vault.formats.bech32 import Bech32Error

SPECIFIED = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"  # c2sp.org/age


def test_reads_the_specifications_example() -> None:
    assert bech32.decode(SPECIFIED) == ("age-secret-key-", b"\x42" * 32)


@given(st.binary(max_size=80))
def test_what_is_written_reads_back(payload: bytes) -> None:
    assert bech32.decode(bech32.encode("age", payload)) == ("age", payload)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "age1",
        "age",
        SPECIFIED[:-1],
        SPECIFIED[:-1] + "X" * (SPECIFIED[-1] == "Y") + "Q",
        SPECIFIED.lower()[:5] + SPECIFIED[5:],  # mixed case
        SPECIFIED.replace("GFPYY", "GFPYB", 1),  # b is not in the alphabet
        "age1" + "q" * 5000,
        "a\u212ae1qqqqqq",  # a Kelvin sign would fold to k
        "a e1qqqqqqqq",
    ],
)
def test_refuses(text: str) -> None:
    with pytest.raises(Bech32Error):
        bech32.decode(text)


def test_refuses_padding_that_is_not_zero() -> None:
    symbols = [*bech32._regroup(b"\x00", 8, 5, pad=True)]
    symbols[-1] |= 1
    body = "".join(bech32._ALPHABET[s] for s in symbols)
    checked = [*bech32._expand("age"), *symbols, *(0,) * 6]
    checksum = bech32._polymod(checked) ^ 1
    text = f"age1{body}" + "".join(bech32._ALPHABET[(checksum >> 5 * (5 - i)) & 31] for i in range(6))
    with pytest.raises(Bech32Error, match="padding"):
        bech32.decode(text)


@given(st.text(max_size=120))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        prefix, payload = bech32.decode(text)
    except VaultError:
        return
    assert bech32.encode(prefix, payload) == text.lower()
