"""`sealdock bay`: which socket is which bay, found out by plugging something in; and the gate before the bays."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import click
import sdnotify

from core import log
from core.errors import Exit
from core.settings import BaySettings, load
from devices.authorise import BayPorts
from devices.gatekeeper import keep_gate
from devices.port_watch import Plugged, PortWatch
from devices.profile import load_profiles
from ingest.bays import bay_tables, paths_of, take_back, vendor_specific, write_bays
from sealdock.command.lamps import lamps
from sealdock.command.option import json_option

WAIT_S = 10.0  # after Enter; a device needs a moment to say its name
SETTLE_S = 0.3  # a hub that was plugged in brings what hangs on it a moment later
FOREVER_S = 10.0 * 365 * 86400
MOST_BAYS = 99  # core.settings.BaySettings.number


@click.group()
def bay() -> None:
    """Map sockets to bays, and look at them."""


bay.add_command(lamps)


@bay.command("list")
@json_option
@click.pass_obj
def list_bays(settings: Path, as_json: bool) -> None:
    """The bays as they are mapped, and what is plugged in where."""
    mapped, here = load(settings).dock.bays, PortWatch().present()
    in_order = sorted(mapped, key=lambda one: one.number)
    rows = [(one.number, paths_of(one), [p.shown for p in here if _is_in(one, p)]) for one in in_order]
    outside = [p for p in here if not p.is_hub and not any(_is_in(one, p) for one in mapped)]
    if as_json:
        bays = [{"bay": number, "paths": paths, "holds": holds} for number, paths, holds in rows]
        click.echo(json.dumps({"bays": bays, "outside": [_facts(p) for p in outside]}, ensure_ascii=False))
        return
    for number, paths, holds in rows:
        click.echo(f"bay {number:>2}  {', '.join(paths)}  {', '.join(holds) or 'empty'}")
    for one in outside:
        click.echo(f"no bay  {one.port}  {one.shown}")
    if not rows:
        click.echo("No bay is mapped yet: `sealdock bay map`.", err=True)


@bay.command()
@click.option("--seconds", type=click.FloatRange(min=0), default=FOREVER_S, show_default="until Ctrl-C")
@click.pass_obj
def watch(settings: Path, seconds: float) -> None:
    """Say what is plugged in and pulled, socket by socket, until Ctrl-C."""
    mapped, ports = load(settings).dock.bays, PortWatch()
    for action, one in ports.wait(seconds):
        where = next((f"bay {bay.number}" for bay in mapped if _is_in(bay, one)), "no bay")
        what = "" if action == "remove" else f"  {one.shown}"
        click.echo(f"{'out' if action == 'remove' else 'in '}  {where:<7} {one.exact_port or one.port}{what}")


@bay.command("map")
@click.option(
    "--first", type=click.IntRange(1, MOST_BAYS), help="The first bay's number; else the first that is free."
)
@click.option("--print", "only_print", is_flag=True, help="Print the tables; change nothing.")
@click.option("--exact", is_flag=True, help="Tell USB 2 and USB 3 sockets apart that udev calls by one path.")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=WAIT_S, show_default=True, help="Seconds to wait."
)
@click.pass_obj
def map_bays(settings: Path, first: int | None, only_print: bool, exact: bool, timeout: float) -> None:
    """Plug one thing into each bay, in the order of the numbers on the case, and press Enter after each.

    Any recorder or stick will do, locked or not: nothing on it is opened. A socket that was mapped before gets its new
    number. Nothing is written before the end, and `sealdock bay undo` takes the change back.
    """
    bays = {one.number: one for one in load(settings).dock.bays}
    ports, number = PortWatch(), first or _next_free(bays)
    found = dict[int, BaySettings]()
    while number <= MOST_BAYS:
        ports.drain()
        question = f"Bay {number}: plug one thing in and press Enter (s leaves this number out, q ends)"
        said = click.prompt(question, default="", show_default=False).strip().lower()
        if said == "q":
            break
        if said == "s":
            number += 1
            continue
        seen = _seen(ports, timeout)
        number = number if seen is None else _note(number, seen, found, exact=exact)
    _finish(settings, bays, found, only_print=only_print)


@bay.command()
@click.pass_obj
def undo(settings: Path) -> None:
    """Take the last change of the bays back; once more, and it is there again."""
    take_back(settings)
    click.echo("The bays are as they were before the last change.")
    _say_restart()


@bay.command()
@click.pass_obj
def authorise(settings: Path) -> None:
    """The gate: let drivers bind only what footage can come through (sealdock-authorise.service runs this)."""
    log.configure("authorise")
    known = load(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    paths = frozenset(path for one in known.dock.bays for path in paths_of(one))
    profiles = load_profiles(site=known.dock.profiles)
    sdnotify.SystemdNotifier().notify("READY=1")
    keep_gate(BayPorts(paths, vendor_specific(profiles)), stop)


def _facts(one: Plugged) -> dict[str, object]:
    """A device as JSON."""
    return {"port": one.port, "exact_port": one.exact_port, "device": one.shown}


def _seen(ports: PortWatch, timeout_s: float) -> Plugged | None:
    """The one thing that was plugged in since the question was asked; hubs on the way are passed over."""
    found: dict[str, Plugged] = {}
    for wait_s, is_over in ((timeout_s, lambda: bool(found)), (SETTLE_S, lambda: False)):
        for action, one in ports.wait(wait_s, is_over):
            if action == "add" and not one.is_hub:
                found[one.sys_name] = one
    if len(found) == 1:
        return next(iter(found.values()))
    said = ", ".join(f"{one.shown} at {one.port}" for one in found.values())
    click.echo(
        f"  saw more than one: {said}. One at a time, please." if found else "  saw nothing. Again, please."
    )
    return None


def _note(number: int, seen: Plugged, found: dict[int, BaySettings], *, exact: bool) -> int:
    """Remember a socket; the next number."""
    path = (seen.exact_port or seen.port) if exact else seen.port
    twice = next((known for known, one in found.items() if path in paths_of(one)), None)
    if twice is not None:
        click.echo(f"  saw {seen.shown} at {path}: that is bay {twice} already. Another socket, please.")
        return number
    click.echo(f"  saw {seen.shown} at {path} ({seen.sys_name}): bay {number}")
    found[number] = BaySettings(number=number, path=path)
    return number + 1


def _finish(
    settings: Path, bays: dict[int, BaySettings], found: dict[int, BaySettings], *, only_print: bool
) -> None:
    if not found:
        click.echo("Nothing was plugged in; nothing was changed.", err=True)
        raise click.exceptions.Exit(Exit.NO)
    taken = {path for one in found.values() for path in paths_of(one)}
    kept = {n: one for n, one in bays.items() if not taken & set(paths_of(one))}
    wanted = sorted((kept | found).values(), key=lambda one: one.number)
    click.echo("\n" + bay_tables(wanted))
    if only_print:
        return
    if not click.confirm(f"Write these {len(wanted)} bays into {settings}?", default=True):
        click.echo("Nothing was changed.")
        return
    copy = write_bays(settings, wanted)
    click.echo(f"Written. As it was before: {copy} (`sealdock bay undo`).")
    _say_restart()


def _say_restart() -> None:
    click.echo(
        "They count after: udevadm control --reload; systemctl restart sealdock-authorise sealdock-dockd"
    )


def _next_free(bays: dict[int, BaySettings]) -> int:
    return next(number for number in range(1, MOST_BAYS + 2) if number not in bays)


def _is_in(one: BaySettings, plugged: Plugged) -> bool:
    paths: Sequence[str] = paths_of(one)
    return plugged.port in paths or plugged.exact_port in paths
