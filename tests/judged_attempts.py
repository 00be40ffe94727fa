"""Attempts with all the evidence that a judgement leaves, for tests of pages that show it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from archive_doubles import profile, source
from model_calls import call
from search_doubles import TASK, attempt, evaluation, run

from kernelwright.db.store import Store
from kernelwright.rl.run import Attempt
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, Stage, StageStatus, TimedCall, Timing, TimingKind, Verdict

__all__ = ["EVIL", "RUN", "fill", "judged", "timing"]

RUN = "softmax-7k3f9q"
EVIL = (
    "</code></pre></title><script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)>\"'&{{ 7*7 }}\u202e"
)
"""What a stranger may write wherever text is taken."""


def timing(seconds: float, kind: TimingKind = TimingKind.MODELLED, **changes: Any) -> Timing:
    """A time with an interval of a tenth either way, against 30 µs."""
    fields: dict[str, Any] = {
        "kind": kind, "gpu": "H200", "seconds": seconds, "seconds_low": 0.9 * seconds, "seconds_high": 1.1 * seconds,
        "interval_source": "80 % interval, an estimate", "baseline_seconds": 30e-6, "baseline_seconds_low": 27e-6,
        "baseline_seconds_high": 33e-6, "bound_seconds": 7e-6, "bound_by": "dram", "speedup_low": 1.9, "speedup_high": 2.1,
        "breakdown": [{"name": "scale", "seconds": seconds, "limited_by": "dram"}],
        "calls": [TimedCall(workload="as-given", seconds=seconds), TimedCall(workload="normal", seconds=1.01 * seconds)],
    }  # fmt: skip
    return Timing(**(fields | changes))


def stages(failing: str = "", words: str = "") -> list[Stage]:
    """All stages, or those up to one that failed."""
    resources = {"registers": 24, "static_shared": 512, "stack": 8, "spill_stores": 4, "spill_loads": 12, "constant": 0,
                 "barriers": 1, "arch": "sm_90"}  # fmt: skip
    found: list[tuple[str, dict[str, Any]]] = [
        ("static", {"kernels": ["scale"], "findings": []}),
        ("build", {"resources": {"scale": resources}, "log": f"kernel.cu(3): warning: unused {words}"}),
        ("sanitise", {}),
        ("correctness", {
            "calls": [{"workload": "normal", "share_of_allowed": 0.25}, {"workload": "normal", "share_of_allowed": 0.5}],
            "rerun": {"bitwise": False, "changed": 3, "largest": 1e-7}, "skipped": [words] if words else [],
        }),
        ("integrity", {"kernels": {"scale": 4096}, "outputs_written": [True], "without_launches": "spoilt"}),
        ("timing", {}),
        ("profile", {}),
    ]  # fmt: skip
    made = []
    for name, evidence in found:
        status = StageStatus.FAILED if name == failing else StageStatus.PASSED
        if name == failing == "correctness":
            evidence = {**evidence, "workload": "zeros", "mismatch": {
                "output": 0, "what": f"off {words}", "index": [3, 4], "got": 5.0, "expected": 2.0, "allowed": 0.5,
            }}  # fmt: skip
        made.append(Stage(name=name, status=status, summary=f"{name} {words}", seconds=0.25, evidence=evidence))
        if status is StageStatus.FAILED:
            break
    return made


def judged(
    kernel: Kernel, outcome: float | Verdict, failing: str = "correctness", words: str = "", **changes: Any
) -> Evaluation:
    """An evaluation with evidence; `words` stand wherever a stranger's could."""
    if isinstance(outcome, Verdict):
        return evaluation(kernel, outcome, stages=stages(failing, words), reason=f"it is off {words}", **changes)
    fields: dict[str, Any] = {"timing": timing(outcome), "stages": stages("", words)}
    fields["profile"] = profile(
        flops={"fp32": 10_000_000}, global_load_sectors=40, global_load_unique_bytes=1280, global_store_bytes=1280, blocks=128,
        warp_instructions={"fp32": 100}, thread_instructions={"fp32": 3200},
    )  # fmt: skip
    return evaluation(kernel, outcome, **(fields | changes))


def made(
    number: int, outcome: float | Verdict, parents: tuple[str, ...] = (), words: str = "", **changes: Any
) -> Attempt:
    """An attempt whose kernel has CUDA C++ in it."""
    own = Kernel(source(number, f"// {words}"), f"openai:x {words}", parents, {"scale.threads": 256})
    fields: dict[str, Any] = {
        "kernel": own,
        "evaluation": judged(own, outcome, words=words),
        "plan": f"version {number} {words}",
    }
    return replace(attempt(RUN, number, 1e-5), notes=(f"note {words}",), **(fields | changes))


def fill(store: Store, words: str = "") -> list[Attempt]:
    """A run: 1 passed; 2 from it was wrong; 3 from it is twice as fast; 4 is from 3 and from a kernel that is not stored."""
    store.create_run(run(RUN, rounds=6, task=replace(TASK, name=f"softmax {words}".strip())))
    first = made(1, 20e-6, words=words)
    second = made(2, Verdict.WRONG, (first.kernel.id,), words)
    third = made(3, 10e-6, (first.kernel.id,), words)
    fourth = made(4, 11e-6, (third.kernel.id, "f" * 16), words, advice=None)
    attempts = [first, second, third, fourth]
    for each in attempts:
        store.add_attempt(each)
    store.add_call(call(RUN, 3, "coder"))
    store.add_call(call(RUN, 3, "judge", reply=None, error=f"it broke {words}", estimated=True))
    return attempts
