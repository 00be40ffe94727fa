"""Checks of inputs and outputs: what values the task's own draws have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kernelwright.bench_tasks.task import Task
from kernelwright.verifier.lint.report import Finding
from kernelwright.verifier.lint.rules import BIG_OUTPUT, LITTLE_VARIATION, SMALL_OUTPUT, Severity
from kernelwright.verifier.lint.trial import Trial

if TYPE_CHECKING:
    import torch

__all__ = ["input_findings", "output_findings", "workload_findings"]


def output_findings(trial: Trial, outputs: int) -> tuple[list[Finding], dict[str, float]]:
    """(findings on range and variation, figures).

    Args:
        outputs: how many of the results are outputs.
    """
    found: list[Finding] = []
    figures: dict[str, float] = {}
    draws = [draw[:outputs] for draw in trial.results]
    if not draws:
        return found, figures
    for position in range(outputs):
        name = trial.names[position]
        values = [draw[position] for draw in draws]
        if not values[0].dtype.is_floating_point or not values[0].numel():
            continue
        wide = [v.double() for v in values]
        finite = [v[v.isfinite()] for v in wide]
        odd = sum(v.numel() for v in wide) - sum(v.numel() for v in finite)
        share = odd / sum(v.numel() for v in wide)
        largest = max((float(v.abs().max()) for v in finite if v.numel()), default=0.0)
        figures |= {f"largest, {name}": largest, f"not finite, {name}": share}
        if share:
            what = f"Of {name} {share:.2%} of the elements are infinite or NaN."
            found.append(Finding("not-finite", Severity.MARKED, what, {"share": share}))
        if largest < SMALL_OUTPUT:
            what = f"The largest absolute value of {name} is {largest:.3g}."
            found.append(Finding("small-output", Severity.NOTE, what, {"largest": largest}))
        if largest > BIG_OUTPUT:
            what = f"The largest absolute value of {name} is {largest:.3g}."
            found.append(Finding("big-output", Severity.MARKED, what, {"largest": largest}))
        found += _variation(name, wide, figures)
    return found, figures


def _variation(name: str, draws: Sequence[torch.Tensor], figures: dict[str, float]) -> list[Finding]:
    first = draws[0]
    mean = float(first.mean())
    if mean != mean or abs(mean) == float("inf"):
        return []
    if first.numel() > 1:
        spread = float(first.std(unbiased=False)) / max(abs(mean), 1e-300)
        figures[f"deviation over mean, {name}"] = min(spread, 1e30)
        if spread < LITTLE_VARIATION:
            what = f"The standard deviation over {name} is {spread:.2g} of its mean of {mean:.3g}."
            return [Finding("little-variation", Severity.NOTE, what, {"deviation": spread})]
    size = float(first.square().mean()) ** 0.5
    others = [float((other - first).square().mean()) ** 0.5 for other in draws[1:] if other.shape == first.shape]
    if not others or not size:
        return []
    change = max(others) / size
    figures[f"change between draws, {name}"] = change
    if change < LITTLE_VARIATION:
        what = f"From one draw of the inputs to the next {name} changes by {change:.2g} of its size."
        return [Finding("little-variation", Severity.NOTE, what, {"change": change})]
    return []


def input_findings(trial: Trial, inputs: int) -> list[Finding]:
    """Findings on the task's own inputs; `inputs` of the tensors are inputs, the others cotangents."""
    import torch

    found: list[Finding] = []
    draws = [draw[:inputs] for draw in trial.inputs]
    if not draws:
        return found
    constant = [
        position
        for position in range(len(draws[0]))
        if len(draws) > 1 and all(_same(torch, draws[0][position], draw[position]) for draw in draws[1:])
    ]
    if constant:
        floating = [p for p in constant if draws[0][p].dtype.is_floating_point]
        more = "" if floating else " It is of integers, which are the same in every workload."
        what = f"{_inputs(constant)} the same in {len(draws)} draws.{more}"
        found.append(Finding("constant-input", Severity.NOTE, what))
    positive = [
        position
        for position, tensor in enumerate(draws[0])
        if tensor.dtype.is_floating_point and tensor.numel() > 1 and all(bool((d[position] >= 0).all()) for d in draws)
    ]
    if positive:
        found.append(Finding("no-negative-input", Severity.NOTE, f"{_inputs(positive)} nowhere below 0."))
    if trial.changed:
        found.append(Finding("changes-input", Severity.NOTE, f"{_inputs(trial.changed)} changed in place."))
    return found


def _same(torch: object, one: torch.Tensor, two: torch.Tensor) -> bool:
    return one.shape == two.shape and bool((one == two).all())


def _inputs(positions: Sequence[int]) -> str:
    if len(positions) == 1:
        return f"Input {positions[0]} is"
    return f"Inputs {', '.join(map(str, positions))} are"


def workload_findings(task: Task) -> list[Finding]:
    """Findings on the list of workloads."""
    if any(w.strided or w.sizes for w in task.workloads):
        return []
    what = f"All {len(task.workloads)} workloads have the same shapes, and contiguous tensors."
    return [Finding("one-shape", Severity.NOTE, what)]
