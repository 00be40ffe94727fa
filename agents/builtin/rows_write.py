"""Writes the row template's CUDA: one kernel, or two where several blocks share a row."""

from __future__ import annotations

from collections.abc import Mapping

from kernelwright.agents.builtin.generated import (
    Generated,
    Launch,
    Scratch,
    ceil_div,
    read_parameter,
    signature,
    write_parameter,
)
from kernelwright.agents.builtin.row_reduction import Accumulator
from kernelwright.agents.builtin.row_writer import RowWriter
from kernelwright.agents.builtin.rows import accumulator_dtype
from kernelwright.agents.builtin.spec import KernelSpec
from kernelwright.agents.builtin.values import Buffer

__all__ = ["generate"]


def generate(
    spec: KernelSpec, name: str, parameters: Mapping[str, int | str | bool], pointers: Mapping[Buffer, str]
) -> Generated:
    """Writes the kernel, and the one that combines partial results where rows are split."""
    writer = _SplitWriter if int(parameters.get("split", 1)) > 1 else RowWriter
    return writer(spec, name, parameters, pointers).run()


class _SplitWriter(RowWriter):
    """Several blocks reduce a row, each a part of its columns; a second kernel puts the parts together."""

    def run(self) -> Generated:
        code = self.code
        blocks = ceil_div(self.a.columns, self.span)
        threads = min(256, max(32, 1 << (blocks - 1).bit_length()))
        partials = self._partials(self.a.rows * blocks)
        self._describe()
        reads = [read_parameter(b.dtype, self.pointers[b]) for b in self.reads]
        writes = [write_parameter(s.dtype, self._pointer(s)) for s in partials]
        signature(code, self.name, self.threads, reads, writes)
        self._open_row()
        code.add(f"const {self.column} begin = static_cast<{self.column}>(blockIdx.y) * {self.span};")
        code.add(f"const {self.column} end = begin + {self.span} < COLUMNS ? begin + {self.span} : COLUMNS;")
        accumulators = self._pass(0)
        code.open(f"if ({' && '.join(t for t in (self._live, 'lane == 0') if t)}) {{")
        where = f"row * {blocks}LL + blockIdx.y"
        for at, acc in enumerate(accumulators):
            if acc.op.startswith("arg"):
                code.add(f"partial_{at}[{where}] = {acc.name}.value;", f"place_{at}[{where}] = {acc.name}.index;")
            else:
                code.add(f"partial_{at}[{where}] = {acc.name};")
        code.close()
        code.close()
        code.add("", f"// Combines the {blocks} partial results of each row, always in the same order.")
        used = self._finish(accumulators, partials, blocks, threads)
        grid = ceil_div(self.a.rows, self.rows_per_block)
        launches = [
            Launch(self.name, (grid, blocks, 1), self.threads, (*self.reads, *partials)),
            Launch(f"{self.name}_finish", (self.a.rows, 1, 1), threads, (*partials, *used, *self.writes)),
        ]
        return Generated(code.text(), launches, self.writer.helpers, self.features | {"row"}, self._summary())

    def _partials(self, numel: int) -> tuple[Scratch, ...]:
        """Where the blocks put their results: for each reduction a value, and of argmax and argmin its column."""
        found: list[Scratch] = []
        for at, r in enumerate(self.spec.reductions):
            found.append(Scratch(f"{self.name}_partial_{at}", accumulator_dtype(self.spec, r), numel))
            if r.op.startswith("arg"):
                found.append(Scratch(f"{self.name}_place_{at}", "int32", numel))
        return tuple(found)

    def _pointer(self, scratch: Scratch) -> str:
        return scratch.name.removeprefix(f"{self.name}_")

    def _finish(
        self, accumulators: list[Accumulator], partials: tuple[Scratch, ...], blocks: int, threads: int
    ) -> list[Buffer]:
        """Writes the second kernel, one block of `threads` a row; returns what it reads besides the partial results."""
        code = self.code
        used = self._row_reads()
        reads = [read_parameter(s.dtype, self._pointer(s)) for s in partials]
        reads += [read_parameter(b.dtype, self.pointers[b]) for b in used]
        writes = [write_parameter(b.dtype, self.pointers[b]) for b in self.writes]
        signature(code, f"{self.name}_finish", threads, reads, writes)
        code.add(f"const {self.row_type} row = blockIdx.x;", "const int lane = threadIdx.x;")
        if self.a.row_loops:
            code.add(*self.writer.indexer.decompose("row", self.a.row_loops, self.row_type))
        self.names = {}
        for acc in accumulators:
            code.add(f"{acc.kind} {acc.name} = {acc.identity};")
        code.open(f"for (int block = lane; block < {blocks}; block += {threads}) {{")
        code.add(f"const long long at = row * {blocks}LL + block;")
        for at, acc in enumerate(accumulators):
            arg = acc.op.startswith("arg")
            code.add(acc.combined(acc.item(f"partial_{at}[at]", f"place_{at}[at]") if arg else f"partial_{at}[at]"))
        code.close()
        for acc in accumulators:
            self._combine_neighbours(acc, threads, str(threads), threads)
            self._publish(acc)
        self._row_stores("lane == 0")
        code.close()
        return used

    def _row_reads(self) -> list[Buffer]:
        """What the values of a row need from memory besides its reductions."""
        found: list[Buffer] = []
        reduced = frozenset(n for n, v in enumerate(self.ev.values) if v.kind == "row")
        for number in self.ev.reachable([s.value for s in self.a.row_stores], reduced):
            value = self.ev.values[number]
            if value.kind in ("load", "gather") and value.extra[0] not in found:
                found.append(value.extra[0])
        return found
