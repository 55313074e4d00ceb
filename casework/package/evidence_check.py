"""Whether what a package says is what the log says (6 to 10 of casework.package.verify).

One object checks one package whose files were listed and hashed before. It believes nothing that a receipt
under the key does not say, and turns every disagreement into a finding that names the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from casework.package.bag_check import DECLARATION as BAGIT
from casework.package.bag_check import INFO, MANIFEST, TAG_MANIFEST, BagCheck
from casework.package.content import (
    CASE,
    DERIVATIVES,
    FORMAT,
    ORIGINALS,
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
from casework.package.proof_check import SMALL, ProofCheck, why
from core.errors import SealdockError
from vault.formats.checkpoint import Checkpoint
from vault.formats.entry import Leaf
from vault.formats.note import VerifierKey, open_note
from vault.formats.proof import Receipt

STATEMENT_LIMIT = 64 * 1024 * 1024  # bytes of case.json or of one custody extract

M = TypeVar("M", bound=BaseModel)


class EvidenceCheck:
    """Obligations 6 to 10; findings go to the bag's list, the counts stay here."""

    def __init__(self, bag: BagCheck, proof: ProofCheck) -> None:
        self._bag, self._proof = bag, proof
        self.recordings = self.custody_lines = 0

    def run(self) -> None:
        """Check as far as what is there allows; an obligation that others rest on ends the check."""
        key, checkpoint = self._proof.key, self._proof.checkpoint
        statement = self._read(CASE, PackageStatement) if checkpoint else None
        if key is None or checkpoint is None or statement is None:
            return
        self._check_log(statement, checkpoint, key)
        for recording in statement.recordings:
            self._check_recording(recording)
        self._check_nothing_else(statement)
        self._check_export(statement)
        self._check_seal(statement)

    def _check_log(self, statement: PackageStatement, checkpoint: Checkpoint, key: VerifierKey) -> None:
        """What case.json says of the log is what the checkpoint says."""
        log = statement.log
        said = {"format": statement.format, "origin": log.origin, "size": log.size, "key": log.key}
        true = {"format": FORMAT, "origin": checkpoint.origin, "size": checkpoint.size, "key": key.vkey}
        for what in _differences(said, true):
            self._bag.find("package.log", CASE, what=what)

    def _check_recording(self, recording: RecordingStatement) -> None:
        self._check_original(recording)
        self._check_derivative(recording)
        self._check_custody(recording)
        self.recordings += 1

    def _check_original(self, recording: RecordingStatement) -> None:
        """6."""
        path, receipt = recording.path, self._proof.receipt(recording.id)
        if not self._is_below(ORIGINALS, path):
            self._bag.find("package.path", path)
        if receipt is None:
            return
        leaf, sealed = receipt.leaf, receipt.leaf.object
        if leaf.type != "ingest" or sealed is None:
            self._bag.find("package.not_ingest", receipt_path(recording.id), found=leaf.type)
            return
        found = self._bag.digests.get(path)
        if found is not None and found != sealed.sha256:
            self._bag.find("package.original", path, found=found, expected=sealed.sha256)
        said = {
            "sha256": recording.sha256, "size": recording.size, "index": recording.index,
            "sealed_at": recording.sealed_at,
        }  # fmt: skip
        true = {
            "sha256": sealed.sha256, "size": sealed.size, "index": receipt.proof.index,
            "sealed_at": leaf.time,
        }  # fmt: skip
        for what in _differences(said, true):
            self._bag.find("package.described", CASE, id=recording.id, what=what)

    def _check_derivative(self, recording: RecordingStatement) -> None:
        """7."""
        derivative = recording.derivative
        if derivative is None:
            return
        if not self._is_below(DERIVATIVES, derivative.path):
            self._bag.find("package.path", derivative.path)
            return
        here = {"sha256": self._bag.digests.get(derivative.path), "size": self._bag.sizes[derivative.path]}
        receipt = self._proof.receipt(derivative.entry) if derivative.entry else None
        wrong = _differences({"sha256": derivative.sha256, "size": derivative.size}, here)
        if receipt is not None:
            wrong += _derive_differences(receipt.leaf, recording.id, derivative)
        if wrong:
            self._bag.find("package.derivative", derivative.path)

    def _check_custody(self, recording: RecordingStatement) -> None:
        """8."""
        path = custody_path(recording.id, "json")
        extract = self._read(path, CustodyExtract)
        if extract is None:
            return
        if extract.recording != recording.id:
            self._bag.find("package.custody", path, entry=extract.recording, what="recording")
        for line in extract.lines:
            receipt = self._proof.receipt(line.entry)
            for what in _custody_differences(line, receipt, recording.id) if receipt else ():
                self._bag.find("package.custody", path, entry=line.entry, what=what)
        self.custody_lines += len(extract.lines)

    def _check_nothing_else(self, statement: PackageStatement) -> None:
        """6 and 7, the other way round: no file stands among the evidence without a recording."""
        named = {recording.path for recording in statement.recordings}
        named |= {recording.derivative.path for recording in statement.recordings if recording.derivative}
        for path in self._bag.below(ORIGINALS, DERIVATIVES):
            if path not in named:
                self._bag.find("package.unnamed", path)

    def _check_export(self, statement: PackageStatement) -> None:
        """9."""
        export, receipt = statement.export, self._proof.receipt(statement.export.entry)
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
            self._bag.find("package.export", CASE, what=what)

    def _check_seal(self, statement: PackageStatement) -> None:
        """10."""
        export, note = self._proof.receipt(statement.export.entry), self._bag.read(SEAL, SMALL)
        if export is None or note is None:
            return
        digests = self._bag.digests
        lines = "".join(f"{digests.get(name, '')}  {name}\n" for name in (INFO, BAGIT, MANIFEST))
        try:
            text = open_note(note, self._process_keys(export))
        except SealdockError as cause:
            self._bag.find("package.seal", SEAL, why=why(cause))
            return
        if text != seal_text(statement.package, lines.encode()):
            self._bag.find("package.seal", SEAL, why="it names other manifests")
            return
        listed = (self._bag.read(TAG_MANIFEST, SMALL) or b"").decode(errors="replace").splitlines()
        if sorted(listed) != sorted([*lines.splitlines(), f"{digests.get(SEAL, '')}  {SEAL}"]):
            # the files are what was signed, so it is the list of them that is not
            self._bag.find(
                "package.seal", TAG_MANIFEST, why="it is not the list of the files that were signed"
            )

    def _process_keys(self, export: Receipt) -> list[VerifierKey]:
        """The newest key that the log registered, before the export, for the process that submitted it."""
        registered = [
            receipt
            for receipt in self._proof.receipts
            if receipt.leaf.type == "key"
            and receipt.leaf.facts.get("name") == export.leaf.by
            and receipt.proof.index < export.proof.index
        ]
        newest = max(registered, key=lambda receipt: receipt.proof.index, default=None)
        return [VerifierKey.parse(str(newest.leaf.facts.get("vkey")))] if newest else []

    def _is_below(self, folder: str, path: str) -> bool:
        return path.startswith(f"{folder}/") and path in self._bag.sizes

    def _read(self, path: str, shape: type[M]) -> M | None:
        raw = self._bag.read(path, STATEMENT_LIMIT)
        if raw is None:
            return None
        try:
            return shape.model_validate_json(raw)
        except ValidationError as cause:
            first = cause.errors(include_input=False, include_url=False)[0]
            self._bag.find(
                "package.statement", path, why=f"{'.'.join(map(str, first['loc']))}: {first['type']}"
            )
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
