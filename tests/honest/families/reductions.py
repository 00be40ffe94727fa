"""Rows to one value: sums, means, extremes, norms, log-sum-exp, products; in several orders of accumulation."""

from __future__ import annotations

from dataclasses import dataclass

from honest.kernel import Honest, module, task

ROWS, COLS = 13, 77  # a warp, a warp, and 13 more


@dataclass(frozen=True)
class _Reduction:
    expression: str
    identity: str
    load: str
    combine: str
    finish: str


REDUCTIONS = {
    "row_sum": _Reduction("x.sum(1)", "0.0f", "v", "a + b", "r"),
    "row_mean": _Reduction("x.mean(1)", "0.0f", "v", "a + b", "r / cols"),
    "row_max": _Reduction("x.amax(1)", "-INFINITY", "v", "fmaxf(a, b)", "r"),
    "row_min": _Reduction("x.amin(1)", "INFINITY", "v", "fminf(a, b)", "r"),
    "row_norm": _Reduction("x.norm(dim=1)", "0.0f", "v * v", "a + b", "sqrtf(r)"),
    "row_abs_mean": _Reduction("x.abs().mean(1)", "0.0f", "fabsf(v)", "a + b", "r / cols"),
    "row_prod": _Reduction("(1 + 0.01 * torch.tanh(x)).prod(1)", "1.0f", "1.0f + 0.01f * tanhf(v)", "a * b", "r"),
}

HEAD = """
__device__ __forceinline__ float load(float v) {{ return {load}; }}
__device__ __forceinline__ float combine(float a, float b) {{ return {combine}; }}
__device__ __forceinline__ float finish(float r, int cols) {{ return {finish}; }}
"""

STYLES = {
    "sequential": (
        """
extern "C" __global__ void reduce(const float* x, float* y, int rows, int cols) {{
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    float r = {identity};
    for (int c = 0; c < cols; ++c) r = combine(r, load(x[row * cols + c]));
    y[row] = finish(r, cols);
}}
""",
        "((rows + 31) // 32,)",
        "(32,)",
        "0",
    ),
    "warp": (
        """
extern "C" __global__ void reduce(const float* __restrict__ x, float* __restrict__ y, int rows, int cols) {{
    int row = blockIdx.x;
    float r = {identity};
    for (int c = threadIdx.x; c < cols; c += 32) r = combine(r, load(x[row * cols + c]));
    for (int offset = 16; offset > 0; offset >>= 1) r = combine(r, __shfl_xor_sync(0xffffffffu, r, offset));
    if (threadIdx.x == 0) y[row] = finish(r, cols);
}}
""",
        "(rows,)",
        "(32,)",
        "0",
    ),
    "block": (
        """
extern "C" __global__ void reduce(const float* x, float* y, int rows, int cols) {{
    __shared__ float part[64];
    int row = blockIdx.x;
    float r = {identity};
    for (int c = threadIdx.x; c < cols; c += blockDim.x) r = combine(r, load(x[row * cols + c]));
    part[threadIdx.x] = r;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {{
        if (threadIdx.x < half) part[threadIdx.x] = combine(part[threadIdx.x], part[threadIdx.x + half]);
        __syncthreads();
    }}
    if (threadIdx.x == 0) y[row] = finish(part[0], cols);
}}
""",
        "(rows,)",
        "(64,)",
        "0",
    ),
    "two_level": (
        """
extern "C" __global__ void reduce(const float* __restrict__ x, float* __restrict__ y, int rows, int cols) {{
    extern __shared__ float part[];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    float r = {identity};
    for (int c = threadIdx.x; c < cols; c += blockDim.x) r = combine(r, load(x[blockIdx.x * cols + c]));
    for (int offset = 16; offset > 0; offset >>= 1) r = combine(r, __shfl_down_sync(0xffffffffu, r, offset));
    if (lane == 0) part[warp] = r;
    __syncthreads();
    if (warp == 0) {{
        r = lane < warps ? part[lane] : {identity};
        for (int offset = 16; offset > 0; offset >>= 1) r = combine(r, __shfl_down_sync(0xffffffffu, r, offset));
        if (lane == 0) y[blockIdx.x] = finish(r, cols);
    }}
}}
""",
        "(rows,)",
        "(96,)",
        "4 * (96 // 32)",
    ),
    "four_accumulators": (
        """
extern "C" __global__ void reduce(const float* x, float* y, int rows, int cols) {{
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    const float* in = x + (size_t)row * cols;
    float r0 = {identity}, r1 = {identity}, r2 = {identity}, r3 = {identity};
    int c = 0;
    for (; c + 3 < cols; c += 4) {{
        r0 = combine(r0, load(in[c]));
        r1 = combine(r1, load(in[c + 1]));
        r2 = combine(r2, load(in[c + 2]));
        r3 = combine(r3, load(in[c + 3]));
    }}
    for (; c < cols; ++c) r0 = combine(r0, load(in[c]));
    y[row] = finish(combine(combine(r0, r1), combine(r2, r3)), cols);
}}
""",
        "((rows + 7) // 8,)",
        "(8,)",
        "0",
    ),
    "cooperative_groups": (
        """
#include <cooperative_groups.h>
namespace cg = cooperative_groups;
extern "C" __global__ void reduce(const float* x, float* y, int rows, int cols) {{
    cg::thread_block block = cg::this_thread_block();
    cg::thread_block_tile<16> tile = cg::tiled_partition<16>(block);
    int row = blockIdx.x * tile.meta_group_size() + tile.meta_group_rank();
    if (row >= rows) return;
    float r = {identity};
    for (int c = tile.thread_rank(); c < cols; c += tile.size()) r = combine(r, load(x[row * cols + c]));
    for (int offset = tile.size() / 2; offset > 0; offset /= 2) r = combine(r, tile.shfl_down(r, offset));
    if (tile.thread_rank() == 0) y[row] = finish(r, cols);
}}
""",
        "((rows + 3) // 4,)",
        "(64,)",
        "0",
    ),
}
"""Style: (kernel, grid, block, bytes of dynamic shared memory)."""

ORDER = ("sequential", "warp", "block", "two_level", "four_accumulators", "cooperative_groups")


def _source(reduction: _Reduction, style: str) -> str:
    cuda, grid, block, shared = STYLES[style]
    parts = vars(reduction)
    return module(
        HEAD.format(**parts) + cuda.format(**parts),
        f"""
        rows, cols = x.shape
        y = torch.empty(rows, device=x.device)
        run("reduce", {grid}, {block}, x.data_ptr(), y.data_ptr(), np.int32(rows), np.int32(cols), shared={shared})
        return y
        """,
    )


KAHAN = r"""
extern "C" __global__ void reduce(const float* x, float* y, int rows, int cols) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    float sum = 0.0f, lost = 0.0f;
    for (int c = 0; c < cols; ++c) {
        float term = x[row * cols + c] - lost;
        float next = sum + term;
        lost = (next - sum) - term;
        sum = next;
    }
    y[row] = sum;
}
"""
ATOMIC = r"""
extern "C" __global__ void clear(float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 0.0f;
}
extern "C" __global__ void reduce(const float* x, float* y, int rows, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < rows * cols) atomicAdd(&y[i / cols], x[i]);
}
"""
PAIRWISE = r"""
__device__ float pairwise(const float* x, int n) {
    float stack[8];
    int depth = 0;
    for (int i = 0; i < n; ++i) {
        float value = x[i];
        for (int bits = i; bits & 1; bits >>= 1) value = stack[--depth] + value;
        stack[depth++] = value;
    }
    float sum = 0.0f;
    while (depth > 0) sum += stack[--depth];
    return sum;
}
extern "C" __global__ void reduce(const float* x, float* y, int rows, int cols) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row < rows) y[row] = pairwise(x + row * cols, cols);
}
"""
DOUBLE = r"""
extern "C" __global__ void reduce(const float* x, float* y, int rows, int cols) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    double sum = 0.0;
    for (int c = 0; c < cols; ++c) sum += x[row * cols + c];
    y[row] = (float)sum;
}
"""
ROW_SUM_FORWARD = """
rows, cols = x.shape
y = torch.empty(rows, device=x.device)
run("reduce", ((rows + 15) // 16,), (16,), x.data_ptr(), y.data_ptr(), np.int32(rows), np.int32(cols))
return y
"""
ATOMIC_FORWARD = """
rows, cols = x.shape
y = torch.empty(rows, device=x.device)
run("clear", ((rows + 63) // 64,), (64,), y.data_ptr(), np.int32(rows))
run("reduce", ((rows * cols + 127) // 128,), (128,), x.data_ptr(), y.data_ptr(), np.int32(rows), np.int32(cols))
return y
"""

LOGSUMEXP_TWO_PASSES = r"""
extern "C" __global__ void reduce(const float* __restrict__ x, float* __restrict__ y, int cols) {
    const float* in = x + blockIdx.x * cols;
    float largest = -INFINITY;
    for (int c = threadIdx.x; c < cols; c += 32) largest = fmaxf(largest, in[c]);
    for (int offset = 16; offset > 0; offset /= 2) largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, offset));
    float sum = 0.0f;
    for (int c = threadIdx.x; c < cols; c += 32) sum += expf(in[c] - largest);
    for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    if (threadIdx.x == 0) y[blockIdx.x] = largest + logf(sum);
}
"""
LOGSUMEXP_ONLINE = r"""
struct State { float largest, sum; };
__device__ State merge(State a, State b) {
    float largest = fmaxf(a.largest, b.largest);
    if (largest == -INFINITY) return a;
    return {largest, a.sum * expf(a.largest - largest) + b.sum * expf(b.largest - largest)};
}
extern "C" __global__ void reduce(const float* __restrict__ x, float* __restrict__ y, int cols) {
    __shared__ State states[64];
    State mine = {-INFINITY, 0.0f};
    for (int c = threadIdx.x; c < cols; c += blockDim.x) mine = merge(mine, {x[blockIdx.x * cols + c], 1.0f});
    states[threadIdx.x] = mine;
    __syncthreads();
    for (int half = 32; half > 0; half >>= 1) {
        if (threadIdx.x < half) states[threadIdx.x] = merge(states[threadIdx.x], states[threadIdx.x + half]);
        __syncthreads();
    }
    if (threadIdx.x == 0) y[blockIdx.x] = states[0].largest + logf(states[0].sum);
}
"""
TOTAL_TWO_KERNELS = r"""
extern "C" __global__ void partial(const float* x, float* part, int n) {
    __shared__ float sums[64];
    float sum = 0.0f;
    for (int i = blockIdx.x * 64 + threadIdx.x; i < n; i += gridDim.x * 64) sum += x[i];
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int half = 32; half > 0; half >>= 1) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) part[blockIdx.x] = sums[0];
}
extern "C" __global__ void final(const float* part, float* y, int n) {
    float sum = 0.0f;
    for (int i = threadIdx.x; i < n; i += 32) sum += part[i];
    for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(0xffffffffu, sum, offset);
    if (threadIdx.x == 0) *y = sum;
}
"""
TOTAL_LAST_BLOCK = r"""
__device__ unsigned int arrived = 0;
extern "C" __global__ void total(const float* x, volatile float* part, float* y, int n) {
    __shared__ float sums[64];
    __shared__ bool last;
    float sum = 0.0f;
    for (int i = blockIdx.x * 64 + threadIdx.x; i < n; i += gridDim.x * 64) sum += x[i];
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int half = 32; half > 0; half >>= 1) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        part[blockIdx.x] = sums[0];
        __threadfence();
        last = atomicAdd(&arrived, 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (last && threadIdx.x == 0) {
        float all = 0.0f;
        for (int b = 0; b < gridDim.x; ++b) all += part[b];
        *y = all;
        arrived = 0;
    }
}
"""

TASKS = {
    **{name: task(f"return {r.expression}", f"torch.randn({ROWS}, {COLS})") for name, r in REDUCTIONS.items()},
    "logsumexp": task("return torch.logsumexp(x, 1)", f"torch.randn({ROWS}, {COLS})"),
    "total": task("return x.sum()", "torch.randn(19, 31)"),
}
_LOGSUMEXP = """
rows, cols = x.shape
y = torch.empty(rows, device=x.device)
run("reduce", (rows,), (THREADS,), x.data_ptr(), y.data_ptr(), np.int32(cols))
return y
"""
KERNELS = [
    *(
        Honest(name, ORDER[(position + step) % len(ORDER)], _source(r, ORDER[(position + step) % len(ORDER)]))
        for position, (name, r) in enumerate(REDUCTIONS.items())
        for step in (0, 1, 3, 5)
    ),
    Honest("row_sum", "kahan", module(KAHAN, ROW_SUM_FORWARD)),
    Honest("row_sum", "pairwise", module(PAIRWISE, ROW_SUM_FORWARD)),
    Honest("row_sum", "double", module(DOUBLE, ROW_SUM_FORWARD)),
    Honest("row_sum", "atomic", module(ATOMIC, ATOMIC_FORWARD)),
    Honest("logsumexp", "warp", module(LOGSUMEXP_TWO_PASSES, _LOGSUMEXP.replace("THREADS", "32"))),
    Honest("logsumexp", "online", module(LOGSUMEXP_ONLINE, _LOGSUMEXP.replace("THREADS", "64"))),
    Honest(
        "total",
        "two_kernels",
        module(
            TOTAL_TWO_KERNELS,
            """
            n = x.numel()
            part, y = torch.empty(5, device=x.device), torch.empty((), device=x.device)
            run("partial", (5,), (64,), x.data_ptr(), part.data_ptr(), np.int32(n))
            run("final", (1,), (32,), part.data_ptr(), y.data_ptr(), np.int32(5))
            return y
            """,
        ),
    ),
    Honest(
        "total",
        "last_block",
        module(
            TOTAL_LAST_BLOCK,
            """
            part, y = torch.empty(4, device=x.device), torch.empty((), device=x.device)
            run("total", (4,), (64,), x.data_ptr(), part.data_ptr(), y.data_ptr(), np.int32(x.numel()))
            return y
            """,
        ),
    ),
]
