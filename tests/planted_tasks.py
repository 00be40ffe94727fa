"""Task files with one fault each, and what the linter must find in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kernelwright.bench_tasks.own import tasks_of_file
from kernelwright.bench_tasks.suite import SuiteTask

__all__ = ["CLEAN", "PLANTED", "Planted", "planted_task"]

_HEAD = """\
import torch

ROWS, COLS = 8192, 4096
TWIN = {"ROWS": 8, "COLS": 96}
WORKLOADS = [{"distribution": "as_given", "seeds": 2}, {"distribution": "normal"}, {"distribution": "mixed", "strided": True}]

"""
_ONE = """
def get_inputs():
    return [torch.randn(ROWS, COLS)]
"""
_TWO = """
def get_inputs():
    return [torch.randn(ROWS, COLS), torch.randn(ROWS, COLS)]
"""
_WITH_WEIGHT = """\
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn({size}))
"""


@dataclass(frozen=True)
class Planted:
    """One fault."""

    source: str
    """Of the whole file."""
    grave: frozenset[str]
    """Rules that refuse or mark it: these and no others."""
    notes: frozenset[str] = frozenset()
    """Rules that are noted, among others."""
    refused: bool = False
    quick: bool = False
    """Whether a default run has it."""


def _planted(
    forward: str, inputs: str = _ONE, *, arguments: str = "x", grave: str = "", notes: str = "", refused: bool = False,
    quick: bool = False, init: str = "", head: str = _HEAD,
) -> Planted:  # fmt: skip
    model = init or "class Model(torch.nn.Module):\n"
    body = f"{model}\n    def forward(self, {arguments}):\n        {forward}\n"
    return Planted(head + body + inputs, frozenset(grave.split()), frozenset(notes.split()), refused, quick)


def _weight(size: str) -> str:
    return _WITH_WEIGHT.format(size=size)


CLEAN = {
    "exp": _planted("return torch.exp(x) * y", _TWO, arguments="x, y", quick=True),
    "linear": _planted("return x @ self.w", init=_weight("COLS, 16")),
    "linear_backward": _planted(
        "return torch.tanh(x @ self.w)",
        init=_weight("COLS, 16"),
        head=_HEAD + "BACKWARD = True\n",
        quick=True,
    ),
    "sum_backward": _planted("return x + y", _TWO, arguments="x, y", head=_HEAD + "BACKWARD = True\n"),
    "mean": _planted("return x.mean()", notes="mean-of-inputs small-output ignores-input", quick=True),
    "row_sum": _planted("return x.sum(1)"),
    "gather": _planted(
        "return x[rows]",
        "\ndef get_inputs():\n    return [torch.randn(ROWS, COLS), torch.randint(0, ROWS, (ROWS // 2,))]\n",
        arguments="x, rows",
    ),
    "in_place": _planted("x.mul_(y); return x.sum(1)", _TWO, arguments="x, y", notes="changes-input"),
    "sort": _planted("return torch.sort(x, 1)"),
}

PLANTED = {
    "zeros": _planted("return torch.floor(torch.sigmoid(x) * 0.99)", grave="zeros idle-op", refused=True, quick=True),
    "constant": _planted("return torch.softmax(x.sum(1, keepdim=True), 1)", grave="constant idle-op", refused=True),
    "mean_of_inputs": _planted(
        "return x.amax(1)", "\ndef get_inputs():\n    return [torch.randn(()).expand(ROWS, COLS).contiguous()]\n",
        grave="mean-of-inputs",
    ),
    "an_input": _planted(
        "return torch.relu(x)", "\ndef get_inputs():\n    return [torch.rand(ROWS, COLS)]\n",
        grave="an-input", notes="no-negative-input idle-op fixed-tolerance", quick=True,
    ),
    "previous_output": _planted(
        "return torch.nn.functional.one_hot(x % 7, 7).float() * 2 - 0.5",
        "\ndef get_inputs():\n    return [torch.arange(ROWS * COLS).reshape(ROWS, COLS)]\n",
        grave="previous-output", notes="constant-input", refused=True,
    ),
    "one_output": _planted(
        "return torch.exp(x), torch.softmax(x.sum(1, keepdim=True), 1)", grave="constant idle-op", quick=True,
    ),
    "zero_gradient": _planted(
        "return torch.softmax(x + self.w, 1)", init=_weight("1"), head=_HEAD + "BACKWARD = True\n",
        grave="zero-gradient ignores-weight",
    ),
    "ignores_input": _planted(
        "return torch.softmax(x + y.mean(1, keepdim=True), 1)", _TWO, arguments="x, y",
        grave="ignores-input", refused=True, quick=True,
    ),
    "ignores_weight": _planted("return torch.softmax(x + self.w, 1)", init=_weight("1"), grave="ignores-weight"),
    "ignores_axis": _planted("return torch.exp(x[:, :1] + y)", _TWO, arguments="x, y", grave="ignores-axis"),
    "constant_axis": _planted("return torch.exp(x).sum(1, keepdim=True).expand(ROWS, COLS).contiguous()", grave="constant-axis"),
    "fixed_tolerance": _planted(
        "return x.mean(1) * 1e-3", notes="fixed-tolerance small-output",
    ),
    "big_output": _planted("return x * 1e8", grave="big-output"),
    "not_finite": _planted("return torch.log(x)", grave="not-finite"),
    "little_variation": _planted("return torch.exp(x) * 1e-4 + 5", notes="little-variation"),
    "weak_effect": _planted("return x + y * 1e-4", _TWO, arguments="x, y", notes="weak-effect"),
    "one_shape": _planted("return torch.exp(x)", notes="one-shape", head=_HEAD.replace(', "strided": True', "")),
    "idle_op": _planted("return torch.relu(torch.exp(x))", grave="idle-op"),
    "mean_twice": _planted("return x.exp().mean(1, keepdim=True).mean(1)", grave="idle-op"),
    "guard": _planted("return torch.sqrt(x.square().sum(1).clamp(min=1e-30))", notes="idle-op"),
    "unused_op": _planted("y = torch.sigmoid(x); return torch.exp(x)", grave="unused-op", quick=True),
    "unused_copy": _planted("y = torch.cat([x, x]); return torch.exp(x)", notes="unused-op"),
    "unused_weight": _planted("return torch.exp(x)", init=_weight("COLS"), grave="unused-weight ignores-weight"),
    "dropout": _planted(
        "return self.drop(x)", grave="dropout", notes="random",
        init="class Model(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.drop = torch.nn.Dropout(0.5)\n",
    ),
    "changes_state": _planted(
        "return self.norm(x)", grave="changes-state",
        init="class Model(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.norm = torch.nn.BatchNorm1d(COLS)\n",
    ),
    "launch_bound": _planted("return torch.exp(x)", grave="launch-bound", head=_HEAD.replace("8192, 4096", "64, 96")),
    "no_twin": _planted(
        "return torch.exp(x)", notes="no-twin",
        head=_HEAD.replace("8192, 4096", "8, 300_000").replace('TWIN = {"ROWS": 8, "COLS": 96}\n', ""),
    ),
    "large_twin": _planted("return torch.exp(x)", notes="large-twin", head=_HEAD.replace('"COLS": 96', '"COLS": 300_000')),
    "not_checked": _planted(
        "return torch.exp(x) * float(x.sum().sign().item())", notes="not-checked",
    ),
    "not_usable": _planted("raise ValueError('no')", grave="not-usable", refused=True, quick=True),
}  # fmt: skip


def planted_task(folder: Path, name: str, planted: Planted) -> SuiteTask:
    """The task of a file with its source."""
    path = folder / f"{name}.py"
    path.write_text(planted.source, encoding="utf-8")
    return tasks_of_file(path)[0]
