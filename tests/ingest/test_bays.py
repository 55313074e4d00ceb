"""The map of bays in the settings file: written, read again, taken back, and nothing else touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.settings import BaySettings, SettingsError, load
from ingest.bays import BayMapError, bay_tables, take_back, with_bays, write_bays

HEAD = """# A station.
vault = "vault"
state = "state"
keys = "keys"

[dock]   # the dock
mounts = "mounts"

# One table per bay:
"""
TAIL = """
[console]
port = 8443  # [[dock.bays]] in a comment is none
"""
OLD = """[[dock.bays]]
number = 1
path = "pci-0000:00:14.0-usb-0:3"
# the one beside the door
[[ dock.bays ]]  # second
number = 2
path = "pci-0000:00:14.0-usb-0:4"
"""


def bays(*ports: str) -> list[BaySettings]:
    made = enumerate(ports, start=1)
    return [BaySettings(number=number, path=f"pci-0000:00:14.0-usb-0:{port}") for number, port in made]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "sealdock.toml"
    path.write_text(HEAD + OLD + TAIL, encoding="utf-8")
    path.chmod(0o640)
    return path


def test_forty_bays_are_written_and_read_as_they_were_meant(settings: Path) -> None:
    wanted = bays(*(f"{hub}.{port}" for hub in range(1, 6) for port in range(1, 9)))
    copy = write_bays(settings, wanted)
    assert list(load(settings).dock.bays) == wanted
    text = settings.read_text(encoding="utf-8")
    assert text.startswith(HEAD)
    for kept in ("# the one beside the door", "port = 8443  # [[dock.bays]] in a comment is none"):
        assert kept in text
    assert copy.read_text(encoding="utf-8") == HEAD + OLD + TAIL
    assert settings.stat().st_mode & 0o777 == 0o640
    assert all(f'"{bay.path}"' in text for bay in wanted)  # as the udev rule looks for it


def test_it_can_be_repeated_and_taken_back_and_brought_again(settings: Path) -> None:
    write_bays(settings, bays("3", "4", "5"))
    first = settings.read_text(encoding="utf-8")
    write_bays(settings, bays("3", "4", "5"))
    assert settings.read_text(encoding="utf-8") == first
    write_bays(settings, bays("7"))
    take_back(settings)
    assert settings.read_text(encoding="utf-8") == first
    take_back(settings)
    assert list(load(settings).dock.bays) == bays("7")


def test_taking_back_does_not_undo_what_else_was_changed_since(settings: Path) -> None:
    write_bays(settings, bays("3"))
    settings.write_text(settings.read_text(encoding="utf-8").replace("8443", "9443"), encoding="utf-8")
    with pytest.raises(BayMapError, match="other settings were changed"):
        take_back(settings)


def test_there_may_be_nothing_to_take_back(settings: Path) -> None:
    with pytest.raises(BayMapError, match="no change of bays"):
        take_back(settings)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD + 'bays = [{ number = 1, path = "x" }]\n', "not written as"),
        ("vault = \n", "Invalid"),
        (
            HEAD + '[station]\nname = """\n[[dock.bays]]\nnumber = 1\n"""\n',
            "not written as",
        ),
    ],
)
def test_a_file_that_cannot_be_changed_safely_is_not_changed(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "sealdock.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BayMapError, match=why):
        write_bays(path, bays("3"))
    assert path.read_text(encoding="utf-8") == text
    assert [one.name for one in tmp_path.iterdir()] == ["sealdock.toml"]


def test_bays_that_the_station_would_refuse_are_not_written(settings: Path) -> None:
    before = settings.read_text(encoding="utf-8")
    twice = [BaySettings(number=1, path="pci-0-usb-0:1"), BaySettings(number=2, path="pci-0-usb-0:1")]
    with pytest.raises(SettingsError, match="same path"):
        write_bays(settings, twice)
    assert settings.read_text(encoding="utf-8") == before


@given(st.text(max_size=60).filter(lambda path: "-usb" not in path))
def test_no_path_brings_anything_else_into_the_settings(path: str) -> None:
    with pytest.raises(BayMapError, match="no path of a USB port"):
        with_bays(HEAD, [BaySettings(number=1, path=path)], Path("x"))


@pytest.mark.parametrize("path", ['a"\n[keyd]\n-usb-0:1', "a b-usb-0:1", "x-usb-0:1\n", 'x"-usb-0:1'])
def test_a_path_with_quotes_or_lines_is_no_path(path: str) -> None:
    with pytest.raises(BayMapError):
        with_bays(HEAD, [BaySettings(number=1, path=path)], Path("x"))


def test_the_tables_are_in_the_order_of_the_case() -> None:
    text = bay_tables(reversed(bays("1", "2")))
    assert text.index("number = 1") < text.index("number = 2")
