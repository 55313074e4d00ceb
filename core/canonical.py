"""Canonical JSON (RFC 8785): the same facts are always the same bytes.

Decoding is strict. Bytes that are not exactly what `encode` would write are refused, so that a digest over
the bytes is a digest over the meaning.
"""

from __future__ import annotations

import json
from typing import Any

import rfc8785

from core.errors import SealdockError

Json = dict[str, Any]


class CanonicalError(SealdockError):
    """Bytes or values that have no canonical form."""

    code = "core.canonical"
    sentence = "This is not canonical JSON ({why}); it was not written by Sealdock or has been changed."


def encode(value: object) -> bytes:
    """RFC 8785 bytes of a JSON value. Raises CanonicalError for what JSON cannot say (NaN, huge integers)."""
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]  # the library refuses other types itself
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as cause:
        raise CanonicalError(why=str(cause)) from cause


def decode(raw: bytes) -> Json:
    """The object that `raw` is the canonical form of. Raises CanonicalError."""
    try:
        value = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as cause:
        raise CanonicalError(why=str(cause)) from cause
    if not isinstance(value, dict):
        raise CanonicalError(why="the outermost value is not an object")
    if encode(value) != raw:
        raise CanonicalError(why="another spelling of the same object")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
