"""The second kernel of a matrix product whose inner dimension is split: adds the parts, and does the pointwise work."""

from __future__ import annotations

from collections.abc import Mapping

from kernelwright.agents.builtin.dtypes import SIZE
from kernelwright.agents.builtin.emit import Code, ScopeWriter, vector_width_limit
from kernelwright.agents.builtin.generated import Launch, Scratch, ceil_div, read_parameter, signature, write_parameter
from kernelwright.agents.builtin.loops import Indexer, LoopVar, is_vector
from kernelwright.agents.builtin.pointwise import write_elements
from kernelwright.agents.builtin.spec import KernelSpec
from kernelwright.agents.builtin.tile_operands import sizes
from kernelwright.agents.builtin.values import Buffer

__all__ = ["PartsWriter"]

_THREADS = 128
"""Of a block: results are few where K is split, and small blocks spread them over more SMs."""


class PartsWriter:
    """Writes ``<name>_finish``: each thread adds the parts of some neighbours, always in the same order, so that the same
    inputs give the same bits."""

    def __init__(
        self,
        spec: KernelSpec,
        name: str,
        pointers: Mapping[Buffer, str],
        indexer: Indexer,
        partial: Scratch,
        parts: int,
    ) -> None:
        self.spec, self.name, self.pointers, self.indexer = spec, f"{name}_finish", pointers, indexer
        self.partial, self.parts = partial, parts
        self.helpers: set[str] = set()

    def write(self, code: Code, loops: tuple[tuple[LoopVar, ...], ...]) -> Launch:
        """Appends the kernel; `loops` are those along m, n and the batch."""
        spec = self.spec
        m_loops, n_loops, batch_loops = loops
        batch, m, n, _ = sizes(spec)
        width = self._width(n, n_loops)
        count = batch * m * n
        vectors = count // width
        reads = self._reads()
        writes = [s.buffer for s in spec.stores]
        code.add("", f"// Adds the {self.parts} parts of each sum, always in the same order.")
        signature(
            code, self.name, _THREADS,
            [read_parameter(self.partial.dtype, "partial"), *(read_parameter(b.dtype, self.pointers[b]) for b in reads)],
            [write_parameter(b.dtype, self.pointers[b]) for b in writes],
        )  # fmt: skip
        code.add(f"constexpr int M = {m};", f"constexpr int N = {n};", f"constexpr int COUNT = {count};")
        code.add(f"const int vector = blockIdx.x * {_THREADS} + threadIdx.x;")
        if vectors % _THREADS:
            code.add(f"if (vector >= {vectors}) return;")
        code.add(
            f"const auto place = partial + vector * {width};" if width > 1 else "const auto place = partial + vector;"
        )
        code.add(f"auto total = load_vector<{width}>(place);")
        code.open(f"for (int part = 1; part < {self.parts}; ++part) {{")
        code.add(f"const auto further = load_vector<{width}>(place + part * COUNT);", "#pragma unroll")
        code.add(f"for (int j = 0; j < {width}; ++j) total.at[j] += further.at[j];")
        code.close()
        single = len(n_loops) == 1
        flat = "n" if single else "flat_n"
        code.add(
            f"const int {flat} = vector % (N / {width}) * {width};" if width > 1 else f"const int {flat} = vector % N;"
        )
        code.add(f"const int m = vector / (N / {width}) % M;" if width > 1 else "const int m = vector / N % M;")
        if batch > 1:
            code.add(
                f"const int batch = vector / (N / {width} * M);" if width > 1 else "const int batch = vector / (N * M);"
            )
            code.add(*self.indexer.decompose("batch", batch_loops, "int"))
        code.add(*self.indexer.decompose("m", m_loops, "int"))
        if not single:
            text = f"flat_n / {width}" if width > 1 else "flat_n"
            code.add(*self.indexer.decompose(text, n_loops, "int", width))
        writer = ScopeWriter(spec.evaluator, self.indexer, self.pointers, n_loops[-1] if width > 1 else None, width)
        sums = f"total.at[{'j' if width > 1 else 0}]"
        names = {number: sums for number, value in enumerate(spec.evaluator.values) if value.kind == "acc"}
        write_elements(code, writer, spec, names, self.pointers)
        code.close()
        self.helpers = writer.helpers
        grid = (ceil_div(vectors, _THREADS), 1, 1)
        return Launch(self.name, grid, _THREADS, (self.partial, *reads, *writes))

    def _width(self, n: int, n_loops: tuple[LoopVar, ...]) -> int:
        """Neighbours along N that a thread does: as many as vectors of sums and results allow."""
        if not n_loops:
            return 1
        inner = n_loops[-1]
        for width in (4, 2):
            fits = n % width == 0 and inner.extent % width == 0 and width * SIZE[self.partial.dtype] <= 16
            if fits and all(
                width <= vector_width_limit(s.buffer.dtype) and is_vector(s.offset, inner, width)
                for s in self.spec.stores
            ):
                return width
        return 1

    def _reads(self) -> list[Buffer]:
        """What the pointwise work reads besides the product."""
        found: list[Buffer] = []
        for number in self.spec.evaluator.reachable([s.value for s in self.spec.stores]):
            value = self.spec.evaluator.values[number]
            if value.kind in ("load", "gather") and value.extra[0] not in found:
                found.append(value.extra[0])
        return found
