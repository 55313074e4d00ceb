from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.serial.attempt import Attempts
from devices.serial.error import PasswordHeldBackError

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@given(
    lock_after=st.integers(2, 12),
    story=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["no", "gone"])), max_size=40),
)
def test_no_story_of_wrong_passwords_ever_locks_a_recorder(
    tmp_path_factory: pytest.TempPathFactory, lock_after: int, story: list[tuple[int, str]]
) -> None:
    notes = tmp_path_factory.mktemp("notes")
    now, wrong = NOW, 0
    for number, outcome in story:
        now += timedelta(days=2)
        attempts = Attempts(notes)  # as after a restart
        secret = b"%d" % number
        try:
            attempts.reserve("p", "s", secret, lock_after, now)
        except PasswordHeldBackError:
            continue
        wrong += 1  # the recorder counts, whether it could still say so or not
        if outcome == "no":
            attempts.refused("p", "s", secret)
    assert wrong < lock_after


def test_each_wrong_one_makes_the_next_wait_longer(tmp_path: Path) -> None:
    now = NOW
    for number, minutes in enumerate([1, 4, 16, 64, 256, 1024, 1440, 1440]):
        attempts = Attempts(tmp_path)  # as after a restart
        attempts.reserve("p", "s", b"%d" % number, 100, now)
        attempts.refused("p", "s", b"%d" % number)
        now += timedelta(minutes=minutes)
        with pytest.raises(PasswordHeldBackError, match="the next waits until"):
            Attempts(tmp_path).reserve("p", "s", b"next", 100, now - timedelta(seconds=1))


def test_a_station_clock_that_went_back_opens_no_door(tmp_path: Path) -> None:
    Attempts(tmp_path).reserve("p", "s", b"1", 9, NOW)
    Attempts(tmp_path).refused("p", "s", b"1")
    with pytest.raises(PasswordHeldBackError):
        Attempts(tmp_path).reserve("p", "s", b"2", 9, NOW - timedelta(days=400))


def test_recorders_and_profiles_have_notes_of_their_own(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    attempts.reserve("p", "s", b"1", 2, NOW)
    with pytest.raises(PasswordHeldBackError):
        attempts.reserve("p", "s", b"1", 2, NOW)
    attempts.reserve("p", "t", b"1", 2, NOW)
    attempts.reserve("q", "s", b"1", 2, NOW)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"null", b'{"salt": 1, "refused": 3}', b"\xff" * 9000]
)
def test_a_note_that_cannot_be_read_sends_no_password(tmp_path: Path, content: bytes) -> None:
    attempts = Attempts(tmp_path)
    attempts.reserve("p", "s", b"1", 9, NOW)
    (note,) = tmp_path.iterdir()
    assert note.stat().st_mode & 0o777 == 0o600
    note.write_bytes(content)
    with pytest.raises(PasswordHeldBackError, match="note of earlier tries cannot be read"):
        attempts.reserve("p", "s", b"2", 9, NOW)


def test_no_note_holds_the_password(tmp_path: Path) -> None:
    Attempts(tmp_path).reserve("p", "s", b"s3cret-Passw0rd", 9, NOW)
    Attempts(tmp_path).refused("p", "s", b"s3cret-Passw0rd")
    (note,) = tmp_path.iterdir()
    assert b"s3cret" not in note.read_bytes()
    assert b"s3cret".hex().encode() not in note.read_bytes()
