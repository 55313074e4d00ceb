"""`sealdock demo`: the demo's conversation with the terminal."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import click

from core import log
from core.errors import Exit, SealdockError
from ingest.status import BayStatus, DockStatus
from sealdock import bureau
from sealdock.demo import Demo, wait_docked
from sealdock.demo_case import Outcome, finish, wait_indexed, wait_ready

BAR = 24


@click.command()
@click.option(
    "--once", is_flag=True, help="Run to the end, build a package, verify the vault, and exit 0 if all holds."
)
@click.option("--directory", type=click.Path(path_type=Path), default=Path("demo-data"), show_default=True)
@click.pass_context
def demo(context: click.Context, once: bool, directory: Path) -> None:
    """Run a whole station with two emulated recorders."""
    log.configure("demo")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    running = Demo(directory.resolve(), click.echo)
    station = running.prepare()
    supervisor = running.start(stop)
    try:
        code = _play(running, stop, once=once)
    except SealdockError as error:
        click.echo(f"{error.code}: {error}", err=True)
        code = error.exit_code
    finally:
        click.echo("Stopping …")
        stop.set()
        supervisor.join()
        running.pull()
        station.close()
    context.exit(code)


def _play(running: Demo, stop: threading.Event, *, once: bool) -> int:
    began = time.monotonic()
    running.fill_cards(stop)
    if stop.is_set():
        return Exit.YES
    url = wait_ready(running, stop)
    _invite(running, url)
    running.plug()
    show = _Bars() if sys.stderr.isatty() else _Lines()
    wait_docked(running, show, stop)
    wait_indexed(running, stop)
    click.echo(f"Both recorders sealed and indexed {time.monotonic() - began:.0f} s after the start.")
    if once:
        outcome: Outcome = finish(running)
        click.echo(outcome.text)
        return outcome.exit_code
    running.plug_unregistered()
    click.echo(
        f"\nBay 3 has a recorder that is in no register. On the dock board: My uploads, officer "
        f"{bureau.OFFICERS[0].number}, PIN {running.pin}."
    )
    click.echo("The station goes on until you press Ctrl-C.")
    stop.wait()
    return Exit.YES


def _invite(running: Demo, url: str) -> None:
    click.echo(f"\n  Console     {url}")
    click.echo(f"  Dock board  {url}dock")
    click.echo(f"  Sign in as  custodian  with  {running.password}   (also: reviewer, auditor)\n")


class _Bars:
    """The bays, redrawn in place."""

    def __init__(self) -> None:
        self._drawn = 0

    def __call__(self, status: DockStatus) -> None:
        if self._drawn:
            click.echo(f"\x1b[{self._drawn}A", nl=False, err=True)
        width = shutil.get_terminal_size().columns - 1
        bays = [bay for bay in status.bays if bay.state != "empty"]
        for bay in bays:
            click.echo("\x1b[2K" + _line(bay)[:width], err=True)
        self._drawn = len(bays)


class _Lines:
    """The bays, one line a change of state."""

    def __init__(self) -> None:
        self._told: dict[int, str] = {}

    def __call__(self, status: DockStatus) -> None:
        for bay in status.bays:
            if bay.state != "empty" and self._told.get(bay.number) != bay.state:
                self._told[bay.number] = bay.state
                click.echo(_line(bay))


def _line(bay: BayStatus) -> str:
    share = 1.0 if bay.state == "sealed" else bay.bytes_done / max(1, bay.bytes_total)
    bar = "█" * int(BAR * share) + "░" * (BAR - int(BAR * share))
    left = f"{bay.seconds_left} s left" if bay.seconds_left else ""
    who = bay.officer_name or bay.officer_number or ""
    files = f"{bay.files_done}/{bay.files_total}"
    return f"  bay {bay.number}  {who} {bay.recorder_serial or ''}  {bar} {bay.state} {files} {left}"
