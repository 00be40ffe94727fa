"""Writes the row template's CUDA (see `rows` for how the work is divided)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kernelwright.agents.builtin.dtypes import C_TYPE, literal
from kernelwright.agents.builtin.emit import Code, ScopeWriter, to_memory, vector_width_limit
from kernelwright.agents.builtin.generated import (
    Generated,
    Launch,
    Scratch,
    ceil_div,
    dtype_features,
    index_type,
    kernel_buffers,
    read_parameter,
    signature,
    write_parameter,
)
from kernelwright.agents.builtin.loops import Indexer, is_vector
from kernelwright.agents.builtin.prelude import OP_NAME
from kernelwright.agents.builtin.rows import RowAnalysis, accumulator_dtype
from kernelwright.agents.builtin.spec import KernelSpec, Reduction, Store
from kernelwright.agents.builtin.values import Buffer

__all__ = ["generate"]

_SERIAL = 16
"""Loop steps after which a running sum is put aside: rounding then grows with 16 + n/16 steps instead of n."""


@dataclass
class _Accumulator:
    """One reduction while it runs: the variable, its C++ type and operation."""

    reduction: Reduction
    name: str
    kind: str
    op: str
    identity: str
    dtype: str
    part: str = ""
    """The running part of a long sum."""


def generate(
    spec: KernelSpec, name: str, parameters: Mapping[str, int | str | bool], pointers: Mapping[Buffer, str]
) -> Generated:
    """Writes the kernel, and the one that combines partial results where rows are split."""
    return _RowWriter(spec, name, parameters, pointers).run()


class _RowWriter:
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
        self.row_type = index_type(self.a.rows + self.rows_per_block)
        self.code = Code()
        self.names: dict[int, str] = {}
        """Values of the row, known to all its lanes."""
        self.cached: dict[int, str] = {}

    def run(self) -> Generated:
        if self.split > 1:
            return self._split()
        code = self.code
        self._describe()
        reads = [read_parameter(b.dtype, self.pointers[b]) for b in self.reads]
        signature(
            code, self.name, self.threads, reads, [write_parameter(b.dtype, self.pointers[b]) for b in self.writes]
        )
        self._open_row()
        if self.in_registers:
            for number, (_, last) in self.a.caches.items():
                if last > 0:
                    kept = self.writer.fresh("kept")
                    code.add(f"{C_TYPE[self.ev.values[number].dtype]} {kept}[{self.chunks}][{self.width}];")
                    self.cached[number] = kept
        self._load_early()
        for level in range(self.a.passes):
            self._pass(level)
        self._row_stores()
        code.close()
        grid = ceil_div(self.a.rows, self.rows_per_block)
        launch = Launch(self.name, (grid, 1, 1), self.threads, (*self.reads, *self.writes))
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
        return ", ".join(p for p in parts if p)

    def _describe(self) -> None:
        self.code.add(f"// {self.a.rows} rows of {self.a.columns} columns: {self._summary()}.")

    def _open_row(self) -> None:
        code = self.code
        code.add(f"constexpr {self.row_type} ROWS = {self.a.rows};")
        code.add(f"constexpr {self.column} COLUMNS = {self.a.columns};")
        code.add(f"constexpr int LANES = {self.lanes};  // threads that share a row")
        block = "static_cast<long long>(blockIdx.x)" if self.row_type != "int" else "blockIdx.x"
        if self.a.strided:
            code.add(f"const int lane = threadIdx.x / {self.rows_per_block};")
            mine = f"{block} * {self.rows_per_block} + threadIdx.x % {self.rows_per_block}"
        elif self.rows_per_block == 1:
            code.add("const int lane = threadIdx.x;")
            mine = "blockIdx.x"
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

    def _accumulators(self, level: int, names: Mapping[int, str]) -> list[_Accumulator]:
        found = []
        for r in self.spec.reductions:
            if self.a.reduction_level[r.node.id] != level:
                continue
            if self.a.pair is not None and r is self.a.pair[1]:
                continue
            online = self.a.pair is not None and r is self.a.pair[0]
            op = "online" if online else r.op
            dtype = accumulator_dtype(self.spec, r)
            kind = C_TYPE[dtype]
            identity = _identity(op, dtype)
            if op.startswith("arg"):
                kind = f"Indexed<{kind}>"
                identity = f"{{{_identity('max' if op == 'argmax' else 'min', dtype)}, 0x7fffffff}}"
            elif online:
                kind, identity = "Peaked", f"{{{_identity('max', dtype)}, 0.0f}}"
            name = self.writer.fresh(f"row_{op}")
            acc = _Accumulator(r, name, kind, op, identity, dtype)
            steps = ceil_div(self.span if self.split > 1 else self.a.columns, self.lanes * self.width)
            if op == "sum" and dtype in ("float32", "float64") and not self.in_registers and steps > 2 * _SERIAL:
                acc.part = self.writer.fresh("part")
            self.features.add(f"op:{op}")
            self.code.add(f"{kind} {name} = {identity};")
            if acc.part:
                self.code.add(f"{kind} {acc.part} = {identity};  // added to {name} now and then, to round less")
            found.append(acc)
        return found

    def _accumulate(self, acc: _Accumulator, value: str, column: str) -> None:
        if acc.op.startswith("arg"):
            item = f"{acc.kind}{{{value}, static_cast<int>({column})}}"
            self.code.add(f"{acc.name} = {OP_NAME[acc.op]}::combine({acc.name}, {item});")
        elif acc.op == "online":
            self.code.add(f"{acc.name} = OnlineSoftmax::combine({acc.name}, Peaked{{{value}, 1.0f}});")
        elif acc.op in ("any", "all"):
            self.code.add(f"{acc.name} = {OP_NAME[acc.op]}::combine({acc.name}, static_cast<int>({value}));")
        elif acc.op == "sum":
            self.code.add(f"{acc.part or acc.name} += {value};")
        elif acc.op == "prod":
            self.code.add(f"{acc.name} *= {value};")
        else:
            self.code.add(f"{acc.name} = {OP_NAME[acc.op]}::combine({acc.name}, {value});")

    def _combine(self, acc: _Accumulator, lanes: str = "LANES") -> None:
        """After the loop: all lanes of the row get the result."""
        scratch = self.writer.fresh(f"scratch_{acc.op}")
        if self.a.strided and lanes == "LANES":
            if self.lanes > 1:
                self.code.add(f"__shared__ {acc.kind} {scratch}[{self.threads}];")
                self.code.add(
                    f"{acc.name} = reduce_strided<{OP_NAME[acc.op]}, {self.rows_per_block}, LANES>({acc.name}, {scratch});"
                )
            return
        if self.lanes > 32 or lanes != "LANES":
            self.code.add(f"__shared__ {acc.kind} {scratch}[{max(self.threads // 32, 1)}];")
        else:
            scratch = f"static_cast<{acc.kind}*>(nullptr)"
        if self.lanes > 1 or lanes != "LANES":
            self.code.add(f"{acc.name} = reduce_row<{OP_NAME[acc.op]}, {lanes}>({acc.name}, {scratch});")

    def _publish(self, acc: _Accumulator) -> None:
        """Names the result for what follows."""
        wanted = {acc.reduction.node.id: acc.name}
        if acc.op.startswith("arg"):
            wanted = {acc.reduction.node.id: f"static_cast<long long>({acc.name}.index)"}
        elif acc.op == "online":
            assert self.a.pair is not None
            wanted = {self.a.pair[0].node.id: f"{acc.name}.peak", self.a.pair[1].node.id: f"{acc.name}.sum"}
        elif acc.op in ("any", "all"):
            wanted = {acc.reduction.node.id: f"({acc.name} != 0)"}
        for number, value in enumerate(self.ev.values):
            if value.kind == "row" and value.extra in wanted:
                self.names[number] = wanted[value.extra]

    # passes

    def _pass(self, level: int) -> None:
        roots = self.a.roots(level)
        stores = [s for s in self.a.full_stores if self.a.level(s.value) == level]
        if not roots:
            return
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

    def _loop(self, level: int, roots: list[int], stores: list[Store], accumulators: list[_Accumulator]) -> None:
        code = self.code
        step = f"LANES * {self.width}" if self.width > 1 else "LANES"
        first = f"lane * {self.width}" if self.width > 1 else "lane"
        parts = [a for a in accumulators if a.part]
        closes = 1
        if parts:
            code.add("int steps = 0;" if level == 0 else "steps = 0;")
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
            code.open(f"if (++steps % {_SERIAL} == 0) {{")
            for acc in parts:
                code.add(f"{acc.name} += {acc.part};", f"{acc.part} = {acc.identity};")
            code.close()
        for _ in range(closes):
            code.close()

    @property
    def _flat(self) -> str:
        return "c" if len(self.a.column_loops) <= 1 else "flat"

    def _body(self, level: int, roots: list[int], stores: list[Store], accumulators: list[_Accumulator]) -> None:
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
        vectors: dict[int, str] = {}
        if self.width > 1:
            assert self.a.inner is not None
            varying = {n for n in needed if n in names} | {n for n in before if self.a.columnwise(n)}
            still = [n for n in needed if n not in names and not writer.varies(n, varying)]
            used = {x for n in needed if n not in still for x in self.ev.values[n].args} | set(wanted)
            writer.write(code, [n for n in still if n in used and self.ev.values[n].kind != "const"], names, lane=False)
            for at, store in enumerate(stores):
                if self.width <= vector_width_limit(store.buffer.dtype) and is_vector(
                    store.offset, self.a.inner, self.width
                ):
                    vectors[at] = writer.fresh(f"{self.pointers[store.buffer]}_v")
                    code.add(f"Vector<{C_TYPE[store.buffer.dtype]}, {self.width}> {vectors[at]};")
            code.add("#pragma unroll")
            code.open(f"for (int j = 0; j < {self.width}; ++j) {{")
        writer.write(code, wanted, names, lane=self.width > 1)
        for number in fresh_caches:
            code.add(f"{self.cached[number]}[{chunk}][{lane}] = {names[number]};")
        for acc in accumulators:
            self._accumulate(acc, names[acc.reduction.value], f"{self._flat} + j" if self.width > 1 else self._flat)
        for at, store in enumerate(stores):
            text = to_memory(store.buffer.dtype, names[store.value])
            if at in vectors:
                code.add(f"{vectors[at]}.at[j] = {text};")
            else:
                target = f"{self.pointers[store.buffer]}[{writer.index_text(store.offset, lane=True)}]"
                code.add(f"if ({self._live}) {target} = {text};" if self._live else f"{target} = {text};")
        if self.width > 1:
            code.close()
        for at, vector in vectors.items():
            store = stores[at]
            text = f"store_vector<{self.width}>({self.pointers[store.buffer]} + {writer.indexer.text(store.offset)}, {vector});"
            code.add(f"if ({self._live}) {text}" if self._live else text)

    def _row_stores(self) -> None:
        if not self.a.row_stores:
            return
        code = self.code
        code.add("")
        tests = [t for t in (self._live, "lane == 0" if self.lanes > 1 or self.split > 1 else "") if t]
        if tests:
            code.open(f"if ({' && '.join(tests)}) {{")
        self.writer.write(code, [s.value for s in self.a.row_stores], self.names, lane=False)
        for s in self.a.row_stores:
            target = f"{self.pointers[s.buffer]}[{self.writer.indexer.text(s.offset)}]"
            code.add(f"{target} = {to_memory(s.buffer.dtype, self.names[s.value])};")
        if tests:
            code.close()

    # rows shared by several blocks

    def _split(self) -> Generated:
        code = self.code
        blocks = ceil_div(self.a.columns, self.span)
        self._describe()
        scratches: list[tuple[Scratch, str]] = []
        for at, r in enumerate(self.spec.reductions):
            dtype = accumulator_dtype(self.spec, r)
            scratches.append((Scratch(f"{self.name}_partial_{at}", dtype, self.a.rows * blocks), dtype))
            if r.op.startswith("arg"):
                scratches.append((Scratch(f"{self.name}_place_{at}", "int32", self.a.rows * blocks), "int32"))
        parameters = [read_parameter(b.dtype, self.pointers[b]) for b in self.reads]
        partial = {s.name: f"{s.name.removeprefix(self.name + '_')}" for s, _ in scratches}
        reads, writes = self.reads, self.writes
        signature(
            code, self.name, self.threads, parameters, [write_parameter(d, partial[s.name]) for s, d in scratches]
        )
        self._open_row()
        code.add(f"const {self.column} begin = static_cast<{self.column}>(blockIdx.y) * {self.span};")
        code.add(f"const {self.column} end = begin + {self.span} < COLUMNS ? begin + {self.span} : COLUMNS;")
        self._pass(0)
        code.open(f"if ({' && '.join(t for t in (self._live, 'lane == 0') if t)}) {{")
        accumulators = self._split_accumulators()
        self._store_partials(accumulators, blocks)
        code.close()
        code.close()
        code.add("", f"// Combines the {blocks} partial results of each row, always in the same order.")
        self._finish(accumulators, scratches, partial, blocks)
        threads = min(256, max(32, 1 << (blocks - 1).bit_length()))
        grid = ceil_div(self.a.rows, self.rows_per_block)
        held = tuple(s for s, _ in scratches)
        used = self._finish_reads()
        launches = [
            Launch(self.name, (grid, blocks, 1), self.threads, (*reads, *held)),
            Launch(f"{self.name}_finish", (self.a.rows, 1, 1), threads, (*held, *used, *writes)),
        ]
        return Generated(code.text(), launches, self.writer.helpers, self.features | {"row"}, self._summary())

    def _split_accumulators(self) -> list[_Accumulator]:
        found = []
        for r in self.spec.reductions:
            dtype = accumulator_dtype(self.spec, r)
            kind = C_TYPE[dtype]
            identity = _identity(r.op, dtype)
            if r.op.startswith("arg"):
                kind = f"Indexed<{kind}>"
                identity = f"{{{_identity('max' if r.op == 'argmax' else 'min', dtype)}, 0x7fffffff}}"
            found.append(_Accumulator(r, self._accumulator_name(r), kind, r.op, identity, dtype))
        return found

    def _accumulator_name(self, r: Reduction) -> str:
        for number, value in enumerate(self.ev.values):
            if value.kind == "row" and value.extra == r.node.id and number in self.names:
                text = self.names[number]
                return (
                    text.removeprefix("static_cast<long long>(")
                    .removesuffix(".index)")
                    .removeprefix("(")
                    .removesuffix(" != 0)")
                )
        raise AssertionError(f"{r.node} is nowhere used")

    def _store_partials(self, accumulators: list[_Accumulator], blocks: int) -> None:
        where = f"row * {blocks}LL + blockIdx.y"
        for at, acc in enumerate(accumulators):
            if acc.op.startswith("arg"):
                self.code.add(f"partial_{at}[{where}] = {acc.name}.value;", f"place_{at}[{where}] = {acc.name}.index;")
            else:
                self.code.add(f"partial_{at}[{where}] = {acc.name};")

    def _finish_reads(self) -> list[Buffer]:
        found: list[Buffer] = []
        for number in self.ev.reachable([s.value for s in self.a.row_stores], frozenset(self._row_numbers())):
            value = self.ev.values[number]
            if value.kind in ("load", "gather") and value.extra[0] not in found:
                found.append(value.extra[0])
        return found

    def _row_numbers(self) -> list[int]:
        return [n for n, v in enumerate(self.ev.values) if v.kind == "row"]

    def _finish(
        self,
        accumulators: list[_Accumulator],
        scratches: list[tuple[Scratch, str]],
        partial: Mapping[str, str],
        blocks: int,
    ) -> None:
        code = self.code
        threads = min(256, max(32, 1 << (blocks - 1).bit_length()))
        reads = [read_parameter(d, partial[s.name]) for s, d in scratches]
        reads += [read_parameter(b.dtype, self.pointers[b]) for b in self._finish_reads()]
        signature(
            code,
            f"{self.name}_finish",
            threads,
            reads,
            [write_parameter(b.dtype, self.pointers[b]) for b in self.writes],
        )
        code.add(f"const {self.row_type} row = blockIdx.x;", "const int lane = threadIdx.x;")
        if self.a.row_loops:
            code.add(*self.writer.indexer.decompose("row", self.a.row_loops, self.row_type))
        self.names = {}
        for acc in accumulators:
            code.add(f"{acc.kind} {acc.name} = {acc.identity};")
        code.open(f"for (int block = lane; block < {blocks}; block += {threads}) {{")
        code.add(f"const long long at = row * {blocks}LL + block;")
        for at, acc in enumerate(accumulators):
            item = f"partial_{at}[at]"
            if acc.op.startswith("arg"):
                item = f"{acc.kind}{{partial_{at}[at], place_{at}[at]}}"
            code.add(f"{acc.name} = {OP_NAME[acc.op]}::combine({acc.name}, {item});")
        code.close()
        saved, self.threads = self.threads, threads
        live, self.rows_per_block = self.rows_per_block, 1
        for acc in accumulators:
            self._combine(acc, lanes=str(threads))
            self._publish(acc)
        self._row_stores()
        self.threads, self.rows_per_block = saved, live
        code.close()


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
