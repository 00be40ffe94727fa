"""The row template: reductions over the columns of rows, with pointwise work before, between and after them.

`lanes` threads share a row. The kernel makes one pass over the row per level of dependent reductions (a softmax: maximum, then sum,
then the division). Strategy `registers` reads each element once and keeps what later passes need in registers; `loop` reads
again in each pass, for rows too long for that; `online` merges the maximum and the sum of a softmax into one pass; with `split` above 1, several blocks share a row and a second kernel
combines their partial results in a fixed order (no atomics, so the same input gives the same bits).
"""

from __future__ import annotations

from collections.abc import Mapping

from kernelwright.agents.builtin.dtypes import SIZE
from kernelwright.agents.builtin.generated import ceil_div, kernel_buffers
from kernelwright.agents.builtin.loops import LoopVar, merge, spec_affines
from kernelwright.agents.builtin.persistent import KNOB, fits, values
from kernelwright.agents.builtin.pointwise import vector_widths
from kernelwright.agents.builtin.spec import KernelSpec, Reduction
from kernelwright.agents.builtin.values import Evaluator

__all__ = ["RowAnalysis", "defaults", "legal", "space"]

_REGISTER_FILE = 65536
"""32-bit registers of one SM (CUDA C++ Programming Guide, table of technical specifications, every architecture since 3.5)."""
_OWN_REGISTERS = 28
"""Registers a generated kernel needs besides what it keeps of the row: seen in ptxas reports of softmax and layer norm."""
_MOST_KEPT = 64
"""Row elements a thread may keep: with more, ptxas spills."""
_STATIC_SHARED = 48 * 1024
"""Bytes of shared memory a block may declare statically."""
_SPLIT_ROWS, _SPLIT_COLUMNS = 264, 16384
"""Rows are shared between blocks when fewer than two blocks per SM of an H200 would run, and each row is long."""


_SMALL_WINDOW, _MANY_ROWS = 128, 4096
"""Windows of at most this many elements, and at least as many of them: else a warp shares a row as always."""
_FEW_ROWS = 16
"""With no more rows than this, one block a row leaves most SMs idle anyway: let each have all the threads it can."""


class RowAnalysis:
    """Facts about a row kernel that its parameters and its writing need."""

    def __init__(self, spec: KernelSpec, online: bool = False) -> None:
        self.spec = spec
        self.ev: Evaluator = spec.evaluator
        affines = spec_affines(spec)
        self.row_loops: tuple[LoopVar, ...] = merge(spec.rows, spec.space.extents, affines, "row")
        self.column_loops: tuple[LoopVar, ...] = merge(spec.columns, spec.space.extents, affines, "c")
        self.rows = spec.extent(spec.rows)
        self.columns = spec.extent(spec.columns)
        self.column_dims = frozenset(spec.columns)
        self.by_node = {r.node.id: r for r in spec.reductions}
        self.pair = self._softmax_pair() if online else None
        self._levels: dict[int, int] = {}
        self.reduction_level = {r.node.id: self._reduction_level(r) for r in spec.reductions}
        self.full_stores = [s for s in spec.stores if s.buffer.node.numel != self.rows]
        self.row_stores = [s for s in spec.stores if s.buffer.node.numel == self.rows]
        if self.columns == 1:
            self.full_stores, self.row_stores = [], list(spec.stores)
        levels = [self.reduction_level[r.node.id] for r in spec.reductions]
        levels += [self.level(s.value) for s in self.full_stores]
        self.passes = max(levels, default=0) + 1
        self.caches = self._caches()

    def level(self, number: int) -> int:
        """How many dependent reductions come before a value."""
        if number not in self._levels:
            value = self.ev.values[number]
            if value.kind == "row":
                level = self._reduction_level(self.by_node[value.extra]) + 1
            else:
                level = max((self.level(a) for a in value.args), default=0)
            self._levels[number] = level
        return self._levels[number]

    def _reduction_level(self, reduction: Reduction) -> int:
        if self.pair is not None and reduction is self.pair[1]:
            reduction = self.pair[0]
        return self.level(reduction.value)

    def columnwise(self, number: int) -> bool:
        """Whether a value differs along the row."""
        return bool(self.ev.dims_of(number) & self.column_dims)

    def roots(self, level: int) -> list[int]:
        """What the pass of a level computes per element."""
        found = []
        for r in self.spec.reductions:
            if self.reduction_level[r.node.id] == level and not (self.pair is not None and r is self.pair[1]):
                found.append(r.value)
        return found + [s.value for s in self.full_stores if self.level(s.value) == level]

    def _caches(self) -> dict[int, tuple[int, int]]:
        """Values worth keeping: number -> (first pass, last pass that reads it)."""
        computed: dict[int, int] = {}
        found: dict[int, tuple[int, int]] = {}
        for p in range(self.passes):
            stack, seen = list(self.roots(p)), set()
            while stack:
                number = stack.pop()
                if number in seen or not self.columnwise(number):
                    continue
                seen.add(number)
                value = self.ev.values[number]
                if number in computed and computed[number] < p and value.kind in ("load", "gather", "op"):
                    found[number] = (computed[number], p)
                    continue
                stack.extend(value.args)
            for number in seen:
                computed.setdefault(number, p)
        return found

    def kept(self) -> int:
        """Values kept per element, at most, between two passes."""
        most = 0
        for p in range(1, self.passes):
            most = max(most, sum(first < p <= last for first, last in self.caches.values()))
        return most

    @property
    def inner(self) -> LoopVar | None:
        """The innermost column loop variable."""
        return self.column_loops[-1] if self.column_loops else None

    @property
    def strided(self) -> bool:
        """Whether neighbouring rows, not neighbouring columns, are neighbours in memory."""
        if not self.row_loops or self.inner is None:
            return False
        row, column = self.row_loops[-1], self.inner
        votes = 0
        for number in self.ev.reachable([r.value for r in self.spec.reductions]):
            value = self.ev.values[number]
            if value.kind == "load":
                offset = value.extra[1]
                votes += (column.coefficient(offset) == 1) - (row.coefficient(offset) == 1)
        return votes < 0 or self.windowed

    @property
    def windowed(self) -> bool:
        """Whether a row is a small window over memory and the next row the next window: a thread does best with one by itself."""
        if not self.row_loops or self.inner is None or self.columns > _SMALL_WINDOW or self.rows < _MANY_ROWS:
            return False
        row, column = self.row_loops[-1], self.inner
        for number in self.ev.reachable([r.value for r in self.spec.reductions]):
            value = self.ev.values[number]
            if value.kind == "load" and value.extra[1].terms:
                apart = row.coefficient(value.extra[1])
                if 0 < apart < self.columns and column.coefficient(value.extra[1]) >= 1:
                    return True
        return False

    def can_split(self) -> bool:
        """Whether several blocks may share a row: one pass, and nothing stored per element."""
        return self.passes == 1 and not self.full_stores

    def _softmax_pair(self) -> tuple[Reduction, Reduction] | None:
        """A maximum m of v, and a sum of exp(v - m)."""
        values = self.ev.values
        for total in self.spec.reductions:
            value = values[total.value]
            if total.op != "sum" or value.kind != "op" or value.extra != "exp" or value.dtype != "float32":
                continue
            inner = values[value.args[0]]
            if inner.kind != "op" or inner.extra != "sub":
                continue
            peak = values[inner.args[1]]
            if peak.kind == "row" and peak.extra in self.by_node:
                top = self.by_node[peak.extra]
                if top.op == "max" and top.value == inner.args[0]:
                    return top, total
        return None


def accumulator_dtype(spec: KernelSpec, reduction: Reduction) -> str:
    """The dtype a reduction accumulates in."""
    if reduction.op in ("any", "all"):
        return "int32"
    return spec.evaluator.values[reduction.value].dtype


def _next_power(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()


def space(spec: KernelSpec) -> dict[str, tuple[int | str | bool, ...]]:
    """Values of each knob; combinations are checked by `legal`."""
    a = RowAnalysis(spec)
    knobs: dict[str, tuple[int | str | bool, ...]] = {
        "vector_width": (1,) if a.strided else vector_widths(spec, a.inner),
        "threads": (32, 64, 128, 256, 512, 1024),
        "rows_per_block": (1, 2, 4, 8, 16, 32, 64, 128),
    }
    strategies: list[str] = []
    if ceil_div(a.columns, 1024) <= _MOST_KEPT:
        strategies.append("registers")
    strategies.append("loop")
    if RowAnalysis(spec, online=True).pair is not None:
        strategies.append("online")
    knobs["strategy"] = tuple(strategies)
    knobs["unroll"] = (1, 2, 4, 8)
    if a.can_split() and a.columns >= 2048:
        knobs["split"] = tuple(s for s in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if a.columns // s >= 256)
    knobs[KNOB] = values(spec, a.rows)
    found = dict(knobs)
    for name in ("threads", "rows_per_block"):
        found[name] = tuple(v for v in knobs[name] if _possible(spec, a, knobs, name, v))
    return found


def _possible(
    spec: KernelSpec,
    a: RowAnalysis,
    knobs: Mapping[str, tuple[int | str | bool, ...]],
    name: str,
    value: int | str | bool,
) -> bool:
    other = "rows_per_block" if name == "threads" else "threads"
    for width in knobs["vector_width"]:
        for strategy in knobs["strategy"]:
            for x in knobs[other]:
                choice = {"vector_width": width, "strategy": strategy, "unroll": 1, "split": 1, name: value, other: x}
                if legal(spec, choice, a):
                    return True
    return False


def legal(spec: KernelSpec, p: Mapping[str, int | str | bool], analysis: RowAnalysis | None = None) -> bool:
    """Whether a combination can run, and is no plain waste of threads."""
    a = analysis or RowAnalysis(spec)
    threads, rows_per_block, width = int(p["threads"]), int(p["rows_per_block"]), int(p["vector_width"])
    split = int(p.get("split", 1))
    lanes = threads // rows_per_block
    if lanes * rows_per_block != threads or lanes < 1:
        return False
    vectors = ceil_div(a.columns, width * split)
    if threads < 32 or lanes & (lanes - 1) or lanes > max(_next_power(vectors), 32 // rows_per_block):
        return False
    if threads > 32 and rows_per_block > 1 and rows_per_block >= 2 * max(a.rows, 1):
        return False
    if width > 1 and (a.inner is None or a.inner.extent % width):
        return False
    if a.strided:
        scratch = sum(threads * _scratch_size(spec, r) for r in spec.reductions) if lanes > 1 else 0
    else:
        scratch = sum(max(threads // 32, 1) * _scratch_size(spec, r) for r in spec.reductions)
    if scratch > _STATIC_SHARED:
        return False
    if not fits(spec, p, ceil_div(a.rows, rows_per_block)) or (split > 1 and p.get(KNOB)):
        return False
    if p["strategy"] == "registers":
        if split > 1:
            return False
        chunks = ceil_div(vectors, lanes)
        kept = max(a.kept(), 1) * chunks * width
        return (
            chunks * width <= _MOST_KEPT
            and kept <= 2 * _MOST_KEPT
            and (threads * (kept + _OWN_REGISTERS) <= _REGISTER_FILE)
        )
    return True


def _scratch_size(spec: KernelSpec, reduction: Reduction) -> int:
    size = SIZE[accumulator_dtype(spec, reduction)]
    return 2 * max(size, 4) if reduction.op.startswith("arg") else size


def defaults(spec: KernelSpec) -> dict[str, int | str | bool]:
    """A good start: the fewest threads per row that keep it in registers, four rows to a block."""
    a = RowAnalysis(spec)
    knobs = space(spec)
    choice: dict[str, int | str | bool] = {"vector_width": 1, "strategy": "registers", "unroll": 4, "split": 1, KNOB: 0}
    if a.strided:
        choice.update(_strided_defaults(spec, a))
    else:
        choice["vector_width"] = _default_width(spec, a, [int(w) for w in knobs["vector_width"]])
        choice.update(_row_defaults(a, int(choice["vector_width"])))
    if choice["strategy"] == "registers" and not legal(spec, choice, a):
        choice["strategy"] = "online" if "online" in knobs["strategy"] else "loop"
    if choice["strategy"] not in knobs["strategy"]:
        choice["strategy"] = "loop"
    if "split" in knobs and a.rows < _SPLIT_ROWS and a.columns >= _SPLIT_COLUMNS:
        choice["strategy"] = "loop"
        if not a.strided:
            choice.update(threads=256, rows_per_block=1)
        wanted = max(1, 4 * _SPLIT_ROWS // max(a.rows if not a.strided else ceil_div(a.rows, 32), 1))
        fitting = [int(s) for s in knobs["split"] if int(s) <= wanted and a.columns // int(s) >= 2048]
        choice["split"] = max(fitting, default=1)
    if not legal(spec, choice, a):
        choice.update(_first_legal(spec, a, knobs, choice))
    if "split" not in knobs:
        choice.pop("split")
    return choice


def _default_width(spec: KernelSpec, a: RowAnalysis, widths: list[int]) -> int:
    reads, writes = kernel_buffers(spec)
    largest = max((SIZE[b.dtype] for b in (*reads, *writes) if b.node.numel >= a.rows * a.columns), default=4)
    return max(w for w in widths if w * largest <= 16)


def _row_defaults(a: RowAnalysis, width: int) -> dict[str, int | str | bool]:
    vectors = ceil_div(a.columns, width)
    lanes = min(32, _next_power(vectors))
    kept = max(a.kept(), 1)
    # At most 32 kept values a thread leave half of the warps of an SM resident.
    while lanes < 1024 and ceil_div(vectors, lanes) * width * kept > 32 and lanes < _next_power(vectors):
        lanes *= 2
    # A few rows alone can't fill the GPU: give each of them more threads.
    widest = 1024 if a.rows <= _FEW_ROWS else 256
    while lanes < widest and a.rows * lanes < 132 * 1024 and lanes * 2 <= _next_power(vectors):
        lanes *= 2
    rows_per_block = max(1, 128 // lanes)
    while lanes * rows_per_block > 32 and rows_per_block >= 2 * max(a.rows, 1):
        rows_per_block //= 2
    return {"threads": lanes * rows_per_block, "rows_per_block": rows_per_block}


def _strided_defaults(spec: KernelSpec, a: RowAnalysis) -> dict[str, int | str | bool]:
    if a.windowed:
        return {"threads": 128, "rows_per_block": 128}
    rows_per_block = 32
    lanes = min(16, _next_power(a.columns))
    kept = max(a.kept(), 1)
    while lanes * rows_per_block < 1024 and ceil_div(a.columns, lanes) * kept > 32 and lanes < _next_power(a.columns):
        lanes *= 2
    return {"threads": lanes * rows_per_block, "rows_per_block": rows_per_block}


def _first_legal(
    spec: KernelSpec,
    a: RowAnalysis,
    knobs: Mapping[str, tuple[int | str | bool, ...]],
    choice: Mapping[str, int | str | bool],
) -> dict[str, int | str | bool]:
    strategies = [s for s in ("registers", "online", "loop") if s in knobs["strategy"]]
    for strategy in strategies:
        for threads in sorted((int(t) for t in knobs["threads"]), key=lambda t: abs(t - int(choice["threads"]))):
            for rows_per_block in knobs["rows_per_block"]:
                trial = {
                    **choice,
                    "strategy": strategy,
                    "threads": threads,
                    "rows_per_block": rows_per_block,
                    "split": 1,
                }
                if legal(spec, trial, a):
                    return trial
    return {**choice, "strategy": "loop", "threads": 32, "rows_per_block": 32, "vector_width": 1, "split": 1}
