"""Writes attention kernels: what both kinds have in common, and the kind without tensor cores (see `attention`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from kernelwright.agents.builtin.attention import CoreShape, LaneShape, Rows, operand_rows, sizes
from kernelwright.agents.builtin.attention_bounds import visible_band
from kernelwright.agents.builtin.dtypes import C_TYPE
from kernelwright.agents.builtin.emit import Code, ScopeWriter, from_memory
from kernelwright.agents.builtin.generated import (
    Generated,
    Launch,
    ceil_div,
    dtype_features,
    kernel_buffers,
    read_parameter,
    signature,
    write_parameter,
)
from kernelwright.agents.builtin.loops import Indexer, merge, spec_affines
from kernelwright.agents.builtin.pointwise import write_elements
from kernelwright.agents.builtin.spec import AttentionSpec
from kernelwright.agents.builtin.values import Buffer

__all__ = ["AttentionWriter", "LaneWriter"]

_INFINITY = "__int_as_float(0x7f800000)"
_UNROLLED = 1024
"""Multiplications in a row: a branch ends what the compiler can move a tile's loads across, and 16 KB of instructions still fit
the caches."""


class AttentionWriter(ABC):
    """One kernel. A query's probabilities are 2 to the power of (score - highest score so far) * log2(e).

    The difference comes first: score * log2(e) - highest * log2(e) as one multiply-add would err by a rounding of the
    second product, which is no longer small where scores are large, and overflows from some 1e9 on.
    """

    def __init__(
        self,
        spec: AttentionSpec,
        name: str,
        shape: LaneShape | CoreShape,
        width: int,
        prefetch: bool,
        pointers: Mapping[Buffer, str],
    ) -> None:
        self.spec, self.name, self.pointers = spec, name, pointers
        self.shape, self.prefetch = shape, prefetch
        self.sizes = sizes(spec)
        self.q, self.k, self.v = operand_rows(spec)
        self.widths = {rows: min(width, rows.widest) for rows in (self.q, self.k, self.v)}
        self.band = visible_band(spec)
        self.dtype = self.q.operand.buffer.dtype
        extents = spec.space.extents
        affines = spec_affines(spec)
        bases = [rows.base for rows in (self.q, self.k, self.v)]
        self.batch_loops = merge(spec.batch_dims, extents, [*affines, *bases], "batch")
        self.m_loops = merge(spec.m_dims, extents, affines, "m")
        self.n_loops = merge(spec.n_dims, extents, affines, "n")
        self.c_loops = merge(spec.c_dims, extents, affines, "c")
        self.indexer = Indexer(extents, (*self.batch_loops, *self.m_loops, *self.n_loops, *self.c_loops))
        self.helpers: set[str] = set()
        self.code = Code()

    def run(self) -> Generated:
        """The whole kernel."""
        code, s, shape = self.code, self.sizes, self.shape
        reads, writes = kernel_buffers(self.spec)
        times = f", {s.batch} times" if s.batch > 1 else ""
        code.add(
            f"// {s.m} queries of width {s.d} and {s.n} keys{times}: {shape.tile_q} queries a block, {shape.tile_k} keys at a time."
        )
        signature(
            code, self.name, shape.threads,
            [read_parameter(b.dtype, self.pointers[b]) for b in reads],
            [write_parameter(b.dtype, self.pointers[b]) for b in writes],
        )  # fmt: skip
        constants = {"QUERIES": s.m, "KEYS": s.n, "TILE_Q": shape.tile_q, "TILE_K": shape.tile_k, **self._constants()}
        code.add(*[f"constexpr int {name} = {value};" for name, value in constants.items()])
        code.add(f"constexpr int THREADS = {shape.threads};", f"constexpr int TILES = {ceil_div(s.m, shape.tile_q)};")
        code.add("constexpr float LOG2E = 1.4426950408889634f;")
        self._shared()
        if self.band.high is not None:  # the blocks that see most keys start first
            code.add(f"const int tile_q = (TILES - 1 - blockIdx.x / {s.batch}) * TILE_Q;")
            batch = f"blockIdx.x % {s.batch}"
        else:
            code.add("const int tile_q = blockIdx.x % TILES * TILE_Q;")
            batch = "blockIdx.x / TILES"
        if s.batch > 1:
            code.add(f"const int batch = {batch};", *self.indexer.decompose("batch", self.batch_loops, "int"))
        self._open()
        self._key_range()
        self._fetch(self.k, "k")
        self._fetch(self.v, "v")
        code.add("")
        self._queries()
        if self.prefetch:
            code.add("fetch_k(key_begin);", "fetch_v(key_begin);")
        code.open("for (int tile_k = key_begin; tile_k < key_end; tile_k += TILE_K) {")
        if not self.prefetch:
            code.add("fetch_k(tile_k);", "fetch_v(tile_k);")
        code.add("__syncthreads();  // nobody reads the last tile any more")
        code.add("stage_k();", "stage_v();", "__syncthreads();")
        if self.prefetch:
            code.open("if (tile_k + TILE_K < key_end) {")
            code.add("fetch_k(tile_k + TILE_K);", "fetch_v(tile_k + TILE_K);")
            code.close()
        self._scores()
        self._softmax()
        self._values()
        code.close()
        code.add("")
        self._results()
        code.close()
        grid = (s.batch * ceil_div(s.m, shape.tile_q), 1, 1)
        features = dtype_features([b.dtype for b in (*reads, *writes)]) | {"vector", "exp2"} | self._features()
        launch = Launch(self.name, grid, shape.threads, (*reads, *writes), shape.dynamic_shared)
        return Generated(code.text(), [launch], self.helpers, features, self._summary())

    # what the two kinds do in their own way

    @abstractmethod
    def _constants(self) -> dict[str, int]:
        """More constants of the kernel."""

    @abstractmethod
    def _features(self) -> set[str]:
        """More parts of the prelude."""

    @abstractmethod
    def _shared(self) -> None:
        """Declares shared memory."""

    @abstractmethod
    def _open(self) -> None:
        """Places of this thread, and its registers."""

    @abstractmethod
    def _put(self, letter: str, rows: Rows) -> None:
        """Stores `letter_next[i].at[...]`, which belongs at (row, column), in shared memory."""

    @abstractmethod
    def _queries(self) -> None:
        """Loads the block's queries."""

    @abstractmethod
    def _scores(self) -> None:
        """Multiplies queries and keys."""

    @abstractmethod
    def _softmax(self) -> None:
        """Turns products into scores and those into probabilities, and rescales what was summed up before."""

    @abstractmethod
    def _values(self) -> None:
        """Multiplies probabilities and values."""

    @abstractmethod
    def _results(self) -> None:
        """Divides by the sums and stores."""

    # parts

    def _summary(self) -> str:
        shape = self.shape
        text = f"online softmax, {shape.tile_q} queries a block, tiles of {shape.tile_k} keys, {shape.threads} threads"
        if isinstance(shape, CoreShape):
            text += ", tensor cores"
        if self.band != type(self.band)():
            text += ", hidden keys skipped"
        return text + (", next tile fetched ahead" if self.prefetch else "")

    def _declare(self, kind: str, size: int, tiles: Sequence[tuple[str, int, int]]) -> None:
        """Shared arrays (name, rows, columns); beyond what a block may declare they are parts of the memory it asks for."""
        dynamic = self.shape.dynamic_shared
        if dynamic:
            self.code.add(f"extern __shared__ __align__(16) {kind} all_tiles[];")
        offset = 0
        for name, rows, columns in tiles:
            if dynamic:
                self.code.add(
                    f"{kind} (*const {name})[{columns}] = reinterpret_cast<{kind} (*)[{columns}]>(all_tiles + {offset});"
                )
            else:
                self.code.add(f"__shared__ __align__(16) {kind} {name}[{rows}][{columns}];")
            offset += rows * columns
        assert offset * size == self.shape.shared

    def _key_range(self) -> None:
        code, band = self.code, self.band
        begin, end = "0", "KEYS"
        if band.high is not None:
            code.add(
                "const int seen = min(tile_q + TILE_Q, QUERIES)" + _plus(band.high) + ";  // the last query's keys"
            )
            end = "min(KEYS, seen)"
        if band.low is not None:
            begin = f"max(0, tile_q{_plus(band.low)}) / TILE_K * TILE_K"
        code.add(f"const int key_begin = {begin};", f"const int key_end = {end};")

    def _address(self, rows: Rows, row: str, column: str) -> str:
        pointer = self.pointers[rows.operand.buffer]
        base = self.indexer.text(rows.base)
        most = rows.base.bounds(self.spec.space.extents)[1]
        most += rows.row_stride * rows.rows + rows.column_stride * rows.columns
        long = "LL" if most >= 2**31 else ""
        parts = [] if base == "0" else [base]
        if rows.row_stride:
            parts.append(f"({row}) * {rows.row_stride}{long}")
        if rows.column_stride:
            parts.append(column if rows.column_stride == 1 else f"({column}) * {rows.column_stride}{long}")
        return " + ".join([pointer, *parts])

    def _padded(self, rows: Rows) -> int:
        return self.shape.c_padded if rows is self.v else self.shape.d_padded

    def _each_vector(self, rows: Rows, count: int, width: int) -> int:
        """Opens a loop over the vectors of a tile of `count` rows, with the row and column of each; returns how many a thread has."""
        code = self.code
        each = self._padded(rows) // width
        vectors = count * each
        turns = ceil_div(vectors, self.shape.threads)
        code.add("#pragma unroll")
        code.open(f"for (int i = 0; i < {turns}; ++i) {{")
        code.add("const int piece = threadIdx.x + i * THREADS;")
        if vectors % self.shape.threads:
            code.add(f"if (piece >= {vectors}) break;")
        if rows.column_stride != 1 and rows.row_stride == 1:  # neighbouring rows are neighbours in memory
            code.add(f"const int row = piece % {count};", f"const int column = piece / {count} * {width};")
        else:
            times = f" * {width}" if width > 1 else ""
            code.add(f"const int row = piece / {each};", f"const int column = piece % {each}{times};")
        return turns

    def _loaded(self, rows: Rows, width: int, count: int, first: str, limit: str) -> str:
        """A vector of an operand, zeros beyond its ends."""
        tests = []
        if rows.rows % count or self.band.low is not None:
            tests.append(f"{first} + row < {limit}")
        if self._padded(rows) != rows.columns:
            tests.append(f"column < {rows.columns}")
        load = f"load_vector<{width}>({self._address(rows, f'{first} + row', 'column')})"
        return f"({' && '.join(tests)}) ? {load} : {self._vector(width)}{{}}" if tests else load

    def _vector(self, width: int) -> str:
        return f"Vector<{C_TYPE[self.dtype]}, {width}>"

    def _fetch(self, rows: Rows, letter: str) -> None:
        """Two closures: a tile of keys or values from global memory to registers, and from there to shared memory."""
        code, width, count = self.code, self.widths[rows], self.shape.tile_k
        turns = ceil_div(count * self._padded(rows) // width, self.shape.threads)
        code.add(f"{self._vector(width)} {letter}_next[{turns}];")
        code.open(f"const auto fetch_{letter} = [&](int first) {{")
        self._each_vector(rows, count, width)
        code.add(f"{letter}_next[i] = {self._loaded(rows, width, count, 'first', 'KEYS')};")
        code.close()
        code.close("};")
        code.open(f"const auto stage_{letter} = [&]() {{")
        self._each_vector(rows, count, width)
        self._put(letter, rows)
        code.close()
        code.close("};")

    def _score_of(self, target: str, m_known: str = "") -> None:
        """Code for one score, in place of the product `target`; m and the flat key number are in scope."""
        code, spec = self.code, self.spec
        tests = [t for t, needed in (
            ("flat_n < KEYS", self.sizes.n % self.shape.tile_k != 0),
            ("m_inside", self._score_reads() and self.sizes.m % self.shape.tile_q != 0),
        ) if needed]  # fmt: skip
        if tests:
            code.add(f"float score = -{_INFINITY};")
            code.open(f"if ({' && '.join(tests)}) {{")
        single = len(self.n_loops) == 1
        if single:
            code.add(f"const int {self.n_loops[0].name} = flat_n;")
        else:
            code.add(*self.indexer.decompose("flat_n", self.n_loops, "int"))
        writer = ScopeWriter(spec.evaluator, self.indexer, self.pointers, None, 1)
        names = {spec.product: target}
        writer.write(code, [spec.score], names, lane=False)
        self.helpers |= writer.helpers
        code.add(f"{'' if tests else 'const float '}score = {names[spec.score]};")
        if tests:
            code.close()
        code.add(f"{target} = score;", "highest = fmaxf(highest, score);")

    def _score_reads(self) -> bool:
        values = self.spec.evaluator.values
        return any(values[n].kind in ("load", "gather") for n in self.spec.evaluator.reachable([self.spec.score]))

    def _query(self, place: str) -> None:
        """The query number `flat_m` with its loop variables, and whether there is such a query."""
        code = self.code
        code.add(f"const int flat_m = {place};")
        if self.sizes.m % self.shape.tile_q:
            code.add("const bool m_inside = flat_m < QUERIES;")
        code.add(*self._m_variables())

    def _m_variables(self) -> list[str]:
        if len(self.m_loops) == 1:
            return [f"const int {self.m_loops[0].name} = flat_m;"]
        return self.indexer.decompose("flat_m", self.m_loops, "int")

    def _new_scale(self, index: str) -> None:
        """From the highest score so far to what its probabilities are relative to."""
        self.code.add(
            "// No key seen yet: nothing to scale, and no NaN to make of it.",
            f"const float shift = highest == -{_INFINITY} ? 0.0f : highest;",
            f"const float shrink = exp2_of((peak{index} - shift) * LOG2E);",
            f"peak{index} = highest;",
        )

    def _inverse(self, index: str) -> str:
        inverse = f"1.0f / total{index}"
        return f"peak{index} == -{_INFINITY} ? 0.0f : {inverse}" if self.spec.zero_if_masked else inverse

    def _store(self, width: int, element: str, column: str) -> None:
        """Applies what follows to `width` neighbouring elements of the result (`element` names them by `j`) and stores them."""
        code, spec = self.code, self.spec
        single = len(self.c_loops) == 1
        name = self.c_loops[0].name if single else "flat_c"
        code.add(f"const int {name} = {column};")
        if self.shape.c_padded != self.sizes.c:
            code.add(f"if ({name} >= {self.sizes.c}) continue;")
        if not single:
            text = f"flat_c / {width}" if width > 1 else "flat_c"
            code.add(*self.indexer.decompose(text, self.c_loops, "int", width))
        inner = self.c_loops[-1] if width > 1 else None
        writer = ScopeWriter(spec.evaluator, self.indexer, self.pointers, inner, width)
        write_elements(code, writer, spec, {spec.result: element}, self.pointers)
        self.helpers |= writer.helpers

    def _store_width(self, wanted: int) -> int:
        """How many neighbours can be stored together."""
        if not self.c_loops or self.sizes.c % wanted or self.c_loops[-1].extent % wanted:
            return 1
        return wanted


def _plus(number: int) -> str:
    return f" + {number}" if number > 0 else f" - {-number}" if number else ""


class LaneWriter(AttentionWriter):
    """Without tensor cores: every thread multiplies float32 numbers from shared memory."""

    shape: LaneShape

    def _constants(self) -> dict[str, int]:
        shape = self.shape
        return {"LANES": shape.lanes, "GROUPS": shape.groups}

    def _features(self) -> set[str]:
        return set()

    def _shared(self) -> None:
        shape = self.shape
        tiles = (
            ("q_tile", shape.tile_q, shape.d_stride),
            ("k_tile", shape.tile_k, shape.d_stride),
            ("v_tile", shape.tile_k, shape.c_stride),
            ("p_tile", shape.tile_q, shape.p_stride),
        )
        self._declare("float", 4, tiles)

    def _open(self) -> None:
        shape = self.shape
        self.code.add(
            "const int lane = threadIdx.x % LANES;  // LANES threads share a query",
            "const int group = threadIdx.x / LANES;",
            f"float peak[{shape.queries}], total[{shape.queries}] = {{}};",
            f"float o_part[{shape.queries}][{shape.columns}] = {{}};",
        )
        self._each_query()
        self.code.add(f"peak[i] = -{_INFINITY};")
        self.code.close()

    def _each_query(self) -> None:
        self.code.add("#pragma unroll")
        self.code.open(f"for (int i = 0; i < {self.shape.queries}; ++i) {{")

    def _as_floats(self, source: str, width: int, target: str) -> None:
        """Stores a vector, converted, in shared memory."""
        if self.dtype == "float32":
            self.code.add(f"store_vector<{width}>(&{target}, {source});")
            return
        self.code.add("#pragma unroll")
        element = from_memory(self.dtype, f"{source}.at[j]")
        self.code.add(f"for (int j = 0; j < {width}; ++j) (&{target})[j] = {element};")

    def _put(self, letter: str, rows: Rows) -> None:
        self._as_floats(f"{letter}_next[i]", self.widths[rows], f"{letter}_tile[row][column]")

    def _queries(self) -> None:
        width = self.widths[self.q]
        self._each_vector(self.q, self.shape.tile_q, width)
        load = self._loaded(self.q, width, self.shape.tile_q, "tile_q", "QUERIES")
        self.code.add(f"const {self._vector(width)} q_next = {load};")
        self._as_floats("q_next", width, "q_tile[row][column]")
        self.code.close()

    def _scores(self) -> None:
        code, shape = self.code, self.shape
        code.add(f"float s_part[{shape.queries}][{shape.keys}] = {{}};")
        code.add(f"#pragma unroll {max(1, _UNROLLED // (4 * shape.queries * shape.keys))}")
        code.open(f"for (int d = 0; d < {shape.d_padded}; d += 4) {{")
        code.add(f"Vector<float, 4> k_part[{shape.keys}];", "#pragma unroll")
        code.add(f"for (int j = 0; j < {shape.keys}; ++j) k_part[j] = load_vector<4>(&k_tile[lane + j * LANES][d]);")
        self._each_query()
        code.add("const auto q_part = load_vector<4>(&q_tile[group + i * GROUPS][d]);", "#pragma unroll")
        code.open("for (int e = 0; e < 4; ++e) {")
        code.add("#pragma unroll")
        code.add(
            f"for (int j = 0; j < {shape.keys}; ++j) s_part[i][j] = fmaf(q_part.at[e], k_part[j].at[e], s_part[i][j]);"
        )
        code.close()
        code.close()
        code.close()

    def _softmax(self) -> None:
        code, shape = self.code, self.shape
        self._each_query()
        self._query("tile_q + group + i * GROUPS")
        code.add("float highest = peak[i];", "#pragma unroll")
        code.open(f"for (int j = 0; j < {shape.keys}; ++j) {{")
        code.add("const int flat_n = tile_k + lane + j * LANES;")
        self._score_of("s_part[i][j]")
        code.close()
        code.add("#pragma unroll")
        code.add(
            "for (int offset = LANES / 2; offset > 0; offset /= 2) highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, offset));"
        )
        self._new_scale("[i]")
        code.add("float sum = 0.0f;", "#pragma unroll")
        code.open(f"for (int j = 0; j < {shape.keys}; ++j) {{")
        code.add(
            "const float share = exp2_of((s_part[i][j] - shift) * LOG2E);",
            "p_tile[group + i * GROUPS][lane + j * LANES] = share;",
            "sum += share;",
        )
        code.close()
        code.add("total[i] = fmaf(total[i], shrink, sum);", "#pragma unroll")
        code.add(f"for (int c = 0; c < {shape.columns}; ++c) o_part[i][c] *= shrink;")
        code.close()
        code.add("__syncwarp();  // the lanes of a query read each other's probabilities")

    def _values(self) -> None:
        code, shape = self.code, self.shape
        width = shape.c_width
        code.add(f"#pragma unroll {max(1, _UNROLLED // (4 * shape.queries * shape.columns))}")
        code.open("for (int n = 0; n < TILE_K; n += 4) {")
        code.add(f"Vector<float, 4> p_part[{shape.queries}];", "#pragma unroll")
        code.add(
            f"for (int i = 0; i < {shape.queries}; ++i) p_part[i] = load_vector<4>(&p_tile[group + i * GROUPS][n]);"
        )
        code.add("#pragma unroll")
        code.open("for (int e = 0; e < 4; ++e) {")
        code.add("#pragma unroll")
        code.open(f"for (int t = 0; t < {shape.columns // width}; ++t) {{")
        code.add(f"const auto v_part = load_vector<{width}>(&v_tile[n + e][(t * LANES + lane) * {width}]);")
        self._each_query()
        code.add("#pragma unroll")
        place = f"o_part[i][t * {width} + j]"
        code.add(f"for (int j = 0; j < {width}; ++j) {place} = fmaf(p_part[i].at[e], v_part.at[j], {place});")
        for _ in range(4):
            code.close()

    def _results(self) -> None:
        code, shape = self.code, self.shape
        width = self._store_width(shape.c_width)
        self._each_query()
        code.add("#pragma unroll")
        code.add(
            "for (int offset = LANES / 2; offset > 0; offset /= 2) total[i] += __shfl_xor_sync(0xffffffffu, total[i], offset);"
        )
        code.add(f"const float inverse = {self._inverse('[i]')};", "#pragma unroll")
        code.add(f"for (int c = 0; c < {shape.columns}; ++c) o_part[i][c] *= inverse;")
        self._query("tile_q + group + i * GROUPS")
        if self.sizes.m % shape.tile_q:
            code.add("if (!m_inside) continue;")
        code.add("#pragma unroll")
        if width > 1:
            code.open(f"for (int t = 0; t < {shape.columns // width}; ++t) {{")
            self._store(width, f"o_part[i][t * {width} + j]", f"(t * LANES + lane) * {width}")
        else:
            code.open(f"for (int t = 0; t < {shape.columns}; ++t) {{")
            w = shape.c_width
            self._store(1, "o_part[i][t]", f"(t / {w} * LANES + lane) * {w} + t % {w}")
        code.close()
        code.close()
