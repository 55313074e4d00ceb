"""The command line (docs/operations/commands.md is the contract).

Exit codes: 0 yes, 1 no (a check failed), 2 wrong use, 3 cannot. An error is one or more sentences on standard
error, never a traceback; `--debug` shows where it came from to whoever mends it. A command's modules are
imported when it is called, so that checking a receipt does not load a dock.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from core.errors import Exit, SealdockError

DEFAULT_SETTINGS = Path("/etc/sealdock/sealdock.toml")
COMMANDS = {
    "vault": "vault", "receipt": "receipt", "package": "package", "profile": "profile", "ingest": "ingest",
    "officer": "officer", "recorder": "recorder",
    "bay": "bay", "dock": "dock", "doctor": "dock", "user": "user", "keyd": "keys", "db": "database", "run": "run",
    "demo": "demonstrate", "anchor": "anchor", "witness": "anchor", "key": "ceremony", "retention": "retention",
    "hold": "hold", "dispose": "disposal", "approver": "approver", "backup": "backup", "fixity": "fixity",
}  # fmt: skip


class Commands(click.Group):
    """The group of all commands, each found in its module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, or None for a name that there is none of."""
        if cmd_name not in COMMANDS:
            return None
        found = getattr(import_module(f"sealdock.command.{COMMANDS[cmd_name]}"), cmd_name)
        return found if isinstance(found, click.Command) else None


@click.command(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
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


def main() -> NoReturn:
    """Run the command line; turn every error into sentences and an exit code."""
    try:
        code = sealdock.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(Exit.WRONG_USE)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (SealdockError, OSError) as error:
        if "--debug" in sys.argv:
            raise
        click.echo(_sentence(error), err=True)
        sys.exit(error.exit_code if isinstance(error, SealdockError) else Exit.CANNOT)
    sys.exit(code if isinstance(code, int) else 0)


def _sentence(error: SealdockError | OSError) -> str:
    if isinstance(error, SealdockError):
        return f"{error.code}: {error}"
    place = f"{error.filename}: " if error.filename else ""
    return f"sealdock.system: {place}{error.strerror or error}. Nothing more was done; check the path and your rights."
