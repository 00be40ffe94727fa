"""Judges honest kernels, and kernels made from them, with one reference process per task."""

from __future__ import annotations

from functools import cache

from honest.corpus import TASKS

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.isolation import bubblewrap_problem
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Evaluation
from kernelwright.verifier.model.gpus import find_gpu

LIMITS = Limits(call_seconds=10.0, build_seconds=60.0)
"""A call of these kernels takes milliseconds; an endless loop is to be found in seconds."""


@cache
def isolation() -> str:
    """The sandbox of these tests: bubblewrap where it works."""
    return "process" if bubblewrap_problem() else "bubblewrap"


class References:
    """One reference process per task; the last `keep` of them stay open."""

    def __init__(self, keep: int = 3) -> None:
        self._keep = keep
        self._open: dict[str, Reference] = {}

    def get(self, task: str) -> Reference:
        """The opened task of this name."""
        if task not in self._open:
            while len(self._open) >= self._keep:
                self._open.pop(next(iter(self._open))).close()
            self._open[task] = Reference(task_from_source(TASKS[task], name=task))
        return self._open[task]

    def close(self) -> None:
        """Ends the processes."""
        while self._open:
            self._open.popitem()[1].close()


def judge(source: str, name: str, reference: Reference) -> Evaluation:
    """The verdict about a kernel's text, with secret seeds drawn anew."""
    device = Device("emulator", "H200", "sm_90", isolation())
    return evaluate(
        reference.task, Kernel(source, name), device=device, reference=reference, gpu=find_gpu("H200"), limits=LIMITS
    )
