"""Do a candidate's outputs come from kernels of its own?

The judge asks for one call in which every launch does nothing. Memory is poisoned when it is made, so outputs that
are right all the same were not computed by the kernels: torch, or something kept from an earlier call, made them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelwright.bench_tasks.task import NumericPolicy
from kernelwright.sandbox.candidate import CallResult
from kernelwright.sandbox.reference import ReferenceResult
from kernelwright.sandbox.trees import same_bits, tensors_of
from kernelwright.verifier.statistical import compare

__all__ = ["own_work", "without_launches", "without_own_work"]


def own_work(call: CallResult) -> dict[str, Any]:
    """What a call's kernels wrote, as JSON: for each output whether they stored to its memory, and bytes stored by kernel."""
    stored: dict[str, int] = {}
    for report in call.reports:
        stored[report.kernel] = stored.get(report.kernel, 0) + report.counters.global_store_bytes
    return {"outputs_written": list(call.written), "kernels": stored}


def without_own_work(call: CallResult) -> str:
    """Why this (real) call's outputs are no work of the candidate's kernels; empty if nothing speaks against them."""
    if all(t.numel() == 0 for t in tensors_of(call.outputs)):
        return ""
    if not call.reports:
        return "No CUDA kernel was launched during the call: its outputs were computed by something else."
    if subclass := next((place.kind for place in call.places if not place.plain), ""):
        return f"It returns a {subclass}, a subclass of Tensor, whose values may be computed after the call."
    stored = sum(r.counters.global_store_requests + r.counters.global_atomic_requests for r in call.reports)
    if not stored:
        return "Its kernels stored nothing to global memory: its outputs were computed by something else."
    return ""


def without_launches(
    call: CallResult, suppressed: CallResult, reference: ReferenceResult, policy: NumericPolicy
) -> str:
    """Why a call whose launches did nothing gives the kernels away as decoys; empty if its outputs are spoilt.

    Args:
        call: the real call on the same inputs.
        suppressed: the call in which launches did nothing.
    """
    real, idle = tensors_of(call.outputs), tensors_of(suppressed.outputs)
    if not any(bool(t.isfinite().any()) for t in tensors_of(reference.native)):
        return ""  # all NaN: a poisoned output tells nothing
    if _same(real, idle) or compare(suppressed.outputs, reference, policy)[0] is None:
        return (
            "The outputs stay right when none of its kernels does anything: the kernels are decoys, and torch code or "
            "values kept from an earlier call make the outputs."
        )
    return ""


def _same(one: Sequence[object], two: Sequence[object]) -> bool:
    import torch

    return len(one) == len(two) and all(
        isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and same_bits(a, b)
        for a, b in zip(one, two, strict=True)
    )
