"""Runs in the guest: the station's program, imported once and forked for every command and process.

Emulated, the imports take most of a minute; done before the machine's state is saved, they take nothing in a test.
Each order is one line of JSON on standard input: {"argv": [...], "out": file, "environment": {...}}. What the command
prints goes to `out`, its exit code to `out`.code when it has ended. No thread runs here, so a fork is a whole copy.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

COMMANDS = ("run", "found", "vault", "verify", "database", "dock", "bay")


def serve() -> None:
    cli = import_module("sealdock.cli")
    import_module("sealdock.wiring")
    for name in COMMANDS:
        import_module(f"sealdock.command.{name}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    Path("/run/forge.ready").touch()
    while True:  # a writer that closes the pipe ends the reading, not the serving
        with Path("/run/forge").open(encoding="utf-8") as orders:
            for line in orders:
                order = json.loads(line)
                if os.fork() == 0:
                    _oversee(cli.main, order)


def _oversee(main: object, order: dict) -> NoReturn:
    """The parent of one command: notes its exit code, whole or not at all."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    out = Path(order["out"])
    child = os.fork()
    if child == 0:
        _become(main, order)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    forming = out.with_suffix(".ending")
    forming.write_text(f"{code}\n")
    forming.rename(out.with_suffix(".code"))
    os._exit(0)


def _become(main: object, order: dict) -> NoReturn:
    said = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(order["environment"])
    sys.argv = ["sealdock", *order["argv"]]
    code = 70
    try:
        main()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


serve()
