"""Were the log's disposals allowed? For the verifier, by the rules that vaultd had to keep (obligation 11 there).

Reads the log alone: the entries before each one, personal keys, schedules, holds and roles as they stood on it then.
The verifier proper (vault.audit) knows nothing of people; this is what a station, or an expert with this program, adds.
"""

from __future__ import annotations

from pathlib import Path

import casework.keeping.retention
from core.clock import parse_stamp, utc_now
from core.errors import SealdockError
from vault.formats.entry import Leaf
from vault.log.ledger import LogReader
from vault.log.rules import Rules
from vault.retention import rule
from vault.retention.past import Past
from vault.retention.policy import Policy
from vault.store.objects import Vault

JUDGED = frozenset({"signer", "schedule", "hold", "release", "rewrap", "dispose", "destroy"})


class DisposalAudit:
    """The verifier's `Approvals` over the vault in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._policy = Policy()
        casework.keeping.retention.register(self._policy)
        self._past: Past | None = None

    def judge(self, index: int, leaf: Leaf) -> str:
        """Why the entry should not have been taken, by what was on the log before it; empty when it should."""
        if leaf.type not in JUDGED:
            return ""
        try:
            past = self._known().before(index)
            if leaf.type == "dispose":
                rule.check_dispose(past, leaf, self._policy, utc_now)
            else:
                rules = Rules()
                rule.register(rules, self._policy, lambda: parse_stamp(leaf.time))
                rules.check(past, leaf)
        except SealdockError as cause:
            return str(cause.parameters.get("why", cause))
        return ""

    def _known(self) -> Past:
        """The whole log, looked through when the first such entry is met."""
        if self._past is None:
            self._past = Past(LogReader(Vault.open(self._directory)))
        return self._past
