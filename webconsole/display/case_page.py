"""The page of a case: its stages as a line with what is there, and the exhibits under each stage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext
from sqlalchemy.orm import Session

from casework.access.permission import Permission
from casework.cases.case import CaseFile
from casework.evidence.exhibit import CaseExhibit
from casework.package.disclosure import list_disclosures
from casework.people.unit import Unit
from webconsole.display import wording
from webconsole.display.chain import ChainView
from webconsole.display.footage import FootageLine, footage_lines
from webconsole.gate import may


@dataclass(frozen=True)
class StageMark:
    """A stage on the line of seven."""

    words: str
    is_past: bool
    is_now: bool
    count: int


@dataclass(frozen=True)
class Group:
    """The exhibits of one stage."""

    words: str
    lines: list[FootageLine]


@dataclass(frozen=True)
class PackageLine:
    """A package that was handed out."""

    id: str
    recipient: str
    made_at: datetime
    count: int


@dataclass(frozen=True)
class CasePage:
    """Everything on the page of a case."""

    id: str
    number: str
    title: str
    stages: list[StageMark]
    groups: list[Group]
    exhibits: int
    facts: list[tuple[str, object]]
    packages: list[PackageLine]
    chain: ChainView | None


def case_page(
    session: Session, found: CaseFile, shown: list[CaseExhibit], lines: ChainView | None, *, posters: bool
) -> CasePage:
    """The case with those of its exhibits that the reader may see."""
    return CasePage(
        id=found.id,
        number=found.number,
        title=found.title,
        stages=_stages(found, shown),
        groups=_groups(session, shown, posters=posters),
        exhibits=len(shown),
        facts=_facts(session, found),
        packages=_packages(session, found.id),
        chain=lines,
    )


def _stages(found: CaseFile, shown: list[CaseExhibit]) -> list[StageMark]:
    counts = Counter(each.exhibit.stage for each in shown)
    order = [value for value, _ in wording.stages()]
    now = order.index(found.stage) if found.stage in order else -1
    return [
        StageMark(words, place < now, place == now, counts[value])
        for place, (value, words) in enumerate(wording.stages())
    ]


def _groups(session: Session, shown: list[CaseExhibit], *, posters: bool) -> list[Group]:
    notes = {each.recording.id: each.exhibit.note for each in shown}
    lines = footage_lines(session, [each.recording for each in shown], posters=posters, notes=notes)
    by_stage: dict[str, list[FootageLine]] = {}
    for each, line in zip(shown, lines, strict=True):
        by_stage.setdefault(each.exhibit.stage, []).append(line)
    stages = wording.stages()
    return [Group(wording.word(stages, stage), group) for stage, group in by_stage.items()]


def _facts(session: Session, found: CaseFile) -> list[tuple[str, object]]:
    unit = session.get(Unit, found.unit_id) if found.unit_id else None
    return [
        (gettext("Party"), found.party or "—"),
        (gettext("Kind"), wording.word(wording.kinds(), found.kind)),
        (gettext("Stage"), wording.word(wording.stages(), found.stage)),
        (gettext("Unit"), unit.name if unit else "—"),
        (gettext("Opened on"), found.opened_on or "—"),
    ]


def _packages(session: Session, case_id: str) -> list[PackageLine]:
    if not may(Permission.DISCLOSURE_LIST):
        return []
    return [
        PackageLine(d.package_id, d.recipient, d.at, d.recordings) for d in list_disclosures(session, case_id)
    ]
