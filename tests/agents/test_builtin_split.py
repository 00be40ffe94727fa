"""Matrix products whose inner dimension is split over blocks: right, and the same bits every time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from builtin_harness import Runner, check, coder_for
from builtin_modules import Calls, R
from torch import nn
from torch.nn import functional as F

from kernelwright.agents.builtin.tensor_forecast import on_tensor_cores
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.model.kernel_time import kernel_time

H200 = find_gpu("H200")
HALF, BFLOAT, SINGLE = torch.float16, torch.bfloat16, torch.float32

CASES: dict[str, tuple[Any, int, dict[str, Any]]] = {
    "epilogue": (lambda: (Calls(lambda x, w, c: F.gelu(x @ w) + c), (R(37, 300), R(300, 44), R(37, 44))), 2, {}),
    "batched": (lambda: (Calls(torch.bmm), (R(3, 17, 515), R(3, 515, 23))), 4, {}),
    "half_linear": (lambda: (nn.Sequential(nn.Linear(1040, 48), nn.ReLU()).half(), (R(35, 1040).half(),)), 8, {}),
    "odd_bfloat": (lambda: (Calls(torch.mm), (R(19, 301).bfloat16(), R(301, 13).bfloat16())), 2, {}),
    "registers": (lambda: (Calls(torch.mm), (R(40, 516), R(516, 36))), 4, {"copy": "registers", "stages": 1, "slices": 1}),
    "async": (lambda: (Calls(torch.mm), (R(40, 516), R(516, 36))), 4, {"copy": "async", "stages": 3, "slices": 2}),
    "its_own_input": (lambda: (Calls(lambda x, w: x @ w + x), (R(24, 256), R(256, 256))), 2, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_parts_add_up(runner: Runner, name: str) -> None:
    make, split, knobs = CASES[name]
    torch.manual_seed(0)
    module, inputs = make()
    coder = coder_for(module, inputs)
    kernel = next(iter(coder.defaults)).partition(".")[0]
    choice = coder.changed(coder.defaults, {f"{kernel}.{knob}": v for knob, v in {**knobs, "split": split}.items()})
    assert choice is not None
    check(runner, module, inputs, distributions=("zeros",), parameters=choice, coder=coder)
    first, second = runner.reports
    assert (first.kernel, second.kernel) == (kernel, f"{kernel}_finish")
    whole = {**choice, f"{kernel}.split": 1}
    (launch,) = coder.write(whole)[1][kernel].launches
    assert first.grid[0] == split * launch.grid[0]
    assert not first.counters.global_atomic_requests


def test_the_same_inputs_give_the_same_bits(runner: Runner) -> None:
    torch.manual_seed(0)
    inputs = (R(20, 999), R(999, 20))
    coder = coder_for(Calls(torch.mm), inputs)
    choice = coder.changed(coder.defaults, {"mm_tiles.split": 4})
    assert choice is not None
    model = runner.load(coder.write(choice)[0]).ModelNew()
    assert torch.equal(runner.call(model, inputs), runner.call(model, inputs))


def test_long_thin_products_are_split_at_first_and_wide_ones_are_not() -> None:
    for dtype in (SINGLE, HALF):
        thin = coder_for(Calls(torch.mm), (R(32, 8192).to(dtype), R(8192, 64).to(dtype)))
        assert thin.defaults["mm_tiles.split"] == 8
    wide = coder_for(Calls(torch.mm), (R(1024, 2048), R(2048, 1024)))
    assert wide.defaults["mm_tiles.split"] == 1
    assert "mm_tiles.split" not in coder_for(Calls(torch.mm), (R(64, 100), R(100, 64))).space


def test_a_part_without_work_is_no_choice() -> None:
    coder = coder_for(Calls(torch.mm), (R(64, 516), R(516, 64)))
    (kernel,) = coder._lowered.kernels
    plain = {knob.partition(".")[2]: value for knob, value in coder.defaults.items()} | {"slices": 1, "tile_k": 32}
    assert kernel.legal({**plain, "split": 2})
    assert not kernel.legal({**plain, "split": 32})


@pytest.mark.parametrize("dtype", [HALF, BFLOAT])
def test_the_forecast_is_near_the_kernel(runner: Runner, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    inputs = (R(64, 4096).to(dtype), R(4096, 64).to(dtype))
    coder = coder_for(Calls(torch.mm), inputs)
    knobs = {"tile_m": 32, "tile_n": 32, "tile_k": 64, "thread_m": 2, "thread_n": 4, "stages": 3, "slices": 1, "copy": "async", "cores": "tensor"}  # fmt: skip
    reports = {}
    for split in (1, 4):
        source, _ = coder.write({f"mm_tiles.{knob}": value for knob, value in {**knobs, "split": split}.items()})
        runner.call(runner.load(source).ModelNew(), inputs)
        reports[split] = runner.reports[0]
    forecast = on_tensor_cores(reports[1], {**knobs, "split": 1}, {**knobs, "split": 4})
    assert forecast is not None
    assert forecast.grid == reports[4].grid
    real = kernel_time(reports[4], H200).seconds
    assert kernel_time(forecast, H200).seconds == pytest.approx(real, rel=0.25)
    assert real < 0.5 * kernel_time(reports[1], H200).seconds
