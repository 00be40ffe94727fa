"""What a template writes: CUDA functions, how to launch them, and the scratch memory between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kernelwright.agents.builtin.dtypes import C_TYPE
from kernelwright.agents.builtin.emit import Code
from kernelwright.agents.builtin.spec import AttentionSpec, KernelSpec
from kernelwright.agents.builtin.values import Buffer

__all__ = ["Generated", "Launch", "Scratch", "ceil_div", "index_type", "kernel_buffers", "signature", "without_unused"]


@dataclass(frozen=True)
class Scratch:
    """Global memory that one kernel writes and the next reads."""

    name: str
    dtype: str
    numel: int


@dataclass(frozen=True)
class Launch:
    """One launch: a function of the source with its grid, block and pointer arguments in order."""

    function: str
    grid: tuple[int, int, int]
    block: int
    arguments: tuple[Buffer | Scratch, ...]
    shared: int = 0
    """Bytes of dynamic shared memory."""


@dataclass
class Generated:
    """Functions of one kernel specification.

    `helpers` are pointwise functions whose device code is needed, `features` parts of the prelude.
    """

    source: str
    launches: list[Launch]
    helpers: set[str] = field(default_factory=set)
    features: set[str] = field(default_factory=set)
    summary: str = ""
    """One line for people: how the work is divided."""


def ceil_div(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)


def index_type(count: int) -> str:
    """The C++ type of an index below `count`."""
    return "int" if count <= 2**31 - 1 else "long long"


def kernel_buffers(spec: KernelSpec) -> tuple[list[Buffer], list[Buffer]]:
    """Buffers a kernel reads and writes, each once, in order of first use."""
    reads: list[Buffer] = []
    for operand in spec.operands:
        if operand.buffer not in reads:
            reads.append(operand.buffer)
    roots = [r.value for r in spec.reductions] + [s.value for s in spec.stores]
    if isinstance(spec, AttentionSpec):
        roots.append(spec.score)
    for number in spec.evaluator.reachable(roots):
        value = spec.evaluator.values[number]
        if value.kind in ("load", "gather") and value.extra[0] not in reads:
            reads.append(value.extra[0])
    writes = [s.buffer for s in spec.stores]
    return reads, writes


def dtype_features(dtypes: Sequence[str]) -> set[str]:
    """Prelude parts that these stored dtypes need."""
    return {f for f, d in (("half", "float16"), ("bfloat16", "bfloat16")) if d in dtypes}


def signature(code: Code, name: str, threads: int, reads: Sequence[str], writes: Sequence[str]) -> None:
    """Opens a kernel function."""
    code.add(f'extern "C" __global__ void __launch_bounds__({threads})')
    code.open(f"{name}({', '.join([*reads, *writes])}) {{")


def read_parameter(dtype: str, name: str) -> str:
    """Declaration of an input pointer."""
    return f"const {C_TYPE[dtype]}* __restrict__ {name}"


def write_parameter(dtype: str, name: str) -> str:
    """Declaration of an output pointer."""
    return f"{C_TYPE[dtype]}* __restrict__ {name}"


_DECLARATION = re.compile(r"^\s*(?:constexpr|const) (?:int|long long|bool) (\w+) = [^{]*;(?:  // .*)?$")


def without_unused(source: str) -> str:
    """The function without declarations of integers that nothing in their block reads."""
    lines = source.split("\n")
    while True:
        kept = []
        for at, line in enumerate(lines):
            found = _DECLARATION.match(line)
            if not found or _read_below(lines, at, found[1]):
                kept.append(line)
        if len(kept) == len(lines):
            return "\n".join(lines)
        lines = kept


def _read_below(lines: list[str], at: int, name: str) -> bool:
    depth = len(lines[at]) - len(lines[at].lstrip())
    word = re.compile(rf"\b{name}\b")
    for line in lines[at + 1 :]:
        if line.strip() and not line.startswith("#") and len(line) - len(line.lstrip()) < depth:
            return False
        if word.search(line):
            return True
    return False
