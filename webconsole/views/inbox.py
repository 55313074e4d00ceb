"""The inbox: what needs a person, the most urgent first; calm when nothing does.

Everything on it is a fact of the moment, read from the tables: it is worked off by doing the thing, never by
ticking it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from flask import Blueprint, Response, url_for
from flask_babel import gettext, ngettext
from sqlalchemy import String, cast, func, select
from sqlalchemy.orm import Session

from casework.access.permission import Permission
from casework.evidence.quarantine import count_undecided
from casework.evidence.recording import PAGE_SIZE, Recording, RecordingFilter, list_recordings
from casework.people.officer import officer_names
from core.clock import utc_now
from core.jobs import Job, JobState
from ingest.docking import DockingSession
from vault.log.outbox import OutboxRow, RowState
from webconsole import playback
from webconsole.context import console
from webconsole.display import relayed
from webconsole.display.footage import FootageLine, footage_lines
from webconsole.gate import may, permits, signed_in
from webconsole.i18n import local_day
from webconsole.page import redirect_to, render

blueprint = Blueprint("inbox", __name__)
STILLS = 9  # what fits one line
SHOWN = 8  # sessions and jobs that are named one by one
PARTIAL_FOR = timedelta(days=30)  # later on, what is missing is a matter for its case
MENDED_BY_PEOPLE = frozenset({
    "media.tool_missing", "media.sandbox_refused", "media.lens",
    "vault.keyd_locked", "vault.keyd_unreachable", "vault.keyd_unreadable",
})  # fmt: skip
COUNTED = 1000  # beyond it the exact number helps nobody


@dataclass(frozen=True)
class Group:
    """What belongs to one recorder: who and where, and a sentence a file."""

    title: str
    lines: list[str]


@dataclass(frozen=True)
class Task:
    """One thing that waits for a person."""

    tone: str
    icon: str
    title: str
    sentence: str
    url: str | None = None
    action: str = ""
    lines: list[FootageLine] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    is_next: bool = False


@dataclass(frozen=True)
class Inbox:
    """The page; `calm` is the one line under "nothing needs you"."""

    tasks: list[Task]
    calm: str


@blueprint.get("/")
@signed_in
def home() -> Response:
    """Where an account starts: the inbox of who has one, else the first page that its roles open."""
    for permission, endpoint in (
        (Permission.INBOX_VIEW, "inbox.show"),
        (Permission.RECORDING_LIST_OWN, "recordings.show"),
        (Permission.DISCLOSURE_LIST, "disclosure.show"),
    ):
        if may(permission):
            return redirect_to(endpoint)
    return redirect_to("dock.show")


@blueprint.get("/inbox")
@permits(Permission.INBOX_VIEW)
def show() -> Response:
    """What needs the custodian now."""
    with console().db.reading() as session:
        access = playback.keys_open()
        tasks = [
            *([] if access.ready else [_locked(access.sentence)]),
            *_refused(session),
            *_failed_jobs(session),
            *_waiting_jobs(session),
            *_interrupted(session),
            *_partial(session),
            *_quarantined(session),
            *_unlinked(session),
        ]
        sealed = session.scalar(select(func.count()).select_from(Recording)) or 0
    calm = ngettext(
        "%(num)s recording in this station's vault.", "%(num)s recordings in this station's vault.", sealed
    )
    first = next((place for place, task in enumerate(tasks) if task.url), None)
    tasks = [replace(task, is_next=place == first) for place, task in enumerate(tasks)]
    return render("inbox/show.html", inbox=Inbox(tasks, calm))


def _locked(why: str) -> Task:
    return Task("fault", "key-round", gettext("The reading key is locked"), why)


def _refused(session: Session) -> list[Task]:
    rows = session.scalars(
        select(OutboxRow)
        .where(OutboxRow.state == RowState.REFUSED)
        .order_by(OutboxRow.seq.desc())
        .limit(SHOWN)
    ).all()
    if not rows:
        return []
    title = ngettext(
        "%(num)s entry was refused by the log", "%(num)s entries were refused by the log", len(rows)
    )
    why = gettext(
        "What they say did not become part of the record. Nothing sealed is affected; look at the reasons."
    )
    return [Task("fault", "ban", title, why, details=[f"{row.type} · {row.reason}" for row in rows])]


def _failed_jobs(session: Session) -> list[Task]:
    failed = select(Job).where(Job.state == JobState.FAILED).order_by(Job.made_at.desc()).limit(SHOWN)
    jobs = session.scalars(failed).all()
    if not jobs:
        return []
    count = session.scalar(select(func.count()).select_from(Job).where(Job.state == JobState.FAILED)) or 0
    title = ngettext("%(num)s job failed", "%(num)s jobs failed", count)
    why = gettext(
        "The originals are sealed; what was to be made from them is missing. Tell the administrator."
    )
    return [Task("person", "server-crash", title, why, details=[_failure(job) for job in jobs])]


def _failure(job: Job) -> str:
    kinds = {"media.index": gettext("Index"), "media.proxy": gettext("Copy for browsers")}
    return f"{kinds.get(job.kind, job.kind)} · {relayed.by_text(job.error)}"


def _waiting_jobs(session: Session) -> list[Task]:
    """Jobs that only a person can set going again: a program is missing, or the key is not there."""
    put_off = (Job.state == JobState.WAITING) & (Job.attempts == 0) & (Job.error != "")
    causes = session.execute(
        select(Job.error, func.count()).where(put_off).group_by(Job.error).order_by(func.count().desc())
    ).all()
    lasting = [(text, count) for text, count in causes if _needs_person(text)]
    if not lasting:
        return []
    count = sum(count for _, count in lasting)
    title = ngettext(
        "%(num)s recording waits to be prepared for viewing",
        "%(num)s recordings wait to be prepared for viewing",
        count,
    )
    why = gettext("The originals are sealed. The work goes on by itself as soon as the cause is mended.")
    details = list(dict.fromkeys(relayed.by_text(text) for text, _ in lasting))
    return [Task("person", "clock", title, why, details=details[:SHOWN])]


def _needs_person(text: str) -> bool:
    found = relayed.recognise(text)
    return found is not None and found.code in MENDED_BY_PEOPLE


def _interrupted(session: Session) -> list[Task]:
    waiting = select(DockingSession).where(DockingSession.state == "interrupted")
    rows = session.scalars(waiting.order_by(DockingSession.attached_at.desc()).limit(SHOWN)).all()
    if not rows:
        return []
    names = officer_names(session, [row.officer_number for row in rows if row.officer_number])
    title = ngettext(
        "%(num)s recorder was pulled too early", "%(num)s recorders were pulled too early", len(rows)
    )
    why = gettext("What was sealed is safe. Put the recorder back into any bay and the rest is taken over.")
    return [
        Task(
            "person",
            "unplug",
            title,
            why,
            url_for("dock.show"),
            gettext("To the dock board"),
            details=[_session(row, names) for row in rows],
        )
    ]


def _partial(session: Session) -> list[Task]:
    """Recorders whose last stay ended without some of their files; that they were taken away changes nothing."""
    recent = DockingSession.ended_at >= utc_now() - PARTIAL_FOR
    short = select(DockingSession).where(recent, cast(DockingSession.failures, String) != "[]")
    ended = session.scalars(short.order_by(DockingSession.ended_at.desc())).all()
    last = _last_stays(session, ended)
    rows = [row for row in ended if row.id in last]
    if not rows:
        return []
    names = officer_names(session, [row.officer_number for row in rows if row.officer_number])
    count = sum(len(row.failures) for row in rows)
    title = ngettext("%(num)s file was not taken", "%(num)s files were not taken", count)
    why = gettext(
        "None of it is in the vault. Do not clear these recorders or hand them out before each reason is mended. "
        "Everything else was sealed."
    )
    groups = [Group(_shortfall(row, names), _reasons(row)) for row in rows[:SHOWN]]
    return [Task("person", "triangle-alert", title, why, groups=groups)]


def _quarantined(session: Session) -> list[Task]:
    """What an officer called duty footage and no custodian has looked at."""
    count = count_undecided(session)
    if not count:
        return []
    title = ngettext(
        "%(num)s docking session in quarantine waits for a decision",
        "%(num)s docking sessions in quarantine wait for a decision",
        count,
    )
    why = gettext("An officer said duty footage of a recorder that the register does not answer for.")
    return [Task("person", "circle-help", title, why, url_for("quarantine.show"), gettext("Decide"))]


def _last_stays(session: Session, rows: Sequence[DockingSession]) -> set[str]:
    """Those after which their recorder was not docked to an end again; one without a serial has no later stay."""
    serials = {row.recorder_serial for row in rows if row.recorder_serial}
    last = dict(
        session.execute(
            select(DockingSession.recorder_serial, func.max(DockingSession.ended_at))
            .where(DockingSession.recorder_serial.in_(serials)).group_by(DockingSession.recorder_serial)
        ).all()
    )  # fmt: skip
    return {row.id for row in rows if last.get(row.recorder_serial, row.ended_at) == row.ended_at}


def _shortfall(row: DockingSession, names: dict[str, str]) -> str:
    count = len(row.failures)
    return f"{_session(row, names)} · {ngettext('%(num)s file', '%(num)s files', count)}"


def _reasons(row: DockingSession) -> list[str]:
    told = [relayed.by_path(str(each["reason"]), str(each["path"])) for each in row.failures[:SHOWN]]
    more = len(row.failures) - len(told)
    return told + ([ngettext("and %(num)s more", "and %(num)s more", more)] if more else [])


def _session(row: DockingSession, names: dict[str, str]) -> str:
    bay = gettext("Bay %(number)s", number=row.bay) if row.bay is not None else ""
    who = names.get(row.officer_number or "") or row.officer_number or ""
    return " · ".join(part for part in (bay, who, row.recorder_serial, local_day(row.attached_at)) if part)


def _unlinked(session: Session) -> list[Task]:
    some = select(Recording.id).where(Recording.is_linked.is_(False)).limit(COUNTED).subquery()
    count = session.scalar(select(func.count()).select_from(some)) or 0
    if not count:
        return []
    newest = list_recordings(session, RecordingFilter(is_linked=False), limit=PAGE_SIZE).recordings[:STILLS]
    access = playback.grant_posters([recording.id for recording in newest])
    title = ngettext("%(num)s recording belongs to no case", "%(num)s recordings belong to no case", count)
    why = gettext("Select those that belong together and link them to their case.")
    lines = footage_lines(session, newest, posters=access.ready)
    return [
        Task(
            "person",
            "unlink",
            title,
            why,
            url_for("recordings.show", linked="no"),
            gettext("Link them"),
            lines,
        )
    ]
