"""Messages as bytes: a request out of its template, a reply out of whatever came over the line.

Pure, no I/O. Invariants: a value can never add a message or a field to what is sent; a reply is taken only when it fits
the profile's pattern as a whole and its checksum is right, and everything else is noise, however much it looks alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from devices.serial.checksum import agrees, checksum_of
from devices.serial.error import UnsendableError
from devices.serial.step import PLACEHOLDER, Answer, ReplyField, Step
from devices.serial.table import Checksum, SerialTable


@dataclass(frozen=True)
class Found:
    """A reply and its values as bytes: texts as they came, numbers as decimal digits."""

    answer: Answer
    values: Mapping[str, bytes]
    raw: bytes


def compose(step: Step, values: Mapping[str, bytes], checksum: Checksum | None) -> bytes:
    """The bytes of a request. Raises UnsendableError for a value that would change the message's form."""
    is_text = step.send is not None
    parts = PLACEHOLDER.split(step.send or step.send_hex or "")
    literals = [part.encode("ascii") if is_text else bytes.fromhex(part) for part in parts[::2]]
    if is_text:
        _refuse_signs({name: values[name] for name in parts[1::2] if name in values}, b"".join(literals))
    message = literals[0]
    for name, literal in zip(parts[1::2], literals[1:], strict=True):
        if name == "checksum" and checksum is not None:
            message += checksum_of(message, checksum)
        else:
            message += values[name]
        message += literal
    return message


def find(arrived: bytes, step: Step, table: SerialTable) -> Found | None:
    """The first reply of the step in what has arrived so far; None when there is none yet."""
    answers = [answer for answer in (step, *step.refusals) if answer.is_given]
    if answers and answers[0].reply is not None:
        return _find_line(arrived, answers, table)
    found = [one for answer in answers if (one := _find_fixed(arrived, answer, table.checksum)) is not None]
    return min(found, key=lambda one: arrived.find(one.raw), default=None)


def _find_line(arrived: bytes, answers: Iterable[Answer], table: SerialTable) -> Found | None:
    end, start = table.line.end.encode("ascii"), table.line.start.encode("ascii")
    for whole in arrived.split(end)[:-1]:
        line = whole[
            max(whole.rfind(start), 0) :
        ]  # noise before the reply; `start` is empty where there is none
        line = line if start else whole
        for answer in answers:
            if found := _match(line, answer, table.checksum):
                return found
    return None


def _match(line: bytes, answer: Answer, checksum: Checksum | None) -> Found | None:
    fit = re.compile((answer.reply or "").encode("ascii"), re.DOTALL).fullmatch(line)
    if fit is None:
        return None
    values = {name: value for name, value in fit.groupdict().items() if value is not None}
    if checksum is not None:
        written = values.pop("checksum", None)
        if written is None or not agrees(written, line[: fit.start("checksum")], checksum):
            return None
    return Found(answer, values, line)


def _find_fixed(arrived: bytes, answer: Answer, checksum: Checksum | None) -> Found | None:
    at = arrived.find(answer.beginning)
    while at >= 0 and at + answer.size <= len(arrived):
        raw = arrived[at : at + answer.size]
        values = _take_apart(raw, answer.reply_fields, checksum)
        if values is not None:
            return Found(answer, values, raw)
        at = arrived.find(answer.beginning, at + 1)
    return None


def _take_apart(
    raw: bytes, fields: Iterable[ReplyField], checksum: Checksum | None
) -> dict[str, bytes] | None:
    values: dict[str, bytes] = {}
    at = 0
    for field in fields:
        part = raw[at : at + field.size]
        if field.constant is not None and part != field.constant:
            return None
        if field.kind == "checksum" and checksum is not None and not agrees(part, raw[:at], checksum):
            return None
        if field.name:
            value = _value(field.kind, part)
            if value is None:
                return None
            values[field.name] = value
        at += field.size
    return values


def _value(kind: str, part: bytes) -> bytes | None:
    match kind:
        case "uint_big":
            return str(int.from_bytes(part, "big")).encode()
        case "uint_little":
            return str(int.from_bytes(part, "little")).encode()
        case "bcd":
            return part.hex().encode() if part.hex().isdecimal() else None
        case _:
            return part


def _refuse_signs(values: Mapping[str, bytes], literals: bytes) -> None:
    """In a text message no value may hold a sign that the message itself uses between its fields."""
    signs = {sign for sign in literals if not chr(sign).isalnum()} | set(b"\r\n")
    for name, value in values.items():
        if signs & set(value):
            raise UnsendableError(
                field=name, why="it holds a sign that the recorder's messages use themselves"
            )
