"""A signed text on paper: cut into QR codes that any reader takes one by one, and put together again.

Invariants: the pieces in their printed order are the text, byte for byte; no piece begins or ends with white
space, so that whatever a scanner adds at the ends of a piece can be taken off again; no piece cuts a letter.
Each piece fits a code of version 25 with error level M (15 % of it may be lost). Structured append is not used:
readers that do not know it show the pieces as they are, but those that do show nothing for a code alone
(docs/adr/0023-receipts-on-paper.md has the measurements).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from casework.field import CaseworkError
from core.errors import Exit

VERSION = 25  # of the code: 117 modules a side, 0.5 mm each on a slip of 80 mm
PIECE_BYTES = 997  # byte mode, version 25, level M (ISO/IEC 18004, table 7)
MOST_PIECES = 12  # two pages of paper; an entry that needs more is handed over as a file
TEXT_LIMIT = 1 << 20  # bytes that a scanned piece may have; far above any code
_BLANK = " \t\r\n\ufeff"  # what scanners, editors and printers add around a piece
_SIGNATURE = "\N{EM DASH} "
_TYPED_DASHES = ("--- ", "-- ", "- ", "\N{EN DASH} ")


class NotOnPaperError(CaseworkError):
    """A text that is too long for codes."""

    code = "casework.not_on_paper"
    sentence = (
        "This receipt has {size} bytes and does not fit on paper as codes. It is as valid as any other; "
        "keep it as a file instead."
    )
    exit_code = Exit.CANNOT


class ScanError(CaseworkError):
    """What was scanned or typed is no text."""

    code = "casework.scan"
    sentence = (
        "This is not a receipt, nor what its printed codes say ({why}). Nothing was checked; take the file again, or "
        "scan the codes again, one file a code, in the order of their numbers."
    )
    exit_code = Exit.NO


def pieces(text: bytes) -> list[bytes]:
    """`text`, which ends with a newline, as the contents of codes. Raises NotOnPaperError."""
    whole = text.rstrip(b"\n")
    for count in range(-(-len(whole) // PIECE_BYTES), MOST_PIECES + 1):
        places = [0, *(_cut(whole, len(whole) * n // count) for n in range(1, count)), len(whole)]
        cut = [whole[start:stop] for start, stop in pairwise(places)]
        if all(0 < len(piece) <= PIECE_BYTES for piece in cut):
            return cut
    raise NotOnPaperError(size=len(text))


def joined(scanned: Sequence[bytes]) -> bytes:
    """The text whose pieces were scanned in order, or that was typed off a page. Raises ScanError.

    Takes off what scanners add and puts right what keyboards lack (the dash before a signature); a text that
    came through untouched is given back untouched. It proves nothing: signatures are for the caller to check.
    """
    if len(scanned) == 1 and _is_whole(scanned[0]):
        return scanned[0]
    text = "".join(_decoded(piece).strip(_BLANK) for piece in scanned)
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    head, blank, signatures = _parted(lines)
    return "".join(f"{line}\n" for line in (*head, *blank, *map(_signature, signatures))).encode()


def _is_whole(raw: bytes) -> bool:
    """Whether these are the very bytes of a note: nothing was added, nothing is typed by hand."""
    tidy = raw.endswith(b"\n") and not raw.endswith(b"\n\n") and b"\r" not in raw and b" \n" not in raw
    return tidy and f"\n{_SIGNATURE}".encode() in raw


def _cut(whole: bytes, place: int) -> int:
    """The nearest place not before `place` that has a visible ASCII letter on both sides."""
    while place < len(whole) and not (_is_visible(whole[place - 1]) and _is_visible(whole[place])):
        place += 1
    return place


def _is_visible(octet: int) -> bool:
    return 0x21 <= octet < 0x7F  # noqa: PLR2004  # from ! to ~


def _decoded(piece: bytes) -> str:
    if len(piece) > TEXT_LIMIT:
        raise ScanError(why="it is far longer than a code")
    try:
        return piece.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise ScanError(why="it is not UTF-8") from cause


def _parted(lines: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Text, empty line and signatures of a note; several empty lines before the signatures count as one."""
    signatures: list[str] = []
    while lines and lines[-1]:
        signatures.append(lines.pop())
    signatures.reverse()
    while lines and not lines[-1]:
        lines.pop()
    return (lines, [""], signatures) if lines else (signatures, [], [])


def _signature(line: str) -> str:
    for dash in _TYPED_DASHES:
        if line.startswith(dash):
            return _SIGNATURE + line.removeprefix(dash)
    return line
