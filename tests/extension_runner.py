"""Runs extension modules on the emulator and compares them with torch: one JSON object per line in and out.

A process of its own, since it patches torch and replaces its allocator. In: {"path": ...}; out: {"error": ...} or the
largest difference, times, launches and violations.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from kernelwright.errors import KernelwrightError
from kernelwright.sandbox.emulated import allocator, torch_cuda
from kernelwright.sandbox.emulated.session import Session, open_session
from kernelwright.sandbox.hostcode import extension

DEFAULT_TOLERANCE = 1e-5  # relative to the largest magnitude of the expected output; a module may say TOLERANCE


def flat(tree: Any) -> list[torch.Tensor]:
    """The tensors of an output."""
    if isinstance(tree, torch.Tensor):
        return [tree]
    return [tensor for each in tree for tensor in flat(each)]


def run(path: str, session: Session) -> dict[str, Any]:
    """Loads a module and compares its ModelNew with its Model."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    begin = time.perf_counter()
    spec.loader.exec_module(module)
    built = time.perf_counter()
    torch.manual_seed(0)
    init = module.get_init_inputs() if hasattr(module, "get_init_inputs") else []
    inputs = module.get_inputs()
    torch.manual_seed(1)
    reference = module.Model(*init)
    torch.manual_seed(1)
    candidate = module.ModelNew(*init)
    session.take_reports()
    with torch.no_grad():
        wanted = flat(reference(*[i.clone() if isinstance(i, torch.Tensor) else i for i in inputs]))
        ready = time.perf_counter()
        found = flat(candidate(*inputs))
    ran = time.perf_counter()
    reports = session.take_reports()
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
    torch_cuda.install()
    session = open_session("sm_90", 60.0)
    allocator.install(session.memory)
    extension.install(session)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what modules print does not get among the answers
    for line in sys.stdin:
        path = json.loads(line)["path"]
        try:
            answer = run(path, session)
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
