"""What a `report` entry says: somebody verified the whole vault, and what came of it; who and why is no part of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vault.formats.entry import Leaf
from vault.log.outbox import RefusedError
from vault.log.rules import LogView, Rules
from vault.log.shape import Facts, shaped

REPORT = "report"


class ReportFacts(Facts):
    """`sha256` is of the signed report, `size` the entries that were on the log it speaks of.

    Entries before `since` were not judged anew; `resumed` says that part of the judging was an earlier run's.
    """

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=1)]
    since: Annotated[int, Field(ge=0)]
    resumed: bool
    ok: bool
    failures: Annotated[int, Field(ge=0)]


def register(rules: Rules) -> None:
    """Register the rules of this type."""
    rules.on(REPORT, shaped(ReportFacts))
    rules.on(REPORT, report_is_of_this_log)


def report_is_of_this_log(log: LogView, leaf: Leaf) -> None:
    """Nobody verified entries that are not there, and nothing is both right and wrong."""
    if leaf.facts["size"] > log.size:
        raise RefusedError(why=f"it speaks of {leaf.facts['size']} entries, and the log has {log.size}")
    if leaf.facts["since"] > leaf.facts["size"]:
        raise RefusedError(why="it begins after its own end")
    if leaf.facts["ok"] and leaf.facts["failures"]:
        raise RefusedError(why="a report with failures is not a clean one")
