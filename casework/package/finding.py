"""What can be wrong with a package, in words for the person who checks it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN_LIMIT = 400  # characters of anything from outside that a report repeats

SENTENCES = {
    # the bag (package.bag_check)
    "package.link": (
        "{path} is a link or a device and not a file. It was not opened; a package has neither. "
        "Do not use this package, ask for it again."
    ),
    "package.unsafe_path": (
        "{path} names a place outside the package. It was not opened. "
        "Do not use this package, ask for it again."
    ),
    "package.too_many": (
        "{path} lies deeper, or among more files, than a package ever has. "
        "This is not one of our packages and was not checked further."
    ),
    "package.no_tag": (
        "{path} is missing or far too long, so the package cannot be checked. Ask for it again."
    ),
    "package.version": "{path} does not declare BagIt 1.0 in UTF-8. It was changed, or this is no package.",
    "package.fetch": "{path} asks for files from elsewhere. A package is complete or it proves nothing.",
    "package.line": "{path} was changed: line {line} is not a digest, two spaces and a path.",
    "package.twice": "{path} is named twice in {manifest}, which was changed.",
    "package.missing": "{path} is missing, and {manifest} names it. The package is not complete; ask for it again.",
    "package.extra": (
        "{path} does not belong to the package: {manifest} does not name it. It was added; do not rely on it."
    ),
    "package.changed": "{path} was changed: its digest is {found}, and {manifest} says {expected}.",
    "package.oxum": (
        "{path} says '{expected}' (bytes and files), and there are {found}. "
        "Files were added, removed or changed in length."
    ),
    "package.oversize": (
        "{path} is larger than the whole package says it is. It was not read; do not rely on it."
    ),
    "package.unreadable": "{path} cannot be read ({why}). Copy the package again and repeat the check.",
    # the proof (package.proof_check)
    "package.key": "{path} holds no key that can be read. It was changed; ask for the package again.",
    "package.other_key": (
        "{path} names another key than the one you brought. "
        "The package is from another log, or your key is; do not rely on it until that is explained."
    ),
    "package.handover": (
        "{path} does not lead from the key you brought to the one that signed ({why}). Nothing in this package "
        "is proven under your key; ask the bureau which key is right."
    ),
    "package.superseded": (
        "{path} was signed by a key after it had given up the log. Whoever made it held an old key: it proves nothing, "
        "and it is evidence of a forgery. Keep it and tell the bureau."
    ),
    "package.checkpoint": "{path} does not hold under the key ({why}). Nothing in this package is proven.",
    "package.receipt": "{path} does not prove its entry ({why}). It was changed or is from another log.",
    "package.receipt_name": "{path} is the receipt of entry {found}. Receipts were exchanged.",
    "package.receipt_checkpoint": (
        "{path} speaks of another checkpoint than data/checkpoint. It was exchanged."
    ),
    "package.receipt_missing": "{path} is missing, so nothing proves the entry that it stands for.",
    # the evidence (package.evidence_check)
    "package.statement": "{path} is not what a package says of itself ({why}). It was changed.",
    "package.log": "{path} describes another log than the checkpoint does: {what}. It was changed.",
    "package.path": "{path} is not a place for an original or a derivative. data/case.json was changed.",
    "package.unnamed": "{path} is not named in data/case.json. Somebody added it; do not rely on it.",
    "package.not_ingest": "{path} is the receipt of a '{found}' entry and not of a sealed recording.",
    "package.original": (
        "{path} is not the file that was sealed: its digest is {found}, and the log says {expected}."
    ),
    "package.described": "{path} describes recording {id} otherwise than the log: {what}. It was changed.",
    "package.derivative": "{path} is not the derivative that was made of this original. It was changed.",
    "package.custody": "{path} says of entry {entry} otherwise than the log: {what}. It was changed.",
    "package.export": "{path} does not agree with the export entry on the log: {what}. It was changed.",
    "package.seal": (
        "{path} does not show that the bureau's key sealed these manifests ({why}). "
        "Originals with a receipt still stand; pages, names and reasons may not be the bureau's."
    ),
}


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong, with the file it is wrong with, in words that need nothing else."""

    path: str
    code: str
    sentence: str

    @classmethod
    def make(cls, code: str, path: str, **parameters: object) -> Finding:
        """A finding; what came from outside is shown without control characters and cut short."""
        shown = {name: _shown(value) for name, value in parameters.items()}
        return cls(_shown(path), code, SENTENCES[code].format(path=_shown(path), **shown))


def report_order(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, by file, so that the same package always gives the same report."""
    return sorted(set(findings))


def _shown(value: object) -> str:
    whole = str(value)[:SHOWN_LIMIT]
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in whole)
