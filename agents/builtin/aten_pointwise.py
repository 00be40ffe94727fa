"""Rules for pointwise operations."""

from __future__ import annotations

import math
from typing import Any

from kernelwright.agents.builtin.aten import Translator, rule
from kernelwright.agents.builtin.dtypes import category
from kernelwright.agents.builtin.errors import NotLowered
from kernelwright.agents.builtin.ir import VIEWS, Node, Number
from kernelwright.bench_tasks.graph import TensorMeta

__all__: list[str] = []

_SAME_NAME = (
    "sqrt", "rsqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinh",
    "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "erfinv", "lgamma", "floor", "ceil", "trunc", "neg", "abs", "relu",
    "sigmoid", "reciprocal", "bitwise_not",
)  # fmt: skip


def _unary_rule(name: str) -> None:
    @rule(f"aten.{name}.default")
    def _apply(t: Translator, meta: TensorMeta, x: Node) -> Node:
        return t.unary(name, x, meta)


for _name in _SAME_NAME:
    _unary_rule(_name)


@rule("aten.sign.default", "aten.sgn.default")
def _sign(t: Translator, meta: TensorMeta, x: Node) -> Node:
    return t.unary("sign", x, meta)


@rule("aten.round.default")
def _round(t: Translator, meta: TensorMeta, x: Node) -> Node:
    return t.unary("rint", x, meta)


@rule("aten.logical_not.default")
def _logical_not(t: Translator, meta: TensorMeta, x: Node) -> Node:
    return t.b.pointwise("not", (t.b.cast(x, "bool"),), "bool")


def _test_rule(name: str) -> None:
    @rule(f"aten.{name}.default")
    def _apply(t: Translator, meta: TensorMeta, x: Node) -> Node:
        return t.b.pointwise(name, (x,), "bool", compute=x.dtype)


for _name in ("isnan", "isinf"):
    _test_rule(_name)


def _sum_rule(name: str) -> None:
    @rule(f"aten.{name}")
    def _apply(t: Translator, meta: TensorMeta, a: Node | Number, b: Node | Number, alpha: Number = 1) -> Node:
        left, right = t.math(meta, a, b)
        if name == "rsub":
            left, right = right, left
        if alpha != 1:
            if name == "rsub":
                left = t.b.binary("mul", left, alpha, meta.dtype)
            else:
                right = t.b.binary("mul", right, alpha, meta.dtype)
        return t.b.pointwise("add" if name == "add" else "sub", (left, right), meta.dtype)


for _name in ("add", "sub", "rsub"):
    _sum_rule(_name)


@rule("aten.mul")
def _mul(t: Translator, meta: TensorMeta, a: Node | Number, b: Node | Number) -> Node:
    return t.b.pointwise("mul", t.math(meta, a, b), meta.dtype)


@rule("aten.div")
def _div(t: Translator, meta: TensorMeta, a: Node | Number, b: Node | Number, rounding_mode: str | None = None) -> Node:
    fn = {None: "div", "floor": "floor_divide", "trunc": "trunc_divide"}[rounding_mode]
    return t.b.pointwise(fn, t.math(meta, a, b), meta.dtype)


@rule("aten.floor_divide")
def _floor_divide(t: Translator, meta: TensorMeta, a: Node, b: Node | Number) -> Node:
    return t.b.pointwise("floor_divide", t.math(meta, a, b), meta.dtype)


def _binary_rule(name: str, fn: str) -> None:
    @rule(f"aten.{name}")
    def _apply(t: Translator, meta: TensorMeta, a: Node | Number, b: Node | Number) -> Node:
        return t.b.pointwise(fn, t.math(meta, a, b), meta.dtype)


for _name in ("maximum", "minimum", "remainder", "fmod", "atan2", "hypot", "bitwise_and", "bitwise_or", "bitwise_xor"):
    _binary_rule(_name, _name)
_binary_rule("max.other", "maximum")
_binary_rule("min.other", "minimum")


def _compare_rule(name: str) -> None:
    @rule(f"aten.{name}")
    def _apply(t: Translator, meta: TensorMeta, a: Node | Number, b: Node | Number) -> Node:
        common = t.b.promoted(a, b)
        parts = [x if isinstance(x, Node) else t.b.scalar(x, common) for x in (a, b)]
        return t.b.pointwise(name, parts, "bool", compute=common)


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _compare_rule(_name)


def _logic_rule(name: str) -> None:
    @rule(f"aten.{name}")
    def _apply(t: Translator, meta: TensorMeta, a: Node, b: Node) -> Node:
        return t.b.pointwise(name, (a, b), "bool", compute="bool")


for _name in ("logical_and", "logical_or", "logical_xor"):
    _logic_rule(_name)


@rule("aten.pow.Tensor_Scalar")
def _pow_scalar(t: Translator, meta: TensorMeta, x: Node, exponent: Number) -> Node:
    b = t.b
    if category(meta.dtype) != 2:
        if exponent in (1, 2, 3):
            return b.cast(x, meta.dtype) if exponent == 1 else t.unary("square" if exponent == 2 else "cube", x, meta)
        raise NotLowered("an integer power above 3")
    simple = {2: "square", 3: "cube", 0.5: "sqrt", -1: "reciprocal", -0.5: "rsqrt"}
    if exponent == 1:
        return b.cast(x, meta.dtype)
    if exponent == 0:
        return b.full(x.shape, 1.0, meta.dtype)
    if exponent in simple:
        return t.unary(simple[exponent], x, meta)
    return b.binary("pow", x, float(exponent), meta.dtype)


@rule("aten.pow.Tensor_Tensor", "aten.pow.Scalar")
def _pow(t: Translator, meta: TensorMeta, a: Node | Number, b: Node | Number) -> Node:
    if category(meta.dtype) != 2:
        raise NotLowered("an integer power")
    return t.b.pointwise("pow", t.math(meta, a, b), meta.dtype)


@rule("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf")
def _where(t: Translator, meta: TensorMeta, condition: Node, a: Node | Number, b: Node | Number) -> Node:
    left, right = (t.b.cast(x, meta.dtype) for x in t.math(meta, a, b))
    return t.b.where(condition, left, right)


@rule("aten.masked_fill")
def _masked_fill(t: Translator, meta: TensorMeta, x: Node, mask: Node, value: Node | Number) -> Node:
    fill = t.b.cast(t.math(meta, value)[0], meta.dtype)
    return t.b.where(mask, fill, t.b.cast(x, meta.dtype))


@rule("aten.clamp")
def _clamp(
    t: Translator, meta: TensorMeta, x: Node, min: Node | Number | None = None, max: Node | Number | None = None
) -> Node:
    result = t.b.cast(x, meta.dtype)
    if min is not None:
        result = t.b.pointwise("maximum", (result, *t.math(meta, min)), meta.dtype)
    if max is not None:
        result = t.b.pointwise("minimum", (result, *t.math(meta, max)), meta.dtype)
    return result


@rule("aten.clamp_min")
def _clamp_min(t: Translator, meta: TensorMeta, x: Node, low: Node | Number) -> Node:
    return _clamp(t, meta, x, low)  # type: ignore[return-value]


@rule("aten.clamp_max")
def _clamp_max(t: Translator, meta: TensorMeta, x: Node, high: Node | Number) -> Node:
    return _clamp(t, meta, x, None, high)  # type: ignore[return-value]


@rule("aten.hardtanh.default")
def _hardtanh(t: Translator, meta: TensorMeta, x: Node, low: Number = -1.0, high: Number = 1.0) -> Node:
    return _clamp(t, meta, x, low, high)  # type: ignore[return-value]


@rule("aten.lerp")
def _lerp(t: Translator, meta: TensorMeta, a: Node, b: Node, weight: Node | Number) -> Node:
    start, end, w = t.math(meta, a, b, weight)
    difference = t.b.pointwise("sub", (end, start), meta.dtype)
    return t.b.pointwise("add", (start, t.b.pointwise("mul", (w, difference), meta.dtype)), meta.dtype)


def _addc_rule(name: str, fn: str) -> None:
    @rule(f"aten.{name}.default")
    def _apply(t: Translator, meta: TensorMeta, x: Node, a: Node, b: Node, value: Number = 1) -> Node:
        product = t.b.pointwise(fn, (a, b), meta.dtype)
        if value != 1:
            product = t.b.binary("mul", product, value, meta.dtype)
        return t.b.pointwise("add", (x, product), meta.dtype)


_addc_rule("addcmul", "mul")
_addc_rule("addcdiv", "div")


@rule("aten.gelu.default")
def _gelu(t: Translator, meta: TensorMeta, x: Node, approximate: str = "none") -> Node:
    b, dtype = t.b, meta.dtype
    half = b.binary("mul", x, 0.5, dtype)
    if approximate == "tanh":
        cubic = b.binary("mul", b.pointwise("cube", (x,), dtype), 0.044715, dtype)
        inner = b.binary("mul", b.binary("add", x, cubic, dtype), math.sqrt(2 / math.pi), dtype)
        return b.binary("mul", half, b.binary("add", b.pointwise("tanh", (inner,), dtype), 1.0, dtype), dtype)
    scaled = b.binary("mul", x, math.sqrt(0.5), dtype)
    return b.binary("mul", half, b.binary("add", b.pointwise("erf", (scaled,), dtype), 1.0, dtype), dtype)


@rule("aten.silu.default")
def _silu(t: Translator, meta: TensorMeta, x: Node) -> Node:
    # x / (1 + exp(-x)) keeps large negative x right, where x * sigmoid(x) would too, with one operation less.
    b, dtype = t.b, meta.dtype
    below = b.binary("add", b.pointwise("exp", (b.pointwise("neg", (x,), dtype),), dtype), 1.0, dtype)
    return b.binary("div", x, below, dtype)


@rule("aten.leaky_relu.default")
def _leaky_relu(t: Translator, meta: TensorMeta, x: Node, slope: Number = 0.01) -> Node:
    negative = t.b.binary("mul", x, slope, meta.dtype)
    return t.b.where(t.b.pointwise("gt", (x, t.b.scalar(0, x.dtype)), "bool", compute=x.dtype), x, negative)


@rule("aten._prelu_kernel.default")
def _prelu(t: Translator, meta: TensorMeta, x: Node, weight: Node) -> Node:
    negative = t.b.binary("mul", x, weight, meta.dtype)
    return t.b.where(t.b.pointwise("gt", (x, t.b.scalar(0, x.dtype)), "bool", compute=x.dtype), x, negative)


@rule("aten.elu.default")
def _elu(
    t: Translator, meta: TensorMeta, x: Node, alpha: Number = 1.0, scale: Number = 1.0, input_scale: Number = 1.0
) -> Node:
    b, dtype = t.b, meta.dtype
    inner = b.binary("mul", x, input_scale, dtype) if input_scale != 1 else x
    negative = b.binary("mul", b.pointwise("expm1", (inner,), dtype), float(alpha) * float(scale), dtype)
    positive = b.binary("mul", x, scale, dtype) if scale != 1 else x
    return b.where(b.pointwise("gt", (x, b.scalar(0, dtype)), "bool", compute=dtype), positive, negative)


def _hard_rule(name: str) -> None:
    @rule(f"aten.{name}.default")
    def _apply(t: Translator, meta: TensorMeta, x: Node) -> Node:
        gate = _clamp(t, meta, t.b.binary("add", x, 3.0, meta.dtype), 0.0, 6.0)
        assert isinstance(gate, Node)
        if name == "hardswish":
            gate = t.b.binary("mul", gate, x, meta.dtype)
        return t.b.binary("div", gate, 6.0, meta.dtype)


for _name in ("hardswish", "hardsigmoid"):
    _hard_rule(_name)


@rule("aten.softplus.default")
def _softplus(t: Translator, meta: TensorMeta, x: Node, beta: Number = 1.0, threshold: Number = 20.0) -> Node:
    b, dtype = t.b, meta.dtype
    scaled = b.binary("mul", x, beta, dtype) if beta != 1 else x
    soft = b.pointwise("log1p", (b.pointwise("exp", (scaled,), dtype),), dtype)
    if beta != 1:
        soft = b.binary("div", soft, beta, dtype)
    return b.where(b.pointwise("gt", (scaled, b.scalar(threshold, dtype)), "bool", compute=dtype), x, soft)


@rule("aten.mish.default")
def _mish(t: Translator, meta: TensorMeta, x: Node) -> Node:
    soft = _softplus(t, meta, x)
    assert isinstance(soft, Node)
    return t.b.binary("mul", x, t.b.pointwise("tanh", (soft,), meta.dtype), meta.dtype)


@rule("aten._to_copy.default")
def _to_copy(t: Translator, meta: TensorMeta, x: Node, dtype: str | None = None, **_: Any) -> Node:
    return t.b.cast(x, meta.dtype)


@rule("aten.clone.default", "aten.lift_fresh_copy.default", "aten.contiguous.default")
def _clone(t: Translator, meta: TensorMeta, x: Node, **_: Any) -> Node:
    return t.b.copy(x) if x.kind in (*VIEWS, "input") else x


@rule("aten.alias.default", "aten.detach.default")
def _same(t: Translator, meta: TensorMeta, x: Node, **_: Any) -> Node:
    return x


@rule("aten.dropout.default", "aten.native_dropout.default")
def _dropout(t: Translator, meta: TensorMeta, x: Node, p: float, train: bool | None) -> Node | tuple[Node | None, ...]:
    if train and p:
        raise NotLowered("dropout while training draws random numbers; call eval() on the module")
    return x


@rule("aten.scalar_tensor.default")
def _scalar_tensor(t: Translator, meta: TensorMeta, value: Number, **_: Any) -> Node:
    return t.b.scalar(value, meta.dtype)


@rule("aten.full.default", "aten.full_like.default")
def _full(t: Translator, meta: TensorMeta, _shape: Any, value: Number, **_: Any) -> Node:
    return t.b.full(meta.shape, value, meta.dtype)


@rule("aten.zeros.default", "aten.zeros_like.default", "aten.new_zeros.default")
def _zeros(t: Translator, meta: TensorMeta, *_args: Any, **_: Any) -> Node:
    return t.b.full(meta.shape, 0, meta.dtype)


@rule("aten.ones.default", "aten.ones_like.default", "aten.new_ones.default")
def _ones(t: Translator, meta: TensorMeta, *_args: Any, **_: Any) -> Node:
    return t.b.full(meta.shape, 1, meta.dtype)


@rule("aten.arange.start_step")
def _arange(t: Translator, meta: TensorMeta, start: Number, end: Number, step: Number = 1, **_: Any) -> Node:
    if not all(isinstance(x, int) for x in (start, step)):
        raise NotLowered("arange of fractions")
    return t.b.add("iota", meta.shape, meta.dtype, (), start=int(start), step=int(step))


def _triangle_rule(name: str, fn: str) -> None:
    @rule(f"aten.{name}.default")
    def _apply(t: Translator, meta: TensorMeta, x: Node, diagonal: int = 0) -> Node:
        b = t.b
        rows = b.add("iota", (meta.shape[-2],), "int64", (), start=int(diagonal), step=1)
        columns = b.add("iota", (meta.shape[-1],), "int64", (), start=0, step=1)
        keep = b.pointwise(fn, (columns, b.reshape(rows, (meta.shape[-2], 1))), "bool", compute="int64")
        return b.where(keep, x, b.scalar(0, meta.dtype))


_triangle_rule("tril", "le")
_triangle_rule("triu", "ge")
