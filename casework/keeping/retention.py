"""What casework tells retention: footage of a case is case evidence, and who may approve that evidence goes (D39).

Both answers come from the log alone, so that vaultd and the sealer reach them without a table. The administrator is
never an approver: an account that ever had that role cannot become one by having it taken away, because whoever runs
the machine could write such an entry with the console's key. Such a person gets another account, made by another.
"""

from __future__ import annotations

from collections.abc import Iterable

from casework.access.permission import Role
from casework.evidence.exhibit import LinkAction
from vault.log.rules import LogView
from vault.retention.policy import Policy
from vault.retention.schedule import CASE_EVIDENCE

APPROVERS = frozenset({Role.CUSTODIAN, Role.LEGAL_REVIEWER, Role.HEAD})


def register(policy: Policy) -> None:
    """Register casework's classifier and authority."""
    policy.classify(of_a_case)
    policy.authorise(is_approver)


def of_a_case(log: LogView, recording_id: str) -> Iterable[str]:
    """Case evidence, once it was ever linked to a case; taking it out again does not make it ordinary."""
    for place in log.about(recording_id, "link"):
        leaf = log.leaf(place)
        if (leaf.facts["recording"], leaf.facts["action"]) == (
            recording_id,
            LinkAction.LINK,
        ):
            return (CASE_EVIDENCE,)
    return ()


def is_approver(log: LogView, account: str, _entry_type: str) -> bool:
    """Whether the account is open, has a role that decides over evidence, and never had the administrator's."""
    entries = map(log.leaf, log.about(account, "account"))
    roles = [set(leaf.facts["roles"]) for leaf in entries if leaf.facts["account"] == account]
    if not roles or any(Role.ADMINISTRATOR in each for each in roles):
        return False
    return not APPROVERS.isdisjoint(roles[-1])


def evidence_policy() -> Policy:
    """The policy of this house: what vaultd, the sealer and the command line all go by."""
    policy = Policy()
    register(policy)
    return policy
