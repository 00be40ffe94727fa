"""Facts about a matrix product that its templates and their knobs need: sizes, how operands lie in memory, what the GPU can."""

from __future__ import annotations

from collections.abc import Mapping

from kernelwright.agents.builtin.affine import Affine
from kernelwright.agents.builtin.dtypes import SIZE, value_dtype
from kernelwright.agents.builtin.emit import vector_width_limit
from kernelwright.agents.builtin.spec import KernelSpec, Operand

__all__ = [
    "COPY_BYTES",
    "STATIC_SHARED",
    "Choice",
    "OperandTile",
    "can_copy_async",
    "capability",
    "compute_dtype",
    "operand_tiles",
    "sizes",
]

Choice = Mapping[str, int | str | bool]
STATIC_SHARED = 48 * 1024
"""Bytes of shared memory a block may declare statically (CUDA Programming Guide, technical specifications)."""
COPY_BYTES = (4, 8, 16)
"""Bytes that one cp.async moves (PTX ISA 9.7.9.25)."""


def sizes(spec: KernelSpec) -> tuple[int, int, int, int]:
    """Batch, rows, columns and inner length."""
    batch, m, n = (spec.extent(d) for d in (spec.batch_dims, spec.m_dims, spec.n_dims))
    return batch, m, n, spec.extent(spec.columns)


def capability(spec: KernelSpec) -> int:
    """Ten times the compute capability that a kernel may count on: 90 for `sm_90`, 80 where nothing is said."""
    digits = "".join(c for c in spec.arch if c.isdigit())
    return int(digits) if digits else 80


def can_copy_async(spec: KernelSpec) -> bool:
    """Whether cp.async exists: from compute capability 8.0 on."""
    return capability(spec) >= 80


def compute_dtype(spec: KernelSpec) -> str:
    """The dtype of the sums."""
    assert spec.a is not None
    return value_dtype(spec.a.buffer.dtype)


class OperandTile:
    """How the tile of one operand is loaded: along which dimension its elements are neighbours, and how many at once."""

    def __init__(self, spec: KernelSpec, operand: Operand, outer: list[int], extent: int, name: str) -> None:
        self.name = name
        self.buffer = operand.buffer
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
        for width in (2, 4, 8):
            aligned = all(c % width == 0 for c in (other, self.base.const, *(c for _, c in self.base.terms)))
            if run == 1 and length % width == 0 and aligned and width <= vector_width_limit(self.dtype):
                self.width = width
        reach = (self.outer_stride * extent, self.k_stride * k, self.base.bounds(spec.space.extents)[1])
        self.big = "LL" if max(reach) >= 2**31 else ""
        """Suffix of numbers that make indices 64 bits wide, where 32 may overflow."""

    @property
    def bytes(self) -> int:
        """Of one load from global memory."""
        return self.width * SIZE[self.dtype]


def operand_tiles(spec: KernelSpec) -> tuple[OperandTile, OperandTile]:
    """Those of the left and the right matrix."""
    assert spec.a is not None
    assert spec.b is not None
    _, m, n, _ = sizes(spec)
    return OperandTile(spec, spec.a, spec.m_dims, m, "a"), OperandTile(spec, spec.b, spec.n_dims, n, "b")
