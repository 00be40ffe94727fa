"""One reduction of the row template while it runs: its variable, how a value is added, and what it starts from."""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.agents.builtin.dtypes import C_TYPE, literal
from kernelwright.agents.builtin.prelude import OP_NAME
from kernelwright.agents.builtin.spec import Reduction

__all__ = ["Accumulator", "accumulator"]


@dataclass
class Accumulator:
    """The variable of a reduction, its C++ type and operation."""

    reduction: Reduction
    name: str
    kind: str
    op: str
    """Of the reduction, or `online` for the maximum and the sum of a softmax in one."""
    identity: str
    dtype: str
    part: str = ""
    """The running part of a long sum."""

    def combined(self, item: str) -> str:
        """The statement that takes in another partial result."""
        return f"{self.name} = {OP_NAME[self.op]}::combine({self.name}, {item});"

    def item(self, value: str, place: str) -> str:
        """A value with the column it stands in, of argmax and argmin."""
        return f"{self.kind}{{{value}, {place}}}"

    def taken(self, value: str, column: str) -> str:
        """The statement that takes in one element of the row."""
        if self.op.startswith("arg"):
            return self.combined(self.item(value, f"static_cast<int>({column})"))
        if self.op == "online":
            return self.combined(f"Peaked{{{value}, 1.0f}}")
        if self.op in ("any", "all"):
            return self.combined(f"static_cast<int>({value})")
        if self.op == "sum":
            return f"{self.part or self.name} += {value};"
        if self.op == "prod":
            return f"{self.name} *= {value};"
        return self.combined(value)

    def result(self) -> str:
        """What the reduction gives, as torch has it; of a softmax the maximum."""
        if self.op.startswith("arg"):
            return f"static_cast<long long>({self.name}.index)"
        if self.op == "online":
            return f"{self.name}.peak"
        if self.op in ("any", "all"):
            return f"({self.name} != 0)"
        return self.name


def accumulator(reduction: Reduction, op: str, name: str, dtype: str) -> Accumulator:
    """The accumulator `name` of dtype `dtype`; `op` as in `Accumulator.op`."""
    kind, identity = C_TYPE[dtype], _identity(op, dtype)
    if op.startswith("arg"):
        kind = f"Indexed<{kind}>"
        identity = f"{{{_identity('max' if op == 'argmax' else 'min', dtype)}, 0x7fffffff}}"
    elif op == "online":
        kind, identity = "Peaked", f"{{{_identity('max', dtype)}, 0.0f}}"
    return Accumulator(reduction, name, kind, op, identity, dtype)


def _identity(op: str, dtype: str) -> str:
    if op in ("sum", "any"):
        return literal(0, dtype)
    if op in ("prod", "all"):
        return literal(1, dtype)
    lowest = op in ("max", "argmax", "online")
    if "float" in dtype:
        return literal(float("-inf") if lowest else float("inf"), dtype)
    if dtype == "bool":
        return literal(not lowest, dtype)
    bits = {"int64": 64, "int32": 32, "int16": 16, "int8": 8, "uint8": 8}[dtype]
    if dtype == "uint8":
        return literal(0 if lowest else 255, dtype)
    return literal(-(2 ** (bits - 1)) if lowest else 2 ** (bits - 1) - 1, dtype)
