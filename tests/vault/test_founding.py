"""A vault comes into being whole, with recovery keys that work, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from crash.house import PASSPHRASE, House
from support.hardware import MODULE, PIN, SoftTpm, configure_tokens, make_token

from core.errors import SealdockError
from core.settings import RootKind
from sealdock.command.found import AnswerMissingError, init
from vault import founding
from vault.formats.age import Identity
from vault.founding import FoundingError, NotEmptyError, WeakPassphraseError, fingerprint, initialise
from vault.log.bucket_rule import commitment
from vault.log.ledger import LogReader
from vault.store.keys import Keyring, bucket_recipient
from vault.store.objects import NoVaultError, Vault
from vault.store.recovery import RecoveryTrialError, prove
from vault.store.root import LEAST_SECRET, RootError
from vault.store.root_kind import RootPlace

PLAIN = RootPlace(RootKind.CREDENTIAL)  # costs no scrypt


def test_the_founding_puts_every_process_key_on_the_log(house: House) -> None:
    genesis, *keys, bucket = house.reader.leaves()
    assert genesis.type == "genesis"
    assert genesis.facts["key"] == house.vault.verifier.vkey
    assert {leaf.facts["name"]: leaf.facts["permits"] for leaf in keys} == founding.PERMITS
    for leaf in keys:
        assert house.key(leaf.facts["name"]).vkey == leaf.facts["vkey"]
    assert (bucket.type, bucket.facts) == ("bucket", commitment(house.vault, "facts").facts())
    assert house.verify().ok


def test_secrets_are_readable_by_their_owner_alone(house: House) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in house.keys.iterdir()}
    assert modes == dict.fromkeys(
        ["root.age", "log.key", *(f"{name}.key" for name in founding.PERMITS)], 0o400
    )


def test_the_fingerprint_is_what_openssl_says(house: House) -> None:
    raw = house.vault.verifier.public
    told = subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=raw, capture_output=True, check=True)
    assert fingerprint(raw).replace(" ", "") == told.stdout.split()[0].decode()


def test_a_given_recovery_recipient_is_used_and_no_identity_made(tmp_path: Path) -> None:
    recovery = Identity.generate()
    made = initialise(tmp_path / "v", tmp_path / "k", b"", [prove(recovery)], root=PLAIN)
    assert made.recovery_identity is None
    vault = Vault.open(tmp_path / "v")
    assert Keyring.from_identity(vault, recovery.text).bucket("facts").recipient.text == bucket_recipient(
        vault, "facts"
    )


@pytest.mark.parametrize("which", ["vault", "keys"])
def test_nothing_is_made_over_something(tmp_path: Path, which: str) -> None:
    (tmp_path / which).mkdir()
    (tmp_path / which / "something").write_text("")
    with pytest.raises(NotEmptyError, match="never made over another"):
        initialise(tmp_path / "vault", tmp_path / "keys", PASSPHRASE)
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted([which, "something"])


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeakPassphraseError):
        initialise(tmp_path / "v", tmp_path / "k", b"x" * (LEAST_SECRET[RootKind.PASSPHRASE] - 1))
    assert list(tmp_path.iterdir()) == []


def test_a_founding_that_was_cut_short_left_no_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_short(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(founding, "_write_first_entries", cut_short)
    with pytest.raises(FoundingError, match="no vault and holds no evidence"):
        initialise(tmp_path / "v", tmp_path / "k", b"", root=PLAIN)
    with pytest.raises(NoVaultError):
        Vault.open(tmp_path / "v")


# --- the trial, as a person meets it


def founded(tmp_path: Path, *options: object, typed: str = "") -> Result:
    argv = [tmp_path / "v", "--keys", tmp_path / "k", "--root", "credential", *options]
    return CliRunner().invoke(init, [str(part) for part in argv], input=typed)


def words(tmp_path: Path, identity: Identity, number: int = 1) -> Path:
    """What `age -d` prints where the recovery key is."""
    key, out = tmp_path / f"recovery-{number}.key", tmp_path / f"words-{number}"
    key.write_text(identity.text)
    sealed = tmp_path / "k" / f"recovery-{number}.challenge.age"
    out.write_bytes(subprocess.run(["age", "-d", "-i", key, sealed], capture_output=True, check=True).stdout)
    return out


@pytest.mark.stock
def test_recovery_keys_from_elsewhere_open_a_test_object_before_there_is_a_vault(tmp_path: Path) -> None:
    keys = [Identity.generate(), Identity.generate()]
    recipients = [part for key in keys for part in ("--recovery-recipient", key.recipient.text)]
    first = founded(tmp_path, *recipients)
    assert isinstance(first.exception, AnswerMissingError)
    assert "age -d -i KEY" in str(first.exception)
    assert not (tmp_path / "v").exists()
    answers = [
        part for n, key in enumerate(keys, 1) for part in ("--recovery-answer", words(tmp_path, key, n))
    ]
    swapped = founded(tmp_path, *recipients, "--recovery-answer", answers[3], "--recovery-answer", answers[1])
    assert isinstance(swapped.exception, RecoveryTrialError)
    assert not (tmp_path / "v").exists()
    done = founded(tmp_path, *recipients, *answers)
    assert done.exit_code == 0, done.output
    vault = Vault.open(tmp_path / "v")
    for key in keys:
        assert Keyring.opened(vault, key).bucket("facts")
    genesis = LogReader(vault).leaf(0)
    assert genesis.facts["recovery"] == [key.recipient.text for key in keys]
    assert not list((tmp_path / "k").glob("recovery*"))


def test_a_key_made_here_is_read_back_from_its_file(tmp_path: Path) -> None:
    done = founded(tmp_path, "--recovery-out", tmp_path / "recovery.key")
    assert done.exit_code == 0, done.output
    identity = Identity.parse((tmp_path / "recovery.key").read_text())
    vault = Vault.open(tmp_path / "v")
    assert Keyring.opened(vault, identity).bucket("facts")
    assert LogReader(vault).leaf(0).facts["recovery"] == identity.recipient.text
    assert identity.text not in done.output


def test_a_key_that_is_typed_wrongly_makes_no_vault(tmp_path: Path) -> None:
    done = founded(tmp_path, typed=f"{Identity.generate().text}\n")
    assert isinstance(done.exception, RecoveryTrialError)
    assert "AGE-SECRET-KEY-1" in done.output
    assert not (tmp_path / "v").exists()
    assert isinstance(founded(tmp_path, typed="what it was\n").exception, SealdockError)


def test_as_many_answers_as_recipients(tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    answer.write_text("x")
    done = founded(tmp_path, "--recovery-answer", answer)
    assert done.exit_code == 2


def test_a_root_in_the_clear_is_said_to_be(tmp_path: Path) -> None:
    done = founded(tmp_path, "--recovery-out", tmp_path / "recovery.key")
    assert "systemd-creds encrypt --name=root-identity" in done.output
    assert 'root = "credential"' in done.output


# --- every kind of root


@pytest.fixture
def tpm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    started = SoftTpm.start(tmp_path / "tpm")
    monkeypatch.setenv("TPM2TOOLS_TCTI", started.tcti)
    yield
    started.stop()


@pytest.mark.stock
def test_a_vault_is_founded_on_a_tpm(tpm: None, tmp_path: Path) -> None:
    place = RootPlace(RootKind.TPM2)
    initialise(tmp_path / "v", tmp_path / "k", PIN, root=place)
    vault = Vault.open(tmp_path / "v")
    assert Keyring.opened(vault, place.root(tmp_path / "k").open(PIN)).bucket("facts")
    assert not (tmp_path / "k" / "root.age").exists()


@pytest.mark.stock
def test_a_root_that_cannot_be_kept_makes_no_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPM2TOOLS_TCTI", "swtpm:host=127.0.0.1,port=1")
    with pytest.raises(RootError):
        initialise(tmp_path / "v", tmp_path / "k", PIN, root=RootPlace(RootKind.TPM2))
    with pytest.raises(NoVaultError):
        Vault.open(tmp_path / "v")


@pytest.mark.stock
def test_a_vault_is_founded_on_a_token_by_the_command_line(tmp_path: Path) -> None:
    """In a process of its own: a PKCS#11 module reads its configuration once."""
    configuration = configure_tokens(tmp_path / "softhsm")
    environment = {"SOFTHSM2_CONF": str(configuration)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(configuration))
        make_token("root")
    (tmp_path / "pin").write_bytes(PIN)
    program = f"""
import sys
from pathlib import Path
from core.settings import RootKind
from sealdock.command.found import init
from vault.store.keys import Keyring
from vault.store.objects import Vault
from vault.store.root_kind import RootPlace

init(sys.argv[1:], standalone_mode=False)
root = RootPlace(RootKind.PKCS11, Path({str(MODULE)!r}), "root").root(Path(sys.argv[3]))
print(Keyring.opened(Vault.open(Path(sys.argv[1])), root.open({PIN!r})).bucket("facts").recipient.text)
"""
    argv = [tmp_path / "v", "--keys", tmp_path / "k", "--root", "pkcs11", "--pkcs11", MODULE, "root",
            "--passphrase-file", tmp_path / "pin", "--recovery-out", tmp_path / "recovery.key"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, argv)],
        capture_output=True, check=False, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == bucket_recipient(Vault.open(tmp_path / "v"), "facts")
