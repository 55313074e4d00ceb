"""`sealdock bay lamps`: whether each lamp hangs on the bay that the settings say."""

from __future__ import annotations

import time
from pathlib import Path

import click

from core.errors import Exit, SealdockError
from core.settings import load
from devices.light import LampError
from devices.light_gpio import GpioLamps


class NoLampsError(SealdockError):
    """The settings name no lamps to try."""

    code = "sealdock.no_lamps"
    sentence = (
        "The settings name no lamps (dock.lights.driver is {driver}). Nothing was switched, and the board on the "
        "screen shows the bays; docs/operations/lights.md says how lamps are added."
    )
    exit_code = Exit.WRONG_USE


@click.command()
@click.option("--seconds", type=click.FloatRange(min=0, max=60), default=3, show_default=True,
              help="How long each lamp is lit.")  # fmt: skip
@click.pass_obj
def lamps(settings: Path, seconds: float) -> None:
    """Light one bay's lamp after the other and say which it is; the dock must be stopped meanwhile.

    A lamp on the wrong bay would say "safe" of the wrong recorder: look at every one of them.
    """
    dock = load(settings).dock
    if dock.lights.driver != "gpio":
        raise NoLampsError(driver=dock.lights.driver)
    panel = GpioLamps(dock.lights.chip, dock.lights.lines, active_low=dock.lights.active_low)
    try:
        for bay, line in sorted(dock.lights.lines.items()):
            panel.show({bay: True})
            if bay in panel.missing:
                raise LampError(bay=bay, line=line, chip=dock.lights.chip, why=panel.missing[bay])
            click.echo(f"bay {bay} is lit (line {line} of {dock.lights.chip})")
            time.sleep(seconds)
    finally:
        panel.close()
