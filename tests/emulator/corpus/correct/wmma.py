"""Tensor cores through nvcuda::wmma, in every type."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, from_bf16, run
from emulator.corpus.oracles import to_tf32

cases = Collection()
case = cases.case
F = np.float32
NEW = ("sm_80", "sm_90", "sm_100", "sm_120")


@case(
    """
#include <mma.h>
using namespace nvcuda;
extern "C" __global__ void product(const half* a, const half* b, float* c) {
    wmma::fragment<wmma::matrix_a, 16, 16, 16, half, wmma::row_major> fa;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, half, wmma::col_major> fb;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> fc;
    wmma::load_matrix_sync(fa, a, 16);
    wmma::load_matrix_sync(fb, b, 16);
    wmma::fill_fragment(fc, 0.5f);
    wmma::mma_sync(fc, fa, fb, fc);
    for (int i = 0; i < fc.num_elements; ++i) fc.x[i] *= 2.0f;
    wmma::store_matrix_sync(c, fc, 16, wmma::mem_row_major);
}
""",
    archs=NEW,
)
def wmma_half(draw: Draw) -> Plan:
    a, b, c = draw.f16(16, 16), draw.f16(16, 16), blank("f4", 16, 16)
    return run("product", 1, 32, a, b, c).gives(c, 2 * (a.astype("f8") @ b.astype("f8").T + 0.5), ulps=32)


@case("""
#include <mma.h>
using namespace nvcuda;
template <int M, int N> __device__ void one(const half* a, const half* b, half* c) {
    wmma::fragment<wmma::matrix_a, M, N, 16, half, wmma::col_major> fa;
    wmma::fragment<wmma::matrix_b, M, N, 16, half, wmma::row_major> fb;
    wmma::fragment<wmma::accumulator, M, N, 16, half> fc;
    wmma::load_matrix_sync(fa, a, M);
    wmma::load_matrix_sync(fb, b, N);
    wmma::load_matrix_sync(fc, c, M, wmma::mem_col_major);
    wmma::mma_sync(fc, fa, fb, fc);
    wmma::store_matrix_sync(c, fc, M, wmma::mem_col_major);
}
extern "C" __global__ void tall(const half* a, const half* b, half* c) { one<32, 8>(a, b, c); }
extern "C" __global__ void wide(const half* a, const half* b, half* c) { one<8, 32>(a, b, c); }
""")
def wmma_half_accumulators_tall_and_wide(draw: Draw) -> Plan:
    plan = Plan()
    for name, m, n in (("tall", 32, 8), ("wide", 8, 32)):
        a, b, c = draw.f16(16, m), draw.f16(16, n), draw.f16(n, m)
        plan.then(name, 1, 32, a, b, c).gives(c, (a.astype("f8").T @ b.astype("f8")).T + c)
    return plan


@case(
    """
#include <mma.h>
#include <cuda_bf16.h>
using namespace nvcuda;
extern "C" __global__ void product(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c, int lda, int ldb, int ldc) {
    wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major> fa;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, wmma::row_major> fb;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> fc;
    wmma::fill_fragment(fc, 0.0f);
    for (int k = 0; k < 32; k += 16) {
        wmma::load_matrix_sync(fa, a + k, lda);
        wmma::load_matrix_sync(fb, b + k * ldb, ldb);
        wmma::mma_sync(fc, fa, fb, fc);
    }
    wmma::store_matrix_sync(c, fc, ldc, wmma::mem_row_major);
}
""",
    archs=("sm_80", "sm_90"),
)
def wmma_bfloat16(draw: Draw) -> Plan:
    a, b, c = draw.bf16(16, 32), draw.bf16(32, 16), blank("f4", 16, 20)
    want = from_bf16(a) @ from_bf16(b)
    return run("product", 1, 32, a, b, c, 32, 16, 20).gives(c, want, ulps=32, decode=lambda m: m[:, :16])


@case("""
#include <mma.h>
using namespace nvcuda;
extern "C" __global__ void product(const float* a, const float* b, float* c) {
    wmma::fragment<wmma::matrix_a, 16, 16, 8, wmma::precision::tf32, wmma::row_major> fa;
    wmma::fragment<wmma::matrix_b, 16, 16, 8, wmma::precision::tf32, wmma::row_major> fb;
    wmma::fragment<wmma::accumulator, 16, 16, 8, float> fc;
    wmma::load_matrix_sync(fa, a, 8);
    wmma::load_matrix_sync(fb, b, 16);
    for (int i = 0; i < fa.num_elements; ++i) fa.x[i] = wmma::__float_to_tf32(fa.x[i]);
    for (int i = 0; i < fb.num_elements; ++i) fb.x[i] = wmma::__float_to_tf32(fb.x[i]);
    wmma::fill_fragment(fc, 0.0f);
    wmma::mma_sync(fc, fa, fb, fc);
    wmma::store_matrix_sync(c, fc, 16, wmma::mem_row_major);
}
""")
def wmma_tf32(draw: Draw) -> Plan:
    a, b, c = draw.f32(16, 8), draw.f32(8, 16), blank("f4", 16, 16)
    return run("product", 1, 32, a, b, c).gives(c, to_tf32(a) @ to_tf32(b), ulps=32)


@case("""
#include <mma.h>
using namespace nvcuda;
template <class T> __device__ void one(const T* a, const T* b, int* c) {
    wmma::fragment<wmma::matrix_a, 16, 16, 16, T, wmma::row_major> fa;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, T, wmma::col_major> fb;
    wmma::fragment<wmma::accumulator, 16, 16, 16, int> fc;
    wmma::load_matrix_sync(fa, a, 16);
    wmma::load_matrix_sync(fb, b, 16);
    wmma::load_matrix_sync(fc, c, 16, wmma::mem_row_major);
    wmma::mma_sync(fc, fa, fb, fc);
    wmma::store_matrix_sync(c, fc, 16, wmma::mem_row_major);
}
extern "C" __global__ void s8(const signed char* a, const signed char* b, int* c) { one(a, b, c); }
extern "C" __global__ void u8(const unsigned char* a, const unsigned char* b, int* c) { one(a, b, c); }
""")
def wmma_int8(draw: Draw) -> Plan:
    plan = Plan()
    for name, kind in (("s8", "i1"), ("u8", "u1")):
        a, b, c = draw.bits(kind, 16, 16), draw.bits(kind, 16, 16), draw.ints("i4", -99999, 99999, 16, 16)
        plan.then(name, 1, 32, a, b, c).gives(c, a.astype("i4") @ b.astype("i4").T + c)
    return plan


@case(
    """
#include <mma.h>
using namespace nvcuda;
extern "C" __global__ void product(const double* a, const double* b, double* c) {
    wmma::fragment<wmma::matrix_a, 8, 8, 4, double, wmma::row_major> fa;
    wmma::fragment<wmma::matrix_b, 8, 8, 4, double, wmma::col_major> fb;
    wmma::fragment<wmma::accumulator, 8, 8, 4, double> fc;
    wmma::load_matrix_sync(fa, a, 4);
    wmma::load_matrix_sync(fb, b, 4);
    wmma::fill_fragment(fc, 1.0);
    wmma::mma_sync(fc, fa, fb, fc);
    wmma::store_matrix_sync(c, fc, 8, wmma::mem_row_major);
}
""",
    archs=("sm_80", "sm_90"),
)
def wmma_double(draw: Draw) -> Plan:
    a, b, c = draw.f64(8, 4), draw.f64(8, 4), blank("f8", 8, 8)
    return run("product", 1, 32, a, b, c).gives(c, a @ b.T + 1)


@case(
    """
#include <mma.h>
using namespace nvcuda;
extern "C" __global__ void gemm(const half* a, const half* b, float* c, int m, int n, int k) {
    __shared__ half sa[32][24], sb[16][40];         // rows padded; every row begins on 16 bytes
    int warp = threadIdx.x / 32, wy = warp / 2, wx = warp % 2;
    int row = blockIdx.y * 32, col = blockIdx.x * 32;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> fc;
    wmma::fill_fragment(fc, 0.0f);
    for (int k0 = 0; k0 < k; k0 += 16) {
        for (int i = threadIdx.x; i < 512; i += 128) {
            int r = i / 16, q = i % 16;
            sa[r][q] = row + r < m && k0 + q < k ? a[(row + r) * k + k0 + q] : __float2half(0.0f);
            int rb = i / 32, cb = i % 32;
            sb[rb][cb] = k0 + rb < k && col + cb < n ? b[(k0 + rb) * n + col + cb] : __float2half(0.0f);
        }
        __syncthreads();
        wmma::fragment<wmma::matrix_a, 16, 16, 16, half, wmma::row_major> fa;
        wmma::fragment<wmma::matrix_b, 16, 16, 16, half, wmma::row_major> fb;
        wmma::load_matrix_sync(fa, &sa[wy * 16][0], 24);
        wmma::load_matrix_sync(fb, &sb[0][wx * 16], 40);
        wmma::mma_sync(fc, fa, fb, fc);
        __syncthreads();
    }
    __shared__ float sc[32][32];
    wmma::store_matrix_sync(&sc[wy * 16][wx * 16], fc, 32, wmma::mem_row_major);
    __syncthreads();
    for (int i = threadIdx.x; i < 1024; i += 128)
        if (row + i / 32 < m && col + i % 32 < n) c[(row + i / 32) * n + col + i % 32] = sc[i / 32][i % 32];
}
""",
    archs=("sm_80", "sm_90"),
)
def wmma_gemm_with_edges(draw: Draw) -> Plan:
    m, n, k = 50, 41, 37
    a, b, c = draw.f16(m, k), draw.f16(k, n), blank("f4", m, n)
    return run("gemm", (2, 2), 128, a, b, c, m, n, k).gives(c, a.astype("f8") @ b.astype("f8"), ulps=32)
