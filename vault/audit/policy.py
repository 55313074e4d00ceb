"""Does the policy file send stock verifiers to this log? (obligation 2 of vault/audit/verify.py).

`log/policy` (c2sp.org/tlog-policy) is what somebody hands to another program that checks receipts. It proves nothing by
itself, but a policy that names a second log makes that program believe a forged receipt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from vault.audit.file import read_bounded
from vault.audit.report import Finding, Report, reason
from vault.formats.note import VerifierKey

POLICY_FILE = "log/policy"
OBLIGATION = 2
_LIMIT = 64 * 1024  # bytes; a policy with some hundred witnesses
_BLANKS = re.compile(r"[ \t]+")  # the only white space of a policy line


def check_policy(directory: Path, keys: Sequence[VerifierKey], report: Report) -> None:
    """The policy names the log of `keys` (oldest first) by the newest, perhaps by others of them, and no other log.

    Takes down what is wrong.
    """
    try:
        text = read_bounded(directory / POLICY_FILE, _LIMIT).decode()
    except (OSError, UnicodeDecodeError) as cause:
        why = reason(cause) if isinstance(cause, OSError) else "it is not text"
        report.fail(Finding(OBLIGATION, "verify.vault_file", POLICY_FILE, why))
        return
    if not text.endswith("\n"):
        report.fail(Finding(OBLIGATION, "verify.vault_file", POLICY_FILE, "it ends inside a line"))
        return
    named, own = _logs(text), {key.vkey for key in keys}
    if len(set(named)) != len(named) or not {keys[-1].vkey} <= set(named) <= own:
        report.fail(Finding(OBLIGATION, "verify.key", POLICY_FILE, "it has to name this log and no other"))


def check_compromised(directory: Path, compromised: Mapping[str, int], report: Report) -> None:
    """The policy names no key that an entry of the log calls compromised; `compromised` has the entry by key."""
    try:
        named = _logs(read_bounded(directory / POLICY_FILE, _LIMIT).decode("utf-8", "replace"))
    except OSError:
        return  # named by check_policy
    for vkey in named:
        if vkey in compromised:
            why = f"entry {compromised[vkey]} says so"
            report.fail(Finding(OBLIGATION, "verify.compromised", POLICY_FILE, why, compromised[vkey]))


def _logs(text: str) -> list[str]:
    """The keys of the `log` lines, in order; a line without a key counts as an empty one."""
    lines = [_BLANKS.split(line.strip(" \t")) for line in text.split("\n")]
    return [[*line, ""][1] for line in lines if line[0] == "log"]
