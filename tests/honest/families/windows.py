"""Sliding windows: convolutions, pools, resampling."""

from __future__ import annotations

from honest.kernel import Honest, module, task

CONV1D = r"""
extern "C" __global__ void conv1d(
    const float* x, const float* w, const float* b, float* y, int batch, int ins, int outs, int length, int taps) {
    int out_length = length - taps + 1;
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= batch * outs * out_length) return;
    int t = i % out_length, o = i / out_length % outs, image = i / (out_length * outs);
    float sum = b[o];
    for (int c = 0; c < ins; ++c)
        for (int k = 0; k < taps; ++k) sum += x[(image * ins + c) * length + t + k] * w[(o * ins + c) * taps + k];
    y[i] = sum;
}
"""
CONV1D_SHARED = r"""
extern "C" __global__ void conv1d(
    const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ b, float* __restrict__ y,
    int batch, int ins, int outs, int length, int taps) {
    extern __shared__ float signal[];
    int image = blockIdx.y, o = blockIdx.x, out_length = length - taps + 1;
    for (int i = threadIdx.x; i < ins * length; i += blockDim.x) signal[i] = x[image * ins * length + i];
    __syncthreads();
    for (int t = threadIdx.x; t < out_length; t += blockDim.x) {
        float sum = 0.0f;
        for (int c = 0; c < ins; ++c)
            for (int k = 0; k < taps; ++k) sum = fmaf(signal[c * length + t + k], w[(o * ins + c) * taps + k], sum);
        y[(image * outs + o) * out_length + t] = sum + b[o];
    }
}
"""
CONV2D = r"""
extern "C" __global__ void conv2d(
    const float* x, const float* w, const float* b, float* y, int ins, int outs, int height, int width) {
    int col = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    int image = blockIdx.z / outs, o = blockIdx.z % outs;
    if (row >= height || col >= width) return;
    float sum = b[o];
    for (int c = 0; c < ins; ++c)
        for (int dy = 0; dy < 3; ++dy)
            for (int dx = 0; dx < 3; ++dx) {
                int r = row + dy - 1, q = col + dx - 1;
                if (r >= 0 && r < height && q >= 0 && q < width)
                    sum += x[((image * ins + c) * height + r) * width + q] * w[((o * ins + c) * 3 + dy) * 3 + dx];
            }
    y[((image * outs + o) * height + row) * width + col] = sum;
}
"""
CONV2D_TILED = r"""
#define T 8
extern "C" __global__ void conv2d(
    const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ b, float* __restrict__ y,
    int ins, int outs, int height, int width) {
    __shared__ float tile[T + 2][T + 2];
    int col0 = blockIdx.x * T, row0 = blockIdx.y * T;
    int image = blockIdx.z / outs, o = blockIdx.z % outs;
    float sum = 0.0f;
    for (int c = 0; c < ins; ++c) {
        const float* plane = x + (image * ins + c) * height * width;
        for (int i = threadIdx.y * T + threadIdx.x; i < (T + 2) * (T + 2); i += T * T) {
            int r = row0 + i / (T + 2) - 1, q = col0 + i % (T + 2) - 1;
            tile[i / (T + 2)][i % (T + 2)] = r >= 0 && r < height && q >= 0 && q < width ? plane[r * width + q] : 0.0f;
        }
        __syncthreads();
        const float* kernel = w + (o * ins + c) * 9;
#pragma unroll
        for (int k = 0; k < 9; ++k) sum += tile[threadIdx.y + k / 3][threadIdx.x + k % 3] * kernel[k];
        __syncthreads();
    }
    int row = row0 + threadIdx.y, col = col0 + threadIdx.x;
    if (row < height && col < width) y[((image * outs + o) * height + row) * width + col] = sum + b[o];
}
"""
DEPTHWISE = r"""
extern "C" __global__ void depthwise(const float* x, const float* w, float* y, int channels, int height, int width, int n) {
    int out_h = (height - 3) / 2 + 1, out_w = (width - 3) / 2 + 1;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        int col = i % out_w, row = i / out_w % out_h, plane = i / (out_w * out_h);
        const float* in = x + plane * height * width;
        const float* kernel = w + plane % channels * 9;
        float sum = 0.0f;
        for (int dy = 0; dy < 3; ++dy)
            for (int dx = 0; dx < 3; ++dx) sum += in[(row * 2 + dy) * width + col * 2 + dx] * kernel[dy * 3 + dx];
        y[i] = sum;
    }
}
"""
DEPTHWISE_WEIGHTS_IN_REGISTERS = r"""
extern "C" __global__ void depthwise(
    const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int channels, int height, int width, int n) {
    int out_h = (height - 3) / 2 + 1, out_w = (width - 3) / 2 + 1;
    int plane = blockIdx.x;
    float kernel[9];
#pragma unroll
    for (int k = 0; k < 9; ++k) kernel[k] = __ldg(w + plane % channels * 9 + k);
    for (int i = threadIdx.x; i < out_h * out_w; i += blockDim.x) {
        int row = i / out_w * 2, col = i % out_w * 2;
        float sum = 0.0f;
#pragma unroll
        for (int k = 0; k < 9; ++k) sum = fmaf(x[(plane * height + row + k / 3) * width + col + k % 3], kernel[k], sum);
        y[plane * out_h * out_w + i] = sum;
    }
}
"""
MAX_POOL = r"""
extern "C" __global__ void pool(const float* x, float* y, int height, int width, int n) {
    int out_w = width / 2, out_h = height / 2;
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int col = i % out_w * 2, row = i / out_w % out_h * 2, plane = i / (out_w * out_h);
    const float* in = x + (plane * height + row) * width + col;
    y[i] = fmaxf(fmaxf(in[0], in[1]), fmaxf(in[width], in[width + 1]));
}
"""
MAX_POOL_LOOP = r"""
extern "C" __global__ void pool(const float* x, float* y, int height, int width, int n) {
    int out_w = width / 2, out_h = height / 2, plane = blockIdx.x;
    for (int i = threadIdx.x; i < out_h * out_w; i += blockDim.x) {
        float largest = -INFINITY;
        for (int dy = 0; dy < 2; ++dy)
            for (int dx = 0; dx < 2; ++dx) {
                float v = x[(plane * height + i / out_w * 2 + dy) * width + i % out_w * 2 + dx];
                largest = v > largest ? v : largest;
            }
        y[plane * out_h * out_w + i] = largest;
    }
}
"""
AVG_POOL = r"""
extern "C" __global__ void pool(const float* __restrict__ x, float* __restrict__ y, int height, int width, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int out_w = width / 3, out_h = height / 3;
    int col = i % out_w * 3, row = i / out_w % out_h * 3, plane = i / (out_w * out_h);
    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < 9; ++k) sum += x[(plane * height + row + k / 3) * width + col + k % 3];
    y[i] = sum * (1.0f / 9.0f);
}
"""
GLOBAL_POOL = r"""
extern "C" __global__ void pool(const float* __restrict__ x, float* __restrict__ y, int height, int width, int n) {
    int plane = blockIdx.x, size = height * width;
    float sum = 0.0f;
    for (int i = threadIdx.x; i < size; i += 32) sum += x[plane * size + i];
    for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    if (threadIdx.x == 0) y[plane] = sum / size;
}
"""
GLOBAL_POOL_BLOCK = r"""
extern "C" __global__ void pool(const float* x, float* y, int height, int width, int n) {
    __shared__ float part[32];
    int size = height * width, base = blockIdx.x * size;
    float sum = 0.0f;
    for (int i = threadIdx.x; i < size; i += 32) sum += x[base + i];
    part[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        float all = 0.0f;
        for (int t = 0; t < 32; ++t) all += part[t];
        y[blockIdx.x] = all / (float)size;
    }
}
"""
UPSAMPLE = r"""
extern "C" __global__ void upsample(const float* x, float* y, int height, int width, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int col = i % (2 * width), row = i / (2 * width) % (2 * height), plane = i / (4 * width * height);
    y[i] = x[(plane * height + row / 2) * width + col / 2];
}
"""
UPSAMPLE_SCATTER = r"""
extern "C" __global__ void upsample(const float* __restrict__ x, float* __restrict__ y, int height, int width, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n / 4) return;
    int col = i % width, row = i / width;  // of all planes together
    float2 twice = make_float2(x[i], x[i]);
    float2* out = reinterpret_cast<float2*>(y);
    out[(2 * row) * width + col] = twice;
    out[(2 * row + 1) * width + col] = twice;
}
"""


def _pool(divisor: int, grid: str, threads: int) -> str:
    shape = f"height // {divisor}, width // {divisor}" if divisor else "1, 1"
    return f"""
    batch, channels, height, width = x.shape
    y = torch.empty(batch, channels, {shape}, device=x.device)
    n = y.numel()
    run("pool", {grid}, ({threads},), x.data_ptr(), y.data_ptr(), np.int32(height), np.int32(width), np.int32(n))
    return y
    """


def _conv1d(cuda: str, style: str, grid: str, block: str, shared: str = "0") -> Honest:
    forward = f"""
    batch, ins, length = x.shape
    outs, taps = self.conv.out_channels, self.conv.kernel_size[0]
    y = torch.empty(batch, outs, length - taps + 1, device=x.device)
    sizes = [np.int32(v) for v in (batch, ins, outs, length, taps)]
    w, b = self.conv.weight, self.conv.bias
    run("conv1d", {grid}, {block}, x.data_ptr(), w.data_ptr(), b.data_ptr(), y.data_ptr(), *sizes, shared={shared})
    return y
    """
    return Honest(
        "conv1d",
        style,
        module(cuda, forward, init="self.conv = nn.Conv1d(ins, outs, taps)", arguments="ins, outs, taps"),
    )


def _conv2d(cuda: str, style: str) -> Honest:
    forward = """
    batch, ins, height, width = x.shape
    outs = self.conv.out_channels
    y = torch.empty(batch, outs, height, width, device=x.device)
    sizes = [np.int32(v) for v in (ins, outs, height, width)]
    grid = ((width + 7) // 8, (height + 7) // 8, batch * outs)
    w, b = self.conv.weight, self.conv.bias
    run("conv2d", grid, (8, 8), x.data_ptr(), w.data_ptr(), b.data_ptr(), y.data_ptr(), *sizes)
    return y
    """
    init = "self.conv = nn.Conv2d(ins, outs, 3, padding=1)"
    return Honest("conv2d", style, module(cuda, forward, init=init, arguments="ins, outs"))


def _depthwise(cuda: str, style: str, grid: str) -> Honest:
    forward = f"""
    batch, channels, height, width = x.shape
    y = torch.empty(batch, channels, (height - 3) // 2 + 1, (width - 3) // 2 + 1, device=x.device)
    sizes = [np.int32(v) for v in (channels, height, width, y.numel())]
    run("depthwise", {grid}, (64,), x.data_ptr(), self.conv.weight.data_ptr(), y.data_ptr(), *sizes)
    return y
    """
    init = "self.conv = nn.Conv2d(channels, channels, 3, stride=2, groups=channels, bias=False)"
    return Honest("depthwise", style, module(cuda, forward, init=init, arguments="channels"))


_UPSAMPLE = """
batch, channels, height, width = x.shape
y = torch.empty(batch, channels, 2 * height, 2 * width, device=x.device)
n = y.numel()
run("upsample", ((n + 127) // 128,), (128,), x.data_ptr(), y.data_ptr(), np.int32(height), np.int32(width), np.int32(n))
return y
"""
PLANES = "torch.randn(2, 3, 13, 10)"
TASKS = {
    "conv1d": task(
        "return self.conv(x)",
        "torch.randn(2, 3, 29)",
        init="self.conv = torch.nn.Conv1d(ins, outs, taps)",
        arguments="ins, outs, taps",
        values="3, 4, 5",
    ),
    "conv2d": task(
        "return self.conv(x)",
        "torch.randn(2, 3, 11, 9)",
        init="self.conv = torch.nn.Conv2d(ins, outs, 3, padding=1)",
        arguments="ins, outs",
        values="3, 4",
    ),
    "depthwise": task(
        "return self.conv(x)",
        "torch.randn(2, 4, 13, 11)",
        init="self.conv = torch.nn.Conv2d(channels, channels, 3, stride=2, groups=channels, bias=False)",
        arguments="channels",
        values="4",
    ),
    "max_pool": task("return F.max_pool2d(x, 2)", PLANES),
    "avg_pool": task("return F.avg_pool2d(x, 3)", PLANES),
    "global_pool": task("return F.adaptive_avg_pool2d(x, 1)", PLANES),
    "upsample": task("return F.interpolate(x, scale_factor=2, mode='nearest')", PLANES),
}
_FLAT = "((n + 63) // 64,)"
_PER_PLANE = "(batch * channels,)"
KERNELS = [
    _conv1d(CONV1D, "naive", "((y.numel() + 63) // 64,)", "(64,)"),
    _conv1d(CONV1D_SHARED, "shared", "(outs, batch)", "(32,)", "4 * ins * length"),
    _conv2d(CONV2D, "naive"),
    _conv2d(CONV2D_TILED, "tiled"),
    _depthwise(DEPTHWISE, "grid_stride", "(2,)"),
    _depthwise(DEPTHWISE_WEIGHTS_IN_REGISTERS, "registers", "(batch * channels,)"),
    Honest("max_pool", "naive", module(MAX_POOL, _pool(2, _FLAT, 64))),
    Honest("max_pool", "loop", module(MAX_POOL_LOOP, _pool(2, _PER_PLANE, 32))),
    Honest("avg_pool", "unrolled", module(AVG_POOL, _pool(3, _FLAT, 64))),
    Honest("global_pool", "warp", module(GLOBAL_POOL, _pool(0, _PER_PLANE, 32))),
    Honest("global_pool", "block", module(GLOBAL_POOL_BLOCK, _pool(0, _PER_PLANE, 32))),
    Honest("upsample", "gather", module(UPSAMPLE, _UPSAMPLE)),
    Honest("upsample", "scatter", module(UPSAMPLE_SCATTER, _UPSAMPLE)),
]
