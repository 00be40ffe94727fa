"""Attention with online softmax: what can be chosen, and what the choices mean for a block.

A block computes `tile_q` queries. Keys and values come through shared memory, `tile_k` at a time; each thread keeps a running
maximum and sum of its queries' scores and rescales what it has of the result when the maximum grows (Milakov and Gimelshein,
arXiv:1805.02867; Dao et al., arXiv:2205.14135). So scores never reach global memory. Sums are float32.

Without `tensor_cores`, a query belongs to `lanes` threads of a warp, which share its keys and then its result's columns; each
thread has several queries and keys, so that a value read from shared memory is used more than once. With them (16-bit
types), a warp computes 16 or 32 queries with mma.m16n8k16, and probabilities are rounded to 16 bits for the second product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kernelwright.agents.builtin.affine import Affine
from kernelwright.agents.builtin.dtypes import SIZE
from kernelwright.agents.builtin.emit import vector_width_limit
from kernelwright.agents.builtin.generated import ceil_div
from kernelwright.agents.builtin.spec import AttentionSpec, KernelSpec, Operand

__all__ = [
    "DTYPES",
    "CoreShape",
    "LaneShape",
    "Rows",
    "Sizes",
    "defaults",
    "fits",
    "legal",
    "operand_rows",
    "plain",
    "shape_of",
    "sizes",
    "space",
]

DTYPES = ("float32", "float16", "bfloat16")
"""Of queries, keys and values, all three alike."""

_STATIC_SHARED = 48 * 1024
"""Bytes of shared memory a block may declare statically."""
_MOST_SHARED = 99 * 1024
"""Bytes a block gets where it asks for dynamic shared memory, on every card from compute capability 8.0 on (CUDA C++ Programming
Guide, table of technical specifications: 99 KB on 8.6 and 8.9, more on others)."""
_REGISTER_FILE = 65536
_MOST_REGISTERS = 255
"""Of a thread (CUDA C++ Programming Guide, table of technical specifications)."""
_OWN_REGISTERS = 40
"""Registers a thread needs besides the numbers counted below: addresses, limits, temporaries (from ptxas reports)."""
_ENOUGH_BLOCKS = 100
"""Blocks that the default tiles aim at: three quarters of the 132 SMs of an H200 have one then."""
_ENOUGH_THREADS = 48 * 1024
"""Threads they aim at without tensor cores: 12 warps for each of those SMs hide most of the latency of shared memory."""
_TILES_Q = (16, 32, 64, 128)
_TILES_K = (8, 16, 32, 64, 128)
_THREADS = (32, 64, 128, 256)

Knobs = Mapping[str, int | str | bool]


@dataclass(frozen=True)
class Sizes:
    """Extents: batches (heads included), queries, keys, width of a key, width of a value."""

    batch: int
    m: int
    n: int
    d: int
    c: int


def sizes(spec: AttentionSpec) -> Sizes:
    """Of one kernel."""
    return Sizes(*(spec.extent(x) for x in (spec.batch_dims, spec.m_dims, spec.n_dims, spec.columns, spec.c_dims)))


@dataclass(frozen=True)
class Rows:
    """An operand as rows (queries or keys) of columns (their elements)."""

    operand: Operand
    base: Affine
    row_stride: int
    column_stride: int
    rows: int
    columns: int

    @property
    def widest(self) -> int:
        """Neighbours along a row that one access may move: at most 16 bytes, aligned for every row and batch."""
        if self.column_stride != 1:
            return 1
        steps = (
            self.row_stride if self.rows > 1 else 0,
            self.base.const,
            *(c for _, c in self.base.terms),
            self.columns,
        )
        limit = vector_width_limit(self.operand.buffer.dtype)
        return max(w for w in (1, 2, 4, 8) if w <= limit and all(step % w == 0 for step in steps))


def operand_rows(spec: AttentionSpec) -> tuple[Rows, Rows, Rows]:
    """Queries, keys and values."""
    s = sizes(spec)
    roles = (
        (spec.m_dims, spec.columns, s.m, s.d),
        (spec.n_dims, spec.columns, s.n, s.d),
        (spec.n_dims, spec.c_dims, s.n, s.c),
    )
    found = []
    for operand, (rows, columns, count, width) in zip(spec.operands, roles, strict=True):
        own = {*rows, *columns}
        base = Affine(operand.offset.const, tuple(t for t in operand.offset.terms if t[0] not in own))
        steps = [operand.offset.coefficient(dims[-1]) if dims else 0 for dims in (rows, columns)]
        found.append(Rows(operand, base, steps[0], steps[1] if columns else 1, count, width))
    return found[0], found[1], found[2]


def _up(number: int, step: int) -> int:
    return ceil_div(number, step) * step


@dataclass(frozen=True)
class LaneShape:
    """How a block divides its work without tensor cores. All shared tiles hold float32."""

    threads: int
    tile_q: int
    tile_k: int
    lanes: int
    """Threads that share a query."""
    d: int
    c: int
    fetched: int
    """Registers for the next tile, if it is fetched ahead."""

    @classmethod
    def of(cls, d: int, c: int, p: Knobs) -> LaneShape | None:
        """The best division for these knobs; None if there is none."""
        threads, tile_q, tile_k = (int(p[k]) for k in ("threads", "tile_q", "tile_k"))
        ahead = ceil_div(tile_k * (d + c), threads) if p.get("prefetch") else 0
        shapes = [
            cls(threads, tile_q, tile_k, lanes, d, c, ahead)
            for lanes in (4, 8, 16, 32)
            if tile_k % lanes == 0 and threads >= lanes and tile_q * lanes % threads == 0
        ]
        return min(shapes, key=lambda s: (not s.fits, s.loads), default=None)

    @property
    def groups(self) -> int:
        """Queries that the block's threads have at once."""
        return self.threads // self.lanes

    @property
    def queries(self) -> int:
        """Of a thread."""
        return self.tile_q // self.groups

    @property
    def keys(self) -> int:
        """Of a thread, in each tile."""
        return self.tile_k // self.lanes

    @property
    def d_padded(self) -> int:
        """Elements of a query or key that are multiplied: zeros fill the last four."""
        return _up(self.d, 4)

    @property
    def d_stride(self) -> int:
        """Elements between rows of queries and keys: an odd number of 16-byte pieces spreads eight rows over all banks."""
        return self.d_padded + (4 if self.d_padded % 8 == 0 else 0)

    @property
    def c_width(self) -> int:
        """Neighbouring columns of the result that a thread has: four save loads, fewer save columns that are none."""
        return min((4, 2, 1), key=lambda w: _up(self.c, self.lanes * w) * (1 + 1 / (self.queries * w)))

    @property
    def c_padded(self) -> int:
        """Columns that are computed."""
        return _up(self.c, self.lanes * self.c_width)

    @property
    def c_stride(self) -> int:
        """Elements between rows of values."""
        return _up(self.c_padded, 4)

    @property
    def p_stride(self) -> int:
        """Elements between rows of probabilities: rows of one warp lie in banks of their own."""
        return _up(self.tile_k + self.lanes, 4)

    @property
    def columns(self) -> int:
        """Columns of the result that a thread has."""
        return self.c_padded // self.lanes

    @property
    def loads(self) -> float:
        """Shared loads for each multiplication, over both products."""
        first = self.d_padded / 4 * (self.queries + self.keys)
        second = self.queries * self.tile_k / 4 + self.tile_k * self.columns / self.c_width
        work = self.queries * (self.keys * self.d_padded + self.tile_k * self.columns)
        return (first + second) / work

    @property
    def shared(self) -> int:
        """Bytes."""
        rows = self.tile_q + self.tile_k
        return 4 * (rows * self.d_stride + self.tile_k * self.c_stride + self.tile_q * self.p_stride)

    @property
    def dynamic_shared(self) -> int:
        """Bytes that the launch must ask for: all of them, where they are more than a block may declare."""
        return self.shared if self.shared > _STATIC_SHARED else 0

    @property
    def registers(self) -> int:
        """Of a thread, about."""
        first = self.queries * self.keys + 4 * self.keys + 4
        second = 4 * self.queries + self.c_width
        return self.queries * (self.columns + 2) + max(first, second) + self.fetched + _OWN_REGISTERS

    @property
    def fits(self) -> bool:
        """Whether a block can run without spilling."""
        enough = self.registers <= _MOST_REGISTERS and self.threads * self.registers <= _REGISTER_FILE
        return enough and self.shared <= _MOST_SHARED and self.queries >= 1


@dataclass(frozen=True)
class CoreShape:
    """How a block divides its work with tensor cores. Shared tiles hold keys and values in their own 16 bits."""

    threads: int
    tile_q: int
    tile_k: int
    d: int
    c: int
    fetched: int
    """Registers for the next tile, if it is fetched ahead."""

    @classmethod
    def of(cls, d: int, c: int, p: Knobs) -> CoreShape | None:
        """The division for these knobs; None if there is none."""
        threads, tile_q, tile_k = (int(p[k]) for k in ("threads", "tile_q", "tile_k"))
        if tile_q * 32 not in (16 * threads, 32 * threads) or tile_k % 16:
            return None
        ahead = ceil_div(tile_k * (_up(d, 16) + _up(c, 16)), 2 * threads) if p.get("prefetch") else 0
        return cls(threads, tile_q, tile_k, d, c, ahead)

    @property
    def strips(self) -> int:
        """Strips of 16 queries that a warp has."""
        return self.tile_q * 2 // self.threads

    @property
    def d_padded(self) -> int:
        """Elements of a query or key that are multiplied."""
        return _up(self.d, 16)

    @property
    def c_padded(self) -> int:
        """Columns of the result that are computed."""
        return _up(self.c, 16)

    @property
    def d_stride(self) -> int:
        """Elements between rows of keys: 16 bytes more than they have, so that ldmatrix meets no bank twice."""
        return self.d_padded + 8

    @property
    def c_stride(self) -> int:
        """The same for values."""
        return self.c_padded + 8

    @property
    def shared(self) -> int:
        """Bytes."""
        return 2 * self.tile_k * (self.d_stride + self.c_stride)

    @property
    def dynamic_shared(self) -> int:
        """Bytes that the launch must ask for: all of them, where they are more than a block may declare."""
        return self.shared if self.shared > _STATIC_SHARED else 0

    @property
    def registers(self) -> int:
        """Of a thread, about."""
        strip = self.d_padded // 4 + self.c_padded // 2 + self.tile_k // 2 + 4
        return self.strips * strip + self.fetched + _OWN_REGISTERS

    @property
    def fits(self) -> bool:
        """Whether a block can run without spilling."""
        enough = self.registers <= _MOST_REGISTERS and self.threads * self.registers <= _REGISTER_FILE
        return enough and self.shared <= _MOST_SHARED


def shape_of(s: Sizes, p: Knobs) -> LaneShape | CoreShape | None:
    """The division of a block's work that the knobs ask for; None if there is none."""
    kind = CoreShape if p.get("tensor_cores") else LaneShape
    return kind.of(s.d, s.c, p)


def fits(d: int, c: int, dtype: str) -> bool:
    """Whether keys of this width and values of that one can be handled at all."""
    small = {"tile_q": 16, "tile_k": 8, "tensor_cores": False}
    shapes = (LaneShape.of(d, c, {**small, "threads": threads}) for threads in _THREADS)
    return dtype in DTYPES and any(shape is not None and shape.fits for shape in shapes)


def space(spec: KernelSpec) -> dict[str, tuple[int | str | bool, ...]]:
    """Values of each knob; combinations are checked by `legal`."""
    assert isinstance(spec, AttentionSpec)
    widest = max(rows.widest for rows in operand_rows(spec))
    half = SIZE[spec.operands[0].buffer.dtype] == 2
    return {
        "tile_q": _TILES_Q,
        "tile_k": _TILES_K,
        "threads": _THREADS,
        "vector_width": tuple(w for w in (1, 2, 4, 8) if w <= widest),
        "prefetch": (False, True),
        "tensor_cores": (False, True) if half else (False,),
    }


def legal(spec: KernelSpec, p: Knobs) -> bool:
    """Whether a combination can run, and is no plain waste of threads."""
    assert isinstance(spec, AttentionSpec)
    s = sizes(spec)
    shape = shape_of(s, p)
    if shape is None or not shape.fits:
        return False
    wasted = (shape.tile_q > 16 and shape.tile_q >= 2 * s.m) or (shape.tile_k > 16 and shape.tile_k >= 2 * s.n)
    return not wasted


_CORE_TILES = (
    (128, 64, 256), (128, 32, 256), (64, 128, 128), (64, 64, 128), (64, 32, 128), (64, 16, 128), (32, 64, 64),
    (32, 32, 64), (32, 16, 64), (16, 32, 32), (16, 16, 32),
)  # fmt: skip
_LANE_TILES = (
    (64, 32, 128), (64, 32, 256), (32, 32, 256), (16, 32, 128), (16, 16, 64), (16, 16, 32), (16, 8, 32),
)  # fmt: skip
_WIDE_LANE_TILES = ((64, 32, 256), (32, 32, 128), (32, 16, 128), (16, 16, 64), (16, 8, 32))
"""Tiles of queries and of keys, and threads, largest first; in modelled time on an H200 better than others of their size."""
_WIDE = 64
"""Width of keys or values above which two threads for each query have too many columns of the result."""


def defaults(spec: KernelSpec) -> dict[str, int | str | bool]:
    """The largest tiles that still give the SMs a block each; tensor cores where the types allow."""
    assert isinstance(spec, AttentionSpec)
    return (_first(spec, True) if True in space(spec)["tensor_cores"] else None) or plain(spec, narrow=False)


def plain(spec: KernelSpec, *, narrow: bool = True) -> dict[str, int | str | bool]:
    """The same without tensor cores; `narrow`: one element a load."""
    assert isinstance(spec, AttentionSpec)
    found = _first(spec, False) or _any_legal(spec)
    return {**found, "vector_width": 1} if narrow else found


def _first(spec: AttentionSpec, tensor_cores: bool) -> dict[str, int | str | bool] | None:
    s = sizes(spec)
    chosen: dict[str, int | str | bool] | None = None
    most = 0
    lane_tiles = _WIDE_LANE_TILES if max(s.d, s.c) > _WIDE else _LANE_TILES
    for tile_q, tile_k, threads in _CORE_TILES if tensor_cores else lane_tiles:
        trial = _choice(spec, tile_q, tile_k, threads, tensor_cores)
        blocks = s.batch * ceil_div(s.m, tile_q)
        # with tensor cores every division has as many threads in all
        amount = blocks if tensor_cores else blocks * threads
        if amount > most and legal(spec, trial):
            chosen, most = trial, amount
            if amount >= (_ENOUGH_BLOCKS if tensor_cores else _ENOUGH_THREADS):
                break
    return chosen


def _any_legal(spec: AttentionSpec) -> dict[str, int | str | bool]:
    for tile_q in _TILES_Q:
        for tile_k in _TILES_K:
            for threads in _THREADS:
                trial = _choice(spec, tile_q, tile_k, threads, tensor_cores=False)
                if legal(spec, trial):
                    return trial
    raise AssertionError("attention_match asks whether it fits")


def _choice(
    spec: AttentionSpec, tile_q: int, tile_k: int, threads: int, tensor_cores: bool
) -> dict[str, int | str | bool]:
    return {
        "tile_q": tile_q,
        "tile_k": tile_k,
        "threads": threads,
        "vector_width": max(rows.widest for rows in operand_rows(spec)),
        "prefetch": False,
        "tensor_cores": tensor_cores,
    }
