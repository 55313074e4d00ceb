"""`sealdock vault init`: a vault comes into being once its recovery keys have opened a test object."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from core.canonical import CanonicalError, decode, encode
from core.durable import create_once, make_directory
from core.errors import Exit, SealdockError
from core.settings import RootKind
from sealdock.command.option import passphrase
from vault.formats.age import Identity, Recipient
from vault.founding import VaultIdentity, check_empty, initialise
from vault.store.recovery import Challenge, ProvenRecovery
from vault.store.root import SECRET_MODE, check_secret
from vault.store.root_kind import RootPlace

SECRET_PROMPT = {
    RootKind.PASSPHRASE: "Passphrase of the root key",
    RootKind.PKCS11: "PIN of the token",
    RootKind.TPM2: "PIN for the TPM",
}
pkcs11_option = click.option(
    "--pkcs11", nargs=2, type=(click.Path(path_type=Path), str), metavar="MODULE LABEL",
    help="The token's driver and label, for a root in a PKCS#11 token.",
)  # fmt: skip
_CHALLENGE = "recovery-{number}.challenge.age"


class AnswerMissingError(SealdockError):
    """The recovery keys have not shown yet that they work."""

    code = "sealdock.recovery_answer"
    sentence = (
        "No vault was made yet. Each recovery key has to open its test object first: where the key is, run\n"
        "{commands}\n"
        "then give this command again with --recovery-answer FILE for each, in the same order."
    )
    exit_code = Exit.CANNOT


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--keys", required=True, type=click.Path(path_type=Path), help="Where the secrets go; not in the vault."
)
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, path_type=Path),
    help="First line is the passphrase or PIN.",
)
@click.option("--root", "kind", type=click.Choice([kind.value for kind in RootKind]), default=RootKind.PASSPHRASE.value,
              show_default=True, help="How the root key is kept (docs/operations/keys.md).")  # fmt: skip
@pkcs11_option
@click.option("--recovery-recipient", "recipients", multiple=True,
              help="age1... of a recovery key that was made elsewhere (best); may be repeated.")  # fmt: skip
@click.option("--recovery-answer", "answers", multiple=True, type=click.Path(exists=True, path_type=Path),
              help="A file with a test object's words, for each recipient; without it they are asked for.")  # fmt: skip
@click.option("--recovery-out", type=click.Path(path_type=Path),
              help="Write the recovery key made here to this new file and prove it from there.")  # fmt: skip
def init(
    directory: Path, keys: Path, passphrase_file: Path | None, kind: str, pkcs11: tuple[Path, str] | None,
    recipients: tuple[str, ...], answers: tuple[Path, ...], recovery_out: Path | None,
) -> None:  # fmt: skip
    """Make a new vault in DIRECTORY and print its id and key fingerprint.

    It ends only after every recovery key has opened a test object: a key made here is typed back (or read back from
    --recovery-out), one made elsewhere opens an age file there and the words in it are given back.
    """
    place = RootPlace(RootKind(kind), *(pkcs11 or ()))
    if answers and len(answers) != len(recipients):
        raise click.UsageError("--recovery-answer is given once for each --recovery-recipient")
    check_empty(directory)
    secret = root_secret(place.kind, passphrase_file)
    check_secret(place.kind, secret)
    if recipients:
        posed = _posed(keys, recipients)
        proven = _answered(posed, answers, keys)
        _withdraw(keys, posed)
    else:
        check_empty(keys)
        proven = [_made_here(recovery_out)]
    _tell(initialise(directory, keys, secret, proven, root=place), place.kind, keys)


def root_secret(kind: RootKind, file: Path | None, *, confirm: bool = True) -> bytes:
    """What the root needs, from a file's first line or asked for; a credential needs nothing."""
    return b"" if kind is RootKind.CREDENTIAL else passphrase(file, SECRET_PROMPT[kind], confirm=confirm)


def _made_here(out: Path | None) -> ProvenRecovery:
    """A recovery key, shown or written once, and opened with what comes back."""
    identity = Identity.generate()
    challenge = Challenge.pose(identity.recipient)
    if out is not None:
        create_once(out, f"{identity.text}\n".encode(), SECRET_MODE)
        click.echo(f"The recovery key is in {out}. Keep it off this machine.")
        typed = out.read_text(encoding="ascii")
    else:
        click.echo(
            "Recovery key. Print it or write it down, lock it away off this machine, and clear this screen:"
        )
        click.echo(f"\n  {identity.text}\n")
        typed = click.prompt("Type it back, or give the file that holds it", err=True)
        typed = Path(typed).read_text(encoding="ascii") if Path(typed).is_file() else typed
    return challenge.opened_with(Identity.parse(typed.strip().upper()))


def _posed(keys: Path, recipients: tuple[str, ...]) -> list[Challenge]:
    """The test objects: those that wait in the keys directory for these recipients, or new ones."""
    wanted = [Recipient.parse(text).text for text in recipients]
    if len(set(wanted)) != len(wanted):
        raise click.UsageError("a recovery recipient is given twice")
    names = [_CHALLENGE.format(number=number) for number in range(1, len(wanted) + 1)]
    expected = {name for challenge in names for name in (challenge, f"{challenge}.json")}
    if keys.is_dir() and {path.name for path in keys.iterdir()} == expected:
        posed = [_kept(keys / name) for name in names]
        if [challenge.recipient.text for challenge in posed] == wanted:
            return posed
    check_empty(keys)
    make_directory(keys, mode=0o700)
    posed = [Challenge.pose(Recipient.parse(text)) for text in wanted]
    for name, challenge in zip(names, posed, strict=True):
        facts = {"recipient": challenge.recipient.text, "answer_sha256": challenge.answer_sha256}
        create_once(keys / f"{name}.json", encode(facts), SECRET_MODE)
        create_once(keys / name, challenge.sealed, SECRET_MODE)
    return posed


def _kept(path: Path) -> Challenge:
    try:
        facts = decode(path.with_name(f"{path.name}.json").read_bytes())
        return Challenge(Recipient.parse(facts["recipient"]), path.read_bytes(), facts["answer_sha256"])
    except (CanonicalError, KeyError, TypeError) as cause:
        raise click.UsageError(f"{path} is no test object of a founding; empty the keys directory") from cause


def _answered(posed: list[Challenge], answers: tuple[Path, ...], keys: Path) -> list[ProvenRecovery]:
    """The words, from files or typed in; without both the test objects wait."""
    paths = [keys / _CHALLENGE.format(number=number) for number in range(1, len(posed) + 1)]
    if not answers and not sys.stdin.isatty():
        raise AnswerMissingError(commands="\n".join(f"  age -d -i KEY {path}" for path in paths))
    if answers:
        given = [path.read_text(encoding="utf-8") for path in answers]
    else:
        given = []
        for challenge, path in zip(posed, paths, strict=True):
            click.echo(f"Where the key {challenge.recipient.text} is, run: age -d -i KEY {path}")
            given.append(click.prompt("The words that it prints", err=True))
    return [challenge.answered(words) for challenge, words in zip(posed, given, strict=True)]


def _withdraw(keys: Path, posed: list[Challenge]) -> None:
    """The test objects have done their work; founding wants the keys directory empty."""
    for number in range(1, len(posed) + 1):
        path = keys / _CHALLENGE.format(number=number)
        path.unlink()
        path.with_name(f"{path.name}.json").unlink()


def _tell(made: VaultIdentity, kind: RootKind, keys: Path) -> None:
    click.echo(f"vault        {made.id}\nkey          {made.vkey}\nfingerprint  {made.fingerprint}")
    click.echo("Publish the key and its fingerprint: with them anybody can check your receipts and packages.")
    click.echo("Every recovery key has opened its test object.")
    if kind is not RootKind.PASSPHRASE:
        click.echo(f'Say in the settings: [keyd] root = "{kind.value}"')
    if kind is RootKind.CREDENTIAL:
        click.echo(credential_advice(keys))


def credential_advice(keys: Path) -> str:
    """How a root that lies in the clear gets into systemd's credential store."""
    path = keys / "root.credential"
    return (
        f"{path} holds the root key in the clear. Put it into the credential store now, and destroy the file:\n"
        f"  systemd-creds encrypt --name=root-identity {path} /etc/credstore.encrypted/root-identity\n"
        f"  shred -u {path}"
    )
