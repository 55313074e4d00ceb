"""Why a device belongs to one profile, to none, or is refused: each profile's marks, and what rules it out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from devices.match import Layout, knowing, matches, may_concern
from devices.profile import Profile
from devices.profile_table import Match

SHOWN = 100  # characters of a path on a medium; longer ones are cut


def explained(profiles: Sequence[Profile], layout: Layout) -> Iterator[str]:
    """A line for each profile whose marks are there and for all that rules it out; else what each one misses."""
    known = knowing(profiles, layout)
    for one in known:
        yield f"{one.id} finds its marks: {', '.join(_first(p, layout.paths) for p in one.match.requires)}"
        yield from _ruled_out(one, known, layout)
        if one.match.instead_of:
            yield f"  it comes before {', '.join(one.match.instead_of)}, because its instead_of says so"
    if not known:
        for one in profiles:
            yield from _missing(one, layout)


def contradictions(one: Profile, others: Iterable[Profile]) -> Iterator[str]:
    """Where a profile would take another's place and rules the other's marks out as well, so that it never can."""
    for other in others:
        both = [p for p in one.match.excludes if p in other.match.requires]
        if both and other.id in one.match.instead_of:
            yield (
                f"instead_of names {other.id}, and match.excludes rules out its marks, so a card with both is still "
                f"refused; take out: {', '.join(both)}"
            )


def _ruled_out(one: Profile, known: Sequence[Profile], layout: Layout) -> Iterator[str]:
    for number, pattern in enumerate(one.match.excludes):
        if path := _first(pattern, layout.paths):
            owners = [other.id for other in known if pattern in other.match.requires]
            whose = f", a mark of {', '.join(owners)}" if owners else ""
            yield f"  match.excludes[{number}] rules it out: {path}{whose}"
            if owners and not one.match.general:
                yield (
                    f"  to have such devices read under {one.id}: take that line out of its excludes and write "
                    f"instead_of = [{', '.join(repr(owner) for owner in owners)}]"
                )


def _missing(one: Profile, layout: Layout) -> Iterator[str]:
    if not may_concern(one, layout):
        yield f"{one.id} is for devices that show their files otherwise"
        return
    absent = [p for p in one.match.requires if not matches(Match(requires=(p,)), layout)]
    yield f"{one.id} misses: {absent[0] if absent else 'its USB ids or labels'}"


def _first(pattern: str, paths: Iterable[str]) -> str:
    compiled = re.compile(pattern)
    return next((_printable(path) for path in paths if compiled.fullmatch(path)), "")


def _printable(path: str) -> str:
    """A path from a medium can hold anything; a terminal gets only what can be read."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in path)
    return clean if len(clean) <= SHOWN else clean[:SHOWN] + "…"
