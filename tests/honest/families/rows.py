"""Rows to rows: softmax and its gradient, layer, RMS and batch norm; a thread, a warp or a block per row, one or two passes."""

from __future__ import annotations

from honest.kernel import Honest, module, task

X = "torch.randn(11, 70)"

WARP = r"""
__device__ __forceinline__ float warp_sum(float v) {
    for (int offset = 16; offset > 0; offset >>= 1) v += __shfl_xor_sync(0xffffffffu, v, offset);
    return v;
}
__device__ __forceinline__ float warp_max(float v) {
    for (int offset = 16; offset > 0; offset >>= 1) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, offset));
    return v;
}
"""
BLOCK = r"""
template <typename Op>
__device__ float block_reduce(float v, float* part, Op op) {
    part[threadIdx.x] = v;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half >>= 1) {
        if (threadIdx.x < half) part[threadIdx.x] = op(part[threadIdx.x], part[threadIdx.x + half]);
        __syncthreads();
    }
    float result = part[0];
    __syncthreads();
    return result;
}
struct Sum { __device__ float operator()(float a, float b) const { return a + b; } };
struct Max { __device__ float operator()(float a, float b) const { return fmaxf(a, b); } };
"""

SOFTMAX_THREAD = r"""
extern "C" __global__ void softmax(const float* x, float* y, int rows, int cols) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    const float* in = x + row * cols;
    float* out = y + row * cols;
    float largest = -INFINITY;
    for (int c = 0; c < cols; ++c) largest = fmaxf(largest, in[c]);
    float sum = 0.0f;
    for (int c = 0; c < cols; ++c) sum += expf(in[c] - largest);
    for (int c = 0; c < cols; ++c) out[c] = expf(in[c] - largest) / sum;
}
"""
SOFTMAX_WARP = (
    WARP
    + r"""
extern "C" __global__ void softmax(const float* __restrict__ x, float* __restrict__ y, int rows, int cols) {
    int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    const float* in = x + (size_t)row * cols;
    float largest = -INFINITY;
    for (int c = lane; c < cols; c += 32) largest = fmaxf(largest, in[c]);
    largest = warp_max(largest);
    float sum = 0.0f;
    for (int c = lane; c < cols; c += 32) sum += __expf(in[c] - largest);
    float scale = 1.0f / warp_sum(sum);
    for (int c = lane; c < cols; c += 32) y[(size_t)row * cols + c] = __expf(in[c] - largest) * scale;
}
"""
)
SOFTMAX_BLOCK = (
    BLOCK
    + r"""
extern "C" __global__ void softmax(const float* __restrict__ x, float* __restrict__ y, int rows, int cols) {
    extern __shared__ float shared[];
    float* part = shared;
    float* held = shared + blockDim.x;
    const float* in = x + (size_t)blockIdx.x * cols;
    float largest = -INFINITY;
    for (int c = threadIdx.x; c < cols; c += blockDim.x) largest = fmaxf(largest, in[c]);
    largest = block_reduce(largest, part, Max());
    float sum = 0.0f;
    for (int c = threadIdx.x; c < cols; c += blockDim.x) {
        held[c] = exp2f((in[c] - largest) * 1.44269504088896341f);
        sum += held[c];
    }
    sum = block_reduce(sum, part, Sum());
    for (int c = threadIdx.x; c < cols; c += blockDim.x) y[(size_t)blockIdx.x * cols + c] = held[c] / sum;
}
"""
)
SOFTMAX_ONLINE = r"""
extern "C" __global__ void softmax(const float* __restrict__ x, float* __restrict__ y, int rows, int cols) {
    int lane = threadIdx.x;
    const float* in = x + (size_t)blockIdx.x * cols;
    float largest = -INFINITY, sum = 0.0f;
    for (int c = lane; c < cols; c += 32) {
        float next = fmaxf(largest, in[c]);
        sum = sum * expf(largest - next) + expf(in[c] - next);
        largest = next;
    }
    for (int offset = 16; offset > 0; offset >>= 1) {
        float other_largest = __shfl_xor_sync(0xffffffffu, largest, offset);
        float other_sum = __shfl_xor_sync(0xffffffffu, sum, offset);
        float next = fmaxf(largest, other_largest);
        sum = sum * expf(largest - next) + other_sum * expf(other_largest - next);
        largest = next;
    }
    for (int c = lane; c < cols; c += 32) y[(size_t)blockIdx.x * cols + c] = expf(in[c] - largest) / sum;
}
"""
LOG_SOFTMAX = (
    WARP
    + r"""
extern "C" __global__ void log_softmax(const float* __restrict__ x, float* __restrict__ y, int rows, int cols) {
    const float* in = x + blockIdx.x * cols;
    float held[4];
    float largest = -INFINITY;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        int c = k * 32 + threadIdx.x;
        held[k] = c < cols ? in[c] : -INFINITY;
        largest = fmaxf(largest, held[k]);
    }
    largest = warp_max(largest);
    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < 4; ++k) sum += expf(held[k] - largest);
    float shift = largest + logf(warp_sum(sum));
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        int c = k * 32 + threadIdx.x;
        if (c < cols) y[blockIdx.x * cols + c] = held[k] - shift;
    }
}
"""
)
SOFTMAX_BACKWARD = (
    WARP
    + r"""
extern "C" __global__ void backward(const float* __restrict__ grad, const float* __restrict__ y, float* __restrict__ dx, int cols, float scale) {
    int start = blockIdx.x * cols;
    float dot = 0.0f;
    for (int c = threadIdx.x; c < cols; c += 32) dot += grad[start + c] * y[start + c];
    dot = warp_sum(dot);
    for (int c = threadIdx.x; c < cols; c += 32) dx[start + c] = scale * y[start + c] * (grad[start + c] - dot);
}
"""
)
SOFTMAX_BACKWARD_BLOCK = (
    BLOCK
    + r"""
extern "C" __global__ void backward(const float* grad, const float* y, float* dx, int cols, float scale) {
    __shared__ float part[128];
    int i = blockIdx.x * cols + threadIdx.x;
    bool in = threadIdx.x < cols;
    float g = in ? grad[i] : 0.0f, p = in ? y[i] : 0.0f;
    float dot = block_reduce(g * p, part, Sum());
    if (in) dx[i] = scale * p * (g - dot);
}
"""
)
LAYER_NORM_WARP = (
    WARP
    + r"""
extern "C" __global__ void layer_norm(const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ b, float* __restrict__ y, int cols) {
    const float* in = x + blockIdx.x * cols;
    float sum = 0.0f;
    for (int c = threadIdx.x; c < cols; c += 32) sum += in[c];
    float mean = warp_sum(sum) / cols;
    float squares = 0.0f;
    for (int c = threadIdx.x; c < cols; c += 32) {
        float d = in[c] - mean;
        squares += d * d;
    }
    float scale = rsqrtf(warp_sum(squares) / cols + 1e-5f);
    for (int c = threadIdx.x; c < cols; c += 32) y[blockIdx.x * cols + c] = (in[c] - mean) * scale * w[c] + b[c];
}
"""
)
LAYER_NORM_WELFORD = r"""
struct Moments { float count, mean, squares; };
__device__ Moments merge(Moments a, Moments b) {
    float count = a.count + b.count;
    if (count == 0.0f) return a;
    float delta = b.mean - a.mean;
    return {count, a.mean + delta * b.count / count, a.squares + b.squares + delta * delta * a.count * b.count / count};
}
extern "C" __global__ void layer_norm(const float* x, const float* w, const float* b, float* y, int cols) {
    __shared__ Moments part[64];
    const float* in = x + blockIdx.x * cols;
    Moments m = {0.0f, 0.0f, 0.0f};
    for (int c = threadIdx.x; c < cols; c += 64) m = merge(m, {1.0f, in[c], 0.0f});
    part[threadIdx.x] = m;
    __syncthreads();
    for (int half = 32; half > 0; half >>= 1) {
        if (threadIdx.x < half) part[threadIdx.x] = merge(part[threadIdx.x], part[threadIdx.x + half]);
        __syncthreads();
    }
    float mean = part[0].mean, scale = 1.0f / sqrtf(part[0].squares / cols + 1e-5f);
    for (int c = threadIdx.x; c < cols; c += 64) y[blockIdx.x * cols + c] = (in[c] - mean) * scale * w[c] + b[c];
}
"""
LAYER_NORM_BLOCK = (
    BLOCK
    + r"""
extern "C" __global__ void layer_norm(const float* x, const float* w, const float* b, float* y, int cols) {
    __shared__ float part[128];
    int c = threadIdx.x, i = blockIdx.x * cols + threadIdx.x;
    float v = c < cols ? x[i] : 0.0f;
    float mean = block_reduce(v, part, Sum()) / cols;
    float d = c < cols ? v - mean : 0.0f;
    float variance = block_reduce(d * d, part, Sum()) / cols;
    if (c < cols) y[i] = d / sqrtf(variance + 1e-5f) * w[c] + b[c];
}
"""
)
RMS_NORM_WARP = (
    WARP
    + r"""
extern "C" __global__ void rms_norm(const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int rows, int cols) {
    int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;
    float squares = 0.0f;
    for (int c = threadIdx.x; c < cols; c += 32) squares += x[row * cols + c] * x[row * cols + c];
    float scale = rsqrtf(warp_sum(squares) / cols + 1e-6f);
    for (int c = threadIdx.x; c < cols; c += 32) y[row * cols + c] = x[row * cols + c] * scale * w[c];
}
"""
)
RMS_NORM_VECTOR = r"""
extern "C" __global__ void rms_norm(const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int rows, int cols) {
    int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;
    const float2* in = reinterpret_cast<const float2*>(x + row * cols);
    const float2* weight = reinterpret_cast<const float2*>(w);
    float2* out = reinterpret_cast<float2*>(y + row * cols);
    float squares = 0.0f;
    for (int c = threadIdx.x; c < cols / 2; c += 32) {
        float2 v = in[c];
        squares = fmaf(v.x, v.x, fmaf(v.y, v.y, squares));
    }
    for (int offset = 1; offset < 32; offset <<= 1) squares += __shfl_xor_sync(0xffffffffu, squares, offset);
    float scale = rsqrtf(squares / cols + 1e-6f);
    for (int c = threadIdx.x; c < cols / 2; c += 32) {
        float2 v = in[c], g = weight[c];
        out[c] = make_float2(v.x * scale * g.x, v.y * scale * g.y);
    }
}
"""
BATCH_NORM = r"""
extern "C" __global__ void batch_norm(
    const float* x, const float* mean, const float* variance, const float* w, const float* b, float* y,
    int n, int channels, int plane) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        int c = i / plane % channels;
        y[i] = (x[i] - mean[c]) * rsqrtf(variance[c] + 1e-5f) * w[c] + b[c];
    }
}
"""
BATCH_NORM_FOLDED = r"""
extern "C" __global__ void fold(
    const float* mean, const float* variance, const float* w, const float* b, float* scale, float* shift, int channels) {
    int c = threadIdx.x;
    if (c < channels) {
        scale[c] = w[c] / sqrtf(variance[c] + 1e-5f);
        shift[c] = b[c] - mean[c] * scale[c];
    }
}
extern "C" __global__ void batch_norm(const float* x, const float* scale, const float* shift, float* y, int channels, int plane) {
    int c = blockIdx.x % channels;
    for (int i = threadIdx.x; i < plane; i += blockDim.x) {
        int at = blockIdx.x * plane + i;
        y[at] = fmaf(x[at], scale[c], shift[c]);
    }
}
"""
BATCH_NORM_FORWARD = """
y = torch.empty_like(x)
n, channels, plane = x.numel(), x.shape[1], x.shape[2] * x.shape[3]
bn = self.bn
run("batch_norm", (4,), (128,), x.data_ptr(), bn.running_mean.data_ptr(), bn.running_var.data_ptr(), bn.weight.data_ptr(),
    bn.bias.data_ptr(), y.data_ptr(), np.int32(n), np.int32(channels), np.int32(plane))
return y
"""
BATCH_NORM_FOLDED_FORWARD = """
y = torch.empty_like(x)
images, channels, plane = x.shape[0], x.shape[1], x.shape[2] * x.shape[3]
bn = self.bn
scale, shift = torch.empty(2, channels, device=x.device)
run("fold", (1,), (32,), bn.running_mean.data_ptr(), bn.running_var.data_ptr(), bn.weight.data_ptr(), bn.bias.data_ptr(),
    scale.data_ptr(), shift.data_ptr(), np.int32(channels))
run("batch_norm", (images * channels,), (32,), x.data_ptr(), scale.data_ptr(), shift.data_ptr(), y.data_ptr(),
    np.int32(channels), np.int32(plane))
return y
"""


def _rows(name: str, grid: str, block: str, shared: str = "0") -> str:
    return f"""
    y = torch.empty_like(x)
    rows, cols = x.shape
    run("{name}", {grid}, {block}, x.data_ptr(), y.data_ptr(), np.int32(rows), np.int32(cols), shared={shared})
    return y
    """


def _backward(threads: int) -> str:
    return f"""
    dx = torch.empty_like(y)
    rows, cols = y.shape
    run("backward", (rows,), ({threads},), grad.data_ptr(), y.data_ptr(), dx.data_ptr(), np.int32(cols), np.float32(0.125))
    return dx
    """


def _layer_norm(cuda: str, threads: int) -> Honest:
    style = {32: "warp", 64: "welford", 128: "block"}[threads]
    forward = f"""
    y = torch.empty_like(x)
    rows, cols = x.shape
    w, b = self.norm.weight, self.norm.bias
    run("layer_norm", (rows,), ({threads},), x.data_ptr(), w.data_ptr(), b.data_ptr(), y.data_ptr(), np.int32(cols))
    return y
    """
    init = "self.norm = nn.LayerNorm(features)"
    return Honest("layer_norm", style, module(cuda, forward, init=init, arguments="features"))


def _rms_norm(cuda: str, style: str) -> Honest:
    forward = """
    y = torch.empty_like(x)
    rows, cols = x.shape
    grid = ((rows + 3) // 4,)
    run("rms_norm", grid, (32, 4), x.data_ptr(), self.weight.data_ptr(), y.data_ptr(), np.int32(rows), np.int32(cols))
    return y
    """
    init = "self.weight = nn.Parameter(torch.ones(features))"
    return Honest("rms_norm", style, module(cuda, forward, init=init, arguments="features"))


TASKS = {
    "softmax": task("return torch.softmax(x, 1)", X),
    "log_softmax": task("return torch.log_softmax(x, -1)", X),
    "softmax_backward": task(
        "return 0.125 * y * (grad - (grad * y).sum(1, keepdim=True))",
        "torch.randn(11, 70), torch.softmax(torch.randn(11, 70), 1)",
        names="grad, y",
    ),
    "layer_norm": task(
        "return self.norm(x)", X, init="self.norm = torch.nn.LayerNorm(features)", arguments="features", values="70"
    ),
    "rms_norm": task(
        "return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight",
        X,
        init="self.weight = torch.nn.Parameter(torch.ones(features))",
        arguments="features",
        values="70",
    ),
    "batch_norm": task(
        "return self.bn(x)",
        "torch.randn(3, 5, 7, 6)",
        init="self.bn = torch.nn.BatchNorm2d(channels)\nself.eval()",
        arguments="channels",
        values="5",
    ),
}
_BN = {"init": "self.bn = nn.BatchNorm2d(channels)\nself.eval()", "arguments": "channels"}
KERNELS = [
    Honest("softmax", "thread", module(SOFTMAX_THREAD, _rows("softmax", "((rows + 7) // 8,)", "(8,)"))),
    Honest("softmax", "warp_fast", module(SOFTMAX_WARP, _rows("softmax", "((rows + 3) // 4,)", "(128,)"))),
    Honest("softmax", "block", module(SOFTMAX_BLOCK, _rows("softmax", "(rows,)", "(64,)", "4 * (64 + cols)"))),
    Honest("softmax", "online", module(SOFTMAX_ONLINE, _rows("softmax", "(rows,)", "(32,)"))),
    Honest("log_softmax", "registers", module(LOG_SOFTMAX, _rows("log_softmax", "(rows,)", "(32,)"))),
    Honest(
        "log_softmax",
        "thread",
        module(
            SOFTMAX_THREAD.replace("softmax", "log_softmax").replace(
                "expf(in[c] - largest) / sum", "in[c] - largest - logf(sum)"
            ),
            _rows("log_softmax", "((rows + 7) // 8,)", "(8,)"),
        ),
    ),
    Honest("softmax_backward", "warp", module(SOFTMAX_BACKWARD, _backward(32), names="grad, y")),
    Honest("softmax_backward", "block", module(SOFTMAX_BACKWARD_BLOCK, _backward(128), names="grad, y")),
    _layer_norm(LAYER_NORM_WARP, 32),
    _layer_norm(LAYER_NORM_WELFORD, 64),
    _layer_norm(LAYER_NORM_BLOCK, 128),
    _rms_norm(RMS_NORM_WARP, "warp"),
    _rms_norm(RMS_NORM_VECTOR, "float2"),
    Honest("batch_norm", "grid_stride", module(BATCH_NORM, BATCH_NORM_FORWARD, **_BN)),
    Honest("batch_norm", "folded", module(BATCH_NORM_FOLDED, BATCH_NORM_FOLDED_FORWARD, **_BN)),
]
