from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import Exit

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("core", "vault", "devices", "media", "ingest", "casework", "webconsole", "sealdock")
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def documents() -> list[Path]:
    """Every page of the repository; packages and what they bring along are not ours."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    ).stdout  # fmt: skip
    return [ROOT / name for name in names.splitlines() if (ROOT / name).exists() and "/vendor/" not in name]


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    yield from (
        target for target in LINK.findall(text) if "://" not in target and not target.startswith("mailto:")
    )


def test_what_comes_from_the_code_is_fresh() -> None:
    checked = subprocess.run(
        [ROOT / "script/generate-docs", "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, f"run script/generate-docs\n{checked.stdout}{checked.stderr}"


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in documents() for target in links(page)
        if not (page.parent / target).exists()
    ]  # fmt: skip
    assert broken == []


def test_every_page_that_the_code_names_is_there() -> None:
    named = re.compile(r"\b(?:docs|firmware_profiles|systemd)/[A-Za-z0-9_./-]+\.(?:md|toml|json|go|conf)\b")
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    found = {(path, name) for path in sources for name in named.findall(path.read_text(encoding="utf-8"))}
    assert (
        sorted(f"{path.relative_to(ROOT)}: {name}" for path, name in found if not (ROOT / name).exists())
        == []
    )


def test_every_decision_is_in_the_index_and_has_its_parts() -> None:
    index = (ROOT / "docs/adr/README.md").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs/adr").glob("0*.md")):
        text = page.read_text(encoding="utf-8")
        assert page.name[:4] in index
        for part in ("context", "decision", "not taken", "consequences"):
            assert part in text.casefold(), f"{page.name} lacks {part}"


def test_the_manual_names_every_exit_code() -> None:
    manual = (ROOT / "docs/operations/commands.md").read_text(encoding="utf-8")
    for code in Exit:
        assert f"| {code.value} |" in manual


@pytest.mark.parametrize("page", ["daily"])
def test_the_operators_page_says_the_same_in_both_languages(page: str) -> None:
    english = (ROOT / f"docs/operations/{page}.md").read_text(encoding="utf-8")
    chinese = (ROOT / f"docs/operations/{page}.zh-CN.md").read_text(encoding="utf-8")
    for shape in (r"^## ", r"^\d+\. ", r"^- ", r"^\| ", r"^    \S"):
        counts = [len(re.findall(shape, text, re.MULTILINE)) for text in (english, chinese)]
        assert counts[0] == counts[1], f"{shape!r} occurs {counts}"


def test_every_change_says_what_it_is_and_for_whom() -> None:
    for change in (ROOT / "changes.d").glob("2*.md"):
        head = change.read_text(encoding="utf-8").splitlines()[:2]
        assert head[0] in {"kind: new", "kind: better", "kind: mended", "kind: security"}, change.name
        assert head[1].removeprefix("for: ") in {
            "officer", "custodian", "reviewer", "operator", "expert", "developer",
        }, change.name  # fmt: skip
