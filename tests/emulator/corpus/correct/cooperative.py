"""Cooperative groups: tiles, coalesced threads, reductions and scans of groups, the whole grid."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
case = cases.case
F = np.float32


@case("""
#include <cooperative_groups.h>
namespace cg = cooperative_groups;
template <int N> __device__ int tile_sum(cg::thread_block_tile<N> g, int v) {
    for (int o = g.size() / 2; o > 0; o /= 2) v += g.shfl_down(v, o);
    return g.shfl(v, 0);
}
extern "C" __global__ void tiles(const int* x, int* out) {
    cg::thread_block block = cg::this_thread_block();
    int t = block.thread_rank();
    auto t32 = cg::tiled_partition<32>(block);
    auto t8 = cg::tiled_partition<8>(t32);
    auto t2 = cg::tiled_partition<2>(block);
    out[t] = tile_sum<8>(t8, x[t]) + 10000 * t8.meta_group_rank() + 1000 * t8.thread_rank();
    out[t + 64] = tile_sum<32>(t32, x[t]) + t32.meta_group_size();
    out[t + 128] = t2.any(x[t] > 0) * 2 + t2.all(x[t] > 0) + (int)t2.ballot(x[t] > 0) * 10;
}
""")
def tiled_partitions(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -99, 99, 64), blank("i4", 3, 64)
    t = np.arange(64)
    eights = np.repeat(x.reshape(8, 8).sum(1), 8) + 10000 * (t // 8 % 4) + 1000 * (t % 8)
    warps = np.repeat(x.reshape(2, 32).sum(1), 32) + 2
    p = x.reshape(32, 2) > 0
    pairs = np.repeat(p.any(1) * 2 + p.all(1) + (p[:, 0] + 2 * p[:, 1]) * 10, 2)
    return run("tiles", 1, 64, x, out).gives(out, np.stack([eights, warps, pairs]).astype("i4"))


@case("""
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
namespace cg = cooperative_groups;
extern "C" __global__ void groups(const int* x, const float* f, int* out, float* best) {
    auto block = cg::this_thread_block();
    auto tile = cg::tiled_partition<16>(block);
    int t = block.thread_rank(), v = x[t];
    out[t] = cg::reduce(tile, v, cg::plus<int>());
    out[t + 64] = cg::reduce(tile, v, cg::less<int>());
    out[t + 128] = cg::inclusive_scan(tile, v);
    out[t + 192] = cg::exclusive_scan(tile, v, cg::plus<int>());
    best[t] = cg::reduce(tile, f[t], cg::greater<float>());
}
""")
def reduce_and_scan_of_tiles(draw: Draw) -> Plan:
    x, f, out, best = draw.ints("i4", -99, 99, 64), draw.f32(64), blank("i4", 4, 64), blank("f4", 64)
    w = x.reshape(4, 16)
    running = np.cumsum(w, 1)
    want = [np.repeat(w.sum(1), 16), np.repeat(w.min(1), 16), running.reshape(-1), (running - w).reshape(-1)]
    plan = run("groups", 1, 64, x, f, out, best).gives(out, np.stack(want).astype("i4"))
    return plan.gives(best, np.repeat(f.reshape(4, 16).max(1), 16), ulps=0)


@case("""
#include <cooperative_groups.h>
namespace cg = cooperative_groups;
extern "C" __global__ void odd_ones(const int* x, int* out, int* count, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n && (x[i] & 1)) {
        cg::coalesced_group g = cg::coalesced_threads();
        int base;
        if (g.thread_rank() == 0) base = atomicAdd(count, g.size());
        base = g.shfl(base, 0);
        out[base + g.thread_rank()] = x[i];
    }
}
""")
def coalesced_threads(draw: Draw) -> Plan:
    x, out, count = draw.ints("i4", 0, 1000, 200), np.full(200, -1, "i4"), np.zeros(1, "i4")
    kept = np.sort(x[x % 2 == 1])
    plan = run("odd_ones", 2, 128, x, out, count, 200).gives(count, np.array([kept.size], "i4"))
    return plan.gives(out, np.concatenate([np.full(200 - kept.size, -1, "i4"), kept]), decode=np.sort)


@case("""
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
namespace cg = cooperative_groups;
extern "C" __global__ void labels(const int* key, const int* x, int* sums, int* sizes) {
    auto warp = cg::tiled_partition<32>(cg::this_thread_block());
    int t = threadIdx.x;
    auto same = cg::labeled_partition(warp, key[t]);
    sums[t] = cg::reduce(same, x[t], cg::plus<int>());
    auto half = cg::binary_partition(warp, x[t] > 0);
    sizes[t] = half.size() * 100 + half.thread_rank();
}
""")
def labeled_and_binary_partitions(draw: Draw) -> Plan:
    key, x = draw.ints("i4", 0, 5, 32), draw.ints("i4", -50, 50, 32)
    sums, sizes = blank("i4", 32), blank("i4", 32)
    p = x > 0
    want = [int((p == p[i]).sum()) * 100 + int((p[:i] == p[i]).sum()) for i in range(32)]
    plan = run("labels", 1, 32, key, x, sums, sizes)
    return plan.gives(sums, np.array([x[key == k].sum() for k in key], "i4")).gives(sizes, np.array(want, "i4"))


@case("""
#include <cooperative_groups.h>
namespace cg = cooperative_groups;
extern "C" __global__ void ranks(unsigned* out) {
    auto block = cg::this_thread_block();
    auto grid = cg::this_grid();
    unsigned at = grid.thread_rank();
    out[at] = block.thread_rank() + 1000 * grid.block_rank() + 100000 * block.group_index().y + 1000000 * block.thread_index().z;
    if (at == 0) out[grid.size()] = grid.num_blocks() * 10000 + block.num_threads();
    block.sync();
}
""")
def ranks_and_sizes(draw: Draw) -> Plan:
    out = blank("u4", 6 * 24 + 1)
    block, t = np.arange(6 * 24) // 24, np.arange(6 * 24) % 24
    want = t + 1000 * block + 100000 * (block // 3) + 1000000 * (t // 12)
    return run("ranks", (3, 2), (4, 3, 2), out).gives(out, np.append(want, 60024).astype("u4"))


@case("""
#include <cooperative_groups.h>
namespace cg = cooperative_groups;
extern "C" __global__ void normalise(float* x, float* partial, int n) {
    cg::grid_group grid = cg::this_grid();
    __shared__ float s[64];
    float v = 0.0f;
    for (int i = grid.thread_rank(); i < n; i += grid.size()) v += x[i];
    s[threadIdx.x] = v;
    __syncthreads();
    for (int h = 32; h; h >>= 1) { if (threadIdx.x < h) s[threadIdx.x] += s[threadIdx.x + h]; __syncthreads(); }
    if (threadIdx.x == 0) partial[blockIdx.x] = s[0];
    grid.sync();
    float total = 0.0f;
    for (int b = 0; b < gridDim.x; ++b) total += partial[b];
    for (int i = grid.thread_rank(); i < n; i += grid.size()) x[i] /= total;
}
""")
def grid_sync(draw: Draw) -> Plan:
    x, partial = draw.uniform(1, 2, 1000), blank("f4", 4)
    return run("normalise", 4, 64, x, partial, 1000).gives(x, x / x.astype("f8").sum())


@case("""
__device__ unsigned arrived = 0;
__device__ volatile unsigned generation = 0;
__device__ void everyone() {                    // a barrier of all blocks; they must be resident together
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned g = generation;
        __threadfence();
        if (atomicAdd(&arrived, 1) == gridDim.x - 1) { arrived = 0; __threadfence(); generation = g + 1; }
        else while (generation == g) { }
        __threadfence();
    }
    __syncthreads();
}
extern "C" __global__ void relax(const float* volatile start, volatile float* a, volatile float* b, int n, int steps) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    for (int s = 0; s < steps; ++s) {
        volatile float* from = s % 2 ? b : a;
        volatile float* to = s % 2 ? a : b;
        if (i > 0 && i < n - 1) to[i] = 0.5f * (from[i - 1] + from[i + 1]);
        everyone();
    }
}
""")
def home_made_grid_barrier(draw: Draw) -> Plan:
    a = draw.f32(192)
    b = a.copy()
    state = a.astype("f8")
    for _ in range(6):
        state[1:-1] = 0.5 * (state[:-2] + state[2:])
    return run("relax", 3, 64, a, a, b, 192, 6).gives(a, state)


@case(
    """
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
namespace cg = cooperative_groups;
extern "C" __global__ void copy(const float* x, float* y, int width) {
    extern __shared__ __align__(16) float stage[];
    auto block = cg::this_thread_block();
    const float* row = x + blockIdx.x * width;
    cg::memcpy_async(block, stage, row, sizeof(float) * width);
    cg::wait(block);
    for (int i = block.thread_rank(); i < width; i += block.size()) y[blockIdx.x * width + i] = stage[width - 1 - i];
}
""",
    archs=("sm_80", "sm_90"),
)
def memcpy_async_of_a_block(draw: Draw) -> Plan:
    x, y = draw.f32(3, 100), blank("f4", 3, 100)
    return run("copy", 3, 64, x, y, 100, shared=400).gives(y, x[:, ::-1], ulps=0)


@case("""
#include <cooperative_groups.h>
namespace cg = cooperative_groups;
extern "C" __global__ void once(int* out) {
    auto block = cg::this_thread_block();
    auto warp = cg::tiled_partition<32>(block);
    cg::invoke_one(warp, [&] { atomicAdd(out, 1); });
    cg::invoke_one(block, [&] { atomicAdd(out + 1, 1); });
    int got = cg::invoke_one_broadcast(warp, [&] { return atomicAdd(out + 2, 5) >= 0 ? 7 : 8; });
    atomicAdd(out + 3, got);
}
""")
def invoke_one(draw: Draw) -> Plan:
    out = np.zeros(4, "i4")
    return run("once", 2, 64, out).gives(out, np.array([4, 2, 20, 7 * 128], "i4"))


@case("""
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
namespace cg = cooperative_groups;
extern "C" __global__ void two_warps(const int* x, int* out) {
    __shared__ cg::block_tile_memory<128> scratch;
    auto block = cg::this_thread_block(scratch);
    auto tile = cg::tiled_partition<64>(block);
    int sum = cg::reduce(tile, x[block.thread_rank()], cg::plus<int>());
    tile.sync();
    out[block.thread_rank()] = sum * 2 + (tile.any(x[block.thread_rank()] > 1000) ? 1 : 0);
}
""")
def tiles_of_two_warps(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -99, 99, 128), blank("i4", 128)
    return run("two_warps", 1, 128, x, out).gives(out, np.repeat(x.reshape(2, 64).sum(1) * 2, 64).astype("i4"))


@case(
    """
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
namespace cg = cooperative_groups;
extern "C" __global__ void four_warps(const int* x, int* sum, int* before) {
    auto block = cg::this_thread_block();
    auto tile = cg::tiled_partition<128>(block);
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    before[i] = cg::exclusive_scan(tile, x[i], cg::plus<int>());
    tile.sync();
    sum[i] = cg::reduce(tile, x[i], cg::plus<int>()) + tile.meta_group_rank();
}
""",
    archs=("sm_80", "sm_90"),
)
def tiles_of_four_warps_without_scratch(draw: Draw) -> Plan:
    x, total, before = draw.ints("i4", -50, 50, 4, 128), blank("i4", 4, 128), blank("i4", 4, 128)
    want = x.sum(1, keepdims=True) + np.tile([[0], [1]], (2, 1))
    plan = run("four_warps", 2, 256, x, total, before).gives(total, np.broadcast_to(want, (4, 128)).astype("i4"))
    return plan.gives(before, (np.cumsum(x, 1) - x).astype("i4"))
