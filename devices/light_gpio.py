"""Lamps on the lines of a GPIO chip, through the kernel's character device (libgpiod 2).

Invariants: each line is asked for by itself, so that one that is taken costs one lamp; a chip that was lost (an
adapter pulled out) is let go of whole and asked for again under its name; the dock goes on. The kernel promises nothing
about a line whose owner died: that is why no lamp that stands still says "safe" (`devices/light.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from time import monotonic

import gpiod
from gpiod.line import Direction, Value

from core import log
from devices.light import LampError

CONSUMER = "sealdock"  # what `gpioinfo` shows beside the line
ASK_EVERY_S = 10.0  # a line that could not be had; an adapter that was put back shines again after this
_log = log.get(__name__)


class GpioLamps:
    """A lamp on one line of `chip` for each bay; with `active_low` a lamp shines while its line is low."""

    def __init__(self, chip: Path, lines: Mapping[int, int], *, active_low: bool = False) -> None:
        self._chip, self._lines = chip, dict(lines)
        self._settings = gpiod.LineSettings(
            direction=Direction.OUTPUT, output_value=Value.INACTIVE, active_low=active_low
        )
        self._held: dict[int, gpiod.LineRequest] = {}
        self._lit: dict[int, bool] = {}
        self._said: dict[int, str] = {}  # by bay: why it has no lamp, as it was told last
        self._asked_at = -math.inf

    @property
    def missing(self) -> Mapping[int, str]:
        """The bays whose lamp cannot be had now, and why; nothing is asked for before the first `show`."""
        return {bay: self._said.get(bay, "") for bay in sorted(self._lines.keys() - self._held.keys())}

    def show(self, lit: Mapping[int, bool]) -> None:
        """Set the lines that change; ask again for those that are missing."""
        if self.missing and monotonic() - self._asked_at >= ASK_EVERY_S:
            self._ask()
        for bay in sorted(self._held):
            if bay in self._held and self._lit[bay] != lit.get(bay, False):
                self._set(bay, is_lit=lit.get(bay, False))

    def close(self) -> None:
        """Dark, and free for others."""
        self.show({})
        self._let_go()

    def _ask(self) -> None:
        self._asked_at = monotonic()
        for bay in self.missing:
            line = self._lines[bay]
            try:
                self._held[bay] = gpiod.request_lines(
                    str(self._chip), consumer=CONSUMER, config={line: self._settings}
                )
            except (OSError, ValueError) as cause:
                self._tell(bay, cause)
            else:
                self._lit[bay] = False  # as it was asked for
                if self._said.pop(bay, None) is not None:
                    _log.info("a lamp is there again", bay=bay, line=line, chip=str(self._chip))

    def _set(self, bay: int, *, is_lit: bool) -> None:
        try:
            self._held[bay].set_value(self._lines[bay], Value.ACTIVE if is_lit else Value.INACTIVE)
        except OSError as cause:
            self._tell(bay, cause)
            self._let_go()  # the chip is gone, also for lamps that are not moved just now
        else:
            self._lit[bay] = is_lit

    def _let_go(self) -> None:
        for bay in list(self._held):
            self._held.pop(bay).release()

    def _tell(self, bay: int, cause: Exception) -> None:
        """Once for each reason, not once for each flash."""
        why = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
        if self._said.get(bay) != why:
            self._said[bay] = why
            error = LampError(bay=bay, line=self._lines[bay], chip=self._chip, why=why)
            _log.error("a bay has no lamp", bay=bay, why=str(error))
