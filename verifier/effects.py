"""What a call may not do whatever it returns: violations, changed inputs, outputs in memory that is not their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from kernelwright.bench_tasks.task import NumericPolicy, TaskSignature
from kernelwright.sandbox.candidate import CallResult
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.sandbox.reference import ReferenceResult
from kernelwright.sandbox.trees import same_bits, tensors_of
from kernelwright.verifier import gradients
from kernelwright.verifier.correctness import compare_outputs
from kernelwright.verifier.evaluation import Verdict
from kernelwright.verifier.layout import layout_problem
from kernelwright.verifier.stages import StageFailed
from kernelwright.verifier.wording import violation_reason

__all__ = ["refuse_effects", "refuse_violations"]


def refuse_violations(reports: Sequence[LaunchReport]) -> None:
    """Raises StageFailed for the first violation that the emulator reports."""
    for report in reports:
        for violation in report.violations:
            verdict = Verdict.TIMEOUT if violation.kind == "endless_loop" else Verdict.UNSAFE
            raise StageFailed(
                verdict,
                violation_reason(report, violation),
                violation.kind.replace("_", " "),
                {"kernel": report.kernel, "violations": [asdict(v) for r in reports for v in r.violations]},
            )


def refuse_effects(
    inputs: Sequence[Any],
    result: CallResult,
    reference: ReferenceResult,
    signature: TaskSignature,
    workload: str,
    policy: NumericPolicy,
    *,
    nan_is_free: bool = False,
) -> None:
    """Raises StageFailed where a call whose values are right changes an input or lays its outputs out wrongly.

    Args:
        inputs: as they were before the call.
        workload: its name.
        nan_is_free: as `compare_outputs` has it.
    """
    for position, (before, after) in enumerate(zip(tensors_of(inputs), result.inputs_after, strict=True)):
        if position not in reference.changed and not same_bits(before, after):
            raise StageFailed(
                Verdict.WRONG,
                f"It changes {gradients.input_name(position, signature)} on workload {workload!r}; the reference leaves it as it is.",
                "changes an input",
                {"workload": workload, "input": position},
            )
    if reference.after is not None:
        left = [result.inputs_after[position] for position in reference.changed]
        mismatch, _share = compare_outputs(left, reference.after, policy, nan_is_free=nan_is_free)
        if mismatch is not None:
            position = reference.changed[mismatch.output]
            name = gradients.input_name(position, signature)
            raise StageFailed(
                Verdict.WRONG,
                f"The reference changes {name} in place, and on workload {workload!r} this is left in it instead: {mismatch.what}",
                "an input changed in place",
                {"workload": workload, "input": position, "mismatch": mismatch.to_json()},
            )
    outputs = len(signature.outputs)  # gradients may lie anywhere, as autograd's own do
    extra = {pair for pair in result.aliases if pair[0] < outputs} - set(reference.aliases)
    if extra:
        out, given_index = min(extra)
        raise StageFailed(
            Verdict.WRONG,
            f"Output {out} shares memory with input {given_index}; the reference returns new memory.",
            "returns an input's memory",
            {"aliases": sorted(extra)},
        )
    places = result.places[:outputs]
    if signature.gradients:  # the pass before a backward one: what it gives requires a gradient
        places = tuple(replace(place, requires_grad=False) for place in places)
    if problem := layout_problem(
        tensors_of(result.outputs)[:outputs],
        places,
        tensors_of(reference.native)[:outputs],
        reference.places[:outputs],
        contiguous_inputs=all(t.is_contiguous() for t in tensors_of(inputs)),
    ):
        raise StageFailed(Verdict.WRONG, problem, "an output's memory layout", {"workload": workload})
