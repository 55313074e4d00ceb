"""Asking for approval and entering what was approved, for every command that two people must sign for.

Invariant: a request file says everything that its approvers sign; what goes to the log is that file and their
approvals, and vaultd judges both again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from core.canonical import decode
from core.durable import create_once
from sealdock.wiring import Station
from vault.formats.approval import Approval
from vault.formats.statement import APPROVALS, Statement
from vault.log.index import wait_sequenced
from vault.log.submission import Draft
from vault.retention.past import Past
from webconsole.auth.account import get_account

SEQUENCED_WITHIN_S = 15.0
BUREAU = "bureau"  # the key of the command line run as root
approval_option = click.option(
    "--approval", "approvals", multiple=True, type=click.Path(exists=True, path_type=Path),
    help="A file that `sealdock approver sign` wrote; may be repeated.",
)  # fmt: skip
as_option = click.option("--as", "username", required=True, help="The account in whose name it is done.")
out_option = click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Where the request for approval goes."
)


def past_of(station: Station) -> Past:
    """The log, for questions that decide nothing."""
    return Past(station.reader, proving=False)


def write_request(out: Path, statement: Statement) -> None:
    """Write a request for approval and say its digest, which each approver compares."""
    create_once(out, statement.raw() + b"\n", mode=0o644)
    click.echo(f"{out} is the request: {statement.type}, about {len(statement.about)} subjects.")
    click.echo(f"Digest to compare: {statement.digest}")


def enter_request(
    station: Station, request: Path, approvals: Sequence[Path], username: str, entry_type: str
) -> str:
    """Submit what a request says with its approvals; gives the entry's id once it is on the log."""
    statement = Statement.parse(request.read_bytes())
    if statement.type != entry_type or statement.vault != station.vault.id:
        raise click.UsageError(
            f"{request} is not a request for this: {statement.type} of vault {statement.vault}"
        )
    signed = [Approval.parse(decode(path.read_bytes().strip())).facts() for path in approvals]
    facts: dict[str, Any] = {**statement.facts, APPROVALS: signed}
    with station.db.reading() as session:
        actor = get_account(session, username).id
    return enter(station, Draft(entry_type, actor=actor, about=statement.about, facts=facts))


def enter(station: Station, draft: Draft) -> str:
    """Submit as the bureau and wait for the log's answer. Raises RefusedError, NotSequencedError, MissingKeyError."""
    submitter = station.submitter(BUREAU)
    with station.db.writing() as session:
        entry_id = submitter.submit(session, draft)
    submitter.ring()
    wait_sequenced(station.db, entry_id, SEQUENCED_WITHIN_S)
    return entry_id
