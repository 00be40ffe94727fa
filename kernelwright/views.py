"""The JSON that `--json` prints: one shape for each noun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelwright.errors import KernelwrightError
from kernelwright.rl.run import Attempt, Run
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, Timing
from kernelwright.words import limited_by

__all__ = ["attempt_json", "error_json", "evaluation_json", "kernel_json", "run_json"]


def evaluation_json(evaluation: Evaluation, *, profile: bool = True) -> dict[str, Any]:
    """Every field of the evaluation; `timing` (null unless it passed) with its two ratios added."""
    view = evaluation.model_dump(mode="json", exclude={"timing"} if profile else {"timing", "profile"})
    view["timing"] = timing_json(evaluation.timing)
    return view


def timing_json(timing: Timing | None) -> dict[str, Any] | None:
    """Times in seconds, with `speedup` and `roofline_share`."""
    if timing is None:
        return None
    return {**timing.model_dump(mode="json"), "speedup": timing.speedup, "roofline_share": timing.roofline_share}


def kernel_json(kernel: Kernel, *, source: bool = True) -> dict[str, Any]:
    """A kernel; without its text when `source` is false."""
    view: dict[str, Any] = {
        "id": kernel.id,
        "author": kernel.author,
        "parents": list(kernel.parents),
        "parameters": dict(kernel.parameters),
    }
    return {**view, "source": kernel.source} if source else view


def attempt_json(attempt: Attempt, *, source: bool = False) -> dict[str, Any]:
    """One round: plan, kernel, what came out in short, and the judge's advice."""
    timing = timing_json(attempt.evaluation.timing)
    return {
        "run_id": attempt.run_id,
        "number": attempt.number,
        "plan": attempt.plan,
        "notes": list(attempt.notes),
        "kernel": kernel_json(attempt.kernel, source=source),
        "verdict": attempt.evaluation.verdict.value,
        "reason": attempt.evaluation.reason,
        "timing": None if timing is None else {k: v for k, v in timing.items() if not k.endswith("breakdown")},
        "limited_by": limited_by(attempt.evaluation),
        "advice": None if attempt.advice is None else attempt.advice.model_dump(mode="json"),
        "created": attempt.created.isoformat(),
        "seconds": attempt.seconds,
    }


def run_json(run: Run, attempts: Sequence[Attempt], best: Attempt | None) -> dict[str, Any]:
    """A run with its attempts in short and the best one's evaluation in full (without counters)."""
    return {
        "id": run.id,
        "task": {"id": run.task.id, "name": run.task.name},
        "strategy": run.strategy,
        "coder": run.coder,
        "judge": run.judge,
        "device": run.device,
        "gpu": run.gpu,
        "rounds": run.rounds,
        "status": run.status.value,
        "message": run.message,
        "created": run.created.isoformat(),
        "attempts": [attempt_json(attempt) for attempt in attempts],
        "best": None
        if best is None
        else {
            "number": best.number,
            "kernel": kernel_json(best.kernel),
            "evaluation": evaluation_json(best.evaluation, profile=False),
        },
    }


def error_json(error: KernelwrightError) -> dict[str, Any]:
    """What went wrong, where, and the mend: ``{"error": {...}}``."""
    return {
        "error": {
            "kind": type(error).__name__,
            "message": error.message,
            "mend": error.mend,
            "path": error.path,
            "line": error.line,
        }
    }
