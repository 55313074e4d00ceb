"""`sealdock run`: the long-running processes, each as its own user under systemd, or all under one roof."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import click
import sdnotify

from core import log
from sealdock import schema, wiring
from sealdock.supervisor import PROCESSES, Supervisor
from sealdock.wiring import Station


def _stopping() -> threading.Event:
    """An event that SIGTERM, SIGINT and a closed terminal set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _serve(station: Station, run: Callable[[Station, threading.Event], None]) -> None:
    stop = _stopping()
    notify = sdnotify.SystemdNotifier()
    notify.notify("READY=1")
    try:
        run(station, stop)
    finally:
        notify.notify("STOPPING=1")
        station.close()


@click.command()
@click.argument("process", type=click.Choice([*PROCESSES, "all"]))
@click.pass_obj
def run(settings: Path, process: str) -> None:
    """Run one process of the station, or all of them."""
    log.configure(process)
    if process == "all":
        Station.load(settings)
        Supervisor(settings.resolve()).run(_stopping())
        return
    station = Station.load(settings)
    if process != "keyd":
        schema.require_current(station.db)
    os.umask(0o027)
    if process == "console":
        wiring.run_console(station)  # gunicorn minds the signals itself
        return
    runs = {
        "keyd": wiring.run_keyd,
        "vaultd": wiring.run_vaultd,
        "dockd": wiring.run_dockd,
        "worker": wiring.run_worker,
        "anchord": wiring.run_anchord,
        "sealer": wiring.run_sealer,
    }
    _serve(station, runs[process])
