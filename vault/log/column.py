"""Columns that anything may stand in: on SQLite whoever owns the file can write noise of any kind into any column.

The driver refuses a whole result for one text that is not UTF-8, and the type of a column for one value that is no JSON
or no time. Read through these types, such a value becomes plain noise that its row is refused for, and the rows around
it are read as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Dialect, LargeBinary, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from core.db import UtcDateTime

NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class _Stored(FunctionElement[Any]):
    """A column as it lies in the database, whatever its declared type."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], kind: TypeEngine[Any]) -> None:
        super().__init__(column)
        self.type = kind


@compiles(_Stored)
def _as_it_is(element: _Stored, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_Stored, "sqlite")
def _as_bytes(element: _Stored, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS BLOB)"


class _Guarded(TypeDecorator[Any]):
    """Reads a value's bytes and lets its type judge them; what that refuses becomes `noise`."""

    impl: Any = String
    cache_ok = True
    noise: Any = None

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Only in the list of what is selected; comparisons see the column itself."""
        return _Stored(column, self)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """The type's own processor, with a net under it."""
        inner = super().result_processor(dialect, coltype)

        def read(value: Any) -> Any:
            try:
                told = self.told(value) if isinstance(value, bytes) else value
                return inner(told) if inner else told
            except (ValueError, TypeError, OverflowError, RecursionError):
                return self.noise

        return read

    def told(self, value: bytes) -> Any:
        """What the type's own processor takes."""
        return value.decode()


class GuardedText(_Guarded):
    """Text; bytes that are none become replacement characters, the same each time."""

    cache_ok = True

    def told(self, value: bytes) -> str:
        """As text, whatever it takes."""
        return value.decode(errors="replace")


class GuardedBytes(_Guarded):
    """Bytes."""

    impl = LargeBinary
    cache_ok = True

    def told(self, value: bytes) -> bytes:
        """As they are."""
        return value


class GuardedJson(_Guarded):
    """JSON; what is none becomes an empty object, which no submission signs for."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    @property
    def noise(self) -> dict[str, Any]:  # a new one each time, because callers may change it
        """What stands for a value that is no JSON."""
        return {}


class GuardedTime(_Guarded):
    """An aware UTC time; what is none becomes the beginning of 1970."""

    impl = UtcDateTime
    cache_ok = True
    noise = NO_TIME
