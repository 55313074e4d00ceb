"""A station's password store, its notes and the shipped exchange, for each test its own."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from devices.profile import find_profile, load_profiles
from devices.serial import attempt
from devices.serial.attempt import Attempts
from devices.serial.secret import PasswordStore
from devices.serial.table import SerialTable
from devices.serial.unlock import Access

attempt.COST = 2**4  # of marks in this process: the cost itself is no subject of these tests
PROFILE = "enforcement-serial"


def keep_password(store: Path, text: str, serial: str = "") -> Path:
    """A password as an administrator puts it there."""
    store.mkdir(mode=0o700, exist_ok=True)
    path = store / PROFILE / f"{serial}.password" if serial else store / f"{PROFILE}.password"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="session")
def shipped() -> SerialTable:
    table = find_profile(load_profiles(), PROFILE).serial
    assert table is not None
    return table


@pytest.fixture
def store(tmp_path: Path) -> Path:
    keep_password(tmp_path / "passwords", "000000")
    return tmp_path / "passwords"


@pytest.fixture
def access(shipped: SerialTable, store: Path, tmp_path: Path) -> Access:
    return access_to(shipped, store, tmp_path)


@pytest.fixture
def quick_access(shipped: SerialTable, store: Path, tmp_path: Path) -> Access:
    """The shipped exchange for recorders that stay silent: no step waits for longer than a fifth of a second."""
    return access_to(changed(shipped, timeout_s=0.2), store, tmp_path)


def access_to(table: SerialTable, store: Path, tmp_path: Path) -> Access:
    return Access(
        PROFILE, table, PasswordStore(store), Attempts(tmp_path / "notes"), ZoneInfo("Asia/Shanghai")
    )


def changed(table: SerialTable, **values: object) -> SerialTable:
    """The table with other values in each step, checked like a profile's."""
    plain = table.model_dump(exclude_unset=True)
    for name, _ in table.steps():
        plain[name] |= values
    return SerialTable.model_validate(plain)
