"""Checking a package, by anybody, with nothing but the package and a key that came another way.

What is established, in order; the code is labelled with the numbers.
  1-3. The directory is a whole bag: nothing missing, added or changed against its own manifests (package.bag_check).
  4. data/checkpoint is signed by the log's key.
  5. Every receipt carries an entry that is on the log of exactly that checkpoint.
  6. Every original has the digest and size of the object that its `ingest` entry seals; none is there without one.
  7. Every derivative that has a `derive` entry has the digest which that entry states.
  8. Every custody line says what its entry says: type, time, who, which recording, place on the log.
  9. The `export` entry names this package, this case and exactly these recordings.
What is left to the reader: whether the key is the bureau's. Manifests and the key inside a package can be made by
anybody who makes a package; without a key from outside the answer is "consistent", never "authentic". Names, the
pages and the reasons in custody lines are the bureau's statements: the log does not contain them in the clear.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from casework.field import CaseworkError
from casework.package.bag_check import BagCheck, Finding, Progress, check_bag, sorted_findings
from casework.package.content import (
    CASE,
    CHECKPOINT,
    DERIVATIVES,
    FORMAT,
    LOG_KEY,
    ORIGINALS,
    RECEIPTS,
    CustodyExtract,
    CustodyStatement,
    PackageStatement,
    RecordingStatement,
    custody_path,
    receipt_path,
)
from core.errors import Exit, SealdockError
from vault.checkpoint import Checkpoint, parse_checkpoint
from vault.note import VerifierKey
from vault.proof import Receipt

SMALL = 1024 * 1024  # bytes: keys, checkpoints and receipts are far below
STATEMENT_LIMIT = 64 * 1024 * 1024  # bytes of case.json or one custody extract

SENTENCES = {
    "package.key": "{path} holds no key that can be read. The package was changed; ask for it again.",
    "package.other_key": (
        "{path} names another key than the one you brought. The package is not from that bureau, or was replaced."
    ),
    "package.checkpoint": "{path} is not a checkpoint that this key signed ({why}). Nothing here is proven.",
    "package.statement": "{path} cannot be read as what a package says of itself ({why}). It was changed.",
    "package.receipt": "{path} does not prove its entry ({why}). The receipt was changed or is from another log.",
    "package.receipt_name": "{path} holds the receipt of entry {found}. Receipts were exchanged.",
    "package.receipt_missing": "{path} is missing, so nothing proves the entry it stands for.",
    "package.receipt_checkpoint": "{path} speaks of another checkpoint than data/checkpoint. It was exchanged.",
    "package.original": "{path} is not the file that was sealed: its digest is {found}, and the log says {expected}.",
    "package.not_ingest": "{path} is the receipt of a '{found}' entry and not of a sealed recording.",
    "package.unnamed": "{path} is not named in data/case.json. Somebody added it; do not rely on it.",
    "package.path": "{path} is not where an original or a derivative may lie. data/case.json was changed.",
    "package.derivative": "{path} is not the derivative that the log knows for this original. It was changed.",
    "package.custody": "{path} says of entry {entry} something else than the log: {what}. The extract was changed.",
    "package.export": "{path} does not agree with the export entry on the log: {what}. It was changed.",
    "package.log": "{path} describes another log than the checkpoint does: {what}. It was changed.",
}  # fmt: skip

M = TypeVar("M", bound=BaseModel)


class NoPackageError(CaseworkError):
    """There is nothing to check where a package was expected."""

    code = "casework.no_package"
    sentence = "{path} is not a folder. Unpack the package first and give the folder that holds bagit.txt."
    exit_code = Exit.WRONG_USE


class Verdict(StrEnum):
    """What the check comes to."""

    AUTHENTIC = "authentic"
    CONSISTENT = "consistent"
    WRONG = "wrong"


VERDICTS = {
    Verdict.AUTHENTIC: (
        "The package is authentic: every original is the file that was sealed under the key you brought."
    ),
    Verdict.CONSISTENT: (
        "The package is consistent under key {fingerprint}, which nothing here confirms. Get the key from the "
        "bureau by another way than this package, and check again with it."
    ),
    Verdict.WRONG: "The package is not what it should be: {count} findings. Do not rely on it; ask for it again.",
}


@dataclass
class PackageReport:
    """The outcome: findings, what was checked, and under which key."""

    findings: list[Finding] = field(default_factory=list)
    key: VerifierKey | None = None
    is_outside_key: bool = False
    files: int = 0
    recordings: int = 0
    receipts: int = 0
    custody_lines: int = 0

    @property
    def verdict(self) -> Verdict:
        """Never AUTHENTIC without a key from outside the package."""
        if self.findings:
            return Verdict.WRONG
        return Verdict.AUTHENTIC if self.is_outside_key else Verdict.CONSISTENT

    @property
    def exit_code(self) -> Exit:
        """0 authentic, 1 something is wrong, 3 consistent under a key that nothing confirms."""
        return {Verdict.AUTHENTIC: Exit.YES, Verdict.CONSISTENT: Exit.CANNOT, Verdict.WRONG: Exit.NO}[self.verdict]

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        shown = fingerprint(self.key) if self.key else ""
        return VERDICTS[self.verdict].format(fingerprint=shown, count=len(self.findings))


def fingerprint(key: VerifierKey) -> str:
    """The key's fingerprint as a person compares it."""
    return key.fingerprint


def verify_package(
    directory: Path, verifier: VerifierKey | None = None, *, progress: Progress | None = None
) -> PackageReport:
    """Check the package in `directory`; `verifier` is a key that did not come with it.

    Whatever is wrong with the content is a finding; raises only NoPackageError.
    """
    if not directory.is_dir() or directory.is_symlink():
        raise NoPackageError(path=directory)
    bag = check_bag(directory, progress)  # 1-3
    report = PackageReport(is_outside_key=verifier is not None, files=len(bag.sizes))
    check = _Check(bag, report, verifier)
    if bag.digests:
        check.run()
    report.findings = sorted_findings([*bag.findings, *check.findings])
    return report


class _Check:
    """Obligations 4 to 9 over a bag that was listed and hashed; one object for one package."""

    def __init__(self, bag: BagCheck, report: PackageReport, verifier: VerifierKey | None) -> None:
        self.bag, self.report, self.verifier = bag, report, verifier
        self.findings: list[Finding] = []
        self.receipts: dict[str, Receipt] = {}

    def run(self) -> None:
        """All obligations that what is there allows to check."""
        key = self._key()
        note = self.bag.read(CHECKPOINT, SMALL) if key else None
        if key is None or note is None:
            return
        self.report.key = key
        checkpoint = self._checkpoint(note, key)
        statement = self._statement(CASE, PackageStatement)
        if checkpoint is None or statement is None:
            return
        self._read_receipts(key, note)
        self._log(statement, checkpoint, key)
        self._recordings(statement)
        self._export(statement)

    def find(self, code: str, path: str, **parameters: object) -> None:
        """Note a finding in words that need nothing but the package."""
        self.findings.append(Finding(code, path, SENTENCES[code].format(path=path, **parameters)))

    def _key(self) -> VerifierKey | None:
        """The key to check with: the reader's, or the one that lies in the package."""
        raw = self.bag.read(LOG_KEY, SMALL)
        lines = (raw or b"").decode(errors="replace").splitlines()
        try:
            inside = VerifierKey.parse(lines[0].strip()) if lines else None
        except SealdockError:
            inside = None
        if inside is None and raw is not None:
            self.find("package.key", LOG_KEY)
        elif self.verifier is not None and inside not in {None, self.verifier}:
            self.find("package.other_key", LOG_KEY)
        return self.verifier or inside

    def _checkpoint(self, note: bytes, key: VerifierKey) -> Checkpoint | None:
        """4."""
        try:
            return parse_checkpoint(note, key)
        except SealdockError as cause:
            self.find("package.checkpoint", CHECKPOINT, why=cause.code)
            return None

    def _statement(self, path: str, shape: type[M]) -> M | None:
        raw = self.bag.read(path, STATEMENT_LIMIT)
        if raw is None:
            return None
        try:
            return shape.model_validate_json(raw)
        except ValidationError as cause:
            first = cause.errors(include_input=False, include_url=False)[0]
            place = ".".join(map(str, first["loc"]))[:100]
            self.find("package.statement", path, why=f"{place}: {first['type']}")
            return None

    def _read_receipts(self, key: VerifierKey, note: bytes) -> None:
        """5."""
        for path in [each for each in self.bag.sizes if each.startswith(f"{RECEIPTS}/")]:
            raw = self.bag.read(path, SMALL)
            if raw is None:
                continue
            try:
                receipt = Receipt.parse(raw)
                leaf = receipt.verify(key)
            except SealdockError as cause:
                self.find("package.receipt", path, why=cause.code)
                continue
            if path != receipt_path(leaf.id):
                self.find("package.receipt_name", path, found=leaf.id)
            elif receipt.proof.checkpoint_note != note:
                self.find("package.receipt_checkpoint", path)
            else:
                self.receipts[leaf.id] = receipt
        self.report.receipts = len(self.receipts)

    def _log(self, statement: PackageStatement, checkpoint: Checkpoint, key: VerifierKey) -> None:
        """What case.json says of the log is what the checkpoint says."""
        log = statement.log
        for what, same in (
            ("format", statement.format == FORMAT),
            ("origin", log.origin == checkpoint.origin),
            ("size", log.size == checkpoint.size),
            ("key", log.key == key.vkey),
        ):
            if not same:
                self.find("package.log", CASE, what=what)

    def _recordings(self, statement: PackageStatement) -> None:
        named = set[str]()
        for recording in statement.recordings:
            named |= {recording.path} | ({recording.derivative.path} if recording.derivative else set())
            self._original(recording)
            self._derivative(recording)
            self._custody(recording)
        self.report.recordings = len(statement.recordings)
        for path in self.bag.sizes:
            if path.startswith((f"{ORIGINALS}/", f"{DERIVATIVES}/")) and path not in named:
                self.find("package.unnamed", path)

    def _original(self, recording: RecordingStatement) -> None:
        """6."""
        if not recording.path.startswith(f"{ORIGINALS}/") or recording.path not in self.bag.sizes:
            self.find("package.path", recording.path)
            return
        receipt = self._receipt(recording.id)
        if receipt is None:
            return
        sealed = receipt.leaf.object
        if receipt.leaf.type != "ingest" or sealed is None:
            self.find("package.not_ingest", recording.receipt_path, found=receipt.leaf.type)
            return
        found = self.bag.digests.get(recording.path, "")
        if (found, self.bag.sizes[recording.path]) != (sealed.sha256, sealed.size):
            self.find("package.original", recording.path, found=found, expected=sealed.sha256)
        said = (recording.sha256, recording.size, recording.index, recording.sealed_at)
        if said != (sealed.sha256, sealed.size, receipt.proof.index, receipt.leaf.time):
            self.find("package.custody", CASE, entry=recording.id, what="digest, size, place or time")

    def _derivative(self, recording: RecordingStatement) -> None:
        """7."""
        derivative = recording.derivative
        if derivative is None:
            return
        if not derivative.path.startswith(f"{DERIVATIVES}/"):
            self.find("package.path", derivative.path)
            return
        here = (self.bag.digests.get(derivative.path), self.bag.sizes.get(derivative.path))
        if here != (derivative.sha256, derivative.size):
            self.find("package.derivative", derivative.path)
        receipt = self._receipt(derivative.entry) if derivative.entry else None
        if receipt is None:
            return
        facts = receipt.leaf.facts
        said = (receipt.leaf.type, facts.get("parent"), facts.get("sha256"), facts.get("size"))
        if said != ("derive", recording.id, derivative.sha256, derivative.size):
            self.find("package.derivative", derivative.path)

    def _custody(self, recording: RecordingStatement) -> None:
        """8."""
        path = custody_path(recording.id, "json")
        extract = self._statement(path, CustodyExtract)
        if extract is None:
            return
        if extract.recording != recording.id:
            self.find("package.custody", path, entry=extract.recording, what="it is another recording's")
        for line in extract.lines:
            receipt = self._receipt(line.entry)
            what = _difference(line, receipt, recording.id) if receipt else None
            if what:
                self.find("package.custody", path, entry=line.entry, what=what)
        self.report.custody_lines += len(extract.lines)

    def _export(self, statement: PackageStatement) -> None:
        """9."""
        receipt = self._receipt(statement.export.entry)
        if receipt is None:
            return
        leaf, facts = receipt.leaf, receipt.leaf.facts
        recordings = {recording.id for recording in statement.recordings}
        for what, same in (
            ("type", leaf.type == "export"),
            ("package", facts.get("package") == statement.package),
            ("case", facts.get("case") == statement.case.id),
            ("recordings", set(leaf.about) == recordings | {statement.case.id}),
            ("index", statement.export.index == receipt.proof.index),
            ("time", statement.export.at == leaf.time),
            ("actor", statement.export.actor == leaf.actor),
        ):
            if not same:
                self.find("package.export", CASE, what=what)

    def _receipt(self, entry_id: str) -> Receipt | None:
        """A receipt that holds; its absence is a finding unless the file itself was found wrong."""
        receipt = self.receipts.get(entry_id)
        if receipt is None and receipt_path(entry_id) not in self.bag.sizes:
            self.find("package.receipt_missing", receipt_path(entry_id))
        return receipt


def _difference(line: CustodyStatement, receipt: Receipt, recording_id: str) -> str | None:
    """The first fact in which a custody line and its entry differ."""
    leaf = receipt.leaf
    for what, same in (
        ("type", line.type == leaf.type),
        ("time", line.at == leaf.time),
        ("signer", line.by == leaf.by),
        ("actor", line.actor == leaf.actor),
        ("index", line.index == receipt.proof.index),
        ("facts", line.facts == dict(leaf.facts)),
        ("subject", recording_id == leaf.id or recording_id in leaf.about),
    ):
        if not same:
            return what
    return None
