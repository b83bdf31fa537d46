"""The endurance commands of docs/reliability.md run; how far memory grows is for long runs to say."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        (["many_images.py", "--images", "300", "--limit", "500"], ["loader: 29", "evaluation: 300 images"]),
        (
            ["long_run.py", "--iterations", "5", "--limit", "500"],
            [
                f"5 {name}"
                for name in ("stage-2 iterations", "films in torch", "films in onnxruntime", "films in openvino")
            ],
        ),
    ],
    ids=["many_images", "long_run"],
)
def test_command_runs_to_its_end(command, lines):
    typed = [sys.executable, str(ROOT / "tests" / "endurance" / command[0]), *command[1:]]
    done = subprocess.run(typed, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    for line in lines:
        assert line in done.stdout
