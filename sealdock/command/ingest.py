"""`sealdock ingest`: pull a mounted card or a folder by hand, as a bay would."""

from __future__ import annotations

import json
from pathlib import Path

import click

from core.errors import Exit
from ingest.hand import HandReport, HandResult, ingest_path
from sealdock.command.option import json_option
from sealdock.wiring import Station, known_profiles, sealing_line


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--profile", help="A profile's id; otherwise the layout decides (`sealdock profile list`).")
@click.option(
    "--officer", metavar="NUMBER", help="The officer whose footage this is, when the names do not say."
)
@click.option(
    "--receipts", type=click.Path(file_okay=False, path_type=Path), help="Also write each receipt here."
)
@json_option
@click.pass_context
def ingest(
    context: click.Context, path: Path, profile: str | None, officer: str | None, receipts: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Seal everything in PATH and wait for the receipts: 0 all sealed, 1 something was left out."""
    station = Station.load(Path(context.obj))
    profiles = known_profiles(station)
    report = ingest_path(sealing_line(station), path, profiles=profiles, profile=profile, officer=officer)
    if receipts:
        _write_receipts(report, receipts)
    click.echo(json.dumps(_facts(report)) if as_json else _told(report))
    context.exit(Exit.YES if report.is_complete else Exit.NO)


def _write_receipts(report: HandReport, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for result in report.results:
        if result.receipt and result.recording_id:
            (directory / f"{result.recording_id}.tlog-proof").write_bytes(result.receipt)


def _facts(report: HandReport) -> dict[str, object]:
    return {
        "session": report.session_id,
        "profile": report.profile_id,
        "complete": report.is_complete,
        "files": [
            {
                "path": result.path, "recording": result.recording_id, "entry": result.entry_index,
                "known": result.was_known, "error": str(result.failure) if result.failure else None,
            }
            for result in report.results
        ],
    }  # fmt: skip


def _told(report: HandReport) -> str:
    left_out = [result for result in report.results if result.failure]
    lines = [_line(result) for result in report.results]
    lines.append(
        f"{len(report.results) - len(left_out)} sealed, {len(left_out)} left out (profile {report.profile_id})."
    )
    return "\n".join(lines)


def _line(result: HandResult) -> str:
    if result.failure:
        return f"LEFT OUT  {result.path}: {result.failure}"
    known = " (sealed before)" if result.was_known else ""
    return f"sealed    {result.recording_id}  entry {result.entry_index}  {result.path}{known}"
