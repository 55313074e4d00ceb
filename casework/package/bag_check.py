"""Is this directory the bag that its manifests describe? (RFC 8493; obligations 1 to 3 of package_verify.)

  1. The directory holds regular files only; every name in it and in the manifests stays inside it.
  2. It declares BagIt 1.0, fetches nothing from elsewhere, and has the sha256 manifests.
  3. Each manifest names each of its files once, with the digest that the file has; nothing is missing or extra.
The directory may come from an adversary: no link is followed, no file is read further than the bag says it
reaches, and every mistake becomes a finding that names its file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from core.digest import Sha256

CHUNK = 1024 * 1024
TAG_LIMIT = 64 * 1024 * 1024  # bytes of a manifest: some 500,000 files
FILE_LIMIT = 200_000  # files in one package
DEPTH_LIMIT = 16  # directories below one another; ours has three

DECLARATION, INFO = "bagit.txt", "bag-info.txt"
MANIFEST, TAG_MANIFEST = "manifest-sha256.txt", "tagmanifest-sha256.txt"
TAG_FILES = (DECLARATION, INFO, MANIFEST, TAG_MANIFEST)

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")  # as we write it and `sha256sum` too; nothing looser
_OXUM = re.compile(r"^Payload-Oxum:[ \t]*(\d{1,18})\.(\d{1,9})[ \t]*$", re.MULTILINE | re.IGNORECASE)
_ESCAPES = (("%0D", "\r"), ("%0d", "\r"), ("%0A", "\n"), ("%0a", "\n"), ("%25", "%"))

SENTENCES = {
    "package.link": "{path} is a link or a device, not a file. It was not opened; a package has neither.",
    "package.unsafe_path": "{path} names a place outside the package. It was not opened; do not unpack or use it.",
    "package.too_many": "There are more than {limit} files or too many folders. This is not one of our packages.",
    "package.no_tag": "{path} is missing or cannot be read, so the package cannot be checked. Ask for it again.",
    "package.version": "{path} does not declare BagIt 1.0 in UTF-8. The package was changed or is another kind.",
    "package.fetch": "{path} asks for files from elsewhere. A package is complete or it proves nothing.",
    "package.line": "{path} has a line that is no digest and path: line {line}. The file was changed.",
    "package.twice": "{path} is named twice in {manifest}. The manifest was changed.",
    "package.missing": "{path} is missing. The package is not complete; ask for it again.",
    "package.extra": "{path} does not belong to the package. Somebody added it; do not rely on it.",
    "package.changed": "{path} was changed: its digest is {found}, and {manifest} says {expected}.",
    "package.oxum": (
        "{path} says {expected} bytes and files, and there are {found}. Files were added, removed or cut."
    ),
    "package.oversize": "{path} is larger than the whole package says it is. It was not read.",
    "package.unreadable": "{path} cannot be read ({why}). Copy the package again and repeat the check.",
}  # fmt: skip

Progress = Callable[[int], None]  # bytes hashed so far


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with the file it is wrong with."""

    code: str
    path: str
    sentence: str


@dataclass
class BagCheck:
    """What was found: `digests` of all files that could be read, by path."""

    root: Path
    findings: list[Finding] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    def find(self, code: str, path: str, **parameters: object) -> None:
        """Note a finding; the path is shown without control characters."""
        shown = _printable(path)
        safe = {name: _printable(str(value)) for name, value in parameters.items()}
        self.findings.append(Finding(code, shown, SENTENCES[code].format(path=shown, **safe)))

    def read(self, path: str, limit: int) -> bytes | None:
        """A small file's bytes; None, with a finding, when it is missing, overlong or unreadable."""
        if path not in self.sizes or self.sizes[path] > limit:
            self.find("package.no_tag", path)
            return None
        try:
            with _open(self.root / path) as file:
                return file.read(limit)
        except OSError as cause:
            self.find("package.unreadable", path, why=cause.strerror)
            return None


def check_bag(root: Path, progress: Progress | None = None) -> BagCheck:
    """Check obligations 1 to 3 over the directory `root`; never raises for what is in it."""
    check = BagCheck(root)
    _list(check)  # 1
    if check.findings or not _declared(check):  # 2
        return check
    payload = _manifest(check, MANIFEST, lambda path: path.startswith("data/"))
    tags = _manifest(check, TAG_MANIFEST, lambda path: not path.startswith("data/"))
    if payload is None or tags is None:
        return check
    most = _declared_octets(check)
    _hash(check, most, progress)  # 3
    _compare(check, payload, MANIFEST)
    _compare(check, tags, TAG_MANIFEST)
    for path in sorted(set(check.sizes) - set(payload) - set(tags) - {TAG_MANIFEST}):
        check.find("package.extra", path)
    return check


def _list(check: BagCheck) -> None:
    for count, (path, entry) in enumerate(_walk(check.root, "", 0)):
        if count >= FILE_LIMIT or entry is None:
            check.find("package.too_many", path, limit=FILE_LIMIT)
            return
        try:
            path.encode()
            status = entry.stat(follow_symlinks=False)
        except (OSError, UnicodeEncodeError):
            check.find("package.unsafe_path", path)
            continue
        if not stat.S_ISREG(status.st_mode):
            check.find("package.link", path)
        check.sizes[path] = status.st_size


def _walk(directory: Path, prefix: str, depth: int) -> Iterator[tuple[str, os.DirEntry[str] | None]]:
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            path = f"{prefix}{entry.name}"
            if not entry.is_dir(follow_symlinks=False):
                yield path, entry
            elif depth == DEPTH_LIMIT:
                yield path, None
            else:
                yield from _walk(directory / entry.name, f"{path}/", depth + 1)


def _declared(check: BagCheck) -> bool:
    if "fetch.txt" in check.sizes:
        check.find("package.fetch", "fetch.txt")
    raw = check.read(DECLARATION, 1024)
    lines = (raw or b"").decode(errors="replace").split("\n")
    if raw is not None and lines[:2] != ["BagIt-Version: 1.0", "Tag-File-Character-Encoding: UTF-8"]:
        check.find("package.version", DECLARATION)
    return not check.findings


def _manifest(check: BagCheck, name: str, belongs: Callable[[str], bool]) -> dict[str, str] | None:
    """Digest by path; None when the manifest cannot be used."""
    raw = check.read(name, TAG_LIMIT)
    if raw is None:
        return None
    digests: dict[str, str] = {}
    lines = raw.decode(errors="replace").split("\n")
    if lines.pop():
        check.find("package.line", name, line=len(lines) + 1)
    for number, line in enumerate(lines, 1):
        matched = _LINE.fullmatch(line)
        if matched is None:
            check.find("package.line", name, line=number)
            continue
        path = _unescaped(matched[2])
        if not is_inside(path) or not belongs(path):
            check.find("package.unsafe_path", path)
        elif path in digests:
            check.find("package.twice", path, manifest=name)
        else:
            digests[path] = matched[1]
    return digests


def is_inside(path: str) -> bool:
    """Whether a path from outside stays below the package: relative, plain parts, no backslash, no control."""
    parts = path.split("/")
    plain = all(part not in {"", ".", ".."} for part in parts)
    return plain and "\\" not in path and path.isprintable() and ":" not in parts[0]


def _declared_octets(check: BagCheck) -> int:
    """The most bytes that any file may have: all payload together, as bag-info.txt and the disk agree on."""
    raw = check.read(INFO, 1024 * 1024) or b""
    matched = _OXUM.search(raw.decode(errors="replace"))
    payload = [size for path, size in check.sizes.items() if path.startswith("data/")]
    found = f"{sum(payload)}.{len(payload)}"
    if matched is None or f"{int(matched[1])}.{int(matched[2])}" != found:
        check.find("package.oxum", INFO, expected=matched[0].strip() if matched else "no number of", found=found)
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


def _open(path: Path):  # noqa: ANN202
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _compare(check: BagCheck, manifest: dict[str, str], name: str) -> None:
    for path, expected in manifest.items():
        if path not in check.sizes:
            check.find("package.missing", path)
        elif path in check.digests and check.digests[path] != expected:
            check.find("package.changed", path, found=check.digests[path], expected=expected, manifest=name)


def _unescaped(path: str) -> str:
    for escape, character in _ESCAPES:
        path = path.replace(escape, character)
    return path


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)[:400]


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Findings by file, so that the same package gives the same report."""
    return sorted(set(findings), key=lambda each: (each.path, each.code, each.sentence))
