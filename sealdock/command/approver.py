"""`sealdock approver`: the people who approve, each with a key of their own, and signing as one of them."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import click

from casework.keeping.retention import evidence_policy
from core.canonical import encode
from core.durable import create_once
from sealdock.command.option import json_option, passphrase
from sealdock.command.request import as_option, enter, out_option, past_of
from sealdock.wiring import Station
from vault.formats.approval import ED25519, ENROLLED, REVOKED, WEBAUTHN, PersonalKey, sign, unbase64
from vault.formats.statement import Statement
from vault.log.submission import Draft
from vault.retention.chronicle import DISPOSE, SIGNER, Chronicle
from vault.retention.personal import make_personal_key, open_personal_key, personal_path
from webconsole.auth.account import get_account, list_accounts

phrase_option = click.option(
    "--passphrase-file", type=click.Path(exists=True, path_type=Path), help="First line is the passphrase."
)


@click.group()
def approver() -> None:
    """Enrol the people who approve, and sign as one of them."""


@approver.command()
@click.argument("username")
@phrase_option
@click.option(
    "--passkey", type=click.Path(exists=True, path_type=Path),
    help='A passkey instead: JSON with "key" (COSE, base64), "rp_id" (the site) and "credential" (base64).',
)  # fmt: skip
@click.pass_obj
def enrol(settings: Path, username: str, passphrase_file: Path | None, passkey: Path | None) -> None:
    """Enrol a person's own key; the person types the passphrase and tells it to nobody."""
    station = Station.load(settings)
    with station.db.reading() as session:
        account = get_account(session, username).id
    if passkey:
        said = json.loads(passkey.read_text(encoding="utf-8"))
        key, more = PersonalKey(account, WEBAUTHN, unbase64(said["key"]), said["rp_id"]), {
            name: said[name] for name in ("rp_id", "credential") if name in said
        }  # fmt: skip
    else:
        secret = passphrase(passphrase_file, f"Passphrase of {username} for approving", confirm=True)
        path = personal_path(station.settings.state, account)
        key, more = PersonalKey(account, ED25519, make_personal_key(path, secret)), {}
    key.check_form()
    facts = {
        "account": account,
        "kind": key.kind,
        "key": b64encode(key.raw).decode(),
        "action": ENROLLED,
        **more,
    }
    enter(station, Draft(SIGNER, about=(account,), facts=facts))
    click.echo(f"{username} may approve with key {key.id}.")


@approver.command()
@click.argument("username")
@click.argument("key_id", metavar="KEY")
@click.pass_obj
def revoke(settings: Path, username: str, key_id: str) -> None:
    """Take a person's key out of force; what it approved before stands."""
    station = Station.load(settings)
    with station.db.reading() as session:
        account = get_account(session, username).id
    key = _keys(station, account).get(key_id)
    if key is None:
        raise click.UsageError(f"{username} has no key {key_id} in force")
    facts = {"account": account, "kind": key.kind, "key": b64encode(key.raw).decode(), "action": REVOKED}
    enter(station, Draft(SIGNER, about=(account,), facts=facts | ({"rp_id": key.rp_id} if key.rp_id else {})))
    path = personal_path(station.settings.state, account)
    if key.kind == ED25519 and path.exists():
        path.rename(path.with_name(f"{path.name}.revoked-{key_id[:16]}"))
    click.echo(f"Key {key_id} of {username} approves nothing from now on.")


@approver.command("list")
@json_option
@click.pass_obj
def list_approvers(settings: Path, as_json: bool) -> None:
    """Who may approve, with which keys."""
    station = Station.load(settings)
    with station.db.reading() as session:
        accounts = list_accounts(session)
    rows = [
        {"username": each.username, "account": each.id, "key": key.id, "kind": key.kind, "site": key.rp_id}
        for each in accounts for key in _keys(station, each.id).values()
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        click.echo(f"{row['username']:<20} {row['kind']:<9} {row['key']}")


@approver.command("sign")
@click.argument("request", type=click.Path(exists=True, path_type=Path))
@as_option
@phrase_option
@out_option
@click.pass_obj
def sign_request(
    settings: Path, request: Path, username: str, passphrase_file: Path | None, out: Path
) -> None:
    """Approve a request with a personal key; says first what it is."""
    station = Station.load(settings)
    statement = Statement.parse(request.read_bytes())
    with station.db.reading() as session:
        account = get_account(session, username).id
    click.echo(f"You approve: {statement.type}, about {len(statement.about)} subjects.", err=True)
    click.echo(json.dumps(dict(statement.facts), ensure_ascii=False, indent=2), err=True)
    click.echo(f"Digest to compare: {statement.digest}", err=True)
    secret = passphrase(passphrase_file, f"Passphrase of {username} for approving")
    key = open_personal_key(personal_path(station.settings.state, account), secret)
    create_once(out, encode(sign(statement, account, key).facts()) + b"\n", mode=0o644)
    click.echo(f"Your approval is in {out}.")


def _keys(station: Station, account: str) -> dict[str, PersonalKey]:
    return Chronicle(past_of(station), evidence_policy()).keys_of(account, DISPOSE)
