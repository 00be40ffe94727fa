"""Device code for attention on tensor cores: whole fragments of mma.m16n8k16, on what `prelude_tensor` has."""

from __future__ import annotations

from collections.abc import Set

__all__ = ["cores_prelude", "needed"]

_FRAGMENTS = """// Four 8 x 8 matrices of 16-bit elements from shared memory: lane l gives the address of row l % 8 of matrix l / 8.
__device__ __forceinline__ void load_matrices(unsigned (&to)[4], const void* from) {
    load_matrices(to[0], to[1], to[2], to[3], shared_address(from));
}
// The same, each matrix transposed.
__device__ __forceinline__ void load_transposed(unsigned (&to)[4], const void* from) {
    load_matrices_transposed(to[0], to[1], to[2], to[3], shared_address(from));
}
"""

_OF_DTYPE = """__device__ __forceinline__ void multiply_add_{dtype}(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {{
    const unsigned b[2] = {{b0, b1}};
    multiply_add_{dtype}(sum, a, b);
}}
// Two numbers rounded to {dtype}, the first in the low half.
__device__ __forceinline__ unsigned pack_{dtype}(float first, float second) {{
    const {pair} both = {round}(first, second);
    return *reinterpret_cast<const unsigned*>(&both);
}}
"""
_PAIRS = {
    "float16": ("__half2", "__floats2half2_rn"),
    "bfloat16": ("__nv_bfloat162", "__floats2bfloat162_rn"),
}


def needed(features: Set[str]) -> set[str]:
    """Features of `tensor_prelude` that `cores` and `cores:DTYPE` build on."""
    if "cores" not in features:
        return set()
    return {"matrix", *(f"mma:{dtype}" for dtype in _PAIRS if f"cores:{dtype}" in features)}


def cores_prelude(features: Set[str]) -> list[str]:
    """Device code for `cores` and `cores:DTYPE`."""
    if "cores" not in features:
        return []
    return [
        _FRAGMENTS,
        *(
            _OF_DTYPE.format(dtype=dtype, pair=pair, round=rounded)
            for dtype, (pair, rounded) in _PAIRS.items()
            if f"cores:{dtype}" in features
        ),
    ]
