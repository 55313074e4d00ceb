"""Which files that have a receipt already are read again, and what follows from it.

Invariants: a file is passed over only as one of a set of which a random sample was read in full and equalled its
receipts; one that differs, or cannot be read, means that nothing of the set is passed over. The sample is drawn anew
each time from the system's random source, so that nobody who prepares a card knows which files will be looked at.

The rule: of n files max(8, square root of n, rounded up) are read, of 8 or fewer all. Of 60,000 that is 245: replacing
one file in a hundred is seen with a probability above 0.9, replacing one single file with 1 in 245.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from secrets import SystemRandom
from typing import TypeVar

LEAST = 8  # small sets are read whole: there the sample would prove the least and costs the least
_ONE = TypeVar("_ONE")


def sample_size(count: int) -> int:
    """How many of `count` files are read again."""
    root = isqrt(count)
    return min(count, max(LEAST, root + (root * root < count)))


def draw(known: Sequence[_ONE]) -> list[_ONE]:
    """A sample of the size of the rule, each subset as likely as any other."""
    return SystemRandom().sample(known, sample_size(len(known)))
