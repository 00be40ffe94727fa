"""Persistent grids: the same results from a few blocks that take the work piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from builtin_harness import Runner, check
from torch import nn
from torch.nn import functional as F

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.persistent import with_blocks_per_sm
from kernelwright.bench_tasks.graph import Graph
from kernelwright.sandbox.capture import capture
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.model.kernel_time import kernel_time

SMS = 3


class Calls(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x: torch.Tensor) -> Any:
        return self.function(*x)


def coder_for(module: nn.Module, inputs: tuple[Any, ...], sms: int = SMS) -> BuiltinCoder:
    return BuiltinCoder(Graph.from_json(capture(module, inputs).to_json()), "task", sms=sms)


def R(*shape: int) -> torch.Tensor:
    return torch.randn(*shape)


CASES: dict[str, tuple[Callable[..., Any], tuple[torch.Tensor, ...], dict[str, Any]]] = {
    "elements": (lambda x: torch.relu(x) + 1, (R(41, 97),), {"threads": 64, "vector_width": 1}),
    "elements, several a thread": (lambda x: torch.relu(x) + 1, (R(64, 128),), {"threads": 64, "unroll": 2}),
    "rows of one block": (lambda x: torch.softmax(x, -1), (R(23, 300),), {"threads": 64, "rows_per_block": 1}),
    "one reduction, shared memory": (lambda x: x.sum(-1), (R(23, 300),), {"threads": 128, "rows_per_block": 1}),
    "rows of a warp": (lambda x: x.sum(-1), (R(37, 100),), {"threads": 64, "rows_per_block": 2}),
    "rows read again": (
        lambda x: F.layer_norm(x, x.shape[-1:]), (R(21, 513),), {"threads": 64, "rows_per_block": 1, "strategy": "loop"}),
    "columns": (lambda x: x.mean(0), (R(90, 300),), {"threads": 128, "rows_per_block": 32}),
    "product": (torch.mm, (R(130, 70), R(70, 150)), {"tile_m": 32, "tile_n": 32}),
    "product in slices": (torch.mm, (R(100, 130), R(130, 110)), {"tile_m": 32, "tile_n": 32, "slices": 2}),
    "product of batches": (torch.bmm, (R(5, 70, 40), R(5, 40, 70)), {"tile_m": 32, "tile_n": 32}),
    "product on tensor cores": (
        torch.mm, (R(128, 96).half(), R(96, 192).half()), {"tile_m": 32, "tile_n": 32, "cores": "tensor"}),
}  # fmt: skip


@pytest.mark.parametrize("blocks_per_sm", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_few_blocks_do_the_work_of_many(runner: Runner, name: str, blocks_per_sm: int) -> None:
    function, inputs, knobs = CASES[name]
    torch.manual_seed(0)
    module = Calls(function)
    coder = coder_for(module, inputs)
    (kernel,) = {key.rpartition(".")[0] for key in coder.space}
    wanted = {f"{kernel}.{knob}": value for knob, value in knobs.items()}
    choice = coder.changed(coder.defaults, {**wanted, f"{kernel}.blocks_per_sm": blocks_per_sm})
    assert choice is not None
    assert "for (int turn = blockIdx.x;" in coder.write(choice)[0]
    check(runner, module, inputs, distributions=("mixed",), parameters=choice, coder=coder)
    (report,) = runner.reports
    assert report.grid == (SMS * blocks_per_sm, 1, 1)


def test_it_is_a_choice_only_where_blocks_would_have_more_than_one_piece() -> None:
    inputs = (R(64, 32),)
    module = Calls(lambda x: torch.softmax(x, -1))
    (key,) = [k for k in coder_for(module, inputs).space if k.endswith("blocks_per_sm")]
    assert coder_for(module, inputs).space[key] == (0, 1, 2, 4, 8, 16)
    assert coder_for(module, inputs, sms=32).space[key] == (0, 1)
    assert not [k for c in (coder_for(module, inputs, 64), coder_for(module, inputs, 0)) for k in c.space if k == key]
    coder = coder_for(module, inputs)
    kernel = key.rpartition(".")[0]
    changed = coder.changed(coder.defaults, {f"{kernel}.rows_per_block": 16, key: 4})
    assert changed is None or -(-64 // int(changed[f"{kernel}.rows_per_block"])) > SMS * 4


def test_a_split_row_or_product_has_a_plain_grid() -> None:
    coder = coder_for(Calls(lambda x: x.sum(-1)), (R(64, 8192),))
    (kernel,) = {key.rpartition(".")[0] for key in coder.space}
    changed = coder.changed(coder.defaults, {f"{kernel}.split": 4, f"{kernel}.blocks_per_sm": 1})
    assert changed is None


def test_the_forecast_agrees_with_what_is_counted(runner: Runner) -> None:
    inputs = (R(96, 300),)
    module = Calls(lambda x: torch.softmax(x, -1))
    coder = coder_for(module, inputs)
    (kernel,) = {key.rpartition(".")[0] for key in coder.space}
    rows = {f"{kernel}.rows_per_block": 1, f"{kernel}.threads": 64}
    reports: dict[int, LaunchReport] = {}
    for value in (0, 2, 4):
        choice = coder.changed(coder.defaults, {**rows, f"{kernel}.blocks_per_sm": value})
        assert choice is not None
        check(runner, module, inputs, distributions=(), parameters=choice, coder=coder)
        (reports[value],) = runner.reports
    gpu = find_gpu("H200").model_copy(update={"sms": SMS})
    for old, new in ((0, 2), (0, 4), (2, 4), (4, 2)):
        told = with_blocks_per_sm(reports[old], old, new, SMS)
        assert told is not None
        assert told.grid == reports[new].grid
        assert told.counters.warps == reports[new].counters.warps
        ratio = kernel_time(told, gpu).seconds / kernel_time(reports[new], gpu).seconds
        assert 0.8 < ratio < 1.25, (old, new, ratio)
    assert with_blocks_per_sm(reports[2], 2, 0, SMS) is None
    assert with_blocks_per_sm(reports[0], 0, 32, SMS) is None
