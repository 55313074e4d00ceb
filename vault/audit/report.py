"""What a verification found: failures and notices that name file, entry and bytes, and what was counted.

A report is for a custodian, a court's expert and a program at once: `sentence` is for reading, `to_json` for
the rest. A finding never contains a personal fact.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import Exit, SealdockError
from core.shown import shown
from vault.formats.checkpoint import Checkpoint
from vault.formats.note import VerifierKey
from vault.formats.proof import Trust

FINDINGS_KEPT = 1000  # of each kind; a wrecked vault must not fill the memory, the rest is counted

SENTENCES = {
    "verify.vault_file": "{where} cannot be used ({why}). It names the vault and its key; restore it.",
    "verify.key": "{where} names another key than the one given: another vault, or a replaced key ({why}).",
    "verify.compromised": (
        "{where} still names a compromised key ({why}). Whoever follows it believes what was forged with that key; "
        "finish `sealdock key compromise`, or take the line out."
    ),
    "verify.checkpoint": "{where} does not hold ({why}). Without it nothing else could be judged.",
    "verify.bundle": "{where} was altered or lost ({why}). The log no longer says what was signed.",
    "verify.tile": "{where} was altered or lost ({why}). Restore it; what lies below it cannot be proven.",
    "verify.root": "{where}: the entries do not lead to the signed root ({why}).",
    "verify.entry": "{where} is not an entry that this log may hold ({why}).",
    "verify.handover": "{where} does not lead from one log key to the next ({why}). Restore it from a copy.",
    "verify.against": "{where} is no beginning of this log ({why}). Another log's, or history was rewritten.",
    "verify.object": "{where} was altered or lost ({why}). It is not what was sealed; restore it.",
    "verify.slot": "{where} was altered or lost ({why}). What it locks cannot be opened; restore it.",
    "verify.bucket": "{where} was altered or lost ({why}). Nothing sealed to it can be opened; restore it.",
    "verify.pack": "{where} was altered or lost ({why}). It holds private parts of entries; restore it.",
    "verify.plaintext": "{where} is not what the entry says ({why}).",
    "verify.id": "{where} has the id of an earlier entry ({why}). Which of them is meant cannot be told.",
    "verify.history": "{where} cannot be, after what the log says before it ({why}).",
    "verify.destroyed": "{where} is still there ({why}). The certificate of destruction is not true.",
    "notice.unknown_file": "{where} is nothing that a vault holds. It is no evidence; find out who put it there.",
    "notice.approval": (
        "{where}: the signatures under disposals were checked; whether roles, periods and holds allowed them was not "
        "judged ({why})."
    ),
    "notice.extra_object": "{where} is not on the log. It is no evidence; find out who put it there.",
    "notice.pack_tail": "{where} has bytes beyond the last entry. vaultd removes them when it starts.",
    "notice.not_opened": "{where}: its contents were not opened and compared ({why}).",
}


def reason(cause: OSError | SealdockError) -> str:
    """The cause of an error in a few words, to stand inside a finding's sentence."""
    if isinstance(cause, OSError):
        return cause.strerror or "it cannot be read"
    return str(cause.parameters.get("why", cause))


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (or worth knowing), by obligation, place and cause."""

    obligation: int  # the number in vault/audit/verify.py
    code: str
    file: str  # relative to the vault, or the path that was given
    why: str = ""
    entry: int | None = None
    first: int | None = None  # first and last byte in `file`
    last: int | None = None

    @property
    def where(self) -> str:
        """File, bytes and entry in words."""
        place = f" bytes {self.first} to {self.last}" if self.first is not None else ""
        return f"{self.file}{place}" + (f" (entry {self.entry})" if self.entry is not None else "")

    @property
    def sentence(self) -> str:
        """For a person, in English."""
        return SENTENCES[self.code].format(where=self.where, why=self.why)

    def to_json(self) -> dict[str, Any]:
        """Without the keys that are not known."""
        known = {key: value for key, value in vars(self).items() if value is not None and value != ""}
        return {**known, "sentence": self.sentence}


@dataclass
class Report:
    """The outcome for one vault; collects findings while the verification runs."""

    directory: str
    key: VerifierKey | None = None
    trust: Trust = Trust.UNCHECKED
    checkpoint: Checkpoint | None = None
    failures: list[Finding] = field(default_factory=list)
    notices: list[Finding] = field(default_factory=list)
    failure_count: int = 0
    notice_count: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    founding_key: VerifierKey | None = None  # the one that genesis names; another than `key` after a handover
    since: int = 0  # entries that an earlier checkpoint stands for and that were not judged again
    resumed: str | None = None  # when the earlier run stopped whose results stand for the first objects
    window: str | None = None  # what the machine's owner could have rewritten, as a sentence

    @property
    def ok(self) -> bool:
        """Nothing is wrong under `key`; `trust` says what that key is worth."""
        return not self.failure_count and self.checkpoint is not None

    @property
    def size(self) -> int:
        """Entries on the log."""
        return self.checkpoint.size if self.checkpoint else 0

    @property
    def exit_code(self) -> Exit:
        """No when something is wrong; yes only under a key that the reader brought."""
        if not self.ok:
            return Exit.NO
        return Exit.YES if self.trust is Trust.CONFIRMED else Exit.CANNOT

    @property
    def sentence(self) -> str:
        """The outcome in one sentence, in English."""
        if not self.ok:
            return f"Failures: {self.failure_count}. Do not rely on this vault until each is explained."
        judged = f"All {self.size} entries"
        if self.since:
            judged = f"The log extends the earlier one of {self.since} entries, and all {self.size - self.since} since"
        if self.trust is Trust.CONFIRMED:
            return f"{judged} and everything they seal are as they were signed."
        key = self.key.vkey if self.key else ""
        return (
            f"{judged} are consistent under the key {key}, which only the vault itself names "
            "and nothing here confirms. Check again with the key that the bureau published."
        )

    def fail(self, finding: Finding) -> None:
        """Take down something that is wrong."""
        self.failure_count += 1
        if len(self.failures) < FINDINGS_KEPT:
            self.failures.append(_repeatable(finding))

    def note(self, finding: Finding) -> None:
        """Take down something worth knowing."""
        self.notice_count += 1
        if len(self.notices) < FINDINGS_KEPT:
            self.notices.append(_repeatable(finding))

    def absorb(self, part: Report) -> None:
        """Take over what was found about a part of the vault."""
        self.counts.update(part.counts)
        self.failures += part.failures[: FINDINGS_KEPT - len(self.failures)]
        self.notices += part.notices[: FINDINGS_KEPT - len(self.notices)]
        self.failure_count += part.failure_count
        self.notice_count += part.notice_count

    def to_json(self) -> dict[str, Any]:
        """The whole report, for `--json`."""
        head = self.checkpoint
        return {
            "ok": self.ok, "sentence": self.sentence, "trust": self.trust.value,
            "directory": self.directory, "key": self.key.vkey if self.key else None,
            "checkpoint": head and {
                "origin": head.origin, "size": head.size, "root": b64encode(head.root).decode(),
            },
            "since": self.since, "resumed": self.resumed, "window": self.window,
            "counts": dict(self.counts),
            "failure_count": self.failure_count, "failures": [one.to_json() for one in self.failures],
            "notice_count": self.notice_count, "notices": [one.to_json() for one in self.notices],
        }  # fmt: skip


def _repeatable(finding: Finding) -> Finding:
    """The finding with names that somebody chose as a report may repeat them."""
    return replace(finding, file=shown(finding.file), why=shown(finding.why))
