// Chains of arithmetic that hardly touch memory.

#include <mma.h>

// one chain of fused multiply-adds: each waits for the one before it
extern "C" __global__ void fma_chain(float* y, float factor, float term, int turns) {
    float a = (float)(threadIdx.x & 15);
    for (int turn = 0; turn < turns; turn += 8) {
#pragma unroll
        for (int step = 0; step < 8; ++step) a = fmaf(a, factor, term);
    }
    y[blockIdx.x * blockDim.x + threadIdx.x] = a;
}

// four chains at once
extern "C" __global__ void fma_four(float* y, float factor, float term, int turns) {
    float a = (float)(threadIdx.x & 15), b = a + 1.0f, c = a + 2.0f, d = a + 3.0f;
    for (int turn = 0; turn < turns; turn += 4) {
#pragma unroll
        for (int step = 0; step < 4; ++step) {
            a = fmaf(a, factor, term);
            b = fmaf(b, factor, term);
            c = fmaf(c, factor, term);
            d = fmaf(d, factor, term);
        }
    }
    y[blockIdx.x * blockDim.x + threadIdx.x] = a + b + c + d;
}

// four 16 x 16 products a turn and warp on tensor cores, of ones, added up in float32
extern "C" __global__ void mma_fp16(float* y, int turns) {
    using namespace nvcuda::wmma;
    fragment<matrix_a, 16, 16, 16, __half, row_major> a;
    fragment<matrix_b, 16, 16, 16, __half, col_major> b;
    fragment<accumulator, 16, 16, 16, float> sums[4];
    fill_fragment(a, __float2half(1.0f));
    fill_fragment(b, __float2half(1.0f));
    for (int i = 0; i < 4; ++i) fill_fragment(sums[i], (float)i);
    for (int turn = 0; turn < turns; ++turn) {
#pragma unroll
        for (int i = 0; i < 4; ++i) mma_sync(sums[i], a, b, sums[i]);
    }
    int warp = (blockIdx.x * blockDim.x + threadIdx.x) / 32;
    for (int i = 0; i < 4; ++i) store_matrix_sync(y + (size_t)(warp * 4 + i) * 256, sums[i], 16, mem_row_major);
}
