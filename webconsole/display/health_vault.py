"""The vault as lines: what outsiders confirmed and when, room, what was proven, the second copy."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from flask import url_for
from flask_babel import gettext, ngettext
from sqlalchemy.orm import Session

from casework.paper.window import Outsiders, window_of
from core.clock import parse_stamp
from core.settings import MEBIBYTE, Settings
from ingest.room import promised_by
from ingest.status import DockStatus
from vault.care.copying.mark import MARK, Mark, NotABackupError
from vault.care.fixity import fixity_state
from vault.care.space import measure
from vault.log.ledger import LogReader
from webconsole.display.health_line import Line, Tone, age_words, told
from webconsole.i18n import local_time, size_text

SILENT_AFTER = timedelta(
    days=1
)  # outsiders are asked at least hourly; a day without an answer is no accident
INTERVALS = 3  # or this many of the settings' intervals, where those are longer
COPY_AGE = timedelta(days=2)  # a copy is made every night; one night may fail (as `sealdock doctor` says)


def vault_lines(
    session: Session, settings: Settings, reader: LogReader, status: DockStatus, now: datetime
) -> list[Line]:
    """The vault. Raises VaultError when the log cannot be read, OSError when the disk cannot be asked."""
    return [
        _outside(settings, reader, now),
        _room(session, settings, status, now),
        _proven(session, settings, now),
        _second_copy(settings, reader, now),
    ]


def _outside(settings: Settings, reader: LogReader, now: datetime) -> Line:
    name, url, action = gettext("Outside evidence"), url_for("vault.show"), gettext("To the vault")
    window = window_of(reader, Outsiders.of(settings.anchor))
    has_outsiders = bool(settings.anchor.authorities or settings.anchor.witnesses)
    if window.latest is None:
        advice = gettext(
            "Print the daily page on the vault's page this evening, sign it twice and lock it away elsewhere; and "
            "have the administrator name a time-stamping authority or a witness."
        )
        return Line("outside", Tone.PERSON, name, gettext("None yet"), advice, url, action)
    longest = max(SILENT_AFTER, INTERVALS * timedelta(minutes=settings.anchor.interval_minutes))
    at = local_time(window.latest.at)
    if has_outsiders and window.open_entries and now - window.latest.at > longest:
        words = told(
            gettext("%(name)s, %(at)s; what came since is confirmed by nobody for %(age)s"),
            name=window.latest.name, at=at, age=age_words(now - window.latest.at),
        )  # fmt: skip
        advice = gettext(
            "Everything is sealed as ever. See to the network, or carry requests and answers by hand; until then "
            "print the daily page."
        )
        return Line("outside", Tone.PERSON, name, words, advice, url, action)
    return Line("outside", Tone.SAFE, name, told("%(name)s, %(at)s", name=window.latest.name, at=at), url=url)


def _room(session: Session, settings: Settings, status: DockStatus, now: datetime) -> Line:
    name, url, action = gettext("Room"), url_for("vault.show"), gettext("To the vault")
    reserve = settings.fixity.reserve_mib * MEBIBYTE
    space = measure(settings.vault, session, reserve=reserve, promised=promised_by(status), now=now)
    days = space.days_until_full
    words = size_text(space.room)  # no finer: the page is asked again and again, and bytes always move
    if days is not None:
        soon = ngettext("%(num)s day", "%(num)s days", int(days))
        words = gettext("%(room)s, full in about %(days)s", room=words, days=soon)
    if not space.is_short:
        return Line("room", Tone.SAFE, name, words, url=url)
    tone = Tone.PERSON if space.room else Tone.FAULT
    advice = gettext(
        "Order a larger disk now, or let recorders be docked elsewhere. Lack of room never shortens how long a "
        "recording is kept."
    )
    return Line("room", tone, name, words, advice, url, action)


def _proven(session: Session, settings: Settings, now: datetime) -> Line:
    name, url, action = gettext("Sealed recordings"), url_for("vault.show"), gettext("To the vault")
    days = settings.fixity.days
    state = fixity_state(session, days, now)
    if state.failed:
        words = ngettext(
            "%(num)s recording is not what was sealed",
            "%(num)s recordings are not what was sealed",
            state.failed,
        )
        advice = gettext(
            "Nothing was changed or removed. Keep the disk as it is, and mend from the second copy."
        )
        return Line("proven", Tone.FAULT, name, words, advice, url, action)
    if state.overdue:
        words = ngettext(
            "%(num)s was not read back for more than %(days)s days",
            "%(num)s were not read back for more than %(days)s days", state.overdue, days=days,
        )  # fmt: skip
        advice = gettext(
            "Leave the station on at night, or have the administrator raise the budget for reading back."
        )
        return Line("proven", Tone.PERSON, name, words, advice, url, action)
    if state.oldest_proven_at is None:
        return Line("proven", Tone.QUIET, name, gettext("Nothing is sealed yet"))
    words = told(gettext("Every one proven since %(at)s"), at=local_time(state.oldest_proven_at))
    return Line("proven", Tone.SAFE, name, words, url=url)


def _second_copy(settings: Settings, reader: LogReader, now: datetime) -> Line:
    name, copy = gettext("Second copy"), settings.fixity.second_copy
    nightly = gettext("Have the administrator run a backup every night, onto a disk that is not this one.")
    if copy is None:
        words = gettext("None is set up: this disk holds the only copy")
        return Line("copy", Tone.PERSON, name, words, nightly)
    try:
        mark = Mark.read(copy)
    except NotABackupError:
        is_ours = os.access(copy / MARK, os.R_OK)
        words = gettext("The console may not look at it; `sealdock doctor` tells its age")
        return (
            Line("copy", Tone.PERSON, name, gettext("Cannot be read"), nightly)
            if is_ours
            else Line("copy", Tone.QUIET, name, words)
        )
    if mark is None or not mark.finished_at:
        words = gettext("None is there, or its disk is not connected")
        return Line("copy", Tone.PERSON, name, words, nightly)
    return _copied(name, mark, max(0, reader.size - mark.size), now)


def _copied(name: str, mark: Mark, behind: int, now: datetime) -> Line:
    at = parse_stamp(mark.finished_at)
    words = told(
        gettext("%(at)s, %(behind)s behind"), at=local_time(at),
        behind=ngettext("%(num)s entry", "%(num)s entries", behind),
    )  # fmt: skip
    if mark.missing:
        lacks = ngettext(
            "%(num)s recording is missing in it", "%(num)s recordings are missing in it", len(mark.missing)
        )
        advice = gettext("Have the administrator run the backup again and read what it says.")
        return Line("copy", Tone.FAULT, name, lacks, advice)
    if now - at > COPY_AGE:
        advice = gettext("See that its disk is connected, and have the administrator run the backup.")
        return Line("copy", Tone.PERSON, name, words, advice)
    return Line("copy", Tone.SAFE, name, words)
