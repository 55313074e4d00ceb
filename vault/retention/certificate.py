"""The certificate of a destruction: what existed, who decided that it goes, what is gone, and what that means.

Everything in it comes from the signed log and can be checked without us: the `dispose` entry with its proof, the
digest that the approvers signed and their keys, the recordings' digests, the entries in which the sealer says what it
did. It claims no more than they do: "unreadable" stands there only for a recording none of whose buckets is left.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from core.canonical import Json, decode
from vault.formats.approval import PersonalKey, approvals_of
from vault.formats.entry import Leaf
from vault.formats.statement import Statement
from vault.retention.chronicle import DISPOSE, SIGNER, Chronicle, Standing
from vault.retention.closing import destroyed_buckets
from vault.retention.execution import ERASED, UNREADABLE, said_of
from vault.retention.order import NoOrderError
from vault.retention.past import Past
from vault.retention.policy import Policy

FORMAT = "sealdock-certificate/v1"
MEANINGS = {
    "decided": (
        "It was decided that this recording goes. Nothing was erased yet: whoever has the vault and its keys can still "
        "open it."
    ),
    ERASED: (
        "Its keys, its content and everything derived from it were erased here. It could still be opened by whoever "
        "has a copy of its key slot and object made before, the identity of a bucket named below, and the root or "
        "the recovery key."
    ),
    UNREADABLE: (
        "Its keys, its content and the identity of every bucket it ever lay in were destroyed here and in the copies "
        "of the vault that were named. No key that is left here or in them opens it. A copy of a bucket's identity, "
        "made before and not named, would be the only way, with the root or the recovery key and the old key slot."
    ),
}


@dataclass(frozen=True)
class Certified:
    """One recording on a certificate; `left` are buckets whose identities are not destroyed."""

    standing: Standing
    state: str
    left: tuple[str, ...]

    def as_json(self) -> Json:
        """As the certificate gives it."""
        leaf, sealed = self.standing.leaf, self.standing.leaf.object
        digests = vars(sealed) if sealed else {}
        return {
            "id": leaf.id, "index": self.standing.index, "sealed_at": leaf.time, "state": self.state,
            "means": MEANINGS[self.state], "buckets_left": list(self.left),
            **{name: digests[name] for name in ("sha256", "size", "stored_sha256") if name in digests},
        }  # fmt: skip


@dataclass(frozen=True)
class Certificate:
    """What `sealdock dispose certificate` prints."""

    vault: str
    index: int
    dispose: Leaf
    proof: bytes
    statement: Statement
    keys: tuple[PersonalKey, ...]
    recordings: tuple[Certified, ...]
    acts: tuple[Leaf, ...]

    def as_json(self) -> Json:
        """The whole, for a program."""
        approvals = [
            {"account": key.account, "key": key.id, "kind": key.kind, "public": b64encode(key.raw).decode()}
            for key in self.keys
        ]
        return {
            "format": FORMAT, "vault": self.vault, "index": self.index, "entry": decode(self.dispose.canonical()),
            "proof": self.proof.decode(), "statement": self.statement.raw().decode(),
            "statement_sha256": self.statement.digest, "approvals": approvals,
            "recordings": [each.as_json() for each in self.recordings],
            "acts": [{"entry": leaf.id, "time": leaf.time, **_act(leaf)} for leaf in self.acts],
        }  # fmt: skip


def certify(past: Past, index: int, policy: Policy) -> Certificate:
    """The certificate of the `dispose` entry at `index`, as things stand on the log now. Raises NoOrderError."""
    leaf = past.leaf(index)
    if leaf.type != DISPOSE:
        raise NoOrderError(index=index, why="it is of another type")
    chronicle = Chronicle(past, policy)
    erased, unreadable = (said_of(past, leaf, state) for state in (ERASED, UNREADABLE))
    destroyed = set(destroyed_buckets(past))
    recordings = tuple(_certified(chronicle, each, destroyed, erased, unreadable) for each in leaf.about)
    statement = Statement.of(leaf, chronicle.vault_id)
    keys = tuple(_key(chronicle, each.account, each.key) for each in approvals_of(leaf))
    acts = tuple(
        sorted({each.id: each for each in (*erased, *unreadable)}.values(), key=lambda each: each.time)
    )
    return Certificate(
        chronicle.vault_id, index, leaf, past.reader.proof(index), statement, keys, recordings, acts
    )


def _certified(
    chronicle: Chronicle, recording_id: str, destroyed: set[str], erased: list[Leaf], unreadable: list[Leaf]
) -> Certified:
    standing = chronicle.standing(recording_id)
    left = tuple(sorted(chronicle.buckets_of(standing) - destroyed))
    if not left and any(recording_id in each.about for each in unreadable):
        return Certified(standing, UNREADABLE, left)
    was_erased = any(recording_id in each.about for each in erased)
    return Certified(standing, ERASED if was_erased else "decided", left)


def _key(chronicle: Chronicle, account: str, key_id: str) -> PersonalKey:
    """The key as it was enrolled, whether it is still in force or not."""
    for leaf in (chronicle.leaf(place) for place in chronicle.about(account, SIGNER)):
        if (key := PersonalKey.of(leaf)).id == key_id:
            return key
    raise NoOrderError(index=-1, why=f"{account} never had such a key")


def _act(leaf: Leaf) -> dict[str, Any]:
    return {
        "state": leaf.facts["state"],
        "buckets": list(leaf.facts.get("buckets", [])),
        "recordings": len(leaf.about),
    }
