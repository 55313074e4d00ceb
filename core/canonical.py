"""Canonical JSON (RFC 8785): the same facts are always the same bytes.

Decoding is strict. Bytes that are not exactly what `encode` would write are refused, so that a digest over
the bytes is a digest over the meaning.

Two ways lead to the same bytes. What entries consist of (objects, lists, strings, whole numbers up to 2**53 - 1, true,
false, null, and no character beyond U+D7FF) is written by the standard library's C encoder: there its order of keys is
that of RFC 8785, and its escapes are. Everything else, floats above all, goes to the library written for the standard,
which is the judge in every case of doubt and the only one that refuses; tests prove that the two never differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from json.encoder import c_make_encoder, encode_basestring  # type: ignore[attr-defined]  # no stub knows the first
from typing import Any

import rfc8785

from core.errors import SealdockError

Json = dict[str, Any]

_LARGEST = 2**53 - 1  # RFC 8785 section 3.2.2.3: whole numbers that a double holds exactly
_FLAT = frozenset({str, bool, type(None)})
_BEYOND = re.compile("[\ud800-\U0010ffff]")  # from here on code points and UTF-16 units sort differently
_spell = c_make_encoder(
    None, json.JSONEncoder().default, encode_basestring, None, ":", ",", True, False, False
)
"""What json.JSONEncoder makes anew for each value: no check for circles, no indent, sorted keys, no NaN."""


class CanonicalError(SealdockError):
    """Bytes or values that have no canonical form."""

    code = "core.canonical"
    sentence = "This is not canonical JSON ({why}); it was not written by Sealdock or has been changed."


class _NotPlain(Exception):  # noqa: N818  # no error: the other way is taken
    """The value needs the library."""


def encode(value: object) -> bytes:
    """RFC 8785 bytes of a JSON value. Raises CanonicalError for what JSON cannot say (NaN, huge integers)."""
    try:
        if _is_plain(value) and _sorts_alike(text := _write(value)):
            return text.encode()
        return rfc8785.dumps(value)  # type: ignore[arg-type]  # the library refuses other types itself
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as cause:
        raise CanonicalError(why=str(cause)) from cause


def decode(raw: bytes) -> Json:
    """The object that `raw` is the canonical form of. Raises CanonicalError."""
    value = _decode_plain(raw)
    return _decode_any(raw) if value is None else value


def _decode_plain(raw: bytes) -> Json | None:
    try:
        return decode_plain(raw.decode())
    except UnicodeDecodeError:
        return None


def decode_plain(text: str) -> Json | None:
    """The object when it is one of plain values in canonical form; None when `decode` has to judge."""
    try:
        value, end = _scan(text, 0)
        if type(value) is dict and end == len(text) and _sorts_alike(text):
            return value if _write(value) == text else None
    except (_NotPlain, StopIteration, ValueError, RecursionError):
        return None  # what is wrong with it, if anything, is said by the other way
    return None


def _decode_any(raw: bytes) -> Json:
    try:
        value = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as cause:
        raise CanonicalError(why=str(cause)) from cause
    if not isinstance(value, dict):
        raise CanonicalError(why="the outermost value is not an object")
    if encode(value) != raw:
        raise CanonicalError(why="another spelling of the same object")
    return value


def _write(value: object) -> str:
    return "".join(_spell(value, 0))


def _is_plain(value: object) -> bool:
    """Whether `value` is of exactly the types (no subclass, whose text could be another) that the encoder may write."""
    kind = type(value)
    if kind is int:
        return -_LARGEST <= value <= _LARGEST  # type: ignore[operator]
    if kind is dict:
        for key, one in value.items():  # type: ignore[attr-defined]
            if type(key) is not str or not (type(one) in _FLAT or _is_plain(one)):
                return False
        return True
    if kind is list or kind is tuple:
        return all(type(one) in _FLAT or _is_plain(one) for one in value)  # type: ignore[attr-defined]
    return kind in _FLAT


def _sorts_alike(text: str) -> bool:
    return text.isascii() or not _BEYOND.search(text)


def _plain_int(digits: str) -> int:
    value = int(digits)
    if -_LARGEST <= value <= _LARGEST:
        return value
    raise _NotPlain


def _not_plain(_text: str) -> None:
    raise _NotPlain


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_float=_not_plain, parse_int=_plain_int, parse_constant=_not_plain)
_scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once  # type: ignore[attr-defined]  # no stub knows it
