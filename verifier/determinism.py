"""Does a second call on the same inputs give the same outputs?

Bit by bit, unless floating-point atomics (or anything else whose order is left open) add terms in another order: then both calls must
be within the task's policy, and the difference is told. A kernel that is right only while memory is fresh, or only on the
first call, fails here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kernelwright.bench_tasks.task import NumericPolicy
from kernelwright.sandbox.candidate import CallResult
from kernelwright.sandbox.reference import ReferenceResult
from kernelwright.sandbox.trees import same_bits, tensors_of
from kernelwright.verifier.correctness import Mismatch, compare_outputs

if TYPE_CHECKING:
    import torch

__all__ = ["Rerun", "compare_rerun"]


@dataclass(frozen=True)
class Rerun:
    """How two calls on the same inputs differ."""

    bitwise: bool
    """Whether no bit differs."""
    changed: int
    """How many elements differ."""
    total: int
    largest: float
    """The largest difference between finite elements, in the outputs' own unit."""
    atomics: bool
    """Whether its kernels use atomics on global memory, which add in any order."""

    @property
    def summary(self) -> str:
        """For people; empty if nothing differs."""
        if self.bitwise:
            return ""
        why = "its atomics add in any order" if self.atomics else "it uses no atomics: look for a race"
        return f"two calls on the same inputs differ by up to {self.largest:.3g} ({why})"

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def compare_rerun(
    first: CallResult, again: CallResult, reference: ReferenceResult, policy: NumericPolicy
) -> tuple[Mismatch | None, Rerun | None]:
    """Compares two calls on the same inputs, the first of which was right.

    Returns:
        (what is wrong with the second call, or None; how they differ, None if their shapes do).
    """
    mismatch, _share = compare_outputs(again.outputs, reference, policy)
    one, two = tensors_of(first.outputs), tensors_of(again.outputs)
    if [(t.shape, t.dtype) for t in one] != [(t.shape, t.dtype) for t in two]:
        return mismatch, None
    pairs = list(zip(one, two, strict=True))
    differences = [_difference(a, b) for a, b in pairs if not same_bits(a, b)]
    return mismatch, Rerun(
        bitwise=not differences,
        changed=sum(changed for changed, _ in differences),
        total=sum(t.numel() for t in one),
        largest=max((largest for _, largest in differences), default=0.0),
        atomics=any(r.counters.global_atomic_requests for r in again.reports),
    )


def _difference(one: torch.Tensor, two: torch.Tensor) -> tuple[int, float]:
    """(elements that differ, the largest difference of finite ones)."""
    import torch

    if one.dtype.is_complex:
        one, two = torch.view_as_real(one), torch.view_as_real(two)
    one, two = one.double(), two.double()
    changed = (one != two) & ~(one.isnan() & two.isnan())
    distance = (one - two).abs().nan_to_num_(0.0, 0.0, 0.0)
    return int(changed.sum()), float(distance.max())
