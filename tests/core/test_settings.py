from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.errors import Exit
from core.settings import Settings, SettingsError, load

LEAST = 'vault = "vault"\nstate = "state"\nkeys = "keys"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sealdock.toml"


def refusal(file: Path, text: str | bytes) -> str:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError) as refused:
        load(file)
    assert refused.value.exit_code is Exit.WRONG_USE
    assert str(file) in str(refused.value)
    return str(refused.value.parameters["mistakes"])


def loaded(file: Path, text: str) -> Settings:
    file.write_text(text, encoding="utf-8")
    return load(file)


def test_three_paths_are_enough_and_are_taken_from_where_the_file_lies(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(LEAST, encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = load(Path("../sealdock.toml"))
    assert (settings.vault, settings.state, settings.keys) == (
        tmp_path / "vault", tmp_path / "state", tmp_path / "keys",
    )  # fmt: skip
    assert settings.run == tmp_path / "state" / "run"
    assert settings.derived == tmp_path / "state" / "derived"
    assert settings.database_url == f"sqlite:///{tmp_path / 'state' / 'sealdock.db'}"
    assert settings.inbox is None


def test_every_path_is_absolute_after_loading(file: Path, tmp_path: Path) -> None:
    settings = loaded(
        file,
        LEAST + 'inbox = "in"\n[dock]\nmounts = "m"\nemulation = "e"\nprofiles = "p"\n'
        '[console]\ncertificate = "c.pem"\nprivate_key = "/etc/k.pem"\n',
    )
    assert settings.inbox == tmp_path / "in"
    assert (settings.dock.mounts, settings.dock.emulation, settings.dock.profiles) == (
        tmp_path / "m", tmp_path / "e", tmp_path / "p",
    )  # fmt: skip
    assert settings.console.certificate == tmp_path / "c.pem"
    assert settings.console.private_key == Path("/etc/k.pem")


def test_another_database_can_be_named(file: Path) -> None:
    assert loaded(file, 'database = "postgresql:///seal"\n' + LEAST).database_url == "postgresql:///seal"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("valt = 1\n" + LEAST, "valt"),
        (LEAST + "[dock]\nbuffer = 8\n", "dock.buffer"),
        (LEAST + '[[dock.bays]]\nnumber = 1\npath = "a"\ncolour = "red"\n', "dock.bays.0.colour"),
        (LEAST + "[kiosk]\non = true\n", "kiosk"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_named(file: Path, text: str, key: str) -> None:
    assert refusal(file, text) == f"  {key}: there is no such setting"


def test_all_mistakes_are_reported_at_once(file: Path) -> None:
    mistakes = refusal(
        file,
        'state = "state"\nkeys = 7\ntypo = 1\n[station]\ntimezone = "Mars/Olympus"\n'
        '[dock]\nbuffers_mib = 4\n[console]\nport = 70000\nthreads = "many"\n',
    )
    named = {line.split(":")[0].strip() for line in mistakes.splitlines()}
    assert named == {
        "vault", "keys", "typo", "station.timezone", "dock.buffers_mib", "console.port", "console.threads",
    }  # fmt: skip


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "Asia", "../etc/passwd", "/etc/passwd"])
def test_a_time_zone_that_is_not_there_is_refused(file: Path, zone: str) -> None:
    assert "station.timezone" in refusal(file, LEAST + f'[station]\ntimezone = "{zone}"\n')


@pytest.mark.parametrize(
    ("bays", "what"),
    [
        ([(1, "a"), (1, "b")], "number"),
        ([(1, "a"), (2, "a")], "path"),
        ([(0, "a")], "number"),
        ([(100, "a")], "number"),
    ],
)
def test_bays_are_distinct_and_have_a_possible_number(
    file: Path, bays: list[tuple[int, str]], what: str
) -> None:
    text = LEAST + "".join(f'[[dock.bays]]\nnumber = {n}\npath = "{p}"\n' for n, p in bays)
    assert what in refusal(file, text)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "dock.example"])  # noqa: S104
@pytest.mark.parametrize("given", ["", 'certificate = "c.pem"\n', 'private_key = "k.pem"\n'])
def test_beyond_loopback_only_tls(file: Path, host: str, given: str) -> None:
    mistakes = refusal(file, LEAST + f'[console]\nhost = "{host}"\n{given}')
    assert "console: " in mistakes
    assert "certificate and private_key are needed" in mistakes


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_certificate(file: Path, host: str) -> None:
    assert loaded(file, LEAST + f'[console]\nhost = "{host}"\n').console.host == host


def test_beyond_loopback_with_a_certificate(file: Path) -> None:
    text = LEAST + '[console]\nhost = "192.0.2.7"\ncertificate = "c.pem"\nprivate_key = "k.pem"\n'
    assert loaded(file, text).console.host == "192.0.2.7"


def test_broken_toml_names_the_line(file: Path) -> None:
    assert "line 2" in refusal(file, 'vault = "v"\nstate = \n')


@pytest.mark.parametrize("raw", [b"\xff\xfe", 'vault = "\u5e93"\n'.encode("gb18030"), b'vault = "v"\0'])
def test_a_file_that_is_not_utf8_text_is_refused(file: Path, raw: bytes) -> None:
    assert refusal(file, raw)


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(SettingsError, match="Nothing was started"):
            load(path)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.binary(max_size=120) | st.text(max_size=120).map(str.encode))
def test_any_file_is_settings_or_one_kind_of_error(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "any.toml").write_bytes(raw)
    with pytest.raises(SettingsError):
        load(tmp_path / "any.toml")


def test_a_state_directory_that_is_too_long_for_sockets_is_refused_with_its_limit(
    file: Path, tmp_path: Path
) -> None:
    most = 107 - len("/run/console.sock")  # bytes that unix(7) leaves
    for state in ("s", "\u5e93"):  # bytes are counted, not letters
        fits = (most - len(str(tmp_path)) - 1) // len(state.encode()) * state
        name = fits + "s" * (most - len(f"{tmp_path}/{fits}".encode()))
        text = f'vault = "vault"\nkeys = "keys"\nstate = "{name}"\n'
        settings = loaded(file, text)
        settings.run.mkdir(parents=True)
        assert is_bound(settings.run / "console.sock")
        mistakes = refusal(file, text.replace(name, f"{name}s"))
        assert "state" in mistakes
        assert f"{most} bytes at most" in mistakes
        assert not is_bound(tmp_path / f"{name}s" / "run" / "console.sock")


def is_bound(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        try:
            bell.bind(str(path))
        except OSError:
            return False
        return True


def test_settings_cannot_be_changed_afterwards(file: Path) -> None:
    settings = loaded(file, LEAST)
    with pytest.raises(ValueError, match="frozen"):
        settings.vault = Path("/elsewhere")  # type: ignore[misc]
