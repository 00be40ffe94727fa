"""A scripted model, and what an LLM coder, judge or voter is told: on real types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from search_doubles import evaluation

from kernelwright.agents.llm.briefing import Briefing
from kernelwright.agents.models.protocol import Reply, Request, Usage
from kernelwright.agents.protocols import Advice, PastAttempt
from kernelwright.bench_tasks.task import Distribution, Task, TaskSignature, TensorSpec, Workload
from kernelwright.errors import ModelError
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Profile, Stage, StageStatus, Verdict
from kernelwright.verifier.model.gpus import find_gpu

H200 = find_gpu("H200")
TASK = Task(
    name="scale",
    source="import torch\n\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        return x * 2\n",
    workloads=(Workload("as-given", Distribution.AS_GIVEN, 2), Workload("normal", Distribution.NORMAL)),
)
MATRIX = TensorSpec("x", (64, 32), "float32", (32, 1))
SIGNATURE = TaskSignature((MATRIX,), (TensorSpec("output 0", (64, 32), "float32", (32, 1)),), ())
BRIEFING = Briefing(TASK, SIGNATURE, H200)
METRICS = {
    "kernelwright__modelled_seconds": 1e-5,
    "launch__grid_size": 128.0,
    "dram__bytes_read.sum": 16_777_216.0,
    "sm__maximum_warps_per_active_cycle_pct": 50.0,
}


def module(version: int) -> str:
    """A kernel's module, another for each version."""
    return f'''import cupy
import torch

CUDA = r"""
extern "C" __global__ void scale(const float* x, float* y, int n) {{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = {version}.0f * x[i];
}}
"""


class ModelNew(torch.nn.Module):
    def forward(self, x):
        return x
'''


def fenced(source: str, plan: str = "read wider") -> str:
    """The reply that models are asked for."""
    return f"The loads are narrow.\n\nPLAN: {plan}\n\n```python\n{source}```\n"


@dataclass
class ScriptedModel:
    """Gives the replies in order: a text, a whole Reply, or an error to raise; keeps what it was asked."""

    replies: Sequence[str | Reply | ModelError]
    name: str = "openai:scripted"
    asked: list[Request] = field(default_factory=list)

    def complete(self, request: Request) -> Reply:
        """The next reply; one more than there are is the test's mistake."""
        self.asked.append(request)
        reply = self.replies[len(self.asked) - 1]
        if isinstance(reply, ModelError):
            raise reply
        return reply if isinstance(reply, Reply) else said(reply)

    @property
    def places(self) -> list[str]:
        """Of all requests, in order."""
        return [str(request.place) for request in self.asked]


def said(text: str, stop_reason: str = "end") -> Reply:
    """A reply of `scripted-1`."""
    return Reply(text, Usage(100, output_tokens=50), stop_reason, "scripted-1")


def past(
    number: int, outcome: float | Verdict, *, source: str | None = None, parent: PastAttempt | None = None,
    advice: Advice | None = None, plan: str = "", **changes: Any,
) -> PastAttempt:  # fmt: skip
    """Attempt `number`: a time in seconds, or the verdict of a failure."""
    parents = () if parent is None else (parent.kernel.id,)
    kernel = Kernel(module(number) if source is None else source, "openai:scripted", parents)
    if not isinstance(outcome, Verdict) and "profile" not in changes:
        changes["profile"] = Profile(launches=[{"kernel": "scale"}], metrics=[METRICS])
    return PastAttempt(number, kernel, evaluation(kernel, outcome, TASK, **changes), advice, plan)


def advice(change: str = "load 16 bytes at a time", expected: float | None = 1.5, mode: str = "improve") -> Advice:
    """The judge's."""
    return Advice(mode=mode, limiter="dram", change=change, expected_speedup=expected)


def failed_stage(name: str, reason: str, evidence: dict[str, Any]) -> dict[str, Any]:
    """What `past` takes for an evaluation that failed there."""
    passed = Stage(name="static", status=StageStatus.PASSED, summary="fine", seconds=0.0)
    return {
        "reason": reason,
        "stages": [
            passed,
            Stage(name=name, status=StageStatus.FAILED, summary="failed", seconds=0.1, evidence=evidence),
        ],
    }


def texts(request: Request) -> str:
    """All that a request says."""
    return "\n".join(message.text for message in request.messages)
