"""The command line (docs/operations/commands.md is the contract).

Exit codes: 0 yes, 1 no (a check failed), 2 wrong use, 3 cannot. An error is one or more sentences on standard
error, never a traceback; `--debug` shows where it came from to whoever mends it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from core.errors import Exit, SealdockError
from sealdock.command import (
    database,
    demonstrate,
    dock,
    ingest,
    keys,
    package,
    profile,
    receipt,
    run,
    user,
    vault,
)

DEFAULT_SETTINGS = Path("/etc/sealdock/sealdock.toml")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--settings", type=click.Path(path_type=Path), default=DEFAULT_SETTINGS, envvar="SEALDOCK_SETTINGS",
    show_default=True, show_envvar=True, help="The station's settings file.",
)  # fmt: skip
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="sealdock")
@click.pass_context
def sealdock(context: click.Context, settings: Path, debug: bool) -> None:
    """Dock recorders, seal footage, prove it."""
    context.obj = settings
    context.meta["sealdock.debug"] = debug


for _group in (
    vault.vault, receipt.receipt, package.package, profile.profile, dock.dock, dock.doctor, user.user,
    database.db, keys.keyd, run.run, ingest.ingest, demonstrate.demo,
):  # fmt: skip
    sealdock.add_command(_group)


def main() -> None:
    """Run the command line; turn every expected error into sentences and an exit code."""
    debug = "--debug" in sys.argv
    try:
        code = sealdock.main(standalone_mode=False)
    except SealdockError as error:
        if debug:
            raise
        click.echo(f"{error.code}: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(Exit.WRONG_USE)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)
