"""Random graph expansion: a graph of so many operations, every value of which counts for its result.

A graph begins with its inputs, and each step adds an operation to a value that nothing uses yet, or brings two of them together. As many
steps are kept back as it takes to bring all of them together, so the last value depends on every input and every operation.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.rl.expansion.ops import OPS, Op, Shape, op_named

__all__ = ["Expanded", "Node", "grow"]

_MOST_DEGREE = {"float32": 3, "float16": 1}
"""Of a value: how often magnitudes may have been multiplied. Inputs have 1, what a bounded operation gives has 0; times 100 to the
third power, with sums, is far from overflow in float32; in float16 the inputs themselves are near it."""
_AGAIN = 0.25  # how often the second operand is a value that is used already: residual connections


@dataclass(frozen=True)
class Node:
    """One operation of a graph."""

    op: str
    operands: tuple[int, ...]
    """Values: inputs from 0 on, then nodes in order."""


@dataclass(frozen=True)
class Expanded:
    """A graph and its sizes."""

    inputs: int
    nodes: tuple[Node, ...]
    dtype: str
    sizes: tuple[tuple[str, int], ...]
    """Names of dimensions, at full size: ROWS, COLS and, behind a projection, WIDTH."""
    twin: tuple[tuple[str, int], ...]
    """The sizes at which the emulator judges."""

    @property
    def ops(self) -> tuple[str, ...]:
        """Names of the operations in order."""
        return tuple(node.op for node in self.nodes)

    @property
    def widths(self) -> tuple[str, ...]:
        """The last dimension of every value: `COLS`, `WIDTH` or ``1``."""
        return _widths(self.inputs, self.nodes)

    @property
    def hash(self) -> str:
        """16 hex digits: the same for graphs that compute the same in the same way, whatever their sizes and the order of their nodes."""
        keys: list[str] = []
        order: dict[int, int] = {}

        def key(value: int) -> str:
            if value < self.inputs:
                return f"i{order.setdefault(value, len(order))}"
            node = self.nodes[value - self.inputs]
            parts = [keys[operand] for operand in node.operands]
            return f"{node.op}({','.join(sorted(parts) if op_named(node.op).commutes else parts)})"

        # inputs are alike: they are numbered as the operations that come first need them, shape by shape
        shapes = [""] * self.inputs
        for node in self.nodes:
            shapes.append(f"{node.op}({','.join(sorted(shapes[o] for o in node.operands))})")
        places = sorted(
            range(len(self.nodes)), key=lambda n: (len(shapes[n + self.inputs]), shapes[n + self.inputs], n)
        )
        for place in places:
            for operand in self.nodes[place].operands:
                if operand < self.inputs:
                    order.setdefault(operand, len(order))
        for value in range(self.inputs + len(self.nodes)):
            keys.append(key(value))
        text = f"{self.dtype} {keys[-1]}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def grow(seed: str, max_ops: int) -> Expanded:
    """A graph of 2 to `max_ops` operations; the same for the same arguments, on every machine.

    Raises:
        ValueError: `max_ops` is below 2.
    """
    if max_ops < 2:
        raise ValueError("a graph has at least two operations")
    source = random.Random(hashlib.sha256(f"{seed}/{max_ops}".encode()).digest())
    count = source.randint(2, max_ops)
    dtype = "float16" if source.random() < 0.2 else "float32"
    inputs = min(source.choice((1, 1, 2, 2, 3)), count)
    return _Growth(source, inputs, count, dtype).grown()


class _Growth:
    """A graph under way."""

    def __init__(self, source: random.Random, inputs: int, count: int, dtype: str) -> None:
        self.source, self.inputs, self.count, self.dtype = source, inputs, count, dtype
        self.nodes: list[Node] = []
        self.widths = ["COLS"] * inputs
        self.degrees = [1] * inputs
        self.loose = list(range(inputs))

    def grown(self) -> Expanded:
        while len(self.nodes) < self.count:
            left = self.count - len(self.nodes)
            must_join = left <= len(self.loose) - 1
            self._join() if must_join or (len(self.loose) > 1 and self.source.random() < 0.3) else self._add()
        sizes, twin = _sizes(self.source, self.nodes)
        return Expanded(self.inputs, tuple(self.nodes), self.dtype, sizes, twin)

    def _add(self) -> None:
        """One operation on a value that nothing uses yet."""
        value = self.source.choice(self.loose)
        choices = [op for op in OPS if self._fits(op, value)]
        op = self.source.choices(choices, [op.share for op in choices])[0]
        operands = [value]
        if op.arity == 2:
            operands.append(self.source.choice(self._partners(op, value)))
            if not op.commutes and self.source.random() < 0.5:
                operands.reverse()
        self._keep(op, operands)

    def _join(self) -> None:
        """One operation that brings two values together which nothing uses yet."""
        one, other = self.source.sample(self.loose, 2)
        choices = [op for op in OPS if op.arity == 2 and self._degree(op, [one, other]) <= _MOST_DEGREE[self.dtype]]
        op = self.source.choices(choices, [op.share for op in choices])[0]
        self._keep(op, [one, other])

    def _fits(self, op: Op, value: int) -> bool:
        last = self.nodes[value - self.inputs].op if value >= self.inputs else ""
        if op.arity == 2:
            return bool(self._partners(op, value)) and self.source.random() < _AGAIN * 2
        if op.name == last or self._degree(op, [value]) > _MOST_DEGREE[self.dtype]:
            return False  # twice the same is mostly once
        if op.shape is Shape.PROJECTED:  # another width would fit together with no other loose value
            return self.widths[value] == "COLS" and len(self.loose) == 1
        return self.widths[value] != "1" or (op.shape is Shape.SAME and not op.weights and "dim" not in op.code)

    def _partners(self, op: Op, value: int) -> list[int]:
        """Values that are used already and fit together with `value`."""
        used = [v for v in range(len(self.widths)) if v not in self.loose]
        return [
            v
            for v in used
            if (self.widths[v] == self.widths[value] or "1" in (self.widths[v], self.widths[value]))
            and self._degree(op, [value, v]) <= _MOST_DEGREE[self.dtype]
        ]

    def _degree(self, op: Op, operands: Sequence[int]) -> int:
        degrees = [self.degrees[operand] for operand in operands]
        if op.bounded:
            return 0
        return sum(degrees) + (op.arity == 1) if op.product else max(degrees)

    def _keep(self, op: Op, operands: Sequence[int]) -> None:
        for operand in operands:
            if operand in self.loose:
                self.loose.remove(operand)
        self.degrees.append(self._degree(op, operands))
        self.nodes.append(Node(op.name, tuple(operands)))
        self.widths = list(_widths(self.inputs, self.nodes))
        self.loose.append(len(self.widths) - 1)


def _widths(inputs: int, nodes: Sequence[Node]) -> tuple[str, ...]:
    found = ["COLS"] * inputs
    for node in nodes:
        op, given = op_named(node.op), [found[operand] for operand in node.operands]
        if op.shape is Shape.REDUCED:
            found.append("1")
        elif op.shape is Shape.PROJECTED:
            found.append("WIDTH")
        else:
            found.append(next((width for width in given if width != "1"), "1"))
    return tuple(found)


def _sizes(
    source: random.Random, nodes: Sequence[Node]
) -> tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]:
    """Full sizes that fill a GPU, and twins of which no dimension is a round number."""
    projected = any(node.op == "linear" for node in nodes)
    rows, cols = source.choice(
        ((4096, 1024), (8192, 1024), (2048, 2048)) if projected else ((8192, 4096), (4096, 8192), (16384, 2048))
    )
    small_rows, small_cols = source.choice(((24, 96), (17, 130), (33, 72)))
    if not projected:
        return (("ROWS", rows), ("COLS", cols)), (("ROWS", small_rows), ("COLS", small_cols))
    width, small_width = source.choice(((512, 40), (1024, 104), (2048, 56)))
    return (("ROWS", rows), ("COLS", cols), ("WIDTH", width)), (
        ("ROWS", small_rows),
        ("COLS", small_cols),
        ("WIDTH", small_width),
    )
