"""A house with people who hold keys of their own, a schedule, and a clock that can be months ahead."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from crash.house import House
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from casework.keeping.retention import evidence_policy
from core.clock import new_id, utc_now
from vault.formats.approval import sign
from vault.formats.statement import Statement
from vault.log import rules as log_rules
from vault.log.index import EntryRow
from vault.log.outbox import RowState, Submitter
from vault.log.submission import Draft
from vault.retention.execution import Hands
from vault.retention.rule import register
from vault.retention.schedule import Schedule, default_schedule
from vault.store.derived import DerivedStore

HALF_A_YEAR = timedelta(days=190)


@dataclass
class Keeping:
    """Who keeps and disposes in one house; `ahead` is how far its clock has gone on."""

    house: House
    ahead: timedelta = timedelta(0)
    keys: dict[str, Ed25519PrivateKey] = field(default_factory=dict)
    schedule: str = ""

    def __post_init__(self) -> None:
        self.policy = evidence_policy()
        log_rules.register(self.house.rules)
        register(self.house.rules, self.policy, self.now)

    def now(self) -> datetime:
        return utc_now() + self.ahead

    def submit(self, by: str, draft: Draft) -> str:
        entry_id = self.house.submit(by, draft)
        self.house.settle()
        return entry_id

    def why(self, entry_id: str) -> str:
        """Why the log did not take it; empty when it did."""
        row = self.house.row(entry_id)
        assert row.state in {RowState.SEQUENCED, RowState.REFUSED}
        return row.reason

    def index(self, entry_id: str) -> int:
        place = self.house.row(entry_id).entry_index
        assert place is not None
        return place

    def account(self, *roles: str, event: str = "created", account: str | None = None) -> str:
        account = account or new_id()
        facts = {"event": event, "account": account, "roles": list(roles)}
        self.submit("console", Draft("account", about=(account,), facts=facts))
        return account

    def signer(
        self, account: str, key: Ed25519PrivateKey, action: str = "enrolled", by: str = "bureau"
    ) -> str:
        public = b64encode(key.public_key().public_bytes_raw()).decode()
        facts = {"account": account, "kind": "ed25519", "key": public, "action": action}
        return self.submit(by, Draft("signer", about=(account,), facts=facts))

    def person(self, *roles: str) -> str:
        """An account with an enrolled key."""
        account = self.account(*roles)
        self.keys[account] = Ed25519PrivateKey.generate()
        assert self.why(self.signer(account, self.keys[account])) == ""
        return account

    def enact(self, wanted: Schedule, approvers: Sequence[str] = (), by: str = "bureau") -> str:
        about, facts = (self.house.vault.id,), wanted.facts()
        facts["approvals"] = self.approvals("schedule", about, facts, approvers)
        return self.submit(by, Draft("schedule", about=about, facts=facts))

    def begin(self) -> str:
        """Put the default schedule on the log."""
        self.schedule = self.enact(default_schedule(utc_now()))
        assert self.why(self.schedule) == ""
        return self.schedule

    def approvals(
        self, kind: str, about: tuple[str, ...], facts: dict[str, Any], approvers: Sequence[str]
    ) -> list[dict[str, Any]]:
        statement = Statement(kind, about, facts, self.house.vault.id)
        return [sign(statement, account, self.keys[account]).facts() for account in approvers]

    def reasons(self) -> dict[str, Any]:
        """What a disposal that is asked for now says, its approvals left aside."""
        return {"schedule": self.schedule, "basis": "保存期限届满", "as_of": self.house.reader.size}

    def dispose(
        self, recordings: Sequence[str], approvers: Sequence[str], by: str = "console", **changed: Any
    ) -> str:
        """Ask for a disposal; `changed` facts are not those that were approved."""
        about, facts = tuple(recordings), self.reasons()
        approvals = self.approvals("dispose", about, facts, approvers)
        full = {**facts, "approvals": approvals, **changed}
        return self.submit(by, Draft("dispose", about=about, facts=full, time=self.now()))

    def hold(self, *recordings: str, actor: str | None = None, by: str = "console") -> str:
        facts, body = {"review_on": "2027-06-01"}, {"reason": "复议", "owner": "法制科"}
        return self.submit(
            by, Draft("hold", actor=actor or new_id(), about=recordings, facts=facts, body=body)
        )

    def recording(self, content: bytes = b"footage" * 1000) -> str:
        entry_id = self.house.ingest(content)
        self.house.settle()
        return entry_id

    def hands(self, **options: Any) -> Hands:
        house = self.house
        return Hands(
            db=house.db, submitter=Submitter(house.key("sealer"), house.projections, house.bell), policy=self.policy,
            derived=DerivedStore(house.directory / "derived", house.vault), clock=self.now,
            **{"clear": nothing_to_clear, **options},
        )  # fmt: skip

    def entries(self) -> int:
        with self.house.db.reading() as session:
            return session.query(EntryRow).count()


def nothing_to_clear(_path: Path) -> None:
    """Where no file has the immutable mark."""
