"""The matrix product template: tiles in shared memory, register blocking, an epilogue fused into the store.

A block computes a tile_m x tile_n tile, stepping through K by tile_k; each thread holds thread_m x thread_n sums, in groups of four
neighbours so that shared memory is read 16 bytes at a time without bank conflicts. The next tiles are fetched into
registers while the current ones are multiplied; with two `stages` they also have a second shared buffer, which saves a barrier.
With `slices` above 1, that many groups of threads share a tile, each taking its part of every step along K; their sums are added in a
fixed order at the end. That keeps more warps busy where the matrix has few tiles. Arithmetic is float32 (float64 for float64); long sums are put aside every 256 steps, so that rounding does not grow with K.
"""

from __future__ import annotations

from collections.abc import Mapping

from kernelwright.agents.builtin.affine import Affine
from kernelwright.agents.builtin.dtypes import C_TYPE, SIZE, value_dtype
from kernelwright.agents.builtin.emit import Code, ScopeWriter, from_memory, vector_width_limit
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
from kernelwright.agents.builtin.spec import KernelSpec, Operand
from kernelwright.agents.builtin.values import Buffer

__all__ = ["defaults", "generate", "legal", "space"]

_STATIC_SHARED = 48 * 1024
"""Bytes of shared memory a block may declare statically."""
_REGISTER_FILE = 65536
_FLUSH = 256
"""Steps along K after which partial sums are added to the totals."""
_BUSY_THREADS = 512
"""Threads per SM that the default slices aim at: 16 warps hide most of the latency of shared memory."""
_SMS = 132
"""SMs of an H200: the default tiles give at least one block to each where the matrix allows."""
_PAD = 4
"""Elements between rows of a shared tile: keeps 16-byte alignment and spreads the banks."""


def _sizes(spec: KernelSpec) -> tuple[int, int, int, int]:
    batch, m, n = (spec.extent(d) for d in (spec.batch_dims, spec.m_dims, spec.n_dims))
    return batch, m, n, spec.extent(spec.columns)


def space(spec: KernelSpec) -> dict[str, tuple[int | str | bool, ...]]:
    """Values of each knob; combinations are checked by `legal`."""
    return {
        "tile_m": (16, 32, 64, 128),
        "tile_n": (16, 32, 64, 128),
        "tile_k": (8, 16, 32),
        "thread_m": (1, 2, 4, 8),
        "thread_n": (1, 2, 4, 8),
        "stages": (1, 2),
        "slices": (1, 2, 4, 8),
    }


def legal(spec: KernelSpec, p: Mapping[str, int | str | bool]) -> bool:
    """Whether a combination can run."""
    tm, tn, tk, rm, rn = (int(p[k]) for k in ("tile_m", "tile_n", "tile_k", "thread_m", "thread_n"))
    stages, slices = int(p["stages"]), int(p["slices"])
    if tm % rm or tn % rn or tk % slices:
        return False
    group = (tm // rm) * (tn // rn)
    threads = group * slices
    size = SIZE[_compute(spec)]
    # A warp belongs to one slice, so that none diverges.
    if group % 32 or threads > 1024:
        return False
    shared = stages * tk * (tm + tn + 2 * _PAD) + (tm * tn if slices > 1 else 0)
    if shared * size > _STATIC_SHARED:
        return False
    sums = rm * rn * (2 if _sizes(spec)[3] > 2 * _FLUSH * slices else 1) * (size // 4)
    staged = ceil_div(tm * tk, threads) + ceil_div(tn * tk, threads)
    return threads * (sums + rm + rn + staged * (size // 4) + 32) <= _REGISTER_FILE and sums + staged <= 200


def defaults(spec: KernelSpec) -> dict[str, int | str | bool]:
    """The largest tiles that still give every SM a block (32 x 32 if none do), and slices until every SM has threads enough."""
    batch, m, n, k = _sizes(spec)
    shapes: tuple[tuple[int, int, int, int, int], ...] = (
        (128, 128, 16, 8, 8),
        (128, 64, 16, 8, 4),
        (64, 64, 16, 4, 4),
        (32, 64, 16, 4, 4),
        (32, 32, 16, 4, 4),
    )
    if m <= 16:
        shapes = ((16, 64, 16, 2, 4), (16, 32, 16, 2, 4))
    chosen: dict[str, int | str | bool] = {}
    for tm, tn, tk, rm, rn in shapes:
        chosen = {"tile_m": tm, "tile_n": tn, "tile_k": tk, "thread_m": rm, "thread_n": rn, "stages": 2, "slices": 1}
        fits = tm < 2 * m and tn < 2 * n
        if fits and legal(spec, chosen) and batch * ceil_div(m, tm) * ceil_div(n, tn) >= _SMS:
            break
    if not legal(spec, chosen):
        chosen = {**chosen, "stages": 1}
    tm, tn = int(chosen["tile_m"]), int(chosen["tile_n"])
    group = (tm // int(chosen["thread_m"])) * (tn // int(chosen["thread_n"]))
    blocks_per_sm = max(1, batch * ceil_div(m, tm) * ceil_div(n, tn) // _SMS)
    for slices in (2, 4, 8):
        trial = {**chosen, "slices": slices, "tile_k": 32 if slices > 2 else 16}
        enough = blocks_per_sm * group * int(chosen["slices"]) >= _BUSY_THREADS
        if enough or k < 32 * slices or not legal(spec, trial):
            break
        chosen = trial
    return chosen


def _compute(spec: KernelSpec) -> str:
    assert spec.a is not None
    return value_dtype(spec.a.buffer.dtype)


class _Tile:
    """How the tile of one operand is loaded: along which dimension its elements are neighbours, and how many at once."""

    def __init__(self, spec: KernelSpec, operand: Operand, outer: list[int], extent: int, name: str) -> None:
        self.name = name
        self.dtype = operand.buffer.dtype
        self.extent = extent
        self.outer_stride = operand.offset.coefficient(outer[-1]) if outer else 0
        inner = spec.columns
        self.k_stride = operand.offset.coefficient(inner[-1]) if inner else 0
        k = spec.extent(inner)
        own = {*outer, *inner}
        self.base = Affine(operand.offset.const, tuple(t for t in operand.offset.terms if t[0] not in own))
        self.along_k = self.k_stride == 1 or self.outer_stride != 1
        other = self.outer_stride if self.along_k else self.k_stride
        run, length = (self.k_stride, k) if self.along_k else (self.outer_stride, extent)
        self.width = 1
        for width in (2, 4):
            aligned = all(c % width == 0 for c in (other, self.base.const, *(c for _, c in self.base.terms)))
            if run == 1 and length % width == 0 and aligned and width <= vector_width_limit(self.dtype):
                self.width = width


def generate(
    spec: KernelSpec, name: str, parameters: Mapping[str, int | str | bool], pointers: Mapping[Buffer, str]
) -> Generated:
    """Writes the kernel."""
    return _Writer(spec, name, parameters, pointers).run()


class _Writer:
    def __init__(
        self, spec: KernelSpec, name: str, p: Mapping[str, int | str | bool], pointers: Mapping[Buffer, str]
    ) -> None:
        assert spec.a is not None
        assert spec.b is not None
        self.spec, self.name, self.pointers = spec, name, pointers
        self.tm, self.tn, self.tk = int(p["tile_m"]), int(p["tile_n"]), int(p["tile_k"])
        self.rm, self.rn, self.stages = int(p["thread_m"]), int(p["thread_n"]), int(p["stages"])
        self.slices = int(p["slices"])
        self.group = (self.tm // self.rm) * (self.tn // self.rn)
        """Threads that share a tile and a slice of K."""
        self.threads = self.group * self.slices
        self.fm, self.fn = min(4, self.rm), min(4, self.rn)
        self.batch, self.m, self.n, self.k = _sizes(spec)
        self.a_tile = _Tile(spec, spec.a, spec.m_dims, self.m, "a")
        self.b_tile = _Tile(spec, spec.b, spec.n_dims, self.n, "b")
        self.compute = _compute(spec)
        self.kind = C_TYPE[self.compute]
        affines = spec_affines(spec)
        extents = spec.space.extents
        outside = [self.a_tile.base, self.b_tile.base]
        self.batch_loops = merge(spec.batch_dims, extents, [*affines, *outside], "batch")
        self.m_loops = merge(spec.m_dims, extents, affines, "m")
        self.n_loops = merge(spec.n_dims, extents, affines, "n")
        self.indexer = Indexer(extents, (*self.batch_loops, *self.m_loops, *self.n_loops))
        self.flush = self.k > 2 * _FLUSH * self.slices
        self.code = Code()

    def run(self) -> Generated:
        code, spec = self.code, self.spec
        reads, writes = kernel_buffers(spec)
        total = "total" if self.flush else "sum"
        code.add(
            f"// ({self.m} x {self.k}) by ({self.k} x {self.n}){f', {self.batch} times' if self.batch > 1 else ''}: tiles of "
            f"{self.tm} x {self.tn}, {self.rm} x {self.rn} sums a thread."
        )
        signature(
            code, self.name, self.threads,
            [read_parameter(b.dtype, self.pointers[b]) for b in reads],
            [write_parameter(b.dtype, self.pointers[b]) for b in writes],
        )  # fmt: skip
        sizes = {"M": self.m, "N": self.n, "K": self.k, "TILE_M": self.tm, "TILE_N": self.tn, "TILE_K": self.tk}
        code.add(*[f"constexpr int {name} = {value};" for name, value in sizes.items()])
        code.add(f"constexpr int THREADS = {self.threads};")
        tiles_m, tiles_n = ceil_div(self.m, self.tm), ceil_div(self.n, self.tn)
        code.add(f"constexpr int TILES_M = {tiles_m};", f"constexpr int TILES_N = {tiles_n};")
        for letter, extent in (("a", "TILE_M"), ("b", "TILE_N")):
            code.add(f"__shared__ __align__(16) {self.kind} {letter}_tile[{self.stages}][TILE_K][{extent} + {_PAD}];")
        code.add("const int tile_n = blockIdx.x % TILES_N * TILE_N;")
        code.add("const int tile_m = blockIdx.x / TILES_N % TILES_M * TILE_M;")
        if self.batch > 1:
            code.add("const int batch = blockIdx.x / (TILES_N * TILES_M);")
            code.add(*self.indexer.decompose("batch", self.batch_loops, "int"))
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
        self._loader(self.a_tile, "m", "TILE_M", "M")
        self._loader(self.b_tile, "n", "TILE_N", "N")
        self._multiply()
        self._main_loop()
        if self.slices > 1:
            self._add_slices(total)
        code.add("")
        helpers = self._epilogue(total)
        code.close()
        grid = (self.batch * tiles_m * tiles_n, 1, 1)
        features = dtype_features([b.dtype for b in (*reads, *writes)]) | {"vector"}
        summary = f"tiles of {self.tm} x {self.tn} x {self.tk}, {self.rm} x {self.rn} sums a thread"
        summary += f", {self.stages} stage{'s' if self.stages > 1 else ''}"
        summary += f", {self.slices} slices of K" if self.slices > 1 else ""
        launch = Launch(self.name, grid, self.threads, (*reads, *writes))
        return Generated(code.text(), [launch], helpers, features, summary)

    def _loader(self, tile: _Tile, letter: str, size: str, limit: str) -> None:
        """Two closures: fetch a tile from global memory to registers, and put it into shared memory."""
        code, name, width = self.code, tile.name, tile.width
        pointer = self.pointers[(self.spec.a if name == "a" else self.spec.b).buffer]  # type: ignore[union-attr]
        extent = self.tm if name == "a" else self.tn
        vectors = extent * self.tk // width
        loads = ceil_div(vectors, self.threads)
        kind = f"Vector<{C_TYPE[tile.dtype]}, {width}>"
        base = self.indexer.text(tile.base)
        big = (
            "LL"
            if max(
                tile.outer_stride * tile.extent, tile.k_stride * self.k, tile.base.bounds(self.spec.space.extents)[1]
            )
            >= 2**31
            else ""
        )
        code.add(f"{kind} {name}_next[{loads}];")
        code.open(f"const auto fetch_{name} = [&](int k_begin) {{")
        self._each(loads, vectors)
        if tile.along_k:
            code.add(
                f"const int {letter} = v / (TILE_K / {width});", f"const int k = v % (TILE_K / {width}) * {width};"
            )
        else:
            code.add(
                f"const int k = v / ({size} / {width});", f"const int {letter} = v % ({size} / {width}) * {width};"
            )
        offset = f"(tile_{letter} + {letter}) * {tile.outer_stride}{big} + (k_begin + k) * {tile.k_stride}{big}"
        where = f"{pointer} + {base} + {offset}" if base != "0" else f"{pointer} + {offset}"
        tests = [t for t, needed in (
            (f"tile_{letter} + {letter} < {limit}", tile.extent % extent != 0),
            ("k_begin + k < K", self.k % self.tk != 0),
        ) if needed]  # fmt: skip
        load = f"load_vector<{width}>({where})"
        if tests:
            load = f"({' && '.join(tests)}) ? {load} : {kind}{{}}"
        code.add(f"{name}_next[i] = {load};")
        code.close()
        code.close("};")
        code.open(f"const auto stage_{name} = [&](int stage) {{")
        self._each(loads, vectors)
        element = from_memory(tile.dtype, f"{name}_next[i].at[j]")
        if tile.along_k:
            code.add(
                f"const int {letter} = v / (TILE_K / {width});", f"const int k = v % (TILE_K / {width}) * {width};"
            )
            target = f"{name}_tile[stage][k + j][{letter}]"
        else:
            code.add(
                f"const int k = v / ({size} / {width});", f"const int {letter} = v % ({size} / {width}) * {width};"
            )
            target = f"{name}_tile[stage][k][{letter} + j]"
        code.add("#pragma unroll")
        code.add(f"for (int j = 0; j < {width}; ++j) {target} = {element};")
        code.close()
        code.close("};")

    def _each(self, loads: int, vectors: int) -> None:
        self.code.add("#pragma unroll")
        self.code.open(f"for (int i = 0; i < {loads}; ++i) {{")
        self.code.add("const int v = threadIdx.x + i * THREADS;")
        if vectors % self.threads:
            self.code.add(f"if (v >= {vectors}) break;")

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

    def _main_loop(self) -> None:
        code = self.code
        code.add("", "fetch_a(0);", "fetch_b(0);")
        if self.stages == 2:
            code.add("stage_a(0);", "stage_b(0);", "__syncthreads();", "int stage = 0;")
        code.open("for (int k_begin = 0; k_begin < K; k_begin += TILE_K) {")
        if self.stages == 1:
            code.add("stage_a(0);", "stage_b(0);", "__syncthreads();")
        code.add("const bool more = k_begin + TILE_K < K;")
        code.open("if (more) {")
        code.add("fetch_a(k_begin + TILE_K);", "fetch_b(k_begin + TILE_K);")
        code.close()
        code.add("multiply(stage);" if self.stages == 2 else "multiply(0);")
        if self.stages == 2:
            code.open("if (more) {")
            code.add("stage_a(1 - stage);", "stage_b(1 - stage);")
            code.close()
            code.add("stage = 1 - stage;")
        code.add("__syncthreads();")
        if self.flush:
            code.open(
                f"if ((k_begin + TILE_K) % {_FLUSH * self.slices} == 0 || !more) {{  // long sums round less in parts"
            )
            code.add("#pragma unroll")
            code.open(f"for (int i = 0; i < {self.rm}; ++i) {{")
            code.add("#pragma unroll")
            code.open(f"for (int j = 0; j < {self.rn}; ++j) {{")
            code.add("total[i][j] += sum[i][j];", f"sum[i][j] = {self.kind}(0);")
            code.close()
            code.close()
            code.close()
        code.close()

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
        code.add("if (slice != 0) return;")

    def _epilogue(self, total: str) -> set[str]:
        """Applies the pointwise work to the sums and stores them."""
        code, spec = self.code, self.spec
        inner = self.n_loops[-1] if self.n_loops else None
        vector = inner is not None and self.fn > 1 and inner.extent % self.fn == 0 and self.n % self.fn == 0
        width = self.fn if vector else 1
        writer = ScopeWriter(spec.evaluator, self.indexer, self.pointers, inner if vector else None, width)
        code.add("#pragma unroll")
        code.open(f"for (int i = 0; i < {self.rm}; ++i) {{")
        spread = self.tm // (self.rm // self.fm)
        code.add(f"const int m = tile_m + i / {self.fm} * {spread} + thread_m + i % {self.fm};")
        if self.m % self.tm:
            code.add("if (m >= M) continue;")
        code.add(*self.indexer.decompose("m", self.m_loops, "int"))
        code.add("#pragma unroll")
        spread = self.tn // (self.rn // self.fn)
        if vector:
            code.open(f"for (int q = 0; q < {self.rn // self.fn}; ++q) {{")
            flat = f"tile_n + q * {spread} + thread_n"
            place = f"{total}[i][q * {self.fn} + j]"
        else:
            code.open(f"for (int q = 0; q < {self.rn}; ++q) {{")
            flat = f"tile_n + q / {self.fn} * {spread} + thread_n + q % {self.fn}"
            place = f"{total}[i][q]"
        single = len(self.n_loops) == 1
        code.add(f"const int {'n' if single else 'flat_n'} = {flat};")
        if self.n % self.tn:
            code.add(f"if ({'n' if single else 'flat_n'} >= N) continue;")
        if not single:
            text = f"flat_n / {width}" if width > 1 else "flat_n"
            code.add(*self.indexer.decompose(text, self.n_loops, "int", width))
        names = {number: place for number, value in enumerate(spec.evaluator.values) if value.kind == "acc"}
        write_elements(code, writer, spec, names, self.pointers)
        code.close()
        code.close()
        return writer.helpers
