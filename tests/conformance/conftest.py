"""Programs that none of us wrote; a missing one fails the test, because an unproven format is worth nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Program = Callable[..., subprocess.CompletedProcess[bytes]]


def require(program: str) -> str:
    path = shutil.which(program)
    assert path, f"{program} is not installed; script/bootstrap installs it"
    return path


@pytest.fixture(scope="session")
def run() -> Program:
    """Run a program from PATH; its standard input may be given as `input`."""

    def run(program: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
        argv = [require(program), *map(str, arguments)]
        return subprocess.run(argv, capture_output=True, check=False, timeout=120, **options)  # type: ignore[call-overload]

    return run


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Build one of our Go sources with Debian's golang and x/mod, once; gives the program's path."""
    built: dict[str, str] = {}
    place = tmp_path_factory.mktemp("go")
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": "/usr/share/gocode",
        "GOCACHE": str(place / "cache"),
    }

    def build(source: str) -> str:
        if source not in built:
            target = place / Path(source).stem
            argv = [require("go"), "build", "-o", str(target), str(ROOT / source)]
            done = subprocess.run(argv, capture_output=True, check=False, timeout=240, env=environment)
            assert done.returncode == 0, done.stderr.decode()
            built[source] = str(target)
        return built[source]

    return build
