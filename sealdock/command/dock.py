"""`sealdock dock` and `sealdock doctor`: how the bays and the machine stand."""

from __future__ import annotations

import json
from pathlib import Path

import click

from core.errors import Exit
from devices.serial.attempt import Attempts
from ingest.erase_gate import tally
from ingest.status import read_status
from sealdock.clearing import gates
from sealdock.command.option import json_option
from sealdock.doctor import examine
from sealdock.wiring import Station


@click.group()
def dock() -> None:
    """Look at the dock."""


@dock.command()
@json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """What every bay is doing."""
    station = Station.load(context.obj)
    found = read_status(station.settings.run / "dock.json")
    if not found.bays:
        click.echo("The dock has not run yet, or has no bays; start sealdock-dockd.", err=True)
        context.exit(Exit.CANNOT)
    if found.is_stale:
        click.echo(f"The dock does not answer; this is how it stood at {found.at}. Believe no bay.", err=True)
    if as_json:
        click.echo(found.model_dump_json(exclude_none=True))
        return
    for bay in found.bays:
        who = " ".join(filter(None, (bay.officer_name, bay.officer_number, bay.recorder_serial)))
        done = f"{bay.files_done}/{bay.files_total} files" if bay.files_total else ""
        click.echo(f"bay {bay.number:>2}  {bay.state:<12} {who:<32} {done}")
    context.exit(Exit.CANNOT if found.is_stale else Exit.YES)


@dock.command()
@click.argument("profile")
@click.argument("serial")
@click.pass_context
def forgive(context: click.Context, profile: str, serial: str) -> None:
    """Forget the wrong passwords of a recorder that was unlocked with its maker's tool: 1 when none were noted."""
    known = Attempts(Station.load(context.obj).attempts).forgive(profile, serial)
    if known:
        click.echo(f"The next docking of {serial} tries the password again.")
    else:
        click.echo(f"No wrong password is noted for {serial} under the profile {profile}.", err=True)
    context.exit(Exit.YES if known else Exit.NO)


@dock.command()
@json_option
@click.pass_context
def erasable(context: click.Context, as_json: bool) -> None:
    """Count the files still on recorders by what keeps them there: 1 when the settings keep everything."""
    station = Station.load(context.obj)
    policy = station.settings.dock.erase
    if policy.policy == "keep":
        click.echo("The settings keep footage on recorders ([dock.erase] policy).", err=True)
        context.exit(Exit.NO)
    found = tally(station.db, gates(station.settings, station.reader))
    if as_json:
        click.echo(json.dumps(found))
        return
    for why, count in sorted(found.items()):
        click.echo(f"{count:>8}  {why}")


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Look at everything this station needs and say what is missing: 0 all well, 1 something is not."""
    findings = list(examine(Station.load(Path(context.obj))))
    if as_json:
        click.echo(json.dumps([vars(finding) | {"well": finding.is_well} for finding in findings]))
    else:
        for finding in findings:
            mark = "ok  " if finding.is_well else "LOOK"
            click.echo(f"{mark}  {finding.subject:<18} {finding.fact}")
            if finding.advice:
                click.echo(f"      {finding.advice}")
    context.exit(Exit.YES if all(finding.is_well for finding in findings) else Exit.NO)
