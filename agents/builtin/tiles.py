"""What the two matrix product templates share: the tile of a block, the walk over K, the store of results.

`simt_tiles` multiplies on CUDA cores, `tensor_tiles` on tensor cores. In both a block computes a tile_m x tile_n tile of the
product, stepping through K by tile_k, and a thread holds thread_m x thread_n sums of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kernelwright.agents.builtin.dtypes import C_TYPE, SIZE
from kernelwright.agents.builtin.emit import Code, ScopeWriter, vector_width_limit
from kernelwright.agents.builtin.generated import (
    Generated,
    Launch,
    Scratch,
    ceil_div,
    dtype_features,
    kernel_buffers,
    read_parameter,
    signature,
    write_parameter,
)
from kernelwright.agents.builtin.loops import Indexer, is_vector, merge, spec_affines
from kernelwright.agents.builtin.persistent import pieces, resident
from kernelwright.agents.builtin.pointwise import write_elements
from kernelwright.agents.builtin.spec import KernelSpec
from kernelwright.agents.builtin.tile_loads import Loader
from kernelwright.agents.builtin.tile_operands import Choice, OperandTile, compute_dtype, operand_tiles, sizes
from kernelwright.agents.builtin.tile_parts import PartsWriter
from kernelwright.agents.builtin.values import Buffer

__all__ = ["TileWriter"]


class TileWriter:
    """Writes a kernel in three parts: the head, the loop over K, and the store of the sums; subclasses fill them in.

    Loads go through registers (`fetch_*`, then `stage_*`), or straight to shared memory with cp.async (`copy_*`).
    """

    def __init__(self, spec: KernelSpec, name: str, p: Choice, pointers: Mapping[Buffer, str]) -> None:
        self.spec, self.name, self.pointers = spec, name, pointers
        self.tm, self.tn, self.tk = int(p["tile_m"]), int(p["tile_n"]), int(p["tile_k"])
        self.rm, self.rn, self.stages = int(p["thread_m"]), int(p["thread_n"]), int(p["stages"])
        self.slices = int(p["slices"])
        self.split = int(p["split"])
        self.asynchronous = p["copy"] == "async"
        self.group = (self.tm // self.rm) * (self.tn // self.rn)
        """Threads that share a tile and a slice of K."""
        self.threads = self.group * self.slices
        self.batch, self.m, self.n, self.k = sizes(spec)
        self.tiles_m, self.tiles_n = ceil_div(self.m, self.tm), ceil_div(self.n, self.tn)
        self.all_steps = ceil_div(self.k, self.tk)
        self.steps = ceil_div(self.all_steps, self.split)
        """Steps along K of one block."""
        self.a_tile, self.b_tile = operand_tiles(spec)
        self.compute = compute_dtype(spec)
        self.kind = C_TYPE[self.compute]
        affines = spec_affines(spec)
        extents = spec.space.extents
        outside = [self.a_tile.base, self.b_tile.base]
        self.batch_loops = merge(spec.batch_dims, extents, [*affines, *outside], "batch")
        self.m_loops = merge(spec.m_dims, extents, affines, "m")
        self.n_loops = merge(spec.n_dims, extents, affines, "n")
        self.indexer = Indexer(extents, (*self.batch_loops, *self.m_loops, *self.n_loops))
        self.features: set[str] = {"vector"} | ({"async"} if self.asynchronous else set())
        self.partial: Scratch | None = None
        """The sums of each part of K, where several blocks share a tile."""
        if self.split > 1:
            self.partial = Scratch(f"{name}_partial", self.compute, self.split * self.batch * self.m * self.n)
        self.resident = resident(spec, p, self.batch * self.tiles_m * self.tiles_n)
        """Blocks of a persistent grid; 0 for a plain one."""
        self.dynamic_shared = 0
        """Bytes of dynamic shared memory a block is launched with."""
        self.code = Code()

    # the parts that differ

    def body(self) -> set[str]:
        """Writes what a block does; returns the pointwise functions it needs."""
        raise NotImplementedError

    def work(self) -> str:
        """For the summary: who multiplies, and how much a thread does."""
        raise NotImplementedError

    def place(self, tile: OperandTile, stage: str, outer: str, k: str) -> str:
        """C++ of an element of a tile in shared memory."""
        raise NotImplementedError

    def distance(self, tile: OperandTile, stage: str, outer: str, k: str) -> str:
        """C++ of the bytes from element (0, 0) of stage 0 to another one."""
        raise NotImplementedError

    def in_shared(self, tile: OperandTile, text: str) -> str:
        """A loaded element as shared memory holds it."""
        raise NotImplementedError

    def straight(self, tile: OperandTile) -> bool:
        """Whether neighbours in global memory are neighbours in shared memory."""
        raise NotImplementedError

    # what they share

    def run(self) -> Generated:
        """The kernel."""
        code, spec = self.code, self.spec
        reads, writes = kernel_buffers(spec)
        inputs: Sequence[Buffer] = reads
        results: Sequence[Buffer | Scratch] = writes
        if self.partial is not None:
            inputs, results = list(dict.fromkeys((self.a_tile.buffer, self.b_tile.buffer))), [self.partial]
        code.add(
            f"// ({self.m} x {self.k}) by ({self.k} x {self.n}){f', {self.batch} times' if self.batch > 1 else ''}: tiles of "
            f"{self.tm} x {self.tn}, {self.rm} x {self.rn} sums a thread."
        )
        signature(
            code, self.name, self.threads,
            [read_parameter(b.dtype, self.pointers[b]) for b in inputs],
            [write_parameter(r.dtype, "partial" if isinstance(r, Scratch) else self.pointers[r]) for r in results],
        )  # fmt: skip
        numbers = {"M": self.m, "N": self.n, "K": self.k, "TILE_M": self.tm, "TILE_N": self.tn, "TILE_K": self.tk}
        numbers |= {"THREADS": self.threads, "STAGES": self.stages, "STEPS": self.steps}
        numbers |= {"BATCHES": self.batch} if self.split > 1 else {}
        numbers |= {"TILES_M": self.tiles_m, "TILES_N": self.tiles_n}
        code.add(*[f"constexpr int {name} = {value};" for name, value in numbers.items()])
        blocks = self.batch * self.tiles_m * self.tiles_n * self.split
        with pieces(code, self.resident, blocks, "int", shared=True) as block:
            code.add(f"const int tile_n = {block} % TILES_N * TILE_N;")
            code.add(f"const int tile_m = {block} / TILES_N % TILES_M * TILE_M;")
            if self.batch > 1:
                part = " % BATCHES" if self.split > 1 else ""
                code.add(f"const int batch = {block} / (TILES_N * TILES_M){part};")
                code.add(*self.indexer.decompose("batch", self.batch_loops, "int"))
            if self.split > 1:
                code.add(f"const int part = {block} / (TILES_N * TILES_M * BATCHES);")
                code.add("const int first = part * STEPS * TILE_K;")
                if self.all_steps % self.split:
                    code.add(f"const int steps = min(STEPS, {self.all_steps} - part * STEPS);")
            helpers = self.body()
        code.close()
        grid = (self.resident or blocks, 1, 1)
        features = dtype_features([b.dtype for b in (*reads, *writes)]) | self.features
        launches = [Launch(self.name, grid, self.threads, (*inputs, *results), self.dynamic_shared)]
        if self.partial is not None:
            finish = PartsWriter(spec, self.name, self.pointers, self.indexer, self.partial, self.split)
            launches.append(finish.write(code, (self.m_loops, self.n_loops, self.batch_loops)))
            helpers |= finish.helpers
        return Generated(code.text(), launches, helpers, features, self._summary())

    def _summary(self) -> str:
        text = f"tiles of {self.tm} x {self.tn} x {self.tk}, {self.work()}"
        text += f", {self.stages} stage{'s' if self.stages > 1 else ''}"
        text += " of cp.async" if self.asynchronous else ""
        text += f", {self.slices} slices of K" if self.slices > 1 else ""
        text += f", {self.resident} blocks that stay" if self.resident else ""
        return text + (f", K split in {self.split} parts" if self.split > 1 else "")

    def loaders(self) -> None:
        """Closures that move a tile of either operand: `copy_a(stage, k_begin)`, or `fetch_a(k_begin)` and `stage_a(stage)`."""
        for tile, letter in ((self.a_tile, "m"), (self.b_tile, "n")):
            loader = Loader(self, tile, letter)
            loader.first()
            if self.asynchronous:
                loader.copy()
            else:
                loader.fetch()
                loader.stage()

    def walk(self, after: Sequence[str] = ()) -> None:
        """The loop over K, with the tiles of later steps on their way; `after` stands at the end of each step.

        It ends with a barrier, so that shared memory may be used for something else.
        """
        if self.asynchronous:
            self._walk_async(after)
        else:
            self._walk_registers(after)

    def _range(self) -> tuple[str, str]:
        """C++ of where the block's part of K begins, to be put before a distance, and of its number of steps."""
        if self.split == 1:
            return "", "STEPS"
        return "first + ", "steps" if self.all_steps % self.split else "STEPS"

    def _walk_async(self, after: Sequence[str]) -> None:
        """One barrier a step: it says that the step's tiles are there, and that those of the step before are read, so that
        their stage may be filled again. A group is committed in each step, empty near the end, so that the number of
        groups to leave on their way is always the same."""
        code = self.code
        first, steps = self._range()
        # as loops, not unrolled: what copies is long, and this part runs once
        code.add("", "#pragma unroll 1")
        code.open("for (int step = 0; step < STAGES - 1; ++step) {")
        code.open(f"if (step < {steps}) {{")
        code.add(f"copy_a(step, {first}step * TILE_K);", f"copy_b(step, {first}step * TILE_K);")
        code.close()
        code.add("commit_copies();")
        code.close()
        code.add("int stage = 0, later = STAGES - 1;")
        code.open(f"for (int step = 0; step < {steps}; ++step) {{")
        code.add("wait_for_copies<STAGES - 2>();", "__syncthreads();")
        code.open(f"if (step + STAGES - 1 < {steps}) {{")
        code.add(f"const int k_begin = {first}(step + STAGES - 1) * TILE_K;")
        code.add("copy_a(later, k_begin);", "copy_b(later, k_begin);")
        code.close()
        code.add("commit_copies();", "multiply(stage);")
        code.add("stage = stage + 1 == STAGES ? 0 : stage + 1;", "later = later + 1 == STAGES ? 0 : later + 1;")
        code.add(*after)
        code.close()
        code.add("__syncthreads();")

    def _walk_registers(self, after: Sequence[str]) -> None:
        code = self.code
        first, steps = self._range()
        begin = "first" if first else "0"
        code.add("", f"fetch_a({begin});", f"fetch_b({begin});")
        if self.stages == 2:
            code.add("stage_a(0);", "stage_b(0);", "__syncthreads();", "int stage = 0;")
        code.open(f"for (int step = 0; step < {steps}; ++step) {{")
        if self.stages == 1:
            code.add("stage_a(0);", "stage_b(0);", "__syncthreads();")
        code.add(f"const bool more = step + 1 < {steps};")
        code.open("if (more) {")
        code.add(f"fetch_a({first}(step + 1) * TILE_K);", f"fetch_b({first}(step + 1) * TILE_K);")
        code.close()
        code.add("multiply(stage);" if self.stages == 2 else "multiply(0);")
        if self.stages == 2:
            code.open("if (more) {")
            code.add("stage_a(1 - stage);", "stage_b(1 - stage);")
            code.close()
            code.add("stage = 1 - stage;")
        code.add("__syncthreads();", *after)
        code.close()

    def store_width(self, most: int) -> int:
        """Neighbours along N, at most so many, that every result can be stored as one vector of."""
        if self.partial is not None:
            return next(w for w in (4, 2, 1) if w <= most and w * SIZE[self.compute] <= 16 and self.n % w == 0)
        inner = self.n_loops[-1] if self.n_loops else None
        width = most
        while width > 1:
            fits = inner is not None and inner.extent % width == 0 and self.n % width == 0
            if (
                fits
                and inner is not None
                and all(
                    width <= vector_width_limit(s.buffer.dtype) and is_vector(s.offset, inner, width)
                    for s in self.spec.stores
                )
            ):
                return width
            width //= 2
        return 1

    def results(self, row: str, column: str, width: int, sums: str, before: Sequence[str] = ()) -> set[str]:
        """Applies the pointwise work to `width` sums and stores them, in a loop of which a turn may be left by `continue`.

        `row` and `column` are C++ of the place in the product; `sums` names the sums, which `before` may define; with a
        width above 1, `j` counts the neighbours in it.
        """
        code, spec = self.code, self.spec
        writer = ScopeWriter(
            spec.evaluator, self.indexer, self.pointers, self.n_loops[-1] if width > 1 else None, width
        )
        code.add(f"const int m = {row};")
        single = len(self.n_loops) == 1
        flat = "n" if single else "flat_n"
        code.add(f"const int {flat} = {column};")
        tests = ["m >= M"] if self.m % self.tm else []
        tests += [f"{flat} >= N"] if self.n % self.tn else []
        if tests:
            code.add(f"if ({' || '.join(tests)}) continue;")
        code.add(*before)
        if self.partial is not None:
            self._store_part(flat, width, sums)
            return set()
        code.add(*self.indexer.decompose("m", self.m_loops, "int"))
        if not single:
            code.add(
                *self.indexer.decompose(f"flat_n / {width}" if width > 1 else "flat_n", self.n_loops, "int", width)
            )
        names = {number: sums for number, value in enumerate(spec.evaluator.values) if value.kind == "acc"}
        write_elements(code, writer, spec, names, self.pointers)
        return writer.helpers

    def _store_part(self, flat: str, width: int, sums: str) -> None:
        """The sums of one part of K as they are."""
        code = self.code
        batch = "part * BATCHES + batch" if self.batch > 1 else "part"
        where = f"partial + (({batch}) * M + m) * N + {flat}"
        if width == 1:
            code.add(f"*({where}) = {sums};")
            return
        code.add(f"Vector<{self.kind}, {width}> of_part;", "#pragma unroll")
        code.add(f"for (int j = 0; j < {width}; ++j) of_part.at[j] = {sums};")
        code.add(f"store_vector<{width}>({where}, of_part);")
