"""Does the policy file send stock verifiers to this log? (obligation 2 of vault/audit/verify.py).

`log/policy` (c2sp.org/tlog-policy) is what somebody hands to another program that checks receipts. It proves nothing by
itself, but a policy that names a second log makes that program believe a forged receipt.
"""

from __future__ import annotations

import re
from pathlib import Path

from vault.audit.file import read_bounded
from vault.audit.report import Finding, Report, reason
from vault.formats.note import VerifierKey

POLICY_FILE = "log/policy"
OBLIGATION = 2
_LIMIT = 64 * 1024  # bytes; a policy with some hundred witnesses
_BLANKS = re.compile(r"[ \t]+")  # the only white space of a policy line


def check_policy(directory: Path, key: VerifierKey, report: Report) -> None:
    """The policy names `key`'s log, once, and no other; takes down what is wrong."""
    try:
        text = read_bounded(directory / POLICY_FILE, _LIMIT).decode()
    except (OSError, UnicodeDecodeError) as cause:
        why = reason(cause) if isinstance(cause, OSError) else "it is not text"
        report.fail(Finding(OBLIGATION, "verify.vault_file", POLICY_FILE, why))
        return
    if not text.endswith("\n"):
        report.fail(Finding(OBLIGATION, "verify.vault_file", POLICY_FILE, "it ends inside a line"))
    elif _logs(text) != [key.vkey]:
        report.fail(Finding(OBLIGATION, "verify.key", POLICY_FILE, "it has to name this log and no other"))


def _logs(text: str) -> list[str]:
    """The keys of the `log` lines, in order; a line without a key counts as an empty one."""
    lines = [_BLANKS.split(line.strip(" \t")) for line in text.split("\n")]
    return [[*line, ""][1] for line in lines if line[0] == "log"]
