"""Values to C++: loads, conversions and expressions, one scope at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kernelwright.agents.builtin.affine import Affine
from kernelwright.agents.builtin.dtypes import C_TYPE, SIZE, literal
from kernelwright.agents.builtin.functions import KNOWN, bare, call
from kernelwright.agents.builtin.loops import Indexer, LoopVar, is_vector
from kernelwright.agents.builtin.values import Buffer, Evaluator, Guard

__all__ = ["Code", "ScopeWriter", "from_memory", "to_memory", "vector_width_limit"]

_INLINE_LENGTH = 48
"""Characters up to which an expression used once is written in place."""
_REPEATS_ARGUMENT = {"abs", "isnan", "square", "cube"}


def vector_width_limit(dtype: str) -> int:
    """Elements in the widest vector one instruction moves: 16 bytes."""
    return 16 // SIZE[dtype]


def from_memory(dtype: str, text: str) -> str:
    """A stored element as the value the kernel computes with."""
    return {"float16": f"__half2float({text})", "bfloat16": f"__bfloat162float({text})"}.get(dtype, text)


def to_memory(dtype: str, text: str) -> str:
    """A computed value as the element to store."""
    return {"float16": f"__float2half_rn({text})", "bfloat16": f"__float2bfloat16_rn({text})"}.get(dtype, text)


class Code:
    """Lines with indentation."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0

    def add(self, *lines: str) -> None:
        """Appends lines at the current depth; preprocessor lines stay at the margin."""
        for line in lines:
            self.lines.append(line if line.startswith("#") or not line else "    " * self.depth + line)

    def open(self, line: str) -> None:
        """A line that opens a block."""
        self.add(line)
        self.depth += 1

    def close(self, text: str = "}") -> None:
        """Closes a block."""
        self.depth -= 1
        self.add(text)

    def text(self) -> str:
        """The lines, each ended."""
        return "\n".join(self.lines) + "\n"


class ScopeWriter:
    """Writes the values of one kernel into code.

    Args:
        pointers: C++ name of each buffer's pointer.
        inner: the loop variable along which `width` elements are handled at once; None for scalar code.
    """

    def __init__(
        self, evaluator: Evaluator, indexer: Indexer, pointers: Mapping[Buffer, str], inner: LoopVar | None, width: int
    ) -> None:
        self.evaluator = evaluator
        self.indexer = indexer
        self.pointers = pointers
        self.inner = inner
        self.width = width
        self.helpers: set[str] = set()
        self._count = 0
        self._names: set[str] = set()

    def fresh(self, hint: str) -> str:
        """A name not used before in this kernel."""
        self._count += 1
        name = hint if hint not in self._names else f"{hint}_{self._count}"
        self._names.add(name)
        return name

    def varies(self, number: int, lane_values: Iterable[int] = ()) -> bool:
        """Whether a value differs between the elements of one vector."""
        if self.inner is None:
            return False
        known = set(lane_values)
        dims = set(self.inner.dims)
        for n in self.evaluator.reachable([number], frozenset(known)):
            if n in known or any(a.depends_on(dims) for a in self.evaluator.affines(n)):
                return True
        return False

    def load_vectors(self, code: Code, needed: Sequence[int], names: dict[int, str]) -> None:
        """Loads, as vectors, the values among `needed` that allow it; their lane is `.at[j]`."""
        if self.inner is None or self.width == 1:
            return
        for number in needed:
            value = self.evaluator.values[number]
            if number in names or value.kind != "load":
                continue
            buffer, offset, guards = value.extra
            if self.width > vector_width_limit(buffer.dtype) or not is_vector(offset, self.inner, self.width):
                continue
            if not all(self._aligned_guard(g) for g in guards):
                continue
            pointer = self.pointers[buffer]
            name = self.fresh(f"{pointer}_v")
            kind = f"Vector<{C_TYPE[buffer.dtype]}, {self.width}>"
            load = f"load_vector<{self.width}>({pointer} + {self.indexer.text(offset)})"
            if guards:
                load = f"{self.guard_text(guards)} ? {load} : {kind}{{}}"
            code.add(f"const {kind} {name} = {load};")
            names[number] = from_memory(buffer.dtype, f"{name}.at[j]")

    def _aligned_guard(self, guard: Guard) -> bool:
        index, low, high = guard
        assert self.inner is not None
        step = self.inner.coefficient(index)
        if step == 0:
            return True
        return (
            step == 1 and is_vector(index, self.inner, self.width) and low % self.width == 0 and high % self.width == 0
        )

    def guard_text(self, guards: Sequence[Guard], lane: bool = False) -> str:
        """A condition that holds where all guards do; tests that always hold are left out."""
        tests = []
        for index, low, high in guards:
            least, most = index.bounds(self.indexer.extents)
            text = self.index_text(index, lane)
            if least < low:
                tests.append(f"{text} >= {low}")
            if most >= high:
                tests.append(f"{text} < {high}")
        return f"({' && '.join(tests)})" if tests else "true"

    def index_text(self, index: Affine, lane: bool) -> str:
        """C++ of an index; `lane`: inside the loop over a vector's elements, where `j` counts them."""
        if lane and self.inner is not None and self.width > 1 and self.inner.coefficient(index):
            return self.indexer.text(index, {self.inner.name: f"({self.inner.name} + j)"})
        return self.indexer.text(index)

    def write(self, code: Code, roots: Sequence[int], names: dict[int, str], lane: bool) -> None:
        """Defines everything `roots` need that has no name yet.

        `lane`: the code stands inside the loop over a vector's elements.
        """
        ev = self.evaluator
        needed = ev.reachable(roots, frozenset(names))
        uses: dict[int, list[str]] = {}
        for number in needed:
            if number in names:
                continue
            value = ev.values[number]
            for a in value.args:
                uses.setdefault(a, []).append(value.extra if value.kind == "op" else value.kind)
        for root in roots:
            uses.setdefault(root, []).append("root")
        for number in needed:
            if number in names:
                continue
            text, inline = self._define(number, names, lane)
            consumers = uses.get(number, [])
            single = len(consumers) == 1 and consumers[0] not in _REPEATS_ARGUMENT
            if inline or (single and len(text) <= _INLINE_LENGTH and ev.values[number].kind == "op"):
                names[number] = text
                continue
            value = ev.values[number]
            hint = self._hint(number)
            name = self.fresh(hint)
            code.add(f"const {C_TYPE[value.dtype]} {name} = {bare(text)};")
            names[number] = name

    def _hint(self, number: int) -> str:
        value = self.evaluator.values[number]
        if value.kind in ("load", "gather"):
            return f"{self.pointers[value.extra[0]]}_x"
        if value.kind == "index":
            return "position"
        fn = str(value.extra).removeprefix("round_")
        return f"{fn}_value" if fn in ("where", "not") else f"{fn}_"

    def _define(self, number: int, names: Mapping[int, str], lane: bool) -> tuple[str, bool]:
        value = self.evaluator.values[number]
        if value.kind == "const":
            return _constant(value.extra, value.dtype), True
        if value.kind == "index":
            return f"static_cast<long long>({self.index_text(value.extra, lane)})", False
        if value.kind == "guard":
            return self.guard_text(value.extra, lane), True
        if value.kind == "load":
            buffer, offset, guards = value.extra
            element = from_memory(buffer.dtype, f"{self.pointers[buffer]}[{self.index_text(offset, lane)}]")
            return self._guarded(element, guards, value.dtype, lane), False
        if value.kind == "gather":
            return self._gather(number, names, lane), False
        if value.kind == "op":
            fn = str(value.extra)
            assert fn in KNOWN, fn
            self.helpers.add(fn)
            operand = self.evaluator.values[value.args[-1]].dtype
            return call(fn, value.dtype, [names[a] for a in value.args], operand), False
        raise AssertionError(f"value {number} of kind {value.kind} has no name in this scope")

    def _guarded(self, element: str, guards: Sequence[Guard], dtype: str, lane: bool) -> str:
        if not guards:
            return element
        test = self.guard_text(guards, lane)
        return element if test == "true" else f"({test} ? {element} : {literal(0, dtype)})"

    def _gather(self, number: int, names: Mapping[int, str], lane: bool) -> str:
        value = self.evaluator.values[number]
        buffer, offset, guards, strides, extents, wrap = value.extra
        parts = [self.index_text(offset, lane)] if offset.terms or offset.const else []
        for index, stride, extent in zip(value.args, strides, extents, strict=True):
            text = names[index]
            if wrap:
                text = f"({text} < 0 ? {text} + {extent} : {text})"
            parts.append(f"{text} * {stride}" if stride != 1 else text)
        element = from_memory(buffer.dtype, f"{self.pointers[buffer]}[{' + '.join(parts) or '0'}]")
        return self._guarded(element, guards, value.dtype, lane)


def _constant(text: str, dtype: str) -> str:
    number: bool | int | float
    if text in ("True", "False"):
        number = text == "True"
    elif text.lstrip("-").isdigit():
        number = int(text)
    else:
        number = float(text)
    return literal(number, dtype)
