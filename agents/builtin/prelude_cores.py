"""Device code for tensor cores: inline PTX for fragments of mma.m16n8k16 (PTX ISA, "Matrix fragments for mma.m16n8k16")."""

from __future__ import annotations

__all__ = ["CORES", "multiply_add"]

CORES = """// Four 8 x 8 matrices of 16-bit elements from shared memory: lane l gives the address of row l % 8 of matrix l / 8.
__device__ __forceinline__ void load_matrices(unsigned (&to)[4], const void* from) {
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(from));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(address) : "memory");
}
// The same, each matrix transposed.
__device__ __forceinline__ void load_transposed(unsigned (&to)[4], const void* from) {
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(from));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(address) : "memory");
}
"""

_MULTIPLY_ADD = """// sum += a b for a of 16 x 16 and b of 16 x 8 {dtype} numbers; products and sums are float.
__device__ __forceinline__ void multiply_add_{dtype}(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.{ptx}.{ptx}.f32 {{%0, %1, %2, %3}}, {{%4, %5, %6, %7}}, {{%8, %9}}, {{%0, %1, %2, %3}};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}}
// Two numbers rounded to {dtype}, the first in the low half.
__device__ __forceinline__ unsigned pack_{dtype}(float first, float second) {{
    const {pair} both = {round}(first, second);
    return *reinterpret_cast<const unsigned*>(&both);
}}
"""


def multiply_add(dtype: str) -> str:
    """`multiply_add_DTYPE` and `pack_DTYPE` for float16 or bfloat16."""
    if dtype == "float16":
        return _MULTIPLY_ADD.format(dtype=dtype, ptx="f16", pair="__half2", round="__floats2half2_rn")
    return _MULTIPLY_ADD.format(dtype=dtype, ptx="bf16", pair="__nv_bfloat162", round="__floats2bfloat162_rn")
