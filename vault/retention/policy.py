"""What the packages above tell retention: classes that a recording has for reasons of theirs, and who may approve.

The vault knows nothing of cases or roles. casework registers a classifier (linked to a case: case evidence) and an
authority (which accounts may approve what); both read the log, never a table, so that vaultd and the sealer come to the
same answer each by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from vault.log.rules import LogView

Classifier = Callable[[LogView, str], Iterable[str]]
"""(log, recording) -> the classes that the recording ever had by this reason."""
Authority = Callable[[LogView, str, str], bool]
"""(log, account, type of entry) -> whether the account may approve such an entry."""


@dataclass
class Policy:
    """The registry, filled in sealdock/wiring.py. Without an authority nobody may approve anything."""

    classifiers: list[Classifier] = field(default_factory=list)
    authorities: list[Authority] = field(default_factory=list)

    def classify(self, classifier: Classifier) -> None:
        """Ask `classifier` of every recording."""
        self.classifiers.append(classifier)

    def authorise(self, authority: Authority) -> None:
        """Every authority must agree to an approver."""
        self.authorities.append(authority)

    def classes(self, log: LogView, recording_id: str) -> set[str]:
        """All classes by every reason."""
        return {name for classifier in self.classifiers for name in classifier(log, recording_id)}

    def may_approve(self, log: LogView, account: str, entry_type: str) -> bool:
        """Whether this account's signature under such an entry counts."""
        return bool(self.authorities) and all(each(log, account, entry_type) for each in self.authorities)
