"""Fusion: which nodes share a kernel, and what has to be in memory between kernels.

Anchors (reductions, matrix products, operations left to torch) start kernels; everything else is computed inside the loop of a
kernel that needs it. A reduction joins the kernel of another one over the same rows and columns; a pointwise result is
stored by the kernel of the latest anchor it depends on, if its element order allows. Whatever a second kernel needs is
stored by the first; finding that out starts the planning again with one more stored node, until nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kernelwright.agents.builtin.errors import CannotFold
from kernelwright.agents.builtin.ir import ANCHORS, VIEWS, Node, Program, contiguous
from kernelwright.agents.builtin.spec import Unit, build_spec
from kernelwright.agents.builtin.values import buffer_of

__all__ = ["Plan", "make_plan", "view_base"]

_WIDE_COLUMNS, _WIDE_ROWS = 65536, 100
"""A reduction of at least this many columns on at most this many rows would leave most SMs idle with one block a row:
it is split over blocks, so nothing that needs its result can share its kernel."""

_MOST_IN_PARTS = 512
"""Values that the parts of one concatenation may take together, each counted from what is in memory. A recurrence over time steps whose
states are put together takes as many as the square of the steps; above this each part is stored by itself and the next one begins from
it. NVRTC had not compiled a kernel of 15,000 (100 steps) after 120 s; stored step by step it takes 4 s."""


@dataclass(frozen=True)
class Plan:
    """Units in an order that can run, and what is in memory."""

    units: tuple[Unit, ...]
    materialised: frozenset[Node]
    outputs: tuple[Node, ...]


class _Restart(Exception):
    """Another node must be in memory: plan again."""


def view_base(node: Node) -> Node:
    """The node whose memory `node` is a view of, as torch's own views would make it; the node itself if it is no view."""
    chain = []
    base = node
    while base.kind in VIEWS and base.kind != "flip":
        chain.append(base)
        base = base.args[0]
    while chain:
        stride: tuple[int, ...] | None = buffer_of(base).stride
        for index, view in enumerate(reversed(chain)):
            stride = _view_stride(view, stride or ())
            if stride is None:
                # This step copies: what follows it can still be a view of its result.
                step = len(chain) - 1 - index
                base = chain[step]
                chain = chain[:step]
                break
        else:
            break
    return node if base.kind in ("scalar", "iota") else base


def _view_stride(view: Node, stride: tuple[int, ...]) -> tuple[int, ...] | None:
    source = view.args[0]
    if view.kind == "permute":
        return tuple(stride[d] for d in view.attrs["dims"])
    if view.kind == "expand":
        skip = len(view.shape) - len(source.shape)
        return (0,) * skip + tuple(
            0 if a == 1 and b != 1 else s for a, b, s in zip(source.shape, view.shape[skip:], stride, strict=True)
        )
    if view.kind == "slice":
        return tuple(s * view.attrs["step"] if d == view.attrs["dim"] else s for d, s in enumerate(stride))
    plain = [(n, s) for n, s in zip(source.shape, stride, strict=True) if n != 1]
    if tuple(n for n, _ in plain) == tuple(n for n in view.shape if n != 1):
        rest = iter([s for _, s in plain])
        return tuple(1 if n == 1 else next(rest) for n in view.shape)
    dense = [(n, s) for n, s in zip(source.shape, contiguous(source.shape), strict=True) if n != 1]
    return contiguous(view.shape) if plain == dense else None


def make_plan(program: Program, outputs: Sequence[Node]) -> Plan:
    """Decides the kernels of a program.

    Raises:
        CannotFold: a kernel can't be expressed even with its inputs in memory (an error of this coder).
    """
    planner = _Planner(program, tuple(outputs))
    for _ in range(len(program.nodes) + 8):
        try:
            return planner.build()
        except _Restart:
            continue
    raise CannotFold("planning does not come to an end")


class _Planner:
    def __init__(self, program: Program, outputs: tuple[Node, ...]) -> None:
        self.outputs = outputs
        self.live = _reachable(outputs)
        self.consumers: dict[Node, list[Node]] = {}
        for node in self.live:
            for x in node.args:
                self.consumers.setdefault(x, []).append(node)
        self.memory: set[Node] = set()
        for node in outputs:
            self._need(view_base(node))
        for node in self.live:
            if node.kind == "torch":
                for x in node.args:
                    self._need(view_base(x))
            elif node.kind in ("matmul", "scores"):
                for x in node.args:
                    self._need(_deep_base(x))
            elif node.kind == "attention":
                self._need(_deep_base(node.args[1]))
            elif node.kind == "gather":
                self._need(node.args[0])
        for node in self.live:
            if node.kind == "cat" and sum(map(self._cone, node.args)) > _MOST_IN_PARTS:
                for x in node.args:
                    self._need(_deep_base(x))
        self.units: list[Unit] = []
        self.unit_of: dict[Node, Unit] = {}

    def _cone(self, node: Node) -> int:
        """How many values it takes to compute one, from anchors and what is in memory."""
        seen: set[Node] = set()
        stack = [node]
        while stack:
            current = stack.pop()
            if current not in seen and current.kind not in ANCHORS and current not in self.memory:
                seen.add(current)
                stack.extend(current.args)
        return len(seen)

    def _need(self, node: Node) -> None:
        if node.kind != "input":
            self.memory.add(node)

    def build(self) -> Plan:
        self.units, self.unit_of = [], {}
        for node in self.live:
            if node.kind == "torch":
                self._place(node, Unit("torch", [node], [node], None, [view_base(x) for x in node.args]))
            elif node.kind == "result":
                self.unit_of[node] = self.unit_of[node.args[0]]
            elif node.kind in ("matmul", "attention"):
                self._place(node, Unit(node.kind, [node], [node] if node in self.memory else []))
            elif node.kind == "scores":
                continue  # computed in the kernel of its attention
            elif node.kind == "reduce":
                self._reduction(node)
            elif node in self.memory:
                self._pointwise(node)
        self._absorb()
        for unit in self.units:
            for node in unit.external:
                if node.kind not in ("input", "result") and node not in self.memory:
                    self.memory.add(self._row_result(unit, node) if node.kind == "reduce" else self._sink(node))
                    raise _Restart
        units = [u for u in self.units if u.kind == "torch" or u.stores]
        return Plan(tuple(self._sorted(units)), frozenset(self.memory), self.outputs)

    def _place(self, node: Node, unit: Unit) -> None:
        if unit.kind != "torch" and (unit.stores or unit.kind != "pointwise"):
            try:
                unit.spec = build_spec(unit, frozenset(self.memory))
                unit.external = [*unit.spec.evaluator.external, *(o.buffer.node for o in unit.spec.operands)]
            except CannotFold as error:
                culprit = error.node
                if not isinstance(culprit, Node) or culprit.kind == "input" or culprit in self.memory:
                    raise
                self.memory.add(culprit)
                raise _Restart from None
        self.units.append(unit)
        self.unit_of[node] = unit

    def _try(self, unit: Unit, changed: Unit, nodes: Iterable[Node]) -> bool:
        """Replaces a unit's contents by `changed` if that can be expressed and leaves no cycle."""
        try:
            spec = build_spec(changed, frozenset(self.memory))
        except CannotFold:
            return False
        external = [*spec.evaluator.external, *(o.buffer.node for o in spec.operands)]
        for node in external:
            other = self.unit_of.get(node)
            if other is not None and (other is unit or self._depends(other, unit)):
                return False
        unit.members, unit.stores, unit.spec, unit.external = changed.members, changed.stores, spec, external
        for node in nodes:
            self.unit_of[node] = unit
        return True

    def _depends(self, unit: Unit, on: Unit) -> bool:
        seen: set[int] = set()
        stack = [unit]
        while stack:
            current = stack.pop()
            if current is on:
                return True
            if id(current) in seen:
                continue
            seen.add(id(current))
            stack.extend(self.unit_of[n] for n in current.external if n in self.unit_of)
        return False

    def _frontier(self, nodes: Sequence[Node]) -> list[Node]:
        """Anchors and stored nodes that a computation starts from."""
        found: list[Node] = []
        seen: set[Node] = set()
        stack = list(reversed(nodes))
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node.kind in ANCHORS or node in self.memory:
                found.append(node)
            else:
                stack.extend(reversed(node.args))
        return found

    def _reduction(self, node: Node) -> None:
        frontier = self._frontier(node.args)
        sizes = _sizes(node)
        for unit in reversed(self.units):
            if unit.kind != "rows" or _sizes(unit.members[0]) != sizes:
                continue
            inside = any(self.unit_of.get(f) is unit for f in frontier)
            if inside and _wide(unit):
                continue
            shared = any(f.numel >= node.args[0].numel for f in frontier if f in unit.external)
            same = any(m.args[0] is node.args[0] for m in unit.members)
            if not inside and not shared and not same and sizes[0] != 1:
                continue
            stores = [*unit.stores, node] if node in self.memory else unit.stores
            if self._try(unit, Unit("rows", [*unit.members, node], stores), [node]):
                return
        self._place(node, Unit("rows", [node], [node] if node in self.memory else []))

    def _pointwise(self, node: Node) -> None:
        frontier = self._frontier(node.args)
        units = [self.unit_of[f] for f in frontier if f in self.unit_of]
        related = [u for u in reversed(self.units) if any(u is x for x in units)]
        related += [
            u
            for u in reversed(self.units)
            if u.kind == "pointwise" and not any(u is x for x in units) and u.stores[0].numel == node.numel
        ]
        for unit in related:
            if unit.kind == "torch" or not self._fits(unit, node, frontier):
                continue
            if self._try(unit, Unit(unit.kind, unit.members, [*unit.stores, node]), [node]):
                return
        self._place(node, Unit("pointwise", [], [node]))

    def _fits(self, unit: Unit, node: Node, frontier: Sequence[Node]) -> bool:
        if unit.kind == "pointwise":
            return unit.stores[0].numel == node.numel and node.numel > 0
        if unit.kind in ("matmul", "attention"):
            return unit.members[0].numel == node.numel
        rows, columns = _sizes(unit.members[0])
        if node.numel == rows:
            return True
        return node.numel == rows * columns and not _wide(unit)

    def _absorb(self) -> None:
        """Moves a stored pointwise result into the reduction kernel that reads it: it is computed there anyway."""
        for unit in [u for u in self.units if u.kind == "rows"]:
            for node in list(unit.external):
                source = self.unit_of.get(node)
                if source is None or source.kind != "pointwise" or node.kind in VIEWS:
                    continue
                if not self._fits(unit, node, ()) or node.numel != unit.members[0].args[0].numel:
                    continue
                rest = [s for s in source.stores if s is not node]
                if rest:
                    continue
                if self._try(unit, Unit("rows", unit.members, [*unit.stores, node]), [node]):
                    self.units.remove(source)

    def _row_result(self, consumer: Unit, node: Node) -> Node:
        """What to store of a reduction that another kernel needs: the last pointwise value per row on the way there that
        the reduction's own kernel can compute, so that one tensor is stored and not each of its ingredients."""
        home = self.unit_of[node]
        seen: set[Node] = set()
        stack = [*(x for m in consumer.members for x in m.args), *consumer.stores]
        while stack:
            current = stack.pop()
            if current in seen or current in self.memory or current.kind in ANCHORS:
                continue
            seen.add(current)
            if current.kind == "pointwise" and current.numel == node.numel:
                frontier = self._frontier(current.args)
                anchors = [f for f in frontier if f.kind != "input"]
                if node in anchors and all(self.unit_of.get(f) is home for f in anchors):
                    return current
            stack.extend(current.args)
        return node

    def _sink(self, node: Node) -> Node:
        """Where to store a matrix product or an attention that others need: after the pointwise work that only it feeds."""
        best = node
        if node.kind in ("matmul", "attention"):
            current = node
            while True:
                consumers = self.consumers.get(current, [])
                if len(consumers) != 1 or current in self.outputs:
                    break
                current = consumers[0]
                if current.numel != node.numel or current.kind not in ("pointwise", "reshape"):
                    break
                if current.kind == "pointwise":
                    best = current
        return node if best in self.memory else best

    def _sorted(self, units: Sequence[Unit]) -> list[Unit]:
        done: list[Unit] = []
        seen: set[int] = set()

        def visit(unit: Unit) -> None:
            if id(unit) in seen:
                return
            seen.add(id(unit))
            for node in unit.external:
                if node in self.unit_of:
                    visit(self.unit_of[node])
            done.append(unit)

        for unit in units:
            visit(unit)
        return [u for u in done if any(u is x for x in units)]


def _sizes(reduction: Node) -> tuple[int, int]:
    source = reduction.args[0]
    return reduction.numel, source.numel // max(reduction.numel, 1)


def _wide(unit: Unit) -> bool:
    rows, columns = _sizes(unit.members[0])
    return rows <= _WIDE_ROWS and columns >= _WIDE_COLUMNS


def _deep_base(node: Node) -> Node:
    """What has to be in memory for a matrix operand: the tensor that it is a view of, or itself where it is made of windows."""
    base = node
    while base.kind in VIEWS or base.attrs.get("fn") == "copy":
        base = base.args[0]
    return node if base.kind == "window" else base


def _reachable(roots: Sequence[Node]) -> list[Node]:
    seen: set[Node] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(node.args)
    return sorted(seen, key=lambda n: n.id)
