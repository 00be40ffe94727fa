"""Rules for softmaxes, normalisations and matrix products."""

from __future__ import annotations

from typing import Any

from kernelwright.agents.builtin.aten import Translator, rule
from kernelwright.agents.builtin.aten_reduce import moments, wide
from kernelwright.agents.builtin.dtypes import category
from kernelwright.agents.builtin.errors import NotLowered
from kernelwright.agents.builtin.ir import Node, Number, numel
from kernelwright.bench_tasks.graph import TensorMeta

__all__: list[str] = []


def _softmax_rule(name: str, logarithm: bool) -> None:
    @rule(f"aten.{name}.default")
    def _apply(t: Translator, meta: TensorMeta, x: Node, dim: int, half_to_float: bool = False) -> Node:
        b, dtype = t.b, wide(meta.dtype)
        if not x.shape:
            return b.full((), 0.0 if logarithm else 1.0, meta.dtype)
        source = b.cast(x, dtype)
        if not x.numel:
            return b.full(meta.shape, 0.0, meta.dtype)
        shifted = b.binary("sub", source, b.reduce("max", source, [dim], True), dtype)
        power = b.pointwise("exp", (shifted,), dtype)
        total = b.reduce("sum", power, [dim], True)
        if logarithm:
            result = b.binary("sub", shifted, b.pointwise("log", (total,), dtype), dtype)
        else:
            result = b.binary("div", power, total, dtype)
        return b.cast(result, meta.dtype)


_softmax_rule("_softmax", logarithm=False)
_softmax_rule("_log_softmax", logarithm=True)


def _scaled(t: Translator, x: Node, weight: Node | None, bias: Node | None, dtype: str) -> Node:
    if weight is not None:
        x = t.b.binary("mul", x, weight, dtype)
    return x if bias is None else t.b.binary("add", x, bias, dtype)


def _inverse_root(t: Translator, squares: Node, count: int, eps: Number, dtype: str) -> Node:
    variance = t.b.binary("div", squares, float(count), dtype)
    return t.b.pointwise("rsqrt", (t.b.binary("add", variance, eps, dtype),), dtype)


@rule("aten.native_layer_norm.default")
def _layer_norm(
    t: Translator, meta: TensorMeta, x: Node, shape: list[int], weight: Node | None, bias: Node | None, eps: Number
) -> tuple[Node | None, ...]:
    b, dtype = t.b, wide(meta.dtype)
    dims = list(range(len(x.shape) - len(shape), len(x.shape)))
    if not x.numel:
        kept = (*x.shape[: dims[0]], *([1] * len(dims)))
        return b.full(x.shape, 0.0, meta.dtype), b.full(kept, 0.0, dtype), b.full(kept, 0.0, dtype)
    mean, deviation, squares = moments(t, x, dims, dtype)
    root = _inverse_root(t, squares, numel(shape), eps, dtype)
    result = _scaled(t, b.binary("mul", deviation, root, dtype), weight, bias, dtype)
    if dtype != meta.dtype:  # torch gives mean and root in a dtype that depends on the device
        return b.cast(result, meta.dtype), None, None
    return b.cast(result, meta.dtype), mean, root


@rule("aten.native_group_norm.default")
def _group_norm(
    t: Translator, meta: TensorMeta, x: Node, weight: Node | None, bias: Node | None,
    n: int, c: int, spatial: int, groups: int, eps: Number,
) -> tuple[Node | None, ...]:  # fmt: skip
    b, dtype = t.b, wide(meta.dtype)
    if not x.numel:
        return b.full(x.shape, 0.0, meta.dtype), None, None
    grouped = b.reshape(x, (n, groups, c // groups, spatial))
    _, deviation, squares = moments(t, grouped, [2, 3], dtype)
    root = _inverse_root(t, squares, c // groups * spatial, eps, dtype)
    scale = None if weight is None else b.reshape(weight, (1, groups, c // groups, 1))
    shift = None if bias is None else b.reshape(bias, (1, groups, c // groups, 1))
    result = _scaled(t, b.binary("mul", deviation, root, dtype), scale, shift, dtype)
    return b.cast(b.reshape(result, x.shape), meta.dtype), None, None


def _per_channel(t: Translator, x: Node | None, rank: int) -> Node | None:
    return None if x is None else t.b.reshape(x, (x.shape[0], *([1] * (rank - 2))))


@rule("aten._native_batch_norm_legit_no_training.default")
def _batch_norm(
    t: Translator, meta: TensorMeta, x: Node, weight: Node | None, bias: Node | None, mean: Node, variance: Node,
    momentum: Number, eps: Number,
) -> tuple[Node | None, ...]:  # fmt: skip
    b, dtype, rank = t.b, wide(meta.dtype), len(x.shape)
    root = b.pointwise("rsqrt", (b.binary("add", variance, eps, dtype),), dtype)
    mean_c, root_c = _per_channel(t, mean, rank), _per_channel(t, root, rank)
    assert mean_c is not None
    assert root_c is not None
    centred = b.binary("mul", b.binary("sub", x, mean_c, dtype), root_c, dtype)
    result = _scaled(t, centred, _per_channel(t, weight, rank), _per_channel(t, bias, rank), dtype)
    return b.cast(result, meta.dtype), None, None


@rule("aten._native_batch_norm_legit.no_stats")
def _batch_statistics(
    t: Translator, meta: TensorMeta, x: Node, weight: Node | None, bias: Node | None,
    training: bool, momentum: Number, eps: Number,
) -> tuple[Node | None, ...]:  # fmt: skip
    b, dtype, rank = t.b, wide(meta.dtype), len(x.shape)
    if not x.numel:
        raise NotLowered("batch statistics of no elements")
    dims = [0, *range(2, rank)]
    _, deviation, squares = moments(t, x, dims, dtype)
    root = _inverse_root(t, squares, x.numel // x.shape[1], eps, dtype)
    centred = b.binary("mul", deviation, root, dtype)
    result = _scaled(t, centred, _per_channel(t, weight, rank), _per_channel(t, bias, rank), dtype)
    return b.cast(result, meta.dtype), None, None


def _product(t: Translator, a: Node, b: Node, shape: tuple[int, ...], dtype: str) -> Node:
    """Matrices (..., M, K) and (..., K, N), batch dimensions equal."""
    if category(dtype) == 0:
        raise NotLowered("a matrix product of bool")
    batch = numel(a.shape[:-2])
    left = t.b.reshape(a, (batch, *a.shape[-2:]))
    right = t.b.reshape(b, (batch, *b.shape[-2:]))
    if category(dtype) == 1:  # the tiles are for floating point: each element adds up its products
        rows, columns, inner = a.shape[-2], b.shape[-1], a.shape[-1]
        one = t.b.reshape(left, (batch, rows, 1, inner))
        other = t.b.reshape(t.b.permute(right, (0, 2, 1)), (batch, 1, columns, inner))
        return t.b.reshape(t.b.reduce("sum", t.b.binary("mul", one, other, dtype), [3], False, dtype), shape)
    return t.b.reshape(t.b.matmul(left, right, dtype), shape)


@rule("aten.mm.default", "aten.bmm.default")
def _mm(t: Translator, meta: TensorMeta, a: Node, b: Node, **_: Any) -> Node:
    return _product(t, a, b, meta.shape, meta.dtype)


@rule("aten.mv.default")
def _mv(t: Translator, meta: TensorMeta, a: Node, x: Node) -> Node:
    return _product(t, a, t.b.reshape(x, (x.shape[0], 1)), meta.shape, meta.dtype)


@rule("aten.dot.default")
def _dot(t: Translator, meta: TensorMeta, a: Node, b: Node) -> Node:
    return _product(t, t.b.reshape(a, (1, a.shape[0])), t.b.reshape(b, (b.shape[0], 1)), meta.shape, meta.dtype)


@rule("aten.addmm.default", "aten.baddbmm.default")
def _addmm(t: Translator, meta: TensorMeta, c: Node, a: Node, b: Node, beta: Number = 1, alpha: Number = 1) -> Node:
    result = _product(t, a, b, meta.shape, meta.dtype)
    if alpha != 1:
        result = t.b.binary("mul", result, alpha, meta.dtype)
    if beta == 0:
        return result
    added = c if beta == 1 else t.b.binary("mul", c, beta, meta.dtype)
    return t.b.binary("add", result, added, meta.dtype)


@rule("aten.linear.default")
def _linear(t: Translator, meta: TensorMeta, x: Node, weight: Node, bias: Node | None = None) -> Node:
    b = t.b
    k = weight.shape[-1]
    turned = b.permute(weight, (1, 0)) if len(weight.shape) == 2 else b.reshape(weight, (k, 1))
    flat = b.reshape(x, (x.numel // k if k else numel(x.shape[:-1]), k))
    rows = _product(t, flat, turned, (flat.shape[0], turned.shape[1]), meta.dtype)
    if bias is not None:
        rows = b.binary("add", rows, bias, meta.dtype)
    return b.reshape(rows, meta.shape)


def _repeated_heads(t: Translator, x: Node, heads: int) -> Node:
    """Each head of keys or values for several heads of queries that follow each other."""
    *batch, own, rows, columns = x.shape
    if heads % own:
        raise NotLowered(f"{heads} heads of queries for {own} of keys")
    apart = t.b.reshape(x, (*batch, own, 1, rows, columns))
    return t.b.reshape(t.b.expand(apart, (*batch, own, heads // own, rows, columns)), (*batch, heads, rows, columns))


@rule("aten.scaled_dot_product_attention.default")
def _attention(
    t: Translator, meta: TensorMeta, q: Node, k: Node, v: Node, mask: Node | None = None,
    dropout: float = 0.0, causal: bool = False, scale: Number | None = None, enable_gqa: bool = False,
) -> Node:  # fmt: skip
    if dropout:
        raise NotLowered("attention with dropout")
    b, dtype = t.b, wide(meta.dtype)
    batch = meta.shape[:-2]
    if enable_gqa:
        k, v = (_repeated_heads(t, x, batch[-1]) for x in (k, v))
    length, keys, width = q.shape[-2], k.shape[-2], q.shape[-1]
    if not keys or not width:
        raise NotLowered("attention over nothing")
    q, k, v = (
        b.expand(q, (*batch, length, width)),
        b.expand(k, (*batch, keys, width)),
        b.expand(v, (*batch, keys, v.shape[-1])),
    )
    order = (*range(len(batch)), len(batch) + 1, len(batch))
    scores = b.cast(_product(t, q, b.permute(k, order), (*batch, length, keys), dtype), dtype)
    scores = b.binary("mul", scores, float(scale) if scale is not None else width**-0.5, dtype)
    if causal:
        row = b.reshape(b.add("iota", (length,), "int64", (), start=0, step=1), (length, 1))
        column = b.add("iota", (keys,), "int64", (), start=0, step=1)
        seen = b.pointwise("le", (column, row), "bool", compute="int64")
        scores = b.where(seen, scores, b.scalar(float("-inf"), dtype))
    if mask is not None:
        if mask.dtype == "bool":
            scores = b.where(mask, scores, b.scalar(float("-inf"), dtype))
        else:
            scores = b.binary("add", scores, mask, dtype)
    peak = b.reduce("max", scores, [-1], True)
    power = b.pointwise("exp", (b.binary("sub", scores, peak, dtype),), dtype)
    share = b.binary("div", power, b.reduce("sum", power, [-1], True), dtype)
    if mask is not None:  # a query that sees no key gives zeros (torch's safe softmax)
        hidden = b.pointwise("eq", (peak, b.scalar(float("-inf"), dtype)), "bool", compute=dtype)
        share = b.where(hidden, b.scalar(0.0, dtype), share)
    return _product(t, b.cast(share, meta.dtype), v, meta.shape, meta.dtype)
