"""Which files are read again."""

from __future__ import annotations

from collections import Counter
from math import ceil, sqrt

from hypothesis import given
from hypothesis import strategies as st

from ingest.sample import LEAST, draw, sample_size


@given(st.integers(0, 10**6))
def test_the_size_is_the_stated_rule(count: int) -> None:
    assert sample_size(count) == min(count, max(LEAST, ceil(sqrt(count))))


@given(st.lists(st.integers(), unique=True, max_size=300))
def test_a_sample_holds_different_files_of_the_set(known: list[int]) -> None:
    drawn = draw(known)
    assert len(set(drawn)) == len(drawn) == sample_size(len(known))
    assert set(drawn) <= set(known)


def test_every_file_is_drawn_about_as_often_as_any_other() -> None:
    seen = Counter(one for _ in range(2000) for one in draw(range(100)))
    assert len(seen) == 100
    assert 130 < min(seen.values()) <= max(seen.values()) < 280  # 200 each; five deviations are 67
