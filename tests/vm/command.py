"""script/lab: the lab by hand. One machine at a time, in the user's temporary directory."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
from vm.card import FileSystem, dcim, enforcement, film, make_card
from vm.image import image
from vm.machine import Machine, plain_state, state_with_product
from vm.place import LabError, cache, lacking
from vm.station import state_at_work

HERE = Path(tempfile.gettempdir()) / "sealdock-lab"


@click.group()
def lab() -> None:
    """An emulated machine into which USB devices are plugged (docs/lab.md)."""
    if missing := lacking():
        raise LabError(missing)


@lab.command()
def build() -> None:
    """Make the image and the saved states that are not there yet."""
    for what, make in _STEPS.items():
        began = time.monotonic()
        make()
        click.echo(f"{what}: {time.monotonic() - began:.1f} s")
    click.echo(f"in {cache()}")


@lab.command()
@click.option("--plain", is_flag=True, help="Without the product.")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="A data disk to go on with.")
@click.option("--forward", nargs=2, type=int, help="A port of 127.0.0.1 and the guest's that it leads to.")
def boot(*, plain: bool, data: Path | None, forward: tuple[int, int] | None) -> None:
    """Start a machine; it runs until `cut`."""
    began = time.monotonic()
    forwards = dict([forward]) if forward else None
    Machine.boot(HERE, data=data, forwards=forwards, with_product=not plain, outlives=True)
    click.echo(f"ready after {time.monotonic() - began:.1f} s in {HERE}")


@lab.command()
@click.argument("line", nargs=-1, required=True)
def guest(line: tuple[str, ...]) -> None:
    """Run a shell line in the guest."""
    done = Machine.join(HERE).guest.run(" ".join(line), check=False, within_s=600)
    click.echo(done.out, nl=False)
    click.echo(done.err, nl=False, err=True)
    sys.exit(done.code)


@lab.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--fs", type=click.Choice(["fat32", "exfat"]), default="exfat")
@click.option("--layout", type=click.Choice(["enforcement", "dcim"]), default="enforcement")
@click.option("--films", default=3)
@click.option("--film-bytes", default=2_000_000)
def card(target: Path, fs: str, layout: str, films: int, film_bytes: int) -> None:
    """Write a card image with footage on it."""
    shot = [film(film_bytes) for _ in range(films)]
    tree = enforcement("X1A0001", "060123", shot) if layout == "enforcement" else dcim(shot)
    with (
        tempfile.TemporaryDirectory() as place,
        Machine.boot(Path(place, "m"), with_product=False) as machine,
    ):
        make_card(machine, target.resolve(), FileSystem[fs.upper()], tree)


@lab.command()
@click.argument("name")
@click.argument("port")
@click.argument("kind", type=click.Choice(["storage", "hub", "mtp", "serial", "keyboard"]))
@click.argument("behind", required=False, type=click.Path(path_type=Path))
@click.option("--serial", default="")
@click.option("--read-only", is_flag=True)
@click.option("--speed", default=0, help="Bytes a second.")
@click.option(
    "--bad", multiple=True, type=int, help="A sector of 512 bytes that cannot be read; may be repeated."
)
def plug(
    name: str, port: str, kind: str, behind: Path | None, *, serial: str, read_only: bool, speed: int,
    bad: tuple[int, ...],
) -> None:  # fmt: skip
    """Plug a device in; BEHIND is the image, the folder (mtp) or the socket (serial)."""
    usb = Machine.join(HERE).usb
    if kind == "hub":
        usb.hub(name, port)
    elif kind == "keyboard":
        usb.keyboard(name, port)
    elif behind is None:
        raise click.UsageError(f"{kind} needs a path behind it")
    elif kind == "storage":
        medium = behind.resolve()
        usb.storage(
            name, port, medium, serial=serial, read_only=read_only, bytes_per_second=speed, bad_sectors=bad
        )
    else:
        (usb.mtp if kind == "mtp" else usb.serial_line)(name, port, behind.resolve(), serial=serial)


@lab.command()
@click.argument("name", required=False)
def pull(name: str | None) -> None:
    """Pull a device out; without a name, list what is in."""
    usb = Machine.join(HERE).usb
    if name:
        usb.pull(name)
    for plugged, port in usb.plugged().items():
        click.echo(f"{port:<6} {plugged}")


@lab.command()
def cut() -> None:
    """Cut the machine's power."""
    Machine.join(HERE).cut_power()


_STEPS: dict[str, Callable[[], object]] = {
    "image": image,
    "saved state": lambda: plain_state(image()),
    "saved state with the product": lambda: state_with_product(image()),
    "saved state of a station at work": state_at_work,
}

if __name__ == "__main__":
    try:
        lab()
    except (LabError, OSError) as error:
        click.echo(f"script/lab: {error}", err=True)
        sys.exit(3)
