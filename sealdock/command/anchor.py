"""`sealdock anchor`: evidence from outside over this log. `sealdock witness`: this station as a witness of others."""

from __future__ import annotations

import json
import socket
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from core.clock import stamp, utc_now
from core.durable import create_once, make_directory, replace
from core.errors import Exit
from sealdock.command.option import json_option
from sealdock.wiring import Station
from vault.anchor import assembly
from vault.anchor.add_checkpoint import REQUEST_LIMIT, request
from vault.anchor.conflict import conflicts
from vault.anchor.entry import ANCHOR, AnchorEntries
from vault.anchor.gather import ANCHORD, Gathered, Gatherer
from vault.anchor.key import WITNESS_KEY, make_keys, read_keys
from vault.anchor.witness import NotContinuedError, OtherSizeError
from vault.audit.anchor import OutsideEvidence, check_anchors, last_evidence, outside_evidence, uncovered
from vault.audit.file import read_bounded
from vault.audit.report import Report
from vault.formats import timestamp
from vault.formats.cosignature import Kind
from vault.formats.entry import Leaf
from vault.formats.timestamp import REPLY_LIMIT

_MARK = f'"type":"{ANCHOR}"'.encode()


@click.group()
def anchor() -> None:
    """Time stamps and witness cosignatures over this log: from when on nobody can rewrite it unseen."""


@anchor.command()
@json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Say which outside evidence there is: 0 there is some and nothing contradicts it, 1 none, or an alarm."""
    station = Station.load(context.obj)
    asked = assembly.gatherer(station.settings, station.reader)
    roots, vkeys = _judges(asked)
    head, _ = station.reader.checkpoint()
    evidence = outside_evidence(
        station.vault.path, asked.store.log_keys(), roots, vkeys, head=head, newest_only=True
    )
    now, last, alarms = utc_now(), last_evidence(evidence), conflicts(asked.alarms)
    if as_json:
        click.echo(json.dumps({
            "uncovered": uncovered(evidence, now), "last": _told(last, now),
            "waiting": sorted(_waiting(asked)), "entries": station.reader.size,
            "conflicts": [{"kind": one.kind.value, "evidence": str(one.place)} for one in alarms],
        }))  # fmt: skip
    else:
        click.echo(uncovered(evidence, now))
        for name in sorted(_waiting(asked)):
            click.echo(f"  waits  {name} has not answered for the newest anchored checkpoint yet")
        for one in alarms:
            click.echo(f"  ALARM  {one.sentence}", err=True)
    context.exit(Exit.YES if last and not alarms else Exit.NO)


@anchor.command()
@click.pass_context
def now(context: click.Context) -> None:
    """Ask every authority and witness that has an address now: 0 all answered, 1 an alarm, 3 somebody did not."""
    station = Station.load(context.obj)
    asked = assembly.gatherer(station.settings, station.reader)
    gathered = asked.gather()
    _entries(station).enter(gathered.anchor)
    click.echo(f"Checkpoint of {gathered.anchor.size} entries, kept in {gathered.anchor.place}")
    for one in gathered.outcomes:
        click.echo(f"  {one.kind} {one.name}: {stamp(one.at) if one.at else one.why}", err=one.at is None)
    context.exit(_exit(gathered))


@anchor.command("request")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def carry(settings: Path, directory: Path) -> None:
    """Write the questions for every authority and witness into DIRECTORY, to be carried on a stick.

    NAME.tsq goes to an authority (openssl ts -reply -queryfile NAME.tsq -out NAME.tsr), NAME.add-checkpoint to a
    witness (sealdock witness cosign NAME.add-checkpoint --out NAME.cosignature). Bring the answers to `anchor accept`.
    """
    station = Station.load(settings)
    asked = assembly.gatherer(station.settings, station.reader)
    head, note = station.reader.checkpoint()
    asked.store.check_history(head)
    pinned = asked.store.pin(note)
    make_directory(directory)
    files = {"checkpoint": pinned.note()}
    files |= {f"{one.name}.tsq": timestamp.query(pinned.note()).raw for one in asked.authorities}
    files |= {
        f"{one.name}.add-checkpoint": request(
            station.reader, note, min(one.last_size(asked.store), head.size)
        ).raw()
        for one in asked.witnesses
    }
    for name, content in files.items():
        replace(directory / name, content)
        click.echo(directory / name)


@anchor.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.pass_obj
def accept(settings: Path, files: tuple[Path, ...]) -> None:
    """Take answers that were carried here: an authority's reply (.tsr) or a witness's lines; each is checked first."""
    station = Station.load(settings)
    asked, entries = assembly.gatherer(station.settings, station.reader), _entries(station)
    for file in files:
        pinned, outcome = asked.accept(file.name, read_bounded(file, REPLY_LIMIT))
        entries.enter(pinned)
        at = stamp(outcome.at) if outcome.at else ""
        click.echo(f"{file}: {outcome.kind} of {outcome.name} over {pinned.size} entries, {at}")


@anchor.command()
@json_option
@click.pass_context
def check(context: click.Context, as_json: bool) -> None:
    """Check every stored piece of evidence again: 0 all hold, 1 something is wrong."""
    station = Station.load(context.obj)
    asked = assembly.gatherer(station.settings, station.reader)
    roots, vkeys = _judges(asked)
    report, (head, _) = Report(str(station.vault.path)), station.reader.checkpoint()
    report.checkpoint = head
    entries = (Leaf.parse(raw) for raw in station.reader.raws() if _MARK in raw)
    evidence = check_anchors(
        station.vault.path,
        head,
        asked.store.log_keys(),
        report,
        entries=entries,
        roots=roots,
        witness_vkeys=vkeys,
    )
    if as_json:
        click.echo(json.dumps(report.to_json() | {"uncovered": uncovered(evidence, utc_now())}))
    else:
        for finding in report.failures:
            click.echo(f"  FAILED  {finding.sentence}", err=True)
        for finding in report.notices:
            click.echo(f"  note    {finding.sentence}")
        click.echo(
            f"{report.counts['anchors']} anchors, {report.counts['outside_evidence']} statements that hold."
        )
        click.echo(uncovered(evidence, utc_now()))
    context.exit(Exit.YES if report.ok else Exit.NO)


@click.group()
def witness() -> None:
    """Cosign the checkpoints of other stations; which ones is `anchor.witness_for` in the settings."""


@witness.command("key")
@click.option("--name", help="The witness's name, for ever. Default: witness/ and this machine's name.")
@click.pass_obj
def witness_key(settings: Path, name: str | None) -> None:
    """Make this witness's keys on first use, and print what others put into their settings."""
    path = Station.load(settings).settings.keys / WITNESS_KEY
    if not path.exists():
        make_keys(path, name or f"witness/{socket.gethostname()}", (Kind.ED25519, Kind.ML_DSA_44))
    for one in read_keys(path):
        click.echo(f"{one.verifier.kind.name.lower():10} {one.vkey}")


@witness.command()
@click.pass_obj
def serve(settings: Path) -> None:
    """Answer over HTTP at `anchor.listen` until stopped; anchord does the same beside its other work."""
    loaded = Station.load(settings).settings
    server = assembly.server(loaded)
    if server is None:
        raise click.UsageError("anchor.listen is not set in the settings")
    with server:
        click.echo(f"The witness listens on port {server.port}.")
        threading.Event().wait()


@witness.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where the cosignature lines go.")
@click.pass_context
def cosign(context: click.Context, file: Path, out: Path) -> None:
    """Cosign the checkpoint in FILE, an add-checkpoint request: 0 cosigned, 1 refused; a conflict is kept and told."""
    try:
        lines = assembly.witness(Station.load(context.obj).settings).add_checkpoint(
            read_bounded(file, REQUEST_LIMIT)
        )
    except (OtherSizeError, NotContinuedError) as refusal:
        click.echo(f"{refusal.code}: {refusal}", err=True)
        if refusal.conflict:
            click.echo(refusal.conflict.sentence, err=True)
        context.exit(Exit.NO)
    create_once(out, lines, mode=0o644)
    click.echo(f"Cosigned. Carry {out} back and give it to `sealdock anchor accept {out.name}`.")


@witness.command("status")
@json_option
@click.pass_context
def witness_status(context: click.Context, as_json: bool) -> None:
    """Say what was seen of each log: 0 nothing contradicts itself, 1 a log was rolled back or forked."""
    watched = assembly.witness(Station.load(context.obj).settings).status()
    if as_json:
        click.echo(json.dumps([
            {"origin": one.origin, "size": one.checkpoint and one.checkpoint.size,
             "conflicts": [{"kind": it.kind.value, "evidence": str(it.place)} for it in one.conflicts]}
            for one in watched
        ]))  # fmt: skip
    else:
        for one in watched:
            seen = f"{one.checkpoint.size} entries cosigned" if one.checkpoint else "nothing cosigned yet"
            click.echo(f"{one.origin}: {seen}")
            for it in one.conflicts:
                click.echo(f"  ALARM  {it.sentence}", err=True)
    context.exit(Exit.NO if any(one.conflicts for one in watched) else Exit.YES)


def _entries(station: Station) -> AnchorEntries:
    return AnchorEntries(station.db, station.submitter(ANCHORD))


def _judges(asked: Gatherer) -> tuple[dict[str, bytes], list[str]]:
    """Roots of authorities by name, and the keys of witnesses, as the settings name them."""
    return (
        {one.name: one.roots_path.read_bytes() for one in asked.authorities},
        [one.key.vkey for one in asked.witnesses],
    )


def _waiting(asked: Gatherer) -> frozenset[str]:
    newest = asked.store.newest()
    return asked.missing(newest) if newest else frozenset()


def _told(last: OutsideEvidence | None, now: datetime) -> dict[str, Any] | None:
    if last is None:
        return None
    return {
        "size": last.size, "at": stamp(last.at), "kind": last.kind, "name": last.name, "file": last.file,
        "age_s": int((now - last.at).total_seconds()),
    }  # fmt: skip


def _exit(gathered: Gathered) -> Exit:
    if gathered.conflicts:
        return Exit.NO
    return Exit.CANNOT if gathered.failed else Exit.YES
