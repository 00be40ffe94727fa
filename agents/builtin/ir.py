"""The coder's own intermediate form: a module as pointwise functions, views, reductions and matrix products.

Every ATen operation the coder knows is written with these few kinds (a softmax is a maximum, a subtraction, an exponential,
a sum and a division), so that fusion needs to know nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelwright.agents.builtin.dtypes import category, promote
from kernelwright.agents.builtin.errors import NotLowered

__all__ = ["ANCHORS", "VIEWS", "Node", "Number", "Program", "contiguous", "is_anchor", "numel"]

Number = bool | int | float


def numel(shape: Sequence[int]) -> int:
    """Number of elements."""
    return math.prod(shape)


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides in elements of a row-major tensor."""
    strides = [1] * len(shape)
    for d in range(len(shape) - 2, -1, -1):
        strides[d] = strides[d + 1] * max(shape[d + 1], 1)
    return tuple(strides)


@dataclass(eq=False)
class Node:
    """One value of the program; compared by identity.

    Kinds: `input` (attrs: `input`, a GraphInput), `scalar` (`value`), `iota` (`start`, `step`: one dimension),
    `pointwise` (`fn`), `permute` (`dims`), `expand`, `reshape`, `slice` (`dim`, `start`, `step`), `flip` (`dims`),
    `cat` (`dim`), `pad` (`low`, `value`), `window` (`dim`, `stride`, `dilation`), `gather` (see `Program.gather`), `reduce` (`op`, `dims`), `matmul` (B,M,K by B,K,N), `torch` (`op`, `call_args`, `call_kwargs`, `many`), `result` (`index`, of a torch node),
    `attention` and `scores` (see `attention_match`).
    """

    id: int
    kind: str
    shape: tuple[int, ...]
    dtype: str
    args: tuple[Node, ...] = ()
    attrs: dict[str, Any] = field(default_factory=dict)
    stride: tuple[int, ...] | None = None
    """Strides torch gave this value, where it is one of the captured graph's own."""
    name: str = ""

    @property
    def numel(self) -> int:
        """Number of elements."""
        return numel(self.shape)

    def __repr__(self) -> str:
        return f"%{self.id} {self.kind}{self.attrs.get('fn') or self.attrs.get('op') or ''} {self.shape} {self.dtype}"


VIEWS = ("permute", "expand", "reshape", "slice", "flip")
ANCHORS = ("reduce", "matmul", "attention", "scores", "torch", "result", "input")


def is_anchor(node: Node) -> bool:
    """Whether the node can't be computed element by element inside a consumer's loop."""
    return node.kind in ANCHORS


class Program:
    """Nodes in topological order, with constructors that broadcast, cast and fold."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._known: dict[tuple[object, ...], Node] = {}

    def add(self, kind: str, shape: Sequence[int], dtype: str, args: Sequence[Node] = (), **attrs: Any) -> Node:
        """Appends a node as it is; an equal one is given again instead, except for inputs and operations of torch."""
        # repr tells 1 from 1.0 and True, and NaN equals itself
        key = (kind, tuple(shape), dtype, tuple(x.id for x in args), repr(sorted(attrs.items())))
        if kind not in ("input", "torch", "result") and key in self._known:
            return self._known[key]
        node = Node(len(self.nodes), kind, tuple(shape), dtype, tuple(args), attrs)
        self.nodes.append(node)
        if kind not in ("input", "torch"):
            self._known[key] = node
        return node

    def forget(self, mark: int) -> None:
        """Drops the nodes from number `mark` on, which nothing uses yet."""
        del self.nodes[mark:]
        self._known = {key: node for key, node in self._known.items() if node.id < mark}

    def scalar(self, value: Number, dtype: str) -> Node:
        """A number, without dimensions."""
        category(dtype)
        return self.add("scalar", (), dtype, value=value)

    def full(self, shape: Sequence[int], value: Number, dtype: str) -> Node:
        """A number everywhere."""
        return self.expand(self.scalar(value, dtype), shape)

    # views

    def expand(self, x: Node, shape: Sequence[int]) -> Node:
        """Broadcast to `shape` (right-aligned)."""
        shape = tuple(shape)
        if x.shape == shape:
            return x
        padded = (1,) * (len(shape) - len(x.shape)) + x.shape
        if len(padded) != len(shape) or any(a not in (1, b) for a, b in zip(padded, shape, strict=True)):
            raise NotLowered(f"broadcast of {x.shape} to {shape}")
        return self.add("expand", shape, x.dtype, (x,))

    def reshape(self, x: Node, shape: Sequence[int]) -> Node:
        """The same elements in row-major order under another shape."""
        shape = tuple(shape)
        if shape == x.shape:
            return x
        if numel(shape) != x.numel:
            raise NotLowered(f"reshape of {x.shape} to {shape}")
        if x.kind == "reshape":
            return self.reshape(x.args[0], shape)
        return self.add("reshape", shape, x.dtype, (x,))

    def permute(self, x: Node, dims: Sequence[int]) -> Node:
        """Dimension `d` of the result is dimension `dims[d]` of `x`."""
        order = tuple(d % len(x.shape) for d in dims) if x.shape else ()
        if order == tuple(range(len(order))):
            return x
        return self.add("permute", [x.shape[d] for d in order], x.dtype, (x,), dims=order)

    def slice(self, x: Node, dim: int, start: int, length: int, step: int = 1) -> Node:
        """Elements start, start+step, ... of one dimension."""
        if start == 0 and step == 1 and length == x.shape[dim]:
            return x
        shape = list(x.shape)
        shape[dim] = length
        return self.add("slice", shape, x.dtype, (x,), dim=dim, start=start, step=step)

    def flip(self, x: Node, dims: Sequence[int]) -> Node:
        """Reversed along `dims`."""
        return self.add("flip", x.shape, x.dtype, (x,), dims=tuple(dims))

    def window(self, x: Node, dim: int, count: int, size: int, stride: int, dilation: int) -> Node:
        """`count` windows of `size` elements over one dimension, which becomes the windows' places; the elements come last."""
        shape = [*x.shape, size]
        shape[dim] = count
        return self.add("window", shape, x.dtype, (x,), dim=dim, stride=stride, dilation=dilation)

    def unsqueeze(self, x: Node, dim: int) -> Node:
        """A dimension of extent 1 before `dim` of the result."""
        shape = list(x.shape)
        shape.insert(dim % (len(shape) + 1), 1)
        return self.reshape(x, shape)

    # computation

    def cast(self, x: Node, dtype: str) -> Node:
        """torch's `to(dtype)`; rounds when the target is narrower."""
        category(dtype)
        if x.dtype == dtype:
            return x
        if x.kind == "scalar":
            value = x.attrs["value"]
            if category(dtype) == 2:
                return self.scalar(float(value), dtype)
            if category(dtype) == 0:
                return self.scalar(bool(value), dtype)
        return self.add("pointwise", x.shape, dtype, (x,), fn="cast")

    def pointwise(self, fn: str, args: Sequence[Node], dtype: str, compute: str | None = None) -> Node:
        """`fn` element by element, arguments broadcast to one shape and cast to `compute` (default: the result's dtype).

        Booleans of a `where` are cast by the caller.
        """
        compute = dtype if compute is None else compute
        shape: tuple[int, ...] = ()
        for x in args:
            shape = _broadcast(shape, x.shape)
        ready = [self.expand(self.cast(x, compute), shape) for x in args]
        return self.add("pointwise", shape, dtype, ready, fn=fn)

    def where(self, condition: Node, a: Node, b: Node) -> Node:
        """`condition ? a : b`; a and b have one dtype."""
        shape = _broadcast(_broadcast(condition.shape, a.shape), b.shape)
        parts = [self.expand(x, shape) for x in (self.cast(condition, "bool"), a, b)]
        return self.add("pointwise", shape, a.dtype, parts, fn="where")

    def binary(self, fn: str, a: Node | Number, b: Node | Number, dtype: str | None = None) -> Node:
        """An arithmetic function of two nodes or numbers, in torch's promoted dtype or the one given."""
        if dtype is None:
            dtype = self.promoted(a, b)
        left = a if isinstance(a, Node) else self.scalar(a, dtype)
        right = b if isinstance(b, Node) else self.scalar(b, dtype)
        return self.pointwise(fn, (left, right), dtype)

    def promoted(self, *args: Node | Number) -> str:
        """The dtype torch would combine these in."""
        tensors = [(x.dtype, len(x.shape)) for x in args if isinstance(x, Node)]
        return promote(tensors, [x for x in args if not isinstance(x, Node)])

    def reduce(self, op: str, x: Node, dims: Sequence[int], keepdim: bool, dtype: str | None = None) -> Node:
        """`sum prod max min any all argmax argmin` over `dims` (all if empty); no elements give the identity."""
        rank = len(x.shape)
        chosen = tuple(sorted({d % rank for d in dims})) if rank and dims else tuple(range(rank))
        kept = tuple(1 if d in chosen else n for d, n in enumerate(x.shape))
        shape = tuple(n for d, n in enumerate(x.shape) if d not in chosen)
        dtype = x.dtype if dtype is None else dtype
        if not chosen or numel([x.shape[d] for d in chosen]) == 1:
            result = self.full(shape, 0, "int64") if op.startswith("arg") else self.cast(self.reshape(x, shape), dtype)
        elif numel([x.shape[d] for d in chosen]) == 0:
            identity = {"sum": 0, "prod": 1, "any": False, "all": True}
            if op not in identity:
                raise NotLowered(f"{op} of no elements")
            result = self.full(shape, identity[op], dtype)
        else:
            result = self.add("reduce", shape, dtype, (x,), op=op, dims=chosen)
        return self.reshape(result, kept) if keepdim else result

    def matmul(self, a: Node, b: Node, dtype: str) -> Node:
        """(B, M, K) by (B, K, N); vectors become a reduction, since tiles would be empty."""
        batch, m, k = a.shape
        n = b.shape[2]
        if k == 0 or batch * m * n == 0:
            return self.full((batch, m, n), 0, dtype)
        if m == 1 or n == 1 or k == 1:
            left = self.reshape(a, (batch, m, 1, k))
            right = self.reshape(self.permute(b, (0, 2, 1)), (batch, 1, n, k))
            product = self.pointwise(
                "mul", (left, right), "float32" if category(dtype) == 2 and dtype != "float64" else dtype
            )
            return self.reduce("sum", product, (3,), keepdim=False, dtype=dtype)
        return self.add("matmul", (batch, m, n), dtype, (a, b))

    def copy(self, x: Node) -> Node:
        """The same values in memory of their own, should they be stored at all."""
        return self.add("pointwise", x.shape, x.dtype, (x,), fn="copy")

    def gather(
        self, table: Node, indices: Sequence[Node | None], shape: Sequence[int], coordinates: Sequence[int], wrap: bool
    ) -> Node:
        """result[i...] = table[...], where dimension d of the table is indexed by `indices[d]` (a node of the result's shape)
        or, where that is None, by the next of the result's own `coordinates`; `wrap`: negative indices count from the end.
        """
        present = tuple(x is not None for x in indices)
        args = (table, *(x for x in indices if x is not None))
        return self.add("gather", shape, table.dtype, args, present=present, wrap=wrap, coordinates=tuple(coordinates))


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    rank = max(len(a), len(b))
    left, right = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    if any(x != y and 1 not in (x, y) for x, y in zip(left, right, strict=True)):
        raise NotLowered(f"broadcast of {a} and {b}")
    return tuple(y if x == 1 else x for x, y in zip(left, right, strict=True))
