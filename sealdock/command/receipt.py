"""`sealdock receipt`: check a receipt anywhere, with nothing but the file and a key; make one to keep, or to print."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from casework.paper.daily import day_of
from casework.paper.kept import KeptReceipt, keep, session_recordings
from casework.paper.scan import ScanError, joined
from casework.paper.window import Outsiders, window_of
from core.clock import utc_now
from core.digest import Sha256
from core.durable import create_once
from core.errors import Exit, SealdockError
from core.regular import read_bounded
from sealdock.command.option import json_option, key_option, trusted_key
from sealdock.outside import Confirmed, confirmations, speaker, told
from sealdock.wiring import Station
from vault.formats.entry import Leaf, is_ulid
from vault.formats.note import Note
from vault.formats.proof import Receipt, Verdict
from vault.log.index import place_of
from webconsole.display.paper import House, daily_sheet, file_frame, receipt_sheet
from webconsole.display.stated import with_statement

PIECE = 1 << 20
FILE_LIMIT = 1 << 22  # bytes; an entry, its proof and a checkpoint with a hundred lines have less
RECEIPT_START = b"c2sp.org/tlog-proof@"
LANGUAGES = {"zh-CN": "zh_CN", "en": "en"}
readable = click.Path(exists=True, dir_okay=False, path_type=Path)
writable = click.Path(dir_okay=False, path_type=Path)
out_option = click.option("--out", required=True, type=writable, help="The file to write; it must not exist.")
language_option = click.option(
    "--language", type=click.Choice(list(LANGUAGES)), help="Of the page; that of the station when left out."
)


class NoReceiptError(SealdockError):
    """An id that the log does not know."""

    code = "sealdock.no_receipt"
    sentence = (
        "There is no entry {id} on this log, so there is no receipt of it. Nothing was written; copy the id from the "
        "recording's page, and wait for vaultd if it was sealed just now."
    )
    exit_code = Exit.NO


class NoRecordingError(SealdockError):
    """A copy held against an entry that seals none."""

    code = "sealdock.no_recording"
    sentence = (
        "Entry {id} ({type}) of this receipt seals no recording, so no copy can be compared with it, and none was. "
        "Name the receipt of the recording itself, or leave --recording out to check this one."
    )
    exit_code = Exit.WRONG_USE


@click.group()
def receipt() -> None:
    """Check receipts; make them to keep or to print; print the daily page."""


@receipt.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=readable)
@click.option(
    "--recording", type=readable, help="A copy of the recording to compare with what the receipt names."
)
@click.option("--stamp", "stamps", multiple=True, type=readable,
              help="A time stamp (.tsr) that lies beside the receipt; may be repeated.")  # fmt: skip
@click.option("--roots", multiple=True, type=readable,
              help="Certificates (PEM) of the time-stamping authority; may be repeated.")  # fmt: skip
@click.option("--witness", "witnesses", multiple=True, metavar="KEY|FILE",
              help="The key of a witness whose cosignature counts; may be repeated.")  # fmt: skip
@click.option("--handover", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
              help="A vault, a package or either's handovers: from --key to later keys of the log.")  # fmt: skip
@key_option
@json_option
@click.pass_context
def verify(
    context: click.Context, *, files: tuple[Path, ...], recording: Path | None, stamps: tuple[Path, ...],
    roots: tuple[Path, ...], witnesses: tuple[str, ...], handover: Path | None, key: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Verify a receipt: 0 proven under --key, 1 wrong, 3 consistent but the key is unconfirmed.

    FILE is the receipt; or the codes of a printed one, scanned into one file each, in the order of their numbers.
    """
    found, trusted = Receipt.parse(joined([_scanned(file) for file in files])), trusted_key(key)
    if handover is not None:
        if trusted is None:
            raise click.UsageError("--handover needs --key: the key that the bureau published first")
        trusted = speaker(found.proof.checkpoint_note, trusted, handover)
    verdict = found.examine(trusted=trusted)
    same = None if recording is None else _is_copy(recording, verdict.leaf)
    seen = confirmations(found, verdict.key, stamps, roots, witnesses)
    if as_json:
        click.echo(json.dumps(_as_json(verdict, seen, same=same)))
    else:
        _tell(verdict, seen)
        if same is not None:
            click.echo("  the copy is that recording" if same else f"  {recording} is NOT that recording")
    context.exit(Exit.NO if same is False else verdict.exit_code)


@receipt.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=readable)
@out_option
def read(files: tuple[Path, ...], out: Path) -> None:
    """Put what was scanned or typed off a page together again, as a file for `receipt verify` or `vault verify`.

    FILE... are the codes of one page, scanned into one text file each, in the order of their numbers; or a checkpoint
    that was typed. Nothing is proven by reading: check the file that was written.
    """
    raw = joined([_scanned(file) for file in files])
    if raw.startswith(RECEIPT_START):
        kind, use = "a receipt", f"sealdock receipt verify {out} --key KEY"
        Receipt.parse(raw)
    else:
        kind, use = "a checkpoint", f"sealdock vault verify DIRECTORY --key KEY --against {out}"
        Note.parse(raw)
    create_once(out, raw, mode=0o644)
    click.echo(f"{out} reads as {kind}; nothing of it is proven yet. Go on with: {use}")


@receipt.command("keep")
@click.argument("entry_id", metavar="ID")
@click.option("--out", type=writable, help="Default: ID.tlog-proof here.")
@click.pass_obj
def keep_file(settings: Path, entry_id: str, out: Path | None) -> None:
    """Write the receipt of entry ID, under the first checkpoint that an outsider confirmed, and the stamps over it."""
    kept = _kept(Station.load(settings), entry_id)
    target = out or Path(kept.file_name)
    create_once(target, kept.receipt.raw(), mode=0o644)
    click.echo(f"Written to {target}. Check it with `sealdock receipt verify {target} --key KEY`.")
    for stamp in kept.stamps:
        beside = target.with_name(f"{target.name}.{stamp.name}")
        create_once(beside, stamp.read_bytes(), mode=0o644)
        click.echo(f"  and the time stamp over its checkpoint, {beside}: keep both together")


@receipt.command("print")
@click.argument("entry_id", metavar="ID")
@out_option
@language_option
@click.pass_obj
def print_page(settings: Path, entry_id: str, out: Path, language: str | None) -> None:
    """Write the receipt of entry ID (a recording, a docking session) as a page to print, the receipt in QR codes."""
    station = Station.load(settings)
    kept = _kept(station, entry_id)
    with station.db.reading() as session:
        listed = session_recordings(session, kept.leaf)
        locale = _locale(station, language)
        page = receipt_sheet(
            with_statement(session, kept, locale), _house(station), file_frame(), locale, listed
        )
    create_once(out, page.encode(), mode=0o644)
    click.echo(f"{out} is ready: open it in any browser and print it on A4 or on a roll of 80 mm.")


@receipt.command()
@click.option("--date", "day", metavar="YYYY-MM-DD", help="The day to count; today when left out.")
@out_option
@language_option
@click.pass_obj
def daily(settings: Path, day: str | None, out: Path, language: str | None) -> None:
    """Write the daily page: what the log says of the day and its checkpoint, to be printed and signed by two people."""
    station = Station.load(settings)
    outsiders = Outsiders.of(station.settings.anchor)
    zone = station.settings.station.timezone
    with station.db.reading() as session:
        counted = day_of(session, station.reader, _day(day, zone), zone, utc_now())
    window = window_of(station.reader, outsiders)
    locale = _locale(station, language)
    page = daily_sheet(counted, station.vault.verifier, window, _house(station), file_frame(), locale)
    create_once(out, page.encode(), mode=0o644)
    click.echo(f"{out} is ready: print it, sign it twice by hand, and lock it away off this machine.")


def _kept(station: Station, entry_id: str) -> KeptReceipt:
    with station.db.reading() as session:
        index = place_of(session, entry_id) if is_ulid(entry_id) else None
    if index is None:
        raise NoReceiptError(id=entry_id)
    return keep(station.reader, Outsiders.of(station.settings.anchor), index)


def _house(station: Station) -> House:
    settings = station.settings.station
    return House(settings.bureau, settings.name, settings.timezone)


def _locale(station: Station, language: str | None) -> str:
    return LANGUAGES[language] if language else station.settings.station.locale


def _day(text: str | None, zone: str) -> date:
    if text is None:
        return utc_now().astimezone(ZoneInfo(zone)).date()
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=ZoneInfo(zone)).date()
    except ValueError as cause:
        raise click.BadParameter(f"{text!r} is not a day such as 2026-11-23", param_hint="--date") from cause


def _as_json(verdict: Verdict, seen: list[Confirmed], *, same: bool | None) -> dict[str, object]:
    return {
        "trust": verdict.trust, "index": verdict.index, "entry": json.loads(verdict.leaf.canonical()), "same": same,
        "checkpoint": {"origin": verdict.checkpoint.origin, "size": verdict.checkpoint.size},
        "outside": [one.as_json() for one in seen],
    }  # fmt: skip


def _tell(verdict: Verdict, seen: list[Confirmed]) -> None:
    click.echo(verdict.sentence.format(**verdict.parameters))
    click.echo(f"  entry {verdict.leaf.id} ({verdict.leaf.type}) of {verdict.leaf.time}")
    if verdict.leaf.object:
        click.echo(f"  sha256 {verdict.leaf.object.sha256}, {verdict.leaf.object.size} bytes")
    click.echo(f"  {told(seen)}")


def _scanned(path: Path) -> bytes:
    try:
        return read_bounded(path, FILE_LIMIT)
    except OSError as cause:
        raise ScanError(why=cause.strerror or "it cannot be read") from cause


def _is_copy(path: Path, leaf: Leaf) -> bool:
    """Whether the file is what the entry seals. Raises NoRecordingError for an entry that seals nothing."""
    if leaf.object is None:
        raise NoRecordingError(id=leaf.id, type=leaf.type)
    return _digest(path) == leaf.object.sha256


def _digest(path: Path) -> str:
    running = Sha256()
    with path.open("rb", buffering=0) as source:
        while piece := source.read(PIECE):
            running.update(piece)
    return running.hexdigest()
