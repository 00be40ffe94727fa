"""Writes attention kernels; here the kind that multiplies with tensor cores (16-bit types).

A warp has strips of 16 queries. Products come as mma.m16n8k16 gives them: lane l holds columns 2 (l % 4) and the next of
rows l / 4 and l / 4 + 8 of every 16 x 8 tile. That is also how the second product wants its left side, so that
probabilities go from one to the other in registers.
"""

from __future__ import annotations

from collections.abc import Mapping

from kernelwright.agents.builtin.attention import CoreShape, LaneShape, Rows, shape_of, sizes
from kernelwright.agents.builtin.attention_write import AttentionWriter, LaneWriter
from kernelwright.agents.builtin.dtypes import C_TYPE
from kernelwright.agents.builtin.generated import Generated
from kernelwright.agents.builtin.spec import AttentionSpec, KernelSpec
from kernelwright.agents.builtin.values import Buffer

__all__ = ["generate"]


def generate(
    spec: KernelSpec, name: str, parameters: Mapping[str, int | str | bool], pointers: Mapping[Buffer, str]
) -> Generated:
    """Writes the kernel, of either kind."""
    assert isinstance(spec, AttentionSpec)
    shape = shape_of(sizes(spec), parameters)
    width, prefetch = int(parameters["vector_width"]), bool(parameters["prefetch"])
    if isinstance(shape, CoreShape):
        return CoreWriter(spec, name, shape, width, prefetch, pointers).run()
    assert isinstance(shape, LaneShape), "the parameters are not legal"
    return LaneWriter(spec, name, shape, width, prefetch, pointers).run()


class CoreWriter(AttentionWriter):
    """With tensor cores."""

    shape: CoreShape

    def _constants(self) -> dict[str, int]:
        return {"STRIPS": self.shape.strips}

    def _features(self) -> set[str]:
        return {"cores", f"cores:{self.dtype}"}

    def _shared(self) -> None:
        shape = self.shape
        tiles = (("k_tile", shape.tile_k, shape.d_stride), ("v_tile", shape.tile_k, shape.c_stride))
        self._declare(C_TYPE[self.dtype], 2, tiles)

    def _open(self) -> None:
        shape = self.shape
        self.code.add(
            "const int lane = threadIdx.x % 32;",
            "const int warp_q = tile_q + threadIdx.x / 32 * (STRIPS * 16) + lane / 4;  // this lane's first query",
            "const int pair = lane % 4 * 2;  // and the first of its two columns in each tile of eight",
            "float peak[STRIPS][2], total[STRIPS][2] = {};",
            f"float o_part[STRIPS][{shape.c_padded // 8}][4] = {{}};",
        )
        self._each_row()
        self.code.add("peak[i][h] = -__int_as_float(0x7f800000);")
        self.code.close()
        self.code.close()

    def _each_strip(self) -> None:
        self.code.add("#pragma unroll")
        self.code.open("for (int i = 0; i < STRIPS; ++i) {")

    def _each_row(self) -> None:
        self._each_strip()
        self.code.add("#pragma unroll")
        self.code.open("for (int h = 0; h < 2; ++h) {")

    def _put(self, letter: str, rows: Rows) -> None:
        self.code.add(f"store_vector<{self.widths[rows]}>(&{letter}_tile[row][column], {letter}_next[i]);")

    def _queries(self) -> None:
        """Fragments of the queries stay in registers: lane l has columns 2 (l % 4), the next one, and the same 8 further on."""
        code, shape = self.code, self.shape
        kind, rows = C_TYPE[self.dtype], self.q
        code.add(f"unsigned q_part[STRIPS][{shape.d_padded // 16}][4];")
        self._each_strip()
        code.add("#pragma unroll")
        code.open(f"for (int j = 0; j < {shape.d_padded // 4}; ++j) {{")
        code.add("const int row = i * 16 + j % 2 * 8;", "const int column = j / 4 * 16 + j / 2 % 2 * 8 + pair;")
        width = 2 if self.widths[rows] >= 2 else 1
        code.add(f"Vector<{kind}, 2> two = {{}};")
        tests = ["warp_q + row < QUERIES"] if rows.rows % shape.tile_q else []
        if width == 2:
            load = f"load_vector<2>({self._address(rows, 'warp_q + row', 'column')})"
            if shape.d_padded != rows.columns:
                tests.append(f"column < {rows.columns}")
            code.add(f"{_if(tests)}two = {load};")
        else:
            for e in range(2):
                inside = [*tests, f"column + {e} < {rows.columns}"] if shape.d_padded != rows.columns else tests
                pointer = self._address(rows, "warp_q + row", f"column + {e}")
                code.add(f"{_if(inside)}two.at[{e}] = *({pointer});")
        code.add("q_part[i][j / 4][j % 4] = *reinterpret_cast<const unsigned*>(&two);")
        code.close()
        code.close()

    def _scores(self) -> None:
        code, shape = self.code, self.shape
        code.add(f"float s_part[STRIPS][{shape.tile_k // 8}][4] = {{}};", "#pragma unroll")
        code.open(f"for (int d = 0; d < {shape.d_padded // 16}; ++d) {{")
        code.add("#pragma unroll")
        code.open(f"for (int j = 0; j < {shape.tile_k // 16}; ++j) {{")
        code.add(
            "unsigned k_part[4];",
            "load_matrices(k_part, &k_tile[j * 16 + lane / 16 * 8 + lane % 8][d * 16 + lane / 8 % 2 * 8]);",
        )
        self._each_strip()
        for half in range(2):
            code.add(
                f"multiply_add_{self.dtype}(s_part[i][2 * j{' + 1' if half else ''}], q_part[i][d], "
                f"k_part[{2 * half}], k_part[{2 * half + 1}]);"
            )
        for _ in range(3):
            code.close()

    def _softmax(self) -> None:
        code, shape = self.code, self.shape
        self._each_row()
        self._query("warp_q + i * 16 + h * 8")
        code.add("float highest = peak[i][h];", "#pragma unroll")
        code.open(f"for (int j = 0; j < {shape.tile_k // 4}; ++j) {{")
        code.add("const int flat_n = tile_k + j / 2 * 8 + pair + j % 2;")
        self._score_of("s_part[i][j / 2][h * 2 + j % 2]")
        code.close()
        code.add("highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, 1));")
        code.add("highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, 2));")
        self._new_scale("[i][h]")
        code.add("float sum = 0.0f;", "#pragma unroll")
        code.open(f"for (int j = 0; j < {shape.tile_k // 4}; ++j) {{")
        code.add(
            "float& share = s_part[i][j / 2][h * 2 + j % 2];",
            "share = exp2_of((share - shift) * LOG2E);",
            "sum += share;",
        )
        code.close()
        code.add("total[i][h] = fmaf(total[i][h], shrink, sum);", "#pragma unroll")
        code.open(f"for (int c = 0; c < {shape.c_padded // 8}; ++c) {{")
        code.add("o_part[i][c][h * 2] *= shrink;", "o_part[i][c][h * 2 + 1] *= shrink;")
        for _ in range(3):
            code.close()

    def _values(self) -> None:
        code, shape = self.code, self.shape
        code.add("#pragma unroll")
        code.open(f"for (int j = 0; j < {shape.tile_k // 16}; ++j) {{")
        code.add("unsigned p_part[STRIPS][4];")
        self._each_strip()
        code.add("#pragma unroll")
        tile = "s_part[i][2 * j + r / 2]"
        code.add(
            f"for (int r = 0; r < 4; ++r) p_part[i][r] = pack_{self.dtype}({tile}[r % 2 * 2], {tile}[r % 2 * 2 + 1]);"
        )
        code.close()
        code.add("#pragma unroll")
        code.open(f"for (int c = 0; c < {shape.c_padded // 16}; ++c) {{")
        code.add(
            "unsigned v_part[4];",
            "load_transposed(v_part, &v_tile[j * 16 + lane % 16][c * 16 + lane / 16 * 8]);",
        )
        self._each_strip()
        for half in range(2):
            code.add(
                f"multiply_add_{self.dtype}(o_part[i][2 * c{' + 1' if half else ''}], p_part[i], "
                f"v_part[{2 * half}], v_part[{2 * half + 1}]);"
            )
        for _ in range(3):
            code.close()

    def _results(self) -> None:
        code, shape = self.code, self.shape
        width = self._store_width(2)
        self._each_row()
        code.add("total[i][h] += __shfl_xor_sync(0xffffffffu, total[i][h], 1);")
        code.add("total[i][h] += __shfl_xor_sync(0xffffffffu, total[i][h], 2);")
        code.add(f"const float inverse = {self._inverse('[i][h]')};", "#pragma unroll")
        code.open(f"for (int c = 0; c < {shape.c_padded // 8}; ++c) {{")
        code.add("o_part[i][c][h * 2] *= inverse;", "o_part[i][c][h * 2 + 1] *= inverse;")
        code.close()
        self._query("warp_q + i * 16 + h * 8")
        if self.sizes.m % shape.tile_q:
            code.add("if (!m_inside) continue;")
        code.add("#pragma unroll")
        if width == 2:
            code.open(f"for (int t = 0; t < {shape.c_padded // 8}; ++t) {{")
            self._store(2, "o_part[i][t][h * 2 + j]", "t * 8 + pair")
        else:
            code.open(f"for (int t = 0; t < {shape.c_padded // 4}; ++t) {{")
            self._store(1, "o_part[i][t / 2][h * 2 + t % 2]", "t / 2 * 8 + pair + t % 2")
        for _ in range(3):
            code.close()


def _if(tests: list[str]) -> str:
    return f"if ({' && '.join(tests)}) " if tests else ""
