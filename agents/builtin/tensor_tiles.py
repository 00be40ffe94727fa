"""The matrix product on tensor cores: float16 and bfloat16 operands, float32 sums (mma.sync m16n8k16, PTX ISA 9.7.14.5).

A warp computes 8 * thread_m rows by 4 * thread_n columns of a tile, as fragments of 16 x 8. Tiles lie in shared memory as in
global memory, with 16 bytes between rows, so that the eight rows that ldmatrix reads at once lie on different banks whatever
the tile's width. At the end each warp lays its sums out in shared memory, 16 rows at a time, so that the pointwise work sees
neighbours and results are stored 16 bytes at a time.
"""

from __future__ import annotations

from collections.abc import Mapping

from kernelwright.agents.builtin.dtypes import C_TYPE
from kernelwright.agents.builtin.generated import ceil_div
from kernelwright.agents.builtin.spec import KernelSpec
from kernelwright.agents.builtin.tile_loads import bytes_between
from kernelwright.agents.builtin.tile_operands import (
    COPY_BYTES,
    STATIC_SHARED,
    Choice,
    OperandTile,
    can_copy_async,
    capability,
    operand_tiles,
)
from kernelwright.agents.builtin.tiles import TileWriter
from kernelwright.agents.builtin.values import Buffer

__all__ = ["DEPTH", "TensorWriter", "legal", "possible", "shared_bytes", "suits"]

DEPTH = 16
"""Inner length of one mma of 16-bit operands."""
_PAD = 8
"""Elements between rows of a shared tile, 16 bytes: the rows' starts then fall on eight different groups of four banks."""
_HALF_BYTES, _SUM_BYTES = 2, 4
_SHARED_KB = {75: 64, 80: 163, 87: 163, 90: 227, 100: 227, 103: 227}
"""KB of shared memory that a block may have on demand, by ten times the compute capability (CUDA Programming Guide, technical
specifications)."""
_LEAST_SHARED_KB = 99
"""The same on 8.6, 8.9 and 12.0, and so on every GPU from 8.0 on."""
_REGISTER_FILE = 65536
_MOST_REGISTERS = 255
"""Of a thread (the same table)."""
_OWN_REGISTERS = 40
"""Registers besides sums, fragments and staged loads: seen in ptxas reports of these kernels."""


def suits(spec: KernelSpec) -> bool:
    """Whether tensor cores compute what this product asks for: both operands and the product of one 16-bit type.

    bfloat16 ones come with compute capability 8.0. float32 is left to CUDA cores, since tensor cores would round it to tf32, which the numeric policy refuses.
    """
    assert spec.a is not None
    assert spec.b is not None
    products = {node.dtype for node in spec.evaluator.own}
    dtypes = {spec.a.buffer.dtype, spec.b.buffer.dtype}
    known = ({"float16"}, {"bfloat16"}) if capability(spec) >= 80 else ({"float16"},)
    return dtypes == products and dtypes in known


def possible(p: Choice) -> bool:
    """Whether the knobs fit each other, whatever the product."""
    tm, tn, tk, rm, rn = (int(p[k]) for k in ("tile_m", "tile_n", "tile_k", "thread_m", "thread_n"))
    if rm % 2 or rn % 2 or tm % (8 * rm) or tn % (4 * rn) or tk % DEPTH or int(p["slices"]) != 1:
        return False
    threads = (tm // rm) * (tn // rn)
    asynchronous = p["copy"] == "async"
    staged = 0 if asynchronous else ceil_div(tk * (tm + tn), 2 * threads)
    registers = rm * rn + 2 * rm + rn + staged + _OWN_REGISTERS
    if threads > 1024 or registers > _MOST_REGISTERS or threads * registers > _REGISTER_FILE:
        return False
    stages = int(p["stages"])
    return stages >= 2 if asynchronous else stages <= 2


def legal(spec: KernelSpec, p: Choice) -> bool:
    """Whether a combination can run on tensor cores."""
    most = _SHARED_KB.get(capability(spec), _LEAST_SHARED_KB) if spec.arch else _LEAST_SHARED_KB
    if not suits(spec) or not possible(p) or shared_bytes(p, padded=True) > 1024 * most:
        return False
    if p["copy"] != "async":
        return True
    return can_copy_async(spec) and all(t.bytes in COPY_BYTES for t in operand_tiles(spec))


def shared_bytes(p: Choice, *, padded: bool = False) -> int:
    """Shared memory of a block: the tiles, or the sums that take their place at the end if those are more.

    `padded` counts the padding of tiles that lie along K, the larger one.
    """
    tm, tn, tk, rm, rn = (int(p[k]) for k in ("tile_m", "tile_n", "tile_k", "thread_m", "thread_n"))
    tiles = int(p["stages"]) * _HALF_BYTES * ((tm + tn) * (tk + _PAD) if padded else tk * (tm + tn))
    warps = (tm // (8 * rm)) * (tn // (4 * rn))
    return max(tiles, warps * 16 * (4 * rn + _PAD) * _SUM_BYTES)


class TensorWriter(TileWriter):
    """Writes one such kernel."""

    def __init__(self, spec: KernelSpec, name: str, p: Choice, pointers: Mapping[Buffer, str]) -> None:
        super().__init__(spec, name, p, pointers)
        self.choice = p
        self.dtype = self.a_tile.dtype
        self.warp_m, self.warp_n = 8 * self.rm, 4 * self.rn
        self.parts_m, self.parts_n = self.rm // 2, self.rn // 2
        """Fragments of a warp along rows and columns."""
        self.features |= {"matrix", f"mma:{self.dtype}"}

    def work(self) -> str:
        """For the summary."""
        return f"{self.warp_m} x {self.warp_n} sums a warp on tensor cores"

    def place(self, tile: OperandTile, stage: str, outer: str, k: str) -> str:
        """C++ of an element of a tile in shared memory."""
        row, column = (outer, k) if tile.along_k else (k, outer)
        return f"{tile.name}_tile[{stage}][{row}][{column}]"

    def distance(self, tile: OperandTile, stage: str, outer: str, k: str) -> str:
        """C++ of the bytes from element (0, 0) of stage 0 to another one."""
        extent = self.tm if tile.name == "a" else self.tn
        row = (self.tk if tile.along_k else extent) + _PAD
        across, along = (outer, k) if tile.along_k else (k, outer)
        rows = extent if tile.along_k else self.tk
        return bytes_between(_HALF_BYTES, (stage, rows * row), (across, row), (along, 1))

    def in_shared(self, tile: OperandTile, text: str) -> str:
        """Shared memory holds elements as they are stored."""
        return text

    def straight(self, tile: OperandTile) -> bool:
        """Whether neighbours in global memory are neighbours in shared memory."""
        return True

    def body(self) -> set[str]:
        """Writes what a block does."""
        code = self.code
        code.add(f"constexpr int WARP_M = {self.warp_m};", f"constexpr int WARP_N = {self.warp_n};")
        self._shared()
        code.add("const int lane = threadIdx.x % 32;")
        warps_n = self.tn // self.warp_n
        code.add(f"const int warp_m = threadIdx.x / 32 / {warps_n} * WARP_M;")
        code.add(f"const int warp_n = threadIdx.x / 32 % {warps_n} * WARP_N;")
        code.add(f"float sum[{self.parts_m}][{self.parts_n}][4] = {{}};", "")
        self.loaders()
        self._multiply()
        self.walk()
        code.add("")
        return self._epilogue()

    def _shared(self) -> None:
        """One piece of shared memory for the tiles and, later, the sums."""
        code, kind = self.code, C_TYPE[self.dtype]
        shapes = {}
        for tile, extent, letter in ((self.a_tile, self.tm, "M"), (self.b_tile, self.tn, "N")):
            rows, row = (extent, self.tk) if tile.along_k else (self.tk, extent)
            names = (f"TILE_{letter}", "TILE_K") if tile.along_k else ("TILE_K", f"TILE_{letter}")
            shapes[tile.name] = (names, rows * (row + _PAD))
        elements = self.stages * sum(count for _, count in shapes.values())
        total = max(elements * _HALF_BYTES, shared_bytes(self.choice))
        if total <= STATIC_SHARED:
            code.add(f"__shared__ __align__(128) unsigned char shared[{total}];")
        else:
            code.add("extern __shared__ __align__(128) unsigned char shared[];")
            self.dynamic_shared = total
        start = "shared"
        for name, (bounds, count) in shapes.items():
            kind_of = f"{kind} (*)[{bounds[0]}][{bounds[1]} + {_PAD}]"
            code.add(f"const auto {name}_tile = reinterpret_cast<{kind_of}>({start});")
            start = f"shared + {self.stages * count * _HALF_BYTES}"

    def _multiply(self) -> None:
        """One step along K: load fragments, multiply them pair by pair."""
        code = self.code
        a_place, b_place = self._first_places()
        code.add(
            f"const unsigned a_rows = shared_address(&{a_place});",
            f"const unsigned b_rows = shared_address(&{b_place});",
        )
        code.open("const auto multiply = [&](int stage) {")
        code.add("#pragma unroll")
        code.open(f"for (int k = 0; k < TILE_K; k += {DEPTH}) {{")
        code.add(f"unsigned a_part[{self.parts_m}][4], b_part[{self.parts_n}][2];", "#pragma unroll")
        code.open(f"for (int i = 0; i < {self.parts_m}; ++i) {{")
        where = f"a_rows + {self.distance(self.a_tile, 'stage', 'i * 16', 'k')}"
        code.add(f"{_load(self.a_tile)}(a_part[i][0], a_part[i][1], a_part[i][2], a_part[i][3], {where});")
        code.close()
        code.add("#pragma unroll")
        code.open(f"for (int j = 0; j < {self.parts_n}; j += {min(2, self.parts_n)}) {{")
        where = f"b_rows + {self.distance(self.b_tile, 'stage', 'j * 8', 'k')}"
        into = "b_part[j][0], b_part[j][1]" + (", b_part[j + 1][0], b_part[j + 1][1]" if self.parts_n > 1 else "")
        code.add(f"{_load(self.b_tile)}({into}, {where});")
        code.close()
        code.add("#pragma unroll")
        code.open(f"for (int i = 0; i < {self.parts_m}; ++i) {{")
        code.add("#pragma unroll")
        code.add(
            f"for (int j = 0; j < {self.parts_n}; ++j) multiply_add_{self.dtype}(sum[i][j], a_part[i], b_part[j]);"
        )
        code.close()
        code.close()
        code.close("};")

    def _first_places(self) -> tuple[str, str]:
        """C++ of the element of stage 0 at which the row starts that this lane names for the warp's first fragments.

        Of the left matrix the eight rows further on come before the eight elements further along K; of the right one the
        eight elements along K come before the eight columns.
        """
        a, b = self.a_tile, self.b_tile
        if a.along_k:
            left = self.place(a, "0", "warp_m + lane % 16", "lane / 16 * 8")
        else:
            left = self.place(a, "0", "warp_m + lane / 8 % 2 * 8", "lane / 16 * 8 + lane % 8")
        further = " + lane / 16 * 8" if self.parts_n > 1 else ""
        if b.along_k:
            right = self.place(b, "0", f"warp_n{further} + lane % 8", "lane / 8 % 2 * 8")
        else:
            right = self.place(b, "0", f"warp_n{further}", "lane % 16")
        return left, right

    def _epilogue(self) -> set[str]:
        """As many rows of the warp's sums as fit go through shared memory at a time, then the pointwise work and the stores.

        The pointwise work is a loop, not unrolled: it is written out once for each round, and runs once for each tile.
        """
        code = self.code
        width = min(self.store_width(8), self.warp_n)
        parts = self._parts_a_round()
        per_row, count = f"(WARP_N / {width})", parts * 16 * self.warp_n // width
        kind = f"float (*)[WARP_N + {_PAD}]"
        code.add(f"const auto rows = reinterpret_cast<{kind}>(shared) + threadIdx.x / 32 * {parts * 16};")
        helpers: set[str] = set()
        for first in range(0, self.parts_m, parts):
            code.add("__syncwarp();" if first else "", "#pragma unroll")
            code.open(f"for (int i = 0; i < {parts}; ++i) {{")
            code.add("#pragma unroll")
            code.open(f"for (int j = 0; j < {self.parts_n}; ++j) {{")
            part = f"i + {first}" if first else "i"
            for at in (0, 2):
                where = f"rows[i * 16 + lane / 4{' + 8' if at else ''}][j * 8 + lane % 4 * 2]"
                pair = f"sum[{part}][j][{at}], sum[{part}][j][{at + 1}]"
                code.add(f"store_vector<2>(&{where}, Vector<float, 2>{{{pair}}});")
            code.close()
            code.close()
            code.add("__syncwarp();", "#pragma unroll 1")
            code.open(f"for (int q = lane; q < {count}; q += 32) {{")
            code.add(f"const int row = q / {per_row};", f"const int column = q % {per_row} * {width};")
            held = f"const auto held = load_vector<{width}>(&rows[row][column]);"
            line = f"tile_m + warp_m + {first * 16} + row" if first else "tile_m + warp_m + row"
            sums = f"held.at[{'j' if width > 1 else 0}]"
            helpers |= self.results(line, "tile_n + warp_n + column", width, sums, [held])
            code.close()
        return helpers

    def _parts_a_round(self) -> int:
        """Fragments along rows whose sums fit into the shared memory of the tiles at once."""
        parts, warps = self.parts_m, self.threads // 32
        while parts > 1 and warps * parts * 16 * (self.warp_n + _PAD) * _SUM_BYTES > shared_bytes(self.choice):
            parts //= 2
        return parts


def _load(tile: OperandTile) -> str:
    """The function that loads fragments of a tile: ldmatrix transposes those that do not lie along K."""
    return "load_matrices" if tile.along_k else "load_matrices_transposed"
