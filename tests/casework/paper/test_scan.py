from __future__ import annotations

from base64 import b64encode
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.paper.scan import MOST_PIECES, PIECE_BYTES, NotOnPaperError, ScanError, joined, pieces

ROOT = b64encode(b"root" * 8).decode()
NOTE = f"sealdock/01kar8m7zc0v5z1y3t8qk2n9dx\n42\n{ROOT}\n\n— sealdock/x c2lnbmF0dXJl\n"


def receipt(entry_bytes: int, hashes: int, signatures: int = 1) -> bytes:
    raw = Random(7).randbytes  # noqa: S311  # the same in every run
    lines = ["c2sp.org/tlog-proof@v1", f"extra {b64encode(raw(entry_bytes)).decode()}", "index 123456"]
    lines += [b64encode(raw(32)).decode() for _ in range(hashes)]
    note = "origin\n99\n" + b64encode(raw(32)).decode() + "\n\n"
    note += "".join(f"— witness{n} {b64encode(raw(76)).decode()}\n" for n in range(signatures))
    return ("\n".join(lines) + "\n\n" + note).encode()


@given(st.integers(1, 6000), st.integers(0, 40), st.integers(1, 6))
def test_pieces_in_order_are_the_text(entry_bytes: int, hashes: int, signatures: int) -> None:
    text = receipt(entry_bytes, hashes, signatures)
    cut = pieces(text)
    assert b"".join(cut) + b"\n" == text
    assert all(0 < len(piece) <= PIECE_BYTES for piece in cut)
    assert all(piece == piece.strip() and piece.decode() for piece in cut)
    assert joined(cut) == text


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", "\ufeff{}", "  {}\n\n", "{}\t"])
def test_what_scanners_add_is_taken_off(around: str) -> None:
    text = receipt(700, 12, 2)
    scanned = [around.format(piece.decode()).encode() for piece in pieces(text)]
    assert len(scanned) > 1
    assert joined(scanned) == text


def test_an_ordinary_receipt_is_two_or_three_codes() -> None:
    assert len(pieces(receipt(700, 5))) == 2
    assert len(pieces(receipt(800, 20, 3))) == 3


def test_a_whole_file_comes_through_untouched() -> None:
    assert joined([NOTE.encode()]) is not None
    assert joined([NOTE.encode()]) == NOTE.encode()


@pytest.mark.parametrize("dash", ["-", "--", "–", "—"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n\n"])
def test_a_typed_checkpoint_reads_as_the_signed_one(dash: str, end: str) -> None:
    typed = NOTE.replace("— ", f"{dash} ").rstrip("\n").replace("\n42\n", " \n42\n") + end
    assert joined([typed.encode()]) == NOTE.encode()
    assert joined([typed.replace("\n", "\r\n").encode()]) == NOTE.encode()


def test_what_is_too_long_for_paper_says_so() -> None:
    with pytest.raises(NotOnPaperError) as caught:
        pieces(receipt(PIECE_BYTES * MOST_PIECES, 1))
    assert caught.value.exit_code == 3
    assert "keep it as a file" in str(caught.value)


@pytest.mark.timeout(10)
def test_a_page_of_nothing_but_lines_is_read_at_once() -> None:
    assert joined([b"a\n" * (1 << 19)]).count(b"\n") == 1 << 19


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b"x" * (1 << 21)])
def test_what_is_no_text_is_one_error(raw: bytes) -> None:
    with pytest.raises(ScanError):
        joined([raw, raw])


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_any_bytes_are_text_or_a_scan_error(scanned: list[bytes]) -> None:
    try:
        joined(scanned).decode()
    except ScanError:
        return
    except UnicodeDecodeError:
        assert len(scanned) == 1  # a whole file is given back untouched, whatever it is
