"""What a verdict says of gradients: names of what a call gives and gets, and gradients that are not there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kernelwright.bench_tasks.task import TaskSignature
from kernelwright.sandbox.trees import tensors_of
from kernelwright.verifier.correctness import Mismatch

__all__ = ["call_names", "input_name", "missing_gradient", "result_name"]


def result_name(position: int, signature: TaskSignature) -> str:
    """How a sentence that begins with a result names it: outputs come first, then gradients."""
    outputs = len(signature.outputs)
    if outputs <= position < outputs + len(signature.gradients):
        name = signature.gradients[position - outputs].name
        return name[0].upper() + name[1:]
    return f"Output {position}" if outputs > 1 else "The output"


def input_name(position: int, signature: TaskSignature) -> str:
    """How a sentence names a tensor that a call gets: inputs come first, then cotangents."""
    given = position - len(signature.inputs)
    return f"its input {position}" if given < 0 else signature.cotangents[given].name


def call_names(signature: TaskSignature) -> list[str]:
    """What the tensors that a call gets are called; nothing for a task without gradients."""
    return [spec.name for spec in (*signature.inputs, *signature.cotangents)] if signature.gradients else []


def missing_gradient(outputs: Any, signature: TaskSignature, unmatched: Collection[str]) -> Mismatch | None:
    """The first gradient that the reference has and the candidate has not.

    Args:
        outputs: what the call gave: ``[outputs, [gradient or None, ...]]`` if the task has gradients.
        unmatched: weights of the reference that the candidate has no counterpart for.
    """
    if not signature.gradients:
        return None
    given, found = outputs
    if len(tensors_of(given)) != len(signature.outputs):
        return None  # the comparison says so
    for position, (gradient, spec) in enumerate(zip(found, signature.gradients, strict=True)):
        if gradient is None:
            parameter = spec.name.removeprefix("the gradient of ")
            why = (
                f"ModelNew has no parameter {parameter!r} of that shape. Give it the reference's names"
                if parameter in unmatched
                else "autograd finds no way from the outputs to it. A kernel needs a torch.autograd.Function whose backward() "
                "returns a gradient for every tensor that forward() depends on"
            )
            return Mismatch(
                len(signature.outputs) + position,
                f"it is missing (None), where the reference has one: {why}.",
            )
    return None
