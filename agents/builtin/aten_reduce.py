"""Rules for reductions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from kernelwright.agents.builtin.aten import Translator, dims_of, rule
from kernelwright.agents.builtin.dtypes import category
from kernelwright.agents.builtin.errors import NotLowered
from kernelwright.agents.builtin.ir import Node, Number, numel
from kernelwright.bench_tasks.graph import TensorMeta

__all__ = ["moments", "wide"]

Dims = int | Sequence[int] | None


def wide(dtype: str) -> str:
    """The dtype a floating-point reduction of this dtype is computed in."""
    return "float32" if dtype in ("float16", "bfloat16") else dtype


def _sum(t: Translator, x: Node, dims: Dims, keepdim: bool, dtype: str) -> Node:
    chosen = dims_of(dims, len(x.shape))
    source = t.b.cast(x, dtype) if category(dtype) != 2 or category(x.dtype) != 2 else x
    if not x.shape:
        return t.b.cast(source, dtype)
    if category(dtype) == 2 and wide(dtype) == "float64" and x.dtype != "float64":
        source = t.b.cast(x, dtype)
    return t.b.reduce("sum", source, chosen, keepdim, dtype)


@rule("aten.sum.default")
def _sum_all(t: Translator, meta: TensorMeta, x: Node, dtype: str | None = None) -> Node:
    return _sum(t, x, None, False, meta.dtype)


@rule("aten.sum.dim_IntList")
def _sum_dims(
    t: Translator, meta: TensorMeta, x: Node, dims: Dims = None, keepdim: bool = False, dtype: str | None = None
) -> Node:
    return _sum(t, x, dims, keepdim, meta.dtype)


def _mean(t: Translator, x: Node, dims: Dims, keepdim: bool, dtype: str) -> Node:
    count = numel([x.shape[d] for d in dims_of(dims, len(x.shape))])
    total = _sum(t, x, dims, keepdim, wide(dtype))
    divisor = float(count) if count else 0.0
    return t.b.cast(t.b.binary("div", total, divisor, wide(dtype)), dtype)


@rule("aten.mean.default")
def _mean_all(t: Translator, meta: TensorMeta, x: Node, dtype: str | None = None) -> Node:
    return _mean(t, x, None, False, meta.dtype)


@rule("aten.mean.dim")
def _mean_dims(
    t: Translator, meta: TensorMeta, x: Node, dims: Dims = None, keepdim: bool = False, dtype: str | None = None
) -> Node:
    return _mean(t, x, dims, keepdim, meta.dtype)


@rule("aten.prod.default")
def _prod_all(t: Translator, meta: TensorMeta, x: Node, dtype: str | None = None) -> Node:
    return t.b.reduce("prod", t.b.cast(x, meta.dtype), list(range(len(x.shape))), False)


@rule("aten.prod.dim_int")
def _prod_dim(
    t: Translator, meta: TensorMeta, x: Node, dim: int, keepdim: bool = False, dtype: str | None = None
) -> Node:
    return t.b.reduce("prod", t.b.cast(x, meta.dtype), [dim], keepdim)


def _extreme_rule(name: str, op: str) -> None:
    @rule(f"aten.{name}.default")
    def _apply(t: Translator, meta: TensorMeta, x: Node, dims: Dims = None, keepdim: bool = False) -> Node:
        actual = {"max": "any", "min": "all"}[op] if x.dtype == "bool" else op
        return t.b.reduce(actual, x, dims_of(dims, len(x.shape)), keepdim)


for _name, _op in (("amax", "max"), ("amin", "min"), ("max", "max"), ("min", "min")):
    _extreme_rule(_name, _op)


def _with_index_rule(op: str) -> None:
    @rule(f"aten.{op}.dim")
    def _apply(t: Translator, meta: TensorMeta, x: Node, dim: int, keepdim: bool = False) -> tuple[Node, Node]:
        if x.dtype == "bool":
            raise NotLowered(f"{op} with indices of bool")
        values = t.b.reduce(op, x, [dim], keepdim)
        return values, t.b.reduce(f"arg{op}", x, [dim], keepdim, "int64")

    @rule(f"aten.arg{op}.default")
    def _argument(t: Translator, meta: TensorMeta, x: Node, dim: int | None = None, keepdim: bool = False) -> Node:
        if x.dtype == "bool":
            x = t.b.cast(x, "uint8")
        return t.b.reduce(f"arg{op}", x, dims_of(dim, len(x.shape)), keepdim, "int64")


for _name in ("max", "min"):
    _with_index_rule(_name)


def _test_rule(op: str) -> None:
    @rule(f"aten.{op}.default", f"aten.{op}.dim", f"aten.{op}.dims")
    def _apply(t: Translator, meta: TensorMeta, x: Node, dims: Dims = None, keepdim: bool = False) -> Node:
        return t.b.reduce(op, t.b.cast(x, "bool"), dims_of(dims, len(x.shape)), keepdim)


for _name in ("any", "all"):
    _test_rule(_name)


def moments(t: Translator, x: Node, dims: Sequence[int], dtype: str) -> tuple[Node, Node, Node]:
    """Mean, deviations from it and sum of squared deviations, dimensions kept.

    The sum is taken relative to the first element of each row: a constant row then has deviations of exactly zero, and
    a large common offset costs no digits. The variance comes from the deviations, never from E[x^2] - E[x]^2.
    """
    b = t.b
    values = b.cast(x, dtype)
    first = values
    for d in dims:
        first = b.slice(first, d, 0, 1)
    count = numel([x.shape[d] for d in dims])
    shifted = b.binary("sub", values, first, dtype)
    shift = b.binary("div", b.reduce("sum", shifted, dims, True), float(count), dtype)
    deviation = b.binary("sub", shifted, shift, dtype)
    squares = b.reduce("sum", b.pointwise("square", (deviation,), dtype), dims, True)
    return b.binary("add", first, shift, dtype), deviation, squares


def _variance(
    t: Translator, x: Node, dims: Dims, correction: Number | None, keepdim: bool, dtype: str
) -> tuple[Node, Node]:
    chosen = dims_of(dims, len(x.shape))
    count = numel([x.shape[d] for d in chosen])
    if not count:
        raise NotLowered("a variance of no elements")
    mean, _, squares = moments(t, x, chosen, wide(dtype))
    freedom = max(count - float(1 if correction is None else correction), 0.0)
    if freedom == 0:
        variance = t.b.binary("div", squares, 0.0, wide(dtype))
    else:
        variance = t.b.binary("div", squares, freedom, wide(dtype))
    shape = variance.shape if keepdim else tuple(n for d, n in enumerate(x.shape) if d not in chosen)
    return t.b.cast(t.b.reshape(variance, shape), dtype), t.b.cast(t.b.reshape(mean, shape), dtype)


@rule("aten.var.correction")
def _var(
    t: Translator, meta: TensorMeta, x: Node, dims: Dims = None, correction: Number | None = None, keepdim: bool = False
) -> Node:
    return _variance(t, x, dims, correction, keepdim, meta.dtype)[0]


@rule("aten.var_mean.correction")
def _var_mean(
    t: Translator, meta: TensorMeta, x: Node, dims: Dims = None, correction: Number | None = None, keepdim: bool = False
) -> tuple[Node, Node]:
    return _variance(t, x, dims, correction, keepdim, meta.dtype)


@rule("aten.std.correction")
def _std(
    t: Translator, meta: TensorMeta, x: Node, dims: Dims = None, correction: Number | None = None, keepdim: bool = False
) -> Node:
    return t.b.pointwise("sqrt", (_variance(t, x, dims, correction, keepdim, meta.dtype)[0],), meta.dtype)


@rule("aten.linalg_vector_norm.default")
def _norm(
    t: Translator, meta: TensorMeta, x: Node, order: Number = 2, dims: Dims = None, keepdim: bool = False, **_: Any
) -> Node:
    b, dtype = t.b, wide(meta.dtype)
    chosen = dims_of(dims, len(x.shape))
    source = b.cast(x, dtype)
    size = b.pointwise("abs", (source,), dtype)
    if order == math.inf or order == -math.inf:
        result = b.reduce("max" if order > 0 else "min", size, chosen, keepdim)
    elif order == 0:
        ones = b.cast(b.pointwise("ne", (source, b.scalar(0, dtype)), "bool", compute=dtype), dtype)
        result = b.reduce("sum", ones, chosen, keepdim)
    elif order == 1:
        result = b.reduce("sum", size, chosen, keepdim)
    elif order == 2:
        total = b.reduce("sum", b.pointwise("square", (source,), dtype), chosen, keepdim)
        result = b.pointwise("sqrt", (total,), dtype)
    else:
        total = b.reduce("sum", b.binary("pow", size, float(order), dtype), chosen, keepdim)
        result = b.binary("pow", total, 1.0 / float(order), dtype)
    return b.cast(result, meta.dtype)


@rule("aten.logsumexp.default")
def _logsumexp(t: Translator, meta: TensorMeta, x: Node, dims: Dims, keepdim: bool = False) -> Node:
    b, dtype = t.b, wide(meta.dtype)
    chosen = dims_of(dims, len(x.shape))
    source = b.cast(x, dtype)
    peak = b.reduce("max", source, chosen, True)
    infinite = b.pointwise("isinf", (peak,), "bool", compute=dtype)
    peak = b.where(infinite, b.scalar(0.0, dtype), peak)
    total = b.reduce("sum", b.pointwise("exp", (b.binary("sub", source, peak, dtype),), dtype), chosen, True)
    result = b.binary("add", b.pointwise("log", (total,), dtype), peak, dtype)
    return b.cast(b.reshape(result, meta.shape), meta.dtype)
