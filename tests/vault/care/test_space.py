"""Days until full come from the log, and are not guessed."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from crash.house import House

from core.clock import utc_now
from vault.care.fixity import FixityRow
from vault.care.space import measure

GB = 1_000_000_000


def sealed(house: House, *ages_and_sizes: tuple[float, int]) -> None:
    with house.db.writing() as session:
        for place, (days, size) in enumerate(ages_and_sizes):
            at = utc_now() - timedelta(days=days)
            session.add(
                FixityRow(
                    entry_id=f"{place:026d}", entry_index=place, bytes=size, sealed_at=at, last_proven_at=at,
                    checked_at=at, result="sealed", fault="",
                )
            )  # fmt: skip


def test_too_little_history_is_said_and_not_guessed_from(house: House) -> None:
    with house.db.reading() as session:
        empty = measure(house.vault.path, session, reserve=0)
    assert (empty.sealed_per_day, empty.days_until_full, empty.history_days) == (None, None, 0.0)
    sealed(house, (3, GB))
    with house.db.reading() as session:
        young = measure(house.vault.path, session, reserve=0)
    assert young.days_until_full is None
    assert young.history_days == pytest.approx(3, abs=0.1)


def test_the_average_is_over_four_weeks_or_what_there_is(house: House) -> None:
    sealed(house, (10, 4 * GB), (2, 6 * GB))
    with house.db.reading() as session:
        space = measure(house.vault.path, session, reserve=0)
    assert space.sealed_per_day == pytest.approx(GB, rel=0.02)
    assert space.days_until_full == pytest.approx(space.room / GB, rel=0.02)
    sealed_long_ago = (300.0, 1000 * GB)
    with house.db.writing() as session:
        session.query(FixityRow).delete()
    sealed(house, sealed_long_ago, (10, 4 * GB), (2, 10 * GB))
    with house.db.reading() as session:
        space = measure(house.vault.path, session, reserve=0)
    assert space.sealed_per_day == pytest.approx(GB / 2, rel=0.02)


def test_reserve_and_promises_are_no_room(house: House) -> None:
    sealed(house, (300, GB))
    free = os.statvfs(house.vault.path)
    with house.db.reading() as session:
        space = measure(house.vault.path, session, reserve=GB, promised=2 * GB)
        full = measure(house.vault.path, session, reserve=1 << 60)
    assert space.room == pytest.approx(free.f_bavail * free.f_frsize - 3 * GB, rel=0.2)
    assert (space.sealed_per_day, space.days_until_full) == (0.0, None), "nothing was sealed in four weeks"
    assert not space.is_short
    assert (full.room, full.is_short) == (0, True)
