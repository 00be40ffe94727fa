"""What the policy is told of a kernel and of a choice of its knobs: plain numbers that mean the same in every task.

They are JSON, so that landscapes can be kept and trained from without the task at hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kernelwright.agents.builtin.dtypes import SIZE
from kernelwright.agents.builtin.generated import Generated, kernel_buffers
from kernelwright.agents.builtin.lower import KernelTemplate
from kernelwright.agents.builtin.rows import RowAnalysis
from kernelwright.agents.builtin.spec import AttentionSpec

__all__ = ["ChoiceFacts", "KernelFacts", "LaunchFacts", "Value", "choice_facts", "kernel_facts"]

Value = int | str | bool

_COSTLY = frozenset(
    {
        "sqrt", "rsqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan",
        "sinh", "cosh", "tanh", "erf", "erfc", "pow", "sigmoid", "div", "reciprocal", "lgamma", "fmod",
    }
)  # fmt: skip
"""Functions that take more than a few instructions of the plain pipes."""


@dataclass(frozen=True)
class KernelFacts:
    """One kernel function, before its knobs are chosen."""

    name: str
    """Of the function; two tasks may use the same one for different work."""
    kind: str
    """`rows`, `pointwise`, `matmul` or `attention`."""
    numbers: Mapping[str, float]
    """Loop extents, bytes and counts of operations per element, by name; see `kernel_facts`."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        return {"name": self.name, "kind": self.kind, "numbers": dict(self.numbers)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> KernelFacts:
        """Reads what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: that is something else.
        """
        numbers = {str(k): float(v) for k, v in data["numbers"].items()}
        if not all(math.isfinite(number) and number >= 0 for number in numbers.values()):
            raise ValueError("a fact of a kernel is no number from 0 on")
        return cls(str(data["name"]), str(data["kind"]), numbers)


@dataclass(frozen=True)
class LaunchFacts:
    """The size of one launch."""

    blocks: int
    threads: int
    """Of a block."""
    shared: int = 0
    """Bytes of dynamic shared memory of a block; what it declares statically is not known before it is compiled."""


@dataclass(frozen=True)
class ChoiceFacts:
    """One choice of a kernel function's knobs, by their short names, and the launches it makes."""

    knobs: Mapping[str, Value]
    launches: tuple[LaunchFacts, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        return {"knobs": dict(self.knobs), "launches": [[x.blocks, x.threads, x.shared] for x in self.launches]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ChoiceFacts:
        """Reads what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: that is something else.
        """
        knobs = {str(k): _value(v) for k, v in data["knobs"].items()}
        launches = tuple(LaunchFacts(*(int(n) for n in row)) for row in data["launches"])
        if not launches or any(x.blocks < 0 or x.threads < 0 or x.shared < 0 for x in launches):
            raise ValueError("a choice that launches nothing")
        return cls(knobs, launches)


def _value(value: object) -> Value:
    if isinstance(value, bool | int | str):
        return value
    raise TypeError(f"a knob can't be {value!r}")


def kernel_facts(kernel: KernelTemplate) -> KernelFacts:
    """The facts of a kernel: extents of its loops (`rows`, `columns`, `batch`, `m`, `n`, `k`, `c`), bytes of the tensors that it
    reads and writes, the widest stored element in bytes, and how many loads, operations and costly functions an element takes.
    """
    spec = kernel.spec
    reads, writes = kernel_buffers(spec)
    roots = [r.value for r in spec.reductions] + [s.value for s in spec.stores]
    if isinstance(spec, AttentionSpec):
        roots.append(spec.score)
    values = [spec.evaluator.values[number] for number in spec.evaluator.reachable(roots)]
    numbers: dict[str, float] = {
        "rows": spec.extent(spec.rows),
        "columns": spec.extent(spec.columns),
        "batch": spec.extent(spec.batch_dims),
        "m": spec.extent(spec.m_dims),
        "n": spec.extent(spec.n_dims),
        "c": spec.extent(spec.c_dims) if isinstance(spec, AttentionSpec) else 1,
        "read_bytes": sum(math.prod(b.shape) * SIZE[b.dtype] for b in reads),
        "write_bytes": sum(math.prod(b.shape) * SIZE[b.dtype] for b in writes),
        "item_bytes": max((SIZE[b.dtype] for b in (*reads, *writes)), default=4),
        "least_item_bytes": min((SIZE[b.dtype] for b in (*reads, *writes)), default=4),
        "operands": len(reads) + len(writes),
        "loads": sum(v.kind == "load" for v in values),
        "gathers": sum(v.kind == "gather" for v in values),
        "operations": sum(v.kind == "op" for v in values),
        "costly": sum(v.kind == "op" and v.extra in _COSTLY for v in values),
        "reductions": len(spec.reductions),
    }
    if spec.kind == "rows":
        rows = RowAnalysis(spec)
        numbers |= {"passes": rows.passes, "strided": float(rows.strided), "windowed": float(rows.windowed)}
        numbers["stored_per_element"] = len(rows.full_stores)
    return KernelFacts(kernel.name, spec.kind, {name: float(number) for name, number in numbers.items()})


def choice_facts(knobs: Mapping[str, Value], generated: Generated) -> ChoiceFacts:
    """The facts of a choice, from what was generated for it."""
    launches = tuple(LaunchFacts(math.prod(x.grid), x.block, x.shared) for x in generated.launches)
    return ChoiceFacts(dict(knobs), launches)
