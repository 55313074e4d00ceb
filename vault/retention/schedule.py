"""Schedules: how long recordings of each class are kept, on which legal basis, and from when that holds (D39).

Pure functions: nothing here reads a file or a clock. The longest period wins over every class that ever applied to a
recording; a class that a schedule does not name is kept for ever, so that a gap in a schedule can never release.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.clock import parse_stamp, stamp

ORDINARY, CASE_EVIDENCE, MAJOR_INCIDENT = "ordinary", "case_evidence", "major_incident"
BUCKET_CLASSES = {"A": ORDINARY, "K": CASE_EVIDENCE, "M": MAJOR_INCIDENT}  # by the name's first part
HOLD_BUCKET = "H"  # where held recordings are re-wrapped to; it adds no class of its own
LEAST_DAYS = 183  # six months, the least of the police rules (DOMAIN.md, "Also expected")
_MONTH = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])\Z")
MOST_DAYS = 36_525  # a hundred years; beyond it, say `null`
DEFAULT_BASIS = {
    ORDINARY: "公安机关现场执法视音频记录工作规定：保存期限原则上不少于六个月",
    CASE_EVIDENCE: "公安机关现场执法视音频记录工作规定：作为证据使用的，永久保存",
    MAJOR_INCIDENT: "公安机关现场执法视音频记录工作规定：重大、疑难、复杂及群体性事件，永久保存",
}


@dataclass(frozen=True)
class RetentionClass:
    """One line of a schedule; `days` None is for ever."""

    name: str
    days: int | None
    basis: str


@dataclass(frozen=True)
class Schedule:
    """One version; `entry_id` is the entry that put it on the log, None for one that is not there."""

    version: int
    effective_from: datetime
    classes: tuple[RetentionClass, ...]
    entry_id: str | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any], entry_id: str | None = None) -> Schedule:
        """From the facts of a `schedule` entry, whose shape the log's rules have checked."""
        lines = tuple(RetentionClass(line["class"], line["days"], line["basis"]) for line in facts["classes"])
        return cls(facts["version"], parse_stamp(facts["effective_from"]), lines, entry_id)

    def facts(self) -> dict[str, Any]:
        """The facts of the entry that makes it the law here."""
        classes = [{"class": line.name, "days": line.days, "basis": line.basis} for line in self.classes]
        return {"version": self.version, "effective_from": stamp(self.effective_from), "classes": classes}

    def days(self, names: Collection[str]) -> int | None:
        """The longest period among these classes, None for ever; no class at all is for ever too."""
        return max((self._period(name) for name in names), default=None, key=_length)

    def deciding(self, names: Collection[str]) -> RetentionClass | None:
        """The line whose period is the longest; None when a class has no line, and when there is no class."""
        known = {line.name: line for line in self.classes}
        if not names or not set(names) <= set(known):
            return None
        return max((known[name] for name in sorted(names)), key=lambda line: _length(line.days))

    def free_from(self, started_at: datetime, names: Collection[str]) -> datetime | None:
        """When a recording that came in then, of these classes, may be disposed of; None is never."""
        days = self.days(names)
        return None if days is None else started_at + timedelta(days=days)

    def shortens(self, earlier: Schedule) -> list[str]:
        """The classes that are kept for a shorter time than under `earlier`; a class that has no line is for ever."""
        names = {line.name for line in (*self.classes, *earlier.classes)}
        return sorted(name for name in names if _length(self._period(name)) < _length(earlier._period(name)))

    def _period(self, name: str) -> int | None:
        return next((line.days for line in self.classes if line.name == name), None)


def default_schedule(effective_from: datetime) -> Schedule:
    """What a new station begins with; it is law only once it stands on the log."""
    lines = (
        RetentionClass(ORDINARY, LEAST_DAYS, DEFAULT_BASIS[ORDINARY]),
        RetentionClass(CASE_EVIDENCE, None, DEFAULT_BASIS[CASE_EVIDENCE]),
        RetentionClass(MAJOR_INCIDENT, None, DEFAULT_BASIS[MAJOR_INCIDENT]),
    )
    return Schedule(1, effective_from, lines)


def in_force(schedules: Collection[Schedule], moment: datetime) -> Schedule | None:
    """The newest version that is effective at that moment."""
    effective = [each for each in schedules if each.effective_from <= moment]
    return max(effective, default=None, key=lambda each: each.version)


def bucket_class(bucket: str) -> str | None:
    """The base class of what lies in a bucket; None for a hold's. An unknown letter is a class that nothing frees."""
    letter = bucket.split("-", 1)[0]
    return None if letter == HOLD_BUCKET else BUCKET_CLASSES.get(letter, letter)


def holds_recordings(bucket: str) -> bool:
    """Whether recordings lie in such a bucket, and not people's and cases' facts."""
    letter, _, month = bucket.partition("-")
    return (letter == HOLD_BUCKET or letter in BUCKET_CLASSES) and _MONTH.match(month) is not None


def _length(days: int | None) -> float:
    return float("inf") if days is None else days
