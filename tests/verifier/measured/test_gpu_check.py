"""`make gpu-check` where there is no GPU: what it says, and all of it but the GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kernelwright.sandbox.device import gpu_problem

CHECK = Path(__file__).parents[3] / "benchmarks" / "gpu_check.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(CHECK), *arguments], capture_output=True, text=True, timeout=280, check=False
    )


@pytest.mark.skipif(not gpu_problem(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    done = run()
    assert done.returncode == 1
    assert done.stderr == f"error: gpu-check needs a GPU, but {gpu_problem()}.\n"


@pytest.mark.slow
def test_everything_but_the_gpu(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    done = run(
        "--runtime", "emulated", "--only", "^relu-naive$", "--jobs", "1", "--isolation", "process", "--json", str(file)
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "no time above says anything" in done.stdout
    found = json.loads(file.read_text())
    (row,) = found["rows"]
    assert row["right"]
    assert row["same_bits"]
    assert row["launch_difference"] == ""
    assert row["wall"]["ratio"] > 0
    assert set(row["measured"]) == {"candidate", "eager"}
    assert found["environment"]["runtime"] == "emulated"
    assert found["summary"]["kernels_right"] == found["summary"]["kernels_timed"] == 1
