"""Text that somebody else chose, as a report or a screen may repeat it."""

from __future__ import annotations

LONGEST = 240  # characters; no name of ours has as many


def shown(text: str) -> str:
    """Nothing that moves a cursor, hides or turns text round, and not too long; the end of a path says most."""
    short = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}...{text[-LONGEST // 2 :]}"
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in short)
