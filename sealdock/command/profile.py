"""`sealdock profile`: the recorders that this station knows."""

from __future__ import annotations

import json
from pathlib import Path

import click

from core.errors import Exit
from devices.mass_storage import Medium, Presence
from devices.match import match as match_layout
from devices.profile import load_profiles
from devices.recorder import Identity
from sealdock.command.option import json_option


@click.group()
def profile() -> None:
    """Look at recorder profiles; none of these needs a running station."""


site_option = click.option(
    "--site",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A directory of site profiles.",
)


@profile.command("list")
@site_option
@json_option
def list_profiles(site: Path | None, as_json: bool) -> None:
    """List every profile with its status."""
    profiles = load_profiles(site=site)
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in profiles], ensure_ascii=False))
        return
    for one in profiles:
        click.echo(f"{one.id:<24} {one.status:<14} {one.title.zh_CN} · {one.title.en}")


@profile.command()
@click.argument("directory", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
def check(directory: Path | None) -> None:
    """Check the shipped profiles and those in DIRECTORY, if given; all mistakes are reported at once."""
    click.echo(f"{len(load_profiles(site=directory))} profiles, no mistakes.")


@profile.command()
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@site_option
@click.pass_context
def match(context: click.Context, path: Path, site: Path | None) -> None:
    """Say which profile recognises the mounted card or folder PATH: 0 one does, 1 none does."""
    listing = Medium(path, "folder", Identity(), Presence(str(path))).list()
    found = match_layout(load_profiles(site=site), listing.layout, str(path))
    click.echo(found.id if found else "No profile recognises this layout.")
    context.exit(Exit.YES if found else Exit.NO)
