"""Moving and counting: transposes, gathers, scatters, scans, orders, integers, halves, several outputs, in place."""

from __future__ import annotations

from honest.kernel import Honest, module, task

TRANSPOSE = r"""
extern "C" __global__ void transpose(const float* x, float* y, int rows, int cols) {
    int c = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y * blockDim.y + threadIdx.y;
    if (r < rows && c < cols) y[c * rows + r] = x[r * cols + c];
}
"""
TRANSPOSE_TILED = r"""
extern "C" __global__ void transpose(const float* __restrict__ x, float* __restrict__ y, int rows, int cols) {
    __shared__ float tile[16][17];
    int c = blockIdx.x * 16 + threadIdx.x;
    for (int j = threadIdx.y; j < 16; j += 4) {
        int r = blockIdx.y * 16 + j;
        if (r < rows && c < cols) tile[j][threadIdx.x] = x[r * cols + c];
    }
    __syncthreads();
    int r = blockIdx.y * 16 + threadIdx.x;
    for (int j = threadIdx.y; j < 16; j += 4) {
        int column = blockIdx.x * 16 + j;
        if (r < rows && column < cols) y[column * rows + r] = tile[threadIdx.x][j];
    }
}
"""
EMBEDDING = r"""
extern "C" __global__ void embed(const long long* ids, const float* table, float* y, int n, int width) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n * width) y[i] = table[ids[i / width] * width + i % width];
}
"""
EMBEDDING_WARP = r"""
extern "C" __global__ void embed(const long long* __restrict__ ids, const float* __restrict__ table, float* __restrict__ y, int n, int width) {
    int row = blockIdx.x;
    const float* from = table + (size_t)ids[row] * width;
    for (int c = threadIdx.x; c < width; c += blockDim.x) y[(size_t)row * width + c] = from[c];
}
"""
SCATTER_ADD = r"""
extern "C" __global__ void clear(float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 0.0f;
}
extern "C" __global__ void scatter(const float* x, const long long* index, float* y, int n, int width) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n * width) atomicAdd(&y[index[i / width] * width + i % width], x[i]);
}
"""
SCATTER_BY_OWNER = r"""
extern "C" __global__ void scatter(const float* x, const long long* index, float* y, int n, int width) {
    int bin = blockIdx.x, c = threadIdx.x;
    float sum = 0.0f;
    for (int i = 0; i < n; ++i)
        if (index[i] == bin) sum += x[i * width + c];
    y[bin * width + c] = sum;
}
"""
CUMSUM_THREAD = r"""
extern "C" __global__ void cumsum(const float* x, float* y, int rows, int cols) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    float sum = 0.0f;
    for (int c = 0; c < cols; ++c) {
        sum += x[row * cols + c];
        y[row * cols + c] = sum;
    }
}
"""
CUMSUM_WARP = r"""
extern "C" __global__ void cumsum(const float* __restrict__ x, float* __restrict__ y, int rows, int cols) {
    int row = blockIdx.x, lane = threadIdx.x;
    float carry = 0.0f;
    for (int start = 0; start < cols; start += 32) {
        int c = start + lane;
        float v = c < cols ? x[row * cols + c] : 0.0f;
        for (int offset = 1; offset < 32; offset <<= 1) {
            float other = __shfl_up_sync(0xffffffffu, v, offset);
            if (lane >= offset) v += other;
        }
        if (c < cols) y[row * cols + c] = carry + v;
        carry += __shfl_sync(0xffffffffu, v, 31);
    }
}
"""
CUMSUM_BLOCK = r"""
extern "C" __global__ void cumsum(const float* x, float* y, int rows, int cols) {
    __shared__ float from[128], to[128];
    int c = threadIdx.x, i = blockIdx.x * cols + threadIdx.x;
    float *a = from, *b = to;
    a[c] = c < cols ? x[i] : 0.0f;
    __syncthreads();
    for (int offset = 1; offset < 128; offset *= 2) {
        b[c] = c >= offset ? a[c] + a[c - offset] : a[c];
        __syncthreads();
        float* swap = a;
        a = b;
        b = swap;
    }
    if (c < cols) y[i] = a[c];
}
"""
ARGMAX_THREAD = r"""
extern "C" __global__ void argmax(const float* x, long long* y, int rows, int cols) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    int best = 0;
    for (int c = 1; c < cols; ++c)
        if (x[row * cols + c] > x[row * cols + best]) best = c;
    y[row] = best;
}
"""
ARGMAX_WARP = r"""
extern "C" __global__ void argmax(const float* __restrict__ x, long long* __restrict__ y, int rows, int cols) {
    int row = blockIdx.x;
    float best = -INFINITY;
    int at = cols;
    for (int c = threadIdx.x; c < cols; c += 32) {
        float v = x[row * cols + c];
        if (v > best) { best = v; at = c; }
    }
    for (int offset = 16; offset > 0; offset >>= 1) {
        float other = __shfl_xor_sync(0xffffffffu, best, offset);
        int other_at = __shfl_xor_sync(0xffffffffu, at, offset);
        if (other > best || (other == best && other_at < at)) { best = other; at = other_at; }
    }
    if (threadIdx.x == 0) y[row] = at;
}
"""
SORT_BITONIC = r"""
extern "C" __global__ void sort_rows(const float* x, float* y, int cols) {
    __shared__ float held[64];
    int t = threadIdx.x;
    held[t] = t < cols ? x[blockIdx.x * cols + t] : INFINITY;
    __syncthreads();
    for (int size = 2; size <= 64; size *= 2)
        for (int step = size / 2; step > 0; step /= 2) {
            int other = t ^ step;
            if (other > t) {
                bool up = (t & size) == 0;
                float a = held[t], b = held[other];
                if ((a > b) == up) {
                    held[t] = b;
                    held[other] = a;
                }
            }
            __syncthreads();
        }
    if (t < cols) y[blockIdx.x * cols + t] = held[t];
}
"""
SORT_RANK = r"""
extern "C" __global__ void sort_rows(const float* __restrict__ x, float* __restrict__ y, int cols) {
    const float* in = x + blockIdx.x * cols;
    int t = threadIdx.x;
    if (t >= cols) return;
    int rank = 0;
    for (int c = 0; c < cols; ++c) rank += in[c] < in[t] || (in[c] == in[t] && c < t);
    y[blockIdx.x * cols + rank] = in[t];
}
"""
HISTOGRAM = r"""
extern "C" __global__ void histogram(const int* x, int* y, int n, int bins) {
    extern __shared__ int count[];
    for (int b = threadIdx.x; b < bins; b += blockDim.x) count[b] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) atomicAdd(&count[x[i]], 1);
    __syncthreads();
    for (int b = threadIdx.x; b < bins; b += blockDim.x) y[b] = count[b];
}
"""
HISTOGRAM_BALLOT = r"""
extern "C" __global__ void histogram(const int* __restrict__ x, int* __restrict__ y, int n, int bins) {
    int bin = blockIdx.x, total = 0;
    for (int start = 0; start < n; start += 32) {
        int i = start + threadIdx.x;
        unsigned int votes = __ballot_sync(0xffffffffu, i < n && x[i] == bin);
        total += __popc(votes);
    }
    if (threadIdx.x == 0) y[bin] = total;
}
"""
MIX = r"""
extern "C" __global__ void mix(const int* x, int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = ((x[i] * 5) ^ (x[i] >> 3)) + 7;
}
"""
MIX_VECTOR = r"""
__device__ int mixed(int v) { return (((v << 2) + v) ^ (v >> 3)) + 7; }
extern "C" __global__ void mix(const int* __restrict__ x, int* __restrict__ y, int n) {
    int i = (blockIdx.x * blockDim.x + threadIdx.x) * 2;
    if (i + 1 < n) {
        int2 v = *reinterpret_cast<const int2*>(x + i);
        *reinterpret_cast<int2*>(y + i) = make_int2(mixed(v.x), mixed(v.y));
    } else if (i < n) {
        y[i] = mixed(x[i]);
    }
}
"""
HALF_SILU = r"""
#include <cuda_fp16.h>
extern "C" __global__ void silu(const __half* x, __half* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        float v = __half2float(x[i]);
        y[i] = __float2half(v / (1.0f + expf(-v)));
    }
}
"""
HALF2_SILU = r"""
#include <cuda_fp16.h>
__device__ float silu_of(float v) { return v / (1.0f + __expf(-v)); }
extern "C" __global__ void silu(const __half* __restrict__ x, __half* __restrict__ y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n / 2) {
        float2 v = __half22float2(reinterpret_cast<const __half2*>(x)[i]);
        reinterpret_cast<__half2*>(y)[i] = __floats2half2_rn(silu_of(v.x), silu_of(v.y));
    }
    if (i == 0 && n % 2) y[n - 1] = __float2half(silu_of(__half2float(x[n - 1])));
}
"""
BF16_SCALE = r"""
#include <cuda_bf16.h>
extern "C" __global__ void add_scaled(const __nv_bfloat16* a, const __nv_bfloat16* b, __nv_bfloat16* y, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        y[i] = __float2bfloat16(__bfloat162float(a[i]) + 0.5f * __bfloat162float(b[i]));
}
"""
BF16_FMA = r"""
#include <cuda_bf16.h>
extern "C" __global__ void add_scaled(
    const __nv_bfloat16* __restrict__ a, const __nv_bfloat16* __restrict__ b, __nv_bfloat16* __restrict__ y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    y[i] = __hfma(__float2bfloat16(0.5f), b[i], a[i]);
}
"""
MOMENTS_WARP = r"""
extern "C" __global__ void moments(const float* __restrict__ x, float* __restrict__ mean, float* __restrict__ variance, int cols) {
    const float* in = x + blockIdx.x * cols;
    float sum = 0.0f;
    for (int c = threadIdx.x; c < cols; c += 32) sum += in[c];
    for (int o = 16; o > 0; o >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, o);
    float m = sum / cols, squares = 0.0f;
    for (int c = threadIdx.x; c < cols; c += 32) squares += (in[c] - m) * (in[c] - m);
    for (int o = 16; o > 0; o >>= 1) squares += __shfl_xor_sync(0xffffffffu, squares, o);
    if (threadIdx.x == 0) {
        mean[blockIdx.x] = m;
        variance[blockIdx.x] = squares / (cols - 1);
    }
}
"""
MOMENTS_THREAD = r"""
extern "C" __global__ void moments(const float* x, float* mean, float* variance, int cols) {
    const float* in = x + blockIdx.x * cols;
    float m = 0.0f, squares = 0.0f;
    for (int c = 0; c < cols; ++c) {
        float delta = in[c] - m;
        m += delta / (c + 1);
        squares += delta * (in[c] - m);
    }
    mean[blockIdx.x] = m;
    variance[blockIdx.x] = squares / (cols - 1);
}
"""
MAX_WITH_INDEX = r"""
extern "C" __global__ void largest(const float* x, float* value, long long* index, int rows, int cols) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    float best = x[row * cols];
    int at = 0;
    for (int c = 1; c < cols; ++c) {
        float v = x[row * cols + c];
        if (v > best) { best = v; at = c; }
    }
    value[row] = best;
    index[row] = at;
}
"""
IN_PLACE = r"""
extern "C" __global__ void decay(float* x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] = 0.9f * x[i] + 0.25f;
}
"""
IN_PLACE_STRIDE = r"""
extern "C" __global__ void decay(float* x, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) x[i] = fmaf(x[i], 0.9f, 0.25f);
}
"""
TRIL = r"""
extern "C" __global__ void tril(const float* x, float* y, int rows, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < rows * cols) y[i] = i % cols <= i / cols + 1 ? x[i] : 0.0f;
}
"""
TRIL_ROWS = r"""
extern "C" __global__ void tril(const float* x, float* y, int rows, int cols) {
    int r = blockIdx.x;
    for (int c = threadIdx.x; c < cols; c += blockDim.x) y[r * cols + c] = c > r + 1 ? 0.0f : x[r * cols + c];
}
"""
CAT = r"""
extern "C" __global__ void cat(const float* a, const float* b, float* y, int rows, int left, int right) {
    int c = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y;
    int width = left + right;
    if (c >= width) return;
    y[r * width + c] = c < left ? a[r * left + c] : b[r * right + c - left];
}
"""
CAT_TWO = r"""
extern "C" __global__ void copy_into(const float* x, float* y, int rows, int width, int stride, int at) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < rows * width) y[i / width * stride + at + i % width] = x[i];
}
"""


def _grid(name: str, out: str, grid: str, block: str) -> str:
    return f"""
    rows, cols = x.shape
    y = {out}
    run("{name}", {grid}, {block}, x.data_ptr(), y.data_ptr(), np.int32(rows), np.int32(cols))
    return y
    """


def _embed(cuda: str, style: str, grid: str) -> Honest:
    forward = f"""
    n, width = ids.numel(), self.table.embedding_dim
    y = torch.empty(n, width, device=ids.device)
    run("embed", {grid}, (32,), ids.data_ptr(), self.table.weight.data_ptr(), y.data_ptr(), np.int32(n), np.int32(width))
    return y
    """
    init = "self.table = nn.Embedding(rows, width)"
    return Honest("embedding", style, module(cuda, forward, names="ids", init=init, arguments="rows, width"))


def _scatter(grid: str, block: str, before: str = "") -> str:
    return f"""
    n, width = x.shape
    y = torch.empty(9, width, device=x.device)
    {before}
    run("scatter", {grid}, {block}, x.data_ptr(), index.data_ptr(), y.data_ptr(), np.int32(n), np.int32(width))
    return y
    """


def _flat(name: str, grid: str, names: str = "x") -> str:
    first = names.split(",")[0]
    pointers = ", ".join(f"{part.strip()}.data_ptr()" for part in names.split(","))
    return f"""
    y = torch.empty_like({first})
    n = y.numel()
    run("{name}", {grid}, (64,), {pointers}, y.data_ptr(), np.int32(n))
    return y
    """


_SORT = """
rows, cols = x.shape
y = torch.empty_like(x)
run("sort_rows", (rows,), (64,), x.data_ptr(), y.data_ptr(), np.int32(cols))
return y
"""
_MOMENTS = """
rows, cols = x.shape
mean, variance = torch.empty(rows, device=x.device), torch.empty(rows, device=x.device)
run("moments", (rows,), (THREADS,), x.data_ptr(), mean.data_ptr(), variance.data_ptr(), np.int32(cols))
return mean, variance
"""
_MAX = """
rows, cols = x.shape
value = torch.empty(rows, device=x.device)
index = torch.empty(rows, dtype=torch.int64, device=x.device)
run("largest", ((rows + 7) // 8,), (8,), x.data_ptr(), value.data_ptr(), index.data_ptr(), np.int32(rows), np.int32(cols))
return value, index
"""
_DECAY = """
n = x.numel()
run("decay", (GRID,), (64,), x.data_ptr(), np.int32(n))
return x
"""
_HISTOGRAM = """
y = torch.empty(11, dtype=torch.int32, device=x.device)
run("histogram", (GRID,), (32,), x.data_ptr(), y.data_ptr(), np.int32(x.numel()), np.int32(11), shared=SHARED)
return y
"""
_LIKE = "torch.empty_like(x)"
_INDEX = "torch.empty(rows, dtype=torch.int64, device=x.device)"
_TURNED = "torch.empty(cols, rows, device=x.device)"
TASKS = {
    "transpose": task("return x.T.contiguous()", "torch.randn(21, 37)"),
    "embedding": task(
        "return self.table(ids)",
        "torch.randint(0, 19, (23,))",
        names="ids",
        init="self.table = torch.nn.Embedding(rows, width)",
        arguments="rows, width",
        values="19, 14",
    ),
    "scatter_add": task(
        "return torch.zeros(9, x.shape[1], dtype=x.dtype).index_add(0, index, x)",
        "torch.randn(31, 10), torch.randint(0, 9, (31,))",
        names="x, index",
    ),
    "cumsum": task("return x.cumsum(1)", "torch.randn(7, 75)"),
    "argmax": task("return x.argmax(1)", "torch.randn(12, 53)"),
    "sort_rows": task("return x.sort(1).values", "torch.randn(9, 51)"),
    "histogram": task(
        "return torch.zeros(11, dtype=torch.int32).index_add(0, x, torch.ones_like(x))",
        "torch.randint(0, 11, (301,), dtype=torch.int32)",
    ),
    "int_mix": task("return ((x * 5) ^ (x >> 3)) + 7", "torch.randint(-9999, 9999, (315,), dtype=torch.int32)"),
    "silu_half": task("return F.silu(x)", "torch.randn(15, 21).half()"),
    "scaled_add_bf16": task(
        "return a + 0.5 * b", "torch.randn(13, 19).bfloat16(), torch.randn(13, 19).bfloat16()", names="a, b"
    ),
    "moments": task("return x.mean(1), x.var(1)", "torch.randn(9, 61)"),
    "max_with_index": task("found = x.max(1)\nreturn found.values, found.indices", "torch.randn(9, 61)"),
    "decay_in_place": task("return x.mul_(0.9).add_(0.25)", "torch.randn(11, 31)"),
    "tril": task("return x.tril(1)", "torch.randn(17, 23)"),
    "cat": task("return torch.cat([a, b], 1)", "torch.randn(9, 13), torch.randn(9, 22)", names="a, b"),
}
_CLEAR = 'run("clear", ((9 * width + 63) // 64,), (64,), y.data_ptr(), np.int32(9 * width))'
_ALL = "((n + 63) // 64,)"
KERNELS = [
    Honest(
        "transpose",
        "naive",
        module(TRANSPOSE, _grid("transpose", _TURNED, "((cols + 7) // 8, (rows + 7) // 8)", "(8, 8)")),
    ),
    Honest(
        "transpose",
        "tiled",
        module(TRANSPOSE_TILED, _grid("transpose", _TURNED, "((cols + 15) // 16, (rows + 15) // 16)", "(16, 4)")),
    ),
    _embed(EMBEDDING, "flat", "((n * width + 31) // 32,)"),
    _embed(EMBEDDING_WARP, "rows", "(n,)"),
    Honest(
        "scatter_add",
        "atomic",
        module(SCATTER_ADD, _scatter("((n * width + 63) // 64,)", "(64,)", _CLEAR), names="x, index"),
    ),
    Honest("scatter_add", "owner", module(SCATTER_BY_OWNER, _scatter("(9,)", "(width,)"), names="x, index")),
    Honest("cumsum", "thread", module(CUMSUM_THREAD, _grid("cumsum", _LIKE, "((rows + 3) // 4,)", "(4,)"))),
    Honest("cumsum", "warp", module(CUMSUM_WARP, _grid("cumsum", _LIKE, "(rows,)", "(32,)"))),
    Honest("cumsum", "block", module(CUMSUM_BLOCK, _grid("cumsum", _LIKE, "(rows,)", "(128,)"))),
    Honest("argmax", "thread", module(ARGMAX_THREAD, _grid("argmax", _INDEX, "((rows + 7) // 8,)", "(8,)"))),
    Honest("argmax", "warp", module(ARGMAX_WARP, _grid("argmax", _INDEX, "(rows,)", "(32,)"))),
    Honest("sort_rows", "bitonic", module(SORT_BITONIC, _SORT)),
    Honest("sort_rows", "rank", module(SORT_RANK, _SORT)),
    Honest(
        "histogram", "shared_atomic", module(HISTOGRAM, _HISTOGRAM.replace("GRID", "1").replace("SHARED", "4 * 11"))
    ),
    Honest("histogram", "ballot", module(HISTOGRAM_BALLOT, _HISTOGRAM.replace("GRID", "11").replace("SHARED", "0"))),
    Honest("int_mix", "naive", module(MIX, _flat("mix", _ALL))),
    Honest("int_mix", "int2", module(MIX_VECTOR, _flat("mix", "((n + 127) // 128,)"))),
    Honest("silu_half", "naive", module(HALF_SILU, _flat("silu", _ALL))),
    Honest("silu_half", "half2", module(HALF2_SILU, _flat("silu", "((n // 2 + 63) // 64,)"))),
    Honest("scaled_add_bf16", "float", module(BF16_SCALE, _flat("add_scaled", "(2,)", "a, b"), names="a, b")),
    Honest("scaled_add_bf16", "hfma", module(BF16_FMA, _flat("add_scaled", _ALL, "a, b"), names="a, b")),
    Honest("moments", "warp", module(MOMENTS_WARP, _MOMENTS.replace("THREADS", "32"))),
    Honest("moments", "welford", module(MOMENTS_THREAD, _MOMENTS.replace("THREADS", "1"))),
    Honest("max_with_index", "thread", module(MAX_WITH_INDEX, _MAX)),
    Honest("decay_in_place", "naive", module(IN_PLACE, _DECAY.replace("GRID", "(n + 63) // 64"))),
    Honest("decay_in_place", "grid_stride", module(IN_PLACE_STRIDE, _DECAY.replace("GRID", "3"))),
    Honest("tril", "flat", module(TRIL, _grid("tril", _LIKE, "((rows * cols + 63) // 64,)", "(64,)"))),
    Honest("tril", "rows", module(TRIL_ROWS, _grid("tril", _LIKE, "(rows,)", "(16,)"))),
    Honest(
        "cat",
        "select",
        module(
            CAT,
            """
            rows, left, right = a.shape[0], a.shape[1], b.shape[1]
            y = torch.empty(rows, left + right, device=a.device)
            grid = ((left + right + 31) // 32, rows)
            run("cat", grid, (32,), a.data_ptr(), b.data_ptr(), y.data_ptr(), np.int32(rows), np.int32(left), np.int32(right))
            return y
            """,
            names="a, b",
        ),
    ),
    Honest(
        "cat",
        "two_copies",
        module(
            CAT_TWO,
            """
            rows, left, right = a.shape[0], a.shape[1], b.shape[1]
            y = torch.empty(rows, left + right, device=a.device)
            for x, width, at in ((a, left, 0), (b, right, left)):
                sizes = [np.int32(v) for v in (rows, width, left + right, at)]
                run("copy_into", ((x.numel() + 63) // 64,), (64,), x.data_ptr(), y.data_ptr(), *sizes)
            return y
            """,
            names="a, b",
        ),
    ),
]
