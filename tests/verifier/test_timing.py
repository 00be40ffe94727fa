"""Timing over verified calls: the figure, its interval, jumps and times that can't be."""

from __future__ import annotations

import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.task import TaskSignature, TensorSpec
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.launch import OpRecord
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Evaluation, Verdict
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.timing import AGAIN, ModelledCall, bootstrap_interval, impossible, is_jump, timing_of

H200 = find_gpu("H200")
ROWS, COLS = 4096, 1024
NBYTES = 4 * ROWS * COLS


def spec(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, shape, "float32", (shape[-1], 1))


SIGNATURE = TaskSignature((spec("x", ROWS, COLS),), (spec("out", ROWS, COLS),), ())


def op(read: int = NBYTES, written: int = NBYTES) -> OpRecord:
    return OpRecord("aten.relu.default", read, written, 0, "float32", "pointwise", ((ROWS, COLS),))


def call(seconds: float, workload: str = "as-given", operation: OpRecord | None = None) -> ModelledCall:
    return ModelledCall(workload, (), (operation or op(),), seconds)


def test_the_interval_is_that_of_every_possible_resample():
    values = [1.0, 2.0, 4.0, 8.0]
    every = sorted(statistics.median(draw) for draw in itertools.product(values, repeat=4))  # the exact distribution
    low, high = bootstrap_interval(values)
    assert low in (every[0], every[6], every[7])  # 2.5 % of 256
    assert high in (every[-1], every[-7], every[-8])


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8))
def test_an_interval_lies_among_the_values_and_is_the_same_each_time(values):
    low, high = bootstrap_interval(values)
    assert min(values) <= low <= high <= max(values)
    assert (low, high) == bootstrap_interval(values)


def test_no_values_no_interval():
    with pytest.raises(ValueError, match="needs values"):
        bootstrap_interval([])


def test_the_figure_is_the_median_of_the_calls_on_the_tasks_own_inputs():
    quick, middle, slow = op(NBYTES), op(2 * NBYTES), op(3 * NBYTES)
    calls = [call(3, operation=slow), call(1, operation=quick), call(2, operation=middle), call(9, "large")]
    timing, chosen = timing_of(calls, "as-given", [op()], SIGNATURE, H200)
    assert chosen.operations == (middle,)
    assert [(c.workload, c.seconds) for c in timing.calls] == [(c.workload, c.seconds) for c in calls]
    assert [c.seconds for c in timing.own_calls] == [3, 1, 2]
    assert timing.speedup_low <= timing.speedup <= timing.speedup_high
    assert timing.speedup_high == max(timing.baseline_seconds, timing.speedup)
    slowest, chosen = timing_of(calls, "as-given", [op()], SIGNATURE, H200, again=True)
    assert chosen.operations == (slow,)
    assert slowest.measured_again
    with pytest.raises(ValueError, match="no verified call on 'tiny'"):
        timing_of(calls, "tiny", [op()], SIGNATURE, H200)


def test_what_the_memory_bus_forbids_is_impossible():
    timing, _ = timing_of([call(1)], "as-given", [op()], SIGNATURE, H200)
    assert impossible(timing, [op()], SIGNATURE, H200) == ""
    least = 2 * NBYTES / H200.achievable_bandwidth + H200.launch_seconds
    assert not is_jump(timing)
    below = timing.model_copy(update={"seconds": 0.97 * least})
    assert is_jump(below)
    assert "is impossible" in impossible(below, [op()], SIGNATURE, H200)
    assert impossible(timing.model_copy(update={"seconds": 0.99 * least}), [op()], SIGNATURE, H200) == ""
    assert is_jump(timing.model_copy(update={"baseline_seconds": 3.1 * timing.seconds}))


TASK = task_from_source(
    """
import torch
class Model(torch.nn.Module):
    def forward(self, x):
        return torch.tanh(torch.tanh(torch.tanh(torch.tanh(x * 2) + 1) * 3) + 2)
def get_inputs():
    return [torch.rand(64, 64)]
def get_init_inputs():
    return []
""",
    name="chain",
)
FUSED = '''
import cupy
import torch

KERNEL = cupy.RawKernel(r"""
extern "C" __global__ void chain(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = tanhf(tanhf(tanhf(tanhf(x[i] * 2) + 1) * 3) + 2);
}
""", "chain")


class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        KERNEL(((x.numel() + 127) // 128,), (128,), (x.data_ptr(), y.data_ptr(), x.numel()))
        return y
'''


def judge(source: str) -> Evaluation:
    with Reference(TASK) as reference:
        return evaluate(
            TASK, Kernel(source, "test"), device=Device("emulator", "H200", "sm_90", "process"), reference=reference,
            gpu=H200, limits=Limits(call_seconds=10),
        )  # fmt: skip


def calls_of(found: Evaluation) -> list[dict[str, object]]:
    """The rows of the correctness stage."""
    return next(stage.evidence["calls"] for stage in found.stages if stage.name == "correctness")


def test_a_jump_is_measured_again_on_verified_calls():
    found = judge(FUSED)
    assert found.verdict is Verdict.PASSED, found.reason
    assert found.timing is not None
    assert found.timing.speedup > 3
    assert found.timing.measured_again
    own = TASK.workloads[0]
    assert len(found.timing.own_calls) == own.seeds + AGAIN
    assert len(found.timing.calls) == len(calls_of(found)) + 1 + AGAIN  # one on nearly the same inputs
    assert f"{own.name}/{own.seeds + AGAIN - 1}" in found.seeds  # on fresh inputs
    assert found.timing.speedup_low == pytest.approx(found.timing.speedup)


def test_a_jump_that_is_wrong_when_measured_again_is_wrong():
    # correct until the decoy test is over, wrong from then on; reruns and near inputs are calls too
    honest = judge(FUSED)
    before = len(calls_of(honest)) + 3
    spoilt = FUSED.replace(
        "    def forward(self, x):",
        f"    calls = 0\n\n    def forward(self, x):\n        ModelNew.calls += 1\n        x = x if ModelNew.calls <= {before} else x + 1",
    )
    found = judge(spoilt)
    assert found.verdict is Verdict.WRONG, found.reason
    assert found.stages[-1].name == "timing"
    assert found.timing is None
