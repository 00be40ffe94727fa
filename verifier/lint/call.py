"""One set of inputs under attack: what the reference gets and answers there, and what it would answer otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kernelwright.bench_tasks.task import TaskSignature, Workload
from kernelwright.errors import TaskError
from kernelwright.sandbox.lint_reference import LintReference
from kernelwright.sandbox.reference import ReferenceResult
from kernelwright.sandbox.trees import map_tensors, tensors_of

if TYPE_CHECKING:
    import torch

__all__ = ["AttackedCall", "result_names", "single_results"]


@dataclass
class AttackedCall:
    """One call of the reference, with its native results as a flat list.

    Results are the outputs, then the gradients, then the inputs that are changed in place, as they are left.
    """

    reference: LintReference
    workload: Workload
    weights_seed: int
    moved: bool
    inputs: list[Any]
    expected: ReferenceResult
    other_seed: int
    """Of other inputs of the same distribution."""
    initial: Mapping[str, torch.Tensor]
    """Weights as they were made, by name."""
    weights: Mapping[str, torch.Tensor]
    """As they are in this call."""
    results: list[torch.Tensor] = field(init=False)
    given: list[torch.Tensor] = field(init=False)
    """The tensors of the inputs, cotangents last."""
    _other: tuple[list[torch.Tensor], list[torch.Tensor]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.given = tensors_of(self.inputs)
        self.results = [
            *tensors_of(self.expected.native),
            *(tensors_of(self.expected.after.native) if self.expected.after is not None else []),
        ]

    def answer(
        self, replaced: Mapping[int, torch.Tensor] | None = None, weights: Mapping[str, torch.Tensor] | None = None
    ) -> list[torch.Tensor] | None:
        """The results with other tensors in the place of some inputs or weights; None if the module refuses them, or gives
        results of other shapes."""
        replaced = replaced or {}
        numbers = iter(range(len(self.given)))
        inputs = map_tensors(self.inputs, lambda tensor: replaced.get(next(numbers), tensor))
        try:
            found = self.reference.answer(
                inputs, weights_seed=self.weights_seed, moved=self.moved, changed=self._changed, weights=weights
            )
        except TaskError:
            if not self.reference.alive:
                raise
            return None
        same = [(t.shape, t.dtype) for t in found] == [(t.shape, t.dtype) for t in self.results]
        return found if same else None

    @property
    def _changed(self) -> Sequence[int]:
        return self.expected.changed if self.expected.after is not None else ()

    @property
    def other_inputs(self) -> list[torch.Tensor]:
        """Tensors of other inputs of the same distribution; of these where the module refuses others."""
        return self._others[0]

    @property
    def other_results(self) -> list[torch.Tensor]:
        """The results on them."""
        return self._others[1]

    @property
    def _others(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        if self._other is None:
            workload = self.workload
            inputs = self.reference.inputs(workload.distribution, self.other_seed, strided=workload.strided)
            tensors = [t.clone() for t in tensors_of(inputs)]  # they may be changed in place
            try:
                results = self.reference.answer(
                    inputs, weights_seed=self.weights_seed, moved=self.moved, changed=self._changed
                )
            except TaskError:
                if not self.reference.alive:
                    raise
                tensors, results = self.given, self.results
            self._other = tensors, results
        return self._other


def single_results(expected: ReferenceResult) -> list[ReferenceResult]:
    """What is known of each result by itself, in the order of `AttackedCall.results`."""
    found = []
    for part in (expected, expected.after):
        if part is None:
            continue
        native = tensors_of(part.native)
        exact = tensors_of(part.exact) if part.exact is not None else [None] * len(native)
        moved = tensors_of(part.moved) if part.moved is not None else [None] * len(native)
        samples = part.samples or [None] * len(native)
        found += [
            ReferenceResult(n, e, m, (), (), samples=None if s is None else (s,))
            for n, e, m, s in zip(native, exact, moved, samples, strict=True)
        ]
    return found


def result_names(signature: TaskSignature, changed: Sequence[int]) -> list[str]:
    """For people, in the order of `AttackedCall.results`."""
    outputs = ["the output"] if len(signature.outputs) == 1 else [f"output {i}" for i in range(len(signature.outputs))]
    return [*outputs, *(spec.name for spec in signature.gradients), *(f"what is left in input {i}" for i in changed)]
