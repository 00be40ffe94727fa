"""Checks of the module itself: operations that do nothing, training mode, sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from kernelwright.bench_tasks.suite import Scale, SuiteTask
from kernelwright.bench_tasks.task import Distribution, Task
from kernelwright.errors import TaskError
from kernelwright.sandbox.idle_op import IdleOp
from kernelwright.sandbox.lint_reference import Draw, LintReference, Survey
from kernelwright.verifier.lint.report import Finding
from kernelwright.verifier.lint.rules import (
    FEW_DRAWS,
    LARGE_TWIN_ELEMENTS,
    LARGE_TWIN_FLOPS,
    LAUNCH_SECONDS,
    Severity,
)
from kernelwright.verifier.model.assemble import bound
from kernelwright.verifier.model.gpus import DEFAULT_GPU, find_gpu
from kernelwright.verifier.wording import counted, duration

__all__ = ["size_findings", "survey_draws", "survey_findings"]

_GUARDS = (
    "clamp", "where", "masked_fill", "nan_to_num", "isnan", "isinf", "isfinite", "logical_", "bitwise_", "maximum", "minimum",
    "eq", "ne", "lt", "le", "gt", "ge", "any", "all",
)  # fmt: skip
"""Operations by the beginning of their names that honest code has for values which may never come."""
_SHOWN = 4


def survey_draws(task: Task, draw: Callable[[], int], *, has_weights: bool) -> list[Draw]:
    """The draws to survey a module on: the task's own inputs twice, under initial and under moved weights, and one of each
    other distribution of its workloads."""
    own: list[Draw] = [(Distribution.AS_GIVEN, draw(), has_weights and number == 1) for number in range(FEW_DRAWS)]
    others = dict.fromkeys(w.distribution for w in task.workloads if w.distribution is not Distribution.AS_GIVEN)
    return [*own, *((distribution, draw(), has_weights) for distribution in others)]


def survey_findings(survey: Survey) -> list[Finding]:
    """Findings on operations, weights and training mode."""
    found: list[Finding] = []
    unused = [op for op in survey.idle if op.what == "unused"]
    # torch's own recurrent layers make copies of states that nobody asked for
    for severity, these in (
        (Severity.MARKED, [op for op in unused if not op.moves]),
        (Severity.NOTE, [op for op in unused if op.moves]),
    ):
        if these:
            found.append(Finding("unused-op", severity, f"Nothing depends on {_ops(these)}."))
    redundant = [op for op in survey.idle if op.what != "unused"]
    slight = [op for op in redundant if op.always and (_guard(op) or _of_one_element(op))]
    always = [op for op in redundant if op.always and op not in slight]
    if always:
        found.append(Finding("idle-op", Severity.MARKED, f"In every draw of every distribution {_idle(always)}."))
    sometimes = [op for op in redundant if not op.always]
    if sometimes:
        found.append(Finding("idle-op", Severity.NOTE, f"On the task's own inputs {_idle(sometimes)}."))
    if slight:
        what = f"In every draw of every distribution, as a guard or on one element, {_idle(slight)}."
        found.append(Finding("idle-op", Severity.NOTE, what))
    if survey.unread:
        found.append(Finding("unused-weight", Severity.MARKED, f"Nothing that matters reads {_some(survey.unread)}."))
    dropouts = [f"{name or 'Model'} ({kind}, p = {p:g})" for name, kind, p in survey.training if "Dropout" in kind]
    if dropouts:
        found.append(Finding("dropout", Severity.MARKED, f"In training mode: {_some(dropouts)}."))
    if survey.changed_state:
        found.append(Finding("changes-state", Severity.MARKED, f"A call changes {_some(survey.changed_state)}."))
    return found


def _guard(op: IdleOp) -> bool:
    return op.op.removeprefix("aten.").startswith(_GUARDS)


def _of_one_element(op: IdleOp) -> bool:
    return all(math.prod(shape) == 1 for shape in op.shapes)


def _idle(ops: Sequence[IdleOp]) -> str:
    parts = [
        f"{_ops([op])} {'hands its input on' if op.what == 'identity' else 'gives one constant'}" for op in ops[:_SHOWN]
    ]
    more = [counted(len(ops) - _SHOWN, "other")] if len(ops) > _SHOWN else []
    return ", ".join([*parts, *more])


def _ops(ops: Sequence[IdleOp]) -> str:
    def show(op: IdleOp) -> str:
        line = f" in line {op.line}" if op.line else ""
        return f"{op.op.removeprefix('aten.').partition('.')[0]}{line}"

    return _some([show(op) for op in ops])


def _some(names: Sequence[str]) -> str:
    each = list(dict.fromkeys(names))
    more = f" and {counted(len(each) - _SHOWN, 'other')}" if len(each) > _SHOWN else ""
    return ", ".join(each[:_SHOWN]) + more


def size_findings(
    each: SuiteTask, task: Task, reference: LintReference, scale: Scale
) -> tuple[list[Finding], dict[str, float]]:
    """(findings on the full size and on the twin, figures).

    Args:
        task: `each` at the scale that `reference` has open.
    """
    found: list[Finding] = []
    signature, ops = reference.signature, reference.ops()
    figures: dict[str, float] = {}
    if task.source == each.task.source:
        full, full_ops = signature, ops
    else:
        try:
            seen = reference.full_size(each.task.source)
        except TaskError as error:
            why = " ".join(error.message.split())[:160]
            what = f"What one call costs at full size, as it does not run without values: {why}."
            return [Finding("not-checked", Severity.NOTE, what), *_twin(each, reference, figures, scale)], figures
        full, full_ops = seen.signature, seen.ops
    terms = {k: v for k, v in bound(full, full_ops, find_gpu(DEFAULT_GPU)).terms.items() if k != "launch"}
    seconds = max(terms.values(), default=0.0)
    by = max(terms, key=lambda name: terms[name], default="")
    figures |= {"seconds at full size": seconds, "FLOPs at full size": float(sum(op.flops for op in full_ops))}
    if seconds < LAUNCH_SECONDS:
        what = f"At full size the least time is {duration(seconds)} ({by}) on an {DEFAULT_GPU}; a launch takes some {duration(LAUNCH_SECONDS)}."
        found.append(Finding("launch-bound", Severity.MARKED, what, {"seconds": seconds}))
    return [*found, *_twin(each, reference, figures, scale)], figures


def _twin(each: SuiteTask, reference: LintReference, figures: dict[str, float], scale: Scale) -> list[Finding]:
    if each.twin and scale is Scale.FULL:
        return []
    signature = reference.signature
    specs = (*signature.inputs, *signature.outputs, *signature.parameters, *signature.gradients)
    elements, flops = sum(spec.numel for spec in specs), sum(op.flops for op in reference.ops())
    figures |= {"elements in the emulator": float(elements), "FLOPs in the emulator": float(flops)}
    if elements > LARGE_TWIN_ELEMENTS or flops > LARGE_TWIN_FLOPS:
        what = f"The emulator gets {elements:,} elements, and {flops:,} operations a call."
        rule = "large-twin" if each.twin else "no-twin"
        return [Finding(rule, Severity.NOTE, what, {"elements": float(elements), "flops": float(flops)})]
    return []
