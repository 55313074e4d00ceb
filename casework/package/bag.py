"""A package's files, once: the same members become a directory or a ZIP stream (BagIt 1.0, RFC 8493).

Every member says its size and SHA-256 before its bytes are read, so manifests and Content-Length are exact
from the start; while the bytes go by they are hashed again, and a member that is not what it said stops the
whole package: no directory appears under its name, and a broken ZIP has no end. Manifests have two spaces
between digest and path, so `sha256sum -c` reads them as well as bagit does.
"""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Protocol

from zipstream import ZipStream

from casework.field import CaseworkError
from core.digest import Sha256, sha256_hex
from core.durable import AlreadyExistsError, fsync_directory

NAME_LIMIT = 40  # characters kept of a name: at most 160 bytes, and file systems take 255
SUFFIX_LIMIT = 8  # characters kept of its suffix
_REFUSED = re.compile(r"[^\w.\-]+")

CHUNK = 1024 * 1024  # bytes read at once: sixteen chunks of a sealed object
DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"


class MemberChangedError(CaseworkError):
    """A file did not come out as the log says it must."""

    code = "casework.member_changed"
    sentence = (
        "{path} came out of the vault with digest {found} ({found_size} bytes) and must have {expected} "
        "({expected_size} bytes). The package was not finished and must not be used; verify the vault now."
    )


class ByteSource(Protocol):
    """An open file, as far as a package needs one."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; none at the end."""

    def close(self) -> None:
        """Give it back."""


@dataclass(frozen=True)
class Member:
    """One file of a package: where it lies, what it must be, and how to read it."""

    path: str
    size: int
    sha256: str
    open: Callable[[], ByteSource]

    @classmethod
    def of_bytes(cls, path: str, content: bytes) -> Member:
        """A small file that is in memory."""
        return cls(path, len(content), sha256_hex(content), lambda: BytesIO(content))

    def chunks(self) -> Iterator[bytes]:
        """The content, checked on the way; the last piece is held back until digest and size are right.

        Raises MemberChangedError.
        """
        running, size, held = Sha256(), 0, b""
        source = self.open()
        try:
            while chunk := source.read(CHUNK):
                running.update(chunk)
                size += len(chunk)
                if held:
                    yield held
                held = chunk
        finally:
            source.close()
        found = running.hexdigest()
        if (found, size) != (self.sha256, self.size):
            raise MemberChangedError(
                path=self.path, found=found, found_size=size, expected=self.sha256, expected_size=self.size
            )
        yield held


def bag(
    payload: Sequence[Member], facts: Mapping[str, str], sign: Callable[[bytes], Member] | None = None
) -> list[Member]:
    """All members of a bag: the payload (paths under data/) and the tag files made from it, which come last.

    `sign` is given the manifest of the other tag files and makes one more, which the tag manifest lists too.
    """
    octets = sum(member.size for member in payload)
    lines = {**facts, "Payload-Oxum": f"{octets}.{len(payload)}"}
    tags = [
        Member.of_bytes("bag-info.txt", _labelled(lines)),
        Member.of_bytes("bagit.txt", DECLARATION),
        Member.of_bytes("manifest-sha256.txt", manifest(payload)),
    ]
    if sign is not None:
        tags.append(sign(manifest(tags)))
    return [*payload, *tags, Member.of_bytes("tagmanifest-sha256.txt", manifest(tags))]


def manifest(members: Iterable[Member]) -> bytes:
    """Digest, two spaces, path; `%` and line ends in a path are escaped (RFC 8493 section 2.1.3)."""
    return "".join(f"{member.sha256}  {_escaped(member.path)}\n" for member in members).encode()


def build_directory(members: Iterable[Member], target: Path) -> None:
    """Write the package to `target`, which must not exist; it appears whole and durable, or not at all.

    Raises AlreadyExistsError, MemberChangedError, OSError.
    """
    if target.exists():
        raise AlreadyExistsError(path=target)
    partial = target.with_name(f".{target.name}.{token_hex(6)}.partial")
    partial.mkdir(mode=0o755)
    try:
        directories = {partial}
        for member in members:
            directories.add(_write(partial, member).parent)
        for directory in directories:
            fsync_directory(directory)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial)
        raise
    fsync_directory(target.parent)


def stream_zip(members: Iterable[Member], folder: str) -> ZipStream:
    """The package as a stored ZIP below `folder`: iterate it for the bytes, `len()` it for Content-Length.

    The iterator raises MemberChangedError in the middle when a member is not what it must be.
    """
    stream = ZipStream(sized=True)
    for member in members:
        stream.add(member.chunks(), f"{folder}/{member.path}", size=member.size)
    return stream


def _write(root: Path, member: Member) -> Path:
    path = root / member.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        for chunk in member.chunks():
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)
    return path


def _labelled(lines: Mapping[str, str]) -> bytes:
    """bag-info.txt; a value stays on one line."""
    return "".join(f"{label}: {' '.join(value.split())}\n" for label, value in lines.items()).encode()


def _escaped(path: str) -> str:
    return path.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def safe_name(number: int, name: str) -> str:
    """A file name for any system: a running number, then what is harmless of the original's own name."""
    plain = _REFUSED.sub("_", unicodedata.normalize("NFC", name)).strip("._")
    stem, dot, suffix = plain.rpartition(".")
    if not dot:
        stem, suffix = suffix, stem
    return f"{number:04d}_{stem[:NAME_LIMIT].strip('._') or 'recording'}{dot}{suffix[:SUFFIX_LIMIT]}"
