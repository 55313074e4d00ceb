"""Every way of keeping the root, held to one contract; SoftHSM2 and swtpm are the real programs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.hardware import MODULE, PIN, SoftTpm, configure_tokens, make_token

from core.durable import AlreadyExistsError
from core.settings import KeydSettings, RootKind
from vault.formats.age import Identity
from vault.store.root import (
    PinLockedError,
    RootDamagedError,
    RootError,
    RootMissingError,
    WeakPassphraseError,
    WrongPassphraseError,
    WrongPinError,
    check_secret,
    handed_over,
)
from vault.store.root_kind import RootPlace
from vault.store.token_root import NoModuleError, TokenError, TokenRoot
from vault.store.tpm_root import TpmError

pytestmark = pytest.mark.stock
TOKEN = RootPlace(RootKind.PKCS11, MODULE, "root")
TPM = RootPlace(RootKind.TPM2)
PASSPHRASE = RootPlace(RootKind.PASSPHRASE)
CREDENTIAL = RootPlace(RootKind.CREDENTIAL)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two tokens; the module reads its configuration once in the life of the process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(configure_tokens(tmp_path_factory.mktemp("softhsm"))))
        make_token("root")
        make_token("other")
        yield


@pytest.fixture
def tpm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftTpm]:
    started = SoftTpm.start(tmp_path / "tpm")
    monkeypatch.setenv("TPM2TOOLS_TCTI", started.tcti)
    yield started
    started.stop()


@dataclass(frozen=True)
class Way:
    place: RootPlace
    secret: bytes


@pytest.fixture(params=["passphrase", "credential", "pkcs11", "tpm2"])
def way(request: pytest.FixtureRequest) -> Way:
    kind = RootKind(request.param)
    if kind is RootKind.PKCS11:
        request.getfixturevalue("tokens")
        return Way(TOKEN, PIN)
    if kind is RootKind.TPM2:
        request.getfixturevalue("tpm")
        return Way(TPM, PIN)
    return Way(replace(PASSPHRASE, kind=kind), b"a passphrase for one test")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir()
    return tmp_path / "keys"


# --- the contract


def test_what_was_kept_comes_back(way: Way, directory: Path) -> None:
    identity = Identity.generate()
    way.place.root(directory).keep(identity, way.secret)
    root = way.place.root(directory)
    assert root.open(way.secret).text == identity.text
    assert root.kind is way.place.kind
    assert [path.name for path in directory.iterdir()] == [root.path.name]
    assert root.path.stat().st_mode & 0o777 == 0o400


def test_only_the_credential_lies_in_the_clear(way: Way, directory: Path) -> None:
    way.place.root(directory).keep(Identity.generate(), way.secret)
    raw = way.place.root(directory).path.read_bytes()
    assert (b"AGE-SECRET-KEY" in raw) == (way.place.kind is RootKind.CREDENTIAL)
    assert way.secret not in raw


def test_a_root_is_never_kept_over_another(way: Way, directory: Path) -> None:
    first = Identity.generate()
    root = way.place.root(directory)
    root.keep(first, way.secret)
    with pytest.raises(AlreadyExistsError):
        root.keep(Identity.generate(), way.secret)
    assert root.open(way.secret).text == first.text


def test_a_root_that_is_not_there_is_named(way: Way, directory: Path) -> None:
    with pytest.raises(RootMissingError, match=str(directory)):
        way.place.root(directory).open(way.secret)


def test_a_damaged_root_opens_nothing(way: Way, directory: Path) -> None:
    root = way.place.root(directory)
    root.keep(Identity.generate(), way.secret)
    raw = root.path.read_bytes()
    for damaged in (b"", raw[: len(raw) // 2], raw.replace(b"1", b"2"), b"{}", b'{"v":1}', b"\xff\x00"):
        root.path.chmod(0o600)
        root.path.write_bytes(damaged)
        with pytest.raises(RootError) as caught:
            root.open(way.secret)
        assert "AGE-SECRET-KEY" not in str(caught.value)


def test_a_destroyed_root_is_gone(way: Way, directory: Path) -> None:
    root = way.place.root(directory)
    root.keep(Identity.generate(), way.secret)
    root.destroy()
    root.destroy()
    with pytest.raises(RootMissingError):
        root.open(way.secret)


# --- a passphrase


def test_a_wrong_passphrase_is_told_from_damage(directory: Path) -> None:
    root = PASSPHRASE.root(directory)
    root.keep(Identity.generate(), b"the right one")
    with pytest.raises(WrongPassphraseError):
        root.open(b"the wrong one")


def test_stock_age_opens_a_passphrase_root_with_the_passphrase_alone(directory: Path) -> None:
    """`age -d` asks on a terminal, so a terminal is what it gets."""
    identity = Identity.generate()
    PASSPHRASE.root(directory).keep(identity, b"the right one")
    done = subprocess.run(
        ["script", "-qec", f"age -d -o {directory / 'opened'} {directory / 'root.age'}", "/dev/null"],
        input=b"the right one\n", capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert (directory / "opened").read_text().strip() == identity.text


@pytest.mark.parametrize(
    ("kind", "secret"), [(RootKind.PASSPHRASE, b"7 chars"), (RootKind.PKCS11, b"12345"), (RootKind.TPM2, b"")]
)
def test_a_short_secret_is_refused(kind: RootKind, secret: bytes) -> None:
    with pytest.raises(WeakPassphraseError):
        check_secret(kind, secret)


# --- a credential


def credentials(tmp_path: Path, **files: str) -> RootPlace:
    place = tmp_path / "credentials"
    place.mkdir(exist_ok=True)
    for name, text in files.items():
        (place / name.replace("_", "-")).write_text(text)
    return replace(CREDENTIAL, credentials=place)


def test_the_identity_itself_may_be_handed_over(tmp_path: Path, directory: Path) -> None:
    identity = Identity.generate()
    place = credentials(tmp_path, root_identity=f"{identity.text}\n")
    assert place.root(directory).open(b"").text == identity.text


def test_the_passphrase_of_a_sealed_root_may_be_handed_over(tmp_path: Path, directory: Path) -> None:
    identity = Identity.generate()
    PASSPHRASE.root(directory).keep(identity, b"the right one")
    place = credentials(tmp_path, root_passphrase="the right one\n")
    assert place.root(directory).open(b"").text == identity.text


def test_a_file_that_was_left_in_the_clear_is_not_read_at_a_start(tmp_path: Path, directory: Path) -> None:
    CREDENTIAL.root(directory).keep(Identity.generate(), b"")
    with pytest.raises(RootMissingError, match="root-identity"):
        credentials(tmp_path).root(directory).open(b"")


def test_a_credential_that_is_no_identity_is_not_shown(tmp_path: Path, directory: Path) -> None:
    place = credentials(tmp_path, root_identity="AGE-SECRET-KEY-1QQQQ")
    with pytest.raises(RootDamagedError) as caught:
        place.root(directory).open(b"")
    assert "QQQQ" not in str(caught.value)


def test_a_secret_is_handed_over_under_its_name(tmp_path: Path) -> None:
    place = credentials(tmp_path, root_passphrase="words\n", root_pin="482913").credentials
    assert handed_over(RootKind.PASSPHRASE, place) == b"words"
    assert handed_over(RootKind.PKCS11, place) == handed_over(RootKind.TPM2, place) == b"482913"
    assert handed_over(RootKind.CREDENTIAL, None) == b""
    assert handed_over(RootKind.TPM2, None) is None
    assert handed_over(RootKind.TPM2, tmp_path) is None


def test_the_settings_and_systemd_say_where_the_root_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    place = RootPlace.from_settings(
        KeydSettings(root=RootKind.PKCS11, pkcs11_module=MODULE, pkcs11_token="root")
    )
    assert place == RootPlace(RootKind.PKCS11, MODULE, "root", tmp_path)


# --- a token


def test_a_wrong_pin_of_a_token_is_told(tokens: None, directory: Path) -> None:
    TOKEN.root(directory).keep(Identity.generate(), PIN)
    with pytest.raises(WrongPinError, match="the token root"):
        TOKEN.root(directory).open(b"000000")
    assert TOKEN.root(directory).open(PIN)


def test_a_token_that_is_not_plugged_in_is_told(tokens: None, directory: Path) -> None:
    TOKEN.root(directory).keep(Identity.generate(), PIN)
    with pytest.raises(TokenError, match="not plugged in"):
        replace(TOKEN, token="elsewhere").root(directory).open(PIN)


def test_another_token_does_not_open_it(tokens: None, directory: Path) -> None:
    TOKEN.root(directory).keep(Identity.generate(), PIN)
    with pytest.raises(TokenError, match="key is not in it"):
        replace(TOKEN, token="other").root(directory).open(PIN)


@pytest.mark.parametrize("module", [None, Path("/nowhere/driver.so"), Path("/etc/hostname")])
def test_a_missing_driver_is_told(directory: Path, module: Path | None) -> None:
    root = replace(TOKEN, module=module).root(directory)
    with pytest.raises(NoModuleError):
        root.keep(Identity.generate(), PIN)


def test_a_destroyed_key_makes_every_copy_of_the_file_worthless(tokens: None, directory: Path) -> None:
    root = TokenRoot(directory, MODULE, "root")
    root.keep(Identity.generate(), PIN)
    kept = root.path.read_bytes()
    root.destroy_key(PIN)
    root.destroy_key(PIN)
    assert root.path.read_bytes() == kept
    with pytest.raises(TokenError, match="key is not in it"):
        root.open(PIN)


# --- a TPM


def _told(directory: Path) -> str:
    """The sentence that a wrong PIN brings."""
    with pytest.raises((WrongPinError, PinLockedError)) as caught:
        TPM.root(directory).open(b"000000")
    return "locked" if isinstance(caught.value, PinLockedError) else "wrong"


def test_a_wrong_pin_of_the_tpm_is_told_and_then_locks_it(tpm: SoftTpm, directory: Path) -> None:
    TPM.root(directory).keep(Identity.generate(), PIN)
    with pytest.raises(WrongPinError, match="the TPM"):
        TPM.root(directory).open(b"000000")
    tries = 0
    while "locked" not in _told(directory):
        tries += 1
        assert tries < 10
    with pytest.raises(PinLockedError):
        TPM.root(directory).open(PIN)


def test_many_openings_leave_the_tpm_as_empty_as_it_was(tpm: SoftTpm, directory: Path) -> None:
    identity = Identity.generate()
    TPM.root(directory).keep(identity, PIN)
    assert {TPM.root(directory).open(PIN).text for _ in range(4)} == {identity.text}


def test_a_tpm_that_is_gone_is_told(tpm: SoftTpm, directory: Path) -> None:
    TPM.root(directory).keep(Identity.generate(), PIN)
    tpm.stop()
    with pytest.raises(TpmError, match=r"tcti|connect"):
        TPM.root(directory).open(PIN)


def test_another_machines_tpm_does_not_open_it(
    tpm: SoftTpm, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TPM.root(directory).keep(Identity.generate(), PIN)
    other = SoftTpm.start(tmp_path / "another")
    try:
        monkeypatch.setenv("TPM2TOOLS_TCTI", other.tcti)
        with pytest.raises(RootDamagedError, match="this TPM did not make it"):
            TPM.root(directory).open(PIN)
    finally:
        other.stop()


def test_missing_tools_are_told(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(TpmError, match="tpm2_createprimary is not installed"):
        TPM.root(directory).keep(Identity.generate(), PIN)
