from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.name import HIDDEN, is_safe_part, show


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"MOV_0001.MP4", "MOV_0001.MP4"),
        ("执法记录.mp4".encode(), "执法记录.mp4"),
        ("执法记录.mp4".encode("gbk"), "执法记录.mp4"),
        (b"\xff\xfe.mp4", "\\xff\\xfe.mp4"),
        (b"a\nb\x1b[2J", "a\\nb\\x1b[2J"),
        ("gpj.\u202e4pm".encode(), "gpj.\\u202e4pm"),
        (b"x" * 255, "x" * 255),
    ],
)
def test_a_name_is_shown_so_that_it_cannot_act(raw: bytes, shown: str) -> None:
    assert show(raw) == shown


@given(st.binary(min_size=1, max_size=255))
def test_any_bytes_can_be_shown_and_nothing_hidden_comes_out(raw: bytes) -> None:
    import unicodedata  # noqa: PLC0415

    assert not {unicodedata.category(character) for character in show(raw)} & HIDDEN
    show(raw).encode("utf-8")


@pytest.mark.parametrize("raw", [b"", b".", b"..", b"a/b", b"../x", b"/", b"a\0b"])
def test_a_name_that_leads_elsewhere_is_not_a_step_down(raw: bytes) -> None:
    assert not is_safe_part(raw)


@pytest.mark.parametrize("raw", [b"...", b"a..b", b"\\..\\..", b"C:", b" ", b"~", b"-rf"])
def test_odd_names_are_only_names(raw: bytes) -> None:
    assert is_safe_part(raw)
