"""The main job through the program: what is shown, what is written, and that a stop at any moment loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelwright.config import load_settings
from kernelwright.db.store import Store
from kernelwright.export import MARKER

Cli = Callable[..., subprocess.CompletedProcess[str]]
EXAMPLES = sorted(p for p in (Path(__file__).parents[2] / "examples").glob("*.py") if ".kernel" not in p.name)

SMALL = """\
import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)


def get_inputs():
    return [torch.randn(64, 256)]


def get_init_inputs():
    return []
"""
NOT_LOWERED = SMALL.replace("torch.softmax(x, dim=-1)", "torch.linalg.svdvals(x)")


def _cases() -> list[Any]:
    return [pytest.param(path, id=path.stem, marks=pytest.mark.examples) for path in EXAMPLES]


@pytest.mark.slow
@pytest.mark.parametrize("example", _cases())
def test_every_example_passes(cli: Cli, example: Path) -> None:
    done = cli("optimize", example, "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    view = json.loads(done.stdout)
    assert view["best"]["evaluation"]["verdict"] == "passed"
    assert Path(view["out"]).name == f"{example.stem}.kernel.py"
    timing = view["best"]["evaluation"]["timing"]
    assert (timing["kind"], timing["gpu"]) == ("modelled", "H200")
    assert 0.0 < timing["roofline_share"] <= 1.0


@pytest.mark.slow
def test_what_a_person_sees(cli: Cli) -> None:
    Path("small.py").write_text(SMALL)
    done = cli("optimize", "small.py", "--rounds", "2", "--gpu", "a100")
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout
    for said in (
        "Run small-",
        "Round 1/2",
        "build",
        "correctness",
        "judge: ",
        "Attempts",
        "Best",
        "roofline",
        "Written: small.kernel.py",
    ):
        assert said in text, said
    assert "modelled for A100" in text
    assert Path("small.kernel.py").read_text().startswith(MARKER)


def test_a_file_in_the_way_is_found_before_any_work(cli: Cli) -> None:
    Path("small.py").write_text(SMALL)
    Path("small.kernel.py").write_text("precious\n")
    done = cli("optimize", "small.py")
    assert done.returncode == 2
    assert Path("small.kernel.py").read_text() == "precious\n"
    assert json.loads(cli("runs", "--json").stdout) == {"runs": []}


def test_a_module_of_which_nothing_can_be_lowered(cli: Cli) -> None:
    Path("small.py").write_text(NOT_LOWERED)
    done = cli("optimize", "small.py")
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("small.kernel.py").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGTERM, marks=pytest.mark.long), signal.SIGKILL], ids=lambda how: how.name
)
def test_a_stop_loses_no_finished_attempt(cli: Cli, how: signal.Signals) -> None:
    Path("small.py").write_text(SMALL)
    command = [sys.executable, "-m", "kernelwright", "optimize", "small.py", "--rounds", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ), start_new_session=True
    ) as program:
        assert program.stdout is not None
        for line in program.stdout:
            if line.startswith("Round 2/"):
                break
        program.send_signal(how)
        _, err = program.communicate(timeout=120)
    with Store(load_settings().database_url) as store:
        (run,) = store.runs()
        before = store.attempts(run.id)
    assert len(before) >= 1
    if how is signal.SIGKILL:
        assert program.returncode == -signal.SIGKILL
    else:
        assert program.returncode == 130, err
        assert f"kernelwright resume {run.id}" in err
        assert run.status.value == "interrupted"
    done = cli("resume", run.id, "--json")
    assert done.returncode == 0, done.stderr
    view = json.loads(done.stdout)
    assert (view["id"], view["status"]) == (run.id, "finished")
    assert [a["kernel"]["id"] for a in view["attempts"]][: len(before)] == [a.kernel.id for a in before]
    assert Path("small.kernel.py").exists()
