"""Warp-wide operations: shuffles, votes, match, redux, masks of diverged lanes, warp-synchronous shared memory."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
case = cases.case
F = np.float32
LANES = np.arange(32)


@case("""
extern "C" __global__ void butterfly(const int* x, int* sum, int* low, unsigned* all) {
    int v = x[threadIdx.x], s = v, m = v;
    unsigned a = v;
#pragma unroll
    for (int o = 16; o; o >>= 1) {
        s += __shfl_xor_sync(0xffffffffu, s, o);
        m = min(m, __shfl_xor_sync(0xffffffffu, m, o));
        a &= __shfl_xor_sync(0xffffffffu, a, o);
    }
    sum[threadIdx.x] = s;
    low[threadIdx.x] = m;
    all[threadIdx.x] = a;
}
""")
def butterfly(draw: Draw) -> Plan:
    x, s, m, a = draw.ints("i4", -999, 999, 96), blank("i4", 96), blank("i4", 96), blank("u4", 96)
    w = x.reshape(3, 32)
    plan = run("butterfly", 1, 96, x, s, m, a).gives(s, np.repeat(w.sum(1), 32).astype("i4"))
    return plan.gives(m, np.repeat(w.min(1), 32)).gives(a, np.repeat(np.bitwise_and.reduce(w.view("u4"), 1), 32))


@case("""
extern "C" __global__ void shuffles(const float* x, float* out) {
    int lane = threadIdx.x;
    float v = x[lane];
    out[lane] = __shfl_sync(~0u, v, 5);
    out[32 + lane] = __shfl_sync(~0u, v, lane * 3);
    out[64 + lane] = __shfl_sync(~0u, v, 2, 8);
    out[96 + lane] = __shfl_up_sync(~0u, v, 3);
    out[128 + lane] = __shfl_up_sync(~0u, v, 1, 4);
    out[160 + lane] = __shfl_down_sync(~0u, v, 7);
    out[192 + lane] = __shfl_down_sync(~0u, v, 1, 16);
    out[224 + lane] = __shfl_xor_sync(~0u, v, 9);
    out[256 + lane] = __shfl_xor_sync(~0u, v, 9, 8);
}
""")
def every_shuffle(draw: Draw) -> Plan:
    x, out = draw.f32(32), blank("f4", 9, 32)
    i = LANES
    high = np.where((i ^ 9) < (i // 8 + 1) * 8, i ^ 9, i)  # the clamp of a segment bounds xor from above only
    sources = [
        np.full(32, 5),
        i * 3 % 32,
        i // 8 * 8 + 2,
        np.where(i >= 3, i - 3, i),
        np.where(i % 4 >= 1, i - 1, i),
        np.where(i + 7 < 32, i + 7, i),
        np.where(i % 16 < 15, i + 1, i),
        i ^ 9,
        high,
    ]
    return run("shuffles", 1, 32, x, out).gives(out, x[np.array(sources)], ulps=0)


@case("""
extern "C" __global__ void wide(const double* d, const long long* l, const float2* pair, double* od, long long* ol) {
    int t = threadIdx.x;
    od[t] = __shfl_xor_sync(~0u, d[t], 1) + __shfl_sync(~0u, pair[t].x, 31 - t);
    ol[t] = __shfl_up_sync(~0u, l[t], 4) - __shfl_down_sync(~0u, (unsigned long long)l[t], 4);
}
""")
def shuffles_of_64_bits(draw: Draw) -> Plan:
    d, ints, pair = draw.f64(32), draw.bits("i8", 32), draw.f32(32, 2)
    od, ol = blank("f8", 32), blank("i8", 32)
    up, down = ints[np.where(LANES >= 4, LANES - 4, LANES)], ints[np.where(LANES < 28, LANES + 4, LANES)]
    plan = run("wide", 1, 32, d, ints, pair, od, ol)
    return plan.gives(od, d[LANES ^ 1] + pair[31 - LANES, 0].astype("f8"), ulps=2).gives(ol, up - down)


@case("""
extern "C" __global__ void votes(const int* x, unsigned* out) {
    int t = threadIdx.x;
    bool p = x[t] > 0;
    unsigned b = __ballot_sync(~0u, p);
    int any = __any_sync(~0u, p), all = __all_sync(~0u, p), none = !__any_sync(~0u, x[t] > 1000), same = __uni_sync(~0u, p);
    out[t] = b;
    out[t + blockDim.x] = any | all << 1 | none << 2 | same << 3;
}
""")
def votes(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -5, 5, 128), blank("u4", 2, 128)
    x[32:64] = 3
    x[64:96] = -1
    p = x.reshape(4, 32) > 0
    ballots = (p.astype("u8") << LANES.astype("u8")).sum(1)
    flags = p.any(1) * 1 + p.all(1) * 2 + 4 + (p.all(1) | ~p.any(1)) * 8
    return run("votes", 1, 128, x, out).gives(
        out, np.stack([np.repeat(ballots, 32), np.repeat(flags, 32)]).astype("u4")
    )


@case("""
extern "C" __global__ void matches(const int* x, const unsigned long long* y, unsigned* any, unsigned* all, int* pred) {
    int t = threadIdx.x, p;
    any[t] = __match_any_sync(~0u, x[t]);
    any[t + blockDim.x] = __match_any_sync(~0u, y[t]);
    all[t] = __match_all_sync(~0u, x[t], &p);
    pred[t] = p;
}
""")
def matches(draw: Draw) -> Plan:
    x, y = draw.ints("i4", 0, 6, 64), draw.ints("u8", 0, 4, 64) << np.uint64(35)
    x[32:] = 7
    anyone, everyone, p = blank("u4", 2, 64), blank("u4", 64), blank("i4", 64)

    def groups(v: np.ndarray) -> np.ndarray:
        w = v.reshape(2, 32)
        same = (w[:, :, None] == w[:, None, :]).astype("u8") << LANES.astype("u8")
        return same.sum(2).reshape(-1).astype("u4")

    plan = run("matches", 1, 64, x, y, anyone, everyone, p).gives(anyone, np.stack([groups(x), groups(y)]))
    half = np.repeat([0, 1], 32)
    return plan.gives(everyone, (half * 0xFFFFFFFF).astype("u4")).gives(p, half.astype("i4"))


@case(
    """
extern "C" __global__ void reduce(const int* x, int* s, unsigned* u) {
    int t = threadIdx.x, v = x[t];
    s[t] = __reduce_add_sync(~0u, v);
    s[t + 32] = __reduce_min_sync(~0u, v);
    s[t + 64] = __reduce_max_sync(~0u, v);
    u[t] = __reduce_min_sync(~0u, (unsigned)v);
    u[t + 32] = __reduce_max_sync(~0u, (unsigned)v);
    u[t + 64] = __reduce_and_sync(~0u, (unsigned)v | 0xff00u);
    u[t + 96] = __reduce_or_sync(~0u, (unsigned)v & 0xff00u);
    u[t + 128] = __reduce_xor_sync(~0u, (unsigned)v);
}
""",
    archs=("sm_80", "sm_90"),
)
def redux(draw: Draw) -> Plan:
    x, s, u = draw.bits("i4", 32), blank("i4", 3, 32), blank("u4", 5, 32)
    v = x.view("u4")
    total = np.array([x.astype("i8").sum()]).astype("i4")[0]
    plan = run("reduce", 1, 32, x, s, u).gives(s, np.repeat(np.array([total, x.min(), x.max()])[:, None], 32, 1))
    bits = [v.min(), v.max()]
    bits += [
        np.bitwise_and.reduce(v | np.uint32(0xFF00)),
        np.bitwise_or.reduce(v & np.uint32(0xFF00)),
        np.bitwise_xor.reduce(v),
    ]
    return plan.gives(u, np.repeat(np.array(bits, "u4")[:, None], 32, 1))


@case("""
extern "C" __global__ void keep_even(const int* x, int* out, int* count, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n && x[i] % 2 == 0) {
        unsigned active = __activemask();
        int lane = threadIdx.x & 31, leader = __ffs(active) - 1, base;
        if (lane == leader) base = atomicAdd(count, __popc(active));
        base = __shfl_sync(active, base, leader);
        unsigned before;
        asm("mov.u32 %0, %%lanemask_lt;" : "=r"(before));
        out[base + __popc(active & before)] = x[i];
    }
}
""")
def aggregated_atomics(draw: Draw) -> Plan:
    x, out, count = draw.ints("i4", 0, 1000, 300), np.full(300, -1, "i4"), np.zeros(1, "i4")
    kept = np.sort(x[x % 2 == 0])
    want = np.concatenate([np.full(300 - kept.size, -1, "i4"), kept])
    plan = run("keep_even", 3, 128, x, out, count, 300).gives(count, np.array([kept.size], "i4"))
    return plan.gives(out, want, decode=np.sort)


@case("""
extern "C" __global__ void sort32(int* x) {
    int lane = threadIdx.x & 31, v = x[threadIdx.x];
    for (int size = 2; size <= 32; size *= 2)
        for (int stride = size / 2; stride > 0; stride /= 2) {
            int other = __shfl_xor_sync(~0u, v, stride);
            bool up = (lane & size) == 0, lower = (lane & stride) == 0;
            v = up == lower ? min(v, other) : max(v, other);
        }
    x[threadIdx.x] = v;
}
""")
def bitonic_sort(draw: Draw) -> Plan:
    x = draw.bits("i4", 4, 32)
    return run("sort32", 1, 128, x).gives(x, np.sort(x, 1))


@case("""
extern "C" __global__ void halves(const int* x, int* out) {
    int t = threadIdx.x, v = x[t], r;
    if (t < 16) {
        r = v;
        for (int o = 8; o; o >>= 1) r += __shfl_xor_sync(0x0000ffffu, r, o);
        r += __popc(__ballot_sync(0x0000ffffu, v > 0)) * 1000;
    } else {
        r = v;
        for (int o = 8; o; o >>= 1) r = max(r, __shfl_xor_sync(0xffff0000u, r, o));
        r += (__ballot_sync(0xffff0000u, v > 0) >> 16) != 0;
    }
    __syncwarp();
    out[t] = r + __shfl_sync(~0u, v, 31 - t);
}
""")
def diverged_halves_with_their_own_masks(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -50, 50, 32), blank("i4", 32)
    low, high = x[:16], x[16:]
    r = np.where(LANES < 16, low.sum() + (low > 0).sum() * 1000, high.max() + (high > 0).any())
    return run("halves", 1, 32, x, out).gives(out, (r + x[::-1]).astype("i4"))


@case("""
extern "C" __global__ void peel(const int* x, int* groups) {
    // Handle one distinct value at a time, with the lanes that hold it; the mask shrinks.
    int v = x[threadIdx.x], rounds = 0;
    unsigned rest = __ballot_sync(~0u, true);
    bool mine = true;
    while (mine) {
        int leader = __ffs(rest) - 1;
        int value = __shfl_sync(rest, v, leader);
        bool match = v == value;
        unsigned matched = __ballot_sync(rest, match);
        ++rounds;
        if (match) { groups[threadIdx.x] = rounds * 100 + __popc(matched); mine = false; }
        rest &= ~matched;
    }
}
""")
def shrinking_mask(draw: Draw) -> Plan:
    x, out = draw.ints("i4", 0, 7, 32), blank("i4", 32)
    order = list(dict.fromkeys(x.tolist()))
    want = [(order.index(v) + 1) * 100 + int((x == v).sum()) for v in x.tolist()]
    return run("peel", 1, 32, x, out).gives(out, np.array(want, "i4"))


@case("""
extern "C" __global__ void tail(const float* x, float* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;                     // the last warp goes on with fewer lanes
    unsigned mask = __activemask();
    float v = x[i];
    for (int o = 16; o; o >>= 1) {
        float u = __shfl_down_sync(mask, v, o);
        if ((mask >> ((threadIdx.x & 31) + o)) & 1 && (threadIdx.x & 31) + o < 32) v += u;
    }
    if ((threadIdx.x & 31) == 0) out[i / 32] = v;
}
""")
def exited_lanes(draw: Draw) -> Plan:
    x, out = draw.uniform(0, 1, 75), blank("f4", 3)
    want = [x[i : i + 32].astype("f8").sum() for i in (0, 32, 64)]
    return run("tail", 1, 96, x, out, 75).gives(out, want)


@case("""
extern "C" __global__ void stages(const int* x, int* out) {
    __shared__ volatile int s[64];
    __shared__ int t[64];
    int lane = threadIdx.x & 31, base = threadIdx.x & 32;
    s[base + lane] = x[threadIdx.x];
    __syncwarp();
    for (int d = 1; d < 32; d <<= 1) {
        int v = lane >= d ? s[base + lane - d] : 0;
        __syncwarp();
        s[base + lane] += v;
        __syncwarp();
    }
    t[base + (lane ^ 5)] = s[base + lane];
    __syncwarp();
    out[threadIdx.x] = t[base + lane];
}
""")
def warp_synchronous_shared_memory(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -50, 50, 64), blank("i4", 64)
    sums = np.cumsum(x.reshape(2, 32), 1)
    return run("stages", 1, 64, x, out).gives(out, sums[:, LANES ^ 5].reshape(-1).astype("i4"))


@case("""
extern "C" __global__ void transpose8(const int* x, int* out) {
    // each lane holds 4 values of an 4 x 4 tile with its 3 neighbours; transpose by exchanges
    int lane = threadIdx.x, r[4];
    for (int k = 0; k < 4; ++k) r[k] = x[lane * 4 + k];
#pragma unroll
    for (int k = 1; k < 4; ++k) {
        int t[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) t[j] = r[j];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            int mine = (lane & 3) ^ k;
            int send = mine == 0 ? t[0] : mine == 1 ? t[1] : mine == 2 ? t[2] : t[3];
            int got = __shfl_xor_sync(~0u, send, k);
            if (j == mine) r[j] = got;
        }
    }
    for (int k = 0; k < 4; ++k) out[lane * 4 + k] = r[k];
}
""")
def transpose_by_exchanges(draw: Draw) -> Plan:
    x, out = draw.bits("i4", 8, 4, 4), blank("i4", 8, 4, 4)
    return run("transpose8", 1, 32, x, out).gives(out, x.transpose(0, 2, 1))


@case(
    """
extern "C" __global__ void elected(int* out) {
    unsigned leader, won;
    asm volatile("{ .reg .pred p; elect.sync %0|p, 0xffffffff; selp.u32 %1, 1, 0, p; }" : "=r"(leader), "=r"(won));
    unsigned winners = __ballot_sync(~0u, won);
    out[threadIdx.x] = __popc(winners) == 1 && __ffs(winners) - 1 == leader;
}
""",
    archs=("sm_90", "sm_100"),
)
def elect(draw: Draw) -> Plan:
    out = blank("i4", 64)
    return run("elected", 1, 64, out).gives(out, np.ones(64, "i4"))


@case("""
extern "C" __global__ void specials(unsigned* out) {
    unsigned lane, warp, lt, le, eq, ge, gt;
    asm("mov.u32 %0, %%laneid;" : "=r"(lane));
    asm("mov.u32 %0, %%lanemask_lt;" : "=r"(lt));
    asm("mov.u32 %0, %%lanemask_le;" : "=r"(le));
    asm("mov.u32 %0, %%lanemask_eq;" : "=r"(eq));
    asm("mov.u32 %0, %%lanemask_ge;" : "=r"(ge));
    asm("mov.u32 %0, %%lanemask_gt;" : "=r"(gt));
    warp = (threadIdx.y * blockDim.x + threadIdx.x) / warpSize;
    long long begin = clock64();
    __nanosleep(5);
    bool forward = clock64() - begin >= 0 && clock() - clock() <= 0;
    unsigned t = threadIdx.y * blockDim.x + threadIdx.x;
    bool good = (lt | eq) == le && (gt | eq) == ge && (lt ^ ge) == ~0u && eq == 1u << lane && lane == t % 32;
    out[t] = good && forward ? warp : 999;
}
""")
def special_registers(draw: Draw) -> Plan:
    out = blank("u4", 60)
    return run("specials", 1, (10, 6), out).gives(out, (np.arange(60) // 32).astype("u4"))


@case("""
extern "C" __global__ void nth(unsigned* out, const unsigned* x) {
    int t = threadIdx.x;
    out[t] = __fns(x[t], 0, t % 8 + 1);
    out[t + 64] = __fns(x[t], 31, -(t % 4 + 1));
}
""")
def nth_set_bit(draw: Draw) -> Plan:
    x, out = draw.bits("u4", 64), blank("u4", 2, 64)

    def find(v: int, n: int, backwards: bool) -> int:
        places = [i for i in range(32) if v >> i & 1]
        places = places[::-1] if backwards else places
        return places[n - 1] if n <= len(places) else 0xFFFFFFFF

    values = x.tolist()
    up = [find(v, t % 8 + 1, False) for t, v in enumerate(values)]
    down = [find(v, t % 4 + 1, True) for t, v in enumerate(values)]
    return run("nth", 1, 64, out, x).gives(out, np.array([up, down], "u4"))
