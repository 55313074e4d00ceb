"""`sealdock package`: build a disclosure package, and check one anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import click
from sqlalchemy import select

from casework.cases.case import CaseFile
from casework.evidence.exhibit import exhibits
from casework.package.disclosure import request_disclosure
from casework.package.verify import PackageReport, verify_package
from sealdock.command.option import json_option, key_option, trusted_key
from sealdock.wiring import Station, console_context
from vault.log.index import wait_sequenced
from webconsole.auth.account import find_account
from webconsole.packing import assemble

SEQUENCED_WITHIN_S = 15.0


@click.group()
def package() -> None:
    """Build and check disclosure packages."""


@package.command()
@click.argument("case_number")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The directory to make.")
@click.option(
    "--as", "username", required=True, help="The custodian's account in whose name it is handed out."
)
@click.option("--recipient", required=True, help="Who gets it.")
@click.option("--purpose", required=True, help="What for.")
@click.option("--recording", "recordings", multiple=True, help="A recording's id; default: all of the case.")
@click.option("--without-copies", is_flag=True, help="Do not wait for browser copies that are not made yet.")
@click.pass_obj
def build(
    settings: Path, case_number: str, out: Path, username: str, recipient: str, purpose: str,
    recordings: tuple[str, ...], without_copies: bool,
) -> None:  # fmt: skip
    """Build the package of a case into a directory; that it leaves the house is entered on the log first."""
    station = Station.load(settings)
    submitter = station.submitter("console")
    with station.db.writing() as session:
        account = find_account(session, username)
        case_id = session.scalar(select(CaseFile.id).where(CaseFile.number == case_number))
        if account is None or case_id is None:
            raise click.UsageError(
                f"there is no {'account ' + username if account is None else 'case ' + case_number}"
            )
        chosen = recordings or [one.recording.id for one in exhibits(session, case_id)]
        disclosure = request_disclosure(
            session, submitter, account.id, case_id, chosen, recipient=recipient, purpose=purpose
        )
    submitter.ring()
    grant = wait_sequenced(station.db, disclosure.entry_id, SEQUENCED_WITHIN_S)
    made = assemble(console_context(station), disclosure.package_id, may_lack_copies=without_copies)
    made.build(out)
    click.echo(f"{out}: {len(chosen)} recordings, {made.size:,} bytes. Entry {grant} says who got it.")


@package.command()
@click.argument("directory", type=click.Path(path_type=Path))
@key_option
@json_option
@click.pass_context
def verify(context: click.Context, directory: Path, key: str | None, as_json: bool) -> None:
    """Check a package: 0 authentic under --key, 1 wrong, 3 consistent but no key from outside confirms it."""
    report = verify_package(directory, trusted_key(key))
    click.echo(json.dumps(report.to_json(), ensure_ascii=False) if as_json else _told(report))
    context.exit(report.exit_code)


def _told(report: PackageReport) -> str:
    lines = [report.sentence.format(**report.parameters)]
    lines += [f"  WRONG  {finding.path}: {finding.sentence}" for finding in report.findings]
    return "\n".join(lines)
