"""`sealdock fixity`: is what was sealed still there and the same, how long will the room do, and mending it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from threading import Event
from typing import Any

import click

from core.clock import stamp
from core.errors import Exit, SealdockError
from core.settings import MEBIBYTE
from sealdock.command.option import json_option
from sealdock.space import space_of, told_space
from sealdock.wiring import Station
from vault.care.fixity import FixityState, enter_missing, failures, fixity_state
from vault.care.mending.repaired import Repaired
from vault.care.repair import Repairer
from vault.care.restore import copy_of
from vault.care.scrub import Round, Scrubber
from vault.care.space import Space
from vault.formats.entry import is_ulid

DAY_S = 86400


class NoSecondCopyError(SealdockError):
    """A repair without anything to repair from."""

    code = "sealdock.no_second_copy"
    sentence = (
        "There is no second copy to repair from. Nothing was changed. Name one with --from, or set "
        "fixity.second_copy to what `sealdock backup run` writes."
    )
    exit_code = Exit.WRONG_USE


@click.group()
def fixity() -> None:
    """Read back what is sealed, see when it was last proven, and mend it from a second copy."""


@fixity.command()
@json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """When everything was last proven, and how long the room will do: 0 all well, 1 something is not."""
    station = Station.load(context.obj)
    settings = station.settings.fixity
    with station.db.reading() as session:
        state = fixity_state(session, settings.days)
    space = space_of(station)
    well = not (state.failed or state.overdue or space.is_short)
    facts = _facts(state, space, station)
    click.echo(json.dumps({**facts, "well": well}) if as_json else _told(state, space, station))
    context.exit(Exit.YES if well else Exit.NO)


@fixity.command("list")
@json_option
@click.pass_context
def list_(context: click.Context, as_json: bool) -> None:
    """The recordings that did not hold when they were last read: 0 none, 1 some."""
    station = Station.load(context.obj)
    with station.db.reading() as session:
        found = failures(session)
    rows = [{**vars(one), "last_proven_at": stamp(one.last_proven_at)} for one in found]
    if as_json:
        click.echo(json.dumps(rows))
    else:
        for row in rows:
            click.echo(f"{row['fault']:<11}{row['entry_id']}  last proven {row['last_proven_at']}")
        if not rows:
            click.echo("Every recording held when it was last read.")
    context.exit(Exit.NO if rows else Exit.YES)


@fixity.command()
@click.option("--all", "everything", is_flag=True, help="Everything, not only what is due.")
@click.option(
    "--budget-mib-s", type=click.FloatRange(min=0, min_open=True), help="Default: the settings' budget."
)
@json_option
@click.pass_context
def run(context: click.Context, everything: bool, budget_mib_s: float | None, as_json: bool) -> None:
    """Read back now what is due, and enter the result on the log: 0 all held, 1 something did not."""
    station = Station.load(context.obj)
    settings = station.settings.fixity
    scrubber = Scrubber(
        station.vault, station.db, station.submitter("worker"), days=settings.days,
        bytes_per_second=(budget_mib_s or settings.budget_mib_s) * MEBIBYTE,
    )  # fmt: skip
    enter_missing(station.db, station.reader)
    shown = _line if sys.stderr.isatty() and not as_json else None
    done = scrubber.round(Event(), everything=everything, told=shown)
    if shown:
        click.echo(err=True)
    facts = {"proven": done.proven, "bytes": done.bytes, "failed": done.failed, "skipped": done.skipped}
    click.echo(json.dumps(facts) if as_json else _read(done))
    context.exit(Exit.NO if done.failed else Exit.CANNOT if done.skipped else Exit.YES)


@fixity.command()
@click.argument("names", metavar="[ID|FILE]...", nargs=-1)
@click.option(
    "--all", "everything", is_flag=True, help="Verify the vault and mend all that is found damaged."
)
@click.option("--from", "copy", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="A copy that `sealdock backup run` made. Default: fixity.second_copy.")  # fmt: skip
@json_option
@click.pass_context
def repair(
    context: click.Context, names: tuple[str, ...], everything: bool, copy: Path | None, as_json: bool
) -> None:
    """Mend recordings (by ID) or files of the vault (by name) from a copy that proves itself: 0 mended, 1 not."""
    if not names and not everything:
        raise click.UsageError("name a recording or a file, or --all")
    station = Station.load(context.obj)
    source = copy or station.settings.fixity.second_copy
    if source is None:
        raise NoSecondCopyError
    repairer = Repairer(station.vault, copy_of(source))
    files = [repairer.object_file(name) if is_ulid(name) else name for name in names]
    files += [file for file in repairer.damaged() if file not in files] if everything else []
    results = [_mend(station, repairer, file, as_json=as_json) for file in files]
    if as_json:
        click.echo(json.dumps(results))
    elif not files:
        click.echo("Nothing is damaged.")
    context.exit(Exit.NO if any(result["error"] for result in results) else Exit.YES)


def _mend(station: Station, repairer: Repairer, file: str, *, as_json: bool) -> dict[str, Any]:
    """One file; a repair that was made is entered on the log at once."""
    try:
        done = repairer.repair(file)
    except SealdockError as cause:
        if not as_json:
            click.echo(f"NOT MENDED  {file}: {cause}", err=True)
        return {"file": file, "repaired": False, "error": f"{cause.code}: {cause}"}
    if done is not None:
        _enter(station, done)
    if not as_json:
        where = f"; the damaged one is {done.aside}" if done and done.aside else ""
        click.echo(f"mended      {file} ({done.fault}){where}" if done else f"holds       {file}")
    return {"file": file, "repaired": done is not None, "error": "", "aside": done.aside if done else None}


def _enter(station: Station, done: Repaired) -> None:
    submitter = station.submitter("bureau")
    with station.db.writing() as session:
        submitter.submit(session, done.draft())
    submitter.ring()


def _facts(state: FixityState, space: Space, station: Station) -> dict[str, Any]:
    oldest = state.oldest_proven_at
    return {
        **vars(state), "oldest_proven_at": stamp(oldest) if oldest else None,
        "days": station.settings.fixity.days, "budget_mib_s": station.settings.fixity.budget_mib_s,
        "space": {**vars(space), "room": space.room, "is_short": space.is_short},
    }  # fmt: skip


def _told(state: FixityState, space: Space, station: Station) -> str:
    settings = station.settings.fixity
    pass_days = state.bytes / (settings.budget_mib_s * MEBIBYTE) / DAY_S
    oldest = stamp(state.oldest_proven_at) if state.oldest_proven_at else "-"
    lines = [
        f"{state.objects} recordings, {state.bytes / 1e9:,.1f} GB; longest unproven since {oldest}",
        f"{state.due} due now ({state.due_bytes / 1e9:,.1f} GB); a whole pass takes {pass_days:.1f} quiet days",
        f"{state.failed} do not hold; {state.overdue} were not proven for more than {settings.days} days",
        told_space(space),
    ]
    return "\n".join(lines)


def _line(done: Round, total: int) -> None:
    click.echo(f"\r{done.proven} proven of {total}, {done.bytes / 1e6:,.0f} MB", nl=False, err=True)


def _read(done: Round) -> str:
    lines = [f"{done.proven} recordings hold ({done.bytes:,} bytes read)."]
    lines += [f"  DOES NOT HOLD  {one}" for one in done.failed]
    lines += [f"  not judged     {one}" for one in done.skipped]
    return "\n".join(lines)
