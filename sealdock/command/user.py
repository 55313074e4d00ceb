"""`sealdock user`: accounts are made here and nowhere else."""

from __future__ import annotations

from pathlib import Path

import click

from casework.permission import Role
from sealdock.command.option import passphrase
from sealdock.wiring import Station
from webconsole.auth.account import create_account, set_password


@click.group()
def user() -> None:
    """Make accounts for the console."""


@user.command()
@click.argument("username")
@click.option("--name", required=True, help="The person's name as the console shows it.")
@click.option(
    "--role", "roles", multiple=True, required=True, type=click.Choice([role.value for role in Role])
)
@click.option("--officer-id", help="The officer this account belongs to, where it belongs to one.")
@click.option(
    "--password-file", type=click.Path(exists=True, path_type=Path), help="First line is the password."
)
@click.pass_obj
def add(
    settings: Path, username: str, name: str, roles: tuple[str, ...], officer_id: str | None,
    password_file: Path | None,
) -> None:  # fmt: skip
    """Make an account; its roles go on the log."""
    station = Station.load(settings)
    password = passphrase(password_file, f"Password for {username}", confirm=True).decode()
    submitter = station.submitter("console")
    with station.db.writing() as session:
        account = create_account(
            session, submitter, username, name, tuple(map(Role, roles)), password, officer_id
        )
    submitter.ring()
    click.echo(f"{account.username} ({', '.join(roles)}) may sign in. Account {account.id}.")


@user.command()
@click.argument("username")
@click.option(
    "--password-file", type=click.Path(exists=True, path_type=Path), help="First line is the password."
)
@click.pass_obj
def password(settings: Path, username: str, password_file: Path | None) -> None:
    """Give an account a new password."""
    station = Station.load(settings)
    typed = passphrase(password_file, f"New password for {username}", confirm=True).decode()
    with station.db.writing() as session:
        set_password(session, username, typed)
    click.echo(f"The password of {username} was changed.")
