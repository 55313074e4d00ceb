"""What an officer sees of their own at the dock: uploads, what they hold, what they may take.

Sealed or not is counted from the dock's own rows and the log: "safely in" means that every file of the session has
a verified receipt and that the session itself stands on the log. No name of a file and no picture is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext
from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from casework.equipment.asset import RecorderAsset
from casework.equipment.claim import ClaimKind, DockClaim, claims
from casework.equipment.event import HAND_OUT, RECORDER, RecorderState
from casework.equipment.issue import held_by
from casework.people.at_dock import Officer, may_enforce
from casework.people.certificate import Standing, standing
from core.clock import utc_now
from ingest.admission import (
    LostRecorderError,
    NamelessRecorderError,
    RetiredRecorderError,
    UnregisteredError,
)
from ingest.answer import is_answered
from ingest.recording import SEALED, IngestRecording
from ingest.status import BayStatus, Need, TileState
from vault.log.index import EntryRow
from webconsole.display import wording
from webconsole.display.tile import battery_words
from webconsole.i18n import sentence, size_text, time_left

SHOWN = 8  # sessions: the last week of an officer, and one screen
CHARGED_PERCENT = 80  # a shift's worth; D35's recorders run eight hours on a full battery
RECORDERS_SHOWN = 60
CLOCK_OFF_S = 60  # the recorder writes minutes into its names; more than one of them is a wrong name
LITTLE_ROOM = 0.2  # of the card: an eight-hour shift takes about that much


@dataclass(frozen=True)
class Upload:
    """One docking session with something of the officer's in it."""

    session_id: str
    recorder: str
    at: datetime | None
    sealed: int
    total: int
    size: str
    number: int | None  # of its receipt: the session's place in the log
    cases: tuple[str, ...]
    excuses: int

    @property
    def is_in(self) -> str:
        """`yes` safely in, `now` on its way, `no` something is missing."""
        if self.total == self.sealed:
            return "yes" if self.number is not None else "now"
        return "no" if self.number is not None else "now"


@dataclass(frozen=True)
class Check:
    """One line of the pre-shift check."""

    name: str
    value: str
    advice: str  # empty when it is fine


@dataclass(frozen=True)
class Offer:
    """A recorder that could be taken; `why_not` when it cannot."""

    serial: str
    model: str
    bay: int | None
    checks: tuple[Check, ...]
    why_not: str


@dataclass(frozen=True)
class Asked:
    """What a bay asks: whether it is duty footage (`about` a question), or who held it (`about` a session)."""

    act: str
    about: str
    where: str
    why: str


@dataclass(frozen=True)
class Room:
    """Everything that the kiosk shows to one officer."""

    officer: Officer
    warning: str  # about the certificate (D15)
    may_take: bool
    holds: tuple[str, ...]
    uploads: tuple[Upload, ...]
    offers: tuple[Offer, ...]
    gap_reasons: wording.Choices
    purposes: wording.Choices
    asked: tuple[Asked, ...]
    docked: tuple[tuple[str, str], ...]  # (session, words) of what may be named or excused


def room(session: Session, officer: Officer, bays: tuple[BayStatus, ...]) -> Room:
    """What `officer` sees now."""
    refused = may_enforce(officer, utc_now())
    uploads = _uploads(session, officer)
    return Room(
        officer=officer,
        warning=sentence(refused) if refused is not None else _expiring(officer),
        may_take=refused is None,
        holds=tuple(recorder.serial for recorder in held_by(session, officer)),
        uploads=uploads,
        offers=_offers(session, bays),
        gap_reasons=gap_reasons(),
        purposes=duties(),
        asked=tuple(_asked(session, bays)),
        docked=tuple(_docked(officer, uploads, bays)),
    )


def is_own(session: Session, officer: Officer, session_id: str, bays: tuple[BayStatus, ...]) -> bool:
    """Whether the officer may say something of a docking session: theirs, or nobody's and in a bay now."""
    owned = select(IngestRecording.id).where(
        IngestRecording.session_id == session_id, IngestRecording.officer_number == officer.number
    )
    here = (bay.session_id == session_id and bay.officer_number in {None, "", officer.number} for bay in bays)
    return any(here) or session.scalar(owned.limit(1)) is not None


def gap_reasons() -> wording.Choices:
    """Why a record has a gap, in the order in which they happen."""
    return [
        ("battery", gettext("The battery was empty")),
        ("fault", gettext("The recorder failed")),
        ("privacy", gettext("A private place or matter")),
        ("no_duty", gettext("A break, not on duty")),
        ("ordered", gettext("Ordered to stop")),
        ("other", gettext("Something else (write it)")),
    ]


def duties() -> wording.Choices:
    """What a recorder is taken for: patrol, or one of the eight situations that must be recorded (D31)."""
    return [
        ("patrol", gettext("Ordinary duty")),
        ("on_site_check", gettext("On-site check")),
        ("random_check", gettext("Random inspection")),
        ("investigation", gettext("Investigation and evidence")),
        ("preservation", gettext("Preservation of evidence")),
        ("hearing", gettext("Hearing")),
        ("statement", gettext("Statement and defence")),
        ("compulsory_measure", gettext("Compulsory measure")),
        ("service", gettext("Service of documents")),
    ]


def checks(bay: BayStatus) -> tuple[Check, ...]:
    """Battery, room and clock of the recorder in a bay, as far as it says them."""
    found = []
    if bay.battery_percent is not None:
        low = bay.battery_percent < CHARGED_PERCENT
        found.append(
            Check(
                gettext("Battery"),
                battery_words(bay.battery_percent),
                gettext("Let it charge") if low else "",
            )
        )
    if bay.free_bytes is not None:
        little = bool(bay.capacity_bytes) and bay.free_bytes < LITTLE_ROOM * (bay.capacity_bytes or 0)
        found.append(
            Check(gettext("Free space"), size_text(bay.free_bytes), gettext("Take another") if little else "")
        )
    if bay.clock_offset_s is not None:
        wrong = abs(bay.clock_offset_s) > CLOCK_OFF_S
        found.append(Check(gettext("Clock"), _clock(bay), gettext("Ask a custodian") if wrong else ""))
    return tuple(found)


def _clock(bay: BayStatus) -> str:
    off = bay.clock_offset_s or 0.0
    if abs(off) <= max(2.0, bay.clock_uncertainty_s or 0.0):
        return str(gettext("right"))
    amount = time_left(abs(off))
    return str(gettext("%(time)s fast", time=amount) if off > 0 else gettext("%(time)s slow", time=amount))


def _expiring(officer: Officer) -> str:
    if standing(officer, utc_now()) is not Standing.EXPIRING:
        return ""
    return str(gettext("Your enforcement certificate ends on %(day)s.", day=officer.certificate_valid_until))


def _uploads(session: Session, officer: Officer) -> tuple[Upload, ...]:
    rec = IngestRecording
    claimed = select(DockClaim.session_id).where(DockClaim.officer_id == officer.id)
    rows = session.execute(
        select(
            rec.session_id, func.max(rec.recorder_serial), func.count(), func.sum(rec.size), func.max(rec.receipted_at),
            func.sum(case((rec.state.in_([state.value for state in SEALED]), 1), else_=0)),
        )
        .where(rec.session_id.is_not(None), or_(rec.officer_number == officer.number, rec.session_id.in_(claimed)))
        .group_by(rec.session_id)
        .order_by(rec.session_id.desc())
        .limit(SHOWN)
    ).all()  # fmt: skip
    ids = [row[0] for row in rows]
    placed = session.execute(select(EntryRow.id, EntryRow.index).where(EntryRow.id.in_(ids)))
    places: dict[str, int] = {row[0]: row[1] for row in placed}
    said = claims(session, ids)
    return tuple(
        Upload(
            session_id=one, recorder=serial, at=at, sealed=sealed, total=total, size=size_text(size or 0),
            number=places.get(one),
            cases=tuple(dict.fromkeys(c.said for c in said if c.session_id == one and c.kind == ClaimKind.CASE)),
            excuses=sum(c.session_id == one and c.kind == ClaimKind.GAP for c in said),
        )
        for one, serial, total, size, at, sealed in rows
    )  # fmt: skip


def _docked(
    officer: Officer, uploads: tuple[Upload, ...], bays: tuple[BayStatus, ...]
) -> list[tuple[str, str]]:
    """What a claim can be about: what is in a bay and the officer's or nobody's, then the last uploads."""
    here = {
        bay.session_id: str(gettext("Bay %(number)s: %(serial)s", number=bay.number, serial=bay.recorder_serial or "—"))
        for bay in bays
        if bay.session_id and bay.officer_number in {None, "", officer.number}
    }  # fmt: skip
    later = {one.session_id: f"{one.recorder} · {one.size}" for one in uploads if one.session_id not in here}
    return list((here | later).items())


def _asked(session: Session, bays: tuple[BayStatus, ...]) -> list[Asked]:
    """The questions that an officer can answer here, by bay; one that has an answer is not asked again."""
    found = list[Asked]()
    for bay in bays:
        if is_answered(session, (bay.question, bay.session_id)):
            continue
        where = gettext("Bay %(number)s: %(serial)s", number=bay.number, serial=bay.recorder_serial or "—")
        if bay.needs == Need.BADGE and bay.question:
            code = bay.message.code if bay.message else ""
            found.append(Asked("duty", bay.question, where, _standings().get(code, "")))
        elif bay.needs == Need.CLAIM and bay.session_id:
            found.append(Asked("holder", bay.session_id, where, str(gettext("Nobody knows who held it."))))
    return found


def _standings() -> dict[str, str]:
    """Why a bay asks whether it is duty footage, by the code of its tile."""
    return {
        UnregisteredError.code: str(gettext("It is not in the register.")),
        NamelessRecorderError.code: str(gettext("It says no serial number.")),
        LostRecorderError.code: str(gettext("It was reported lost.")),
        RetiredRecorderError.code: str(gettext("It was taken out of use.")),
    }


def _offers(session: Session, bays: tuple[BayStatus, ...]) -> tuple[Offer, ...]:
    """Recorders that the register lets go, those that are ready first."""
    states = [state.value for state in RecorderState if (state, HAND_OUT) in RECORDER.table]
    query = select(RecorderAsset).where(RecorderAsset.is_registered, RecorderAsset.state.in_(states))
    found = session.scalars(query.order_by(RecorderAsset.serial).limit(RECORDERS_SHOWN)).all()
    here = {bay.recorder_serial: bay for bay in bays if bay.recorder_serial}
    offers = [_offer(recorder, here.get(recorder.serial)) for recorder in found]
    return tuple(sorted(offers, key=lambda offer: (bool(offer.why_not), offer.bay or 1000, offer.serial)))


def _offer(recorder: RecorderAsset, bay: BayStatus | None) -> Offer:
    known = checks(bay) if bay is not None else ()
    why = ""
    if bay is not None and bay.state is not TileState.SEALED:
        why = gettext("Not sealed yet")
    elif bay is not None and bay.battery_percent is not None and bay.battery_percent < CHARGED_PERCENT:
        why = gettext("Still charging")
    number = bay.number if bay is not None else None
    return Offer(recorder.serial, recorder.model, number, known, str(why))
