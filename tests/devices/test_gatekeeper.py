"""The gate with the real pyudev and libudev: what is there, what comes, and what stays out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_the_gate_decides_what_is_there_and_what_comes() -> None:
    environment = os.environ | {"PYTHONPATH": f"{HERE.parents[1]}:{HERE}"}
    done = subprocess.run(
        ["umockdev-wrapper", sys.executable, str(HERE / "gate_scene.py")],
        capture_output=True, text=True, timeout=60, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"1-1')))
    assert said == {
        "1-1/1-1:1.0": "0",  # the keyboard that was bound in a bay has lost its driver
        "1-9/1-9:1.0": "1",  # the station's own works on
        "1-2/1-2:1.0": "1",
        "1-2/1-2:1.1": "0",
        "default": "0",
    }
    assert "interfaces refused" in done.stdout + done.stderr
