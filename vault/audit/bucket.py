"""Are the keys of every bucket there, and which can the reader open? (obligation 7 of vault/audit/verify.py)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from core.digest import sha256_hex
from vault.audit.file import read_bounded
from vault.audit.report import Finding, Report, reason
from vault.error import AgeError, VaultError
from vault.formats.age import Identity, NoMatchError, Recipient, decrypt_file, split_header

_LIMIT = 64 * 1024  # bytes of one key file; a wrapped identity has two stanzas and under 1 KiB


class Buckets:
    """The identities of the buckets that the reader can open, found when they are first needed. Judges nothing."""

    def __init__(self, directory: Path, identities: Sequence[Identity]) -> None:
        self._directory = directory
        self._given = {identity.recipient.text: identity for identity in identities}
        self._known: dict[str, Identity | None] = {}
        self._absent: dict[str, bool] = {}

    @property
    def given(self) -> Sequence[Identity]:
        """What the reader brought."""
        return list(self._given.values())

    def is_absent(self, name: str) -> bool:
        """Whether the bucket's directory is gone."""
        if name not in self._absent:
            self._absent[name] = not (self._directory / "keys" / "buckets" / name).exists()
        return self._absent[name]

    def identity(self, name: str) -> Identity | None:
        """The identity of bucket `name`, or None when no given key opens it."""
        if name not in self._known:
            self._known[name] = self._find(name) if self._given else None
        return self._known[name]

    def _find(self, name: str) -> Identity | None:
        try:
            recipient, wrapped = read_bucket(self._directory, name)
        except (OSError, VaultError):
            return None
        return self._given.get(recipient.text) or _open(self._given.values(), recipient, wrapped)


def read_bucket(directory: Path, name: str) -> tuple[Recipient, bytes]:
    """Recipient and wrapped identity of a bucket. Raises OSError or AgeError for what cannot be one."""
    place = directory / "keys" / "buckets" / name
    raw = read_bounded(place / "recipient", _LIMIT)
    recipient = Recipient.parse(raw.decode("ascii", "replace"))
    if raw != f"{recipient.text}\n".encode():
        raise OSError(0, "the recipient has another spelling than it must have")
    wrapped = read_bounded(place / "identity.age", _LIMIT)
    split_header(wrapped)
    return recipient, wrapped


def check_bucket_files(
    directory: Path, name: str, committed: tuple[str, str] | None, readers: Collection[str],
    buckets: Buckets, report: Report,
) -> None:  # fmt: skip
    """7. and 9. A bucket's files against the newest entry about it: (recipient, SHA-256 of identity.age).

    `readers` are the recipients that every bucket must be sealed to now.
    """
    file = f"keys/buckets/{name}"
    try:
        recipient, wrapped = read_bucket(directory, name)
    except (OSError, VaultError) as cause:
        report.fail(Finding(7, "verify.bucket", file, reason(cause)))
        return
    if committed and committed[0] != recipient.text:
        report.fail(Finding(7, "verify.bucket", f"{file}/recipient", "its entry names another"))
    elif committed and committed[1] != sha256_hex(wrapped):
        report.fail(
            Finding(7, "verify.bucket", f"{file}/identity.age", "its digest is not the one in its entry")
        )
    else:
        report.counts["buckets"] += 1
        _check_opening(file, (recipient, wrapped), readers, buckets, report)


def _check_opening(
    file: str, pair: tuple[Recipient, bytes], readers: Collection[str], buckets: Buckets, report: Report
) -> None:
    """9. A key that the bucket must be sealed to and that fails is a failure; a stranger's is a notice."""
    given = {identity.recipient.text: identity for identity in buckets.given}
    if not given or pair[0].text in given:
        return
    try:
        opened = _open(given.values(), *pair, strict=True)
    except AgeError as cause:
        report.fail(Finding(7, "verify.bucket", file, reason(cause)))
        return
    if opened is None and set(given) & set(readers):
        report.fail(Finding(7, "verify.bucket", file, "it is not sealed to root and recovery"))
    elif opened is None:
        report.note(Finding(9, "notice.not_opened", file, "none of the given keys is one of its keys"))


class _NotAPairError(AgeError):
    """The two halves of a bucket do not belong together."""

    code = "vault.bucket_pair"
    sentence = (
        "Recipient and identity of this bucket are not a pair ({why}). Restore keys/buckets from a copy."
    )


def _open(
    given: Iterable[Identity], recipient: Recipient, wrapped: bytes, *, strict: bool = False
) -> Identity | None:
    """The bucket's identity, by the first given key that opens it; None when none does. Strict raises AgeError."""
    for identity in given:
        try:
            opened = Identity.parse(decrypt_file(identity, wrapped).decode("ascii", "replace"))
            if opened.recipient.text != recipient.text:
                raise _NotAPairError(why="recipient and identity are not a pair")
        except NoMatchError:
            continue
        except AgeError:
            if strict:
                raise
            return None
        return opened
    return None
