"""The owner record as a recorder keeps it: texts in a code page, padded to widths in bytes.

Invariant: what was written can be read again as the same record, or it is not written; what a recorder says is checked
like any other outside text and is a claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from devices.condition import OWNER_LENGTHS, OwnerRecord, OwnerRecordError
from devices.serial.table import OwnerForm, OwnerWidths


def owner_values(record: OwnerRecord, form: OwnerForm) -> dict[str, bytes]:
    """The fields as they are sent. Raises OwnerRecordError for what the recorder's code page or widths cannot hold."""
    return {field.name: _encode(field.name, getattr(record, field.name), form) for field in fields(record)}


def owner_of(values: Mapping[str, bytes], form: OwnerForm) -> OwnerRecord:
    """The record that a recorder shows. Raises OwnerRecordError."""
    return OwnerRecord(
        **{name: _decode(name, values[name], form) for name in OWNER_LENGTHS if name in values}
    )


def is_same_owner(shown: OwnerRecord, written: OwnerRecord, known: frozenset[str]) -> bool:
    """Whether the fields that a recorder can show at all are those that were written."""
    return all(getattr(shown, name) == getattr(written, name) for name in known & OWNER_LENGTHS.keys())


def _encode(name: str, text: str, form: OwnerForm) -> bytes:
    try:
        raw = text.encode(form.encoding)
    except UnicodeEncodeError as cause:
        why = f"the recorder's code page ({form.encoding}) has no '{text[cause.start]}'"
        raise OwnerRecordError(field=name, why=why) from cause
    if form.widths is None:
        return raw
    width = _width(form.widths, name)
    if len(raw) > width:
        raise OwnerRecordError(
            field=name, why=f"it takes {len(raw)} bytes in the recorder, which has {width}"
        )
    return raw.ljust(width, bytes.fromhex(form.pad))


def _decode(name: str, raw: bytes, form: OwnerForm) -> str:
    bare = raw.rstrip(bytes.fromhex(form.pad)).rstrip(b"\0 ")
    try:
        return bare.decode(form.encoding)
    except UnicodeDecodeError as cause:
        raise OwnerRecordError(field=name, why=f"it is no text in {form.encoding}") from cause


def _width(widths: OwnerWidths, name: str) -> int:
    width: int = getattr(widths, name)
    return width
