"""Tasks that ask for gradients: kernels of both passes behind a torch.autograd.Function."""

from __future__ import annotations

from honest.kernel import Honest, module, task

SWISH = r"""
extern "C" __global__ void swish(const float* x, const float* w, float* y, int n, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] / (1.0f + expf(-x[i])) * w[i % cols];
}
extern "C" __global__ void swish_dx(const float* x, const float* w, const float* g, float* dx, int n, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float s = 1.0f / (1.0f + expf(-x[i]));
    dx[i] = g[i] * w[i % cols] * s * (1.0f + x[i] * (1.0f - s));
}
extern "C" __global__ void swish_dw(const float* x, const float* g, float* dw, int rows, int cols) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= cols) return;
    float sum = 0.0f;
    for (int r = 0; r < rows; ++r) sum += g[r * cols + c] * x[r * cols + c] / (1.0f + expf(-x[r * cols + c]));
    dw[c] = sum;
}
"""
SWISH_FUSED = r"""
extern "C" __global__ void swish(const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int n, int cols) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        y[i] = __fdividef(x[i], 1.0f + __expf(-x[i])) * w[i % cols];
}
extern "C" __global__ void clear(float* dw, int n) {
    if (threadIdx.x < n) dw[threadIdx.x] = 0.0f;
}
extern "C" __global__ void swish_both(const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ g,
                                      float* __restrict__ dx, float* __restrict__ dw, int n, int cols) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        float s = __fdividef(1.0f, 1.0f + __expf(-x[i]));
        dx[i] = g[i] * w[i % cols] * (s + x[i] * s * (1.0f - s));
        atomicAdd(&dw[i % cols], g[i] * x[i] * s);
    }
}
"""
LINEAR = r"""
extern "C" __global__ void linear(const float* x, const float* w, const float* b, float* y, int rows, int ins, int outs) {
    int row = blockIdx.y * blockDim.y + threadIdx.y, out = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows || out >= outs) return;
    float sum = b[out];
    for (int i = 0; i < ins; ++i) sum += x[row * ins + i] * w[out * ins + i];
    y[row * outs + out] = sum;
}
extern "C" __global__ void linear_dx(const float* w, const float* g, float* dx, int rows, int ins, int outs) {
    int row = blockIdx.y * blockDim.y + threadIdx.y, in = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows || in >= ins) return;
    float sum = 0.0f;
    for (int out = 0; out < outs; ++out) sum += g[row * outs + out] * w[out * ins + in];
    dx[row * ins + in] = sum;
}
extern "C" __global__ void linear_dw(const float* x, const float* g, float* dw, float* db, int rows, int ins, int outs) {
    int out = blockIdx.y * blockDim.y + threadIdx.y, in = blockIdx.x * blockDim.x + threadIdx.x;
    if (out >= outs || in >= ins) return;
    float sum = 0.0f, all = 0.0f;
    for (int row = 0; row < rows; ++row) {
        sum += g[row * outs + out] * x[row * ins + in];
        all += g[row * outs + out];
    }
    dw[out * ins + in] = sum;
    if (in == 0) db[out] = all;
}
"""
LINEAR_WARP = r"""
__device__ float warp_sum(float v) {
    for (int offset = 16; offset > 0; offset /= 2) v += __shfl_xor_sync(0xffffffffu, v, offset);
    return v;
}
extern "C" __global__ void linear(const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ b,
                                  float* __restrict__ y, int rows, int ins, int outs) {
    int row = blockIdx.x / outs, out = blockIdx.x % outs;
    float sum = 0.0f;
    for (int i = threadIdx.x; i < ins; i += 32) sum += x[row * ins + i] * w[out * ins + i];
    sum = warp_sum(sum);
    if (threadIdx.x == 0) y[row * outs + out] = sum + b[out];
}
extern "C" __global__ void linear_dx(const float* __restrict__ w, const float* __restrict__ g, float* __restrict__ dx, int rows, int ins, int outs) {
    int row = blockIdx.x / ins, in = blockIdx.x % ins;
    float sum = 0.0f;
    for (int out = threadIdx.x; out < outs; out += 32) sum += g[row * outs + out] * w[out * ins + in];
    sum = warp_sum(sum);
    if (threadIdx.x == 0) dx[row * ins + in] = sum;
}
extern "C" __global__ void linear_dw(const float* __restrict__ x, const float* __restrict__ g, float* __restrict__ dw,
                                     float* __restrict__ db, int rows, int ins, int outs) {
    int out = blockIdx.x / ins, in = blockIdx.x % ins;
    float sum = 0.0f, all = 0.0f;
    for (int row = threadIdx.x; row < rows; row += 32) {
        float up = g[row * outs + out];
        sum += up * x[row * ins + in];
        all += up;
    }
    sum = warp_sum(sum);
    all = warp_sum(all);
    if (threadIdx.x == 0) dw[out * ins + in] = sum;
    if (threadIdx.x == 0 && in == 0) db[out] = all;
}
"""
SQUARED = r"""
extern "C" __global__ void squared(const float* x, const float* t, float* y, int n) {
    float sum = 0.0f;
    for (int i = 0; i < n; ++i) sum += (x[i] - t[i]) * (x[i] - t[i]);
    *y = sum / n;
}
extern "C" __global__ void squared_back(const float* x, const float* t, const float* g, float* dx, float* dt, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float slope = g[0] * 2.0f * (x[i] - t[i]) / n;
    dx[i] = slope;
    dt[i] = -slope;
}
"""
SQUARED_BLOCK = r"""
extern "C" __global__ void squared(const float* __restrict__ x, const float* __restrict__ t, float* __restrict__ y, int n) {
    __shared__ float part[128];
    float mine = 0.0f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) mine = fmaf(x[i] - t[i], x[i] - t[i], mine);
    part[threadIdx.x] = mine;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) *y = part[0] * (1.0f / n);
}
extern "C" __global__ void squared_back(const float* __restrict__ x, const float* __restrict__ t, const float* __restrict__ g,
                                        float* __restrict__ dx, float* __restrict__ dt, int n) {
    float scale = 2.0f * g[0] / n;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        float slope = scale * (x[i] - t[i]);
        dx[i] = slope;
        dt[i] = -slope;
    }
}
"""
RMS = r"""
extern "C" __global__ void rms(const float* x, const float* w, float* y, float* kept, int rows, int cols) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    float squares = 0.0f;
    for (int c = 0; c < cols; ++c) squares += x[row * cols + c] * x[row * cols + c];
    float r = rsqrtf(squares / cols + 1e-5f);
    for (int c = 0; c < cols; ++c) y[row * cols + c] = x[row * cols + c] * r * w[c];
    kept[row] = r;
}
extern "C" __global__ void rms_dx(const float* x, const float* w, const float* g, const float* kept, float* dx, int rows, int cols) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    float r = kept[row], dot = 0.0f;
    for (int c = 0; c < cols; ++c) dot += g[row * cols + c] * w[c] * x[row * cols + c];
    for (int c = 0; c < cols; ++c)
        dx[row * cols + c] = r * (g[row * cols + c] * w[c] - x[row * cols + c] * r * r * dot / cols);
}
extern "C" __global__ void rms_dw(const float* x, const float* g, const float* kept, float* dw, int rows, int cols) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= cols) return;
    float sum = 0.0f;
    for (int row = 0; row < rows; ++row) sum += g[row * cols + c] * x[row * cols + c] * kept[row];
    dw[c] = sum;
}
"""

_COUNT = "n, rows, cols = x.numel(), x.shape[0], x.shape[1]"


def _function(forward: str, backward: str, names: str) -> str:
    """The autograd.Function `Own`; both passes see the tensors that forward was given."""
    lines = [f"    {line}" for line in forward.strip().splitlines()]
    back = [f"    {line}" for line in backward.strip().splitlines()]
    return "\n".join(
        [
            "class Own(torch.autograd.Function):",
            "    @staticmethod",
            f"    def forward(ctx, {names}):",
            *(f"    {line}" for line in lines),
            "",
            "    @staticmethod",
            "    def backward(ctx, g):",
            "        g = g.contiguous()",
            *(f"    {line}" for line in back),
        ]
    )


def _swish(forward: str, backward: str) -> dict[str, str]:
    return {
        "top": _function(
            f"ctx.save_for_backward(x, w)\n{_COUNT}\ny = torch.empty_like(x)\n{forward}\nreturn y",
            f"x, w = ctx.saved_tensors\n{_COUNT}\ndx, dw = torch.empty_like(x), torch.empty_like(w)\n{backward}\nreturn dx, dw",
            "x, w",
        ),
        "init": "self.weight = nn.Parameter(torch.empty(cols))",
        "arguments": "cols",
        "forward": "return Own.apply(x, self.weight)",
    }


def _linear(grid: str, block: str) -> dict[str, str]:
    shapes = (
        "rows, ins, outs = x.shape[0], x.shape[1], w.shape[0]\nsizes = np.int32(rows), np.int32(ins), np.int32(outs)"
    )

    def run(name: str, width: str, height: str, pointers: str) -> str:
        given = ", ".join(f"{p}.data_ptr()" for p in pointers.split())
        return f'run("{name}", {grid.format(w=width, h=height)}, {block}, {given}, *sizes)'

    return {
        "top": _function(
            f"ctx.save_for_backward(x, w)\n{shapes}\ny = torch.empty(rows, outs, device=x.device)\n"
            f"{run('linear', 'outs', 'rows', 'x w b y')}\nreturn y",
            f"x, w = ctx.saved_tensors\n{shapes}\ndx, dw = torch.empty_like(x), torch.empty_like(w)\n"
            f"db = torch.empty(outs, device=x.device)\n{run('linear_dx', 'ins', 'rows', 'w g dx')}\n"
            f"{run('linear_dw', 'ins', 'outs', 'x g dw db')}\nreturn dx, dw, db",
            "x, w, b",
        ),
        "init": "self.linear = nn.Linear(ins, outs)",
        "arguments": "ins, outs",
        "forward": "return Own.apply(x, self.linear.weight, self.linear.bias)",
    }


def _squared(one: str, many: str) -> dict[str, str]:
    return {
        "top": _function(
            "ctx.save_for_backward(x, t)\nn, y = x.numel(), torch.empty((), device=x.device)\n"
            f'run("squared", (1,), {one}, x.data_ptr(), t.data_ptr(), y.data_ptr(), np.int32(n))\nreturn y',
            "x, t = ctx.saved_tensors\nn, dx, dt = x.numel(), torch.empty_like(x), torch.empty_like(t)\n"
            f'run("squared_back", {many}, x.data_ptr(), t.data_ptr(), g.data_ptr(), dx.data_ptr(), dt.data_ptr(), np.int32(n))\n'
            "return dx, dt",
            "x, t",
        ),
        "names": "x, t",
        "forward": "return Own.apply(x, t)",
    }


_EACH = "((n + 63) // 64,), (64,)"
_SWISH = _swish(
    f'run("swish", {_EACH}, x.data_ptr(), w.data_ptr(), y.data_ptr(), np.int32(n), np.int32(cols))',
    f'run("swish_dx", {_EACH}, x.data_ptr(), w.data_ptr(), g.data_ptr(), dx.data_ptr(), np.int32(n), np.int32(cols))\n'
    'run("swish_dw", ((cols + 31) // 32,), (32,), x.data_ptr(), g.data_ptr(), dw.data_ptr(), np.int32(rows), np.int32(cols))',
)
_SWISH_FUSED = _swish(
    'run("swish", (3,), (128,), x.data_ptr(), w.data_ptr(), y.data_ptr(), np.int32(n), np.int32(cols))',
    'run("clear", (1,), (64,), dw.data_ptr(), np.int32(cols))\n'
    'run("swish_both", (3,), (128,), x.data_ptr(), w.data_ptr(), g.data_ptr(), dx.data_ptr(), dw.data_ptr(), np.int32(n), np.int32(cols))',
)
_RMS = {
    "top": _function(
        f"{_COUNT}\ny, kept = torch.empty_like(x), torch.empty(rows, device=x.device)\nctx.save_for_backward(x, w, kept)\n"
        'run("rms", ((rows + 7) // 8,), (8,), x.data_ptr(), w.data_ptr(), y.data_ptr(), kept.data_ptr(), np.int32(rows), np.int32(cols))\n'
        "return y",
        f"x, w, kept = ctx.saved_tensors\n{_COUNT}\ndx, dw = torch.empty_like(x), torch.empty_like(w)\n"
        'run("rms_dx", ((rows + 7) // 8,), (8,), x.data_ptr(), w.data_ptr(), g.data_ptr(), kept.data_ptr(), dx.data_ptr(), np.int32(rows), np.int32(cols))\n'
        'run("rms_dw", ((cols + 31) // 32,), (32,), x.data_ptr(), g.data_ptr(), kept.data_ptr(), dw.data_ptr(), np.int32(rows), np.int32(cols))\n'
        "return dx, dw",
        "x, w",
    ),
    "init": "self.weight = nn.Parameter(torch.empty(cols))",
    "arguments": "cols",
    "forward": "return Own.apply(x, self.weight)",
}
_BACKWARD = "BACKWARD = True"
TASKS = {
    "swish_gradients": task(
        "return x * torch.sigmoid(x) * self.weight",
        "torch.randn(23, 46)",
        init="self.weight = torch.nn.Parameter(torch.randn(cols))",
        arguments="cols",
        values="46",
        top=_BACKWARD,
    ),
    "linear_gradients": task(
        "return self.linear(x)",
        "torch.randn(9, 44)",
        init="self.linear = torch.nn.Linear(ins, outs)",
        arguments="ins, outs",
        values="44, 35",
        top=_BACKWARD,
    ),
    "squared_error_gradients": task(
        "return F.mse_loss(x, t)", "torch.randn(13, 21), torch.randn(13, 21)", names="x, t", top=_BACKWARD
    ),
    "rms_norm_gradients": task(
        "return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight",
        "torch.randn(12, 41)",
        init="self.weight = torch.nn.Parameter(torch.randn(cols))",
        arguments="cols",
        values="41",
        top=_BACKWARD,
    ),
}
KERNELS = [
    Honest("swish_gradients", "three_kernels", module(SWISH, **_SWISH)),
    Honest("swish_gradients", "fused_atomic", module(SWISH_FUSED, **_SWISH_FUSED)),
    Honest("linear_gradients", "naive", module(LINEAR, **_linear("(({w} + 7) // 8, ({h} + 7) // 8)", "(8, 8)"))),
    Honest("linear_gradients", "warp", module(LINEAR_WARP, **_linear("({w} * {h},)", "(32,)"))),
    Honest("squared_error_gradients", "one_thread", module(SQUARED, **_squared("(1,)", _EACH))),
    Honest("squared_error_gradients", "block", module(SQUARED_BLOCK, **_squared("(128,)", "(1,), (128,)"))),
    Honest("rms_norm_gradients", "row_per_thread", module(RMS, **_RMS)),
]
