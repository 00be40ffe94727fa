"""Processes started ahead: each is used once, and one that has ended meanwhile is replaced."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.isolation import bubblewrap_problem
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.sandbox.spares import Processes, Spares
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Verdict
from kernelwright.verifier.model.gpus import find_gpu

LIMITS = Limits()
PLAIN = Device("emulator", "H200", "sm_90", "process")
FENCED = replace(PLAIN, isolation="bubblewrap")
needs_bubblewrap = pytest.mark.skipif(bool(bubblewrap_problem()), reason=bubblewrap_problem() or "-")

TASK = """
import torch
WORKLOADS = [{"distribution": "normal"}]
class Model(torch.nn.Module):
    def forward(self, x):
        return x * 3
def get_inputs():
    return [torch.rand(64)]
def get_init_inputs():
    return []
"""
# what an earlier kernel did to its process shows in the result of this one
KERNEL = '''
import pathlib
import tempfile

import cupy
import torch

mark = pathlib.Path(tempfile.gettempdir(), "judged")
before = int(mark.exists())
mark.write_text("here")
K = cupy.RawKernel(r"""extern "C" __global__ void k(const float* x, float* y, float by) {
    y[threadIdx.x] = x[threadIdx.x] * by; }""", "k")

class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        K((1,), (64,), (x, y, cupy.float32(3 + before)))
        return y
'''


def pids(found: Processes) -> tuple[int, int]:
    return found.gpu.pid, found.worker.pid


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@needs_bubblewrap
def test_every_pair_is_taken_once_and_the_last_is_ended() -> None:
    with Spares(FENCED, LIMITS) as spares:
        taken = [spares.take() for _ in range(3)]
        assert len({pid for pair in taken for pid in pids(pair)}) == 6
        waiting = spares._waiting
        assert waiting is not None
        assert waiting.running
        assert not {*pids(waiting)} & {pid for pair in taken for pid in pids(pair)}
    assert not waiting.running
    assert all(map(ended, pids(waiting)))
    for pair in taken:  # these are the caller's
        assert pair.running
        pair.close()
        assert not pair.running


@pytest.mark.parametrize("which", ["gpu", "worker"])
def test_a_pair_that_has_ended_while_it_waited_is_replaced(which: str) -> None:
    with Spares(PLAIN, LIMITS) as spares:
        waiting = spares._waiting
        assert waiting is not None
        process = getattr(waiting, which)
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # until it has
        taken = spares.take()
        assert taken.running
        assert not {*pids(taken)} & {*pids(waiting)}
        assert all(map(ended, pids(waiting)))
        taken.close()


@pytest.mark.parametrize(
    ("device", "last"), [(PLAIN, False), (PLAIN, True), pytest.param(FENCED, True, marks=needs_bubblewrap)]
)
def test_nothing_waits_beside_a_kernel_without_a_sandbox_nor_after_the_last_one(device: Device, last: bool) -> None:
    with Spares(device, LIMITS, last=last) as spares:
        first = spares.take()
        assert spares._waiting is None
        second = spares.take()
        assert {*pids(first)} != {*pids(second)}
        first.close()
        second.close()


@needs_bubblewrap
def test_kernels_judged_in_turn_find_nothing_of_each_other() -> None:
    task = task_from_source(TASK, name="thrice")
    with Spares(FENCED, LIMITS) as spares, Reference(task) as reference:
        for number in range(3):
            found = evaluate(
                task, Kernel(KERNEL, str(number)), device=FENCED, reference=reference, gpu=find_gpu("H200"),
                limits=LIMITS, start=spares.take,
            )  # fmt: skip
            assert found.verdict is Verdict.PASSED, found.reason
