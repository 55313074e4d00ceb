"""The inbox: what needs a person, the most urgent first; calm when nothing does.

Everything on it is a fact of the moment, read from the tables: it is worked off by doing the thing, never by
ticking it away.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from flask import Blueprint, Response, url_for
from flask_babel import gettext, ngettext
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.people import officer_names
from casework.permission import Permission
from casework.recording import PAGE_SIZE, Recording, RecordingFilter, list_recordings
from core.jobs import Job, JobState
from ingest.docking import DockingSession
from vault.log.outbox import OutboxRow, RowState
from webconsole import playback
from webconsole.context import console
from webconsole.display.footage import FootageLine, footage_lines
from webconsole.gate import may, permits, signed_in
from webconsole.i18n import local_day
from webconsole.page import redirect_to, render

blueprint = Blueprint("inbox", __name__)
STILLS = 9  # what fits one line
SHOWN = 8  # sessions and jobs that are named one by one
COUNTED = 1000  # beyond it the exact number helps nobody


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
            *_interrupted(session),
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
    return [Task("person", "server-crash", title, why, details=[f"{job.kind} · {job.error}" for job in jobs])]


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
