"""Options that several commands share, said once."""

from __future__ import annotations

from pathlib import Path

import click

from vault.formats.note import VerifierKey

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
key_option = click.option(
    "--key",
    metavar="KEY|FILE",
    help="The vault's verifier key, as printed at `vault init`, or a file that holds it.",
)


def trusted_key(given: str | None) -> VerifierKey | None:
    """The verifier key that the person brought, as text or as a file; None when none was given."""
    if given is None:
        return None
    path = Path(given)
    text = path.read_text(encoding="utf-8") if path.is_file() else given
    return VerifierKey.parse(text.strip())


def passphrase(file: Path | None, prompt: str, *, confirm: bool = False) -> bytes:
    """The passphrase from a file's first line, or asked for on the terminal."""
    if file is not None:
        return file.read_text(encoding="utf-8").splitlines()[0].encode()
    typed: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    return typed.encode()
