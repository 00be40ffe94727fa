"""Compares a candidate's outputs with the reference, by the task's numeric policy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kernelwright.bench_tasks.task import NumericPolicy
from kernelwright.sandbox.reference import ReferenceResult

if TYPE_CHECKING:
    import torch

__all__ = ["Mismatch", "compare_outputs", "same_bits", "tensors_of"]

_ROW = 64  # elements: trailing dimensions are joined into one row until it holds this many, so that its maximum means something


@dataclass(frozen=True)
class Mismatch:
    """The first way in which outputs differ from the reference, for people and models."""

    output: int
    what: str
    """One sentence."""
    index: tuple[int, ...] | None = None
    got: float | None = None
    expected: float | None = None
    allowed: float | None = None
    wrong: int = 0
    total: int = 0

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def tensors_of(tree: Any) -> list[torch.Tensor]:
    """The tensors of an output tree, in order."""
    import torch

    if isinstance(tree, torch.Tensor):
        return [tree]
    if isinstance(tree, list | tuple):
        return [t for item in tree for t in tensors_of(item)]
    if isinstance(tree, dict):
        return [t for item in tree.values() for t in tensors_of(item)]
    return []


def same_bits(one: torch.Tensor, two: torch.Tensor) -> bool:
    """Whether two tensors hold the same bits."""
    import torch

    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    return torch.equal(one.contiguous().reshape(-1).view(torch.uint8), two.contiguous().reshape(-1).view(torch.uint8))


def compare_outputs(outputs: Any, reference: ReferenceResult, policy: NumericPolicy) -> tuple[Mismatch | None, float]:
    """Checks every output tensor.

    Returns:
        (the first mismatch or None, the largest error as a share of what is allowed).
    """
    got, native = tensors_of(outputs), tensors_of(reference.native)
    if len(got) != len(native):
        return Mismatch(0, f"it returns {len(got)} tensors, the reference {len(native)}."), float("inf")
    exact = tensors_of(reference.exact) if reference.exact is not None else [None] * len(native)
    moved = tensors_of(reference.moved) if reference.moved is not None else [None] * len(native)
    worst = 0.0
    for position, (mine, honest, wide, shifted) in enumerate(zip(got, native, exact, moved, strict=True)):
        if mine.shape != honest.shape:
            return Mismatch(
                position, f"its shape is {tuple(mine.shape)}, the reference's {tuple(honest.shape)}."
            ), float("inf")
        if mine.dtype != honest.dtype:
            return Mismatch(position, f"its dtype is {mine.dtype}, the reference's {honest.dtype}."), float("inf")
        mismatch, share = _compare(position, mine, honest, wide, shifted, policy)
        worst = max(worst, share)
        if mismatch is not None:
            return mismatch, worst
    return None, worst


def _compare(
    position: int,
    mine: torch.Tensor,
    honest: torch.Tensor,
    wide: torch.Tensor | None,
    shifted: torch.Tensor | None,
    policy: NumericPolicy,
) -> tuple[Mismatch | None, float]:
    import torch

    if mine.numel() == 0:
        return None, 0.0
    if mine.dtype.is_complex:
        parts = [None if t is None else torch.view_as_real(t) for t in (mine, honest, wide, shifted)]
        return _compare(position, parts[0], parts[1], parts[2], parts[3], policy)  # type: ignore[arg-type]
    if not mine.dtype.is_floating_point:
        good = mine == honest
        for other in (wide, shifted):
            # an index may honestly change where two values tie to within rounding
            if other is not None:
                good |= mine == other.to(mine.dtype)
        return _report(position, mine, honest, good, None), 0.0 if bool(good.all()) else float("inf")

    info = torch.finfo(honest.dtype)
    x, n = mine.double(), honest.double()
    reference = n if wide is None else wide.double()
    near = reference if shifted is None else shifted.double()
    error = (n - reference).abs().maximum((near - reference).abs()).nan_to_num(0.0, 0.0, 0.0)
    allowed = policy.slack * _row_maximum(error) + policy.floor_ulps * info.eps * reference.abs() + info.tiny
    distance = (x - reference).abs()
    good = (distance <= allowed) & torch.isfinite(reference)
    good |= (x == n) | (torch.isnan(x) & torch.isnan(n))  # overflow and NaN where the task's own dtype has them
    good |= (x == reference) | (torch.isnan(x) & torch.isnan(reference))
    good |= ~torch.isfinite(near) & ~torch.isfinite(x) & torch.isfinite(reference)
    share = (distance / allowed).nan_to_num(0.0, 0.0, 0.0)[good].max() if bool(good.any()) else torch.tensor(0.0)
    return _report(position, x, reference, good, allowed), float(share)


def _row_maximum(error: torch.Tensor) -> torch.Tensor:
    """Each element's error replaced by the largest in its row (trailing dimensions, joined until they hold `_ROW`)."""
    joined, elements = 0, 1
    while joined < error.dim() and elements < _ROW:
        joined += 1
        elements *= error.shape[-joined]
    if joined == 0:
        return error
    return error.amax(dim=tuple(range(error.dim() - joined, error.dim())), keepdim=True).expand_as(error)


def _report(
    position: int, got: torch.Tensor, expected: torch.Tensor, good: torch.Tensor, allowed: torch.Tensor | None
) -> Mismatch | None:
    if bool(good.all()):
        return None
    first = tuple(int(i) for i in (~good).nonzero()[0])
    wrong, total = int((~good).sum()), good.numel()
    g, e = float(got[first]), float(expected[first])
    limit = None if allowed is None else float(allowed[first])
    where = f"[{', '.join(map(str, first))}]" if first else ""
    nothing = " (NaN: perhaps never written, outputs are poisoned before the call)" if g != g else ""
    limits = "" if limit is None else f", and may differ by {limit:.3g}"
    return Mismatch(
        output=position,
        what=f"element {where} is {g:.9g}{nothing}, should be {e:.9g}{limits}; {wrong:,} of {total:,} elements are wrong.",
        index=first,
        got=g,
        expected=e,
        allowed=limit,
        wrong=wrong,
        total=total,
    )
