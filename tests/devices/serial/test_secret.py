from __future__ import annotations

import os
from pathlib import Path

import pytest

from devices.serial.error import NoPasswordError, UnsafePasswordError, UnsendableError
from devices.serial.secret import PasswordStore
from devices.serial.table import Password

from .conftest import PROFILE, keep_password


def test_a_recorders_own_password_goes_before_its_profiles(store: Path) -> None:
    keep_password(store, "of-one", serial="X1A0001")
    passwords = PasswordStore(store)
    assert passwords.find(PROFILE, "X1A0001").secret == b"of-one"
    assert passwords.find(PROFILE, "X1A0002").secret == b"000000"
    with pytest.raises(NoPasswordError, match="another"):
        passwords.find("another", "X1A0001")


@pytest.mark.parametrize("serial", ["../enforcement-serial", "..", "a/b", "", "\0", "x" * 99])
def test_a_claimed_serial_names_no_file_outside(store: Path, serial: str) -> None:
    (store.parent / "enforcement-serial.password").write_text("outside")
    assert PasswordStore(store).find(PROFILE, serial).secret == b"000000"


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o602, 0o601])
def test_a_file_that_others_can_read_or_change_is_not_used(store: Path, mode: int) -> None:
    (store / f"{PROFILE}.password").chmod(mode)
    with pytest.raises(UnsafePasswordError, match="others can read or change it"):
        PasswordStore(store).find(PROFILE, "X")
    (store / f"{PROFILE}.password").chmod(0o440)
    assert PasswordStore(store).find(PROFILE, "X").secret


def test_a_directory_that_others_can_write_is_not_used(store: Path) -> None:
    store.chmod(0o770)
    with pytest.raises(UnsafePasswordError):
        PasswordStore(store).find(PROFILE, "X")
    store.chmod(0o700)
    keep_password(store, "own", serial="X1").parent.chmod(0o777)
    with pytest.raises(UnsafePasswordError):
        PasswordStore(store).find(PROFILE, "X1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")
def test_a_file_of_another_user_is_not_used(store: Path) -> None:
    os.chown(store / f"{PROFILE}.password", 12345, 12345)
    with pytest.raises(UnsafePasswordError, match="another user"):
        PasswordStore(store).find(PROFILE, "X")


def test_links_pipes_and_things_that_are_no_password_are_not_used(store: Path, tmp_path: Path) -> None:
    path = store / f"{PROFILE}.password"
    for content in (b"", b"\n", b"two\nlines\n", b"x" * 65, "密码".encode(), b"a\0b"):
        path.write_bytes(content)
        with pytest.raises(UnsafePasswordError, match="one line of 1 to 64"):
            PasswordStore(store).find(PROFILE, "X")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePasswordError):
        PasswordStore(store).find(PROFILE, "X")
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(UnsafePasswordError):
        PasswordStore(store).find(PROFILE, "X")


def test_a_password_is_in_no_repr_and_is_padded_as_the_profile_says(store: Path) -> None:
    password = PasswordStore(store).find(PROFILE, "X")
    assert "000000" not in repr(password)
    step = Password.model_validate({"send_hex": "01{password}", "reply": "OK", "width": 8, "pad": "ff"})
    assert password.as_sent(step) == b"000000\xff\xff"
    with pytest.raises(UnsendableError):
        password.as_sent(step.model_copy(update={"width": 5}))
