"""Two people and their keys as entries of any log, for tests that write logs themselves."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.clock import new_id
from vault.formats.approval import sign
from vault.formats.entry import Leaf
from vault.formats.statement import Statement

TIME = "2026-11-23T06:05:04.000123Z"


def _two() -> dict[str, Ed25519PrivateKey]:
    return {new_id(): Ed25519PrivateKey.generate() for _ in range(2)}


@dataclass(frozen=True)
class Signers:
    """Who signs for the vault of this id, by account."""

    vault: str
    keys: dict[str, Ed25519PrivateKey] = field(default_factory=_two)

    def entry(self, account: str, action: str = "enrolled", *, by: str = "bureau", time: str = TIME) -> Leaf:
        """The `signer` entry of one account."""
        public = b64encode(self.keys[account].public_key().public_bytes_raw()).decode()
        facts = {"account": account, "kind": "ed25519", "key": public, "action": action}
        return Leaf(id=new_id(), type="signer", time=time, by=by, about=(account,), facts=facts)

    def entries(self) -> list[Leaf]:
        """Everybody's enrolment."""
        return [self.entry(account) for account in self.keys]

    def signed(self, leaf: Leaf, *accounts: str) -> Leaf:
        """The same entry with the approvals of these, or of everybody."""
        statement = Statement.of(leaf, self.vault)
        said = [sign(statement, account, self.keys[account]).facts() for account in accounts or self.keys]
        return replace(leaf, facts={**leaf.facts, "approvals": said})
