"""Where a verification stopped, so that the next run need not read the same objects again.

The log itself is always judged from its start: that takes seconds. What takes hours are the objects; so the state
says how many of them, in the order of the log, were read and what was found. It holds for the log whose checkpoint it
names and for every log that extends it, and only for a reader with the same keys. It is worth as much as the place it
is kept in: whoever can write the file can claim that objects were read, so the report says when they were.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.canonical import CanonicalError, decode, encode
from core.clock import stamp, utc_now
from core.digest import sha256_hex
from vault.audit.file import read_bounded
from vault.audit.report import SENTENCES, Finding
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint, CheckpointError
from vault.formats.entry import is_stamp

_LIMIT = 1 << 22  # bytes of a state file; a thousand findings
_EVERY_S = 5.0  # a state is written this often: what a power cut costs


class ResumeError(VaultError):
    """A state file that cannot be gone on from."""

    code = "vault.resume"
    sentence = (
        "{path} is no state of an earlier verification of this vault ({why}). Nothing was verified; remove the file to "
        "begin anew."
    )


@dataclass
class ResumeState:
    """How far the objects of one log were read; `next` is the first entry whose object is still to be read."""

    path: Path
    checkpoint: Checkpoint
    readers: str  # digest over the recipients of the reader's identities
    next: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    stopped_at: str | None = None
    resumed_bytes: int = 0  # of objects that the earlier run read
    _written: float = field(default_factory=time.monotonic)

    def take(self, index: int, counts: dict[str, int], findings: tuple[Finding, ...]) -> None:
        """The object of entry `index` was read, and all before it. Raises OSError when the state cannot be kept."""
        self.next = index + 1
        for name, count in counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.findings += findings
        if time.monotonic() - self._written >= _EVERY_S:
            self.write()

    def write(self) -> None:
        """Keep the state, whole or not at all. Raises OSError."""
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode(self._facts()))
        temporary.replace(self.path)
        self._written = time.monotonic()

    def remove(self) -> None:
        """The verification is done; the next one reads everything again."""
        self.path.unlink(missing_ok=True)

    def _facts(self) -> dict[str, Any]:
        return {
            "v": 1, "checkpoint": self.checkpoint.text(), "readers": self.readers, "next": self.next,
            "counts": self.counts, "at": stamp(utc_now()),
            "findings": [{k: v for k, v in vars(one).items() if v is not None} for one in self.findings],
        }  # fmt: skip


def load_state(path: Path, checkpoint: Checkpoint, recipients: list[str]) -> ResumeState:
    """The state in `path`, or a new one when there is none; the caller proves that the log extends its checkpoint.

    Raises ResumeError for a file that is none, or one of a reader with other keys.
    """
    readers = sha256_hex("\n".join(sorted(recipients)).encode())
    fresh = ResumeState(path, checkpoint, readers)
    try:
        facts = decode(read_bounded(path, _LIMIT))
        if facts["v"] != 1 or facts["readers"] != readers:
            raise ResumeError(path=path, why="it was begun with other keys")
        kept = Checkpoint.parse(facts["checkpoint"])
        findings = [Finding(**one) for one in facts["findings"]]
        state = ResumeState(path, kept, readers, facts["next"], facts["counts"], findings, facts["at"])
        state.resumed_bytes = state.counts.get("object_bytes", 0)
        if why := _fault(state):
            raise ResumeError(path=path, why=why)
    except FileNotFoundError:
        return fresh
    except CheckpointError as cause:
        raise ResumeError(path=path, why=str(cause.parameters["why"])) from cause
    except (OSError, CanonicalError, KeyError, TypeError, AttributeError) as cause:
        raise ResumeError(path=path, why=str(cause)) from cause
    return state


def _fault(state: ResumeState) -> str:
    """Why these are not facts that `write` wrote; empty when they may be."""
    numbers = [state.next, *state.counts.values()]
    if not all(type(one) is int and one >= 0 for one in numbers) or state.next > state.checkpoint.size:
        return "its numbers cannot be those of this log"
    if not is_stamp(state.stopped_at) or not all(map(_is_finding, state.findings)):
        return "it says something that no verification says"
    return ""


def _is_finding(one: Finding) -> bool:
    texts, numbers = (one.code, one.file, one.why), (one.entry, one.first, one.last)
    plain = all(isinstance(text, str) and text.isprintable() for text in texts)
    return (
        plain and one.code in SENTENCES and all(number is None or type(number) is int for number in numbers)
    )
