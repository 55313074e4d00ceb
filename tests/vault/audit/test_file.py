from __future__ import annotations

import os
from pathlib import Path

import pytest

from vault.audit.file import is_immutable, open_regular, read_bounded
from vault.store.worm import Flag, NoWormError, put_on, take_off


def test_a_regular_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_bounded(path, 100) == b"x" * 100
    with pytest.raises(OSError, match="more than the 99 bytes"):
        read_bounded(path, 99)


def test_a_sparse_file_of_a_tebibyte_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.truncate(path, 2**40)
    with pytest.raises(OSError, match="more than"):
        read_bounded(path, 1000)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.timeout(20)
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, make: object) -> None:
    path, before = tmp_path / "thing", open_descriptors()
    make(path)  # type: ignore[operator]
    for read in (lambda: read_bounded(path, 10), lambda: open_regular(path)):
        with pytest.raises(OSError, match="not a regular file"):
            read()
    assert open_descriptors() == before


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_is_missing_stays_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_bounded(tmp_path / "none", 10)


def test_the_verifier_and_the_sealer_agree_on_what_is_immutable(tmp_path: Path) -> None:
    path = tmp_path / "object"
    path.touch()
    with path.open("rb") as file:
        assert not is_immutable(file.fileno())
        try:
            put_on(path, Flag.IMMUTABLE)
        except NoWormError as cause:
            pytest.skip(f"no immutable files here: {cause}")
        try:
            assert is_immutable(file.fileno())
        finally:
            take_off(path, Flag.IMMUTABLE)
