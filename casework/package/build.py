"""Building a package from a disclosure that is on the log.

Invariants: the `export` entry is sequenced before anything is opened, and it is the grant that keyd is shown;
what a member must be (digest, size) comes from the log's entries, never from the database; all receipts speak
of one checkpoint, which is the one in the package. Originals are read from the vault while the package is
written, one at a time, so a package of any size needs the memory of a few buffers.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from sqlalchemy.orm import Session
from zipstream import ZipStream

from casework.cases.case import get_case
from casework.evidence.custody import CustodyLine, as_csv, as_extract, chain
from casework.evidence.exhibit import Exhibit
from casework.evidence.recording import Recording
from casework.field import CaseworkError
from casework.package import content
from casework.package.bag import ByteSource, Member, bag, build_directory, safe_name, stream_zip
from casework.package.disclosure import Disclosure, disclosed_recordings, get_disclosure
from casework.package.papers import asset, custody_page, index_page, log_key_text, readme
from casework.package.receipts import ReceiptShelf, process_key_index
from casework.people.actor import actor_name
from casework.people.officer import officer_by_number
from core.clock import stamp, utc_now
from core.db import Database
from vault.formats.entry import Leaf, ObjectCommitment
from vault.formats.note import SigningKey, sign_note
from vault.log.ledger import LogReader

OpenOriginal = Callable[[int, Leaf, int], ByteSource]
"""(index, entry, grant) -> the plaintext of what that entry sealed; `grant` is the export entry's index."""

OpenRendition = Callable[[str, int], "tuple[ByteSource, int, str] | None"]
"""(recording id, grant) -> reader, bytes, sha256 of a copy that browsers play; None where none is needed."""


class DisclosurePendingError(CaseworkError):
    """The export entry is not on the log yet."""

    code = "casework.disclosure_pending"
    sentence = (
        "Package {package} waits for its entry to be put on the log, and nothing leaves before that. "
        "Wait a moment and repeat; if it goes on, check that vaultd runs."
    )


class DerivativeLostError(CaseworkError):
    """A playable copy was there when the package was planned and is not there now."""

    code = "casework.derivative_lost"
    sentence = (
        "The playable copy of {id} disappeared while the package was written. The original is unharmed; "
        "the package was not finished. Make the copy again and repeat."
    )


@dataclass(frozen=True)
class Package:
    """A package that is ready to be written; its members say their digests and read nothing yet."""

    statement: content.PackageStatement
    members: tuple[Member, ...]

    @property
    def folder(self) -> str:
        """The name of its folder, and of the ZIP without the suffix."""
        return f"sealdock-{self.statement.package.lower()}"

    @property
    def size(self) -> int:
        """Bytes of all members."""
        return sum(member.size for member in self.members)

    def build(self, target: Path) -> None:
        """Write it as the directory `target`; see `bag.build_directory`."""
        build_directory(self.members, target)

    def stream(self) -> ZipStream:
        """It as a ZIP; see `bag.stream_zip`."""
        return stream_zip(self.members, self.folder)


@dataclass(frozen=True)
class Packager:
    """What packages are built from: the station's facts and the doors that keyd opens."""

    db: Database
    log: LogReader
    signer: SigningKey  # of the process that submits exports; it signs the manifests
    organisation: str
    zone: str
    open_original: OpenOriginal
    open_rendition: OpenRendition

    def package(self, package_id: str) -> Package:
        """The package of a disclosure. Raises DisclosurePendingError, UnknownSubjectError, VaultError."""
        with self.db.reading() as session:
            disclosure = get_disclosure(session, package_id)
            if disclosure.entry_index is None:
                raise DisclosurePendingError(package=package_id)
            return _Assembly(self, session, disclosure, disclosure.entry_index).package()


class _Assembly:
    """The putting together of one package, under one checkpoint."""

    def __init__(self, source: Packager, session: Session, disclosure: Disclosure, export_index: int) -> None:
        self.source, self.session, self.disclosure = source, session, disclosure
        self.export_index = export_index
        self.shelf = ReceiptShelf(source.log)
        self.payload: list[Member] = []

    def package(self) -> Package:
        self.shelf.prove(self.export_index)
        self.shelf.prove(process_key_index(self.session, self.source.log, self.export_index))
        recordings, extracts = [], []
        for number, recording in enumerate(disclosed_recordings(self.session, self.disclosure.package_id), 1):
            lines = self._custody(recording)
            recordings.append(self._recording(number, recording, lines))
            extracts.append(as_extract(recording.id, lines))
        statement = self._statement(recordings)
        for described, extract in zip(statement.recordings, extracts, strict=True):
            page = custody_page(statement, described, extract)
            self._add(content.custody_path(described.id, "html"), page)
        self._add_papers(statement, extracts)
        payload = sorted([*self.payload, *self.shelf.members()], key=lambda member: member.path)
        members = bag(payload, _bag_facts(statement), partial(self._seal, statement))
        return Package(statement, tuple(members))

    def _add(self, path: str, raw: bytes) -> None:
        self.payload.append(Member.of_bytes(path, raw))

    def _custody(self, recording: Recording) -> list[CustodyLine]:
        """The chain as far as the checkpoint reaches, each line with its receipt."""
        lines = [
            line
            for line in chain(self.session, self.source.log, recording.id)
            if line.index is not None and line.index < self.shelf.checkpoint.size
        ]
        for line in lines:
            self.shelf.prove(line.index)  # type: ignore[arg-type]  # the filter above
        self._add(content.custody_path(recording.id, "json"), as_extract(recording.id, lines).canonical())
        self._add(content.custody_path(recording.id, "csv"), as_csv(lines))
        return lines

    def _recording(
        self, number: int, recording: Recording, lines: Sequence[CustodyLine]
    ) -> content.RecordingStatement:
        index, leaf, sealed = self._sealed(recording.id, lines)
        path = f"{content.ORIGINALS}/{safe_name(number, recording.name)}"
        self.payload.append(Member(path, sealed.size, sealed.sha256, partial(self._open, index, leaf)))
        exhibit = self.session.get(Exhibit, (self.disclosure.case_id, recording.id))
        officer = officer_by_number(self.session, recording.officer_number or "")
        return content.RecordingStatement(
            id=recording.id,
            index=index,
            name=recording.name,
            media=recording.media,
            path=path,
            size=sealed.size,
            sha256=sealed.sha256,
            stage=exhibit.stage if exhibit else "",
            sealed_at=leaf.time,
            started_at=stamp(recording.started_at) if recording.started_at else None,
            officer_number=recording.officer_number,
            officer_name=officer.name if officer else None,
            recorder_serial=recording.recorder_serial,
            derivative=self._derivative(recording, path, lines),
        )

    def _sealed(self, recording_id: str, lines: Sequence[CustodyLine]) -> tuple[int, Leaf, ObjectCommitment]:
        """Place, entry and object of a recording, as the log has them."""
        for line in lines:
            if line.entry_id == recording_id and line.index is not None:
                leaf = self.shelf.prove(line.index)
                if leaf.object is not None:
                    return line.index, leaf, leaf.object
        raise DisclosurePendingError(package=self.disclosure.package_id)

    def _derivative(
        self, recording: Recording, original: str, lines: Sequence[CustodyLine]
    ) -> content.DerivativeStatement | None:
        """The playable copy, if one is needed and there; opened once now, to know that it can be."""
        opened = self.source.open_rendition(recording.id, self.export_index)
        if opened is None:
            return None
        reader, size, sha256 = opened
        reader.close()
        path = f"{content.DERIVATIVES}/{PurePosixPath(original).stem}.playable.mp4"
        self.payload.append(Member(path, size, sha256, partial(self._reopen, recording.id)))
        return content.DerivativeStatement(
            path=path, size=size, sha256=sha256, entry=_derived_by(lines, sha256)
        )

    def _open(self, index: int, leaf: Leaf) -> ByteSource:
        return self.source.open_original(index, leaf, self.export_index)

    def _reopen(self, recording_id: str) -> ByteSource:
        opened = self.source.open_rendition(recording_id, self.export_index)
        if opened is None:
            raise DerivativeLostError(id=recording_id)
        return opened[0]

    def _statement(self, recordings: Sequence[content.RecordingStatement]) -> content.PackageStatement:
        case, asked = get_case(self.session, self.disclosure.case_id), self.disclosure
        named = actor_name(self.session, asked.actor, asked.at) if asked.actor else None
        key = self.source.log.vault.verifier
        return content.PackageStatement(
            format=content.FORMAT,
            package=asked.package_id,
            made_at=stamp(utc_now()),
            organisation=self.source.organisation,
            zone=self.source.zone,
            log=content.LogStatement(
                origin=self.shelf.checkpoint.origin,
                key=key.vkey,
                fingerprint=content.key_fingerprint(key),
                size=self.shelf.checkpoint.size,
                root=b64encode(self.shelf.checkpoint.root).decode(),
            ),
            export=content.ExportStatement(
                entry=asked.entry_id,
                index=self.export_index,
                at=stamp(asked.at),
                actor=asked.actor,
                actor_name=named.name if named else None,
                recipient=asked.recipient,
                purpose=asked.purpose,
            ),
            case=content.CaseStatement(
                id=case.id,
                number=case.number,
                title=case.title,
                kind=case.kind,
                stage=case.stage,
                party=case.party,
                opened_on=case.opened_on.isoformat() if case.opened_on else None,
            ),
            recordings=tuple(recordings),
        )

    def _add_papers(
        self, statement: content.PackageStatement, extracts: Sequence[content.CustodyExtract]
    ) -> None:
        """Everything that is for people and for their tools."""
        self._add(content.CHECKPOINT, self.shelf.note)
        self._add(content.LOG_KEY, log_key_text(statement))
        self._add(content.CASE, statement.canonical())
        self._add("data/index.html", index_page(statement, extracts))
        self._add("data/assets/package.css", asset("package.css"))
        self._add("data/tools/verify.go", asset("verify.go"))
        for language in ("zh-CN", "en"):
            self._add(f"data/README.{language}.md", readme(statement, language))

    def _seal(self, statement: content.PackageStatement, tag_manifest: bytes) -> Member:
        text = content.seal_text(statement.package, tag_manifest)
        return Member.of_bytes(content.SEAL, sign_note(text, self.source.signer))


def _derived_by(lines: Sequence[CustodyLine], sha256: str) -> str | None:
    """The entry that names a derivative with this digest, if the log has one."""
    for line in lines:
        if line.type == "derive" and any(
            each.get("sha256") == sha256 for each in content.derived(line.facts)
        ):
            return line.entry_id
    return None


def _bag_facts(statement: content.PackageStatement) -> dict[str, str]:
    """bag-info.txt without Payload-Oxum, which the bag adds."""
    return {
        "Source-Organization": statement.organisation,
        "External-Identifier": statement.package,
        "External-Description": f"{statement.case.number} {statement.case.title}",
        "Bagging-Date": statement.made_at[:10],
        "Bag-Software-Agent": f"Sealdock ({content.FORMAT})",
    }
