"""cub's block and warp primitives (its block headers; the whole of cub does not compile under NVRTC)."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
case = cases.case


@case("""
#include <cub/block/block_reduce.cuh>
extern "C" __global__ void reduce(const float* x, float* sum, float* largest, int n) {
    using Reduce = cub::BlockReduce<float, 128>;
    __shared__ typename Reduce::TempStorage store;
    int i = blockIdx.x * 128 + threadIdx.x;
    float v = i < n ? x[i] : 0.0f;
    float s = Reduce(store).Sum(v);
    __syncthreads();
    float m = Reduce(store).Reduce(v, [](float a, float b) { return a > b ? a : b; });
    if (threadIdx.x == 0) { sum[blockIdx.x] = s; largest[blockIdx.x] = m; }
}
""")
def block_reduce(draw: Draw) -> Plan:
    x, s, m = draw.uniform(0, 1, 300), blank("f4", 3), blank("f4", 3)
    padded = np.concatenate([x, np.zeros(84, "f4")]).reshape(3, 128)
    plan = run("reduce", 3, 128, x, s, m, 300).gives(s, padded.astype("f8").sum(1))
    return plan.gives(m, padded.max(1), ulps=0)


@case("""
#include <cub/block/block_scan.cuh>
extern "C" __global__ void scan(const int* x, int* y, int* total) {
    using Scan = cub::BlockScan<int, 96>;
    __shared__ typename Scan::TempStorage store;
    int items[3], all;
    for (int k = 0; k < 3; ++k) items[k] = x[threadIdx.x * 3 + k];
    Scan(store).ExclusiveSum(items, items, all);
    for (int k = 0; k < 3; ++k) y[threadIdx.x * 3 + k] = items[k];
    if (threadIdx.x == 0) *total = all;
}
""")
def block_scan(draw: Draw) -> Plan:
    x, y, total = draw.ints("i4", -100, 100, 288), blank("i4", 288), blank("i4", 1)
    want = np.cumsum(x) - x
    return run("scan", 1, 96, x, y, total).gives(y, want.astype("i4")).gives(total, np.array([x.sum()], "i4"))


@case("""
#include <cub/warp/warp_reduce.cuh>
#include <cub/warp/warp_scan.cuh>
extern "C" __global__ void warps(const int* x, int* sum, int* running, int* group) {
    using Reduce = cub::WarpReduce<int>;
    using Scan = cub::WarpScan<int>;
    using Small = cub::WarpReduce<int, 8>;
    __shared__ typename Reduce::TempStorage a[2];
    __shared__ typename Scan::TempStorage b[2];
    __shared__ typename Small::TempStorage c[8];
    int t = threadIdx.x, w = t / 32, r;
    int s = Reduce(a[w]).Sum(x[t]);
    Scan(b[w]).InclusiveSum(x[t], r);
    int g = Small(c[t / 8]).Sum(x[t]);
    if (t % 32 == 0) sum[w] = s;
    running[t] = r;
    if (t % 8 == 0) group[t / 8] = g;
}
""")
def warp_reduce_and_scan(draw: Draw) -> Plan:
    x, s, r, g = draw.ints("i4", -99, 99, 64), blank("i4", 2), blank("i4", 64), blank("i4", 8)
    w = x.reshape(2, 32)
    plan = run("warps", 1, 64, x, s, r, g).gives(s, w.sum(1).astype("i4"))
    return plan.gives(r, np.cumsum(w, 1).reshape(-1).astype("i4")).gives(g, x.reshape(8, 8).sum(1).astype("i4"))


@case("""
#include <cub/block/block_radix_sort.cuh>
extern "C" __global__ void sort(float* keys, int* values) {
    using Sort = cub::BlockRadixSort<float, 64, 4, int>;
    __shared__ typename Sort::TempStorage store;
    float k[4];
    int v[4];
    for (int i = 0; i < 4; ++i) { k[i] = keys[threadIdx.x * 4 + i]; v[i] = values[threadIdx.x * 4 + i]; }
    Sort(store).SortDescending(k, v);
    for (int i = 0; i < 4; ++i) { keys[threadIdx.x * 4 + i] = k[i]; values[threadIdx.x * 4 + i] = v[i]; }
}
""")
def block_radix_sort(draw: Draw) -> Plan:
    keys, values = draw.f32(256), np.arange(256, dtype="i4")
    order = np.argsort(-keys, kind="stable")
    return run("sort", 1, 64, keys, values).gives(keys, keys[order], ulps=0).gives(values, order.astype("i4"))


@case("""
#include <cub/block/block_load.cuh>
#include <cub/block/block_store.cuh>
#include <cub/block/block_discontinuity.cuh>
extern "C" __global__ void heads(const int* x, int* flags, int n) {
    using Load = cub::BlockLoad<int, 64, 4, cub::BLOCK_LOAD_TRANSPOSE>;
    using Store = cub::BlockStore<int, 64, 4, cub::BLOCK_STORE_TRANSPOSE>;
    using Edges = cub::BlockDiscontinuity<int, 64>;
    __shared__ union { typename Load::TempStorage load; typename Store::TempStorage store; typename Edges::TempStorage edges; } s;
    int items[4], head[4];
    Load(s.load).Load(x, items, n, -1);
    __syncthreads();
    Edges(s.edges).FlagHeads(head, items, [](int a, int b) { return a != b; });
    __syncthreads();
    Store(s.store).Store(flags, head, n);
}
""")
def load_flag_and_store(draw: Draw) -> Plan:
    x, flags = np.sort(draw.ints("i4", 0, 40, 250)), blank("i4", 250)
    want = np.concatenate([[1], (x[1:] != x[:-1]).astype(int)]).astype("i4")
    return run("heads", 1, 64, x, flags, 250).gives(flags, want)


@case("""
#include <cub/block/block_histogram.cuh>
#include <cub/block/block_exchange.cuh>
extern "C" __global__ void both(const unsigned char* x, unsigned* bins, int* striped) {
    using Histogram = cub::BlockHistogram<unsigned char, 64, 4, 256, cub::BLOCK_HISTO_ATOMIC>;
    using Exchange = cub::BlockExchange<int, 64, 4>;
    __shared__ typename Histogram::TempStorage h;
    __shared__ typename Exchange::TempStorage e;
    __shared__ unsigned counts[256];
    unsigned char samples[4];
    int items[4];
    for (int k = 0; k < 4; ++k) { samples[k] = x[threadIdx.x * 4 + k]; items[k] = threadIdx.x * 4 + k; }
    Histogram(h).Histogram(samples, counts);
    Exchange(e).BlockedToStriped(items, items);
    __syncthreads();
    for (int i = threadIdx.x; i < 256; i += 64) bins[i] = counts[i];
    for (int k = 0; k < 4; ++k) striped[threadIdx.x * 4 + k] = items[k];
}
""")
def histogram_and_exchange(draw: Draw) -> Plan:
    x, bins, striped = draw.bits("u1", 256), blank("u4", 256), blank("i4", 64, 4)
    want = np.arange(256, dtype="i4").reshape(4, 64).T
    return (
        run("both", 1, 64, x, bins, striped)
        .gives(bins, np.bincount(x, minlength=256).astype("u4"))
        .gives(striped, want)
    )


@case("""
#include <cub/block/block_merge_sort.cuh>
#include <cub/block/block_shuffle.cuh>
struct Less { __device__ bool operator()(const long long& a, const long long& b) const { return a < b; } };
extern "C" __global__ void sort(long long* x, long long* gaps) {
    using Sort = cub::BlockMergeSort<long long, 64, 3>;
    using Shuffle = cub::BlockShuffle<long long, 64>;
    __shared__ typename Sort::TempStorage s;
    __shared__ typename Shuffle::TempStorage u;
    long long k[3], next = 0;
    for (int i = 0; i < 3; ++i) k[i] = x[threadIdx.x * 3 + i];
    Sort(s).Sort(k, Less());
    for (int i = 0; i < 3; ++i) x[threadIdx.x * 3 + i] = k[i];
    Shuffle(u).Offset(k[0], next, 1);
    gaps[threadIdx.x] = threadIdx.x < 63 ? next - k[0] : 0;
}
""")
def merge_sort_and_shuffle(draw: Draw) -> Plan:
    x, gaps = draw.ints("i8", -(2**60), 2**60, 192), blank("i8", 64)
    firsts = np.sort(x)[::3]
    return run("sort", 1, 64, x, gaps).gives(x, np.sort(x)).gives(gaps, np.append(np.diff(firsts), 0))
