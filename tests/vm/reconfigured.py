"""A station whose settings a person changes: its dock ends, the file is edited, the dock starts again."""

from __future__ import annotations

from vm.station import Station

END = """\
for p in /proc/[0-9]*; do
    [ "$(readlink $p/fd/1)" = /run/dockd.out ] && kill -{signal} ${{p#/proc/}}
done
true
"""  # whatever writes into the dock's log is the dock
ENDED_WITHIN_S = 90.0


def stop_dock(station: Station, signal: str = "TERM") -> None:
    """End dockd alone, by the signal; awaited."""
    station.machine.guest.run(END.format(signal=signal))
    station.machine.guest.until("test -e /run/dockd.code", within_s=ENDED_WITHIN_S)


def start_dock(station: Station) -> None:
    """dockd again, with the settings as they are now; awaited until it shows its bays."""
    station.machine.guest.run("rm -f /run/dockd.code /data/state/run/dock.json")
    station._order(("run", "dockd"), "dockd")
    station.until(lambda: bool(station.tiles()))


def change(station: Station, *, in_dock: str = "", at_end: str = "") -> None:
    """Add lines to the settings: under `[dock]`, or tables at the end."""
    run, path = station.machine.guest.run, "/data/sealdock.toml"
    text = station.machine.guest.out(["cat", path]).replace("[dock]\n", f"[dock]\n{in_dock}\n", 1)
    run(f"cat >{path}", stdin=f"{text}\n{at_end}\n".encode())
