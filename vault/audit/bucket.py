"""Are the keys of every bucket there, and which can the reader open? (obligation 7 of vault/audit/verify.py)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vault.audit.file import read_bounded
from vault.audit.report import Finding, Report, reason
from vault.error import AgeError, VaultError
from vault.formats.age import Identity, NoMatchError, Recipient, decrypt_file, split_header

_LIMIT = 64 * 1024  # bytes of one key file; a wrapped identity has two stanzas and under 1 KiB


class Buckets:
    """The identities of the buckets that the reader can open, found when they are first needed."""

    def __init__(self, directory: Path, identities: Sequence[Identity], report: Report) -> None:
        self._directory, self._report = directory, report
        self._given = {identity.recipient.text: identity for identity in identities}
        self._known: dict[str, Identity | None] = {}

    def identity(self, name: str) -> Identity | None:
        """The identity of bucket `name`, or None when no given key opens it. Takes down obligation 7."""
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def _find(self, name: str) -> Identity | None:
        file = f"keys/buckets/{name}"
        try:
            raw = read_bounded(self._directory / file / "recipient", _LIMIT)
            recipient = Recipient.parse(raw.decode("ascii", "replace"))
            wrapped = read_bounded(self._directory / file / "identity.age", _LIMIT)
            split_header(wrapped)
        except (OSError, VaultError) as cause:
            self._fail(file, reason(cause))
            return None
        if raw != f"{recipient.text}\n".encode():
            self._fail(file, "the recipient has another spelling than it must have")
            return None
        self._report.counts["buckets"] += 1
        return self._open(file, recipient, wrapped)

    def _open(self, file: str, recipient: Recipient, wrapped: bytes) -> Identity | None:
        """9. The bucket's identity. A key that the bucket must be sealed to and that fails is a failure."""
        if recipient.text in self._given:
            return self._given[recipient.text]
        for identity in self._given.values():
            try:
                opened = Identity.parse(decrypt_file(identity, wrapped).decode("ascii", "replace"))
            except NoMatchError:
                if identity.recipient.text not in self._readers():
                    continue  # another vault's, or another bucket's: the notice below says so
                self._fail(file, "it is not sealed to root and recovery")
                return None
            except AgeError as cause:
                self._fail(file, reason(cause))
                return None
            if opened.recipient.text == recipient.text:
                return opened
            self._fail(file, "recipient and identity are not a pair")
            return None
        if self._given:
            why = "none of the given keys is one of its keys"
            self._report.note(Finding(9, "notice.not_opened", file, why))
        return None

    def _readers(self) -> set[str]:
        """Root and recovery as the vault names them; `_check_genesis` holds these files to the log."""
        names = ("root.recipient", "recovery.recipient")
        paths = [self._directory / "keys" / name for name in names]
        return {
            read_bounded(path, _LIMIT).decode("ascii", "replace").strip() for path in paths if path.is_file()
        }

    def _fail(self, file: str, why: str) -> None:
        self._report.fail(Finding(7, "verify.bucket", file, why))
