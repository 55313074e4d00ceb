"""`sealdock receipt`: check a receipt anywhere, with nothing but the file and a key."""

from __future__ import annotations

import json
from pathlib import Path

import click

from core.digest import Sha256
from core.errors import Exit
from sealdock.command.option import json_option, key_option, trusted_key
from vault.formats.proof import Receipt

PIECE = 1 << 20


@click.group()
def receipt() -> None:
    """Check receipts."""


@receipt.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--recording", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A copy of the recording to compare with what the receipt names.")  # fmt: skip
@key_option
@json_option
@click.pass_context
def verify(
    context: click.Context, file: Path, recording: Path | None, key: str | None, as_json: bool
) -> None:
    """Verify FILE: 0 proven under --key, 1 wrong, 3 consistent but the key is unconfirmed."""
    found = Receipt.parse(file.read_bytes())
    verdict = found.examine(trusted=trusted_key(key))
    same = (
        None
        if recording is None or verdict.leaf.object is None
        else _digest(recording) == verdict.leaf.object.sha256
    )
    if as_json:
        leaf = json.loads(verdict.leaf.canonical())
        click.echo(json.dumps({"trust": verdict.trust, "index": verdict.index, "entry": leaf, "same": same}))
    else:
        click.echo(verdict.sentence.format(**verdict.parameters))
        click.echo(f"  entry {verdict.leaf.id} ({verdict.leaf.type}) of {verdict.leaf.time}")
        if verdict.leaf.object:
            click.echo(f"  sha256 {verdict.leaf.object.sha256}, {verdict.leaf.object.size} bytes")
        if same is not None:
            click.echo("  the copy is that recording" if same else f"  {recording} is NOT that recording")
    context.exit(Exit.NO if same is False else verdict.exit_code)


def _digest(path: Path) -> str:
    running = Sha256()
    with path.open("rb", buffering=0) as source:
        while piece := source.read(PIECE):
            running.update(piece)
    return running.hexdigest()
