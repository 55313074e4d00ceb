"""Whether the processes of the station are at work, each judged by what it leaves behind and not by its own word.

dockd writes its status more than twice a second; vaultd and the worker listen at their bells, and the oldest thing
that waits for them says whether they also work; keyd is asked.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from flask import url_for
from flask_babel import gettext, ngettext
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.access.permission import Permission
from core.bell import is_heard
from core.clock import parse_stamp
from core.jobs import Job, JobState
from core.settings import Settings
from ingest.station_clock import is_synchronised
from ingest.status import DockStatus, TileState
from vault.log.outbox import OutboxRow, RowState
from webconsole import playback
from webconsole.display.health_line import Line, Tone, told
from webconsole.gate import may
from webconsole.i18n import local_time

SLOW_LOG = timedelta(
    seconds=30
)  # vaultd takes an entry in milliseconds; a large card's last object in seconds
SLOW_WORK = timedelta(minutes=15)  # more than the longest pause before a job is tried again
OVERRUN = timedelta(minutes=1)  # after the end of a lease, before it is called abandoned


def process_lines(session: Session, settings: Settings, status: DockStatus, now: datetime) -> list[Line]:
    """The processes, in the order in which evidence passes through them."""
    return [
        _dock(settings, status),
        _vaultd(session, settings, now),
        _worker(session, settings, now),
        _keyd(),
        _clock(),
    ]


def _dock(settings: Settings, status: DockStatus) -> Line:
    name, url, action = gettext("Docking"), url_for("dock.show"), gettext("To the dock board")
    if not status.is_stale:
        busy = sum(bay.state is not TileState.EMPTY for bay in status.bays)
        words = ngettext("At work, %(num)s bay in use", "At work, %(num)s bays in use", busy)
        return Line("dock", Tone.SAFE, name, words, url=url, action=action)
    if not status.at and not settings.dock.bays and settings.dock.emulation is None:
        return Line("dock", Tone.QUIET, name, gettext("This station has no bays"))
    last = local_time(parse_stamp(status.at), "second") if status.at else gettext("never")
    advice = gettext(
        "Leave recorders where they are: nothing sealed is affected, and no tile can be believed until the "
        "administrator has started sealdock-dockd again."
    )
    words = told(gettext("Silent; last sign of life: %(at)s"), at=last)
    return Line("dock", Tone.FAULT, name, words, advice, url, action)


def _vaultd(session: Session, settings: Settings, now: datetime) -> Line:
    name = gettext("Sealing")
    waiting, oldest = session.execute(
        select(func.count(), func.min(OutboxRow.made_at)).where(OutboxRow.state == RowState.PENDING)
    ).one()
    is_behind = oldest is not None and now - oldest > SLOW_LOG
    if is_heard(settings.run / "vaultd.bell") and not is_behind:
        return Line(
            "vaultd", Tone.SAFE, name, gettext("At work, the log is up to date"), url=url_for("vault.show")
        )
    advice = gettext(
        "No tile turns green meanwhile, and nothing is lost: keep recorders in their bays, and have the "
        "administrator look at sealdock-vaultd and at the vault's disk."
    )
    words: str = gettext("Not at work")
    if is_behind:
        what = ngettext("%(num)s entry waits for the log", "%(num)s entries wait for the log", waiting)
        words = told(gettext("%(what)s, the oldest since %(at)s"), what=what, at=local_time(oldest, "second"))
    return Line("vaultd", Tone.FAULT, name, words, advice, url_for("vault.show"), gettext("To the vault"))


def _worker(session: Session, settings: Settings, now: datetime) -> Line:
    name = gettext("Preparing for viewing")
    failed = _count(session, Job.state == JobState.FAILED)
    stuck = _count(
        session,
        ((Job.state == JobState.WAITING) & (Job.run_after < now - SLOW_WORK))
        | ((Job.state == JobState.RUNNING) & (Job.lease_until < now - OVERRUN)),
    )
    url = url_for("inbox.show") if may(Permission.INBOX_VIEW) else ""
    action = gettext("To the inbox") if url else ""
    if not is_heard(settings.run / "worker.bell") or stuck:
        words = (
            ngettext("%(num)s job is stuck", "%(num)s jobs are stuck", stuck)
            if stuck
            else gettext("Not at work")
        )
        advice = gettext(
            "Originals are sealed without it. Have the administrator start sealdock-worker again; the work goes on "
            "by itself."
        )
        return Line("worker", Tone.FAULT, name, words, advice, url, action)
    if failed:
        words = ngettext("%(num)s job failed", "%(num)s jobs failed", failed)
        advice = gettext(
            "The originals are sealed; what was to be made from them is missing. Look at the reasons and tell the "
            "administrator."
        )
        return Line("worker", Tone.PERSON, name, words, advice, url, action)
    return Line("worker", Tone.SAFE, name, gettext("At work, no job is stuck"), url=url)


def _count(session: Session, condition: object) -> int:
    return session.scalar(select(func.count()).select_from(Job).where(condition)) or 0  # type: ignore[arg-type]


def _keyd() -> Line:
    name, access = gettext("Reading key"), playback.keys_open()
    if access.ready:
        return Line("keyd", Tone.SAFE, name, gettext("Unlocked"))
    words = gettext("Not open: nothing can be watched, docking goes on")
    return Line("keyd", Tone.PERSON, name, words, access.sentence)


def _clock() -> Line:
    name = gettext("Station's clock")
    if is_synchronised():
        return Line("clock", Tone.SAFE, name, gettext("Synchronised"))
    advice = gettext(
        "Recorders' clocks are not set meanwhile. Have the administrator connect a time source; every receipt "
        "carries the station's time."
    )
    return Line("clock", Tone.PERSON, name, gettext("Nobody keeps it"), advice)
