"""`sealdock backup` and `sealdock vault restore`: a second copy on another disk, and the way back from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from core.clock import parse_stamp, utc_now
from core.durable import create_once
from core.errors import Exit
from sealdock.command.option import json_option, passphrase
from sealdock.wiring import Station
from vault.care import restore as restoring
from vault.care.backup import VAULT_DIRECTORY as COPIED
from vault.care.backup import Backup, BackupResult, Passed
from vault.care.copying.mark import Mark
from vault.care.copying.meeting import copied_head
from vault.care.drill import SAMPLE
from vault.care.drill import drill as run_drill
from vault.care.restore import Restored
from vault.formats.age import Identity, NoMatchError
from vault.formats.passphrase import unseal
from vault.log.ledger import LogReader

SHOWN = 20  # problems named one by one; the rest is counted
_SQLITE = "sqlite:///"
_AGE = b"age-encryption.org/v1"  # how an age file begins (c2sp.org/age)
directory = click.Path(file_okay=False, path_type=Path)
keys_options = (
    click.option("--keys", "key_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
                 help="An age identity file, or root.age: open recordings as well."),
    click.option("--passphrase-file", type=click.Path(exists=True, path_type=Path), help="For --keys root.age."),
)  # fmt: skip


@click.group()
def backup() -> None:
    """Keep a second copy of the vault on another disk, and prove that it can be restored."""


@backup.command()
@click.argument("dest", type=directory)
@click.option(
    "--check", is_flag=True, help="Also read the whole copy again and put right what is damaged in it."
)
@click.option(
    "--with-sealed-root", is_flag=True, help="Copy root.age too (it opens only with its passphrase)."
)
@click.option(
    "--with-database", is_flag=True, help="Copy the SQLite database too: it holds names in the clear."
)
@json_option
@click.pass_context
def run(
    context: click.Context, dest: Path, check: bool, with_sealed_root: bool, with_database: bool, as_json: bool
) -> None:  # fmt: skip
    """Bring the copy in DEST to the vault's newest head: 0 whole, 1 the vault itself lacks something, 3 cannot."""
    station = Station.load(context.obj)
    database = _database(station) if with_database else None
    keys = station.settings.keys if with_sealed_root else None
    result = Backup(station.vault, dest, _bar(as_json)).run(sealed_root=keys, database=database, afresh=check)
    _end_bar(as_json)
    click.echo(json.dumps(_facts(result)) if as_json else _told(result, dest))
    context.exit(Exit.YES if result.is_whole else Exit.NO)


@backup.command()
@click.argument("dest", type=directory)
@json_option
@click.pass_context
def status(context: click.Context, dest: Path, as_json: bool) -> None:
    """How far the copy in DEST is: 0 whole at its head, 1 it lacks something or never finished."""
    station = Station.load(context.obj)
    mark, held = Mark.read(dest), copied_head(dest / COPIED, station.vault)
    size = LogReader(station.vault).size
    facts: dict[str, Any] = {
        "vault": mark.vault if mark else None, "size": held[0].size if held else 0, "vault_size": size,
        "finished_at": mark.finished_at if mark else "", "missing": len(mark.missing) if mark else 0,
        "waiting_for_destruction": len(mark.pending.objects) + len(mark.pending.buckets) if mark else 0,
        "is_this_vault": bool(mark and mark.vault == station.vault.id),
    }  # fmt: skip
    facts["is_whole"] = bool(facts["is_this_vault"] and mark and mark.finished_at and not mark.missing)
    click.echo(json.dumps(facts) if as_json else _stands(facts, dest))
    context.exit(Exit.YES if facts["is_whole"] else Exit.NO)


@backup.command("drill")
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--scratch", type=directory, help="Where to restore to for the moment; it needs room for the copy."
)
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Default: drill-SIZE-DATE.note here."
)
@click.option(
    "--sample", type=click.IntRange(min=1), default=SAMPLE, show_default=True, help="Recordings to open."
)
@keys_options[0]
@keys_options[1]
@json_option
@click.pass_context
def drill_(
    context: click.Context, source: Path, scratch: Path | None, report: Path | None, sample: int,
    key_file: Path | None, passphrase_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Restore the copy in SOURCE to a scratch directory, verify it, sign a report and log it: 0 good, 1 not."""
    station = Station.load(context.obj)
    identity = _identity(key_file, passphrase_file) if key_file else None
    done = run_drill(
        source, station.key("bureau"), scratch=scratch, identity=identity, sample=sample, told=_bar(as_json)
    )
    _end_bar(as_json)
    target = report or Path(f"drill-{done.facts['size']}-{utc_now():%Y%m%d-%H%M%S}.note")
    create_once(target, done.report, mode=0o644)
    submitter = station.submitter("bureau")
    with station.db.writing() as session:
        entry_id = submitter.submit(session, done.draft())
    submitter.ring()
    facts = {**done.facts, "report": str(target), "entry": entry_id}
    click.echo(json.dumps(facts) if as_json else _drilled(facts))
    context.exit(Exit.YES if done.is_ok else Exit.NO)


@click.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("dest", type=directory)
@click.option("--against", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A checkpoint or receipt that somebody kept: say what the copy lacks; may be repeated.")  # fmt: skip
@keys_options[0]
@keys_options[1]
@json_option
@click.pass_context
def restore(
    context: click.Context, source: Path, dest: Path, against: tuple[Path, ...], key_file: Path | None,
    passphrase_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Restore the copy in SOURCE to the empty directory DEST and verify it: 0 whole, 1 something lacks or differs."""
    identities = [_identity(key_file, passphrase_file)] if key_file else None
    done = restoring.restore(source, dest, against=against, identities=identities, told=_bar(as_json))
    _end_bar(as_json)
    click.echo(json.dumps(_restored_facts(done)) if as_json else _restored(done, source, dest))
    context.exit(Exit.YES if done.is_whole else Exit.NO)


def _identity(path: Path, passphrase_file: Path | None) -> Identity:
    """The identity in an age identity file, or in a sealed root.age."""
    raw = path.read_bytes()
    if raw.startswith(_AGE):
        secret = passphrase(passphrase_file, f"Passphrase of {path}")
        try:
            raw = unseal(secret, raw)
        except NoMatchError as cause:
            raise click.UsageError(f"the passphrase does not open {path}") from cause
    lines = [one for one in raw.decode("ascii", "replace").splitlines() if one and not one.startswith("#")]
    if not lines:
        raise click.UsageError(f"{path} holds no age identity")
    return Identity.parse(lines[0].strip())


def _database(station: Station) -> Path:
    url = station.settings.database_url
    if not url.startswith(_SQLITE):
        raise click.UsageError("only an SQLite database is copied; use pg_dump for this one")
    return Path(url.removeprefix(_SQLITE))


def _bar(as_json: bool) -> Callable[[Passed], None]:
    def show(passed: Passed) -> None:
        share = passed.bytes / passed.bytes_total if passed.bytes_total else 1.0
        bar = "#" * int(30 * share)
        click.echo(f"\r[{bar:<30}] {share:4.0%}  {passed.bytes / 1e6:,.0f} MB", nl=False, err=True)

    return show if sys.stderr.isatty() and not as_json else lambda _: None


def _end_bar(as_json: bool) -> None:
    if sys.stderr.isatty() and not as_json:
        click.echo(err=True)


def _facts(result: BackupResult) -> dict[str, Any]:
    return {
        **vars(result), "is_whole": result.is_whole, "problems": [vars(one) for one in result.problems],
    }  # fmt: skip


def _told(result: BackupResult, dest: Path) -> str:
    lines = [
        f"The copy in {dest} has {result.size} entries ({result.size - result.before} new), durable.",
        f"  {result.objects} recordings and {result.files} files were written, {result.bytes:,} bytes",
    ]
    if result.destroyed:
        lines.append(f"  {result.destroyed} keys, objects or buckets were destroyed after logged disposals")
    if result.waiting:
        lines.append(f"  {result.waiting} that are disposed of wait until the vault has destroyed its own")
    if result.is_same_disk:
        lines.append("  This is the disk that the vault is on: a copy that goes with it when it fails.")
    return "\n".join(lines + _named(result.problems))


def _named(problems: list[Any]) -> list[str]:
    lines = [f"  LACKS  {one.file} (entry {one.entry}): {one.why}" for one in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"  and {len(problems) - SHOWN} more")
    return lines


def _stands(facts: dict[str, Any], dest: Path) -> str:
    if not facts["vault"]:
        return f"{dest} holds no copy; `sealdock backup run {dest}` begins one."
    if not facts["is_this_vault"]:
        return f"{dest} holds a copy of the vault {facts['vault']}, which is another one."
    behind = facts["vault_size"] - facts["size"]
    lines = [f"{facts['size']} entries, {behind} behind the vault."]
    if facts["finished_at"]:
        age = utc_now() - parse_stamp(facts["finished_at"])
        lines.append(
            f"The last run ended at {facts['finished_at']}, {age.total_seconds() / 3600:.1f} hours ago."
        )
    else:
        lines.append("The last run did not end; run it again, nothing is lost by that.")
    if facts["missing"]:
        lines.append(f"{facts['missing']} recordings were missing or damaged in the vault and are not in it.")
    return "\n".join(lines)


def _drilled(facts: dict[str, Any]) -> str:
    verdict = "The copy can be restored" if facts["ok"] else "The copy CANNOT be relied on"
    return (
        f"{verdict}: {facts['recordings']} recordings, {facts['opened']} opened and compared, "
        f"{facts['failures']} failures.\nThe signed report is {facts['report']}; on the log it is {facts['entry']}."
    )


def _restored_facts(done: Restored) -> dict[str, Any]:
    return {
        "vault": done.vault, "size": done.size, "files": done.files, "bytes": done.bytes, "is_whole": done.is_whole,
        "problems": [vars(one) for one in done.problems], "report": done.report.to_json(),
    }  # fmt: skip


def _restored(done: Restored, source: Path, dest: Path) -> str:
    lines = [f"{dest} holds the vault {done.vault} with {done.size} entries.", f"  {done.report.sentence}"]
    lines += _named(done.problems)
    lines += [f"  FAILED  {one.sentence}" for one in done.report.failures[:SHOWN]]
    if any(one.code == "verify.against" for one in done.report.failures):
        lines.append(
            "  Somebody holds proof of entries that this copy does not have. Do not go on with this log: that would\n"
            "  make a second history. Read it, look for a newer copy, and found a new vault for new footage."
        )
    sealed_root = source / "sealed-root" / "root.age"
    if sealed_root.exists():
        lines.append(f"  The sealed root key is {sealed_root}; put it into the keys directory yourself.")
    lines.append(
        "  Next: `sealdock db upgrade`, then `sealdock vault reindex`: the database comes back from the log."
    )
    return "\n".join(lines)
