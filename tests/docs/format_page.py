"""The pages of docs/formats as programs: every `sh` block runs, and the `text` block behind one is what it prints.

PYTHONPATH=tests python tests/docs/format_page.py    writes the outputs anew after the example was made again
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

FORMATS = Path(__file__).resolve().parents[2] / "docs" / "formats"
EXAMPLE = FORMATS / "example"
RUN = ("object", "entry", "log", "receipt", "keys", "packs-and-slots", "bucket", "package")
BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:\n?```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
MARK = "\x1e"


def ran(page: Path, place: Path) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The page's blocks run one after the other in a copy of the example; what each printed."""
    shutil.copytree(EXAMPLE, place)
    blocks = [found[1] for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    script = f"printf '{MARK}'\n".join(blocks)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        capture_output=True, text=True, check=False, cwd=place, timeout=120,
    )  # fmt: skip
    return done, done.stdout.split(MARK)


def rewrite(page: Path, place: Path) -> None:
    """Put what the commands print into the page."""
    done, printed = ran(page, place)
    if done.returncode:
        raise SystemExit(f"{page}: {done.stderr}")
    outputs = iter(printed)

    def filled(found: re.Match[str]) -> str:
        said = next(outputs)
        return (
            f"```sh\n{found[1]}```\n" if found[2] is None else f"```sh\n{found[1]}```\n\n```text\n{said}```\n"
        )

    page.write_text(BLOCK.sub(filled, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    for name in RUN:
        with tempfile.TemporaryDirectory() as scratch:
            rewrite(FORMATS / f"{name}.md", Path(scratch) / "example")
