"""Device code of the matrix products: copies that run beside the arithmetic, and tensor cores (PTX ISA 9.7.9.25 and 9.7.14)."""

from __future__ import annotations

from collections.abc import Set

__all__ = ["tensor_prelude"]

_ADDRESS = """__device__ __forceinline__ unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}
"""

_ASYNC = """// Copies BYTES (4, 8 or 16) to shared memory while other work goes on; zeros if not `inside`, and nothing is read then.
template <int BYTES>
__device__ __forceinline__ void copy_async(unsigned to, const void* from, bool inside) {
#if __CUDA_ARCH__ >= 800
    if constexpr (BYTES == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
                     "r"(inside ? 16 : 0) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(BYTES),
                     "r"(inside ? BYTES : 0) : "memory");
    }
#else
    using Piece = Vector<int, BYTES / 4>;
    *static_cast<Piece*>(__cvta_shared_to_generic(to)) = inside ? *static_cast<const Piece*>(from) : Piece{};
#endif
}

// Ends a group of copies.
__device__ __forceinline__ void commit_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until all but the latest GROUPS groups of this thread's copies have arrived.
template <int GROUPS>
__device__ __forceinline__ void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory");
#endif
}
"""

_MATRIX = """// 8 x 8 matrices of 16-bit elements from shared memory to a warp's registers: lane 8 * i + r names row r of matrix i.
__device__ __forceinline__ void load_matrices(unsigned& a, unsigned& b, unsigned& c, unsigned& d, unsigned row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(a), "=r"(b), "=r"(c), "=r"(d) : "r"(row) : "memory");
}

__device__ __forceinline__ void load_matrices(unsigned& a, unsigned& b, unsigned row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(a), "=r"(b) : "r"(row) : "memory");
}

__device__ __forceinline__ void load_matrices_transposed(unsigned& a, unsigned& b, unsigned& c, unsigned& d,
                                                         unsigned row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(a), "=r"(b), "=r"(c), "=r"(d) : "r"(row) : "memory");
}

__device__ __forceinline__ void load_matrices_transposed(unsigned& a, unsigned& b, unsigned row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(a), "=r"(b) : "r"(row) : "memory");
}
"""

_OPERANDS = '"+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])'

_MMA_HALF = f"""// sum += a * b: 16 x 16 by 16 x 8 halves, float sums.
__device__ __forceinline__ void multiply_add_float16(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {{%0, %1, %2, %3}}, {{%4, %5, %6, %7}}, {{%8, %9}}, {{%0, %1, %2, %3}};"
        : {_OPERANDS} : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
#pragma unroll
    for (int i = 0; i < 2; ++i) {{
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {{%0, %1, %2, %3}}, {{%4, %5}}, {{%6}}, {{%0, %1, %2, %3}};"
            : {_OPERANDS} : "r"(a[2 * i]), "r"(a[2 * i + 1]), "r"(b[i]));
    }}
#endif
}}
"""

_MMA_BFLOAT = f"""// sum += a * b: 16 x 16 by 16 x 8 bfloat16, float sums; needs compute capability 8.0.
__device__ __forceinline__ void multiply_add_bfloat16(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {{%0, %1, %2, %3}}, {{%4, %5, %6, %7}}, {{%8, %9}}, {{%0, %1, %2, %3}};"
        : {_OPERANDS} : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}}
"""


def tensor_prelude(features: Set[str]) -> list[str]:
    """Device code for the features `async` (needs `vector`), `matrix`, `mma:float16` and `mma:bfloat16`."""
    parts: list[str] = []
    if {"async", "matrix"} & features:
        parts.append(_ADDRESS)
    if "async" in features:
        parts.append(_ASYNC)
    if "matrix" in features:
        parts.append(_MATRIX)
    if "mma:float16" in features:
        parts.append(_MMA_HALF)
    if "mma:bfloat16" in features:
        parts.append(_MMA_BFLOAT)
    return parts
