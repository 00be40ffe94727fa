"""The forecast of slices of K, against what the emulator counts when such a kernel runs."""

from __future__ import annotations

import pytest
import torch
from builtin_harness import Runner, coder_for
from builtin_modules import R
from torch import nn

from kernelwright.agents.builtin.slices import with_slices
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.model.kernel_time import kernel_time

H200 = find_gpu("H200")
KNOBS = {"tile_m": 32, "tile_n": 32, "tile_k": 16, "thread_m": 4, "thread_n": 4, "stages": 2, "split": 1}
KINDS = {"copy": "registers", "cores": "cuda"}


@pytest.fixture(scope="module")
def launches(runner: Runner) -> dict[int, LaunchReport]:
    """A product of 96 x 256 by 256 x 64, by the number of slices."""
    torch.manual_seed(0)
    module, x = nn.Linear(256, 64), R(96, 256)
    coder = coder_for(module, (x,), "linear")
    found = {}
    for slices in (1, 2, 4, 8):
        source, _ = coder.write({f"linear_tiles.{knob}": v for knob, v in {**KNOBS, **KINDS, "slices": slices}.items()})
        model = runner.load(source).ModelNew()
        model.load_state_dict(module.state_dict())
        runner.call(model, [x])
        (found[slices],) = runner.reports
    return found


@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 4), (4, 8), (1, 4), (2, 1), (4, 2)])
def test_the_forecast_is_near_the_kernel(launches: dict[int, LaunchReport], old: int, new: int) -> None:
    forecast = with_slices(launches[old], old, new, {**KNOBS, "slices": new})
    real = launches[new]
    assert forecast is not None
    assert forecast.block == real.block
    assert forecast.counters.warps == real.counters.warps
    assert forecast.resources is not None
    assert real.resources is not None
    assert forecast.resources.static_shared == real.resources.static_shared
    assert kernel_time(forecast, H200).seconds == pytest.approx(kernel_time(real, H200).seconds, rel=0.2)


def test_what_cannot_be(launches: dict[int, LaunchReport]) -> None:
    assert with_slices(launches[1], 1, 4, {**KNOBS, "tile_k": 2}) is None  # a step along K has no four parts
    assert with_slices(launches[8], 8, 32, {**KNOBS, "tile_k": 32}) is None  # 2,048 threads
