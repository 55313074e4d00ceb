"""Time as the log writes it: aware UTC with microseconds, RFC 3339 with a `Z`."""

from __future__ import annotations

from datetime import UTC, datetime

from ulid import ULID


def utc_now() -> datetime:
    """The station's clock, aware UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """`2026-11-23T06:05:04.000123Z`; refuses a naive time, because nobody could say which hour it means."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone has no place in the log")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_stamp(text: str) -> datetime:
    """The reverse of `stamp`, and nothing looser. Raises ValueError."""
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    if stamp(moment) != text:  # strptime takes single digits and other alphabets' digits
        raise ValueError(f"{text!r} is another spelling of {stamp(moment)}")
    return moment


def new_id() -> str:
    """A ULID: 26 characters, sorts by time of making, unique without asking anybody (ulid/spec)."""
    return str(ULID())
