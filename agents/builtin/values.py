"""Values: what one loop iteration computes, as a graph of scalar expressions with affine loads.

`Evaluator` walks the program backwards from an element of a node, through views and pointwise functions, down to loads from
memory and to results of the kernel's own reductions. Equal expressions become one value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelwright.agents.builtin.affine import Affine, Space, flatten, unflatten
from kernelwright.agents.builtin.dtypes import value_dtype
from kernelwright.agents.builtin.errors import CannotFold
from kernelwright.agents.builtin.ir import Node, contiguous, is_anchor

__all__ = ["Buffer", "Evaluator", "Guard", "Value", "buffer_of"]

Guard = tuple[Affine, int, int]
"""The index lies in [low, high); a value under guards is only meaningful where they all hold."""


@dataclass(frozen=True)
class Buffer:
    """A tensor in global memory: the node it holds, with the strides it is stored in."""

    node: Node
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str


def buffer_of(node: Node) -> Buffer:
    """Where a node is stored: with torch's own strides when they are dense, else row-major."""
    stride = contiguous(node.shape)
    if node.kind not in ("input", "torch", "result") and node.stride is not None and _dense(node.shape, node.stride):
        stride = node.stride
    return Buffer(node, node.shape, stride, node.dtype)


def _dense(shape: Sequence[int], stride: Sequence[int]) -> bool:
    expected = 1
    for extent, step in sorted(zip(shape, stride, strict=True), key=lambda p: (p[1], p[0])):
        if extent == 1:
            continue
        if step != expected:
            return False
        expected *= extent
    return True


@dataclass(frozen=True)
class Value:
    """One scalar expression.

    Kinds: `load` (extra: buffer, offset, guards), `gather` (buffer, offset, guards, strides, extents, wrap; args are the indices),
    `const` (number), `index` (affine), `guard` (guards), `op` (function name), `row` (a reduction of this kernel, by node id),
    `acc` (the accumulator of a matrix product, by node id).
    """

    kind: str
    dtype: str
    args: tuple[int, ...] = ()
    extra: Any = None


class Evaluator:
    """Builds the values of one kernel.

    Args:
        space: the kernel's loop dimensions.
        own: reductions and the matrix product this kernel computes itself, with the coordinates at which their results exist.
        inline: materialised nodes that this kernel computes as well, so that it need not read them.
        materialised: nodes that are in memory when the kernel starts.
    """

    def __init__(
        self,
        space: Space,
        own: Mapping[Node, tuple[Affine, ...]],
        materialised: frozenset[Node],
        inline: frozenset[Node] = frozenset(),
    ) -> None:
        self.space = space
        self.own = own
        self.materialised = materialised
        self.inline = inline
        self.values: list[Value] = []
        self.external: list[Node] = []
        """Nodes read from memory, in order of first use."""
        self._numbers: dict[Value, int] = {}
        self._memo: dict[tuple[int, tuple[Affine, ...], tuple[Guard, ...]], int] = {}

    def value(self, value: Value) -> int:
        """The number of a value, new or known."""
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number

    def at(self, node: Node, coordinates: tuple[Affine, ...], guards: tuple[Guard, ...] = ()) -> int:
        """The value of one element.

        Raises:
            CannotFold, NeedSplit: a reshape stands in the way.
        """
        key = (node.id, coordinates, guards)
        if key not in self._memo:
            self._memo[key] = self._at(node, coordinates, guards)
        return self._memo[key]

    def _at(self, node: Node, c: tuple[Affine, ...], guards: tuple[Guard, ...]) -> int:
        if node in self.own:
            if self.own[node] != c:
                raise CannotFold(f"{node} is used at another place than where it is computed", node)
            return self.value(Value("row" if node.kind == "reduce" else "acc", value_dtype(node.dtype), (), node.id))
        if is_anchor(node) or (node in self.materialised and node not in self.inline):
            return self._load(node, c, guards)
        kind, args, attrs = node.kind, node.args, node.attrs
        dtype = value_dtype(node.dtype)
        if kind == "scalar":
            return self.value(Value("const", dtype, (), _hashable(attrs["value"])))
        if kind == "iota":
            index = self.value(Value("index", "int64", (), c[0] * attrs["step"] + attrs["start"]))
            return index if dtype == "int64" else self.value(Value("op", dtype, (index,), "cast"))
        if kind == "pointwise":
            parts = tuple(self.at(x, c, guards) for x in args)
            return self._op(node, dtype, parts)
        if kind == "permute":
            inner = [Affine()] * len(c)
            for d, source in enumerate(attrs["dims"]):
                inner[source] = c[d]
            return self.at(args[0], tuple(inner), guards)
        if kind == "expand":
            skip = len(c) - len(args[0].shape)
            inner = [Affine() if n == 1 else c[skip + d] for d, n in enumerate(args[0].shape)]
            return self.at(args[0], tuple(inner), guards)
        if kind == "reshape":
            try:
                inner = list(self._reshaped(node, c))
            except CannotFold:
                if not self._lies_in_order(args[0]):
                    raise
                return self._load(args[0], c, guards, contiguous(node.shape))
            return self.at(args[0], tuple(inner), guards)
        if kind == "slice":
            inner = list(c)
            inner[attrs["dim"]] = c[attrs["dim"]] * attrs["step"] + attrs["start"]
            return self.at(args[0], tuple(inner), guards)
        if kind == "flip":
            inner = [x * -1 + (node.shape[d] - 1) if d in attrs["dims"] else x for d, x in enumerate(c)]
            return self.at(args[0], tuple(inner), guards)
        if kind == "window":
            inner = list(c[:-1])
            inner[attrs["dim"]] = c[attrs["dim"]] * attrs["stride"] + c[-1] * attrs["dilation"]
            return self.at(args[0], tuple(inner), guards)
        if kind == "cat":
            return self._cat(node, c, guards)
        if kind == "pad":
            return self._pad(node, c, guards)
        if kind == "gather":
            return self._gather(node, c, guards)
        raise AssertionError(f"unknown kind {kind}")

    def _reshaped(self, node: Node, c: tuple[Affine, ...]) -> tuple[Affine, ...]:
        source = node.args[0]
        flat = flatten(c, contiguous(node.shape))
        # Dimensions of extent 1 on both sides and equal leading or trailing parts need no arithmetic, and keep guarded
        # (out of range) indices foldable.
        if tuple(n for n in node.shape if n != 1) == tuple(n for n in source.shape if n != 1):
            rest = iter([x for x, n in zip(c, node.shape, strict=True) if n != 1])
            return tuple(Affine() if n == 1 else next(rest) for n in source.shape)
        try:
            return unflatten(flat, source.shape, self.space)
        except CannotFold as error:
            raise CannotFold(str(error), source) from None

    def _op(self, node: Node, dtype: str, parts: tuple[int, ...]) -> int:
        fn = node.attrs["fn"]
        if fn == "copy":
            return parts[0]
        if fn == "cast":
            source = self.values[parts[0]].dtype
            narrow = node.dtype in ("float16", "bfloat16") and node.args[0].dtype != node.dtype
            if narrow and category_of(node.args[0].dtype) != 0:
                rounded = parts[0] if source == "float32" else self.value(Value("op", "float32", parts, "cast"))
                return self.value(Value("op", "float32", (rounded,), f"round_{node.dtype}"))
            if source == dtype:
                return parts[0]
        return self.value(Value("op", dtype, parts, fn))

    def _lies_in_order(self, node: Node) -> bool:
        """Whether a node is in memory, row by row: any reshape of it is then there too."""
        stored = node.kind in ("torch", "result", "input") or (node in self.materialised and node not in self.inline)
        return stored and node not in self.own and buffer_of(node).stride == contiguous(node.shape)

    def _load(
        self, node: Node, c: tuple[Affine, ...], guards: tuple[Guard, ...], stride: Sequence[int] | None = None
    ) -> int:
        if node not in self.external:
            self.external.append(node)
        buffer = buffer_of(node)
        extra = (buffer, flatten(c, buffer.stride if stride is None else stride), guards)
        return self.value(Value("load", value_dtype(node.dtype), (), extra))

    def _cat(self, node: Node, c: tuple[Affine, ...], guards: tuple[Guard, ...]) -> int:
        dim = node.attrs["dim"]
        low, high = c[dim].bounds(self.space.extents)
        result: int | None = None
        start = node.shape[dim]
        for part in reversed(node.args):
            start -= part.shape[dim]
            if not part.shape[dim]:
                continue
            inside = (c[dim] + -start, 0, part.shape[dim])
            moved = list(c)
            moved[dim] = c[dim] + -start
            if low >= start and high < start + part.shape[dim]:
                return self.at(part, tuple(moved), guards)
            value = self.at(part, tuple(moved), _with(guards, inside))
            if result is None:
                result = value
            else:
                test = self.value(Value("guard", "bool", (), (inside,)))
                result = self.value(Value("op", value_dtype(node.dtype), (test, value, result), "where"))
        assert result is not None
        return result

    def _pad(self, node: Node, c: tuple[Affine, ...], guards: tuple[Guard, ...]) -> int:
        source = node.args[0]
        inner, tests = [], guards
        needed: list[Guard] = []
        for index, offset, extent in zip(c, node.attrs["low"], source.shape, strict=True):
            shifted = index + -offset
            inner.append(shifted)
            low, high = shifted.bounds(self.space.extents)
            if low < 0 or high >= extent:
                needed.append((shifted, 0, extent))
                tests = _with(tests, (shifted, 0, extent))
        value = self.at(source, tuple(inner), tests)
        if not needed:
            return value
        dtype = value_dtype(node.dtype)
        fill = self.value(Value("const", dtype, (), _hashable(node.attrs["value"])))
        test = self.value(Value("guard", "bool", (), tuple(needed)))
        return self.value(Value("op", dtype, (test, value, fill), "where"))

    def _gather(self, node: Node, c: tuple[Affine, ...], guards: tuple[Guard, ...]) -> int:
        table = node.args[0]
        indices = iter(node.args[1:])
        own = iter(node.attrs["coordinates"])
        if table not in self.external:
            self.external.append(table)
        buffer = buffer_of(table)
        offset = Affine()
        parts, strides, extents = [], [], []
        for d, present in enumerate(node.attrs["present"]):
            if present:
                index = next(indices)
                parts.append(self.at(index, c, guards))
                strides.append(buffer.stride[d])
                extents.append(buffer.shape[d])
            else:
                offset = offset + c[next(own)] * buffer.stride[d]
        extra = (buffer, offset, guards, tuple(strides), tuple(extents), node.attrs["wrap"])
        return self.value(Value("gather", value_dtype(node.dtype), tuple(parts), extra))

    # questions about values

    def affines(self, number: int) -> tuple[Affine, ...]:
        """The indices a value holds itself (not those of its arguments)."""
        value = self.values[number]
        if value.kind in ("load", "gather"):
            return (value.extra[1], *(g[0] for g in value.extra[2]))
        if value.kind == "index":
            return (value.extra,)
        if value.kind == "guard":
            return tuple(g[0] for g in value.extra)
        return ()

    def reachable(self, roots: Iterable[int], stop: frozenset[int] = frozenset()) -> list[int]:
        """Values needed for `roots`, arguments first; `stop` values are included but not entered."""
        seen: set[int] = set()
        stack = list(roots)
        while stack:
            number = stack.pop()
            if number in seen:
                continue
            seen.add(number)
            if number not in stop:
                stack.extend(self.values[number].args)
        return sorted(seen)

    def dims_of(self, number: int) -> frozenset[int]:
        """Loop dimensions a value depends on, through its arguments."""
        dims: set[int] = set()
        for inner in self.reachable([number]):
            for affine in self.affines(inner):
                dims.update(d for d, _ in affine.terms)
        return frozenset(dims)


def category_of(dtype: str) -> int:
    """2 for floating point, 1 for integers, 0 for bool."""
    return 0 if dtype == "bool" else 2 if "float" in dtype else 1


def _hashable(value: bool | int | float) -> str:
    """Numbers as text, since 1, 1.0 and True are equal as keys, and NaN is not equal to itself."""
    return repr(value)


def _with(guards: tuple[Guard, ...], guard: Guard) -> tuple[Guard, ...]:
    return guards if guard in guards else (*guards, guard)
