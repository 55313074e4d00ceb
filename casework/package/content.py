"""What a package says of itself: the shape of case.json and of a custody extract, written and read strictly.

The writer and the verifier share these shapes. Reading is the hostile side: unknown keys, other types and
overlong lists are refused, and nothing that is read here is believed before the log's receipts confirm it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from core.canonical import encode
from vault.formats.note import VerifierKey

FORMAT = "sealdock-package/1"
RECORDING_LIMIT = 1000  # an entry names at most 1024 subjects, and the case is one of them
LINE_LIMIT = 100_000  # custody lines of one recording; a viewing a minute for ten weeks

ORIGINALS = "data/originals"
DERIVATIVES = "data/derivatives"
RECEIPTS = "data/receipts"
CUSTODY = "data/custody"
CHECKPOINT = "data/checkpoint"
LOG_KEY = "data/log-key.txt"
HANDOVERS = "data/handover"  # as in the vault: how the log came to be signed by another key
CASE = "data/case.json"
SEAL = "seal.note"

Sha256Text = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
UlidText = Annotated[str, Field(pattern=r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]


class _Statement(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class LogStatement(_Statement):
    """The log that the receipts are from."""

    origin: str
    key: str
    fingerprint: str
    size: Count
    root: str


class ExportStatement(_Statement):
    """The entry that handed these recordings out."""

    entry: UlidText
    index: Count
    at: str
    actor: UlidText | None = None
    actor_name: str | None = None
    recipient: str
    purpose: str


class CaseStatement(_Statement):
    """The case, as it stood when the package was made."""

    id: UlidText
    number: str
    title: str
    kind: str
    stage: str
    party: str
    opened_on: str | None = None


class DerivativeStatement(_Statement):
    """A copy that browsers can play; evidence is the original alone."""

    path: str
    size: Count
    sha256: Sha256Text
    entry: UlidText | None = None  # the `derive` entry with this digest, where the log has one


class RecordingStatement(_Statement):
    """One original and where its proof lies."""

    id: UlidText
    index: Count
    name: str
    media: str
    path: str
    size: Count
    sha256: Sha256Text
    stage: str
    sealed_at: str
    started_at: str | None = None
    officer_number: str | None = None
    officer_name: str | None = None
    recorder_serial: str | None = None
    derivative: DerivativeStatement | None = None

    @property
    def receipt_path(self) -> str:
        """Where the receipt of its `ingest` entry lies."""
        return receipt_path(self.id)


class PackageStatement(_Statement):
    """case.json: everything that is in the package."""

    format: str
    package: UlidText
    made_at: str
    organisation: str
    zone: str
    log: LogStatement
    export: ExportStatement
    case: CaseStatement
    recordings: Annotated[tuple[RecordingStatement, ...], Field(min_length=1, max_length=RECORDING_LIMIT)]

    def canonical(self) -> bytes:
        """The file."""
        return encode(self.model_dump(mode="json", exclude_none=True))


class CustodyStatement(_Statement):
    """One line of a chain of custody: an entry of the log, with the names as they were then."""

    entry: UlidText
    index: Count | None = None
    at: str
    type: str
    by: str
    actor: UlidText | None = None
    actor_name: str | None = None
    reason: str | None = None
    facts: dict[str, Any]


class CustodyExtract(_Statement):
    """data/custody/<id>.json: the chain of custody of one recording."""

    recording: UlidText
    lines: Annotated[tuple[CustodyStatement, ...], Field(max_length=LINE_LIMIT)]

    def canonical(self) -> bytes:
        """The file."""
        return encode(self.model_dump(mode="json", exclude_none=True))


def receipt_path(entry_id: str) -> str:
    """Where the receipt of any entry lies in a package."""
    return f"{RECEIPTS}/{entry_id}.tlog-proof"


def custody_path(recording_id: str, suffix: str) -> str:
    """Where a recording's chain of custody lies; `suffix` is json, csv or html."""
    return f"{CUSTODY}/{recording_id}.{suffix}"


def key_fingerprint(key: VerifierKey) -> str:
    """SHA-256 of the raw public key in groups of four digits, as `sealdock vault init` printed it."""
    return key.fingerprint


def derived(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The derivatives that a `derive` entry names: each with rendition, sha256 and size."""
    several = facts.get("renditions")
    listed = several if isinstance(several, list | tuple) else [facts]
    return [each for each in listed if isinstance(each, Mapping)]


def seal_text(package_id: str, tag_manifest: bytes) -> str:
    """What the bureau's key signs: format, package, and the digests of the files that fix all others."""
    return f"{FORMAT}\n{package_id}\n{tag_manifest.decode()}"
