"""Runs extension modules on the emulator and compares them with torch: one JSON object per line in and out.

A process of its own, since it patches torch and replaces its allocator: the candidate's side of an emulated GPU, and here
the judge's as well. In: {"path": ...}; out: {"error": ...} or the
largest difference, times, launches and violations.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from kernelwright.errors import KernelwrightError
from kernelwright.sandbox import arena
from kernelwright.sandbox.channel import Channel, Message
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.device_process import DeviceProcess
from kernelwright.sandbox.emulated import torch_cuda
from kernelwright.sandbox.emulated.arena_allocator import ArenaAllocator
from kernelwright.sandbox.emulated.forwarding import Forwarding, to_device
from kernelwright.sandbox.emulated.remote import Link, RemoteSession
from kernelwright.sandbox.hostcode import extension
from kernelwright.sandbox.launch import LaunchOptions
from kernelwright.sandbox.process import Limits

DEFAULT_TOLERANCE = 1e-5  # relative to the largest magnitude of the expected output; a module may say TOLERANCE


def flat(tree: Any) -> list[torch.Tensor]:
    """The tensors of an output."""
    if isinstance(tree, torch.Tensor):
        return [tree]
    return [tensor for each in tree for tensor in flat(each)]


class Joint:
    """This process as a candidate, and the GPU that it has."""

    def __init__(self) -> None:
        self.gpu = DeviceProcess(Device("emulator", "H200", "sm_90", "process"), Limits(call_seconds=60.0))
        self.gpu.open(LaunchOptions(), self)  # type: ignore[arg-type]
        self.session = RemoteSession("sm_90", self.link)
        self.forwarding = Forwarding(self.link)
        self.gpu.listen(True)

    def hand_over(self, op: str, descriptor: int, *, timeout: float) -> Message:
        """As `Worker.hand_over`, within this process."""
        if op == "attach_memory":
            arena.map_shared(descriptor)
        else:
            self.link = Link(Channel(socket.socket(fileno=os.dup(descriptor))), ArenaAllocator())
        return Message({"ok": True}, None, None)


def run(path: str, joint: Joint) -> dict[str, Any]:
    """Loads a module and compares its ModelNew with its Model."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    joint.forwarding.in_call = False  # the last module may have failed in its call
    begin = time.perf_counter()
    spec.loader.exec_module(module)
    built = time.perf_counter()
    torch.manual_seed(0)
    init = module.get_init_inputs() if hasattr(module, "get_init_inputs") else []
    inputs = module.get_inputs()
    torch.manual_seed(1)
    reference = module.Model(*init)
    torch.manual_seed(1)
    with joint.forwarding:
        candidate = module.ModelNew(*init)
    with torch.no_grad():
        wanted = flat(reference(*[i.clone() if isinstance(i, torch.Tensor) else i for i in inputs]))
        joint.gpu.begin([], suppressed=False, trace=False)
        ready = time.perf_counter()
        joint.forwarding.in_call = True
        with joint.forwarding:
            found = flat(candidate(*inputs))
        joint.forwarding.in_call = False
        ran = time.perf_counter()
        joint.forwarding.pull(found)
    reports = joint.gpu.finish([]).reports
    joint.gpu.listen(True)
    problems = []
    if len(wanted) != len(found):
        problems.append(f"{len(found)} outputs, {len(wanted)} expected")
    worst = 0.0
    for number, (want, have) in enumerate(zip(wanted, found, strict=False)):
        if want.shape != have.shape or want.dtype != have.dtype:
            problems.append(
                f"output {number}: {have.dtype}{tuple(have.shape)}, {want.dtype}{tuple(want.shape)} expected"
            )
            continue
        scale = max(1.0, want.double().abs().nan_to_num(posinf=0, neginf=0).max().item() if want.numel() else 1.0)
        same = (want == have) | (want.isnan() & have.isnan())
        error = (
            torch.where(same, 0.0, (want.double() - have.double()).abs()).max().item() / scale if want.numel() else 0.0
        )
        worst = max(worst, error if error == error else float("inf"))
        if not error <= getattr(module, "TOLERANCE", DEFAULT_TOLERANCE):
            problems.append(f"output {number} errs by {error:.3g} of its largest value")
    violations = [f"{v.kind} at line {v.line}: {v.message}" for r in reports for v in r.violations]
    return {
        "problems": violations or problems,
        "sources": [v.source for r in reports for v in r.violations],
        "worst": worst,
        "build_seconds": built - begin,
        "run_seconds": ran - ready,
        "launches": len(reports),
    }


def main() -> None:
    """Answers until standard input ends."""
    torch.set_num_threads(1)
    joint = Joint()
    torch_cuda.install(to_device)
    extension.install(joint.session)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what modules print does not get among the answers
    for line in sys.stdin:
        path = json.loads(line)["path"]
        try:
            answer = run(path, joint)
        except KernelwrightError as error:
            answer = {
                "error": f"{type(error).__name__}: {error}",
                "type": type(error).__name__,
                "line": error.line,
                "log": getattr(error, "log", "")[:3000],
            }
        except Exception as error:  # noqa: BLE001 - whatever a module raises is its test's failure
            answer = {"error": traceback.format_exc()[-3000:], "type": type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
