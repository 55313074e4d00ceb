"""The omission statement as sentences, for a page or a slip: one English template and its parameters each.

Invariants: a template is chosen by the statement's codes and by nothing else; the words are "found on a recorder" and
never "recorded by"; a code that is not known here is shown as it is and not passed over. The console translates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.canonical import Json
from ingest.statement import Fate, HolderBy, IdentityBy

FOUND = "Found on recorder {serial} ({transport}, profile {profile})."
FOUND_NAMELESS = "Found on a recorder that says no serial number ({transport}, profile {profile})."
CLOCK = "The recorder's clock was {offset_s} s off, within {uncertainty_s} s."
CLOCK_UNKNOWN = "The recorder's clock could not be read: its drift is unknown."
UNTOUCHED_BY = {  # devices.unwritten.Method
    "write_counter+tables": "The dock wrote nothing to the recorder: the kernel counted no sector written to it, and "
    "the tables of its file system have the same digest before and after.",
    "write_counter": "The dock wrote nothing to the recorder: the kernel counted no sector written to it.",
    "read_only_transport": "The dock wrote nothing to the recorder: nothing but reading was asked of it.",
}
TOUCHED_BY = {
    "write_counter+tables": "That the dock wrote nothing to the recorder could not be shown: the kernel's count of "
    "sectors written or the digest of the file system's tables changed, or could not be read.",
    "write_counter": "That the dock wrote nothing to the recorder could not be shown: the kernel's count of sectors "
    "written changed, or could not be read.",
}
UNTOUCHED = "The dock wrote nothing to the recorder ({method})."
TOUCHED = "That the dock wrote nothing to the recorder could not be shown ({method})."
UNMEASURED = "Whether anything was written to the recorder was not measured."
SAMPLE = "{read} of {known} files that have a receipt were read again, at random, and are equal."
DIFFERS = "A file that has a receipt differed from it: all {known} such files were copied again."
NUMBER_GAP = "Numbers {first} to {last} are on no file ({series})."
TIME_GAP = "No footage from {from} to {until} ({seconds} s)."
TIME_GAP_OPEN = (
    "At most {seconds} s without footage before {until}; the end of the recording before is unknown."
)
SPLIT = "{count} files are parts of one recording."
ACT = "Command sent to the recorder: {command}."
ACT_CHANGED = "Command sent to the recorder that changed its state: {command}."
FATES = {
    Fate.TAKEN: "{count} files taken.",
    Fate.DAMAGED: "{count} files damaged: they could only be read in part.",
    Fate.COMPARED: "{count} files have a receipt; read again and equal.",
    Fate.NOT_REREAD: "{count} files not re-read, see their receipts.",
    Fate.LEFT_OUT: "{count} files left out by the profile: no footage.",
    Fate.REFUSED: "{count} entries refused: no files that can be taken.",
    Fate.UNREADABLE: "{count} files could not be read.",
    Fate.NO_LONGER_THERE: "{count} files are no longer on the recorder.",
    Fate.NOT_TAKEN: "{count} files not taken for another reason.",
}
IDENTITIES = {
    IdentityBy.UNLOCK: "Identity: the recorder answered the unlocking.",
    IdentityBy.USB: "Identity: claimed by USB.",
    IdentityBy.NAMES: "Identity: claimed by the names of its files.",
    IdentityBy.HAND: "Identity: named by hand.",
    IdentityBy.SENT_IN: "Identity: sent in.",
    IdentityBy.NONE: "Identity: not known.",
}
HOLDERS = {
    HolderBy.BADGE: "Holder {holder}: shown by badge.",
    HolderBy.PIN: "Holder {holder}: shown by PIN.",
    HolderBy.TYPED: "Holder {holder}: typed.",
    HolderBy.NAMES: "Holder {holder}: claimed by the names of the files.",
    HolderBy.LEDGER: "Holder {holder}: by the issue ledger.",
    HolderBy.NONE: "Holder: not known.",
}
CONFLICTS = {  # by how the holder was established, where the names of the files say another officer
    HolderBy.BADGE: "{files} files name officer {named}, and {holder} showed a badge: both are kept, nothing is "
    "decided.",
    HolderBy.PIN: "{files} files name officer {named}, and {holder} typed the PIN: both are kept, nothing is decided.",
    HolderBy.TYPED: "{files} files name officer {named}, and {holder} was typed: both are kept, nothing is decided.",
    HolderBy.LEDGER: "{files} files name officer {named}, and the issue ledger {holder}: both are kept, nothing is "
    "decided.",
}
CONFLICT = (
    "{files} files name officer {named}, and the holder is {holder}: both are kept, nothing is decided."
)
QUARANTINES = {  # what the register said of the recorder (ingest.admission.Standing)
    "unregistered": "In quarantine: the recorder is not in the register, and an officer said that it holds duty "
    "footage (claim {claim}).",
    "nameless": "In quarantine: the recorder says no serial number, and an officer said that it holds duty footage "
    "(claim {claim}).",
    "lost": "In quarantine: the recorder was reported lost, and an officer said that it holds duty footage (claim "
    "{claim}).",
    "retired": "In quarantine: the recorder was taken out of use, and an officer said that it holds duty footage "
    "(claim {claim}).",
}
QUARANTINE = "In quarantine: an officer said that the recorder holds duty footage (claim {claim})."
OTHER = "{code}: {count}."  # a code of a later version
LISTED = 40  # gaps of each kind; the statement has them all


def templates() -> tuple[str, ...]:
    """Every template, for the catalogues of translations."""
    plain = (
        FOUND, FOUND_NAMELESS, CLOCK, CLOCK_UNKNOWN, UNTOUCHED, TOUCHED, UNMEASURED, SAMPLE, DIFFERS, NUMBER_GAP,
        TIME_GAP, TIME_GAP_OPEN, SPLIT, ACT, ACT_CHANGED, OTHER, CONFLICT, QUARANTINE,
    )  # fmt: skip
    return (
        *plain, *FATES.values(), *IDENTITIES.values(), *HOLDERS.values(), *UNTOUCHED_BY.values(),
        *TOUCHED_BY.values(), *CONFLICTS.values(), *QUARANTINES.values(),
    )  # fmt: skip


@dataclass(frozen=True)
class Sentence:
    """One template and what goes into it."""

    template: str
    parameters: Json

    def __str__(self) -> str:
        return self.template.format(**self.parameters)


def sentences(statement: Json) -> Iterator[Sentence]:
    """What a statement says (whole or its head), in the order of a page."""
    found = statement["found_on"]
    serial = found["recorder_serial"]
    names = {"serial": serial, "transport": found["transport"], "profile": found["profile"]}
    yield Sentence(FOUND if serial else FOUND_NAMELESS, names)
    yield _by(IDENTITIES, statement["identity_by"], {})
    yield _by(HOLDERS, statement["holder_by"], {"holder": statement["holder"] or "-"})
    yield from _disputed(statement)
    yield from _condition(statement)
    for fate, count in sorted(statement["counts"].items()):
        yield _by(FATES, fate, {"count": count})
    sample = statement["sample"]
    if sample["read"]:
        yield Sentence(DIFFERS if sample["differs"] else SAMPLE, sample)
    yield from _missing(statement)


def _disputed(statement: Json) -> Iterator[Sentence]:
    """What a custodian has to decide: whose it is, and whether it is duty footage at all."""
    by_code = {str(by): text for by, text in CONFLICTS.items()}
    for one in statement.get("holder_conflicts", ())[:LISTED]:
        told = {name: one[name] for name in ("files", "named", "holder")}
        yield Sentence(by_code.get(one["by"], CONFLICT), told)
    kept = statement.get("quarantine")
    if kept:
        yield Sentence(QUARANTINES.get(kept["standing"], QUARANTINE), {"claim": kept["claim"]})


def _condition(statement: Json) -> Iterator[Sentence]:
    condition, untouched = statement["condition"], statement.get("untouched")
    clock = condition["clock"]
    if isinstance(clock, dict):
        yield Sentence(
            CLOCK, {name: clock[f"{name[:-2]}_ms"] / 1000 for name in ("offset_s", "uncertainty_s")}
        )
    else:
        yield Sentence(CLOCK_UNKNOWN, {})
    if untouched is None:
        yield Sentence(UNMEASURED, {})
    else:
        yield _untouched(untouched)
    for act in condition.get("acts", ()):
        yield Sentence(ACT_CHANGED if act["changed"] else ACT, {"command": act["command"]})


def _untouched(untouched: Json) -> Sentence:
    """How it was shown, in words; the code where it is one of a later version."""
    known, other = (UNTOUCHED_BY, UNTOUCHED) if untouched["holds"] else (TOUCHED_BY, TOUCHED)
    template = known.get(str(untouched["method"]))
    return Sentence(template, {}) if template else Sentence(other, {"method": untouched["method"]})


def _missing(statement: Json) -> Iterator[Sentence]:
    for gap in statement.get("number_gaps", ())[:LISTED]:
        yield Sentence(NUMBER_GAP, {name: gap[name] for name in ("first", "last", "series")})
    for gap in statement.get("time_gaps", ())[:LISTED]:
        yield Sentence(TIME_GAP if "from" in gap else TIME_GAP_OPEN, gap)
    for split in statement.get("split", ())[:LISTED]:
        yield Sentence(SPLIT, {"count": split["count"]})


def _by(
    table: dict[Fate, str] | dict[IdentityBy, str] | dict[HolderBy, str], code: str, told: Json
) -> Sentence:
    template = {str(one): text for one, text in table.items()}.get(code)
    if template is None:
        return Sentence(OTHER, {"code": code, "count": told.get("count", "")})
    return Sentence(template, told)
