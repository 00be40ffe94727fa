"""What rounding does to a computation in any honest order: a float64 run in which every operation errs at random.

Each operation's result is moved by one unit of round-off of the task's dtype, and the result of a sum (also inside a
matrix product, a convolution, a softmax or a normalisation) by what adding its terms one after the other in float32
would err: the least accurate order that is still honest. The distance from the undisturbed float64 run is then a
sample of the error of an honest kernel, whichever way it goes about the sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from kernelwright.sandbox.dispatch import DispatchMode
from kernelwright.sandbox.rounded_gradients import backward_in_parts, convolution_terms
from kernelwright.sandbox.rounded_operations import WHOLE, dims_of

__all__ = ["HonestRounding", "random_signs"]

_CHUNKS = 8  # partial sums looked at per reduction: enough to know their size within a fifth
_STEP = 0.3  # standard deviation of one rounding to nearest, in machine epsilons of its result (1 / sqrt(12))
_SAME = (
    0.15  # the same where all terms are equal: the roundings of a binade agree, so that they add up (mean of |error|)
)
_ALIKE = 1e-5  # relative difference up to which terms count as equal: two roundings of float32 many times over
_LOOKED_AT = 64  # terms compared to tell that
_ACCUMULATOR_EPS = torch.finfo(torch.float32).eps  # sums of half-precision terms are added in float32

_CHOOSING = (
    "abs alias amax amin arange argmax argmin argsort as_strided bitwise_and bitwise_not bitwise_or cat ceil clamp "
    "clamp_max clamp_min clone constant_pad_nd copy copysign cummax cummin detach diag_embed embedding empty empty_like "
    "empty_strided eq expand eye fill flip floor full full_like gather ge gt hardtanh heaviside index index_put "
    "index_select isfinite isinf isnan kthvalue le lift_fresh linspace logical_and logical_not lt masked_fill masked_scatter "
    "max max_pool2d_with_indices max_pool3d_with_indices maximum median min minimum ne neg new_empty "
    "new_empty_strided new_full new_ones new_zeros ones ones_like permute pixel_shuffle reflection_pad1d reflection_pad2d "
    "relu repeat replication_pad2d resize roll round scalar_tensor scatter select select_scatter sgn sign slice slice_scatter "
    "sort stack threshold topk trace_copy tril triu trunc unfold upsample_nearest2d where zero zeros zeros_like _to_copy "
    "_local_scalar_dense _unsafe_view _reshape_alias bernoulli rand rand_like randn randn_like randperm randint uniform normal"
)
"""Operations that choose, move or make values but round none (names without overload and without a closing _)."""
_EXACT = frozenset(_CHOOSING.split())

_NEAR_ZERO = frozenset({"acosh", "asinh", "atanh", "elu", "expm1", "log1p", "log_sigmoid_forward", "sinh", "tanh"})
"""Functions that honest kernels write as `exp(x) - 1` and the like: near zero they err by an epsilon of one, not of the result."""


def random_signs(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """-1 or 1 at random in float64, one of each eight bytes of a random integer: a fourth of what `randint` takes."""
    count = shape.numel()
    words = torch.empty(-(-count // 8), dtype=torch.int64).random_(generator=generator)
    bits = words.view(torch.int8)[:count].bitwise_and_(1)
    return bits.double().mul_(2).sub_(1).view(shape)


class HonestRounding(DispatchMode):
    """While active, float64 operations of torch err as those of a dtype with machine epsilon `eps` may.

    Args:
        eps: of the task's dtype, without unit (2**-23 for float32).
        generator: where chance comes from.
    """

    def __init__(self, eps: float, generator: torch.Generator) -> None:
        super().__init__()
        self.eps, self.generator = eps, generator
        self.sum_eps = min(eps, _ACCUMULATOR_EPS)

    def dispatch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = func._schema.name.removeprefix("aten::")
        whole = WHOLE.get(f"{name}.{func._overloadname}", WHOLE.get(name)) or backward_in_parts(func, name)
        if whole is not None and _wide(args[0]):
            with self:
                found = whole(*args, **kwargs)
            if found is not NotImplemented:
                return found
        out = func(*args, **kwargs)
        if name == "convolution_backward" and _wide(args[0]):
            return self._convolved_back(func, out, args)
        if func.is_view or name.removesuffix("_") in _EXACT or (not func._schema.is_mutable and _shares(out, args)):
            return out
        summed = _SUMS.get(name)
        if summed is not None and isinstance(out, torch.Tensor) and _wide(out):
            moved = self._summed(out, summed, args, kwargs)
            if moved is not None:
                return moved
        if name.removesuffix("_") in _NEAR_ZERO:
            first = out[0] if isinstance(out, tuple) else out
            if _wide(first):
                first.add_(random_signs(first.shape, self.generator), alpha=self.eps)
        return self._rounded(out)

    def _rounded(self, out: Any) -> Any:
        if isinstance(out, torch.Tensor):
            if _wide(out) and out.numel() and not out.requires_grad:
                signs = random_signs(out.shape, self.generator)
                out.mul_(signs.mul_(self.eps).add_(1))
            return out
        if isinstance(out, list | tuple):
            for item in out:
                self._rounded(item)
        return out

    def _summed(
        self, out: torch.Tensor, summed: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> torch.Tensor | None:
        """`out` moved by what a sequential sum errs; None if the form of the call is not known."""
        if summed is _cumulated:
            return self._cumulate(out, args[0], args[1])
        spread = summed(out, *args, **kwargs)
        if spread is None or spread.shape != out.shape or not out.numel():
            return None
        # one standard deviation, up or down: where there is a single sum, a small draw would stand for a small error
        noise = random_signs(out.shape, self.generator).mul_(spread).mul_(self.sum_eps)
        out.add_(noise)
        return out if self.eps == self.sum_eps else self._rounded(out)

    def _convolved_back(self, func: Any, out: Any, args: Sequence[Any]) -> Any:
        """The gradients of a convolution: sums of as many terms as `convolution_terms` says."""
        grad, x, weight, *rest = args
        squares = func(grad.square(), x.square(), weight.square(), *rest)
        for gradient, square, terms in zip(out, squares, convolution_terms(grad, x, weight, rest[6]), strict=True):
            if isinstance(gradient, torch.Tensor) and _wide(gradient):
                walk = square.sqrt().mul_(0.7 * _STEP * math.sqrt(terms)).add_(gradient.abs())
                gradient.add_(random_signs(gradient.shape, self.generator).mul_(walk).mul_(self.sum_eps))
        return out if self.eps == self.sum_eps else self._rounded(out)

    def _cumulate(self, out: torch.Tensor, x: torch.Tensor, dim: int) -> torch.Tensor:
        """A running sum: each partial sum inherits what those before it erred."""
        if not x.dim():
            return out
        signs = random_signs(out.shape, self.generator)
        alike = _alike(x.movedim(dim, 0)).unsqueeze(dim)
        step = torch.where(alike > 0, _SAME * alike * signs.select(dim, 0).unsqueeze(dim), _STEP * signs)
        return out.add_(torch.cumsum(step.mul_(out).mul_(self.sum_eps), dim))


def _wide(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in {torch.float64, torch.complex128}


def _shares(out: Any, args: Sequence[Any]) -> bool:
    """Whether a result is an argument's memory: it was rounded before."""
    first = out[0] if isinstance(out, list | tuple) and out else out
    if not isinstance(first, torch.Tensor) or not first.numel():
        return False
    begin = first.untyped_storage().data_ptr()
    return any(isinstance(a, torch.Tensor) and a.untyped_storage().data_ptr() == begin for a in args)


# -- sums: how far adding one term after the other errs, in machine epsilons of the accumulator -----------------------


def _alike(rows: torch.Tensor) -> torch.Tensor:
    """For each column, the share of its terms (in the first dimension) that are one value, but for rounding; 0 where
    that is less than half of them, or where the value is zero, which adds without error."""
    some = rows[:: max(1, rows.shape[0] // _LOOKED_AT)]
    usual = some.median(0).values
    share = ((some - usual).abs_() <= _ALIKE * usual.abs()).double().mean(0)
    return torch.where((share >= 0.5) & (usual != 0), share, 0.0)


def _constant(*tensors: torch.Tensor) -> bool:
    return all(t.numel() > 1 and float(_alike(t.reshape(-1))) == 1 for t in tensors)


def _total(out: torch.Tensor, x: torch.Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> torch.Tensor | None:
    dims = dims_of(x, dim) if x.dim() else []
    if x.is_complex() or not x.numel() or not dims:
        return None
    kept = [d for d in range(x.dim()) if d not in dims]
    rows = x.permute(*dims, *kept).reshape(-1, *(x.shape[d] for d in kept))
    size = -(-rows.shape[0] // _CHUNKS)
    partial = torch.stack([piece.sum(0) for piece in rows.split(size)]).cumsum(0)
    terms = torch.count_nonzero(rows, 0).double()  # to add a zero is exact
    terms.sub_(1).clamp_(min=0)
    rest = partial[-1] - partial  # what is summed up at that place from the other end
    drift = partial.abs().mean(0).maximum(rest.abs().mean(0)).mul_(_SAME * terms * _alike(rows))
    drift = drift.maximum(_absorbed(rows, partial.abs().amax(0).maximum(rest.abs().amax(0))))
    walk = partial.square_().mean(0).maximum(rest.square_().mean(0)).sqrt_().mul_(_STEP * terms.sqrt())
    return torch.maximum(drift, walk).reshape(out.shape)


def _absorbed(rows: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
    """What a sum as large as `largest` loses of terms that are less than a step of it: each rounds away, all to the same side.

    After an exponential a single large input makes all other terms such; in machine epsilons, as the other errors here.
    """
    step = largest * _ACCUMULATOR_EPS
    small = rows.abs() < step
    if not bool(small.any()):
        return torch.zeros_like(largest)
    lost = torch.where(small, rows, 0.0)
    return lost.clamp(-step / 2, step / 2).sum(0).abs().div_(_ACCUMULATOR_EPS)


def _average(
    out: torch.Tensor, x: torch.Tensor, dim: Any = None, keepdim: bool = False, **_: Any
) -> torch.Tensor | None:
    spread = _total(out, x, dim, keepdim)
    return None if spread is None else spread * (out.numel() / x.numel())


def _cumulated(out: torch.Tensor, _x: torch.Tensor, _dim: int, **_: Any) -> torch.Tensor | None:
    return out.abs()


def _multiplied(out: torch.Tensor, x: torch.Tensor, *_args: Any, **_: Any) -> torch.Tensor:
    return out.abs() * math.sqrt(max(1, x.numel() // max(1, out.numel())))


def _multiplied_along(out: torch.Tensor, x: torch.Tensor, dim: int, **_: Any) -> torch.Tensor:
    return out.abs() * math.sqrt(x.shape[dim]) if x.dim() else out.abs()


def _product(out: torch.Tensor, a: torch.Tensor, b: torch.Tensor, **_: Any) -> torch.Tensor | None:
    """`a @ b` for vectors, matrices and batches of matrices."""
    terms = a.shape[-1]
    if a.is_complex() or not terms:
        return None
    if b.dim() == 1:  # mv, dot
        spread = _product(out[..., None], a if a.dim() > 1 else a[None], b[:, None])
        return None if spread is None else spread.reshape(out.shape)
    size = -(-terms // _CHUNKS)
    same = _constant(a, b)
    total: torch.Tensor | None = None
    summed: torch.Tensor | None = None
    running: torch.Tensor | None = None
    count = 0
    for start in range(0, terms, size):
        part = a[..., start : start + size] @ b[..., start : start + size, :]
        running = part if running is None else running.add_(part)
        piece = running.abs() if same else running.square()
        total = piece if total is None else total.add_(piece)
        summed = running.clone() if summed is None else summed.add_(running)
        count += 1
    assert total is not None
    assert summed is not None
    assert running is not None
    if terms == 1:
        return total.zero_()
    if same:
        return total.mul_(_SAME * terms / count)
    # from the other end the partial sums are `running - partial`; of both ways the worse
    other = torch.addcmul(total, running, running * count - 2 * summed)
    return total.maximum(other).div_(count).sqrt_().mul_(_STEP * math.sqrt(terms))


def _product_added(
    out: torch.Tensor, c: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: float = 1, alpha: float = 1, **_: Any
) -> torch.Tensor | None:
    spread = _product(out, a, b)
    if spread is None:
        return None
    return (spread * abs(alpha) + (c * beta).abs() + out.abs()).expand(out.shape)


def _linear(out: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, bias: Any = None) -> torch.Tensor | None:
    spread = _product(out.reshape(-1, weight.shape[0]), x.reshape(-1, x.shape[-1]), weight.t())
    return None if spread is None else (spread.reshape(out.shape) + out.abs())


def _convolved(
    out: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: Any, padding: Any,
    dilation: Any, transposed: bool, output_padding: Any, groups: int, *_: Any
) -> torch.Tensor | None:  # fmt: skip
    """By halves of the input channels, and a random walk within each."""
    if x.is_complex():
        return None

    def run(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return torch.ops.aten.convolution(a, w, None, stride, padding, dilation, transposed, output_padding, groups)

    terms = weight[0].numel() if not transposed else weight.shape[0] // groups * weight[0, 0].numel()
    if groups == 1 and x.shape[-weight.dim() + 1] >= 4:
        channels = x.shape[-weight.dim() + 1]
        size = -(-channels // _CHUNKS)
        running, total, count = None, None, 0
        axis = x.dim() - weight.dim() + 1
        for start in range(0, channels, size):
            w = weight.narrow(0 if transposed else 1, start, min(size, channels - start))
            part = run(x.narrow(axis, start, min(size, channels - start)), w)
            running = part if running is None else running + part
            total = running.square() if total is None else total.add_(running.square())
            count += 1
        assert total is not None
        walk = total.div_(count).sqrt_()
    else:
        walk = run(x.square(), weight.square()).sqrt_().mul_(0.7) + out.abs() * 0.5
    return walk.mul_(_STEP * math.sqrt(terms)) + out.abs()


_SUMS: dict[str, Callable[..., torch.Tensor | None]] = {
    "sum": _total,
    "nansum": _total,
    "mean": _average,
    "cumsum": _cumulated,
    "prod": _multiplied,
    "cumprod": _multiplied_along,
    "mm": _product,
    "bmm": _product,
    "dot": _product,
    "mv": _product,
    "addmm": _product_added,
    "baddbmm": _product_added,
    "linear": _linear,
    "convolution": _convolved,
}
