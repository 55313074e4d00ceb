"""What the log says of a recording's keeping: when it came in, its classes and holds, and whether it was disposed of.

Reads a LogView and nothing else, so that a rule of vaultd, the sealer and a preview give one answer. A chronicle is of
one moment: it remembers what it has read, and is thrown away after the question.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.clock import parse_stamp
from vault.formats.approval import ENROLLED, PersonalKey
from vault.formats.entry import Leaf
from vault.log.bucket_rule import buckets_of
from vault.log.outbox import RefusedError
from vault.log.rules import INGEST, LogView
from vault.retention.policy import Policy
from vault.retention.schedule import Schedule, bucket_class, in_force

SCHEDULE, HOLD, RELEASE, SIGNER = "schedule", "hold", "release", "signer"
BUREAU = "bureau"  # the command line run as root: the only key that enrols people
DISPOSE, REWRAP, DESTROY = "dispose", "rewrap", "destroy"
_KEEPING = (HOLD, RELEASE, REWRAP, DISPOSE)  # types that say something of one recording's keeping
_REASONS = (HOLD, RELEASE, "link")  # types that change why it is kept
VAULTD = "vaultd"  # the only one who speaks of clocks and of stolen keys
CLOCK, COMPROMISE = "clock", "compromise"
_CLOCKS = frozenset({"dockd", VAULTD})  # whose times are the station's; a console's could be anything


@dataclass(frozen=True)
class Hold:
    """A hold in force; `review_on` is the day on which somebody looks at it again."""

    id: str
    actor: str | None
    review_on: str


@dataclass(frozen=True)
class Standing:
    """One recording as the log has it: its period began at `started_at`, and the entry `dispose` ended it."""

    index: int
    leaf: Leaf
    started_at: datetime
    classes: frozenset[str]
    holds: tuple[Hold, ...]
    rewraps: tuple[int, ...]
    dispose: str | None

    def free_from(self, schedule: Schedule) -> datetime | None:
        """When it may be disposed of, holds left aside; None is never."""
        return schedule.free_from(self.started_at, self.classes)

    def is_free(self, schedule: Schedule, moment: datetime) -> bool:
        """Whether nothing keeps it any more: period over, no hold, not disposed of."""
        free_from = self.free_from(schedule)
        return not self.holds and self.dispose is None and free_from is not None and free_from <= moment


class Chronicle:
    """Questions to one log at one moment."""

    def __init__(self, log: LogView, policy: Policy) -> None:
        self._view, self._policy = log, policy
        self._leaves: dict[int, Leaf] = {}
        self._jumps: list[tuple[int, timedelta]] | None = None

    # A chronicle is itself a LogView that reads each entry once, for the classifiers of other packages.
    @property
    def size(self) -> int:
        """As LogView."""
        return self._view.size

    def leaf(self, index: int) -> Leaf:
        """As LogView."""
        if index not in self._leaves:
            self._leaves[index] = self._view.leaf(index)
        return self._leaves[index]

    def find(self, entry_id: str) -> int | None:
        """As LogView."""
        return self._view.find(entry_id)

    def about(self, subject_id: str, *types: str) -> list[int]:
        """As LogView."""
        return self._view.about(subject_id, *types)

    @property
    def vault_id(self) -> str:
        """The id that genesis gave the vault. Raises RefusedError on a log that does not begin with it."""
        first = self.leaf(0) if self.size else None
        if first is None or first.type != "genesis":
            raise RefusedError(why="the log does not begin with its genesis entry")
        return str(first.facts["vault"])

    def schedules(self) -> list[Schedule]:
        """Every version on the log, in order."""
        return [Schedule.of(leaf.facts, leaf.id) for leaf in self._entries(self.vault_id, SCHEDULE)]

    def schedule_at(self, moment: datetime) -> Schedule | None:
        """The schedule in force."""
        return in_force(self.schedules(), moment)

    def standing(self, recording_id: str) -> Standing:
        """Raises RefusedError for what is no recording on this log."""
        index = self.find(recording_id)
        if index is None or (leaf := self.leaf(index)).type != INGEST or leaf.object is None:
            raise RefusedError(why=f"{recording_id} is no recording on this log")
        entries = [(place, self.leaf(place)) for place in self.about(recording_id, *_KEEPING)]
        rewraps = [(place, each) for place, each in entries if each.type == REWRAP]
        disposed = [each.id for _, each in entries if each.type == DISPOSE]
        return Standing(
            index, leaf, self._started_at(index, leaf),
            frozenset(self._classes(recording_id, leaf, [each for _, each in rewraps])),
            _holds([each for _, each in entries]), tuple(place for place, _ in rewraps),
            disposed[0] if disposed else None,
        )  # fmt: skip

    def buckets_of(self, standing: Standing) -> set[str]:
        """Every bucket that a header of the recording was ever sealed to."""
        entries = [standing.leaf, *(self.leaf(place) for place in standing.rewraps)]
        return {name for leaf in entries for name in buckets_of(leaf)}

    def moved_since(self, recording_id: str, size: int) -> Leaf | None:
        """The first entry from `size` on that changed why the recording is kept."""
        places = self.about(recording_id, *_REASONS)
        return next((self.leaf(place) for place in places if place >= size), None)

    def vouched(self, index: int) -> str:
        """The latest time that the station's clocks gave before entry `index`, as far as is looked.

        Looks 1, 2, 4, 8, ... entries back: whatever the length of the stretch under a wrong clock, one of them lies
        before it and is not much further away.
        """
        looked = [0, *(index - (1 << step) for step in range(index.bit_length()))]
        before = [self.leaf(place) for place in looked if 0 <= place < index]
        return max((each.time for each in before if each.by in _CLOCKS), default="")

    def may_approve(self, account: str, entry_type: str) -> bool:
        """Whether the account's signature under such an entry would count."""
        return self._policy.may_approve(self, account, entry_type)

    def keys_of(self, account: str, entry_type: str) -> dict[str, PersonalKey]:
        """The account's keys in force, by id; none when it may not approve entries of this type.

        What was enrolled while the bureau's key was in other hands (a `compromise` entry says since when) never counts.
        """
        if not self.may_approve(account, entry_type):
            return {}
        keys: dict[str, PersonalKey] = {}
        for place in self.about(account, SIGNER):
            if (leaf := self.leaf(place)).by != BUREAU:
                continue
            key = PersonalKey.of(leaf)
            if leaf.facts["action"] == ENROLLED:
                if not self._is_doubted(place, leaf):
                    keys[key.id] = key
            else:
                keys.pop(key.id, None)
        return keys

    def _is_doubted(self, place: int, leaf: Leaf) -> bool:
        """Whether the bureau's key was in other hands by then; a thief writes any time, but not in any place."""
        said = max(leaf.time, self.vouched(place))
        doubts = [self.leaf(at) for at in self.about(self.vault_id, COMPROMISE) if at > place]
        return any(
            each.by == VAULTD and each.facts["name"] == BUREAU and said >= each.facts["since"]
            for each in doubts
        )

    def _entries(self, subject_id: str, entry_type: str) -> list[Leaf]:
        return [self.leaf(place) for place in self.about(subject_id, entry_type)]

    def _classes(self, recording_id: str, leaf: Leaf, rewraps: list[Leaf]) -> set[str]:
        """Every class that ever applied: of each bucket it ever lay in, and by the reasons of other packages."""
        buckets = [leaf.object.bucket] if leaf.object else []
        buckets += [each.facts["bucket"] for each in rewraps]
        named = {name for bucket in buckets if (name := bucket_class(bucket)) is not None}
        return named | self._policy.classes(self, recording_id)

    def _started_at(self, index: int, leaf: Leaf) -> datetime:
        """The entry's time, unless a clock had fallen back: then the latest that entries before it vouch for.

        It is later by what the clocks were set forward since, so that a clock which shows next year ends no period.
        """
        skipped = max(self._ahead(self.size) - self._ahead(index), timedelta())
        return parse_stamp(max(leaf.time, self.vouched(index))) + skipped

    def _ahead(self, index: int) -> timedelta:
        """How far ahead the clocks were before entry `index`, by what vaultd said of their being set; never behind."""
        if self._jumps is None:
            entries = [(place, self.leaf(place)) for place in self.about(self.vault_id, CLOCK)]
            self._jumps = [(place, _jump(leaf)) for place, leaf in entries if leaf.by == VAULTD]
        return max(sum((moved for place, moved in self._jumps if place < index), timedelta()), timedelta())


def _jump(leaf: Leaf) -> timedelta:
    """How far a clock was set forward; less than nothing for one that was set back."""
    return parse_stamp(leaf.facts["after"]) - parse_stamp(leaf.facts["before"])


def _holds(entries: list[Leaf]) -> tuple[Hold, ...]:
    released = {leaf.facts["hold"] for leaf in entries if leaf.type == RELEASE}
    return tuple(
        Hold(leaf.id, leaf.actor, leaf.facts["review_on"])
        for leaf in entries
        if leaf.type == HOLD and leaf.id not in released
    )
