"""Compares a candidate's outputs with the reference, by the task's numeric policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kernelwright.bench_tasks.task import NumericPolicy
from kernelwright.sandbox.reference import ReferenceResult
from kernelwright.sandbox.trees import tensors_of

if TYPE_CHECKING:
    import torch

__all__ = ["Mismatch", "compare_outputs"]

_PIECE = 1 << 18  # elements compared at a time
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


def compare_outputs(outputs: Any, reference: ReferenceResult, policy: NumericPolicy) -> tuple[Mismatch | None, float]:
    """Checks every output tensor.

    Returns:
        (the first mismatch or None, the largest error as a share of what is allowed).
    """
    got, native = tensors_of(outputs), tensors_of(reference.native)
    if len(got) == len(native) and (what := _structure(outputs, reference.native)):
        return Mismatch(0, what), float("inf")
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


def _structure(got: Any, expected: Any, where: str = "the output") -> str:
    """How two output trees differ outside their tensors; empty if they don't. A list may stand for a tuple."""
    import torch

    if isinstance(expected, torch.Tensor):
        return "" if isinstance(got, torch.Tensor) else f"{where} is {type(got).__name__}, the reference's a tensor."
    if isinstance(expected, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(expected):
            return f"{where} is no sequence of {len(expected)} as the reference's is."
        pairs = [(f"item {i} of {where}", g, e) for i, (g, e) in enumerate(zip(got, expected, strict=True))]
    elif isinstance(expected, dict):
        if not isinstance(got, dict) or set(got) != set(expected):
            return f"{where} is no dict with the reference's keys {sorted(expected)}."
        pairs = [(f"{key!r} of {where}", got[key], e) for key, e in expected.items()]
    elif isinstance(expected, float) and isinstance(got, float):
        return (
            ""
            if math.isclose(got, expected, rel_tol=1e-5) or got == expected
            else f"{where} is {got}, the reference's {expected}."
        )
    else:
        return (
            ""
            if type(got) is type(expected) and got == expected
            else f"{where} is {got!r}, the reference's {expected!r}."
        )
    return next((what for name, g, e in pairs if (what := _structure(g, e, name))), "")


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
        return _report(position, mine, honest, good, policy), 0.0 if bool(good.all()) else float("inf")

    # in pieces of whole rows, so that the float64 working memory stays small
    joined = _joined(mine.shape)
    pieces = max(1, mine.numel() // _PIECE) if mine.dim() > joined else 1
    good_parts, worst = [], 0.0
    for m, h, w, s in zip(
        _cut(mine, pieces), _cut(honest, pieces), _cut(wide, pieces), _cut(shifted, pieces), strict=False
    ):
        assert m is not None
        assert h is not None
        good, share = _judge_piece(m, h, w, s, joined, policy)
        good_parts.append(good)
        worst = max(worst, share)
    good = torch.cat(good_parts) if len(good_parts) > 1 else good_parts[0]
    if bool(good.all()):
        return None, worst
    return _report(position, mine, honest if wide is None else wide, good, policy, honest, shifted), worst


def _cut(tensor: torch.Tensor | None, pieces: int) -> Sequence[torch.Tensor | None]:
    if tensor is None:
        return [None] * pieces
    return [tensor] if pieces == 1 else tensor.chunk(pieces)


def _judge_piece(
    mine: torch.Tensor,
    honest: torch.Tensor,
    wide: torch.Tensor | None,
    shifted: torch.Tensor | None,
    joined: int,
    policy: NumericPolicy,
) -> tuple[torch.Tensor, float]:
    """Which elements are right, and the largest error of those as a share of what is allowed."""
    import torch

    x, n = mine.double(), honest.double()
    reference = n if wide is None else wide.double()
    near = reference if shifted is None else shifted.double()
    allowed = _allowed(n, reference, near, torch.finfo(honest.dtype), joined, policy)
    share = (x - reference).abs_().div_(allowed)
    good = share <= 1
    if not bool(good.all()):
        finite = torch.isfinite(reference)
        good &= finite  # an infinite reference allows an infinite error
        good |= (x == n) | (torch.isnan(x) & torch.isnan(n))  # overflow and NaN where the task's own dtype has them
        good |= (x == reference) | (torch.isnan(x) & torch.isnan(reference))
        good |= ~torch.isfinite(near) & ~torch.isfinite(x) & finite
        share = torch.where(good & finite, share, 0.0).nan_to_num_(0.0, 0.0, 0.0)
    # what still holds the poison of fresh memory was never written, also where a NaN is right
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[mine.element_size()]
    unwritten = torch.isnan(x) & (mine.contiguous().view(bits) == -1) & (honest.contiguous().view(bits) != -1)
    return good & ~unwritten, float(share.max())


def _allowed(
    n: torch.Tensor, reference: torch.Tensor, near: torch.Tensor, info: torch.finfo, joined: int, policy: NumericPolicy
) -> torch.Tensor:
    """The policy's allowance at every element, float64."""
    error = (n - reference).abs().maximum((near - reference).abs()).nan_to_num(0.0, 0.0, 0.0)
    if joined:
        error = error.amax(dim=tuple(range(error.dim() - joined, error.dim())), keepdim=True)
    return policy.slack * error + policy.floor_ulps * info.eps * reference.abs() + info.tiny


def _unwritten(value: torch.Tensor) -> bool:
    """Whether a floating-point element still holds the poison of fresh memory, all bits set; a NaN that was computed is another."""
    import torch

    return value.dtype.is_floating_point and bool((value.reshape(1).view(torch.uint8) == 255).all())


def _joined(shape: torch.Size) -> int:
    """How many trailing dimensions make a row of at least `_ROW` elements."""
    joined, elements = 0, 1
    while joined < len(shape) and elements < _ROW:
        joined += 1
        elements *= shape[-joined]
    return joined


def _report(
    position: int,
    got: torch.Tensor,
    expected: torch.Tensor,
    good: torch.Tensor,
    policy: NumericPolicy,
    honest: torch.Tensor | None = None,
    shifted: torch.Tensor | None = None,
) -> Mismatch | None:
    import torch

    if bool(good.all()):
        return None
    first = tuple(int(i) for i in (~good).nonzero()[0])
    wrong, total = int((~good).sum()), good.numel()
    g, e = float(got[first]), float(expected[first])
    limit = None
    if honest is not None:
        row = first[: len(first) - _joined(got.shape)]
        n, reference = honest[row].double(), expected[row].double()
        near = reference if shifted is None else shifted[row].double()
        allowed = _allowed(n, reference, near, torch.finfo(honest.dtype), n.dim(), policy)
        limit = float(allowed[first[len(row) :]])
    where = f"[{', '.join(map(str, first))}]" if first else ""
    nothing = " (never written: it holds what memory is filled with before the call)" if _unwritten(got[first]) else ""
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
