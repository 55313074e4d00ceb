"""The one spelling of an entry, as a grammar: taking apart the bytes of a log without making them again.

Canonical JSON leaves nothing open but the values, and the values of every key but `facts` are ULIDs, digests, names and
whole numbers. So an entry is `head` + facts + `tail`, where head and tail are regular expressions, and the facts are
canonical on their own exactly when the whole is. What `read` accepts is an entry; what it gives back as None may be one
too (facts beyond ASCII), and vault.formats.entry looks at it the long way round, which also says what is wrong.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

from core.canonical import CanonicalError, Json, decode, decode_plain

ULID = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"  # ulid/spec: Crockford base 32, at most 128 bits
TYPE = r"[a-z][a-z_]{0,31}"
NAME = r"[a-z][a-z0-9_-]{0,31}"
BUCKET = r"[A-Za-z0-9][A-Za-z0-9-]{0,63}"  # also a directory's name
SHA256 = r"[0-9a-f]{64}"

_COUNT = r"0|[1-9][0-9]{0,15}"  # a whole number below 10**16; its limit is checked as a number
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"  # whether there is such a day is asked of the calendar
_HOUR = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}"
_STAMP = re.compile(rf"({_DAY})T{_HOUR}Z\Z")
_HEAD = re.compile(
    rf'\{{(?:"about":\["({ULID}(?:","{ULID})*)"\],)?(?:"actor":"({ULID})",)?'
    rf'(?:"body":\{{"bucket":"({BUCKET})","header_sha256":"({SHA256})","sha256":"({SHA256})",'
    rf'"stored_sha256":"({SHA256})"\}},)?"by":"({NAME})",(?:"facts":(?=\{{"))?'
)
_TAIL = re.compile(
    rf'"id":"({ULID})",'
    rf'(?:"object":\{{"bucket":"({BUCKET})","header_sha256":"({SHA256})","sha256":"({SHA256})",'
    rf'"size":({_COUNT}),"stored_sha256":"({SHA256})","stored_size":({_COUNT})\}},)?'
    rf'"time":"(({_DAY})T{_HOUR}Z)","type":"({TYPE})","v":1\}}\Z'
)
_LAST_ID = ',"id":"'  # no tail has it twice


class Spelled(NamedTuple):
    """The values of an entry that is spelled as it must be; sizes and facts are not weighed yet."""

    head: dict[str, Any]
    object: dict[str, Any] | None
    body: dict[str, Any] | None


def read(raw: bytes) -> Spelled | None:
    """The values of an entry, or None for bytes that need the longer look."""
    if not raw.isascii():
        return None
    text = raw.decode()
    head = _HEAD.match(text)
    if head is None:
        return None
    start = head.end()
    end = start if text.startswith('"id":', start) else text.rfind(_LAST_ID, start) + 1
    tail = _TAIL.match(text, end) if end else None
    if tail is None or not _is_day(tail[9]):
        return None
    facts = _facts(text[start : end - 1]) if end > start else {}  # no facts are left out, never {}
    return None if facts is None else _spelled(head, tail, facts)


def _facts(text: str) -> Json | None:
    try:
        return decode_plain(text) or decode(text.encode()) or None
    except CanonicalError:
        return None


def _spelled(head: re.Match[str], tail: re.Match[str], facts: Json) -> Spelled:
    about, actor, bucket, header, plain, stored, by = head.groups()
    entry_id, place, object_header, object_plain, size, object_stored, stored_size, time, _, kind = (
        tail.groups()
    )
    return Spelled(
        {
            "id": entry_id, "type": kind, "time": time, "by": by, "actor": actor,
            "about": tuple(about.split('","')) if about else (), "facts": facts,
        },
        None if place is None else {
            "sha256": object_plain, "size": int(size), "stored_sha256": object_stored,
            "stored_size": int(stored_size), "bucket": place, "header_sha256": object_header,
        },
        None if bucket is None else {
            "sha256": plain, "stored_sha256": stored, "bucket": bucket, "header_sha256": header,
        },
    )  # fmt: skip


def is_stamp(text: object) -> bool:
    """Whether `text` is a time exactly as `core.clock.stamp` writes it: UTC, microseconds, a `Z`."""
    spelled = _STAMP.match(text) if isinstance(text, str) else None
    return spelled is not None and _is_day(spelled[1])


@lru_cache(1024)
def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


_matches_ulid = re.compile(rf"{ULID}\Z").match
_matches_type = lru_cache(1024)(re.compile(rf"{TYPE}\Z").match)
_matches_name = lru_cache(1024)(re.compile(rf"{NAME}\Z").match)
_matches_bucket = lru_cache(1024)(re.compile(rf"{BUCKET}\Z").match)
_matches_sha256 = re.compile(rf"{SHA256}\Z").match


def is_ulid(text: object) -> bool:
    """Whether `text` is a ULID in its canonical upper-case spelling."""
    return isinstance(text, str) and _matches_ulid(text) is not None


def is_type(text: object) -> bool:
    """Whether `text` can be the type of an entry."""
    return isinstance(text, str) and _matches_type(text) is not None


def is_name(text: object) -> bool:
    """Whether `text` can name a process that signs."""
    return isinstance(text, str) and _matches_name(text) is not None


def is_bucket(text: object) -> bool:
    """Whether `text` can name a bucket."""
    return isinstance(text, str) and _matches_bucket(text) is not None


def is_sha256(text: object) -> bool:
    """Whether `text` is a SHA-256 in lower-case hexadecimal."""
    return isinstance(text, str) and _matches_sha256(text) is not None
