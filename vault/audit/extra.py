"""What lies in the directory: how much there is to read, and what belongs to nothing (docs/formats/vault-layout.md).

A file that no format knows is no evidence and no harm, but somebody put it there. Which objects no entry names is
decided with the rest of the log (vault.audit.relation): this walk only hands their names on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vault.audit import relation
from vault.audit.report import Finding, Report

_NUMBER = r"(?:x\d{3}/)*\d{3}"
_OBJECT = re.compile(r"objects/([0-9a-z]{2})/([0-7][0-9A-HJKMNP-TV-Z]{25})\.chunks")
_KNOWN = re.compile(
    r"vault\.json|log/(?:checkpoint|policy|lock)|log/(?:cut|anchors|handover|lookup)/.+|incoming/.+"
    rf"|log/tile/(?:entries|[0-7])/{_NUMBER}(?:\.p/\d{{1,3}})?|(?:packs|keys/slots)/{_NUMBER}"
    r"|keys/(?:root|recovery)\.recipient|keys/rotation/.+|keys/buckets/[A-Za-z0-9][A-Za-z0-9-]{0,63}/(?:recipient|identity\.age)"
    r"|keys/buckets/\.[A-Za-z0-9][A-Za-z0-9-]{0,63}\.closed"
)
_OBLIGATION = 6


@dataclass
class Survey:
    """Bytes in the vault."""

    objects: int = 0
    others: int = 0


def survey(directory: Path, relations: relation.Relations | None, report: Report) -> Survey:
    """Take down what no format knows and hand the objects on to `relations`, unless only some are to be judged."""
    total = Survey()
    for file, size in _files(directory):
        found = _OBJECT.fullmatch(file)
        total.objects += size if found else 0
        total.others += 0 if found else size
        if found and found[2][-2:].lower() == found[1]:
            if relations:
                relations.add(relation.record(found[2], relation.FILE, 0))
        elif not _KNOWN.fullmatch(file):
            code = "notice.extra_object" if file.startswith("objects/") else "notice.unknown_file"
            report.note(Finding(_OBLIGATION, code, file))
    return total


def _files(directory: Path) -> Iterator[tuple[str, int]]:
    """Every name that is no directory, with its size; links are names and are not followed.

    However deep directories lie in each other, they wait in a list and not on the interpreter's stack.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            found = sorted(os.scandir(f"{directory}/{below}"), key=lambda one: one.name)
        except OSError:
            continue  # what should be in it is missed by name
        inner = list[str]()
        for one in found:
            file = f"{below}{one.name}"
            try:
                if one.is_dir(follow_symlinks=False):
                    inner.append(f"{file}/")
                else:
                    yield file, one.stat(follow_symlinks=False).st_size
            except OSError:
                continue  # a vault at work: it was a temporary file, or what needs it will miss it
        waiting += reversed(inner)
