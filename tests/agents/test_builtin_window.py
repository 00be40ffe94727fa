"""Pooling and convolution, against torch: sizes, strides, padding, dilation, groups, types, and what comes before and after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from builtin_harness import Runner, check, coder_for
from builtin_modules import Calls, R, seeded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

Case = Callable[[], tuple[nn.Module, tuple[Any, ...]]]

CASES: dict[str, tuple[Case, int]] = {
    "max_pool": (lambda: (nn.MaxPool2d(3, 2, 1), (R(3, 5, 17, 22),)), 1),
    "max_pool_dilated": (lambda: (nn.MaxPool2d((2, 3), (1, 2), dilation=(3, 2)), (R(2, 3, 12, 15),)), 1),
    "max_pool_ceil": (lambda: (nn.MaxPool2d(3, 2, ceil_mode=True), (R(2, 3, 12, 14),)), 1),
    "max_pool_of_a_line": (lambda: (nn.MaxPool1d(3), (R(2, 8, 35),)), 1),
    "max_pool_of_a_volume": (lambda: (nn.MaxPool3d(2), (R(2, 3, 4, 6, 8),)), 1),
    "max_pool_with_places": (lambda: (nn.MaxPool2d((3, 2), 2, 1, dilation=(2, 1), return_indices=True), (R(2, 3, 11, 14),)), 1),
    "adaptive_with_places": (lambda: (nn.AdaptiveMaxPool2d((3, 2), return_indices=True), (R(2, 3, 9, 14),)), 1),
    "average_pool": (lambda: (nn.AvgPool2d(3, 2, 1), (R(3, 5, 17, 22),)), 1),
    "average_pool_of_a_volume": (lambda: (nn.AvgPool3d((1, 2, 3)), (R(2, 3, 4, 6, 9),)), 1),
    "adaptive": (lambda: (Calls(lambda x: (F.adaptive_avg_pool2d(x, (3, 5)), F.adaptive_max_pool2d(x, 3))), (R(2, 4, 6, 15),)), 2),
    "many_small_windows": (lambda: (nn.Sequential(nn.MaxPool2d(2), nn.ReLU()), (R(8, 8, 24, 20),)), 1),
    "overlapping_windows": (lambda: (nn.AvgPool2d(3, 1, 1), (R(4, 8, 19, 21),)), 1),
    "unfolded": (lambda: (Calls(lambda x: x.unfold(-1, 5, 2).sum(-1)), (R(6, 41),)), 1),
    "upsampled": (lambda: (nn.Upsample(scale_factor=2), (R(2, 3, 5, 7),)), 1),
    "depthwise": (lambda: (nn.Conv2d(6, 6, 3, padding=1, groups=6), (R(4, 6, 21, 18),)), 1),
    "depthwise_multiplied": (lambda: (nn.Conv2d(4, 12, 3, stride=2, groups=4, bias=False), (R(3, 4, 15, 12),)), 1),
    "depthwise_line": (lambda: (nn.Sequential(nn.Conv1d(8, 8, 4, padding=3, groups=8), nn.SiLU()), (R(2, 8, 40),)), 1),
    "one_by_one": (lambda: (nn.Conv2d(24, 20, 1), (R(2, 24, 9, 11),)), 1),
    "many_channels": (lambda: (nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU()), (R(2, 8, 11, 13),)), 2),
    "strided_and_dilated": (lambda: (nn.Conv2d(6, 10, (3, 2), stride=(2, 1), padding=(2, 0), dilation=(1, 3)), (R(2, 6, 14, 16),)), 2),
    "line": (lambda: (nn.Conv1d(16, 8, 5, stride=2, dilation=2), (R(2, 16, 50),)), 2),
    "volume": (lambda: (nn.Conv3d(4, 6, 3, padding=1), (R(1, 4, 5, 6, 7),)), 2),
    "grouped": (lambda: (nn.Conv2d(16, 24, 3, groups=2), (R(2, 16, 8, 9),)), 2),
    "transposed": (lambda: (nn.ConvTranspose2d(6, 5, 4, stride=2, padding=1), (R(2, 6, 7, 9),)), 4),  # the weights are turned round in memory first
    "transposed_grouped": (
        lambda: (nn.ConvTranspose1d(8, 12, 3, stride=3, output_padding=1, groups=4, dilation=2), (R(2, 8, 11),)),
        2,
    ),
    "transposed_by_one": (lambda: (nn.ConvTranspose2d(6, 5, 3, bias=False), (R(2, 6, 7, 9),)), 3),
    "conv_norm_relu": (
        lambda: (nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8).eval(), nn.ReLU()), (R(2, 8, 9, 9),)),
        2,
    ),
    "no_batch": (lambda: (nn.Conv2d(3, 8, 3), (R(3, 9, 9),)), 1),
    "double": (lambda: (nn.Conv2d(5, 6, 3).double(), (R(2, 5, 9, 8).double(),)), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_windows(runner: Runner, name: str) -> None:
    make, launches = CASES[name]
    module, inputs = seeded(make)
    coder = check(runner, module, inputs, distributions=("large", "mixed"))
    assert not coder.stays_in_torch
    assert len(runner.reports) == launches


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(runner: Runner, dtype: torch.dtype) -> None:
    for module, inputs in (
        (nn.Conv2d(16, 16, 3, padding=1), (R(1, 16, 8, 8),)),
        (nn.Conv2d(6, 6, 3, padding=1, groups=6), (R(2, 6, 9, 8),)),
        (nn.AvgPool2d(2), (R(2, 6, 8, 8),)),
    ):
        coder = check(runner, module.to(dtype), tuple(x.to(dtype) for x in inputs), distributions=("tiny",))
        assert not coder.stays_in_torch


def test_a_nan_in_a_window_is_its_maximum(runner: Runner) -> None:
    x = R(1, 2, 6, 6)
    x[0, 0, 2, 3] = float("nan")
    x[0, 1, :2, :2] = -float("inf")
    check(runner, nn.MaxPool2d(2), (x,), distributions=())


def test_a_thread_has_a_window_where_there_are_many(runner: Runner) -> None:
    """A warp to a window of four would leave 28 threads with nothing."""
    coder = coder_for(nn.MaxPool2d(2), (R(8, 8, 24, 20),))
    (name,) = {p.partition(".")[0] for p in coder.space}
    assert coder.defaults[f"{name}.threads"] == coder.defaults[f"{name}.rows_per_block"] == 128


@pytest.mark.parametrize(
    ("module", "shape", "left"),
    [
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 3, 9, 9), "avg_pool2d"),
        (nn.AdaptiveAvgPool2d(4), (2, 3, 9, 9), "adaptive_avg_pool2d"),
    ],
)
def test_what_has_no_rule_stays_in_torch(runner: Runner, module: nn.Module, shape: tuple[int, ...], left: str) -> None:
    coder = coder_for(nn.Sequential(module, nn.Tanh()), (R(*shape),))
    assert [left in op for op in coder.stays_in_torch] == [True]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    extents=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    groups=st.sampled_from([1, 2]),
    transposed=st.booleans(),
)
def test_any_convolution(
    runner: Runner,
    extents: tuple[int, int],
    size: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int],
    groups: int,
    transposed: bool,
) -> None:
    torch.manual_seed(0)
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    padding = (min(padding[0], dilation[0] * (size[0] - 1)), min(padding[1], dilation[1] * (size[1] - 1)))
    module = kind(4, 6, size, stride=stride, padding=padding, dilation=dilation, groups=groups)
    coder = check(runner, module, (R(2, 4, *extents),), distributions=())
    assert not coder.stays_in_torch
