"""No honest kernel of this repository is rejected, and what it leaves to torch is told by the task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from builtin_harness import coder_for
from builtin_modules import GeluBiasDropoutResidual, R, SwiGLU
from hostile.cases import PAIRS
from static_modules import cupy_module, rejected, report
from torch import nn

from kernelwright.bench_tasks.kernelbench import read_task
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.static import Severity, StaticReport, analyse

ROOT = Path(__file__).parents[3]
EXTENSIONS = sorted((ROOT / "tests" / "sandbox" / "extensions").glob("*.py"))
TASK = """
import torch
import torch.nn as nn
import torch.nn.functional as F
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(4)
    def forward(self, x):
        return F.relu(self.norm(x) @ x)
def get_inputs():
    return [torch.randn(4, 4)]
def get_init_inputs():
    return []
"""


@pytest.mark.parametrize("path", EXTENSIONS, ids=lambda path: path.stem)
def test_extensions_are_not_rejected(path: Path) -> None:
    assert not rejected(path.read_text())
    found = report(path.read_text())
    assert found.kernels or found.not_analysed


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_honest_twins_are_not_rejected(pair: object) -> None:
    assert not rejected(pair.twin)  # type: ignore[attr-defined]


CODER_TASKS: dict[str, Callable[[], tuple[nn.Module, tuple[torch.Tensor, ...]]]] = {
    "softmax": lambda: (nn.Softmax(-1), (R(48, 1024),)),
    "layer_norm": lambda: (nn.LayerNorm(768), (R(33, 768),)),
    "rms_norm": lambda: (nn.RMSNorm(512), (R(2, 17, 512),)),
    "gelu_bias_dropout_residual": lambda: (GeluBiasDropoutResidual(96), (R(8, 13, 96), R(8, 13, 96))),
    "swiglu": lambda: (SwiGLU(40, 72), (R(2, 19, 40),)),
    "linear_relu": lambda: (nn.Sequential(nn.Linear(100, 60), nn.ReLU()), (R(37, 100),)),
    "cross_entropy": lambda: (nn.CrossEntropyLoss(), (R(64, 101), torch.randint(0, 101, (64,)))),
    "mlp": lambda: (nn.Sequential(nn.Linear(64, 130), nn.GELU(), nn.Linear(130, 24)), (R(50, 64),)),
}


@pytest.mark.parametrize("name", CODER_TASKS)
def test_what_the_built_in_coder_writes_is_not_rejected_nor_doubted(name: str) -> None:
    module, inputs = CODER_TASKS[name]()
    coder = coder_for(module, inputs)
    found = report(coder.write(coder.defaults)[0])
    assert found.kernels
    assert not found.not_analysed
    assert [f for f in found.findings if f.severity is not Severity.NOTE] == []


@pytest.fixture(scope="module")
def task_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("task") / "task.py"
    path.write_text(TASK)
    return path


def told(forward: str, path: Path, init: str = "") -> StaticReport:
    return analyse(Kernel(cupy_module(forward, init=init), "t"), read_task(path))


@pytest.mark.parametrize(
    ("forward", "init"),
    [
        ("return torch.relu(run(x))", ""),
        ("return run(x).relu()", ""),
        ("return self.act(run(x))", "self.act = nn.ReLU()"),
        ("return torch.matmul(run(x), x)", ""),
        ("return torch.mm(run(x), x)", ""),
        ("return F.layer_norm(run(x), (4,))", ""),
        ("return self.norm(run(x))", "self.norm = nn.LayerNorm(4)"),
    ],
)
def test_an_op_of_the_reference_is_a_warning(forward: str, init: str, task_file: Path) -> None:
    found = told(forward, task_file, init)
    assert found.rejection is None
    assert ["the reference computes it too" in f.reason for f in found.warnings if f.rule == "left_to_torch"] == [True]


@pytest.mark.parametrize("forward", ["return torch.softmax(run(x), 1)", "return run(x).exp()", "return F.gelu(run(x))"])
def test_an_op_that_the_reference_has_not_is_told_as_such(forward: str, task_file: Path) -> None:
    found = told(forward, task_file)
    assert found.rejection is None
    assert ["the reference has no such operation" in f.reason for f in found.warnings if f.rule == "left_to_torch"] == [
        True
    ]
