"""Runs in the guest: the station's program, imported once and forked for every command and process.

Emulated, the imports take most of a minute; done before the machine's state is saved, they take nothing in a test.
Each order is one line of JSON through /run/forge: {"argv": [...], "out": file, "user": name}. What the command prints
goes to `out`, its exit code to `out`.code when it has ended; `user` is whom it runs as. No thread runs here, so a fork
is a whole copy.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import sys
import traceback
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
    # Open for writing too: without a writer the pipe would end, and an order given in the moment of reopening be lost.
    with os.fdopen(os.open("/run/forge", os.O_RDWR), encoding="utf-8") as orders:
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


def _change_to(user: str) -> None:
    """Run as somebody else from now on; nothing to do for root."""
    known = pwd.getpwnam(user)
    os.initgroups(user, known.pw_gid)
    os.setgid(known.pw_gid)
    os.setuid(known.pw_uid)


def _become(main: object, order: dict) -> NoReturn:
    said = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    _change_to(order["user"])
    sys.argv = ["sealdock", *order["argv"]]
    code = 70
    try:
        main()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:  # noqa: BLE001  # it ends here: nobody above could say what it was
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


serve()
