"""Compares a candidate's outputs with the reference, by the task's numeric policy."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from kernelwright.bench_tasks.task import FEW_ELEMENTS, NumericPolicy
from kernelwright.sandbox.reference import ReferenceResult
from kernelwright.sandbox.trees import tensors_of

if TYPE_CHECKING:
    import torch

__all__ = ["Mismatch", "Past", "allowance", "compare_outputs", "limits_share"]

_PIECE = 1 << 18  # elements compared at a time
_RMS_ULPS = (
    2.0  # machine epsilons of the reference added to the honest error, for intrinsics that err the same way everywhere
)
_NARROW_RMS_ULPS = 0.5  # the same in 16-bit types: an intrinsic's error is nothing beside the rounding of the result
_MANY_OF_SEVERAL = 32  # elements that outputs of fewer than `FEW_ELEMENTS` have had in several calls together
_MANY_OF_LIKE = 16  # elements of the same in calls whose inputs are drawn alike
_LOOKED_AT = 512  # elements: to tell whether results vary
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


def compare_outputs(
    outputs: Any,
    reference: ReferenceResult,
    policy: NumericPolicy,
    *,
    nan_is_free: bool = False,
    past: Past | None = None,
) -> tuple[Mismatch | None, float]:
    """Checks every output tensor.

    Args:
        nan_is_free: ask for nothing where the reference, in its own dtype or in float64, answers NaN.
        past: what is known from earlier calls of the same kernel, for outputs of few elements; this call is added.
            `Past.normal` of it, if inputs are drawn from the normal distribution.

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
        if nan_is_free and mine.dtype.is_floating_point:
            mine = _without_undefined(mine, honest, wide)
        mismatch, share = _compare(position, mine, honest, wide, shifted, policy, Past() if past is None else past)
        worst = max(worst, share)
        if mismatch is not None:
            return mismatch, worst
    return None, worst


def limits_share(output: torch.Tensor, reference: ReferenceResult, policy: NumericPolicy) -> float:
    """How far one floating-point output is from the policy's limits: the larger share, also where it is above 1.

    `compare_outputs` gives the share of right elements only; this one is for calibrating the policy.
    """
    joined = _joined(output.shape)
    good, errors = _judge_piece(output, reference.native, reference.exact, reference.moved, joined, policy)
    exact = (reference.native if reference.exact is None else reference.exact).double()
    allowed = allowance(reference.native, exact, reference.moved, policy)
    share = ((output.double() - exact).abs() / allowed).nan_to_num_(0.0, 0.0, 0.0)
    wrong = float(share.max()) if bool(good.all()) else max(float(share.max()), 1.0)
    return max(wrong, errors.whole_share(policy))


def allowance(
    native: torch.Tensor, exact: torch.Tensor, moved: torch.Tensor | None, policy: NumericPolicy
) -> torch.Tensor:
    """How far each element of a floating-point output may be from the reference, float64.

    Args:
        native: what the reference answers in the task's dtype.
        exact: in float64.
        moved: in float64 with honest rounding.
    """
    import torch

    wide = exact.double()
    error = _honest_error(native.double(), wide, wide if moved is None else moved.double())
    return _allowed(error, wide, torch.finfo(native.dtype), _joined(native.shape), policy)


def _without_undefined(mine: torch.Tensor, honest: torch.Tensor, wide: torch.Tensor | None) -> torch.Tensor:
    """`mine`, with the reference's value wherever the reference is NaN."""
    import torch

    undefined = honest.isnan() if wide is None else honest.isnan() | wide.isnan()
    return torch.where(undefined, honest, mine)


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
    past: Past,
) -> tuple[Mismatch | None, float]:
    import torch

    if mine.numel() == 0:
        return None, 0.0
    if mine.dtype.is_complex:
        parts = [None if t is None else torch.view_as_real(t) for t in (mine, honest, wide, shifted)]
        return _compare(position, parts[0], parts[1], parts[2], parts[3], policy, past)  # type: ignore[arg-type]
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
    good_parts, errors = [], _Errors()
    for m, h, w, s in zip(
        _cut(mine, pieces), _cut(honest, pieces), _cut(wide, pieces), _cut(shifted, pieces), strict=False
    ):
        assert m is not None
        assert h is not None
        right, found = _judge_piece(m, h, w, s, joined, policy)
        good_parts.append(right)
        errors = errors.joined(found)
    good = torch.cat(good_parts) if len(good_parts) > 1 else good_parts[0]
    expected = honest if wide is None else wide
    if not bool(good.all()):
        return _report(position, mine, expected, good, policy, honest, shifted), errors.share
    known = (errors,) if errors.counted >= FEW_ELEMENTS else past.with_those_of(position, errors)
    farthest = max(known, key=lambda e: e.whole_share(policy))
    whole = farthest.whole_share(policy)
    mismatch = _imprecise(position, mine, expected, farthest, policy) if whole > 1 else None
    return mismatch, max(errors.share, whole)


def _cut(tensor: torch.Tensor | None, pieces: int) -> Sequence[torch.Tensor | None]:
    if tensor is None:
        return [None] * pieces
    return [tensor] if pieces == 1 else tensor.chunk(pieces)


@dataclass(frozen=True)
class _Errors:
    """What is known of the errors of some elements."""

    share: float = 0.0
    """The largest error of the elements that are right, as a share of what is allowed."""
    squares: float = 0.0
    """Sum of the squares of the errors of finite elements, each in units of the honest error of its row."""
    outward: float = 0.0
    """Sum of those errors themselves, above 0 where results are too far from zero, below where they are too near.

    Counted in 16-bit types only, where most of an honest error is the rounding of each result by itself, which goes both
    ways, and where results vary: equal ones are rounded alike. In wider types the errors of a row often have one cause,
    such as a sum it is divided by, and honest ones lean as well.
    """
    counted: int = 0
    """How many elements those sums are over."""

    plain_squares: float = 0.0
    """Sum of the squares of the errors as they are; of few elements only."""
    usual_squares: float = 0.0
    """Sum of the squares of what those errors are measured by."""
    enough: int = FEW_ELEMENTS
    """Fewer elements say nothing as a whole."""
    alike: bool = False
    """Whether inputs of all calls were drawn alike, so that errors as they are can be compared between calls."""
    narrow: bool = False
    """Whether they are of a 16-bit type."""

    def joined(self, other: _Errors) -> _Errors:
        """Those of both."""
        return replace(
            self,
            share=max(self.share, other.share),
            squares=self.squares + other.squares,
            outward=self.outward + other.outward,
            counted=self.counted + other.counted,
            plain_squares=self.plain_squares + other.plain_squares,
            usual_squares=self.usual_squares + other.usual_squares,
            narrow=self.narrow or other.narrow,
        )

    @property
    def rms(self) -> float:
        """Root mean square in units of the honest error; 0 of too few elements."""
        if self.counted < self.enough:
            return 0.0
        if self.alike:  # of both, then their ratio: an element whose honest error is tiny by chance counts for little
            return math.sqrt(self.plain_squares / self.usual_squares) if self.usual_squares else 0.0
        return math.sqrt(self.squares / self.counted)

    @property
    def bias(self) -> float:
        """Mean in one direction; 0 of too few elements."""
        return abs(self.outward) / self.counted if self.counted >= self.enough else 0.0

    def whole_share(self, policy: NumericPolicy) -> float:
        """Of what is allowed for all elements together."""
        return max(self.rms / self.rms_slack(policy), self.bias / policy.bias_slack)

    def rms_slack(self, policy: NumericPolicy) -> float:
        """What is allowed of the root mean square."""
        if self.alike:
            return policy.normal_slack
        return policy.narrow_rms_slack if self.narrow else policy.rms_slack


class Past:
    """Errors of one kernel's outputs in the calls so far, of those outputs that are too small to tell much in one call."""

    def __init__(self) -> None:
        self._errors: dict[int, _Errors] = {}
        self._normal: dict[int, _Errors] = {}
        self._in_normal = False

    def normal(self, is_so: bool = True) -> Past:
        """The same, for a call whose inputs are drawn from the normal distribution, or are not."""
        seen = copy.copy(self)
        seen._in_normal = is_so
        return seen

    def with_those_of(self, position: int, errors: _Errors) -> tuple[_Errors, ...]:
        """Adds what an output erred in another call; gives those of all calls together, and of all like it."""
        every = self._errors.get(position, _Errors(enough=_MANY_OF_SEVERAL)).joined(errors)
        self._errors[position] = every
        if not self._in_normal:
            return (every,)
        like = self._normal.get(position, _Errors(enough=_MANY_OF_LIKE, alike=True)).joined(errors)
        self._normal[position] = like
        return every, like


def _judge_piece(
    mine: torch.Tensor,
    honest: torch.Tensor,
    wide: torch.Tensor | None,
    shifted: torch.Tensor | None,
    joined: int,
    policy: NumericPolicy,
) -> tuple[torch.Tensor, _Errors]:
    """Which elements are right, and what their errors are like."""
    import torch

    x, n = mine.double(), honest.double()
    reference = n if wide is None else wide.double()
    near = reference if shifted is None else shifted.double()
    info = torch.finfo(honest.dtype)
    honest_error = _honest_error(n, reference, near)
    allowed = _allowed(honest_error, reference, info, joined, policy)
    error = x - reference
    narrow = _narrow(info)
    spread = _over_row(honest_error.square(), joined, "mean").sqrt_() + info.tiny
    usual = spread + (_NARROW_RMS_ULPS if narrow else _RMS_ULPS) * info.eps * reference.abs()
    share = error.abs() / allowed
    good = share <= 1
    ratio = error.div_(usual)
    if not bool(good.all()):
        finite = torch.isfinite(reference)
        good &= finite  # an infinite reference allows an infinite error
        good |= (x == n) | (torch.isnan(x) & torch.isnan(n))  # overflow and NaN where the task's own dtype has them
        good |= (x == reference) | (torch.isnan(x) & torch.isnan(reference))
        good |= ~torch.isfinite(near) & ~torch.isfinite(x) & finite
        share = torch.where(good & finite, share, 0.0).nan_to_num_(0.0, 0.0, 0.0)
        ratio = torch.where(torch.isfinite(n) & torch.isfinite(x), ratio, 0.0).nan_to_num_(0.0, 0.0, 0.0)
    # what still holds the poison of fresh memory was never written, also where a NaN is right
    unwritten = torch.isnan(x) & _poisoned(mine) & ~_poisoned(honest)
    outward = 0.0
    if narrow and _varied(reference):
        leaning = ratio * usual / (spread + _RMS_ULPS * info.eps * reference.abs())
        outward = float((leaning * reference.sign()).nan_to_num_(0.0, 0.0, 0.0).sum())
    plain = usually = 0.0
    if ratio.numel() < FEW_ELEMENTS:
        plain = float((ratio * usual).square().nan_to_num_(0.0, 0.0, 0.0).sum())
        usually = float(usual.expand_as(ratio).square().nan_to_num_(0.0, 0.0, 0.0).sum())
    squares = float(ratio.square_().sum())
    found = _Errors(float(share.max()), squares, outward, ratio.numel(), plain, usually, narrow=narrow)
    return good & ~unwritten, found


def _varied(values: torch.Tensor) -> bool:
    """Whether `FEW_ELEMENTS` of some values differ from each other."""
    return values.reshape(-1)[:: max(1, values.numel() // _LOOKED_AT)].unique().numel() >= FEW_ELEMENTS


def _poisoned(tensor: torch.Tensor) -> torch.Tensor:
    """Which elements hold the bits that fresh memory has: all ones."""
    import torch

    bits = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return tensor.contiguous().view(bits) == -1


def _honest_error(n: torch.Tensor, reference: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
    """The larger of the two errors; one that is no number (the task's own dtype overflowed) leaves the other."""
    own, moved = ((x - reference).abs_().nan_to_num_(0.0, 0.0, 0.0) for x in (n, near))
    return own.maximum(moved)


def _over_row(values: torch.Tensor, joined: int, how: str) -> torch.Tensor:
    dims = tuple(range(values.dim() - joined, values.dim()))
    if not joined:
        return values
    return values.amax(dim=dims, keepdim=True) if how == "max" else values.mean(dim=dims, keepdim=True)


def _allowed(
    error: torch.Tensor, reference: torch.Tensor, info: torch.finfo, joined: int, policy: NumericPolicy
) -> torch.Tensor:
    """The policy's allowance at every element, float64."""
    narrow = _narrow(info)
    slack = policy.narrow_slack if narrow else policy.slack
    floor = policy.narrow_floor_ulps if narrow else policy.floor_ulps
    return slack * _over_row(error, joined, "max") + floor * info.eps * reference.abs() + info.tiny


def _narrow(info: torch.finfo) -> bool:
    """Whether a type has fewer digits than float32."""
    return float(info.eps) > 2.0**-23


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
        error = _honest_error(n, reference, near)
        allowed = _allowed(error, reference, torch.finfo(honest.dtype), n.dim(), policy)
        limit = float(allowed[first[len(row) :]])
    where = f"[{', '.join(map(str, first))}]" if first else ""
    nothing = ""
    if g != g:
        nothing = (
            " (never written: outputs hold this NaN before the call)" if bool(_poisoned(got[first])) else " (computed)"
        )
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


def _imprecise(
    position: int, got: torch.Tensor, expected: torch.Tensor, errors: _Errors, policy: NumericPolicy
) -> Mismatch:
    """No element is far off, yet too many err more than rounding does, or all lean to one side."""
    import torch

    distance = torch.where(torch.isfinite(expected), (got.double() - expected.double()).abs(), 0.0)
    first = tuple(int(i) for i in torch.unravel_index(distance.nan_to_num_(0.0).argmax(), got.shape))
    where = f"[{', '.join(map(str, first))}]" if first else ""
    g, e = float(got[first]), float(expected[first])
    kind = _plain(got.dtype)
    if errors.rms > (slack := errors.rms_slack(policy)):
        calls = "the calls on normally distributed inputs" if errors.alike else "all calls"
        over = "" if got.numel() >= FEW_ELEMENTS else f" over the {errors.counted} elements of {calls} so far"
        what = (
            f"its errors have{over} a root mean square of {errors.rms:.3g} times what honest {kind} arithmetic shows, "
            f"{slack:g} times are allowed: look for lower precision inside or a constant that is slightly off"
        )
    else:
        where_to = "far from" if errors.outward > 0 else "near"
        what = (
            f"its results are on average too {where_to} zero, by {errors.bias:.3g} times the size of an honest "
            f"{kind} error, {policy.bias_slack:g} times are allowed: look for a constant or a term that is slightly off, or "
            "results that are cut off where they should be rounded"
        )
    return Mismatch(
        output=position,
        what=f"{what}. Farthest is element {where}: {g:.9g}, should be {e:.9g}.",
        index=first,
        got=g,
        expected=e,
        allowed=None,
        wrong=got.numel(),
        total=got.numel(),
    )


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
