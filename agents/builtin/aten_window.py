"""Rules for pooling and convolution: windows over the input, then a reduction or a matrix product.

A window is index arithmetic (`Program.window`): element (…, place, tap) of it is the input at place * stride + tap * dilation. Pooling reduces
over the taps. A convolution over few products for each output (depthwise ones) does too; one over many writes its windows
to memory as a matrix (im2col) and is a matrix product from there, with the tiles and tensor cores of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from kernelwright.agents.builtin.aten import Translator, rule
from kernelwright.agents.builtin.aten_reduce import wide
from kernelwright.agents.builtin.dtypes import category
from kernelwright.agents.builtin.errors import NotLowered
from kernelwright.agents.builtin.ir import Node, Number, numel
from kernelwright.bench_tasks.graph import TensorMeta

__all__: list[str] = []

_DIRECT = 32
"""Products for each output up to which a thread adds them up itself: as a matrix product they would fill a fraction of a tile."""


def _windows(
    t: Translator, x: Node, size: Sequence[int], stride: Sequence[int], dilation: Sequence[int], count: Sequence[int]
) -> Node:
    """Windows over the last dimensions: (…, *spatial) becomes (…, *count, *size)."""
    first = len(x.shape) - len(size)
    for d, (taps, step, gap, places) in enumerate(zip(size, stride, dilation, count, strict=True)):
        x = t.b.window(x, first + d, places, taps, step, gap)
    return x


def _each(value: int | Sequence[int] | None, rank: int, default: int) -> list[int]:
    """One number for each dimension, however torch gives it."""
    found = [value] if isinstance(value, int) else list(value or [])
    if not found:
        return [default] * rank
    return found * rank if len(found) == 1 else found


def _padded(t: Translator, x: Node, low: Sequence[int], high: Sequence[int], value: Number) -> Node:
    """Padding of the last dimensions."""
    if not any(low) and not any(high):
        return x
    lead = len(x.shape) - len(low)
    shape = [*x.shape[:lead], *(n + a + b for n, a, b in zip(x.shape[lead:], low, high, strict=True))]
    return t.b.add("pad", shape, x.dtype, (x,), low=(0,) * lead + tuple(low), value=value)


def _reach(size: Sequence[int], stride: Sequence[int], dilation: Sequence[int], count: Sequence[int]) -> list[int]:
    """Elements of each dimension that the windows reach into."""
    return [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(count, stride, size, dilation, strict=True)]


def _pool_windows(
    t: Translator, meta: TensorMeta, x: Node, size: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], fill: Number,
) -> tuple[Node, list[int]]:  # fmt: skip
    """Windows (…, *places, *size) of the padded input, and the dimensions of the taps."""
    rank = len(size)
    count = meta.shape[len(meta.shape) - rank :]
    extents = x.shape[len(x.shape) - rank :]
    reach = _reach(size, stride, dilation, count)
    high = [max(0, r - n - p) for r, n, p in zip(reach, extents, padding, strict=True)]
    found = _windows(t, _padded(t, x, padding, high, fill), size, stride, dilation, count)
    return found, list(range(len(meta.shape), len(meta.shape) + rank))


@rule("aten.unfold.default")
def _unfold(t: Translator, meta: TensorMeta, x: Node, dim: int, size: int, step: int) -> Node:
    dim %= len(x.shape)
    return t.b.window(x, dim, meta.shape[dim], size, step, 1)


@rule("aten.max_pool2d_with_indices.default", "aten.max_pool3d_with_indices.default")
def _max_pool(
    t: Translator, meta: TensorMeta, x: Node, size: Sequence[int], stride: Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1, ceil_mode: bool = False,
) -> tuple[Node, Node]:  # fmt: skip
    rank = 3 if len(meta.shape) == 5 else 2
    taps, pad, gaps = _each(size, rank, 1), _each(padding, rank, 0), _each(dilation, rank, 1)
    steps = _each(stride, rank, 0) if stride else taps
    if category(x.dtype) != 2:
        raise NotLowered("a maximum over windows of integers")
    found, dims = _pool_windows(t, meta, x, taps, steps, pad, gaps, -math.inf)
    return t.b.reduce("max", found, dims, False), _places(t, found, x.shape[-rank:], steps, pad, gaps)


def _places(
    t: Translator, windows: Node, extents: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int],
) -> Node:  # fmt: skip
    """Where in the input (flat, over its last dimensions) the largest element of each window lies."""
    b, rank = t.b, len(extents)
    taps, count = windows.shape[-rank:], windows.shape[-2 * rank : -rank]
    chosen = b.reduce("argmax", windows, list(range(len(windows.shape) - rank, len(windows.shape))), False, "int64")
    place: Node | None = None
    for d in range(rank):
        inner = numel(taps[d + 1 :])
        tap = chosen if inner == 1 else b.binary("floor_divide", chosen, inner, "int64")
        tap = b.binary("remainder", tap, taps[d], "int64")
        first = b.add("iota", (count[d],), "int64", (), start=-padding[d], step=stride[d])
        own = b.binary(
            "add",
            b.reshape(first, (count[d], *([1] * (rank - 1 - d)))),
            b.binary("mul", tap, dilation[d], "int64"),
            "int64",
        )
        place = own if place is None else b.binary("add", b.binary("mul", place, extents[d], "int64"), own, "int64")
    assert place is not None
    return place


@rule("aten.avg_pool2d.default", "aten.avg_pool3d.default")
def _avg_pool(
    t: Translator, meta: TensorMeta, x: Node, size: Sequence[int], stride: Sequence[int] | None = None,
    padding: int | Sequence[int] = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor: int | None = None,
) -> Node:  # fmt: skip
    rank = 3 if len(meta.shape) == 5 else 2
    taps, pad = _each(size, rank, 1), _each(padding, rank, 0)
    if ceil_mode or (any(pad) and not count_include_pad and divisor is None):
        raise NotLowered("an average over windows of unequal size")
    found, dims = _pool_windows(
        t, meta, x, taps, _each(stride, rank, 0) if stride else taps, pad, [1] * rank, 0.0
    )  # fmt: skip
    return _mean(t, found, dims, divisor or numel(taps), meta.dtype)


def _mean(t: Translator, x: Node, dims: Sequence[int], count: int, dtype: str) -> Node:
    total = t.b.reduce("sum", t.b.cast(x, wide(dtype)), dims, False)
    return t.b.cast(t.b.binary("div", total, float(count), wide(dtype)), dtype)


def _equal_windows(meta: TensorMeta, x: Node, rank: int) -> list[int]:
    extents, count = x.shape[len(x.shape) - rank :], meta.shape[len(meta.shape) - rank :]
    if any(n % c for n, c in zip(extents, count, strict=True)):
        raise NotLowered("windows of unequal size")
    return [n // c for n, c in zip(extents, count, strict=True)]


@rule("aten._adaptive_avg_pool2d.default", "aten._adaptive_avg_pool3d.default")
def _adaptive_avg(t: Translator, meta: TensorMeta, x: Node, size: Sequence[int]) -> Node:
    taps = _equal_windows(meta, x, len(size))
    found, dims = _pool_windows(t, meta, x, taps, taps, [0] * len(taps), [1] * len(taps), 0.0)
    return _mean(t, found, dims, numel(taps), meta.dtype)


@rule("aten.adaptive_max_pool2d.default", "aten.adaptive_max_pool3d.default")
def _adaptive_max(t: Translator, meta: TensorMeta, x: Node, size: Sequence[int]) -> tuple[Node, Node]:
    taps = _equal_windows(meta, x, len(size))
    none, ones = [0] * len(taps), [1] * len(taps)
    found, dims = _pool_windows(t, meta, x, taps, taps, none, ones, 0.0)
    return t.b.reduce("max", found, dims, False), _places(t, found, x.shape[-len(taps) :], taps, none, ones)


@rule("aten.upsample_nearest1d.vec", "aten.upsample_nearest2d.vec", "aten.upsample_nearest3d.vec")
def _upsample_nearest(t: Translator, meta: TensorMeta, x: Node, *_: object) -> Node:
    b, lead = t.b, 2
    factors = [n // m for n, m in zip(meta.shape[lead:], x.shape[lead:], strict=True)]
    if any(n != m * f for n, m, f in zip(meta.shape[lead:], x.shape[lead:], factors, strict=True)):
        raise NotLowered("a scale that is no whole number")
    spread = [n for m in x.shape[lead:] for n in (m, 1)]
    wide_shape = [n for m, f in zip(x.shape[lead:], factors, strict=True) for n in (m, f)]
    head = x.shape[:lead]
    return b.reshape(b.expand(b.reshape(x, (*head, *spread)), (*head, *wide_shape)), meta.shape)


@rule("aten.convolution.default")
def _convolution(
    t: Translator, meta: TensorMeta, x: Node, weight: Node, bias: Node | None, stride: Sequence[int],
    padding: Sequence[int], dilation: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int,
) -> Node:  # fmt: skip
    if category(x.dtype) != 2:
        raise NotLowered("a convolution of integers")
    if len(meta.shape) != len(weight.shape):
        raise NotLowered("a convolution without a batch dimension")
    b, rank = t.b, len(weight.shape) - 2
    steps, pad, gaps = _each(stride, rank, 1), _each(padding, rank, 0), _each(dilation, rank, 1)
    if transposed:
        x, weight, pad, steps = _as_forward(t, x, weight, steps, pad, gaps, groups)
    taps, count = weight.shape[2:], meta.shape[2:]
    reach = _reach(taps, steps, gaps, count)
    high = [max(0, r - n - p) for r, n, p in zip(reach, x.shape[2:], pad, strict=True)]
    windows = _windows(t, _padded(t, x, pad, high, 0.0), taps, steps, gaps, count)
    n, channels, out = x.shape[0], weight.shape[1], weight.shape[0]
    depth = channels * numel(taps)
    if depth <= _DIRECT:
        result = _direct(t, windows, weight, groups, meta)
    else:
        # (N, C, *places, *taps) as (N, groups, C * taps, places)
        order = [0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank)]
        columns = b.reshape(b.permute(windows, order), (n * groups, depth, numel(count)))
        rows = b.expand(b.reshape(weight, (1, groups, out // groups, depth)), (n, groups, out // groups, depth))
        product = b.matmul(b.reshape(rows, (n * groups, out // groups, depth)), columns, meta.dtype)
        result = b.reshape(product, meta.shape)
    if bias is None:
        return result
    return b.binary("add", result, b.reshape(bias, (out, *([1] * rank))), meta.dtype)


def _direct(t: Translator, windows: Node, weight: Node, groups: int, meta: TensorMeta) -> Node:
    """Each output adds up its products by itself."""
    b, rank = t.b, len(weight.shape) - 2
    out, channels = weight.shape[0], weight.shape[1]
    n, count, taps = windows.shape[0], meta.shape[2:], weight.shape[2:]
    dtype = wide(meta.dtype)
    taken = b.reshape(windows, (n, groups, 1, channels, *count, *taps))
    turned = b.reshape(weight, (1, groups, out // groups, channels, *([1] * rank), *taps))
    product = b.binary("mul", b.cast(taken, dtype), b.cast(turned, dtype), dtype)
    total = b.reduce("sum", product, [3, *range(4 + rank, 4 + 2 * rank)], False)
    return b.cast(b.reshape(total, meta.shape), meta.dtype)


def _as_forward(
    t: Translator, x: Node, weight: Node, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int
) -> tuple[Node, Node, list[int], list[int]]:  # fmt: skip
    """A transposed convolution as a plain one: zeros between the elements of the input, the kernel turned round."""
    b, rank = t.b, len(stride)
    pad = [d * (k - 1) - p for d, k, p in zip(dilation, weight.shape[2:], padding, strict=True)]
    if any(p < 0 for p in pad):
        raise NotLowered("a transposed convolution with more padding than its kernel reaches")
    if any(s > 1 for s in stride):
        apart = b.reshape(x, [*x.shape[:2], *(e for n in x.shape[2:] for e in (n, 1))])
        shape = [*x.shape[:2], *(e for n, s in zip(x.shape[2:], stride, strict=True) for e in (n, s))]
        apart = b.add("pad", shape, x.dtype, (apart,), low=(0,) * len(shape), value=0.0)
        x = b.reshape(apart, [*x.shape[:2], *(n * s for n, s in zip(x.shape[2:], stride, strict=True))])
    channels, each = weight.shape[0], weight.shape[1]
    taps = weight.shape[2:]
    split = b.reshape(weight, (groups, channels // groups, each, *taps))
    turned = b.permute(split, (0, 2, 1, *range(3, 3 + rank)))
    turned = b.flip(turned, range(3, 3 + rank))
    return x, b.reshape(turned, (groups * each, channels // groups, *taps)), pad, [1] * rank
