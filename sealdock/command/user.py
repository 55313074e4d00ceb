"""`sealdock user`: accounts are made here and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import click

from casework.access.permission import Role
from sealdock.command.option import json_option, passphrase
from sealdock.wiring import Station
from webconsole.auth.account import create_account, disable_account, list_accounts, reset_factor, set_password


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


@user.command("list")
@json_option
@click.pass_obj
def list_users(settings: Path, as_json: bool) -> None:
    """List the accounts and what they may be."""
    with Station.load(settings).db.reading() as session:
        accounts = list_accounts(session)
    if as_json:
        shown = ("username", "name", "roles", "disabled")
        click.echo(
            json.dumps([{key: getattr(one, key) for key in shown} for one in accounts], ensure_ascii=False)
        )
        return
    for one in accounts:
        click.echo(
            f"{one.username:<20} {'disabled' if one.disabled else ', '.join(one.roles):<28} {one.name}"
        )


@user.command()
@click.argument("username")
@click.pass_obj
def disable(settings: Path, username: str) -> None:
    """Take every role from an account; it cannot sign in any more. The log keeps that it was there."""
    station = Station.load(settings)
    submitter = station.submitter("console")
    with station.db.writing() as session:
        account = disable_account(session, submitter, username)
    submitter.ring()
    click.echo(f"{account.username} cannot sign in any more.")


@user.command("reset-factor")
@click.argument("username")
@click.pass_obj
def reset(settings: Path, username: str) -> None:
    """Take a lost second factor away; the person enrols a new one at the next sign-in."""
    station = Station.load(settings)
    submitter = station.submitter("console")
    with station.db.writing() as session:
        account = reset_factor(session, submitter, username)
    submitter.ring()
    click.echo(f"{account.username} has no second factor now.")
