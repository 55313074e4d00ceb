"""Did people sign the acts that need people? (obligation 11 of vault/audit/verify.py, as far as signatures go).

Keys of persons stand on the log in `signer` entries, which only the key `bureau` may put there
(docs/formats/disposal.md); they are learned in the order of the log, and every signature is checked here over the
statement that its entry makes. Whether the signers' roles, the periods and the holds allowed the act is judged above
this package.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.errors import SealdockError
from vault.audit.file import read_bounded
from vault.audit.report import Report, reason
from vault.formats.approval import (
    ED25519,
    ENROLLED,
    REVOKED,
    WEBAUTHN,
    Approval,
    ApprovalError,
    PersonalKey,
    approvals_of,
    check_approvals,
)
from vault.formats.entry import ENTRY_LIMIT, Leaf, unpack_bundle
from vault.formats.merkle import (
    TILE_WIDTH,
    DirectoryTiles,
    bundle_path,
    inclusion_proof,
    leaf_hash,
    verify_inclusion,
    width_at,
)
from vault.formats.statement import Statement

LEAST = {"dispose": 2, "release": 1, "schedule": 0}
"""People who sign an entry of the type, at least; that a schedule is shorter and needs two is judged above."""

_BUREAU, _VAULTD = "bureau", "vaultd"
_CLOCKS = frozenset({"dockd", _VAULTD})  # whose times are the station's
_BUNDLE_LIMIT = TILE_WIDTH * (2 + ENTRY_LIMIT)
_Enrolments = list[tuple[int, str]]  # index and time of the entries that a key is in force by


class Signatures:
    """The personal keys in force after the entries taken so far. Memory grows with people."""

    def __init__(self, directory: Path, report: Report) -> None:
        self._directory, self._report = directory, report
        self._vault = ""
        self._keys: dict[str, dict[str, PersonalKey]] = {}
        self._enrolled: dict[tuple[str, str], _Enrolments] = {}

    def take(self, index: int, leaf: Leaf) -> None:
        """Learn from an entry, in the order of the log; one that no program can read makes nothing valid."""
        if leaf.type == "genesis" and not index:
            self._vault = str(leaf.facts.get("vault"))
        elif leaf.type == "signer" and leaf.by == _BUREAU:
            self._take_signer(index, leaf)
        elif leaf.type == "compromise" and leaf.by == _VAULTD and leaf.facts.get("name") == _BUREAU:
            self._doubt(leaf.facts.get("since"))

    def judge(self, leaf: Leaf) -> str:
        """Why the entry is not signed as it has to be, after the entries taken so far; empty when it is."""
        least = LEAST.get(leaf.type)
        if least is None:
            return ""
        try:
            approvals = approvals_of(leaf)
            if not all(map(_is_readable, approvals)):
                raise ApprovalError(why="an approval is malformed")
            check_approvals(Statement.of(leaf, self._vault), approvals, self._keys, least)
        except SealdockError as cause:
            return reason(cause)
        return ""

    def _take_signer(self, index: int, leaf: Leaf) -> None:
        key = _key(leaf)
        if key is None or leaf.about != (key.account,):
            return
        if leaf.facts.get("action") == ENROLLED:
            self._keys.setdefault(key.account, {})[key.id] = key
            self._enrolled.setdefault((key.account, key.id), []).append((index, leaf.time))
        elif leaf.facts.get("action") == REVOKED:
            self._drop(key.account, key.id)

    def _drop(self, account: str, key_id: str) -> None:
        self._keys.get(account, {}).pop(key_id, None)
        self._enrolled.pop((account, key_id), None)

    def _doubt(self, since: object) -> None:
        """Whoever had the bureau's key since then enrolled nobody; a thief writes any time, but not in any place."""
        for (account, key_id), enrolments in list(self._enrolled.items()):
            left = [
                (index, time)
                for index, time in enrolments
                if isinstance(since, str) and max(time, self._vouched(index)) < since
            ]
            self._enrolled[account, key_id] = left
            if not left:
                self._drop(account, key_id)

    def _vouched(self, index: int) -> str:
        """The latest time that the station's clocks gave 1, 2, 4, 8, ... entries before `index`, and in entry 0."""
        looked = {0, *(index - (1 << step) for step in range(index.bit_length()))}
        before = self._leaves(sorted(place for place in looked if place < index))
        return max((each.time for each in before if each.by in _CLOCKS), default="")

    def _leaves(self, places: list[int]) -> Iterator[Leaf]:
        """Those of the entries that are proven to be on the log; what is unreadable is named elsewhere."""
        head = self._report.checkpoint
        if head is None:
            return
        tiles = DirectoryTiles(self._directory / "log", head.size)
        for place in places:
            number, within = divmod(place, TILE_WIDTH)
            path = self._directory / "log" / bundle_path(number, width_at(head.size, 0, number))
            try:
                raw = unpack_bundle(read_bounded(path, _BUNDLE_LIMIT))[within]
                proof = inclusion_proof(tiles, place, head.size)
                verify_inclusion(leaf_hash(raw), place, head.size, proof, head.root)
                yield Leaf.parse(raw)
            except (OSError, IndexError, SealdockError):
                continue


def _key(leaf: Leaf) -> PersonalKey | None:
    """The key that a `signer` entry is about, if a signature can be held against it."""
    try:
        key = PersonalKey.of(leaf)
    except (KeyError, ApprovalError):
        return None
    site = isinstance(key.rp_id, str) if key.kind == WEBAUTHN else key.kind == ED25519
    return key if site and isinstance(key.account, str) else None


def _is_readable(approval: Approval) -> bool:
    return isinstance(approval.account, str) and isinstance(approval.key, str)
