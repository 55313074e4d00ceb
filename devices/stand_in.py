"""Taking people's numbers out of names, so that a capture of a recorder can be shown to strangers.

Serial numbers, officers' numbers and every other number that is neither a time nor a counter are replaced by
stand-ins of the same shape: digits by digits, letters by letters, the same text by the same stand-in throughout one
capture, and texts that begin alike by stand-ins that begin alike, so that what a profile must see stays. All zeros
stay: a recorder writes them where nobody was set. Chinese names of people go too; words of the trade stay.
The key is drawn anew for each capture and never kept, so that stand-ins cannot be turned back.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Iterable
from datetime import datetime

from devices.shape import Family, Kind, Named, Piece, families

SHORTEST = 4  # digits: shorter numbers (100MEDIA, FOLDER01) name folders, not people
TRADE_WORDS = re.compile(
    "重点|重要|日志|视频|录像|录音|音频|照片|图片|拍照|文件|执法|记录仪?|前|后|左|右|内|外|紧急|加锁|标记"
)
HAN = (0x4E00, 0x9FA5)  # the block that stand-ins of letters other than A to Z are drawn from
COUNTER_DIGITS = 5  # a longer number is taken for a person's even when it goes up from name to name


class StandIns:
    """The stand-ins of one capture."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self._known: list[str] = []

    def remember(self, number: str) -> None:
        """A number that is somebody's wherever it stands, such as the USB serial."""
        if len(number) >= SHORTEST and number.isascii() and number.isalnum() and set(number) != {"0"}:
            self._known = sorted({*self._known, number}, key=lambda text: (-len(text), text))

    def of(self, text: str) -> str:
        """The stand-in of one text."""
        if set(text) <= {"0"}:
            return text
        return "".join(_pick(self._key, text[:place], character) for place, character in enumerate(text))

    def mixed(self, text: str) -> str:
        """A text in which known numbers may stand, each replaced as it is elsewhere."""
        for number in self._known:
            before, found, after = text.partition(number)
            if found:
                return self._unless_empty(before) + self.of(number) + self._unless_empty(after)
        return self.of(text)

    def _unless_empty(self, text: str) -> str:
        return self.mixed(text) if text else ""

    def paths(self, given: Iterable[tuple[str, datetime | None]]) -> dict[str, str]:
        """For each path (`/` at the end for a folder) its spelling with stand-ins; different paths stay different."""
        found = families(given)
        for family in found:
            for place in _personal_places(family):
                for piece in family.column(place):
                    if piece.kind is Kind.NUMBER:
                        self.remember(piece.text)
        return {
            member.path: self._spell(member, _personal_places(family))
            for family in found
            for member in family.members
        }

    def _spell(self, member: Named, personal: set[int]) -> str:
        if member.path.endswith("/"):
            return self._joined(member, personal)
        name = member.path.rpartition("/")[2]
        return self._joined(member, personal) + name[len(name) - len(_ending(name, member.extension)) :]

    def _joined(self, member: Named, personal: set[int]) -> str:
        return "".join(
            self._replace(piece) if place in personal or piece.kind is Kind.WORD else piece.text
            for place, piece in enumerate(member.pieces)
        )

    def _replace(self, piece: Piece) -> str:
        if piece.kind is not Kind.WORD:
            return self.mixed(piece.text)
        if piece.text.isascii() or TRADE_WORDS.search(piece.text):
            return piece.text
        return self.of(piece.text)


def _ending(name: str, extension: str) -> str:
    """What stands behind the pieces of a name: the dot and the extension, if it has one."""
    return f".{extension}" if extension or (name.endswith(".") and len(name) > 1) else ""


def _personal_places(family: Family) -> set[int]:
    """Places of numbers that are neither times nor the counter nor short."""
    first, counter = family.members[0].pieces, family.counter_at
    if counter is not None and len(first[counter].text) > COUNTER_DIGITS:
        counter = None
    return {
        place
        for place, piece in enumerate(first)
        if place != counter
        and (piece.kind is Kind.MIXED or (piece.kind is Kind.NUMBER and len(piece.text) >= SHORTEST))
    }


def _pick(key: bytes, before: str, character: str) -> str:
    """The stand-in of one character behind others: within an alphabet a permutation, so that no two texts meet.

    The zero of digits stays, as it says that nobody was set.
    """
    for alphabet in (string.digits[1:], string.ascii_uppercase, string.ascii_lowercase):
        if character in alphabet:
            shuffled = sorted(alphabet, key=lambda letter: _number(key, f"{before}/{letter}"))
            return shuffled[alphabet.index(character)]
    if not character.isalpha() or character.isascii():
        return character
    return chr(HAN[0] + _number(key, before + character) % (HAN[1] - HAN[0]))


def _number(key: bytes, text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=8).digest()
    return int.from_bytes(digest)
