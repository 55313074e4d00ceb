"""Checking a package, by anybody, with nothing but the package and a key that came another way.

What is established, in order; the code is labelled with the numbers.
  1-3. The directory is a whole bag: nothing missing, added or changed (package.bag_check).
  4. data/checkpoint is signed by the log's key.
  5. Every receipt carries an entry that is on the log of exactly that checkpoint.
  6. Every original has the digest of the object that its `ingest` entry seals; none is there without one.
  7. Every derivative is the one that case.json and, where the log has one, its `derive` entry name.
  8. Every custody line says what its entry says: type, time, who, about what, place on the log.
  9. The `export` entry names this package, this case and exactly these recordings.
  10. The process key that submitted the export, registered on the log, signed the manifests: so the pages,
      the names and the reasons are the bureau's, although the log does not hold them in the clear.
What is left to the reader: whether the key is the bureau's. Everything inside a package, key included, can be
made by anybody; without a key from outside the answer is "consistent", never "authentic". No package can show
that its custody extracts are complete: that takes the log (`sealdock vault verify`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from casework.field import CaseworkError
from casework.package.bag_check import Progress, check_bag
from casework.package.content import key_fingerprint
from casework.package.evidence_check import EvidenceCheck
from casework.package.finding import Finding, report_order
from casework.package.proof_check import ProofCheck
from core.errors import Exit
from vault.formats.note import VerifierKey


class NoPackageError(CaseworkError):
    """There is nothing to check where a package was expected."""

    code = "casework.no_package"
    sentence = "{path} is not a folder. Unpack the package first and name the folder that holds bagit.txt."
    exit_code = Exit.WRONG_USE


class Verdict(StrEnum):
    """What a check comes to."""

    AUTHENTIC = "authentic"
    CONSISTENT = "consistent"
    WRONG = "wrong"


SENTENCES = {
    Verdict.AUTHENTIC: (
        "The package is authentic under the key you brought: all {recordings} originals are the files that "
        "were sealed, and nothing in the package was changed since the bureau made it."
    ),
    Verdict.CONSISTENT: (
        "The package is consistent under key {fingerprint}, which nothing here confirms. Get the key from "
        "the bureau by another way than this package, compare the fingerprints, and check again with it."
    ),
    Verdict.WRONG: (
        "The package is not what it must be ({findings} findings). Do not rely on it; ask for it again."
    ),
}
EXIT_CODES = {Verdict.AUTHENTIC: Exit.YES, Verdict.WRONG: Exit.NO, Verdict.CONSISTENT: Exit.CANNOT}


@dataclass
class PackageReport:
    """The outcome: findings, under which key, and how much was checked."""

    findings: list[Finding] = field(default_factory=list)
    key: VerifierKey | None = None
    is_key_from_outside: bool = False
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """Never AUTHENTIC without a key from outside the package."""
        if self.findings:
            return Verdict.WRONG
        return Verdict.AUTHENTIC if self.is_key_from_outside else Verdict.CONSISTENT

    @property
    def exit_code(self) -> Exit:
        """0 authentic, 1 something is wrong, 3 consistent under a key that nothing confirms."""
        return EXIT_CODES[self.verdict]

    @property
    def sentence(self) -> str:
        """The verdict's template; fill it with `parameters`."""
        return SENTENCES[self.verdict]

    @property
    def parameters(self) -> dict[str, object]:
        """What the sentence names."""
        return {
            "fingerprint": key_fingerprint(self.key) if self.key else "",
            "findings": len(self.findings),
            "recordings": self.counts.get("recordings", 0),
        }

    def to_json(self) -> dict[str, Any]:
        """The whole report, for `--json`."""
        return {
            "verdict": self.verdict.value,
            "sentence": self.sentence.format(**self.parameters),
            "key": self.key.vkey if self.key else None,
            "fingerprint": self.parameters["fingerprint"],
            "key_from_outside": self.is_key_from_outside,
            "counts": self.counts,
            "findings": [vars(finding) for finding in self.findings],
        }


def verify_package(
    directory: Path, verifier: VerifierKey | None = None, *, progress: Progress | None = None
) -> PackageReport:
    """Check the package in `directory`; `verifier` is a key that did not come with it.

    Whatever is wrong inside is a finding; raises only NoPackageError.
    """
    if directory.is_symlink() or not directory.is_dir():
        raise NoPackageError(path=directory)
    bag = check_bag(directory, progress)  # 1-3
    if not bag.digests:
        return PackageReport(
            report_order(bag.findings), None, verifier is not None, {"files": len(bag.sizes)}
        )
    proof = ProofCheck(bag, verifier)  # 4-5
    evidence = EvidenceCheck(bag, proof)
    evidence.run()  # 6-10
    return PackageReport(
        findings=report_order(bag.findings),
        key=proof.key,
        is_key_from_outside=verifier is not None,
        counts={
            "files": len(bag.sizes),
            "recordings": evidence.recordings,
            "receipts": len(proof.receipts),
            "custody_lines": evidence.custody_lines,
        },
    )
