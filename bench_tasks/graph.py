"""Graph: what a module computes, as a list of ATen operations that can travel as JSON.

`kernelwright.sandbox.capture` makes one in the reference process, where the user's code may run; the built-in coder
reads it elsewhere, without torch and without running that code. Worker processes import this module, so it needs
the standard library only.

Arguments of a node are JSON: numbers, strings, booleans, None, lists, and four objects: ``{"ref": NAME}`` for the result
of an earlier input or node, ``{"dtype": "float32"}``, ``{"float": "inf"}`` for numbers JSON can't hold, and
``{"other": TEXT}`` for what the graph can't express (a device, a layout, a memory format).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Graph", "GraphInput", "GraphNode", "StateEntry", "TensorMeta", "decode_number", "encode_number", "refs"]

Json = Any
"""A JSON value."""


def encode_number(value: bool | int | float) -> Json:
    """A number as JSON; infinities and NaN become ``{"float": "inf"}`` and the like."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def decode_number(value: Json) -> bool | int | float:
    """Reads what `encode_number` wrote.

    Raises:
        TypeError: it is no number.
    """
    if isinstance(value, Mapping) and "float" in value:
        return float(value["float"])
    if isinstance(value, bool | int | float):
        return value
    raise TypeError(f"expected a number, got {value!r}")


def refs(value: Json) -> Iterator[str]:
    """Names referred to in an argument, in order, nested lists and objects included."""
    if isinstance(value, Mapping):
        if "ref" in value:
            yield str(value["ref"])
        else:
            for item in value.values():
                yield from refs(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from refs(item)


@dataclass(frozen=True)
class TensorMeta:
    """Shape, dtype (as torch spells it without the prefix) and strides in elements of one tensor."""

    shape: tuple[int, ...]
    dtype: str
    stride: tuple[int, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> TensorMeta:
        """Reads what `dataclasses.asdict` wrote."""
        return cls(tuple(map(int, data["shape"])), str(data["dtype"]), tuple(map(int, data["stride"])))


@dataclass(frozen=True)
class GraphInput:
    """One value the graph starts from."""

    name: str
    kind: str
    """`user` (a tensor argument of forward), `scalar` (another argument, fixed to `value`), `parameter`, `buffer`, or
    `constant` (a tensor the module holds outside its state_dict)."""
    target: str
    """Argument name for `user` and `scalar`; dotted name for the others."""
    position: int | None = None
    """Place among forward's arguments, for `user` and `scalar`."""
    meta: TensorMeta | None = None
    """None for `scalar`."""
    value: Json = None
    """`scalar`: the value. `constant`: nested lists as `tolist` gives them, or None when the tensor is too large."""

    @property
    def opaque(self) -> bool:
        """Whether this is a constant too large to travel."""
        return self.kind == "constant" and self.value is None


@dataclass(frozen=True)
class GraphNode:
    """One ATen operation, or the choice of one of several results (op ``getitem``, args ``[{"ref": ...}, index]``)."""

    name: str
    op: str
    """For instance `aten.add.Tensor`."""
    args: tuple[Json, ...]
    kwargs: Mapping[str, Json]
    outputs: tuple[TensorMeta | None, ...]
    """One entry per result; None for a result that is no tensor."""

    @property
    def meta(self) -> TensorMeta | None:
        """The first result's shape, dtype and strides."""
        return self.outputs[0] if self.outputs else None


@dataclass(frozen=True)
class StateEntry:
    """One parameter or buffer of the module, used by the graph or not."""

    name: str
    """Dotted name as in `state_dict`."""
    kind: str
    """`parameter` or `buffer`."""
    meta: TensorMeta
    persistent: bool = True
    requires_grad: bool = True
    same_as: str | None = None
    """Dotted name of the first entry that is the same tensor (tied weights)."""


@dataclass(frozen=True)
class Graph:
    """A captured module.

    `problem` is empty, or says why the module can't be expressed; then there are no nodes.
    """

    inputs: tuple[GraphInput, ...] = ()
    nodes: tuple[GraphNode, ...] = ()
    output: Json = None
    """Structure of the result: ``{"ref": NAME}``, a number or None, ``{"tuple": [...]}``, ``{"list": [...]}`` or
    ``{"dict": {KEY: ...}}``."""
    state: tuple[StateEntry, ...] = ()
    problem: str = ""
    meta_of: Mapping[str, TensorMeta] = field(init=False, compare=False, repr=False)
    """Shape, dtype and strides by name, of tensor inputs and of nodes (first result)."""

    def __post_init__(self) -> None:
        table = {i.name: i.meta for i in self.inputs if i.meta is not None}
        table.update({n.name: n.meta for n in self.nodes if n.meta is not None})
        object.__setattr__(self, "meta_of", table)

    def to_json(self) -> dict[str, Json]:
        """A JSON object; `from_json` reads it back."""
        return {
            "inputs": [asdict(i) for i in self.inputs],
            "nodes": [asdict(n) for n in self.nodes],
            "output": self.output,
            "state": [asdict(s) for s in self.state],
            "problem": self.problem,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Graph:
        """Reads what `to_json` wrote."""

        def meta(value: Json) -> TensorMeta | None:
            return None if value is None else TensorMeta.from_json(value)

        def state(raw: Mapping[str, Json]) -> StateEntry:
            return StateEntry(**{**raw, "meta": TensorMeta.from_json(raw["meta"])})

        return cls(
            inputs=tuple(GraphInput(**{**raw, "meta": meta(raw["meta"])}) for raw in data["inputs"]),
            nodes=tuple(
                GraphNode(
                    str(raw["name"]),
                    str(raw["op"]),
                    tuple(raw["args"]),
                    dict(raw["kwargs"]),
                    tuple(meta(m) for m in raw["outputs"]),
                )
                for raw in data["nodes"]
            ),
            output=data["output"],
            state=tuple(state(raw) for raw in data["state"]),
            problem=str(data["problem"]),
        )
