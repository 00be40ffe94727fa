"""Baselines timed with no candidate: the GPU's protocol on a runtime that needs none."""

from __future__ import annotations

import itertools
import textwrap

import pytest

from kernelwright.bench_tasks.task import Task
from kernelwright.errors import TaskError
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.measured.baselines import measure_baselines
from kernelwright.verifier.measured.rounds import Plan

SOURCE = textwrap.dedent(
    """
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.ones(64))

        def forward(self, x):
            return torch.relu(x) * self.w

    def get_inputs():
        return [torch.randn(32, 64)]

    def get_init_inputs():
        return []
    """
)
DEVICE = Device("cuda", "H200", "sm_90", "process")
PLAN = Plan(budget_seconds=1.0, least_rounds=2, most_rounds=2, most_calls=4, most_warm_up=2)


def measured(task: Task, reference: Reference, *names: str):  # type: ignore[no-untyped-def]
    seeds = itertools.count(7)
    return measure_baselines(
        task, reference, DEVICE, names, limits=Limits(call_seconds=30), plan=PLAN, runtime="emulated",
        draw_seed=lambda: next(seeds),
    )  # fmt: skip


def test_what_can_be_measured_and_what_not() -> None:
    """A preparation that fails leaves the others; only where none is left, the task is at fault."""
    task = Task("scaled", SOURCE)
    with Reference(task) as reference:
        found = measured(task, reference, "eager", "nonsense")
        assert set(found.times) == {"eager"}
        time = found.times["eager"]
        assert 0 < time.low <= time.value <= time.high
        assert found.rounds == 2
        assert "nonsense" in found.failed["nonsense"]
        with pytest.raises(TaskError, match="does not run on the GPU"):
            measured(task, reference, "nonsense")
