"""Lists, filters and bulk links over many recordings: how long the custodian waits (server time, no network).

    python -m bench.casework [recordings]        # 1,000,000 by default

The recordings come in through `apply`, the way the log's replay writes them, not by SQL.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles

from sqlalchemy.orm import Session

from casework.cases.case import CaseFacts, open_case
from casework.evidence.exhibit import exhibits, link_many
from casework.evidence.recording import RecordingFilter, get_recording, list_recordings
from casework.people.officer import OfficerFacts, register_officer
from casework.projection import register
from core.clock import new_id, stamp
from core.db import Database
from vault.formats.entry import Leaf, ObjectCommitment
from vault.formats.note import SigningKey
from vault.log.outbox import AppliedEntry, Projections, Submitter

BATCH = 2000
OFFICERS, CASES = 500, 200
START = datetime(2024, 1, 1, tzinfo=UTC)
ROUNDS = 40


def replay(db: Database, projections: Projections, count: int) -> float:
    """Recordings a minute apart, of many officers; seconds that it took."""
    began = time.perf_counter()
    for first in range(0, count, BATCH):
        with db.writing() as session:
            for place in range(first, min(first + BATCH, count)):
                projections.apply(session, entry(place))
            session.flush()
            session.expunge_all()
    return time.perf_counter() - began


def entry(place: int) -> AppliedEntry:
    """One recording as the log says it."""
    officer, recorder = f"{place % OFFICERS:06d}", f"X1A{place % OFFICERS:04d}"
    moment = START + timedelta(minutes=place)
    leaf = Leaf(
        id=new_id(), type="ingest", time=stamp(moment + timedelta(hours=9)), by="dockd",
        facts={"origin": "dock", "media": "video" if place % 7 else "image"},
        object=ObjectCommitment("0" * 64, 100, "1" * 64, 116, "A-2026-11", "2" * 64),
    )  # fmt: skip
    body = {
        "name": f"{recorder}{officer}_{moment:%Y%m%d%H%M%S}_{place % 90:04d}.MP4", "path": f"DCIM/{place}.MP4",
        "officer_number": officer, "recorder_serial": recorder, "started_at": moment.isoformat(),
    }  # fmt: skip
    return AppliedEntry(leaf, body, place)


def p95_ms(work: Callable[[], object]) -> float:
    """The 95th percentile of repeated runs, in milliseconds."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - began))
    return quantiles(taken, n=20)[-1]


def measure(db: Database, submitter: Submitter, count: int) -> None:
    """Every list that the console shows."""
    with db.reading() as session:
        deep = None
        for _ in range(30):
            deep = list_recordings(session, RecordingFilter(), cursor=deep).next_cursor
        middle = START + timedelta(minutes=count // 2)
        lists = {
            "newest": (RecordingFilter(), None),
            "page 31": (RecordingFilter(), deep),
            "one officer": (RecordingFilter(officer_number="000123"), None),
            "one recorder": (RecordingFilter(recorder_serial="X1A0123"), None),
            "photos": (RecordingFilter(media="image"), None),
            "not in a case": (RecordingFilter(is_linked=False), None),
            "a month in the middle": (RecordingFilter(since=middle, until=middle + timedelta(days=30)), None),
            "officer and month": (RecordingFilter(officer_number="000123", since=middle), None),
            "words, common": (RecordingFilter(words="X1A0123"), None),
            "words, rare": (RecordingFilter(words=f"{START + timedelta(minutes=7):%Y%m%d%H%M%S}"), None),
            "words, nowhere": (RecordingFilter(words="nowhere at all"), None),
        }
        for name, (wanted, cursor) in lists.items():
            print(f"{name:24} p95 {p95_ms(look(session, wanted, cursor)):8.2f} ms")
    with db.writing() as session:
        case_id = open_case(session, submitter, None, CaseFacts("1", "t", "penalty", "2026-11-20"))
        wanted = [each.id for each in list_recordings(session, RecordingFilter(), limit=200).recordings]
        began = time.perf_counter()
        link_many(session, submitter, None, wanted, case_id)
    print(f"{'bulk link of 200':24}     {1000 * (time.perf_counter() - began):8.2f} ms")
    with db.reading() as session:
        print(f"{'one recording':24} p95 {p95_ms(lambda: get_recording(session, wanted[7])):8.2f} ms")
        print(f"{'exhibits of a case':24} p95 {p95_ms(lambda: exhibits(session, case_id)):8.2f} ms")


def look(session: Session, wanted: RecordingFilter, cursor: str | None) -> Callable[[], object]:
    def once() -> object:
        session.expunge_all()
        return list_recordings(session, wanted, cursor=cursor)

    return once


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as directory:
        projections = Projections()
        register(projections, "Asia/Shanghai")
        submitter = Submitter(SigningKey.generate("console"), projections, Path(directory) / "bell")
        db = Database(f"sqlite:///{directory}/bench.db")
        db.create_tables()
        with db.writing() as session:
            register_officer(session, submitter, None, OfficerFacts("000123", "执法员"))
        taken = replay(db, projections, count)
        print(f"{count} recordings through apply in {taken:.0f} s ({count / taken:.0f} a second)")
        measure(db, submitter, count)
        db.close()


if __name__ == "__main__":
    main()
