"""Bech32 as age uses it: BIP 173 without the limit on length, all lower or all upper case.

One string has one meaning: mixed case, a wrong checksum or non-zero padding is refused.
"""

from __future__ import annotations

from vault.error import AgeError

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"  # BIP 173
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)  # BIP 173
_CHECKSUM_LENGTH = 6
_FIVE_BITS = 5
_BYTE_BITS = 8
LONGEST = 4096  # far above any key; keeps hostile input cheap


class Bech32Error(AgeError):
    """Text that is no Bech32 string."""

    code = "vault.bech32"
    sentence = "This key text is damaged or mistyped ({why}). Copy it again from where it was first printed."


def encode(prefix: str, payload: bytes) -> str:
    """Lower-case Bech32 of `payload` under the human-readable `prefix`."""
    symbols = _regroup(payload, _BYTE_BITS, _FIVE_BITS, pad=True)
    checksum = _polymod([*_expand(prefix), *symbols, *(0,) * _CHECKSUM_LENGTH]) ^ 1
    symbols += [(checksum >> 5 * (5 - i)) & 31 for i in range(_CHECKSUM_LENGTH)]
    return prefix + "1" + "".join(_ALPHABET[symbol] for symbol in symbols)


def decode(text: str) -> tuple[str, bytes]:
    """The lower-case prefix and the payload of `text`. Raises Bech32Error."""
    if len(text) > LONGEST or not text.isascii():
        raise Bech32Error(why="too long, or not ASCII")
    if text not in {text.lower(), text.upper()}:
        raise Bech32Error(why="upper and lower case are mixed")
    prefix, separator, tail = text.lower().rpartition("1")
    if not separator or not prefix or len(tail) < _CHECKSUM_LENGTH:
        raise Bech32Error(why="it is incomplete")
    symbols = [_ALPHABET.find(letter) for letter in tail]
    if min(symbols) < 0 or any(not "!" <= letter <= "~" for letter in prefix):
        raise Bech32Error(why="it has a letter that does not belong")
    if _polymod([*_expand(prefix), *symbols]) != 1:
        raise Bech32Error(why="its checksum is wrong")
    payload = _regroup(symbols[:-_CHECKSUM_LENGTH], _FIVE_BITS, _BYTE_BITS, pad=False)
    return prefix, bytes(payload)


def _expand(prefix: str) -> list[int]:
    return [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]


def _polymod(symbols: list[int]) -> int:
    checksum = 1
    for symbol in symbols:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ symbol
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                checksum ^= generator
    return checksum


def _regroup(groups: bytes | list[int], width_from: int, width_to: int, *, pad: bool) -> list[int]:
    held, bits, out = 0, 0, []
    for group in groups:
        held, bits = (held << width_from | group) & 0xFFF, bits + width_from
        while bits >= width_to:
            bits -= width_to
            out.append(held >> bits & ((1 << width_to) - 1))
    rest = held & ((1 << bits) - 1)
    if pad and bits:
        out.append(rest << (width_to - bits))
    elif not pad and (bits >= _FIVE_BITS or rest):
        raise Bech32Error(why="its padding is not zero")
    return out
