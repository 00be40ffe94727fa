"""Writes one kernel of the row template (see `rows` for how the work is divided)."""

from __future__ import annotations

from collections.abc import Mapping

from kernelwright.agents.builtin.dtypes import C_TYPE
from kernelwright.agents.builtin.emit import Code, ScopeWriter, to_memory
from kernelwright.agents.builtin.generated import (
    Generated,
    Launch,
    ceil_div,
    dtype_features,
    index_type,
    kernel_buffers,
    read_parameter,
    signature,
    write_parameter,
)
from kernelwright.agents.builtin.loops import Indexer
from kernelwright.agents.builtin.persistent import pieces, resident
from kernelwright.agents.builtin.prelude import OP_NAME
from kernelwright.agents.builtin.row_reduction import Accumulator, accumulator
from kernelwright.agents.builtin.rows import RowAnalysis, accumulator_dtype
from kernelwright.agents.builtin.spec import KernelSpec, Store
from kernelwright.agents.builtin.stores import ElementStores
from kernelwright.agents.builtin.values import Buffer

__all__ = ["RowWriter"]

_SERIAL = 16
"""Loop steps after which a running sum is put aside: rounding then grows with 16 + n/16 steps instead of n."""


class RowWriter:
    """Writes the kernel; one object writes one."""

    def __init__(
        self, spec: KernelSpec, name: str, p: Mapping[str, int | str | bool], pointers: Mapping[Buffer, str]
    ) -> None:
        self.spec, self.name, self.pointers = spec, name, pointers
        self.threads, self.rows_per_block = int(p["threads"]), int(p["rows_per_block"])
        self.width, self.unroll = int(p["vector_width"]), int(p["unroll"])
        self.strategy, self.split = str(p["strategy"]), int(p.get("split", 1))
        self.lanes = self.threads // self.rows_per_block
        self.a = RowAnalysis(spec, online=self.strategy == "online")
        self.ev = spec.evaluator
        self.reads, self.writes = kernel_buffers(spec)
        self.features = dtype_features([b.dtype for b in (*self.reads, *self.writes)])
        self.features.add("strided" if self.a.strided else "row")
        if self.width > 1:
            self.features.add("vector")
        self.in_registers = self.strategy == "registers"
        self.vectors = ceil_div(self.a.columns, self.width)
        self.span = ceil_div(self.vectors, self.split * self.lanes) * self.lanes * self.width
        """Columns of one block, a multiple of what its lanes read in one step."""
        self.chunks = ceil_div(self.vectors, self.lanes)
        indexer = Indexer(spec.space.extents, (*self.a.row_loops, *self.a.column_loops))
        self.writer = ScopeWriter(self.ev, indexer, pointers, self.a.inner, self.width)
        self.column = index_type(self.a.columns + self.span)
        self.grid = resident(spec, p, ceil_div(self.a.rows, self.rows_per_block))
        """Blocks of a persistent grid; 0 for a plain one."""
        self.row_type = index_type(self.a.rows + self.rows_per_block * (1 + self.grid))
        self.code = Code()
        self.names: dict[int, str] = {}
        """Values of the row, known to all its lanes."""
        self.cached: dict[int, str] = {}

    def run(self) -> Generated:
        """The kernel's text and launch."""
        code = self.code
        self._describe()
        reads = [read_parameter(b.dtype, self.pointers[b]) for b in self.reads]
        signature(
            code, self.name, self.threads, reads, [write_parameter(b.dtype, self.pointers[b]) for b in self.writes]
        )
        blocks = ceil_div(self.a.rows, self.rows_per_block)
        shared = self.lanes > 32 or (self.a.strided and self.lanes > 1)
        with pieces(code, self.grid, blocks, self.row_type, shared=shared) as block:
            self._open_row(block)
            if self.in_registers:
                for number, (_, last) in self.a.caches.items():
                    if last > 0:
                        kept = self.writer.fresh("kept")
                        code.add(f"{C_TYPE[self.ev.values[number].dtype]} {kept}[{self.chunks}][{self.width}];")
                        self.cached[number] = kept
            self._load_early()
            for level in range(self.a.passes):
                self._pass(level)
            self._row_stores(self._live, "lane == 0" if self.lanes > 1 else "")
        code.close()
        launch = Launch(self.name, (self.grid or blocks, 1, 1), self.threads, (*self.reads, *self.writes))
        return Generated(code.text(), [launch], self.writer.helpers, self.features, self._summary())

    def _load_early(self) -> None:
        """Loads that only the end of the row needs start before its first pass, so that nothing waits for them."""
        ends = self.ev.reachable([s.value for s in self.a.row_stores])
        loads = [n for n in ends if self.ev.values[n].kind in ("load", "gather") and self.a.level(n) == 0]
        self.writer.write(self.code, [n for n in loads if not self.a.columnwise(n)], self.names, lane=False)

    def _summary(self) -> str:
        who = f"{self.lanes} threads a row" if self.lanes != 32 else "one warp a row"
        if self.lanes == self.threads:
            who = f"one block of {self.threads} threads a row"
        how = {
            "registers": "the row kept in registers",
            "loop": "the row read once per pass",
            "online": "online softmax",
        }
        parts = [who, f"{self.width} elements a load" if self.width > 1 else "", how[self.strategy]]
        if self.split > 1:
            parts.append(f"{self.split} blocks a row")
        if self.grid:
            parts.append(f"{self.grid} blocks that stay")
        return ", ".join(p for p in parts if p)

    def _describe(self) -> None:
        self.code.add(f"// {self.a.rows} rows of {self.a.columns} columns: {self._summary()}.")

    def _open_row(self, block: str = "blockIdx.x") -> None:
        code = self.code
        code.add(f"constexpr {self.row_type} ROWS = {self.a.rows};")
        code.add(f"constexpr {self.column} COLUMNS = {self.a.columns};")
        code.add(f"constexpr int LANES = {self.lanes};  // threads that share a row")
        if self.a.strided:
            code.add(f"const int lane = threadIdx.x / {self.rows_per_block};")
            mine = f"{block} * {self.rows_per_block} + threadIdx.x % {self.rows_per_block}"
        elif self.rows_per_block == 1:
            code.add("const int lane = threadIdx.x;")
            mine = block
        else:
            code.add("const int lane = threadIdx.x % LANES;")
            mine = f"{block} * {self.rows_per_block} + threadIdx.x / LANES"
        if self.a.rows % self.rows_per_block:
            # Threads past the last row work on it too, so that shuffles and barriers stay complete, and store nothing.
            code.add(f"const {self.row_type} my_row = {mine};")
            code.add("const bool live = my_row < ROWS;")
            code.add(f"const {self.row_type} row = live ? my_row : ROWS - 1;")
        else:
            code.add(f"const {self.row_type} row = {mine};")
        if self.a.row_loops:
            code.add(*self.writer.indexer.decompose("row", self.a.row_loops, self.row_type))

    @property
    def _live(self) -> str:
        return "live" if self.a.rows % self.rows_per_block else ""

    # reductions

    def _accumulators(self, level: int, names: Mapping[int, str]) -> list[Accumulator]:
        found = []
        for r in self.spec.reductions:
            if self.a.reduction_level[r.node.id] != level:
                continue
            if self.a.pair is not None and r is self.a.pair[1]:
                continue
            online = self.a.pair is not None and r is self.a.pair[0]
            op = "online" if online else r.op
            dtype = accumulator_dtype(self.spec, r)
            acc = accumulator(r, op, self.writer.fresh(f"row_{op}"), dtype)
            steps = ceil_div(self.span if self.split > 1 else self.a.columns, self.lanes * self.width)
            if op == "sum" and dtype in ("float32", "float64") and not self.in_registers and steps > 2 * _SERIAL:
                acc.part = self.writer.fresh("part")
            self.features.add(f"op:{op}")
            self.code.add(f"{acc.kind} {acc.name} = {acc.identity};")
            if acc.part:
                self.code.add(
                    f"{acc.kind} {acc.part} = {acc.identity};  // added to {acc.name} now and then, to round less"
                )
            found.append(acc)
        return found

    def _combine(self, acc: Accumulator) -> None:
        """After the loop: all lanes of the row get the result."""
        if not self.a.strided:
            self._combine_neighbours(acc, self.lanes, "LANES", self.threads)
        elif self.lanes > 1:
            scratch = self.writer.fresh(f"scratch_{acc.op}")
            self.code.add(f"__shared__ {acc.kind} {scratch}[{self.threads}];")
            call = f"reduce_strided<{OP_NAME[acc.op]}, {self.rows_per_block}, LANES>({acc.name}, {scratch})"
            self.code.add(f"{acc.name} = {call};")

    def _combine_neighbours(self, acc: Accumulator, lanes: int, named: str, threads: int) -> None:
        """The same where the row's `lanes` threads (`named` in the source) are neighbours in a block of `threads`."""
        if lanes == 1:
            return
        scratch = f"static_cast<{acc.kind}*>(nullptr)"
        if lanes > 32:
            scratch = self.writer.fresh(f"scratch_{acc.op}")
            self.code.add(f"__shared__ {acc.kind} {scratch}[{threads // 32}];")
        self.code.add(f"{acc.name} = reduce_row<{OP_NAME[acc.op]}, {named}>({acc.name}, {scratch});")

    def _publish(self, acc: Accumulator) -> None:
        """Names the result for what follows."""
        wanted = {acc.reduction.node.id: acc.result()}
        if acc.op == "online":
            assert self.a.pair is not None
            wanted[self.a.pair[1].node.id] = f"{acc.name}.sum"
        for number, value in enumerate(self.ev.values):
            if value.kind == "row" and value.extra in wanted:
                self.names[number] = wanted[value.extra]

    # passes

    def _pass(self, level: int) -> list[Accumulator]:
        """Reads the row once; afterwards the results of these reductions have names."""
        roots = self.a.roots(level)
        stores = [s for s in self.a.full_stores if self.a.level(s.value) == level]
        if not roots:
            return []
        code = self.code
        code.add("")
        if self.a.passes > 1:
            code.add(f"// Pass {level + 1} of {self.a.passes} over the row.")
        known = {n: "" for n in self.cached if self.a.caches[n][0] < level}
        needed = self.ev.reachable(roots, frozenset(set(self.names) | set(known)))
        constant = [n for n in needed if n not in self.names and n not in known and not self.a.columnwise(n)]
        used = {x for n in needed if n not in constant for x in self.ev.values[n].args} | set(roots)
        self.writer.write(
            code, [n for n in constant if n in used and self.ev.values[n].kind != "const"], self.names, lane=False
        )
        accumulators = self._accumulators(level, self.names)
        self._loop(level, roots, stores, accumulators)
        for acc in accumulators:
            if acc.part:
                code.add(f"{acc.name} += {acc.part};")
        for acc in accumulators:
            self._combine(acc)
            self._publish(acc)
        return accumulators

    def _loop(self, level: int, roots: list[int], stores: list[Store], accumulators: list[Accumulator]) -> None:
        code = self.code
        step = f"LANES * {self.width}" if self.width > 1 else "LANES"
        first = f"lane * {self.width}" if self.width > 1 else "lane"
        parts = [a for a in accumulators if a.part]
        closes = 1
        steps = "steps" if level == 0 else f"steps_{level}"  # of their own: an earlier pass need not have counted
        if parts:
            code.add(f"int {steps} = 0;")
        if self.in_registers:
            if self.chunks > 1:
                code.add("#pragma unroll")
                code.open(f"for (int k = 0; k < {self.chunks}; ++k) {{")
                code.add(f"const {self.column} c = k * {step} + {first};".replace("c =", f"{self._flat} ="))
            else:
                code.open("{")
                code.add(f"const {self.column} {self._flat} = {first};")
            if self.chunks * self.lanes * self.width != self.a.columns:
                code.open(f"if ({self._flat} < COLUMNS) {{")
                closes += 1
        else:
            start, end = first, "COLUMNS"
            if self.split > 1:
                start, end = f"begin + {first}", "end"
            if self.unroll > 1:
                code.add(f"#pragma unroll {self.unroll}")
            code.open(f"for ({self.column} {self._flat} = {start}; {self._flat} < {end}; {self._flat} += {step}) {{")
        if self.a.column_loops and len(self.a.column_loops) > 1:
            flat = f"{self._flat} / {self.width}" if self.width > 1 else self._flat
            code.add(*self.writer.indexer.decompose(flat, self.a.column_loops, self.column, self.width))
        self._body(level, roots, stores, accumulators)
        if parts:
            code.open(f"if (++{steps} % {_SERIAL} == 0) {{")
            for acc in parts:
                code.add(f"{acc.name} += {acc.part};", f"{acc.part} = {acc.identity};")
            code.close()
        for _ in range(closes):
            code.close()

    @property
    def _flat(self) -> str:
        return "c" if len(self.a.column_loops) <= 1 else "flat"

    def _body(self, level: int, roots: list[int], stores: list[Store], accumulators: list[Accumulator]) -> None:
        code, writer = self.code, self.writer
        names = dict(self.names)
        chunk = "k" if self.chunks > 1 else "0"
        lane = "j" if self.width > 1 else "0"
        for number, kept in self.cached.items():
            if self.a.caches[number][0] < level <= self.a.caches[number][1]:
                names[number] = f"{kept}[{chunk}][{lane}]"
        fresh_caches = [n for n in self.cached if self.a.caches[n][0] == level]
        wanted = [*roots, *fresh_caches]
        needed = self.ev.reachable(wanted, frozenset(names))
        before = set(names)
        writer.load_vectors(code, needed, names)
        elements = ElementStores(code, writer, stores, self.pointers, self._live)
        if self.width > 1:
            assert self.a.inner is not None
            varying = {n for n in needed if n in names} | {n for n in before if self.a.columnwise(n)}
            still = [n for n in needed if n not in names and not writer.varies(n, varying)]
            used = {x for n in needed if n not in still for x in self.ev.values[n].args} | set(wanted)
            writer.write(code, [n for n in still if n in used and self.ev.values[n].kind != "const"], names, lane=False)
            elements.declare()
            code.add("#pragma unroll")
            code.open(f"for (int j = 0; j < {self.width}; ++j) {{")
        writer.write(code, wanted, names, lane=self.width > 1)
        for number in fresh_caches:
            code.add(f"{self.cached[number]}[{chunk}][{lane}] = {names[number]};")
        for acc in accumulators:
            column = f"{self._flat} + j" if self.width > 1 else self._flat
            code.add(acc.taken(names[acc.reduction.value], column))
        elements.store(names)
        if self.width > 1:
            code.close()
        elements.finish()

    def _row_stores(self, *tests: str) -> None:
        """Stores what there is one of in each row, by the threads for which all tests hold (empty ones are passed over)."""
        if not self.a.row_stores:
            return
        code = self.code
        code.add("")
        condition = " && ".join(test for test in tests if test)
        if condition:
            code.open(f"if ({condition}) {{")
        self.writer.write(code, [s.value for s in self.a.row_stores], self.names, lane=False)
        for s in self.a.row_stores:
            target = f"{self.pointers[s.buffer]}[{self.writer.indexer.text(s.offset)}]"
            code.add(f"{target} = {to_memory(s.buffer.dtype, self.names[s.value])};")
        if condition:
            code.close()
