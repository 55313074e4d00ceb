"""The demo bureau: a small emergency-management bureau with two officers, two recorders and one open case.

Everything goes in the way a custodian would put it in, as signed entries; nothing is written past the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.access.permission import Role
from casework.cases.case import CaseFacts, CaseFile, Kind, Stage, open_case
from casework.equipment.issue import hand_out
from casework.equipment.recorder import register_recorder
from casework.people.at_dock import give_pin
from casework.people.badge import keep_pin
from casework.people.officer import Officer, OfficerFacts, register_officer
from casework.people.unit import Unit, register_unit, units
from core.clock import utc_now
from core.db import Database
from vault.log.outbox import Submitter
from webconsole.auth.account import create_account, set_password


@dataclass(frozen=True)
class DemoOfficer:
    """An officer of the demo and the recorder issued to that officer."""

    number: str
    name: str
    certificate: str
    recorder_serial: str


UNIT_NUMBER, UNIT_NAME = "430682000101", "执法大队一中队（演示）"
OFFICERS = (
    DemoOfficer("060123", "执法员甲", "ZF-060123", "X1A0123"),
    DemoOfficer("060245", "执法员乙", "ZF-060245", "X1A0245"),
)
UNREGISTERED = DemoOfficer("060245", "执法员乙", "ZF-060245", "X1A0777")
"""A recorder that is in no register: the second officer's spare one."""
ACCOUNTS = (
    ("custodian", "证据管理员（演示）", Role.CUSTODIAN),
    ("reviewer", "审查人员（演示）", Role.REVIEWER),
    ("auditor", "审计员（演示）", Role.AUDITOR),
)
CASE_NUMBER = "演应急罚〔2026〕12号"
CASE_TITLE = "某烟花爆竹零售点安全设施不合格案"


def found(db: Database, submitter: Submitter, password: str, pin: str) -> None:
    """Put the bureau's people, recorders and accounts on the log, once; what a reindex lost of them comes back."""
    with db.writing() as session:
        if session.scalar(select(Unit.id).limit(1)) is not None:
            for username, _, _ in ACCOUNTS:
                set_password(session, username, password)
            for known in session.scalars(select(Officer)):
                keep_pin(session, known.id, known.number, pin)
            return
        unit_id = register_unit(session, submitter, None, UNIT_NUMBER, UNIT_NAME)
        for officer in OFFICERS:
            _issue(session, submitter, officer, unit_id, pin)
        for username, name, role in ACCOUNTS:
            create_account(session, submitter, username=username, name=name, roles=(role,), password=password)
    submitter.ring()


def open_demo_case(db: Database, submitter: Submitter, actor: str) -> str:
    """The demo's case, opened by the custodian on the first run; gives its id."""
    with db.writing() as session:
        known = session.scalar(select(CaseFile.id).where(CaseFile.number == CASE_NUMBER))
        if known is not None:
            return known
        today = datetime.now(UTC).date()
        facts = CaseFacts(
            number=CASE_NUMBER, title=CASE_TITLE, kind=Kind.PENALTY, stage=Stage.EVIDENCE,
            unit_id=units(session)[0].id, party="某烟花爆竹零售点（演示）", opened_on=today,
        )  # fmt: skip
        case_id = open_case(session, submitter, actor, facts)
    submitter.ring()
    return case_id


def _issue(session: Session, submitter: Submitter, officer: DemoOfficer, unit_id: str, pin: str) -> None:
    facts = OfficerFacts(
        number=officer.number, name=officer.name, unit_id=unit_id,
        certificate_number=officer.certificate, certificate_valid_until="2029-12-31",
    )  # fmt: skip
    officer_id = register_officer(session, submitter, None, facts)
    give_pin(session, submitter, None, officer_id, pin)
    register_recorder(session, submitter, None, officer.recorder_serial, "DSJ-X1", officer_id)
    holder = session.get_one(Officer, officer_id)
    hand_out(session, submitter, holder, officer.recorder_serial, "演示", utc_now())
