"""The matrix product on CUDA cores: register blocking over tiles in shared memory.

Each thread holds thread_m x thread_n sums, in groups of four neighbours so that shared memory is read 16 bytes at a time without
bank conflicts. Tiles lie in shared memory as (TILE_K, rows or columns). With `slices` above 1, that many groups of threads
share a tile, each taking its part of every step along K; their sums are added in a fixed order at the end. That keeps more
warps busy where the matrix has few tiles. Arithmetic is float32 (float64 for float64); long sums are put aside every 256
steps, so that rounding does not grow with K.
"""

from __future__ import annotations

from collections.abc import Mapping

from kernelwright.agents.builtin.dtypes import SIZE
from kernelwright.agents.builtin.emit import from_memory
from kernelwright.agents.builtin.generated import ceil_div
from kernelwright.agents.builtin.spec import KernelSpec
from kernelwright.agents.builtin.tile_loads import bytes_between
from kernelwright.agents.builtin.tile_operands import (
    COPY_BYTES,
    STATIC_SHARED,
    Choice,
    OperandTile,
    can_copy_async,
    compute_dtype,
    operand_tiles,
    sizes,
)
from kernelwright.agents.builtin.tiles import TileWriter
from kernelwright.agents.builtin.values import Buffer

__all__ = ["SimtWriter", "legal"]

_REGISTER_FILE = 65536
"""32-bit registers of one SM (CUDA Programming Guide, technical specifications)."""
_FLUSH = 256
"""Steps along K after which partial sums are added to the totals."""
_PAD = 4
"""Elements between rows of a shared tile: keeps 16-byte alignment and spreads the banks."""


def legal(spec: KernelSpec, p: Choice) -> bool:
    """Whether a combination can run on CUDA cores."""
    tm, tn, tk, rm, rn = (int(p[k]) for k in ("tile_m", "tile_n", "tile_k", "thread_m", "thread_n"))
    stages, slices = int(p["stages"]), int(p["slices"])
    if tm % rm or tn % rn or tk % slices or max(rm, rn) > 8:
        return False
    group = (tm // rm) * (tn // rn)
    threads = group * slices
    size = SIZE[compute_dtype(spec)]
    # A warp belongs to one slice, so that none diverges.
    if group % 32 or threads > 1024:
        return False
    if p["copy"] == "async":
        # what is copied stays as it is: no conversion on the way
        if stages < 2 or not can_copy_async(spec) or any(SIZE[t.dtype] not in COPY_BYTES for t in operand_tiles(spec)):
            return False
    elif stages > 2:
        return False
    shared = stages * tk * (tm + tn + 2 * _PAD) + (tm * tn if slices > 1 else 0)
    if shared * size > STATIC_SHARED:
        return False
    sums = rm * rn * (2 if sizes(spec)[3] > 2 * _FLUSH * slices else 1) * (size // 4)
    staged = 0 if p["copy"] == "async" else ceil_div(tm * tk, threads) + ceil_div(tn * tk, threads)
    return threads * (sums + rm + rn + staged * (size // 4) + 32) <= _REGISTER_FILE and sums + staged <= 200


class SimtWriter(TileWriter):
    """Writes one such kernel."""

    def __init__(self, spec: KernelSpec, name: str, p: Choice, pointers: Mapping[Buffer, str]) -> None:
        super().__init__(spec, name, p, pointers)
        self.fm, self.fn = min(4, self.rm), min(4, self.rn)
        self.flush = self.steps * self.tk > 2 * _FLUSH * self.slices

    def work(self) -> str:
        """For the summary."""
        return f"{self.rm} x {self.rn} sums a thread"

    def place(self, tile: OperandTile, stage: str, outer: str, k: str) -> str:
        """C++ of an element of a tile in shared memory."""
        return f"{tile.name}_tile[{stage}][{k}][{outer}]"

    def distance(self, tile: OperandTile, stage: str, outer: str, k: str) -> str:
        """C++ of the bytes from element (0, 0) of stage 0 to another one."""
        row = (self.tm if tile.name == "a" else self.tn) + _PAD
        return bytes_between(SIZE[self.compute], (stage, self.tk * row), (k, row), (outer, 1))

    def in_shared(self, tile: OperandTile, text: str) -> str:
        """Shared memory holds values."""
        return from_memory(tile.dtype, text)

    def straight(self, tile: OperandTile) -> bool:
        """Whether neighbours in global memory are neighbours in shared memory."""
        return not tile.along_k

    def body(self) -> set[str]:
        """Writes what a block does."""
        code = self.code
        total = "total" if self.flush else "sum"
        for letter, extent in (("a", "TILE_M"), ("b", "TILE_N")):
            code.add(f"__shared__ __align__(16) {self.kind} {letter}_tile[STAGES][TILE_K][{extent} + {_PAD}];")
        me = "threadIdx.x"
        if self.slices > 1:
            code.add(f"constexpr int SLICES = {self.slices};  // groups of threads that share the work along K")
            code.add(f"const int slice = threadIdx.x / {self.group};", f"const int me = threadIdx.x % {self.group};")
            me = "me"
        code.add(f"const int thread_n = {me} % {self.tn // self.rn} * {self.fn};")
        code.add(f"const int thread_m = {me} / {self.tn // self.rn} * {self.fm};")
        code.add(f"{self.kind} sum[{self.rm}][{self.rn}] = {{}};")
        if self.flush:
            code.add(f"{self.kind} total[{self.rm}][{self.rn}] = {{}};")
        code.add("")
        self.loaders()
        self._multiply()
        self.walk(self._flushing() if self.flush else ())
        if self.slices > 1:
            self._add_slices(total)
        code.add("")
        return self._epilogue(total)

    def _multiply(self) -> None:
        code = self.code
        fma = "fmaf" if self.compute == "float32" else "fma"
        code.open("const auto multiply = [&](int stage) {")
        # Some 256 multiplications in a row hide the loop's own instructions; more only fill the instruction cache.
        steps = max(4, 256 // (self.rm * self.rn))
        part = self.tk // self.slices
        code.add("#pragma unroll" if steps >= part else f"#pragma unroll {steps}")
        if self.slices > 1:
            code.open("for (int step = 0; step < TILE_K / SLICES; ++step) {")
            code.add("const int k = slice * (TILE_K / SLICES) + step;")
        else:
            code.open("for (int k = 0; k < TILE_K; ++k) {")
        for letter, count, group, tile in (("a", self.rm, self.fm, self.tm), ("b", self.rn, self.fn, self.tn)):
            place = "thread_m" if letter == "a" else "thread_n"
            code.add(f"{self.kind} {letter}_part[{count}];", "#pragma unroll")
            code.open(f"for (int p = 0; p < {count // group}; ++p) {{")
            spread = tile // (count // group)
            code.add(f"const auto group = load_vector<{group}>(&{letter}_tile[stage][k][p * {spread} + {place}]);")
            code.add("#pragma unroll")
            code.add(f"for (int i = 0; i < {group}; ++i) {letter}_part[p * {group} + i] = group.at[i];")
            code.close()
        code.add("#pragma unroll")
        code.open(f"for (int i = 0; i < {self.rm}; ++i) {{")
        code.add("#pragma unroll")
        code.add(f"for (int j = 0; j < {self.rn}; ++j) sum[i][j] = {fma}(a_part[i], b_part[j], sum[i][j]);")
        code.close()
        code.close()
        code.close("};")

    def _flushing(self) -> list[str]:
        every = _FLUSH * self.slices // self.tk
        return [
            f"if ((step + 1) % {every} == 0 || step + 1 == {self._range()[1]}) {{  // long sums round less in parts",
            "#pragma unroll",
            f"    for (int i = 0; i < {self.rm}; ++i) {{",
            "#pragma unroll",
            f"        for (int j = 0; j < {self.rn}; ++j) {{",
            "            total[i][j] += sum[i][j];",
            f"            sum[i][j] = {self.kind}(0);",
            "        }",
            "    }",
            "}",
        ]

    def _add_slices(self, total: str) -> None:
        """Adds the sums of all slices to those of the first, one after another; the others are done then."""
        code = self.code
        code.add("", f"__shared__ {self.kind} of_slice[{self.rm * self.rn}][{self.group}];")
        code.open("for (int s = 1; s < SLICES; ++s) {")
        for condition, text in (
            ("slice == s", f"of_slice[i * {self.rn} + j][me] = {total}[i][j];"),
            ("slice == 0", f"{total}[i][j] += of_slice[i * {self.rn} + j][me];"),
        ):
            code.open(f"if ({condition}) {{")
            code.add("#pragma unroll")
            code.open(f"for (int i = 0; i < {self.rm}; ++i) {{")
            code.add("#pragma unroll")
            code.add(f"for (int j = 0; j < {self.rn}; ++j) {text}")
            code.close()
            code.close()
            code.add("__syncthreads();")
        code.close()
        code.add(f"if (slice != 0) {'continue' if self.resident else 'return'};")

    def _epilogue(self, total: str) -> set[str]:
        """Applies the pointwise work to the sums and stores them."""
        code = self.code
        width = self.store_width(self.fn)
        if width < self.fn:
            width = 1
        code.add("#pragma unroll")
        code.open(f"for (int i = 0; i < {self.rm}; ++i) {{")
        row = f"tile_m + i / {self.fm} * {self.tm // (self.rm // self.fm)} + thread_m + i % {self.fm}"
        code.add("#pragma unroll")
        spread = self.tn // (self.rn // self.fn)
        if width > 1:
            code.open(f"for (int q = 0; q < {self.rn // self.fn}; ++q) {{")
            column = f"tile_n + q * {spread} + thread_n"
            place = f"{total}[i][q * {self.fn} + j]"
        else:
            code.open(f"for (int q = 0; q < {self.rn}; ++q) {{")
            column = f"tile_n + q / {self.fn} * {spread} + thread_n + q % {self.fn}"
            place = f"{total}[i][q]"
        helpers = self.results(row, column, width, place)
        code.close()
        code.close()
        return helpers
