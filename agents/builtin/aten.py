"""From captured ATen operations to the coder's own few kinds of node.

Each operation has a function registered under its name (`aten.add`, or with the overload `aten.mean.dim`); what has none, or whose
function raises NotLowered, stays a torch operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelwright.agents.builtin.dtypes import category
from kernelwright.agents.builtin.errors import NotLowered
from kernelwright.agents.builtin.ir import Node, Number, Program
from kernelwright.bench_tasks.graph import Graph, GraphNode, TensorMeta, decode_number, refs

__all__ = ["Lowered", "Rule", "Translator", "rule"]

Result = Node | tuple["Node | None", ...]
Rule = Callable[..., Result]
_RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a function for operations. It is called with the Translator, the output's TensorMeta and the operation's
    arguments: tensors as Node, numbers, lists, None, and dtypes as text."""

    def register(function: Rule) -> Rule:
        for name in names:
            _RULES[name] = function
        return function

    return register


@dataclass
class Lowered:
    """A program with the graph's results in it."""

    program: Program
    outputs: list[Node]
    """Tensor results in the order of the output structure."""
    left: list[tuple[str, str]] = field(default_factory=list)
    """Operations left to torch, with why."""


class Translator:
    """Translates one graph; `b` is the program under construction."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.b = Program()
        self.values: dict[str, Result] = {}
        self.left: list[tuple[str, str]] = []

    def run(self) -> Lowered:
        """Translates every node.

        Raises:
            NotLowered: not even torch can be called for some node (an argument that can't be written down).
        """
        # Rules register themselves when their modules load.
        from kernelwright.agents.builtin import (  # noqa: F401
            aten_norm,
            aten_pointwise,
            aten_reduce,
            aten_shape,
            aten_window,
        )

        for source in self.graph.inputs:
            if source.meta is None:
                continue
            node = self.b.add("input", source.meta.shape, source.meta.dtype, (), input=source)
            node.name = source.target if source.kind != "constant" else source.name
            node.stride = source.meta.stride
            self.values[source.name] = node
        for captured in self.graph.nodes:
            first = len(self.b.nodes)
            result = self._translate(captured)
            for node in self.b.nodes[first:]:
                node.attrs.setdefault("origin", _origin(captured.op))
            self.values[captured.name] = result
            if isinstance(result, Node) and result.kind != "input" and not result.name:
                result.name = captured.name
                if captured.meta is not None and captured.meta.shape == result.shape:
                    result.stride = captured.meta.stride
        return Lowered(self.b, [self.tensor(name) for name in refs(self.graph.output)], self.left)

    def tensor(self, name: str) -> Node:
        """The node of a captured name."""
        value = self.values[name]
        if isinstance(value, tuple):
            value = value[0] if value else None  # type: ignore[assignment]
        if not isinstance(value, Node) or value.attrs.get("no_tensor"):
            raise NotLowered(f"{name} is no tensor, and what follows needs its value")
        return value

    def _translate(self, captured: GraphNode) -> Result:
        if captured.op == "getitem":
            return self._getitem(captured)
        name = captured.op
        packet = name.rpartition(".")[0]
        function = _RULES.get(name) or _RULES.get(packet)
        mark = len(self.b.nodes)
        try:
            if function is None:
                raise NotLowered("no rule for it")
            if captured.meta is None:
                raise NotLowered("it gives no tensor")
            for meta in captured.outputs:
                if meta is not None:
                    category(meta.dtype)
            args = [self._argument(a) for a in captured.args]
            kwargs = {k: self._argument(v) for k, v in captured.kwargs.items()}
            for value in (*args, *kwargs.values()):
                for item in value if isinstance(value, list) else [value]:
                    if isinstance(item, Node):
                        category(item.dtype)
            result = function(self, captured.meta, *args, **kwargs)
            self._check(captured, result)
            return result
        except NotLowered as why:
            self.b.forget(mark)
            self.left.append((name, str(why)))
            return self._torch(captured)

    def _check(self, captured: GraphNode, result: Result) -> None:
        """A rule must give exactly the shapes and dtypes torch gave."""
        results = result if isinstance(result, tuple) else (result,)
        for node, meta in zip(results, captured.outputs, strict=False):
            if node is not None and meta is not None and (node.shape != meta.shape or node.dtype != meta.dtype):
                raise NotLowered(f"expected {meta.shape} {meta.dtype}, the rule gives {node.shape} {node.dtype}")

    def _getitem(self, captured: GraphNode) -> Result:
        source = self.values[next(refs(captured.args[0]))]
        index = int(captured.args[1])
        if isinstance(source, tuple):
            chosen = source[index] if index < len(source) else None
            if chosen is None:
                raise NotLowered(f"result {index} of {captured.args[0]} is needed, which no kernel gives")
            return chosen
        if source.kind != "torch":
            raise NotLowered(f"result {index} of one tensor")
        if captured.meta is None:
            raise NotLowered("a result that is no tensor")
        return self.b.add("result", captured.meta.shape, captured.meta.dtype, (source,), index=index)

    def _torch(self, captured: GraphNode) -> Node:
        tensors: list[Node] = []

        def encode(value: Any) -> Any:
            if isinstance(value, Mapping):
                if "ref" in value:
                    tensors.append(self.tensor(str(value["ref"])))
                    return {"tensor": len(tensors) - 1}
                return dict(value)
            if isinstance(value, list | tuple):
                return [encode(item) for item in value]
            return value

        args = [encode(a) for a in captured.args]
        kwargs = {k: encode(v) for k, v in captured.kwargs.items()}
        meta = captured.meta or TensorMeta((), "float32", ())
        return self.b.add(
            "torch", meta.shape, meta.dtype, tensors,
            op=captured.op, call_args=args, call_kwargs=kwargs, many=len(captured.outputs) > 1,
            no_tensor=captured.meta is None,
        )  # fmt: skip

    def _argument(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            if "ref" in value:
                return self.tensor(str(value["ref"]))
            if "dtype" in value:
                return str(value["dtype"])
            if "float" in value:
                return decode_number(value)
            return None  # device, layout, memory format: the result's own strides say what matters
        if isinstance(value, list | tuple):
            return [self._argument(item) for item in value]
        return value

    # helpers for rules

    def math(self, meta: TensorMeta, *args: Node | Number) -> list[Node]:
        """Arguments as nodes in the dtype in which a floating-point result is computed."""
        return [a if isinstance(a, Node) else self.b.scalar(a, meta.dtype) for a in args]

    def unary(self, fn: str, x: Node, meta: TensorMeta) -> Node:
        """One function in the result's dtype."""
        return self.b.pointwise(fn, (x,), meta.dtype)

    def number(self, value: Node | Number | None, default: Number) -> Number:
        """A plain number argument."""
        if value is None:
            return default
        if isinstance(value, Node):
            raise NotLowered("a tensor where a number is expected")
        return value


def _origin(op: str) -> str:
    parts = op.split(".")
    return parts[1] if len(parts) > 1 else op


def dims_of(dim: int | Sequence[int] | None, rank: int) -> list[int]:
    """Dimensions as non-negative numbers, ascending; None or an empty list means all."""
    if dim is None or (isinstance(dim, list) and not dim):
        return list(range(rank))
    chosen = [dim] if isinstance(dim, int) else list(dim)
    return sorted({d % rank for d in chosen}) if rank else []
