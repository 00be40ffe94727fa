"""Attempts as the real verifier judges them, put into a store: tasks and kernels that read like real ones, with any verdict."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

from model_calls import USAGE, call, request
from search_doubles import DEVICE, EPOCH, run

from kernelwright.agents.models.protocol import Reply
from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.task import Task
from kernelwright.db.store import Store
from kernelwright.rl.run import Attempt
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, Stage, StageStatus, Timing, TimingKind, Verdict

STAGES = ("static", "build", "sanitise", "correctness", "integrity", "timing", "profile")
MEASURED = DEVICE.model_copy(update={"kind": "cuda", "name": "NVIDIA H200"})

TASK = '''\
"""{title}"""

import torch
import torch.nn.functional as F
from torch import nn

{sizes}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(COLS))

    def forward(self, x, y):
{body}


def get_inputs():
    return [torch.randn(ROWS, COLS), torch.randn(ROWS, COLS)]


def get_init_inputs():
    return []
'''
BODIES = {
    "gated": "        hidden = F.silu(x) * self.scale\n        return torch.tanh(hidden + y)",
    "rows": "        top = torch.amax(x, dim=1, keepdim=True)\n        return torch.exp(x - top) * self.scale - y",
    "mixed": "        weights = torch.softmax(x * self.scale, dim=-1)\n        return (weights * y).sum(dim=-1)",
    "squashed": "        centre = x - x.mean(dim=-1, keepdim=True)\n        return torch.sigmoid(centre * self.scale) + torch.erf(y)",
    "products": "        joint = x.T @ (y * self.scale)\n        return torch.relu(joint)",
    "running": "        total = torch.cumsum(x, dim=1)\n        return torch.cos(total * self.scale) / (1 + y * y)",
}
KERNEL = '''\
import cupy
import torch

SOURCE = r"""
extern "C" __global__ void {name}(const float* __restrict__ x, const float* __restrict__ y, const float* __restrict__ scale,
                                  float* __restrict__ out, int rows, int cols) {{
    const int row = blockIdx.x;
    for (int col = threadIdx.x; col < cols; col += blockDim.x) {{
        const int place = row * cols + col;
        float value = x[place] * scale[col];
{work}
        out[place] = value;
    }}
}}
"""
KERNEL = cupy.RawModule(code=SOURCE).get_function("{name}")


class ModelNew(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones({cols}))

    def forward(self, x, y):
        out = torch.empty_like(x)
        KERNEL((x.shape[0],), ({threads},), (x.data_ptr(), y.data_ptr(), self.scale.data_ptr(), out.data_ptr(), *x.shape))
        return out
'''


def task(name: str, *, body: str | None = None, rows: int = 512, cols: int = 1024, title: str = "") -> Task:
    """One of `BODIES`, or another body, at any size."""
    sizes = f"ROWS, COLS = {rows}, {cols}"
    source = TASK.format(title=title or f"Task {name}.", sizes=sizes, body=body or BODIES[name])
    return task_from_source(source, name=name)


def kernel(name: str, *, threads: int = 256, cols: int = 1024, author: str = "scripted") -> Kernel:
    """A kernel that is unlike those of other names."""
    seed = zlib.crc32(name.encode())
    functions = ("expf", "tanhf", "sinf", "cosf", "erff", "sqrtf", "fabsf", "log1pf")
    lines = [
        f"        value = {functions[(seed * (k + 3) + k * k) % 8]}(value + y[place] * {seed % (k + 7)}.{k}f){'+-*'[(seed + k) % 3]} scale[{k}];"
        for k in range(18)
    ]
    source = KERNEL.format(name=f"{name}_kernel", work="\n".join(lines), threads=threads, cols=cols)
    return Kernel(source, author)


def evaluation(of: Task, candidate: Kernel, seconds: float | None, **changes: Any) -> Evaluation:
    """What the verifier says: it passed, in so many modelled seconds, or the verdict in `changes`."""
    passed = "verdict" not in changes
    stages = [Stage(name=name, status=StageStatus.PASSED, summary="fine", seconds=0.1) for name in STAGES]
    fields: dict[str, Any] = {
        "task_id": of.id, "kernel_id": candidate.id, "verdict": Verdict.PASSED, "reason": "", "stages": stages,
        "device": DEVICE, "seeds": {"normal/0": 7}, "seconds": 0.5,
    }  # fmt: skip
    if passed:
        kind = changes.pop("kind", TimingKind.MODELLED)
        if kind is TimingKind.MEASURED:
            fields["device"] = MEASURED
        fields["timing"] = Timing(
            kind=kind,
            gpu=changes.pop("gpu", "H200"),
            seconds=seconds or 1e-5,
            baseline_seconds=4e-5,
            bound_seconds=5e-6,
        )
    else:
        fields |= {"reason": "it is as it is", "stages": stages[:4]}
    return Evaluation(**(fields | changes))


def put(
    store: Store, run_id: str, of: Task, candidate: Kernel, seconds: float | None = 1e-5, *, settings: dict[str, Any] | None = None,
    said: str | None = None, prompt: str = "coder/start@1f0c9a2b", **changes: Any,
) -> Attempt:  # fmt: skip
    """Stores an attempt, the next of its run, and what the model said before it if anything."""
    if not store.has_run(run_id):
        store.create_run(run(run_id, task=of, settings=settings or {}))
    number = len(store.attempts(run_id)) + 1
    made = Attempt(run_id, number, "a plan", candidate, evaluation(of, candidate, seconds, **changes), None, EPOCH, 1.0)
    if said is not None:
        reply = Reply(f"```python\n{candidate.source}```", USAGE, "end", "gpt", "", said, 1.0)
        asked = replace(request(number), prompt=prompt)
        store.add_call(call(run_id, number, reply=reply, request=asked))
    store.add_attempt(made)
    return made


def with_stage(of: Evaluation, name: str, **changes: Any) -> Evaluation:
    """The same with another outcome of one stage; without the stage if nothing is said."""
    stages = [s.model_copy(update=changes) if s.name == name else s for s in of.stages if changes or s.name != name]
    return of.model_copy(update={"stages": stages})
