"""Ten kinds of bad input, through the program: a clear message, the right exit code, nothing lost, no traceback."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from door_nouns import RUN, attempt, passed

from kernelwright.cli import run
from kernelwright.config import load_settings
from kernelwright.db.store import Store
from kernelwright.sandbox.kernel import Kernel

Cli = Callable[..., subprocess.CompletedProcess[str]]

TASK = """\
import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return x * 2.0


def get_inputs():
    return [torch.randn(100)]


def get_init_inputs():
    return []
"""

KERNEL = """\
import cupy
import numpy as np
import torch

SOURCE = r'''
extern "C" __global__ void twice(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        y[i] = 2.0f * x[i];
    }
}
'''
module = cupy.RawModule(code=SOURCE, options=("--std=c++17",))


class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            module.get_function("twice")((1,), (128,), (x.data_ptr(), y.data_ptr(), np.int32(x.numel())))
        return y
"""


@pytest.fixture
def kept(home: Path) -> Path:
    """A store that holds a run already, which no bad input may harm."""
    with Store(load_settings().database_url) as store:
        store.create_run(RUN)
        store.add_attempt(attempt(1, passed()))
    return home


def _refused(cli: Cli, *arguments: str) -> dict[str, Any]:
    """The error object on standard output; people read the same on standard error."""
    done = cli(*arguments, "--json")
    assert done.returncode == 2, done.stdout + done.stderr
    error: dict[str, Any] = json.loads(done.stdout)["error"]
    said = " ".join(done.stderr.split())
    assert error["mend"], error
    assert error["message"] in said
    assert error["mend"] in said
    assert "Traceback" not in done.stdout + done.stderr
    with Store(load_settings().database_url) as store:
        assert [run.id for run in store.runs()] == [RUN.id]  # nothing lost, nothing half-made
    assert list(Path().glob("*.kernel.py")) == []
    return error


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        pytest.param(("return x * 2.0", "return x * * 2.0"), 7, "syntax", id="syntax-error"),
        pytest.param(("class Model(", "class Mode1("), None, "Model", id="no-Model"),
        pytest.param(("return [torch.randn(100)]", "raise OSError('no data')"), 11, "no data", id="get_inputs-raises"),
        pytest.param(("return x * 2.0", "return 'two'"), None, "str", id="output-is-no-tensor"),
        pytest.param(("return x * 2.0", "return x * torch.rand(1)"), None, "same", id="not-deterministic"),
        pytest.param(
            ("import torch\n", "import torch\nimport no_such_package\n"), 2, "no_such_package", id="missing-package"
        ),
    ],
)
def test_bad_task(kept: Path, cli: Cli, change: tuple[str, str], line: int | None, said: str) -> None:
    assert change[0] in TASK
    Path("task.py").write_text(TASK.replace(*change, 1))
    error = _refused(cli, "optimize", "task.py")
    assert error["kind"] == "TaskError"
    assert said in error["message"] + error["mend"]
    assert str(error["path"]).endswith("task.py")
    if line is not None:
        assert error["line"] == line


def test_module_that_changes_its_input(kept: Path, cli: Cli) -> None:
    Path("task.py").write_text(TASK.replace("return x * 2.0", "y = x * 2.0\n        x.add_(1.0)\n        return y"))
    error = _refused(cli, "optimize", "task.py")
    assert (error["kind"], error["line"]) == ("TaskError", 8)
    assert "in place" in error["message"]
    assert "clone" in error["mend"]


def test_file_that_ends_the_process(kept: Path, cli: Cli) -> None:
    Path("task.py").write_text("import os\nos._exit(0)\n" + TASK)
    error = _refused(cli, "verify", "task.py", "task.py")
    assert error["kind"] == "TaskError"
    assert "exit code 0" in error["message"]
    assert "memory" not in error["message"] + error["mend"]


def test_no_such_file(kept: Path, cli: Cli) -> None:
    error = _refused(cli, "optimize", "missing.py")
    assert (error["kind"], error["path"]) == ("TaskError", "missing.py")


def _judged(cli: Cli, kernel: str) -> dict[str, Any]:
    """Verifies `kernel` on `TASK` and returns the JSON; it must be stored, with exit code 1."""
    Path("task.py").write_text(TASK)
    Path("kernel.py").write_text(kernel)
    done = cli("verify", "task.py", "kernel.py", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    view: dict[str, Any] = json.loads(done.stdout)
    assert view["reason"]
    assert view["timing"] is None
    with Store(load_settings().database_url) as store:
        (evaluation,) = store.evaluations_of(Kernel(kernel, "").id)
        assert evaluation.verdict.value == view["verdict"]
        assert store.run(RUN.id) == RUN
    return view


def test_good_kernel_passes(kept: Path, cli: Cli) -> None:
    """The kernel that the following tests break is itself fine."""
    Path("task.py").write_text(TASK)
    Path("kernel.py").write_text(KERNEL)
    done = cli("verify", "task.py", "kernel.py", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    view = json.loads(done.stdout)
    assert (view["verdict"], view["timing"]["kind"], view["timing"]["gpu"]) == ("passed", "modelled", "H200")
    assert {stage["status"] for stage in view["stages"]} <= {"passed", "warned", "skipped"}
    assert view["device"]["kind"] == "emulator"


def test_kernel_without_model_new(kept: Path, cli: Cli) -> None:
    view = _judged(cli, KERNEL.replace("class ModelNew", "class Model0"))
    assert view["verdict"] == "rejected"
    assert "ModelNew" in view["reason"]


def test_kernel_that_is_no_python(kept: Path, cli: Cli) -> None:
    view = _judged(cli, "class ModelNew(:\n    pass\n")
    assert view["verdict"] in {"rejected", "compile_error"}
    assert "(line 1)." in view["reason"]
    assert view["stages"][-1]["evidence"]["excerpt"] == "    1 | class ModelNew(:"


def test_cuda_that_does_not_compile(kept: Path, cli: Cli) -> None:
    view = _judged(cli, KERNEL.replace("2.0f * x[i];", "2.0f * z[i];"))
    assert view["verdict"] == "compile_error"
    assert '"z"' in view["reason"]
    assert view["reason"].lower().count("does not compile") == 1
    (build,) = (stage for stage in view["stages"] if stage["status"] == "failed")
    number, quote, margin, caret = (
        part for line in build["evidence"]["excerpt"].split("\n") for part in line.split("|")
    )
    assert (number.strip(), quote.strip(), margin.strip()) == ("5", "y[i] = 2.0f * z[i];", "")
    assert quote[caret.index("^")] == "z"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("        y[i] = 2.0f * x[i];", "        while (x[i] == x[i]) y[i] = x[i];", id="cuda"),
        # from the second call on: the first one may take as long as a build
        pytest.param(
            "class ModelNew(torch.nn.Module):\n    def forward(self, x):\n",
            "CALLS = []\n\n\nclass ModelNew(torch.nn.Module):\n    def forward(self, x):\n        CALLS.append(0)\n        while len(CALLS) > 1:\n            pass\n",
            id="python",
        ),
    ],
)
def test_kernel_that_never_ends(kept: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    monkeypatch.setenv("KERNELWRIGHT_CALL_SECONDS", "2")
    assert old in KERNEL
    view = _judged(cli, KERNEL.replace(old, new))
    assert view["verdict"] == "timeout"


def test_out_of_bounds_write(kept: Path, cli: Cli) -> None:
    view = _judged(cli, KERNEL.replace("if (i < n)", "if (true)"))
    assert view["verdict"] == "unsafe"
    assert "line 5" in view["reason"] or "line 6" in view["reason"]
    assert "bounds" in view["reason"]
    assert " times). Guard " in view["reason"]


@pytest.mark.parametrize(
    "command",
    [("verify", "{}", "{}"), ("dataset", "build", "{}"), ("dataset", "import", "{}"), ("dataset", "build", "o", "--held-out", "{}"), ("bench", "list", "{}")],
)  # fmt: skip
@pytest.mark.usefixtures("home")
def test_a_name_that_no_file_can_have_is_misuse(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([part.format("x" * 300) for part in command]) == 2
    said = capsys.readouterr().err
    assert "too long" in said
    assert "bug" not in said


@pytest.mark.usefixtures("home")
def test_a_flag_that_does_nothing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def said(*flags: str) -> str:
        assert run(["optimize", "missing.py", *flags]) == 2
        return capsys.readouterr().err

    assert "note: --sampler does nothing with the strategy refine, but with fsr," in said("--sampler", "tpe")
    assert "note: --archive does nothing" in said("--archive", "shared", "--strategy", "fsr")
    assert "note" not in said("--archive", "shared", "--strategy", "evolve", "--islands", "3", "--sampler", "tpe")
