"""Whether a directory is the bag that its manifests describe (RFC 8493; 1 to 3 of casework.package.verify).

  1. The directory holds regular files only; every name in it and in the manifests stays inside it.
  2. It declares BagIt 1.0, fetches nothing from elsewhere, and has the sha256 manifests.
  3. Each manifest names each of its files once, with the digest that the file has; nothing is missing or
     extra.
The directory may come from an adversary: no link is followed, no file is read further than the bag says it
reaches, and every mistake becomes a finding that names its file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from casework.package.finding import Finding
from core.digest import Sha256

CHUNK = 1024 * 1024
TAG_LIMIT = 64 * 1024 * 1024  # bytes of a manifest: some 500,000 files
FILE_LIMIT = 200_000  # files in one package
DEPTH_LIMIT = 16  # directories below one another; ours has three

DECLARATION, INFO = "bagit.txt", "bag-info.txt"
MANIFEST, TAG_MANIFEST = "manifest-sha256.txt", "tagmanifest-sha256.txt"

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")  # as we write it and as `sha256sum` does; nothing looser
_OXUM = re.compile(r"^Payload-Oxum: (\d{1,18})\.(\d{1,9})$", re.MULTILINE)
_ESCAPES = (("%0D", "\r"), ("%0A", "\n"), ("%25", "%"))  # RFC 8493 section 2.1.3

Progress = Callable[[int], None]  # bytes hashed so far


@dataclass
class BagCheck:
    """What was found: sizes of all files and digests of those that could be read, by path."""

    root: Path
    findings: list[Finding] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    def find(self, code: str, path: str, **parameters: object) -> None:
        """Note a finding."""
        self.findings.append(Finding.make(code, path, **parameters))

    def below(self, *folders: str) -> list[str]:
        """The files in any of these folders."""
        prefixes = tuple(f"{folder}/" for folder in folders)
        return [path for path in self.sizes if path.startswith(prefixes)]

    def read(self, path: str, limit: int) -> bytes | None:
        """A small file's bytes; None, with a finding, when it is missing, overlong or unreadable."""
        if self.sizes.get(path, limit + 1) > limit:
            self.find("package.no_tag", path)
            return None
        try:
            with _open(self.root / path) as file:
                return file.read(limit)
        except OSError as cause:
            self.find("package.unreadable", path, why=cause.strerror)
            return None


def check_bag(root: Path, progress: Progress | None = None) -> BagCheck:
    """Check obligations 1 to 3 over the directory `root`; what is wrong in it never raises."""
    check = BagCheck(root)
    try:
        _list(check)  # 1
    except OSError as cause:
        check.find("package.unreadable", os.path.relpath(cause.filename or root, root), why=cause.strerror)
    if check.findings or not _is_declared(check):  # 2
        return check
    payload = _manifest(check, MANIFEST, is_payload=True)
    tags = _manifest(check, TAG_MANIFEST, is_payload=False)
    _hash(check, _most_octets(check), progress)  # 3
    _compare(check, payload, MANIFEST)
    _compare(check, tags, TAG_MANIFEST)
    for path in check.sizes.keys() - payload.keys() - tags.keys() - {TAG_MANIFEST}:
        check.find("package.extra", path, manifest=MANIFEST if path.startswith("data/") else TAG_MANIFEST)
    return check


def is_inside(path: str) -> bool:
    """Whether a path from outside stays below the package: relative, plain parts, printable, no drive."""
    parts = path.split("/")
    is_plain = all(part not in {"", ".", ".."} for part in parts)
    return is_plain and path.isprintable() and "\\" not in path and ":" not in parts[0]


def _list(check: BagCheck) -> None:
    for path, entry in _walk(check.root, "", 0):
        if entry is None or len(check.sizes) == FILE_LIMIT:
            check.find("package.too_many", path)
            return
        if not is_inside(path):
            check.find("package.unsafe_path", path)
            continue
        status = entry.stat(follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            check.find("package.link", path)
        check.sizes[path] = status.st_size


def _walk(directory: Path, prefix: str, depth: int) -> Iterator[tuple[str, os.DirEntry[str] | None]]:
    """Every entry that is not a directory; None for one that lies too deep."""
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            path = f"{prefix}{entry.name}"
            if not entry.is_dir(follow_symlinks=False):
                yield path, entry
            elif depth == DEPTH_LIMIT:
                yield path, None
            else:
                yield from _walk(directory / entry.name, f"{path}/", depth + 1)


def _is_declared(check: BagCheck) -> bool:
    if "fetch.txt" in check.sizes:
        check.find("package.fetch", "fetch.txt")
    raw = check.read(DECLARATION, 1024)
    if raw is not None and raw != b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n":
        check.find("package.version", DECLARATION)
    for name in (MANIFEST, TAG_MANIFEST, INFO):
        if name not in check.sizes:
            check.find("package.no_tag", name)
    return not check.findings or {finding.code for finding in check.findings} == {"package.version"}


def _manifest(check: BagCheck, name: str, *, is_payload: bool) -> dict[str, str]:
    """Digest by path."""
    lines = (check.read(name, TAG_LIMIT) or b"").decode(errors="replace").split("\n")
    if lines.pop():
        check.find("package.line", name, line=len(lines) + 1)
    digests: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        matched = _LINE.fullmatch(line)
        if matched is None:
            check.find("package.line", name, line=number)
            continue
        path = _unescaped(matched[2])
        if not is_inside(path) or path.startswith("data/") != is_payload:
            check.find("package.unsafe_path", path)
        elif path in digests:
            check.find("package.twice", path, manifest=name)
        else:
            digests[path] = matched[1]
    return digests


def _most_octets(check: BagCheck) -> int:
    """The most bytes one file may have by what bag-info.txt says of all; at least what a tag file may."""
    matched = _OXUM.search((check.read(INFO, CHUNK) or b"").decode(errors="replace"))
    payload = check.below("data")
    found = f"{sum(check.sizes[path] for path in payload)}.{len(payload)}"
    if matched is None or f"{matched[1]}.{matched[2]}" != found:
        check.find("package.oxum", INFO, expected=matched[0] if matched else "nothing", found=found)
    return max(int(matched[1]) if matched else 0, TAG_LIMIT)


def _hash(check: BagCheck, most: int, progress: Progress | None) -> None:
    done = 0
    for path, size in check.sizes.items():
        if size > most:
            check.find("package.oversize", path)
            continue
        running = Sha256()
        try:
            for chunk in _chunks(check.root / path, size):
                running.update(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done)
        except OSError as cause:
            check.find("package.unreadable", path, why=cause.strerror)
            continue
        check.digests[path] = running.hexdigest()


def _chunks(path: Path, size: int) -> Iterator[bytes]:
    with _open(path) as file:
        while size > 0 and (chunk := file.read(min(CHUNK, size))):
            size -= len(chunk)
            yield chunk


def _open(path: Path) -> BinaryIO:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags), "rb")


def _compare(check: BagCheck, digests: Mapping[str, str], manifest: str) -> None:
    for path, expected in digests.items():
        found = check.digests.get(path)
        if path not in check.sizes:
            check.find("package.missing", path, manifest=manifest)
        elif found is not None and found != expected:
            check.find("package.changed", path, found=found, expected=expected, manifest=manifest)


def _unescaped(path: str) -> str:
    for escape, character in _ESCAPES:
        path = path.replace(escape, character)
    return path
