"""Bays and recorders as lines: what fails often, what drifts, wears out, damages files, or is not home."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import url_for
from flask_babel import gettext, ngettext
from sqlalchemy.orm import Session

from casework.equipment.issue import overdue
from ingest.bay_trouble import BayRecord, bay_records
from ingest.status import DockStatus, TileState
from webconsole.display.fleet import EMPTY_PERCENT, LOOK_BACK, STAYS, Carried, carried, firmware_in_use
from webconsole.display.health_line import Detail, Line, Tone, age_words, calm, named

NEEDS_SOMEBODY = frozenset({TileState.PARTIAL, TileState.INTERRUPTED, TileState.UNKNOWN, TileState.FAULT})
HOUR_S = 3600
BROKEN_OFTEN = 3  # times within thirty days
BROKEN_SHARE = 0.2  # of the stays: a bay that is used all day is pulled from too early now and then


def bay_lines(session: Session, status: DockStatus, now: datetime) -> list[Line]:
    """The bays."""
    records = bay_records(session, now - LOOK_BACK)
    return [*([] if status.is_stale else [_waiting(status)]), _often(records)]


def recorder_lines(session: Session, now: datetime) -> list[Line]:
    """The recorders."""
    seen = carried(session, now)
    return [
        _overdue(session, now), _clocks(seen), _batteries(seen), _media(seen), _firmware(session),
    ]  # fmt: skip


def is_failing(bay: BayRecord) -> bool:
    """Whether a bay, not a recorder, seems to be at fault: with one recorder only it may be the recorder."""
    return (
        bay.broken_off >= BROKEN_OFTEN
        and len(bay.recorders) > 1
        and bay.broken_off >= BROKEN_SHARE * bay.stays
    )


def _waiting(status: DockStatus) -> Line:
    name, url, action = gettext("Bays now"), url_for("dock.show"), gettext("To the dock board")
    waiting = [bay for bay in status.bays if bay.state in NEEDS_SOMEBODY]
    if not waiting:
        return Line("bays-now", Tone.SAFE, name, gettext("None needs help"), url=url)
    numbers = gettext(", ").join(str(bay.number) if bay.number else gettext("outside") for bay in waiting)
    words = gettext("Needs help: bay %(numbers)s", numbers=numbers)
    advice = gettext("Go to the dock and do what the tile says.")
    return Line("bays-now", Tone.PERSON, name, words, advice, url, action)


def _often(records: list[BayRecord]) -> Line:
    name, url, action = gettext("Bays within 30 days"), url_for("dock.show"), gettext("To the dock board")
    failing = [bay for bay in records if is_failing(bay)]
    if not failing:
        stays = sum(bay.stays for bay in records)
        words = ngettext("%(num)s stay, no bay stands out", "%(num)s stays, no bay stands out", stays)
        return calm("bays", name, stays, words)
    details, more = named(
        [Detail(gettext("Bay %(number)s", number=bay.number), _broken(bay)) for bay in failing]
    )
    words = ngettext("%(num)s bay breaks off often", "%(num)s bays break off often", len(failing))
    advice = gettext(
        "Look at socket, cable and hub there, or tell people to wait for green; nothing that was sealed is affected."
    )
    return Line("bays", Tone.PERSON, name, words, advice, url, action, details, more)


def _broken(bay: BayRecord) -> str:
    return str(
        gettext(
            "%(times)s of %(stays)s stays broke off, with %(recorders)s recorders",
            times=bay.broken_off, stays=bay.stays, recorders=len(bay.recorders),
        )
    )  # fmt: skip


def _overdue(session: Session, now: datetime) -> Line:
    name, late = gettext("Not home in time"), overdue(session, now)
    if not late:
        return Line("overdue", Tone.SAFE, name, gettext("None is overdue"), url=_recorders())
    details, more = named([
        Detail(one.recorder.serial, gettext("for %(age)s", age=age_words(one.late)), _recorder(one.recorder.id))
        for one in late
    ])  # fmt: skip
    words = ngettext("%(num)s recorder is overdue", "%(num)s recorders are overdue", len(late))
    advice = gettext("Ask whoever has it to dock it today: what is on it is on nothing else yet.")
    return _recorders_line("overdue", name, words, advice, details, more)


def _clocks(seen: list[Carried]) -> Line:
    name, adrift = gettext("Recorders' clocks"), [one for one in seen if one.drift_s is not None]
    if not adrift:
        known = sum(one.stays[0].clock_offset_s is not None for one in seen)
        words = ngettext(
            "%(num)s read, none off by more than a minute",
            "%(num)s read, none off by more than a minute",
            known,
        )
        return calm("clocks", name, known, words, _recorders())
    details, more = named([
        Detail(one.recorder.serial, _drift_words(one), _recorder(one.recorder.id)) for one in adrift
    ])  # fmt: skip
    words = ngettext(
        "%(num)s was off when it was docked", "%(num)s were off when they were docked", len(adrift)
    )
    advice = gettext(
        "Dock them daily so that the clock is set; one that starts anew needs a new clock battery. The session of "
        "each recording has the drift that was measured."
    )
    return _recorders_line("clocks", name, words, advice, details, more)


def _drift_words(one: Carried) -> str:
    drift_s = one.drift_s or 0.0
    if one.has_lost_time:
        return str(gettext("its clock started anew"))
    amount = _amount(abs(drift_s))
    words = (
        gettext("%(amount)s behind", amount=amount)
        if drift_s < 0
        else gettext("%(amount)s ahead", amount=amount)
    )
    return str(words)


def _amount(seconds: float) -> str:
    if seconds < 2 * HOUR_S:
        return str(gettext("%(n)s min", n=round(seconds / 60)))
    return str(gettext("%(n)s h", n=round(seconds / HOUR_S)))


def _batteries(seen: list[Carried]) -> Line:
    name, worn = gettext("Batteries"), [one for one in seen if one.is_worn]
    if not worn:
        known = sum(one.stays[0].battery_percent is not None for one in seen)
        words = ngettext(
            "%(num)s known, none comes home empty again and again",
            "%(num)s known, none comes home empty again and again", known,
        )  # fmt: skip
        return calm("batteries", name, known, words, _recorders())
    details, more = named(
        [Detail(one.recorder.serial, _empty(one), _recorder(one.recorder.id)) for one in worn]
    )
    words = ngettext("%(num)s does not last its shifts", "%(num)s do not last their shifts", len(worn))
    advice = gettext(
        "Exchange the battery or send the recorder to repair: what it did not record cannot be sealed."
    )
    return _recorders_line("batteries", name, words, advice, details, more)


def _empty(one: Carried) -> str:
    return str(
        gettext(
            "came home with %(percent)s %% or less %(times)s times out of %(stays)s",
            percent=EMPTY_PERCENT, times=one.times_empty, stays=len(one.stays),
        )
    )  # fmt: skip


def _media(seen: list[Carried]) -> Line:
    name, failing = gettext("Cards and memory"), [one for one in seen if one.lost_files]
    if not failing:
        words = gettext("Every file of the last %(stays)s stays could be read", stays=STAYS)
        return calm("media", name, len(seen), words, _recorders())
    details, more = named([
        Detail(_card(one), ngettext("%(num)s file damaged or unreadable", "%(num)s files damaged or unreadable",
                                    one.lost_files), _recorder(one.recorder.id))
        for one in sorted(failing, key=lambda one: -one.lost_files)
    ])  # fmt: skip
    words = ngettext(
        "%(num)s recorder gave damaged files", "%(num)s recorders gave damaged files", len(failing)
    )
    advice = gettext(
        "Take the card out of use before it loses more: send the recorder to repair and keep the card, "
        "which is evidence of what it held."
    )
    return _recorders_line("media", name, words, advice, details, more)


def _card(one: Carried) -> str:
    return " · ".join(part for part in (one.recorder.serial, one.recorder.card_serial) if part)


def _firmware(session: Session) -> Line:
    name, used = gettext("Firmware in use"), firmware_in_use(session)
    if not used:
        return Line("firmware", Tone.QUIET, name, gettext("No recorder told its version yet"))
    details, more = named([
        Detail(one.version, ngettext("%(num)s recorder", "%(num)s recorders", one.recorders) + f" · {one.profile}",
               _recorders(firmware=one.version))
        for one in used
    ])  # fmt: skip
    words = ngettext("%(num)s version", "%(num)s versions", len(used))
    return Line("firmware", Tone.QUIET, name, words, "", url_for("firmware.show"), "", details, more)


def _recorders_line(
    key: str, name: str, words: str, advice: str, details: tuple[Detail, ...], more: int
) -> Line:
    """Something about recorders that needs somebody: each is led to by its serial, all of many by the register."""
    url, action = (_recorders(), gettext("To the recorders")) if more else ("", "")
    return Line(key, Tone.PERSON, name, words, advice, url, action, details, more)


def _recorders(**given: Any) -> str:
    return url_for("recorders.show", **given)


def _recorder(recorder_id: str) -> str:
    return url_for("recorders.recorder", recorder_id=recorder_id)
