"""Whether what a package says is what the log says (4 to 10 of casework.package_verify).

One object checks one package whose files were listed and hashed before. It believes nothing that a receipt
under the key does not say, and turns every disagreement into a finding that names the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from casework.package.bag_check import DECLARATION as BAGIT
from casework.package.bag_check import INFO, MANIFEST, BagCheck, Finding
from casework.package.content import (
    CASE,
    CHECKPOINT,
    DERIVATIVES,
    FORMAT,
    LOG_KEY,
    ORIGINALS,
    RECEIPTS,
    SEAL,
    CustodyExtract,
    CustodyStatement,
    DerivativeStatement,
    PackageStatement,
    RecordingStatement,
    custody_path,
    derived,
    receipt_path,
    seal_text,
)
from core.errors import SealdockError
from vault.checkpoint import Checkpoint, parse_checkpoint
from vault.entry import Leaf
from vault.note import VerifierKey, open_note
from vault.proof import Receipt

SMALL = 1024 * 1024  # bytes: keys, checkpoints and receipts are far below
STATEMENT_LIMIT = 64 * 1024 * 1024  # bytes of case.json or of one custody extract

SENTENCES = {
    "package.key": "{path} holds no key that can be read. It was changed; ask for the package again.",
    "package.other_key": (
        "{path} names another key than the one you brought. "
        "The package is from another log, or your key is; do not rely on it until that is explained."
    ),
    "package.checkpoint": "{path} does not hold under the key ({why}). Nothing in this package is proven.",
    "package.statement": "{path} is not what a package says of itself ({why}). It was changed.",
    "package.receipt": "{path} does not prove its entry ({why}). It was changed or is from another log.",
    "package.receipt_name": "{path} is the receipt of entry {found}. Receipts were exchanged.",
    "package.receipt_checkpoint": (
        "{path} speaks of another checkpoint than data/checkpoint. It was exchanged."
    ),
    "package.receipt_missing": "{path} is missing, so nothing proves the entry that it stands for.",
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

M = TypeVar("M", bound=BaseModel)


class EvidenceCheck:
    """Obligations 4 to 10; after `run`, `findings`, `key` and the counts say what came of it."""

    def __init__(self, bag: BagCheck, outside: VerifierKey | None) -> None:
        self._bag, self._outside = bag, outside
        self._receipts: dict[str, Receipt] = {}
        self.findings: list[Finding] = []
        self.key: VerifierKey | None = None
        self.recordings = self.custody_lines = 0

    @property
    def receipts(self) -> int:
        """Receipts that hold."""
        return len(self._receipts)

    def run(self) -> None:
        """Check as far as what is there allows; an obligation that others rest on ends the check."""
        self.key = self._choose_key()
        if self.key is None or (head := self._read_checkpoint(self.key)) is None:
            return
        checkpoint, note = head
        self._read_receipts(self.key, note)
        statement = self._read(CASE, PackageStatement)
        if statement is None:
            return
        self._check_log(statement, checkpoint, self.key)
        for recording in statement.recordings:
            self._check_recording(recording)
        self._check_nothing_else(statement)
        self._check_export(statement)
        self._check_seal(statement)

    def _find(self, code: str, path: str, **parameters: object) -> None:
        self.findings.append(Finding.make(SENTENCES, code, path, **parameters))

    def _check_log(self, statement: PackageStatement, checkpoint: Checkpoint, key: VerifierKey) -> None:
        """What case.json says of the log is what the checkpoint says."""
        log = statement.log
        said = {"format": statement.format, "origin": log.origin, "size": log.size, "key": log.key}
        true = {"format": FORMAT, "origin": checkpoint.origin, "size": checkpoint.size, "key": key.vkey}
        for what in _differences(said, true):
            self._find("package.log", CASE, what=what)

    def _check_recording(self, recording: RecordingStatement) -> None:
        self._check_original(recording)
        self._check_derivative(recording)
        self._check_custody(recording)
        self.recordings += 1

    def _check_original(self, recording: RecordingStatement) -> None:
        """6."""
        path, receipt = recording.path, self._receipt(recording.id)
        if path not in self._bag.below(ORIGINALS):
            self._find("package.path", path)
        if receipt is None:
            return
        leaf, sealed = receipt.leaf, receipt.leaf.object
        if leaf.type != "ingest" or sealed is None:
            self._find("package.not_ingest", receipt_path(recording.id), found=leaf.type)
            return
        found = self._bag.digests.get(path)
        if found is not None and found != sealed.sha256:
            self._find("package.original", path, found=found, expected=sealed.sha256)
        said = {
            "sha256": recording.sha256, "size": recording.size, "index": recording.index,
            "sealed_at": recording.sealed_at,
        }  # fmt: skip
        true = {
            "sha256": sealed.sha256, "size": sealed.size, "index": receipt.proof.index,
            "sealed_at": leaf.time,
        }  # fmt: skip
        for what in _differences(said, true):
            self._find("package.described", CASE, id=recording.id, what=what)

    def _check_derivative(self, recording: RecordingStatement) -> None:
        """7."""
        derivative = recording.derivative
        if derivative is None:
            return
        if derivative.path not in self._bag.below(DERIVATIVES):
            self._find("package.path", derivative.path)
            return
        here = {"sha256": self._bag.digests.get(derivative.path), "size": self._bag.sizes[derivative.path]}
        receipt = self._receipt(derivative.entry) if derivative.entry else None
        wrong = _differences({"sha256": derivative.sha256, "size": derivative.size}, here)
        if receipt is not None:
            wrong += _derive_differences(receipt.leaf, recording.id, derivative)
        if wrong:
            self._find("package.derivative", derivative.path)

    def _check_custody(self, recording: RecordingStatement) -> None:
        """8."""
        path = custody_path(recording.id, "json")
        extract = self._read(path, CustodyExtract)
        if extract is None:
            return
        if extract.recording != recording.id:
            self._find("package.custody", path, entry=extract.recording, what="recording")
        for line in extract.lines:
            receipt = self._receipt(line.entry)
            for what in _custody_differences(line, receipt, recording.id) if receipt else ():
                self._find("package.custody", path, entry=line.entry, what=what)
        self.custody_lines += len(extract.lines)

    def _check_nothing_else(self, statement: PackageStatement) -> None:
        """6 and 7, the other way round: no file stands among the evidence without a recording."""
        named = {recording.path for recording in statement.recordings}
        named |= {recording.derivative.path for recording in statement.recordings if recording.derivative}
        for path in self._bag.below(ORIGINALS, DERIVATIVES):
            if path not in named:
                self._find("package.unnamed", path)

    def _check_export(self, statement: PackageStatement) -> None:
        """9."""
        export, receipt = statement.export, self._receipt(statement.export.entry)
        if receipt is None:
            return
        leaf = receipt.leaf
        subjects = sorted({statement.case.id, *(recording.id for recording in statement.recordings)})
        said = {
            "type": "export", "package": statement.package, "case": statement.case.id, "index": export.index,
            "recordings": subjects, "time": export.at, "actor": export.actor,
        }  # fmt: skip
        true = {
            "type": leaf.type, "package": leaf.facts.get("package"), "case": leaf.facts.get("case"),
            "index": receipt.proof.index, "recordings": sorted(leaf.about), "time": leaf.time,
            "actor": leaf.actor,
        }  # fmt: skip
        for what in _differences(said, true):
            self._find("package.export", CASE, what=what)

    def _check_seal(self, statement: PackageStatement) -> None:
        """10."""
        export, note = self._receipts.get(statement.export.entry), self._bag.read(SEAL, SMALL)
        if export is None or note is None:
            return
        digests = self._bag.digests
        lines = "".join(f"{digests.get(name, '')}  {name}\n" for name in (INFO, BAGIT, MANIFEST))
        try:
            text = open_note(note, self._process_keys(export))
        except SealdockError as cause:
            self._find("package.seal", SEAL, why=_why(cause))
            return
        if text != seal_text(statement.package, lines.encode()):
            self._find("package.seal", SEAL, why="it names other manifests")

    def _process_keys(self, export: Receipt) -> list[VerifierKey]:
        """The newest key that the log registered, before the export, for the process that submitted it."""
        registered = [
            receipt
            for receipt in self._receipts.values()
            if receipt.leaf.type == "key"
            and receipt.leaf.facts.get("name") == export.leaf.by
            and receipt.proof.index < export.proof.index
        ]
        newest = max(registered, key=lambda receipt: receipt.proof.index, default=None)
        return [VerifierKey.parse(str(newest.leaf.facts.get("vkey")))] if newest else []

    def _receipt(self, entry_id: str) -> Receipt | None:
        """A receipt that holds; that it is missing is a finding, that it is wrong was one before."""
        if receipt_path(entry_id) not in self._bag.sizes:
            self._find("package.receipt_missing", receipt_path(entry_id))
        return self._receipts.get(entry_id)

    def _read(self, path: str, shape: type[M]) -> M | None:
        raw = self._bag.read(path, STATEMENT_LIMIT)
        if raw is None:
            return None
        try:
            return shape.model_validate_json(raw)
        except ValidationError as cause:
            first = cause.errors(include_input=False, include_url=False)[0]
            self._find("package.statement", path, why=f"{'.'.join(map(str, first['loc']))}: {first['type']}")
            return None


def _custody_differences(line: CustodyStatement, receipt: Receipt, recording_id: str) -> list[str]:
    leaf = receipt.leaf
    said = {
        "type": line.type, "time": line.at, "signer": line.by, "actor": line.actor, "index": line.index,
        "facts": line.facts, "subject": True,
    }  # fmt: skip
    true = {
        "type": leaf.type, "time": leaf.time, "signer": leaf.by, "actor": leaf.actor,
        "index": receipt.proof.index, "facts": dict(leaf.facts),
        "subject": recording_id == leaf.id or recording_id in leaf.about,
    }  # fmt: skip
    return _differences(said, true)


def _derive_differences(leaf: Leaf, recording_id: str, derivative: DerivativeStatement) -> list[str]:
    named = [(each.get("sha256"), each.get("size")) for each in derived(leaf.facts)]
    said = {"type": "derive", "parent": recording_id, "named": True}
    true = {
        "type": leaf.type, "parent": leaf.facts.get("parent"),
        "named": (derivative.sha256, derivative.size) in named,
    }  # fmt: skip
    return _differences(said, true)


def _differences(said: Mapping[str, object], true: Mapping[str, object]) -> list[str]:
    """The names under which two statements differ."""
    return [name for name, value in true.items() if said.get(name) != value]


def _why(cause: SealdockError) -> str:
    return str(cause.parameters.get("why", cause.code))
