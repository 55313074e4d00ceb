"""What the log holds the dock's entries to."""

from __future__ import annotations

from typing import Any

import pytest

from core.canonical import Json
from core.clock import new_id, stamp, utc_now
from ingest.log_rule import register
from vault.formats.entry import Leaf, ObjectCommitment
from vault.log.outbox import RefusedError
from vault.log.rules import Rules

SESSION = new_id()
INGEST: Json = {"origin": "dock", "media": "video", "session": SESSION}
ENDED: Json = {"session": SESSION, "files": 1, "bytes": 2, "outcome": "partial"}
COUNTS: Json = {"listed": 3, "omitted": 1, "damaged": 0, "number_gaps": 0, "time_gaps": 0, "pages": 0}


def check(entry_type: str, facts: Json) -> None:
    sealed = (
        ObjectCommitment("0" * 64, 100, "1" * 64, 116, "A-2026-11", "2" * 64)
        if entry_type == "ingest"
        else None
    )
    rules = Rules()
    register(rules)
    log: Any = None
    rules.check(log, Leaf(new_id(), entry_type, stamp(utc_now()), "dockd", facts=facts, object=sealed))


@pytest.mark.parametrize(
    ("entry_type", "facts"),
    [
        ("ingest", INGEST),
        ("ingest", INGEST | {"damaged": [[0, 4096], [8192, 9000]]}),
        ("session", ENDED),
        ("session", ENDED | {"statement": COUNTS}),
        ("statement", {"session": SESSION, "page": 1, "pages": 2}),
    ],
)
def test_what_the_dock_says_is_taken(entry_type: str, facts: Json) -> None:
    check(entry_type, facts)


@pytest.mark.parametrize(
    ("entry_type", "facts"),
    [
        ("ingest", INGEST | {"damaged": []}),
        ("ingest", INGEST | {"damaged": [[4096, 4096]]}),
        ("ingest", INGEST | {"damaged": [[0, 10], [5, 20]]}),
        ("ingest", INGEST | {"damaged": [[0, 10, 20]]}),
        ("ingest", INGEST | {"damaged": [[-1, 10]]}),
        ("session", ENDED | {"statement": COUNTS | {"names": ["a.mp4"]}}),
        ("session", ENDED | {"statement": {"listed": 1}}),
        ("statement", {"session": SESSION, "page": 0, "pages": 2}),
        ("statement", {"session": SESSION, "page": 1, "pages": 2, "path": "DCIM"}),
    ],
)
def test_what_nobody_could_read_later_is_refused(entry_type: str, facts: Json) -> None:
    with pytest.raises(RefusedError):
        check(entry_type, facts)
