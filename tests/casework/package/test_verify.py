from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from bureau.desk import MP4, Disclosed
from hypothesis import given
from hypothesis import strategies as st

from casework.package.bag_check import check_bag, is_inside
from casework.package.verify import NoPackageError, Verdict, verify_package
from core.errors import Exit
from vault.formats.note import SigningKey, VerifierKey, sign_note

GO = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "HOME": "/tmp"}  # noqa: S108  # Debian's x/mod


def key(disclosed: Disclosed) -> VerifierKey:
    return disclosed.station.vault.verifier


def named(package: Path, disclosed: Disclosed) -> str:
    """Everything that a report says."""
    report = verify_package(package, key(disclosed))
    assert report.verdict is Verdict.WRONG
    assert report.exit_code is Exit.NO
    return "\n".join(f"{finding.path} {finding.sentence}" for finding in report.findings)


def flip(path: Path, place: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[place % len(raw)] ^= 1
    path.write_bytes(raw)


def rewrite_manifests(package: Path) -> None:
    """What somebody does who changes a package on purpose; the seal is beyond them."""
    lines = [
        f"{sha256(path.read_bytes()).hexdigest()}  {path.relative_to(package)}\n"
        for path in sorted(package.rglob("*")) if path.is_file()
    ]  # fmt: skip
    payload = [line for line in lines if "  data/" in line]
    (package / "manifest-sha256.txt").write_text("".join(payload))
    octets = sum(path.stat().st_size for path in (package / "data").rglob("*") if path.is_file())
    info = (package / "bag-info.txt").read_text().splitlines()
    kept = [line for line in info if not line.startswith("Payload-Oxum")]
    (package / "bag-info.txt").write_text("\n".join([*kept, f"Payload-Oxum: {octets}.{len(payload)}\n"]))
    tags = [
        f"{sha256((package / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("bag-info.txt", "bagit.txt", "manifest-sha256.txt", "seal.note") if (package / name).exists()
    ]  # fmt: skip
    (package / "tagmanifest-sha256.txt").write_text("".join(tags))
    assert check_bag(package).findings == []


def edit(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True))


# What a whole package comes to.


def test_under_the_bureaus_key_it_is_authentic(disclosed: Disclosed) -> None:
    report = verify_package(disclosed.directory, key(disclosed))
    assert report.findings == []
    assert (report.verdict, report.exit_code) == (Verdict.AUTHENTIC, Exit.YES)
    assert report.counts["recordings"] == 3


def test_without_a_key_from_outside_it_is_consistent_and_never_authentic(disclosed: Disclosed) -> None:
    report = verify_package(disclosed.directory)
    assert (report.verdict, report.exit_code) == (Verdict.CONSISTENT, Exit.CANNOT)
    said = report.sentence.format(**report.parameters)
    assert disclosed.package.statement.log.fingerprint in said
    assert "which nothing here confirms" in said
    assert "authentic" not in json.dumps(report.to_json())


def test_under_another_key_nothing_is_proven(disclosed: Disclosed) -> None:
    report = verify_package(disclosed.directory, SigningKey.generate("sealdock/other").verifier)
    assert report.exit_code is Exit.NO
    assert {finding.path for finding in report.findings} == {"data/log-key.txt", "data/checkpoint"}


def test_a_package_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(NoPackageError):
            verify_package(wrong)
    assert verify_package(tmp_path).exit_code is Exit.NO


# One byte anywhere.


def test_one_byte_changed_in_any_file_names_the_file(disclosed: Disclosed, copy: Path) -> None:
    for path in sorted(path for path in copy.rglob("*") if path.is_file()):
        whole, name = path.read_bytes(), str(path.relative_to(copy))
        for place in (0, len(whole) // 2, -1):
            flip(path, place)
            assert name in named(copy, disclosed), (name, place)
            path.write_bytes(whole)
    assert verify_package(copy, key(disclosed)).verdict is Verdict.AUTHENTIC


@pytest.mark.parametrize(
    "name", ["manifest-sha256.txt", "tagmanifest-sha256.txt", "bag-info.txt", "bagit.txt", "seal.note"]
)
def test_every_byte_of_the_tag_files_counts(disclosed: Disclosed, copy: Path, name: str) -> None:
    whole = (copy / name).read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        flip(copy / name, place)
        assert name in named(copy, disclosed), place
        (copy / name).write_bytes(whole)


def test_a_file_missing_added_or_cut_is_named(disclosed: Disclosed, copy: Path) -> None:
    (copy / "data/index.html").unlink()
    (copy / "data/originals/0009_planted.mp4").write_bytes(b"planted")
    original = next((copy / "data/originals").glob("0001_*"))
    original.write_bytes(MP4[:-1])
    said = named(copy, disclosed)
    for name in (
        "data/index.html is missing",
        "0009_planted.mp4 does not belong",
        f"{original.name} was changed",
    ):
        assert name in said


# Somebody who also writes new manifests.


def test_a_changed_original_with_new_manifests(disclosed: Disclosed, copy: Path) -> None:
    path = next((copy / "data/originals").glob("0001_*"))
    flip(path, 100)
    edit(
        copy / "data/case.json",
        lambda case: case["recordings"][0].update(sha256=sha256(path.read_bytes()).hexdigest()),
    )  # type: ignore[index]
    rewrite_manifests(copy)
    said = named(copy, disclosed)
    assert f"{path.name} is not the file that was sealed" in said


@pytest.mark.parametrize(
    "name",
    [
        "data/index.html",
        "data/README.en.md",
        "data/assets/package.css",
        "data/tools/verify.go",
        "bag-info.txt",
    ],
)
def test_a_changed_page_with_new_manifests_breaks_the_seal(
    disclosed: Disclosed, copy: Path, name: str
) -> None:
    with (copy / name).open("a") as file:
        file.write("Bagging-Note: changed\n")
    rewrite_manifests(copy)
    assert "seal.note" in named(copy, disclosed)


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("at", "2026-01-01T00:00:00.000000Z"), ("type", "link"), ("by", "worker"), ("actor", None), ("index", 1),
        ("facts", {"count": 1}), ("entry", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ],
)  # fmt: skip
def test_a_changed_custody_line_with_new_manifests(
    disclosed: Disclosed, copy: Path, fact: str, value: object
) -> None:
    name = f"data/custody/{disclosed.recordings[0]}.json"

    def change(extract: dict[str, object]) -> None:
        line = next(line for line in extract["lines"] if line["type"] == "view")  # type: ignore[attr-defined]
        line.pop(fact)
        if value is not None:
            line[fact] = value

    edit(copy / name, change)
    rewrite_manifests(copy)
    said = named(copy, disclosed)
    assert name in said or "01ARZ3NDEKTSV4RRFFQ69G5FAV.tlog-proof is missing" in said


@pytest.mark.parametrize(
    ("place", "fact", "value"),
    [
        ("export", "index", 1), ("export", "at", "2026-01-01T00:00:00.000000Z"),
        ("case", "id", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("log", "size", 3), ("log", "origin", "sealdock/other"), ("", "package", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("", "format", "sealdock-package/9"), ("recording", "sealed_at", "2026-01-01T00:00:00.000000Z"),
        ("recording", "index", 0), ("recording", "size", 1), ("recording", "path", "data/originals/../../case.json"),
        ("recording", "path", "data/case.json"), ("export", "extra", 1), ("recording", "size", "large"),
        ("recording", "index", -1),
    ],
)  # fmt: skip
def test_a_changed_statement_with_new_manifests(
    disclosed: Disclosed, copy: Path, place: str, fact: str, value: object
) -> None:
    def change(case: dict[str, object]) -> None:
        target = case["recordings"][0] if place == "recording" else case[place] if place else case  # type: ignore[index]
        target[fact] = value  # type: ignore[index]

    edit(copy / "data/case.json", change)
    rewrite_manifests(copy)
    said = named(copy, disclosed)
    assert "data/case.json" in said


def test_a_recording_left_out_with_new_manifests(disclosed: Disclosed, copy: Path) -> None:
    edit(copy / "data/case.json", lambda case: case["recordings"].pop())  # type: ignore[attr-defined]
    for path in (copy / "data/originals").glob("0003_*"):
        path.unlink()
    rewrite_manifests(copy)
    assert "data/case.json does not agree with the export entry on the log: recordings" in named(
        copy, disclosed
    )


def test_a_changed_derivative_with_new_manifests(disclosed: Disclosed, copy: Path) -> None:
    path = next((copy / "data/derivatives").iterdir())
    path.write_bytes(b"another film")
    facts = {"sha256": sha256(b"another film").hexdigest(), "size": 12}
    edit(copy / "data/case.json", lambda case: case["recordings"][1]["derivative"].update(facts))  # type: ignore[index]
    rewrite_manifests(copy)
    assert f"{path.name} is not the derivative" in named(copy, disclosed)


def test_exchanged_receipts_with_new_manifests(disclosed: Disclosed, copy: Path) -> None:
    one, other = sorted((copy / "data/receipts").iterdir())[:2]
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    rewrite_manifests(copy)
    said = named(copy, disclosed)
    assert one.name in said
    assert other.name in said


def test_a_seal_by_somebody_else(disclosed: Disclosed, copy: Path) -> None:
    text = (copy / "seal.note").read_text().split("\n\n")[0] + "\n"
    (copy / "seal.note").write_bytes(sign_note(text, SigningKey.generate("console")))
    rewrite_manifests(copy)
    assert "seal.note does not show that the bureau's key sealed" in named(copy, disclosed)


def test_a_whole_package_of_somebody_elses_log_is_consistent_at_most(
    disclosed: Disclosed, copy: Path
) -> None:
    """A forger with a log of their own: everything agrees with itself, and nothing with the bureau's key."""
    assert verify_package(copy).verdict is Verdict.CONSISTENT
    bureau = SigningKey.generate(key(disclosed).name).verifier
    assert verify_package(copy, bureau).verdict is Verdict.WRONG


# Hostile packages: a sentence for each, never a traceback, nothing outside touched.


def test_links_and_devices_are_not_opened(disclosed: Disclosed, copy: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (copy / "data/originals/link.mp4").symlink_to(secret)
    (copy / "data/folder").symlink_to(tmp_path)
    os.mkfifo(copy / "data/pipe")
    said = named(copy, disclosed)
    for name in ("data/originals/link.mp4", "data/folder", "data/pipe"):
        assert f"{name} is a link or a device" in said
    assert sha256(b"secret").hexdigest() not in said


@pytest.mark.parametrize(
    "path",
    [
        "../../secret",
        "/etc/passwd",
        "data/../../secret",
        "data//x",
        "C:/x",
        "data\\..\\x",
        "data/\u202ex",
        "bagit.txt",
    ],
)
def test_a_manifest_that_points_outside(disclosed: Disclosed, copy: Path, path: str) -> None:
    with (copy / "manifest-sha256.txt").open("a") as file:
        file.write(f"{'0' * 64}  {path}\n")
    assert "names a place outside" in named(copy, disclosed)


def test_fetch_is_refused(disclosed: Disclosed, copy: Path) -> None:
    (copy / "fetch.txt").write_text("http://127.0.0.1/x 1 data/x\n")
    assert "fetch.txt asks for files from elsewhere" in named(copy, disclosed)


def test_a_huge_file_is_not_read(disclosed: Disclosed, copy: Path) -> None:
    with (copy / "data/huge").open("wb") as file:
        file.truncate(1 << 40)
    assert "data/huge is larger than the whole package says it is" in named(copy, disclosed)


@pytest.mark.parametrize(
    "name", ["data/case.json", "data/checkpoint", "data/log-key.txt", "manifest-sha256.txt", "bagit.txt"]
)
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"[" * 100_000, b'{"a":' * 100_000, b"\n" * 1000, b"null"]
)
def test_nonsense_in_control_files_is_a_finding(
    disclosed: Disclosed, copy: Path, name: str, content: bytes
) -> None:
    (copy / name).write_bytes(content)
    assert name in named(copy, disclosed)


def test_a_name_that_is_no_text(disclosed: Disclosed, copy: Path) -> None:
    (Path(os.fsdecode(os.fsencode(copy) + b"/data/\xff\x1b[2J"))).write_bytes(b"x")
    said = named(copy, disclosed)
    assert "names a place outside" in said
    assert "\x1b" not in said


def test_a_package_that_is_too_deep(disclosed: Disclosed, copy: Path) -> None:
    deep = copy / "data"
    for _ in range(20):
        deep /= "d"
    deep.mkdir(parents=True)
    (deep / "x").touch()
    assert "lies deeper" in named(copy, disclosed)


@given(st.text())
def test_only_plain_relative_paths_are_inside(path: str) -> None:
    if is_inside(path):
        assert os.path.normpath(f"/root/{path}") == f"/root/{path}"


# Programs that we did not write.


def go(disclosed: Disclosed, package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    binary = disclosed.directory.parent / "verify"
    environment = {**os.environ, **GO, "GOCACHE": str(disclosed.directory.parent / "cache")}
    if not binary.exists():
        source = disclosed.directory / "data/tools/verify.go"
        subprocess.run(["go", "build", "-o", binary, source], check=True, env=environment)
    return subprocess.run([binary, *arguments, package], capture_output=True, text=True, check=False)


@pytest.mark.stock
@pytest.mark.skipif(shutil.which("go") is None, reason="golang-go is not installed")
def test_go_confirms_the_package_and_names_what_is_wrong(disclosed: Disclosed, copy: Path) -> None:
    assert go(disclosed, copy, "-key", disclosed.vkey).returncode == 0
    alone = go(disclosed, copy)
    assert alone.returncode == 3
    assert "which nothing here confirms" in alone.stdout
    assert go(disclosed, copy, "-key", SigningKey.generate("other").vkey).returncode == 1
    for pattern in ("data/originals/0001_*", "data/receipts/*", "data/checkpoint", "data/log-key.txt"):
        path = min(copy.glob(pattern))
        flip(path, 40)
        wrong = go(disclosed, copy, "-key", disclosed.vkey)
        assert wrong.returncode == 1
        assert path.name in wrong.stdout
        flip(path, 40)


@pytest.mark.stock
def test_openssl_and_base64_do_what_the_readme_says(disclosed: Disclosed) -> None:
    recording, statement = disclosed.recordings[0], disclosed.package.statement.recordings[0]
    shell = (
        f"openssl dgst -sha256 -r '{statement.path}' | cut -c1-64;"
        f"sed -n 's/^extra //p' data/receipts/{recording}.tlog-proof | base64 -d;"
        "echo; head -n 1 data/log-key.txt | cut -d+ -f3- | base64 -d | tail -c +2 |"
        "openssl dgst -sha256 -r | cut -c1-64"
    )
    done = subprocess.run(
        ["sh", "-c", shell], cwd=disclosed.directory, capture_output=True, text=True, check=True
    )
    digest, entry, fingerprint = done.stdout.splitlines()
    assert json.loads(entry)["object"]["sha256"] == digest == statement.sha256
    assert fingerprint == disclosed.package.statement.log.fingerprint.replace(" ", "")
