"""docs/formats: every page runs as printed on the example vault, with programs that none of us wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs.format_page import BLOCK, EXAMPLE, FORMATS, RUN, ran

from casework.paper.scan import joined
from vault.audit.verify import verify_vault
from vault.formats.note import VerifierKey


@pytest.mark.stock
@pytest.mark.parametrize("name", RUN)
def test_a_page_says_what_its_commands_print(name: str, tmp_path: Path) -> None:
    page = FORMATS / f"{name}.md"
    done, printed = ran(page, tmp_path / "example")
    assert done.returncode == 0, done.stderr
    shown = [found[2] for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    assert len(shown) == len(printed)
    assert [one for one in shown if one is not None] == [
        said for one, said in zip(shown, printed, strict=True) if one is not None
    ]


@pytest.mark.parametrize("name", RUN)
def test_a_page_has_its_parts_in_order(name: str) -> None:
    text = (FORMATS / f"{name}.md").read_text(encoding="utf-8")
    places = [text.index(part) for part in ("## Example", "## Terms", "## Rules")]
    assert places == sorted(places)
    assert "MUST" in text


def test_every_format_has_a_page_in_the_index() -> None:
    index = (FORMATS / "README.md").read_text(encoding="utf-8")
    pages = sorted(path.name for path in FORMATS.glob("*.md") if path.name != "README.md")
    assert [name for name in pages if f"({name})" not in index] == []


def test_the_example_is_a_whole_vault() -> None:
    report = verify_vault(EXAMPLE / "vault", VerifierKey.parse((EXAMPLE / "vkey").read_text().strip()))
    assert report.failures == []
    codes = sorted(EXAMPLE.glob("code-*.txt"))
    assert joined([code.read_bytes() for code in codes]) == (EXAMPLE / "receipt.tlog-proof").read_bytes()
