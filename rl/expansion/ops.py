"""The operations that graphs are grown from: how each is written, what it does to shapes, and how large its values can become.

Every one can follow every other one: nothing here gives NaN or infinity on finite input of moderate size, and what could grow without
bound (products, sums of many) is counted in `degree`, so that a graph stays finite on inputs a hundred times as large as normal ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["OPS", "Op", "Shape", "op_named"]


class Shape(StrEnum):
    """What an operation makes of the shapes of its operands."""

    SAME = "same"
    """That of its only operand."""
    BROADCAST = "broadcast"
    """That of both, where they fit together."""
    REDUCED = "reduced"
    """The last dimension becomes 1."""
    PROJECTED = "projected"
    """The last dimension becomes another one, by a weight."""


@dataclass(frozen=True)
class Op:
    """One operation."""

    name: str
    code: str
    """Python with ``{0}`` and ``{1}`` for operands, ``{w}`` and ``{v}`` for weights of its own, ``{d}`` for the size of the last dimension."""
    aten: str
    """What stands in the captured graph for it, without the overload."""
    shape: Shape = Shape.SAME
    bounded: bool = False
    """Whether its values stay near 1 whatever its operands are."""
    weights: tuple[str, ...] = ()
    """Of each: `vector` (one number for each of the last dimension) or `matrix`."""
    commutes: bool = False
    product: bool = False
    """Whether magnitudes multiply."""
    share: float = 1.0
    """How often it is drawn, in comparison."""

    @property
    def arity(self) -> int:
        """Operands."""
        return 2 if "{1}" in self.code else 1


def _pointwise(name: str, code: str, aten: str, *, bounded: bool = False, share: float = 1.0) -> Op:
    return Op(name, code, f"aten.{aten}", bounded=bounded, share=share)


OPS: tuple[Op, ...] = (
    _pointwise("relu", "torch.relu({0})", "relu"),
    _pointwise("gelu", "F.gelu({0})", "gelu"),
    _pointwise("silu", "F.silu({0})", "silu"),
    _pointwise("tanh", "torch.tanh({0})", "tanh", bounded=True),
    _pointwise("sigmoid", "torch.sigmoid({0})", "sigmoid", bounded=True),
    _pointwise("erf", "torch.erf({0})", "erf", bounded=True),
    _pointwise("sin", "torch.sin({0})", "sin", bounded=True, share=0.3),
    _pointwise("softplus", "F.softplus({0})", "softplus"),
    _pointwise("leaky_relu", "F.leaky_relu({0}, 0.05)", "leaky_relu"),
    _pointwise("elu", "F.elu({0})", "elu"),
    _pointwise("hardswish", "F.hardswish({0})", "hardswish"),
    _pointwise("clamp", "torch.clamp({0}, -2.0, 2.0)", "clamp", bounded=True),
    _pointwise("abs", "torch.abs({0})", "abs", share=0.5),
    _pointwise("scale", "{0} * 0.7071", "mul", share=0.7),
    _pointwise("shift", "{0} + 0.25", "add", share=0.5),
    Op("add", "{0} + {1}", "aten.add", Shape.BROADCAST, commutes=True, share=2.0),
    Op("sub", "{0} - {1}", "aten.sub", Shape.BROADCAST, share=1.0),
    Op("mul", "{0} * {1}", "aten.mul", Shape.BROADCAST, commutes=True, product=True, share=2.0),
    Op("maximum", "torch.maximum({0}, {1})", "aten.maximum", Shape.BROADCAST, commutes=True, share=0.7),
    Op("minimum", "torch.minimum({0}, {1})", "aten.minimum", Shape.BROADCAST, commutes=True, share=0.7),
    Op("gain", "{0} * {w}", "aten.mul", weights=("vector",)),
    Op("bias", "{0} + {w}", "aten.add", weights=("vector",)),
    Op("mean", "{0}.mean(dim=-1, keepdim=True)", "aten.mean", Shape.REDUCED, share=0.6),
    Op("sum", "{0}.sum(dim=-1, keepdim=True)", "aten.sum", Shape.REDUCED, product=True, share=0.4),
    Op("amax", "{0}.amax(dim=-1, keepdim=True)", "aten.amax", Shape.REDUCED, share=0.6),
    Op("softmax", "torch.softmax({0}, dim=-1)", "aten.softmax", bounded=True),
    Op("log_softmax", "F.log_softmax({0}, dim=-1)", "aten.log_softmax"),
    Op("layer_norm", "F.layer_norm({0}, ({d},), {w}, {v})", "aten.layer_norm", bounded=True, weights=("vector", "vector")),
    Op("linear", "F.linear({0}, {w}, {v})", "aten.linear", Shape.PROJECTED, product=True, weights=("matrix", "vector"), share=1.5),
)  # fmt: skip
_BY_NAME = {op.name: op for op in OPS}


def op_named(name: str) -> Op:
    """The operation of this name.

    Raises:
        KeyError: there is none.
    """
    return _BY_NAME[name]
