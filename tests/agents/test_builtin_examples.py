"""The modules of examples/, smaller, written by the coder, run on the emulator, compared with float64 torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from builtin_harness import Runner, check, coder_for
from builtin_modules import GeluBiasDropoutResidual, R, SwiGLU, seeded
from torch import nn

Case = Callable[[], tuple[nn.Module, tuple[Any, ...]]]

EXAMPLES: dict[str, tuple[Case, int]] = {
    "softmax": (lambda: (nn.Softmax(-1), (R(48, 1024),)), 1),
    "layer_norm": (lambda: (nn.LayerNorm(768), (R(33, 768),)), 1),
    "rms_norm": (lambda: (nn.RMSNorm(512), (R(2, 17, 512),)), 1),
    "gelu_bias_dropout_residual": (lambda: (GeluBiasDropoutResidual(96), (R(8, 13, 96), R(8, 13, 96))), 1),
    "swiglu": (lambda: (SwiGLU(40, 72), (R(2, 19, 40),)), 3),
    "linear_relu": (lambda: (nn.Sequential(nn.Linear(100, 60), nn.ReLU()), (R(37, 100),)), 1),
    "cross_entropy": (lambda: (nn.CrossEntropyLoss(), (R(64, 101), torch.randint(0, 101, (64,)))), 2),
    "mlp_half": (
        lambda: (nn.Sequential(nn.Linear(64, 136), nn.GELU(), nn.Linear(136, 24)).half(), (R(50, 64).half(),)),
        2,
    ),
    "mlp": (lambda: (nn.Sequential(nn.Linear(64, 130), nn.GELU(), nn.Linear(130, 24)), (R(50, 64),)), 2),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_right_and_fused(runner: Runner, name: str) -> None:
    make, launches = EXAMPLES[name]
    module, inputs = seeded(make)
    coder = check(runner, module, inputs)
    assert not coder.stays_in_torch
    assert len(runner.reports) == launches


def test_softmax_reads_and_writes_each_element_once_in_16_bytes(runner: Runner) -> None:
    """What its place near the DRAM bound rests on."""
    module, inputs = nn.Softmax(-1), (R(64, 1024),)
    coder = coder_for(module, inputs)
    check(runner, module, inputs, distributions=(), coder=coder)
    counters = runner.reports[0].counters
    assert coder.defaults["softmax_rows.vector_width"] == 4
    assert counters.global_load_bytes == counters.global_store_bytes == 64 * 1024 * 4
    # 32 lanes of 16 bytes are 512 bytes, 16 sectors of 32
    assert counters.global_load_sectors == 16 * counters.global_load_requests
    assert counters.global_load_requests == 64 * 1024 * 4 // 512


def test_ignored_targets_do_not_count(runner: Runner) -> None:
    target = torch.tensor([3, -100, 0, 7, -100])
    check(runner, nn.CrossEntropyLoss(), (R(5, 8), target), distributions=("large",))


def test_nan_and_infinity_pass_through_a_softmax(runner: Runner) -> None:
    x = R(6, 40)
    x[1, 3], x[2, 0], x[3, 39] = float("nan"), float("inf"), float("-inf")
    x[4] = float("-inf")
    check(runner, nn.Softmax(-1), (x,), distributions=())
    coder = coder_for(nn.Softmax(-1), (x,))
    for strategy in ("loop", "online"):
        check(
            runner, nn.Softmax(-1), (x,), distributions=(), parameters={"softmax_rows.strategy": strategy}, coder=coder
        )
