"""Errors that explain themselves.

Every error that a person may meet is a `SealdockError`: a stable `code`, an English `sentence` with named
parameters that says what happened, what it means for the evidence and what to do next, and the exit code of
the command line. The console translates the sentence by using it as the message id; nobody else formats text.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    """Exit codes of every command (docs/operations/commands.md)."""

    YES = 0
    NO = 1
    WRONG_USE = 2
    CANNOT = 3


class SealdockError(Exception):
    """The root of every error family; subclass it once per package and once per cause.

    Parameters given by name fill the `sentence` and stay readable as `error.parameters`.
    """

    code: ClassVar[str] = "sealdock.failed"
    sentence: ClassVar[str] = (
        "Something went wrong. Nothing was changed; run `sealdock doctor` and try again."
    )
    exit_code: ClassVar[Exit] = Exit.CANNOT

    def __init__(self, **parameters: object) -> None:
        self.parameters = parameters
        super().__init__(self.sentence.format(**parameters))


def all_errors(root: type[SealdockError] = SealdockError) -> set[type[SealdockError]]:
    """Every error class that has been imported, for the tests that hold codes and translations complete."""
    found = {root}
    for child in root.__subclasses__():
        found |= all_errors(child)
    return found
