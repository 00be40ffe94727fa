"""What an attempt says about the choices of its kernel functions."""

from __future__ import annotations

from collections.abc import Iterable

from kernelwright.agents.builtin.knobs import seconds_by_function, times_of
from kernelwright.agents.builtin.policy.chooser import Observed
from kernelwright.agents.builtin.policy.facts import Value
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation

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
    known = times_of(evaluation)
    if known is None:
        return Observed(knobs, None, {})
    seconds, rows = known
    by_kernel = seconds_by_function(rows, knobs)
    return Observed(knobs, seconds, by_kernel if set(by_kernel) == set(knobs) else {})
