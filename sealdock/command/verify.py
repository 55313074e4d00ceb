"""`sealdock vault verify`: the independent verifier at the command line (docs/operations/verify.md)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

from casework.paper.window import Outsiders
from core.canonical import encode
from core.digest import sha256_hex
from core.durable import replace
from core.errors import SealdockError
from core.settings import load
from sealdock.command.option import json_option, key_option, passphrase, trusted_key
from sealdock.disposal_audit import DisposalAudit
from sealdock.wiring import Station
from vault.audit.report import Report
from vault.audit.verify import Progress, Request, verify_vault_as
from vault.formats.age import Identity, NoMatchError
from vault.formats.note import SigningKey, sign_note
from vault.formats.passphrase import unseal
from vault.log.index import wait_sequenced
from vault.log.report_rule import REPORT
from vault.log.submission import Draft

BUREAU = "bureau"
SEQUENCED_WITHIN_S = 15.0
_IN_FILE = 500  # findings of each kind in a report file: a signed note has a megabyte at most


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--keys", "key_file", type=click.Path(exists=True, path_type=Path),
              help="An age identity file, or root.age: also prove every plaintext.")  # fmt: skip
@click.option("--passphrase-file", type=click.Path(exists=True, path_type=Path), help="For --keys root.age.")
@click.option("--against", multiple=True, type=click.Path(exists=True, path_type=Path),
              help="A checkpoint, receipt, page or package that this log must extend; may be repeated.")  # fmt: skip
@click.option("--since", type=click.Path(exists=True, path_type=Path),
              help="The same, and only what is newer is proven again.")  # fmt: skip
@click.option("--resume", type=click.Path(path_type=Path), metavar="FILE",
              help="Keep the state of a long run here and go on from it; let nobody else write it.")  # fmt: skip
@click.option("--authority", "authorities", multiple=True, metavar="NAME=FILE",
              help="The certificates of a time-stamping authority; may be repeated.")  # fmt: skip
@click.option(
    "--witness", "witnesses", multiple=True, metavar="KEY", help="The key of a witness; may be repeated."
)
@click.option("--report", "report_file", type=click.Path(path_type=Path), metavar="FILE",
              help="Write the report for a program; on the station it is signed.")  # fmt: skip
@click.option(
    "--log", "logged", is_flag=True, help="Enter the signed report on this station's log; needs --report."
)
@key_option
@json_option
@click.pass_context
def verify(
    context: click.Context, *, directory: Path, key_file: Path | None, passphrase_file: Path | None,
    against: tuple[Path, ...], since: Path | None, resume: Path | None, authorities: tuple[str, ...],
    witnesses: tuple[str, ...], report_file: Path | None, logged: bool, key: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Prove everything in DIRECTORY, without database or settings: 0 proven, 1 wrong, 3 consistent, key unconfirmed."""
    if logged and not report_file:
        raise click.UsageError("--log needs --report FILE: the log names its digest")
    station = _station(context.obj, directory)
    if logged and station is None:
        raise click.UsageError("--log: the settings name another vault, or there are none")
    identities = [_identity(key_file, passphrase_file)] if key_file else []
    roots, known = _outsiders(authorities, witnesses, station)
    bar = _Bar() if sys.stderr.isatty() and not as_json else None
    request = Request(
        identities,
        against,
        since,
        resume,
        roots,
        known,
        DisposalAudit(directory),
        None,
        bar or (lambda _: None),
    )
    report = verify_vault_as(directory, trusted_key(key), request)
    if bar:
        bar.end()
    click.echo(json.dumps(report.to_json()) if as_json else told(report))
    if report_file:
        _write(report, report_file, station, logged=logged)
    context.exit(report.exit_code)


def told(report: Report) -> str:
    """The report for a person."""
    lines = [report.sentence]
    lines += [f"  FAILED  {failure.sentence}" for failure in report.failures]
    lines += [f"  note    {notice.sentence}" for notice in report.notices]
    counts = report.counts
    lines.append(
        f"  {_counted(counts['entries'], 'entry', 'entries')}, "
        f"{_counted(counts['objects'], 'recording', 'recordings')} ({counts['object_bytes']:,} bytes), "
        f"{counts['opened_objects']} opened and compared"
    )
    if (removable := counts["objects"] - counts["gone_objects"] - counts["immutable_objects"]) > 0:
        lines.append(f"  {_removable(removable)}")
    if report.resumed:
        lines.append(f"  resumed: the first recordings were read in a run that stopped at {report.resumed}")
    if report.window:
        lines.append(f"  {report.window}")
    return "\n".join(lines)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _removable(count: int) -> str:
    said, them = ("is", "it") if count == 1 else ("are", "them")
    return (
        f"{count} of these recordings {said} not immutable on this disk: "
        f"its owner can remove {them}, and this report would say so"
    )


class _Bar:
    """One line on a terminal: share, speed, time left."""

    def __init__(self) -> None:
        self._started, self._first = time.monotonic(), None
        self._shown = 0.0

    _first: int | None

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = progress.bytes_read  # what an earlier run read is not this one's speed
        if now - self._shown < 0.2 and progress.bytes_read < progress.bytes_total:  # noqa: PLR2004  # seconds
            return
        self._shown = now
        click.echo(
            f"\r{bar_line(progress, progress.bytes_read - self._first, now - self._started)}",
            nl=False,
            err=True,
        )

    def end(self) -> None:
        click.echo(err=True)


def bar_line(progress: Progress, read_bytes: int, seconds: float) -> str:
    """What the line says after `seconds` in which `read_bytes` were read."""
    share = progress.bytes_read / max(1, progress.bytes_total)
    speed = read_bytes / max(seconds, 0.001)
    left = int((progress.bytes_total - progress.bytes_read) / speed) if speed else 0
    clock = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
    return f"[{'#' * int(30 * share):<30}] {share:4.0%}  {speed / 1e6:7,.0f} MB/s  {clock} left "


def _station(settings: Path, directory: Path) -> Station | None:
    """The station whose vault this is, when the settings are here."""
    try:
        station = Station(load(settings))
    except SealdockError:
        return None
    return station if station.settings.vault.resolve() == directory.resolve() else None


def _outsiders(
    authorities: tuple[str, ...], witnesses: tuple[str, ...], station: Station | None
) -> tuple[Mapping[str, bytes], tuple[str, ...]]:
    """Whom the reader believes: those given, and on the station those of its settings."""
    known = Outsiders.of(station.settings.anchor) if station else Outsiders()
    roots = dict(known.roots)
    for given in authorities:
        name, separator, file = given.partition("=")
        if not separator or not Path(file).is_file():
            raise click.UsageError(f"--authority {given}: write NAME=FILE, with a file of certificates (PEM)")
        roots[name] = Path(file).read_bytes()
    texts = [
        Path(one).read_text(encoding="utf-8").strip() if Path(one).is_file() else one for one in witnesses
    ]
    return roots, (*known.witness_vkeys, *texts)


def _write(report: Report, path: Path, station: Station | None, *, logged: bool) -> None:
    """The report file: one line of canonical JSON, in a signed note where this is the station's own."""
    facts = report.to_json()
    facts |= {name: facts[name][:_IN_FILE] for name in ("failures", "notices")}
    text = encode(facts).decode() + "\n"
    signer = _signer(station)
    raw = sign_note(text, signer) if signer else text.encode()
    replace(path, raw)
    click.echo(
        f"{path} holds the report, {'signed' if signer else 'unsigned: this is not the station'}.", err=True
    )
    if logged and station and signer:
        _enter(report, sha256_hex(raw), station)


def _signer(station: Station | None) -> SigningKey | None:
    return station.key(BUREAU) if station and (station.settings.keys / f"{BUREAU}.key").is_file() else None


def _enter(report: Report, digest: str, station: Station) -> None:
    facts = {
        "sha256": digest, "size": report.size, "since": report.since, "resumed": report.resumed is not None,
        "ok": report.ok, "failures": report.failure_count,
    }  # fmt: skip
    submitter = station.submitter(BUREAU)
    with station.db.writing() as session:
        entry_id = submitter.submit(session, Draft(REPORT, facts=facts))
    submitter.ring()
    index = wait_sequenced(station.db, entry_id, SEQUENCED_WITHIN_S)
    click.echo(f"Entry {index} of the log names the report.", err=True)


def _identity(path: Path, passphrase_file: Path | None) -> Identity:
    raw = path.read_bytes()
    if raw.startswith(b"age-encryption.org/v1"):
        secret = passphrase(passphrase_file, f"Passphrase of {path}")
        try:
            raw = unseal(secret, raw)
        except NoMatchError as cause:
            raise click.UsageError(f"the passphrase does not open {path}") from cause
    lines = [
        line for line in raw.decode("ascii", "replace").splitlines() if line and not line.startswith("#")
    ]
    if not lines:
        raise click.UsageError(f"{path} holds no age identity")
    return Identity.parse(lines[0].strip())
