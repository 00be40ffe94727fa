"""Attention, losses and their gradients, and pointwise functions of several inputs."""

from __future__ import annotations

from honest.kernel import Honest, module, task

ATTENTION_THREAD = r"""
extern "C" __global__ void attention(const float* q, const float* k, const float* v, float* y, int n, int d, float scale) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= n) return;
    float out[16] = {}, largest = -INFINITY, sum = 0.0f;
    for (int j = 0; j < n; ++j) {
        float score = 0.0f;
        for (int c = 0; c < d; ++c) score += q[row * d + c] * k[j * d + c];
        score *= scale;
        float next = fmaxf(largest, score), shrink = expf(largest - next), weight = expf(score - next);
        sum = sum * shrink + weight;
        for (int c = 0; c < d; ++c) out[c] = out[c] * shrink + weight * v[j * d + c];
        largest = next;
    }
    for (int c = 0; c < d; ++c) y[row * d + c] = out[c] / sum;
}
"""
ATTENTION_BLOCK = r"""
extern "C" __global__ void attention(
    const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v, float* __restrict__ y,
    int n, int d, float scale) {
    extern __shared__ float score[];
    int row = blockIdx.x, lane = threadIdx.x;
    float largest = -INFINITY;
    for (int j = lane; j < n; j += 32) {
        float dot = 0.0f;
        for (int c = 0; c < d; ++c) dot = fmaf(q[row * d + c], k[j * d + c], dot);
        score[j] = dot * scale;
        largest = fmaxf(largest, score[j]);
    }
    for (int o = 16; o > 0; o >>= 1) largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, o));
    float sum = 0.0f;
    for (int j = lane; j < n; j += 32) {
        score[j] = expf(score[j] - largest);
        sum += score[j];
    }
    for (int o = 16; o > 0; o >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, o);
    __syncwarp();
    for (int c = lane; c < d; c += 32) {
        float out = 0.0f;
        for (int j = 0; j < n; ++j) out += score[j] * v[j * d + c];
        y[row * d + c] = out / sum;
    }
}
"""
CAUSAL = ATTENTION_THREAD.replace("j < n; ++j", "j <= row; ++j")
CROSS_ENTROPY = r"""
extern "C" __global__ void rows_loss(const float* x, const long long* target, float* loss, int cols) {
    const float* in = x + blockIdx.x * cols;
    float largest = -INFINITY;
    for (int c = threadIdx.x; c < cols; c += 32) largest = fmaxf(largest, in[c]);
    for (int o = 16; o > 0; o >>= 1) largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, o));
    float sum = 0.0f;
    for (int c = threadIdx.x; c < cols; c += 32) sum += expf(in[c] - largest);
    for (int o = 16; o > 0; o >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, o);
    if (threadIdx.x == 0) loss[blockIdx.x] = largest + logf(sum) - in[target[blockIdx.x]];
}
extern "C" __global__ void mean(const float* loss, float* y, int n) {
    float sum = 0.0f;
    for (int i = 0; i < n; ++i) sum += loss[i];
    *y = sum / n;
}
"""
CROSS_ENTROPY_ATOMIC = r"""
extern "C" __global__ void clear(float* y) { *y = 0.0f; }
extern "C" __global__ void cross_entropy(const float* x, const long long* target, float* y, int rows, int cols) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    const float* in = x + row * cols;
    float largest = in[0];
    for (int c = 1; c < cols; ++c) largest = fmaxf(largest, in[c]);
    float sum = 0.0f;
    for (int c = 0; c < cols; ++c) sum += expf(in[c] - largest);
    atomicAdd(y, (logf(sum) + largest - in[target[row]]) / rows);
}
"""
LOSS_BLOCK = r"""
__device__ __forceinline__ float term(float a, float b) {
    float d = a - b;
    BODY
}
extern "C" __global__ void loss(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ y, int n) {
    __shared__ float part[128];
    float sum = 0.0f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += term(a[i], b[i]);
    part[threadIdx.x] = sum;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half >>= 1) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) y[0] = part[0] / n;
}
"""
LOSS_WARPS = r"""
__device__ __forceinline__ float term(float a, float b) {
    float d = a - b;
    BODY
}
extern "C" __global__ void loss(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ y, int n) {
    __shared__ float part[4];
    float sum = 0.0f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += term(__ldg(a + i), __ldg(b + i));
    for (int o = 16; o > 0; o >>= 1) sum += __shfl_down_sync(0xffffffffu, sum, o);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) *y = (part[0] + part[1] + part[2] + part[3]) / (float)n;
}
"""
SQUARE = "return d * d;"
SMOOTH = "float m = fabsf(d);\n    return m < 1.0f ? 0.5f * d * d : m - 0.5f;"
MSE_GRADIENT = r"""
extern "C" __global__ void gradient(const float* a, const float* b, const float* upstream, float* da, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) da[i] = upstream[0] * 2.0f * (a[i] - b[i]) / n;
}
"""
MSE_GRADIENT_SCALED = r"""
extern "C" __global__ void gradient(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ upstream, float* __restrict__ da, int n) {
    float scale = *upstream * (2.0f / n);
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) da[i] = (a[i] - b[i]) * scale;
}
"""
SWIGLU = r"""
extern "C" __global__ void swiglu(const float* gate, const float* up, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}
"""
SWIGLU_VECTOR = r"""
__device__ float swish(float g) { return g / (1.0f + __expf(-g)); }
extern "C" __global__ void swiglu(const float4* __restrict__ gate, const float4* __restrict__ up, float4* __restrict__ y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n / 4) return;
    float4 g = gate[i], u = up[i];
    y[i] = make_float4(swish(g.x) * u.x, swish(g.y) * u.y, swish(g.z) * u.z, swish(g.w) * u.w);
}
"""
BIAS_RELU = r"""
extern "C" __global__ void bias_relu(const float* x, const float* b, float* y, int n, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = fmaxf(x[i] + b[i % cols], 0.0f);
}
"""
BIAS_RELU_ROWS = r"""
extern "C" __global__ void bias_relu(const float* __restrict__ x, const float* __restrict__ b, float* __restrict__ y, int n, int cols) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= cols) return;
    float bias = b[c];
    for (int i = c; i < n; i += cols) {
        float v = x[i] + bias;
        y[i] = v > 0.0f ? v : 0.0f;
    }
}
"""
LERP = r"""
extern "C" __global__ void lerp(const float* a, const float* b, float* y, float weight, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) y[i] = a[i] + weight * (b[i] - a[i]);
}
"""
LERP_VECTOR = r"""
__constant__ float weights[2] = {0.7f, 0.3f};
extern "C" __global__ void lerp(const float2* a, const float2* b, float2* y, float weight, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n / 2) {
        float2 p = a[i], q = b[i];
        y[i] = make_float2(weights[0] * p.x + weights[1] * q.x, weights[0] * p.y + weights[1] * q.y);
    }
}
"""


def _attention(grid: str, block: str, shared: str = "0") -> str:
    return f"""
    n, d = q.shape
    y = torch.empty_like(q)
    scale = np.float32(d**-0.5)
    run("attention", {grid}, {block}, q.data_ptr(), k.data_ptr(), v.data_ptr(), y.data_ptr(), np.int32(n), np.int32(d), scale,
        shared={shared})
    return y
    """


_LOSS = """
y = torch.empty((), device=a.device)
run("loss", (1,), (128,), a.data_ptr(), b.data_ptr(), y.data_ptr(), np.int32(a.numel()))
return y
"""


def _gradient(grid: str) -> str:
    return f"""
    da = torch.empty_like(a)
    n = a.numel()
    run("gradient", {grid}, (64,), a.data_ptr(), b.data_ptr(), upstream.data_ptr(), da.data_ptr(), np.int32(n))
    return da
    """


def _two(name: str, first: str, second: str, per_thread: int, between: str = "") -> str:
    return f"""
    y = torch.empty_like({first})
    n = y.numel()
    grid = ((n // {per_thread} + 63) // 64,)
    run("{name}", grid, (64,), {first}.data_ptr(), {second}.data_ptr(), y.data_ptr(), {between}np.int32(n))
    return y
    """


def _bias(grid: str) -> str:
    return f"""
    y = torch.empty_like(x)
    n, cols = x.numel(), x.shape[1]
    run("bias_relu", {grid}, (32,), x.data_ptr(), self.bias.data_ptr(), y.data_ptr(), np.int32(n), np.int32(cols))
    return y
    """


_QKV = "torch.randn(21, 16), torch.randn(21, 16), torch.randn(21, 16)"
_PAIR = "torch.randn(17, 29), torch.randn(17, 29)"
TASKS = {
    "attention": task("return torch.softmax(q @ k.T * q.shape[1] ** -0.5, -1) @ v", _QKV, names="q, k, v"),
    "causal_attention": task(
        "scores = q @ k.T * q.shape[1] ** -0.5\n"
        "hidden = torch.ones_like(scores, dtype=torch.bool).triu(1)\n"
        "return torch.softmax(scores.masked_fill(hidden, float('-inf')), -1) @ v",
        _QKV,
        names="q, k, v",
    ),
    "cross_entropy": task(
        "return F.cross_entropy(x, target)", "torch.randn(15, 37), torch.randint(0, 37, (15,))", names="x, target"
    ),
    "mse": task("return F.mse_loss(a, b)", _PAIR, names="a, b"),
    "smooth_l1": task("return F.smooth_l1_loss(a, b)", _PAIR, names="a, b"),
    "mse_gradient": task(
        "return upstream * 2 * (a - b) / a.numel()", f"{_PAIR}, torch.randn(1)", names="a, b, upstream"
    ),
    "swiglu": task("return F.silu(gate) * up", "torch.randn(12, 36), torch.randn(12, 36)", names="gate, up"),
    "bias_relu": task(
        "return F.relu(x + self.bias)",
        "torch.randn(14, 45)",
        init="self.bias = torch.nn.Parameter(torch.zeros(features))",
        arguments="features",
        values="45",
    ),
    "lerp": task("return torch.lerp(a, b, 0.3)", "torch.randn(14, 26), torch.randn(14, 26)", names="a, b"),
}
_BIAS = {"init": "self.bias = nn.Parameter(torch.zeros(features))", "arguments": "features"}
KERNELS = [
    Honest("attention", "thread", module(ATTENTION_THREAD, _attention("((n + 7) // 8,)", "(8,)"), names="q, k, v")),
    Honest("attention", "block", module(ATTENTION_BLOCK, _attention("(n,)", "(32,)", "4 * n"), names="q, k, v")),
    Honest("causal_attention", "thread", module(CAUSAL, _attention("((n + 7) // 8,)", "(8,)"), names="q, k, v")),
    Honest(
        "cross_entropy",
        "two_kernels",
        module(
            CROSS_ENTROPY,
            """
            rows, cols = x.shape
            loss, y = torch.empty(rows, device=x.device), torch.empty((), device=x.device)
            run("rows_loss", (rows,), (32,), x.data_ptr(), target.data_ptr(), loss.data_ptr(), np.int32(cols))
            run("mean", (1,), (1,), loss.data_ptr(), y.data_ptr(), np.int32(rows))
            return y
            """,
            names="x, target",
        ),
    ),
    Honest(
        "cross_entropy",
        "atomic",
        module(
            CROSS_ENTROPY_ATOMIC,
            """
            rows, cols = x.shape
            y = torch.empty((), device=x.device)
            run("clear", (1,), (1,), y.data_ptr())
            run("cross_entropy", (1,), (32,), x.data_ptr(), target.data_ptr(), y.data_ptr(), np.int32(rows), np.int32(cols))
            return y
            """,
            names="x, target",
        ),
    ),
    Honest("mse", "block", module(LOSS_BLOCK.replace("BODY", SQUARE), _LOSS, names="a, b")),
    Honest("mse", "warps", module(LOSS_WARPS.replace("BODY", SQUARE), _LOSS, names="a, b")),
    Honest("smooth_l1", "block", module(LOSS_BLOCK.replace("BODY", SMOOTH), _LOSS, names="a, b")),
    Honest("smooth_l1", "warps", module(LOSS_WARPS.replace("BODY", SMOOTH), _LOSS, names="a, b")),
    Honest("mse_gradient", "naive", module(MSE_GRADIENT, _gradient("((n + 63) // 64,)"), names="a, b, upstream")),
    Honest("mse_gradient", "scaled", module(MSE_GRADIENT_SCALED, _gradient("(3,)"), names="a, b, upstream")),
    Honest("swiglu", "naive", module(SWIGLU, _two("swiglu", "gate", "up", 1), names="gate, up")),
    Honest("swiglu", "float4", module(SWIGLU_VECTOR, _two("swiglu", "gate", "up", 4), names="gate, up")),
    Honest("bias_relu", "naive", module(BIAS_RELU, _bias("((n + 31) // 32,)"), **_BIAS)),
    Honest("bias_relu", "columns", module(BIAS_RELU_ROWS, _bias("((cols + 31) // 32,)"), **_BIAS)),
    Honest("lerp", "grid_stride", module(LERP, _two("lerp", "a", "b", 2, "np.float32(0.3), "), names="a, b")),
    Honest("lerp", "float2", module(LERP_VECTOR, _two("lerp", "a", "b", 2, "np.float32(0.3), "), names="a, b")),
]
