"""One step of an exchange as a profile writes it: what is sent, and what the answers look like.

A request is text or hexadecimal with `{fields}`. An answer is a regular expression over one line of bytes with named
groups, or fields of fixed length that begin with constant bytes, so that it can be found in noise.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from devices.table import Table

PLACEHOLDER = re.compile(r"\{([a-z_0-9]*)\}")
LONGEST = 1024  # characters of a request or a pattern: ten times the longest owner record


def _compiles(text: str) -> str:
    try:
        re.compile(text.encode("ascii"))
    except UnicodeEncodeError as cause:
        raise ValueError("a reply is bytes: use ASCII and \\x escapes") from cause
    except re.error as cause:
        raise ValueError(f"is not a regular expression: {cause}") from cause
    return text


BytePattern = Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(_compiles)]
HexBytes = Annotated[str, Field(pattern=r"^(?:[0-9a-fA-F]{2} ?){1,64}$")]
FieldName = Literal[
    "", "serial", "firmware", "model", "time", "unix_s", "battery", "free_mib", "capacity_mib",
    "officer_number", "officer_name", "unit_number", "unit_name",
]  # fmt: skip


class ReplyField(Table):
    """One field of a binary reply. `constant` has `hex`, all others `length` in bytes; `skip` is not looked at."""

    kind: Literal["constant", "text", "uint_big", "uint_little", "bcd", "checksum", "skip"]
    name: FieldName = ""
    hex: HexBytes | None = None
    length: Annotated[int, Field(ge=1, le=512)] | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.kind == "constant") != (self.hex is not None) or (self.hex is None) == (self.length is None):
            raise ValueError("a constant has 'hex', every other field has 'length'")
        if (self.kind in {"text", "uint_big", "uint_little", "bcd"}) != bool(self.name):
            raise ValueError("a field with a value has a 'name', and only such a field")
        return self

    @property
    def constant(self) -> bytes | None:
        """The bytes of a constant."""
        return None if self.hex is None else bytes.fromhex(self.hex)

    @property
    def size(self) -> int:
        """Bytes of this field in the reply."""
        return len(self.constant or b"") if self.length is None else self.length


class Answer(Table):
    """What one kind of reply looks like: `reply` (a pattern for the whole line) or `reply_fields`, not both."""

    reply: BytePattern | None = None
    reply_fields: tuple[ReplyField, ...] = ()

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if self.reply is not None and self.reply_fields:
            raise ValueError("give 'reply' or 'reply_fields', not both")
        if self.reply_fields and self.reply_fields[0].constant is None:
            raise ValueError("reply_fields begin with a constant: a reply must be found in noise")
        named = [field.name for field in self.reply_fields if field.name]
        if len(named) != len(set(named)) or sum(f.kind == "checksum" for f in self.reply_fields) > 1:
            raise ValueError("each field stands once in a reply")
        return self

    @property
    def is_given(self) -> bool:
        """Whether there is a reply to wait for."""
        return self.reply is not None or bool(self.reply_fields)

    @property
    def names(self) -> frozenset[str]:
        """The values in this reply, `checksum` among them."""
        if self.reply is not None:
            return frozenset(re.compile(self.reply.encode("ascii")).groupindex)
        checked = {"checksum"} if any(field.kind == "checksum" for field in self.reply_fields) else set()
        return frozenset({field.name for field in self.reply_fields if field.name} | checked)

    @property
    def size(self) -> int:
        """Bytes of a binary reply; 0 for a line."""
        return sum(field.size for field in self.reply_fields)

    @property
    def beginning(self) -> bytes:
        """The constant bytes that a binary reply begins with."""
        found = b""
        for field in self.reply_fields:
            if field.constant is None:
                break
            found += field.constant
        return found

    def width_of(self, name: str) -> int | None:
        """Bytes of a field in a binary reply; None where there is no such field."""
        for field in self.reply_fields:
            if name in (field.name, field.kind):
                return field.size
        return None


class Refusal(Answer):
    """A reply that says no, and what it means."""

    meaning: Literal["wrong_password", "locked", "refused"]

    @model_validator(mode="after")
    def _is_there(self) -> Self:
        if not self.is_given:
            raise ValueError("give 'reply' or 'reply_fields'")
        return self


class Step(Answer):
    """One question and its answers. `timeout_s` is for each of the `tries`.

    `sends` and `gives` are the fields that a step of this kind may have, `needs` those its reply must have.
    """

    sends: ClassVar[frozenset[str]] = frozenset()
    gives: ClassVar[frozenset[str]] = frozenset()
    needs: ClassVar[frozenset[str]] = frozenset()
    is_answered: ClassVar[bool] = True
    changes: ClassVar[bool] = False

    send: Annotated[str, Field(min_length=1, max_length=LONGEST)] | None = None
    send_hex: Annotated[str, Field(min_length=2, max_length=LONGEST)] | None = None
    refusals: tuple[Refusal, ...] = ()
    timeout_s: Annotated[float, Field(ge=0.05, le=30)] = 2.0
    tries: Annotated[int, Field(ge=1, le=5)] = 3

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        mistakes = [*self._of_request(), *self._of_replies()]
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    @property
    def placeholders(self) -> frozenset[str]:
        """The fields of the request."""
        return frozenset(PLACEHOLDER.findall(self.send or self.send_hex or ""))

    def _of_request(self) -> list[str]:
        if (self.send is None) == (self.send_hex is None):
            return ["give 'send' or 'send_hex', and not both"]
        mistakes = []
        if unknown := self.placeholders - self.sends - {"checksum"}:
            mistakes.append(f"sends {sorted(unknown)}; allowed: {sorted(self.sends | {'checksum'})}")
        if self.sends and not self.sends & self.placeholders:
            mistakes.append(f"sends none of {sorted(self.sends)}")
        literal = PLACEHOLDER.split(self.send or self.send_hex or "")[::2]
        if any("{" in part or "}" in part for part in literal):
            mistakes.append("a brace stands alone in what is sent")
        elif self.send is not None and not self.send.isascii():
            mistakes.append("what is sent as text is ASCII; use send_hex for other bytes")
        elif self.send_hex is not None and not all(_is_hex(part) for part in literal):
            mistakes.append("send_hex is not pairs of hexadecimal digits")
        return mistakes

    def _of_replies(self) -> list[str]:
        mistakes = []
        if self.is_answered and not self.is_given:
            mistakes.append("give 'reply' or 'reply_fields'")
        if unknown := self.names - self.gives - {"checksum"}:
            mistakes.append(
                f"the reply gives {sorted(unknown)}; allowed: {sorted(self.gives | {'checksum'})}"
            )
        if missing := self.needs - self.names:
            mistakes.append(f"the reply must give {sorted(missing)}")
        if self.is_given and self.gives and not self.gives & self.names:
            mistakes.append(f"the reply gives none of {sorted(self.gives)}")
        answers = [answer for answer in (self, *self.refusals) if answer.is_given]
        if len({answer.reply is None for answer in answers}) > 1:
            mistakes.append("the replies of one step are all lines or all of fixed length")
        if any(refusal.names - {"checksum"} for refusal in self.refusals):
            mistakes.append("a refusal gives no values")
        starts = [answer.beginning for answer in answers if answer.reply is None]
        if any(a.startswith(b) for i, a in enumerate(starts) for j, b in enumerate(starts) if i != j):
            mistakes.append("two replies begin with the same constant bytes")
        return mistakes


def _is_hex(text: str) -> bool:
    try:
        bytes.fromhex(text)
    except ValueError:
        return False
    return True
