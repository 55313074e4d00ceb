"""What the log demands of keeping and disposing; vaultd runs these, and the sealer again before it acts (D39).

A disposal, numbered:
  1. Its facts have exactly the shape of a disposal.
  2. Every subject is a recording on this log that was not disposed of.
  3. Its time is not ahead of this machine's clock and not behind the log's by more than a day, so that a clock that
     was set back brings no old schedule back; the schedule it names was in force then, and to vaultd it still is.
  4. Every recording's period was over then: the longest of every class that ever applied.
  5. No hold is on any of them, and since the two were asked (`as_of`) none was placed or ended and no case was linked:
     what was signed before a hold is no decision after it.
  6. Two people who may approve signed this very act with personal keys in force.
A schedule that shortens anything needs 6 as well; a hold ends with the approval of somebody other than its placer.
Nothing here reads a table: whoever owns the console and the database can ask, and is refused on the log.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from core.clock import parse_stamp, utc_now
from vault.formats.approval import ApprovalError, PersonalKey, approvals_of, check_approvals
from vault.formats.entry import Leaf
from vault.formats.statement import Statement
from vault.log.outbox import RefusedError
from vault.log.rules import LogView, Rule, Rules
from vault.log.shape import shaped
from vault.retention.chronicle import BUREAU, DESTROY, DISPOSE, SIGNER, Chronicle, Standing
from vault.retention.policy import Policy
from vault.retention.schedule import Schedule, default_schedule, holds_recordings, in_force
from vault.retention.shape import SHAPES

PEOPLE = 2  # who approve a disposal, or a shorter schedule
DISPOSE_LIMIT = 1000  # recordings of one entry: 29 bytes each, and an entry has 65,535
CLOCK_SLACK = timedelta(days=1)  # between a request that waits in the outbox and the entries that overtake it
Clock = Callable[[], datetime]
_Check = Callable[[Chronicle, Leaf], None]


def register(rules: Rules, policy: Policy, clock: Clock = utc_now) -> None:
    """Register the rules of every type of entry that keeps or disposes."""
    for entry_type, facts in SHAPES.items():
        rules.on(entry_type, shaped(facts))  # 1
    for entry_type, check in _checks(clock).items():
        rules.on(entry_type, _rule(check, policy))


def check_dispose(log: LogView, leaf: Leaf, policy: Policy, clock: Clock = utc_now) -> list[Standing]:
    """Checks 1 to 6 of a `dispose` entry against the entries before it; gives how its recordings stand.

    Raises RefusedError, ApprovalError or PasskeyError.
    """
    shaped(SHAPES[DISPOSE])(log, leaf)  # 1
    return _dispose(Chronicle(log, policy), leaf, clock())


def _rule(check: _Check, policy: Policy) -> Rule:
    return lambda log, leaf: check(Chronicle(log, policy), leaf)


def _checks(clock: Clock) -> dict[str, _Check]:
    return {
        "signer": _signer,
        "schedule": lambda past, leaf: _schedule(past, leaf, clock()),
        "hold": _hold,
        "release": _release,
        "rewrap": _rewrap,
        "dispose": lambda past, leaf: _new_dispose(past, leaf, clock()),
        "destroy": _destroy,
    }


def _new_dispose(past: Chronicle, leaf: Leaf, now: datetime) -> None:
    """As vaultd asks: the schedule must be in force now as well, however long the entry waited."""
    _dispose(past, leaf, now)
    _check_schedule(past, leaf, now)


def _dispose(past: Chronicle, leaf: Leaf, now: datetime) -> list[Standing]:
    standings = _recordings(past, leaf)  # 2
    moment = _check_time(past, leaf, now)  # 3
    schedule = _check_schedule(past, leaf, moment)
    for standing in standings:
        _check_over(standing, schedule, moment)  # 4
        if standing.holds:  # 5
            raise RefusedError(why=f"{standing.leaf.id} is under hold {standing.holds[0].id}")
        _check_unmoved(past, standing, leaf.facts["as_of"])
    _check_approved(past, leaf, PEOPLE)  # 6
    return standings


def _check_time(past: Chronicle, leaf: Leaf, now: datetime) -> datetime:
    moment, vouched = parse_stamp(leaf.time), past.vouched(past.size)
    if moment > now:
        raise RefusedError(why="its time has not come yet")
    if vouched and moment < parse_stamp(vouched) - CLOCK_SLACK:
        raise RefusedError(why="its time lies before that of entries which stand before it")
    return moment


def _check_unmoved(past: Chronicle, standing: Standing, as_of: int) -> None:
    """Raises RefusedError when what was signed is not what is so now."""
    if not standing.index < as_of <= past.size:
        raise RefusedError(why="it was approved for another log, or before the recording came in")
    if moved := past.moved_since(standing.leaf.id, as_of):
        why = f"entry {moved.id} about {standing.leaf.id} came after the request; have a new one approved"
        raise RefusedError(why=why)


def _check_schedule(past: Chronicle, leaf: Leaf, moment: datetime) -> Schedule:
    schedule = past.schedule_at(moment)
    if schedule is None or schedule.entry_id != leaf.facts["schedule"]:
        raise RefusedError(why="the schedule it names is not the one in force")
    return schedule


def _check_over(standing: Standing, schedule: Schedule, now: datetime) -> None:
    free_from = standing.free_from(schedule)
    if free_from is None:
        raise RefusedError(why=f"{standing.leaf.id} is kept for ever under schedule {schedule.version}")
    if free_from > now:
        raise RefusedError(why=f"{standing.leaf.id} is kept until {free_from:%Y-%m-%d}")


def _recordings(past: Chronicle, leaf: Leaf, limit: int = DISPOSE_LIMIT) -> list[Standing]:
    """The subjects of an entry, all recordings that were not disposed of. Raises RefusedError."""
    if not 1 <= len(leaf.about) <= limit:
        raise RefusedError(why=f"it is about {len(leaf.about)} recordings; between 1 and {limit} are taken")
    standings = [past.standing(recording_id) for recording_id in leaf.about]
    for standing in standings:
        if standing.dispose is not None:
            raise RefusedError(why=f"{standing.leaf.id} was disposed of by {standing.dispose}")
    return standings


def _check_approved(past: Chronicle, leaf: Leaf, least: int, without: str | None = None) -> None:
    """The approvals hold, of `least` people or more, none of them `without`."""
    approvals = approvals_of(leaf)
    people = {approval.account for approval in approvals}
    if without in people:
        raise ApprovalError(why="whoever placed the hold does not approve its end")
    keys = {account: past.keys_of(account, leaf.type) for account in people}
    check_approvals(Statement.of(leaf, past.vault_id), approvals, keys, least)


def _signer(past: Chronicle, leaf: Leaf) -> None:
    """A key is enrolled once, for somebody who may approve; what is revoked was enrolled."""
    key = PersonalKey.of(leaf)
    if leaf.by != BUREAU or leaf.about != (key.account,):
        raise RefusedError(why="only the root command line enrols a person, in an entry about that person")
    if leaf.facts["action"] == "revoked":
        if key.id not in _known_keys(past, key.account):
            raise RefusedError(why="no such key was enrolled for this account")
        return
    key.check_form()
    if not past.may_approve(key.account, leaf.type):
        raise RefusedError(
            why="this account may approve nothing; give it a role that may, and never the administrator's"
        )
    if key.id in _known_keys(past, key.account):
        raise RefusedError(why="this key was enrolled before; make a new one")


def _known_keys(past: Chronicle, account: str) -> set[str]:
    """Every key that was ever enrolled for the account."""
    return {PersonalKey.of(past.leaf(place)).id for place in past.about(account, SIGNER)}


def _schedule(past: Chronicle, leaf: Leaf, now: datetime) -> None:
    """Versions follow each other; what keeps anything for a shorter time needs two people."""
    if leaf.about != (past.vault_id,):
        raise RefusedError(why="a schedule is about the vault")
    wanted, known = Schedule.of(leaf.facts), past.schedules()
    version = known[-1].version + 1 if known else 1
    if wanted.version != version:
        raise RefusedError(why=f"the next schedule is version {version}")
    shorter = sorted({name for each in _standing_schedules(known, now) for name in wanted.shortens(each)})
    _check_approved(past, leaf, PEOPLE if shorter else 0)


def _standing_schedules(known: list[Schedule], now: datetime) -> list[Schedule]:
    """What a new schedule is compared with: the one in force, every later one, or what a new station begins with.

    A later one counts before its date too: otherwise a short one, approved for next year, could be brought forward.
    """
    current = in_force(known, now)
    standing = [each for each in known if current is None or each.version >= current.version]
    return standing if current else [default_schedule(now), *standing]


def _hold(past: Chronicle, leaf: Leaf) -> None:
    """A person holds recordings that are still there; reason and owner stand in the private part."""
    _recordings(past, leaf)
    if leaf.actor is None:
        raise RefusedError(why="a hold is placed by a person")


def _release(past: Chronicle, leaf: Leaf) -> None:
    """Only what is held is released, and not by its placer alone."""
    held: str | None = None
    for standing in _recordings(past, leaf):
        hold = next((each for each in standing.holds if each.id == leaf.facts["hold"]), None)
        if hold is None:
            raise RefusedError(why=f"{standing.leaf.id} is not under hold {leaf.facts['hold']}")
        held = hold.actor
    _check_approved(past, leaf, 1, without=held)


def _rewrap(past: Chronicle, leaf: Leaf) -> None:
    """One recording, that was not disposed of, to a bucket it does not lie in; its body's key goes along."""
    standing = _recordings(past, leaf, limit=1)[0]
    sealed = standing.leaf.object
    newest = past.leaf(standing.rewraps[-1]).facts["bucket"] if standing.rewraps else sealed and sealed.bucket
    if newest == leaf.facts["bucket"]:
        raise RefusedError(why="the recording lies in that bucket already")
    if not holds_recordings(leaf.facts["bucket"]):
        raise RefusedError(why="that is no bucket of recordings")
    if (standing.leaf.body is not None) != ("body_header_sha256" in leaf.facts):
        raise RefusedError(why="the key of its private part goes where its own key goes")
    if leaf.body is not None:
        raise RefusedError(why="it has no private part: its slots hold the recording's keys")


def _destroy(past: Chronicle, leaf: Leaf) -> None:
    """The sealer says what it did about a disposal that is on the log, and about nothing else."""
    place = past.find(leaf.facts["dispose"])
    dispose = past.leaf(place) if place is not None else None
    if (
        dispose is None
        or dispose.type != DISPOSE
        or not leaf.about
        or not set(leaf.about) <= set(dispose.about)
    ):
        raise RefusedError(why="it is about recordings that no such disposal names")
    if leaf.facts["state"] == "erased" and not leaf.facts.get("buckets"):
        if set(leaf.about) != set(dispose.about):
            raise RefusedError(why="a disposal is carried out as a whole")
        return
    if not _is_erased(past, dispose):
        raise RefusedError(why="what was not erased yet is not unreadable")
    if leaf.facts["state"] == "unreadable":
        _check_gone(past, leaf)


def _check_gone(past: Chronicle, leaf: Leaf) -> None:
    """The entry names every bucket that its recordings ever lay in. Whether they are gone is for `vault verify`."""
    for standing in map(past.standing, leaf.about):
        if left := past.buckets_of(standing) - set(leaf.facts["buckets"]):
            raise RefusedError(why=f"{standing.leaf.id} also lay in {min(left)}")


def _is_erased(past: Chronicle, dispose: Leaf) -> bool:
    entries = (past.leaf(place) for place in past.about(dispose.about[0], DESTROY))
    return any(each.facts["dispose"] == dispose.id and each.facts["state"] == "erased" for each in entries)
