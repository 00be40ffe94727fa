"""What an attempt says about the choices of its kernel functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kernelwright.agents.builtin.policy.chooser import Observed
from kernelwright.agents.builtin.policy.facts import Value
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, Verdict

__all__ = ["observed"]


def observed(kernel: Kernel, evaluation: Evaluation, parameters: Iterable[str]) -> Observed | None:
    """The kernel's choices with their times; None if it is not one of this coder's.

    Times of single kernels are known where the evaluation has a time for each launch: a modelled one has.

    Args:
        parameters: all of the coder's, by ``"<kernel function>.<knob>"``.
    """
    knobs: dict[str, dict[str, Value]] = {}
    for name in parameters:
        if name not in kernel.parameters:
            return None
        function, _, knob = name.rpartition(".")
        knobs.setdefault(function, {})[knob] = kernel.parameters[name]
    if not knobs:
        return None
    timing = evaluation.timing
    if timing is not None:
        seconds, rows = timing.seconds, timing.breakdown
    elif evaluation.verdict is Verdict.OUTCLASSED:  # right, and its time known, but not judged to its end
        evidence = next((s.evidence for s in evaluation.stages if "modelled_seconds" in s.evidence), None)
        if evidence is None:  # in a run of measured times nothing is known but that it is slower than the best
            return Observed(knobs, None, {})
        seconds, rows = float(evidence["modelled_seconds"]), list(evidence.get("breakdown", ()))
    else:
        return Observed(knobs, None, {})
    by_kernel = _by_kernel(rows, knobs)
    return Observed(knobs, seconds, by_kernel if set(by_kernel) == set(knobs) else {})


def _by_kernel(rows: Iterable[Mapping[str, object]], kernels: Iterable[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in rows:
        launched, seconds = str(row.get("name", "")), row.get("seconds")
        # a kernel that is split launches a second function, whose name begins with its own
        owners = [k for k in kernels if launched == k or launched.startswith(f"{k}_")]
        if owners and isinstance(seconds, int | float):
            owner = max(owners, key=len)
            found[owner] = found.get(owner, 0.0) + float(seconds)
    return found
