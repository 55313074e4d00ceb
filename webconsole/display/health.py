"""The health of a station as lines: what is so, and where somebody is needed one sentence of what to do.

Invariants: a line that asks for something says what and leads to where it is done; one that is well says no more
than that; something that could not be looked at is said to be unknown and never called well.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask_babel import gettext, ngettext

from core.clock import utc_now
from ingest.status import read_status
from webconsole.context import console
from webconsole.display import health_dock, health_process, health_vault
from webconsole.display.health_line import Line, Tone


@dataclass(frozen=True)
class Section:
    """Lines that belong together."""

    key: str
    title: str
    icon: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Health:
    """The whole page at one moment."""

    sections: tuple[Section, ...]

    @property
    def wanting(self) -> list[Line]:
        """The lines that need somebody, faults first."""
        every = [line for section in self.sections for line in section.lines]
        return [line for tone in (Tone.FAULT, Tone.PERSON) for line in every if line.tone is tone]

    @property
    def summary(self) -> str:
        """The page in one sentence."""
        count = len(self.wanting)
        if not count:
            return str(gettext("All is well: nothing here needs you."))
        return str(ngettext("%(num)s thing needs somebody", "%(num)s things need somebody", count))


def health() -> Health:
    """The station now. Raises VaultError when the log cannot be read, OSError when the disk cannot be asked."""
    context, now = console(), utc_now()
    settings = context.settings
    status = read_status(settings.run / "dock.json")
    with context.db.reading() as session:
        return Health((
            Section("processes", gettext("Processes"), "activity",
                    tuple(health_process.process_lines(session, settings, status, now))),
            Section("dock", gettext("Dock and recorders"), "usb",
                    (*health_dock.bay_lines(session, status, now), *health_dock.recorder_lines(session, now))),
            Section("vault", gettext("Vault"), "vault",
                    tuple(health_vault.vault_lines(session, settings, context.reader, status, now))),
        ))  # fmt: skip
