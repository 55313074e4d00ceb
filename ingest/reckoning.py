"""A session's reckoning: from what was planned and what came of it to the omission statement.

Invariants: every planned file has one fate, and it is the outcome's, not a guess from the plan; a file that is in the
vault is named by its recording, everything else by its path; the gaps are looked for among all files that are on the
medium, taken or not, because a number that is there is not missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from core.canonical import Json
from core.clock import stamp, utc_now
from core.errors import SealdockError
from devices.condition import Condition
from devices.profile import Profile
from devices.recorder import Recorder, SourceFile
from ingest.circumstance import Circumstance
from ingest.damage import Ranges
from ingest.docking import DockingSession
from ingest.error import NoLongerThereError, UnreadableFileError
from ingest.holding import Conflicts, Holder
from ingest.plan import Plan, Planned
from ingest.sequence import (
    Counting,
    Named,
    ended_at,
    missing_parts,
    number_gaps,
    parted,
    time_gaps,
)
from ingest.statement import (
    Fate,
    Rows,
    Sealable,
    condition_facts,
    make_statement,
    sealable,
    untouched_facts,
)

PARTS_LISTED = 1000  # of one recording; the count says how many there are


@dataclass
class Sample:
    """What was read again of the files that have a receipt, and whether it was what the receipts say."""

    known: int = 0
    read: int = 0
    differs: bool = False

    def facts(self) -> Json:
        """As the statement has it."""
        return {"known": self.known, "read": self.read, "differs": self.differs}


@dataclass
class Reckoning:
    """What a statement is made of, besides the plan: filled in while the session runs."""

    recorder: Recorder
    profile: Profile
    circumstance: Circumstance
    docking: DockingSession
    zone: str
    sample: Sample = field(default_factory=Sample)
    conflicts: Conflicts = field(default_factory=Conflicts)
    receipts: dict[str, int] = field(default_factory=dict)  # entry indices of known recordings, by id

    def statement(
        self,
        plan: Plan,
        failures: Mapping[str, SealdockError],
        damaged: Mapping[str, Ranges],
        holder: Holder,
    ) -> Sealable:
        """The statement as it goes on the log."""
        rows, refs = Rows(), dict[bytes, str]()
        for planned in plan.files:
            refs[planned.file.path] = self._judge(rows, planned, failures, damaged)
        self._others(rows, plan, failures)
        named = [self._named(planned.file, refs[planned.file.path]) for planned in plan.files]
        facts = self._facts(plan, holder)
        counting = Counting.of(getattr(self.profile, "sequence", None))
        facts["counting"] = {"per": counting.per, "start": counting.start, "wrap": counting.wrap}
        whole = make_statement(
            facts,
            rows,
            number_gaps(named, counting),
            time_gaps(named),
            [_split(parts) for parts in parted(named)],
        )
        return sealable(whole)

    def _judge(
        self,
        rows: Rows,
        planned: Planned,
        failures: Mapping[str, SealdockError],
        damaged: Mapping[str, Ranges],
    ) -> str:
        """The row of one planned file; what the gaps call it."""
        file, one = planned.file, planned.recording_id
        cause = failures.get(file.shown_path)
        if one in damaged or planned.is_damaged:
            rows.kept(Fate.DAMAGED, one, self.receipts.get(one), damaged.get(one, ()))
            return one
        if cause is not None:
            fate = Fate.UNREADABLE if isinstance(cause, UnreadableFileError) else Fate.NOT_TAKEN
            why = str(cause.parameters.get("why", "")) if fate is Fate.UNREADABLE else ""
            rows.omitted(fate, file.shown_path, why or cause.code, file.size)
            return file.shown_path
        if planned.known is None:
            rows.kept(Fate.TAKEN, one)
        else:
            fate = Fate.COMPARED if planned.is_compared else Fate.NOT_REREAD
            rows.kept(fate, one, self.receipts.get(one))
        return one

    def _others(self, rows: Rows, plan: Plan, failures: Mapping[str, SealdockError]) -> None:
        """What is no file of the plan: refused, left out by the profile, or gone since an earlier run."""
        for refused in plan.refused:
            rows.omitted(Fate.REFUSED, refused.shown_path, refused.reason)
        told = getattr(self.recorder, "left_out", None)
        if told is None:
            rows.uncounted(Fate.LEFT_OUT, self.recorder.ignored)
        else:
            for one in told():
                rows.omitted(Fate.LEFT_OUT, one.shown_path, size=one.size)
        for path, cause in failures.items():
            if isinstance(cause, NoLongerThereError):
                rows.omitted(Fate.NO_LONGER_THERE, path)

    def _facts(self, plan: Plan, holder: Holder) -> Json:
        """Who, what, where: each with how it was established."""
        names = [planned.file for planned in plan.files]
        said = {file.serial for file in names if file.serial}
        identity = self.recorder.identity
        untouched = untouched_facts(_ask(self.recorder, "untouched"))
        facts: Json = {
            "session": self.docking.id,
            "origin": self.circumstance.origin.value,
            "found_on": {"recorder_serial": identity.serial, "usb": f"{identity.vendor_id}:{identity.product_id}",
                         "label": identity.label, "profile": self.profile.id, "transport": self.recorder.transport},
            "bay": self.circumstance.bay,
            "identity_by": self.circumstance.identified(self.recorder, said).value,
            "holder": holder.number,
            "holder_by": holder.by.value,
            "attached_at": stamp(self.docking.attached_at),
            "stated_at": stamp(utc_now()),
            "condition": condition_facts(getattr(self.recorder, "condition", None)),
            "sample": self.sample.facts(),
        }  # fmt: skip
        conflicts, claim = self.conflicts.facts(), self.docking.quarantined
        quarantine = {"claim": claim, "standing": self.circumstance.standing} if claim else None
        beside = {"untouched": untouched, "holder_conflicts": conflicts, "quarantine": quarantine}
        return facts | {name: told for name, told in beside.items() if told}

    def _named(self, file: SourceFile, ref: str) -> Named:
        zone = self.zone if self.profile.names.zone == "station" else self.profile.names.zone
        started = file.started_at.replace(tzinfo=None) if file.started_at else None
        return Named(
            ref, getattr(file, "sequence", None), file.part, started,
            ended_at(started, file.modified_at, ZoneInfo(zone)), file.officer_number, file.media.value,
        )  # fmt: skip


def shown_condition(condition: Condition | None) -> Json:
    """What the tile shows of a recorder's state, by the names of BayStatus; nothing for what is not known."""
    if condition is None:
        return {}
    clock = condition.clock
    return {
        "battery_percent": condition.battery_percent, "firmware": condition.firmware or None,
        "free_bytes": condition.free_bytes, "capacity_bytes": condition.capacity_bytes,
        "clock_offset_s": clock.offset_s if clock else None,
        "clock_uncertainty_s": clock.uncertainty_s if clock else None,
    }  # fmt: skip


def _ask(recorder: Recorder, name: str) -> object:
    asked = getattr(recorder, name, None)
    return asked() if callable(asked) else None


def _split(parts: tuple[Named, ...]) -> Json:
    told: Json = {"parts": [part.ref for part in parts[:PARTS_LISTED]], "count": len(parts)}
    missing = missing_parts(parts)
    return told | ({"missing": missing} if missing else {})
