from __future__ import annotations

from pathlib import Path

import pytest

from ingest import station_clock
from ingest.station_clock import is_synchronised


def test_the_kernel_is_asked_and_answers() -> None:
    assert station_clock._kernel_says() in {True, False}


@pytest.mark.parametrize("said", [True, False])
def test_the_kernel_s_word_comes_before_the_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, said: bool
) -> None:
    mark = tmp_path / "synchronized"
    if not said:
        mark.touch()
    monkeypatch.setattr(station_clock, "_kernel_says", lambda: said)
    assert is_synchronised(mark) is said


def test_where_the_kernel_may_not_be_asked_the_mark_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station_clock, "_kernel_says", lambda: None)
    mark = tmp_path / "synchronized"
    assert not is_synchronised(mark)
    mark.touch()
    assert is_synchronised(mark)
