"""Layers and losses: softmax, norms, convolutions, pooling, attention, embeddings, optimisers."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as tf
from emulator.corpus.case import Collection, Draw, Plan, blank, run
from emulator.corpus.oracles import t64

cases = Collection()
case = cases.case
F = np.float32


@case("""
extern "C" __global__ void softmax(const float* x, float* y, int width) {
    extern __shared__ float s[];
    const float* row = x + (size_t)blockIdx.x * width;
    int t = threadIdx.x;
    float m = -3.4e38f;
    for (int i = t; i < width; i += blockDim.x) m = fmaxf(m, row[i]);
    s[t] = m;
    __syncthreads();
    for (int h = blockDim.x / 2; h; h >>= 1) { if (t < h) s[t] = fmaxf(s[t], s[t + h]); __syncthreads(); }
    m = s[0];
    __syncthreads();
    float sum = 0.0f;
    for (int i = t; i < width; i += blockDim.x) { float e = expf(row[i] - m); y[(size_t)blockIdx.x * width + i] = e; sum += e; }
    s[t] = sum;
    __syncthreads();
    for (int h = blockDim.x / 2; h; h >>= 1) { if (t < h) s[t] += s[t + h]; __syncthreads(); }
    float scale = 1.0f / s[0];
    for (int i = t; i < width; i += blockDim.x) y[(size_t)blockIdx.x * width + i] *= scale;
}
""")
def softmax_in_three_passes(draw: Draw) -> Plan:
    x, y = draw.f32(5, 333, scale=4), blank("f4", 5, 333)
    return run("softmax", 5, 128, x, y, 333, shared=512).gives(y, tf.softmax(t64(x), 1).numpy(), rtol=2e-6)


@case(
    """
// A warp a row, the row in registers, float4.
extern "C" __global__ void softmax(const float4* x, float4* y, int rows) {
    int row = blockIdx.x * 4 + threadIdx.y, lane = threadIdx.x;
    if (row >= rows) return;
    float4 v[2];
    float m = -INFINITY_F, s = 0.0f;
#pragma unroll
    for (int k = 0; k < 2; ++k) {
        v[k] = x[row * 64 + k * 32 + lane];
        m = fmaxf(m, fmaxf(fmaxf(v[k].x, v[k].y), fmaxf(v[k].z, v[k].w)));
    }
#pragma unroll
    for (int o = 16; o; o >>= 1) m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, o));
#pragma unroll
    for (int k = 0; k < 2; ++k) {
        v[k] = make_float4(__expf(v[k].x - m), __expf(v[k].y - m), __expf(v[k].z - m), __expf(v[k].w - m));
        s += v[k].x + v[k].y + v[k].z + v[k].w;
    }
#pragma unroll
    for (int o = 16; o; o >>= 1) s += __shfl_xor_sync(0xffffffffu, s, o);
    float r = __frcp_rn(s);
#pragma unroll
    for (int k = 0; k < 2; ++k) y[row * 64 + k * 32 + lane] = make_float4(v[k].x * r, v[k].y * r, v[k].z * r, v[k].w * r);
}
""",
    options=("-DINFINITY_F=__int_as_float(0x7f800000)",),
)
def softmax_in_a_warp(draw: Draw) -> Plan:
    x, y = draw.f32(10, 256, scale=3), blank("f4", 10, 256)
    return run("softmax", 3, (32, 4), x, y, 10).gives(y, tf.softmax(t64(x), 1).numpy(), rtol=4e-6)


@case("""
extern "C" __global__ void layer_norm(const float* x, const float* gamma, const float* beta, float* y, int width, float eps) {
    __shared__ float s1[32], s2[32];
    const float* row = x + blockIdx.x * width;
    float a = 0.0f, b = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) { float v = row[i] - row[0]; a += v; b += v * v; }
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    for (int o = 16; o; o >>= 1) { a += __shfl_down_sync(~0u, a, o); b += __shfl_down_sync(~0u, b, o); }
    if (lane == 0) { s1[warp] = a; s2[warp] = b; }
    __syncthreads();
    if (warp == 0) {
        a = lane < warps ? s1[lane] : 0.0f;
        b = lane < warps ? s2[lane] : 0.0f;
        for (int o = 16; o; o >>= 1) { a += __shfl_down_sync(~0u, a, o); b += __shfl_down_sync(~0u, b, o); }
        if (lane == 0) { s1[0] = a / width; s2[0] = rsqrtf(b / width - a / width * (a / width) + eps); }
    }
    __syncthreads();
    float mean = s1[0] + row[0], scale = s2[0];
    for (int i = threadIdx.x; i < width; i += blockDim.x) y[blockIdx.x * width + i] = (row[i] - mean) * scale * gamma[i] + beta[i];
}
""")
def layer_norm(draw: Draw) -> Plan:
    x, g, b, y = draw.f32(6, 200) + F(3), draw.f32(200), draw.f32(200), blank("f4", 6, 200)
    want = tf.layer_norm(t64(x), (200,), t64(g), t64(b), 1e-5).numpy()
    return run("layer_norm", 6, 96, x, g, b, y, 200, F(1e-5)).gives(y, want, rtol=1e-5, atol=5e-6)


@case("""
extern "C" __global__ void group_norm(const float* x, float* y, int groups, int channels, int pixels) {
    __shared__ double part[64][2];
    int count = channels / groups * pixels, t = threadIdx.x;
    const float* base = x + blockIdx.x * count;
    double s = 0, q = 0;
    for (int i = t; i < count; i += 64) { s += base[i]; q += (double)base[i] * base[i]; }
    part[t][0] = s;
    part[t][1] = q;
    __syncthreads();
    for (int h = 32; h; h /= 2) { if (t < h) { part[t][0] += part[t + h][0]; part[t][1] += part[t + h][1]; } __syncthreads(); }
    double mean = part[0][0] / count;
    float scale = (float)rsqrt(part[0][1] / count - mean * mean + 1e-5);
    for (int i = t; i < count; i += 64) y[blockIdx.x * count + i] = (float)(base[i] - mean) * scale;
}
""")
def group_norm_in_double(draw: Draw) -> Plan:
    x, y = draw.f32(2, 6, 5, 5), blank("f4", 2, 6, 5, 5)
    return run("group_norm", 6, 64, x, y, 3, 6, 25).gives(y, tf.group_norm(t64(x), 3).numpy())


@case("""
extern "C" __global__ void batch_norm(const float* x, const float* mean, const float* var, const float* w, const float* b, float* y,
                                      int channels, int pixels, int total) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < total; i += gridDim.x * blockDim.x) {
        int c = i / pixels % channels;
        float v = (x[i] - mean[c]) / sqrtf(var[c] + 1e-5f) * w[c] + b[c];
        y[i] = v > 0 ? v : 0.1f * v;
    }
}
""")
def batch_norm_and_leaky_relu(draw: Draw) -> Plan:
    x, m, v, w, b = draw.f32(3, 5, 4, 7), draw.f32(5), draw.uniform(0.5, 2, 5), draw.f32(5), draw.f32(5)
    y = blank("f4", 3, 5, 4, 7)
    want = tf.leaky_relu(tf.batch_norm(t64(x), t64(m), t64(v), t64(w), t64(b), eps=1e-5), 0.1).numpy()
    return run("batch_norm", 2, 128, x, m, v, w, b, y, 5, 28, x.size).gives(y, want)


@case("""
__constant__ float filter[9] = {1, 2, 1, 0, 0.5f, 0, -1, -2, -1};
extern "C" __global__ void convolve(const float* x, float* y, int h, int w) {
    __shared__ float s[10][34];
    int bx = blockIdx.x * 32, by = blockIdx.y * 8;
    for (int i = threadIdx.y * 32 + threadIdx.x; i < 340; i += 256) {
        int r = by + i / 34 - 1, c = bx + i % 34 - 1;
        s[i / 34][i % 34] = r >= 0 && r < h && c >= 0 && c < w ? x[r * w + c] : 0.0f;
    }
    __syncthreads();
    int r = by + threadIdx.y, c = bx + threadIdx.x;
    if (r >= h || c >= w) return;
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 3; ++i)
#pragma unroll
        for (int j = 0; j < 3; ++j) sum += filter[i * 3 + j] * s[threadIdx.y + i][threadIdx.x + j];
    y[r * w + c] = sum;
}
""")
def convolution_with_halo(draw: Draw) -> Plan:
    x, y = draw.f32(19, 50), blank("f4", 19, 50)
    f = torch.tensor([[1, 2, 1], [0, 0.5, 0], [-1, -2, -1]], dtype=torch.float64)
    want = tf.conv2d(t64(x)[None, None], f[None, None], padding=1)[0, 0].numpy()
    return run("convolve", (2, 3), (32, 8), x, y, 19, 50).gives(y, want)


@case("""
struct Shape { int c, h, w, k, r, s, stride, pad, oh, ow; };
extern "C" __global__ void conv2d(const float* x, const float* f, const float* bias, float* y, const Shape p, int total) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= total) return;
    int ow = i % p.ow, oh = i / p.ow % p.oh, k = i / (p.ow * p.oh) % p.k, n = i / (p.ow * p.oh * p.k);
    float sum = bias[k];
    for (int c = 0; c < p.c; ++c)
        for (int r = 0; r < p.r; ++r)
            for (int s = 0; s < p.s; ++s) {
                int ih = oh * p.stride - p.pad + r, iw = ow * p.stride - p.pad + s;
                if ((unsigned)ih < (unsigned)p.h && (unsigned)iw < (unsigned)p.w)
                    sum += x[((n * p.c + c) * p.h + ih) * p.w + iw] * f[((k * p.c + c) * p.r + r) * p.s + s];
            }
    y[i] = sum;
}
""")
def direct_convolution_with_stride(draw: Draw) -> Plan:
    x, f, b, y = draw.f32(2, 3, 9, 11), draw.f32(4, 3, 3, 5), draw.f32(4), blank("f4", 2, 4, 5, 5)
    want = tf.conv2d(t64(x), t64(f), t64(b), stride=2, padding=1).numpy()
    shape = np.array([3, 9, 11, 4, 3, 5, 2, 1, 5, 5], "i4").view(np.dtype("V40"))[0]
    return run("conv2d", 2, 128, x, f, b, y, shape, y.size).gives(y, want)


@case("""
extern "C" __global__ void im2col(const float* x, float* cols, int c, int h, int w) {   // 2 x 2 windows
    int oh = h - 1, ow = w - 1, n = c * 4 * oh * ow;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        int q = i % ow, p = i / ow % oh, k = i / (ow * oh);
        cols[i] = x[(k / 4 * h + p + k % 4 / 2) * w + q + k % 2];
    }
}
extern "C" __global__ void depthwise(const float* x, const float* f, float* y, int h, int w) {   // 3 long, along the rows
    int q = threadIdx.x, p = blockIdx.x, c = blockIdx.y;
    if (q < w - 2) {
        const float* row = x + (c * h + p) * w + q;
        y[(c * h + p) * (w - 2) + q] = row[0] * f[c * 3] + row[1] * f[c * 3 + 1] + row[2] * f[c * 3 + 2];
    }
}
""")
def im2col_and_depthwise(draw: Draw) -> Plan:
    x, f = draw.f32(3, 6, 9), draw.f32(3, 3)
    cols, y = blank("f4", 12, 40), blank("f4", 3, 6, 7)
    unfolded = tf.unfold(t64(x)[None], 2)[0].numpy()
    thin = tf.conv2d(t64(x)[None], t64(f)[:, None, None, :], groups=3)[0].numpy()
    plan = run("im2col", 2, 64, x, cols, 3, 6, 9).then("depthwise", (6, 3), 32, x, f, y, 6, 9)
    return plan.gives(cols, unfolded, ulps=0).gives(y, thin)


@case("""
extern "C" __global__ void pool(const float* x, float* y, long long* where, float* mean, int h, int w, int total) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= total) return;
    int ow = w / 2, oh = h / 2, q = i % ow * 2, p = i / ow % oh * 2, c = i / (ow * oh);
    const float* plane = x + c * h * w;
    long long best = p * w + q;
    float sum = 0.0f;
    for (int k = 0; k < 4; ++k) {
        long long at = (p + k / 2) * w + q + k % 2;
        if (plane[at] > plane[best]) best = at;
        sum += plane[at];
    }
    y[i] = plane[best];
    where[i] = best;
    mean[i] = sum * 0.25f;
}
""")
def pooling_with_indices(draw: Draw) -> Plan:
    x = draw.f32(4, 8, 10)
    y, where, mean = blank("f4", 4, 4, 5), blank("i8", 4, 4, 5), blank("f4", 4, 4, 5)
    value, index = tf.max_pool2d(torch.from_numpy(x)[None], 2, return_indices=True)
    plan = run("pool", 1, 96, x, y, where, mean, 8, 10, 80).gives(y, value[0].numpy(), ulps=0)
    return plan.gives(where, index[0].numpy()).gives(mean, tf.avg_pool2d(t64(x)[None], 2)[0].numpy())


@case("""
// One query row a warp, keys in tiles, the online softmax of flash attention.
#define D 32
extern "C" __global__ void attention(const float* q, const float* k, const float* v, float* o, int n, float scale, int causal) {
    __shared__ float sk[32][D + 1], sv[32][D + 1];
    int lane = threadIdx.x, row = blockIdx.x * blockDim.y + threadIdx.y;
    float query = q[row * D + lane] * scale, acc = 0.0f, m = -3.4e38f, l = 0.0f;
    for (int base = 0; base < n; base += 32) {
        for (int r = threadIdx.y; r < 32; r += blockDim.y) {
            sk[r][lane] = base + r < n ? k[(base + r) * D + lane] : 0.0f;
            sv[r][lane] = base + r < n ? v[(base + r) * D + lane] : 0.0f;
        }
        __syncthreads();
        float s = 0.0f;
        for (int d = 0; d < D; ++d) s += __shfl_sync(~0u, query, d) * sk[lane][d];
        bool seen = base + lane < n && (!causal || base + lane <= row);
        if (!seen) s = -3.4e38f;
        float top = s;
        for (int x = 16; x; x >>= 1) top = fmaxf(top, __shfl_xor_sync(~0u, top, x));
        float next = fmaxf(m, top), p = seen ? __expf(s - next) : 0.0f, sum = p, fix = __expf(m - next);
        for (int x = 16; x; x >>= 1) sum += __shfl_xor_sync(~0u, sum, x);
        l = l * fix + sum;
        acc *= fix;
        for (int j = 0; j < 32; ++j) acc += __shfl_sync(~0u, p, j) * sv[j][lane];
        m = next;
        __syncthreads();
    }
    o[row * D + lane] = acc / l;
}
""")
def attention(draw: Draw) -> Plan:
    q, k, v = draw.f32(72, 32), draw.f32(72, 32), draw.f32(72, 32)
    plain, causal = blank("f4", 72, 32), blank("f4", 72, 32)
    scale = F(32**-0.5)
    plan = run("attention", 18, (32, 4), q, k, v, plain, 72, scale, 0).then(
        "attention", 18, (32, 4), q, k, v, causal, 72, scale, 1
    )
    for out, masked in ((plain, False), (causal, True)):
        want = tf.scaled_dot_product_attention(t64(q)[None], t64(k)[None], t64(v)[None], is_causal=masked)[0].numpy()
        plan.gives(out, want, rtol=1e-5, atol=2e-6)
    return plan


@case("""
extern "C" __global__ void rope(const float* x, float* y, int heads, int dim, float base) {
    int position = blockIdx.x, head = blockIdx.y, i = threadIdx.x;
    float angle = position * powf(base, -2.0f * i / dim), s, c;
    sincosf(angle, &s, &c);
    const float* in = x + (position * heads + head) * dim;
    float* out = y + (position * heads + head) * dim;
    float a = in[i], b = in[i + dim / 2];
    out[i] = a * c - b * s;
    out[i + dim / 2] = a * s + b * c;
}
""")
def rotary_embedding(draw: Draw) -> Plan:
    x, y = draw.f32(9, 2, 16), blank("f4", 9, 2, 16)
    angle = np.arange(9)[:, None] * 100.0 ** (-2.0 * np.arange(8) / 16)
    s, c, w = np.sin(angle)[:, None], np.cos(angle)[:, None], x.astype("f8")
    want = np.concatenate([w[..., :8] * c - w[..., 8:] * s, w[..., :8] * s + w[..., 8:] * c], 2)
    return run("rope", (9, 2), 8, x, y, 2, 16, F(100)).gives(y, want, rtol=3e-6, atol=3e-6)


@case("""
extern "C" __global__ void cross_entropy(const float* logits, const long long* target, float* loss, float* grad, int classes) {
    int row = blockIdx.x, lane = threadIdx.x;
    const float* x = logits + row * classes;
    float m = -3.4e38f, s = 0.0f;
    for (int i = lane; i < classes; i += 32) m = fmaxf(m, x[i]);
    for (int o = 16; o; o >>= 1) m = fmaxf(m, __shfl_xor_sync(~0u, m, o));
    for (int i = lane; i < classes; i += 32) s += expf(x[i] - m);
    for (int o = 16; o; o >>= 1) s += __shfl_xor_sync(~0u, s, o);
    float log_sum = m + logf(s);
    int t = (int)target[row];
    if (lane == 0) loss[row] = t < 0 ? 0.0f : log_sum - x[t];
    for (int i = lane; i < classes; i += 32) grad[row * classes + i] = t < 0 ? 0.0f : expf(x[i] - log_sum) - (i == t);
}
""")
def cross_entropy_and_gradient(draw: Draw) -> Plan:
    x, target = draw.f32(11, 50, scale=2), draw.ints("i8", 0, 50, 11)
    target[3] = -1
    loss, grad = blank("f4", 11), blank("f4", 11, 50)
    w = t64(x).requires_grad_()
    each = tf.cross_entropy(w, torch.from_numpy(target), reduction="none", ignore_index=-1)
    each.sum().backward()
    assert w.grad is not None
    plan = run("cross_entropy", 11, 32, x, target, loss, grad, 50).gives(loss, each.detach().numpy(), rtol=2e-6)
    return plan.gives(grad, w.grad.numpy(), rtol=5e-6, atol=2e-7)


@case("""
extern "C" __global__ void bag(const float* table, const int* ids, const int* offsets, float* out, int bags, int width, int total) {
    int b = blockIdx.x, begin = offsets[b], end = b + 1 < bags ? offsets[b + 1] : total;
    for (int d = threadIdx.x; d < width; d += blockDim.x) {
        float sum = 0.0f;
        for (int i = begin; i < end; ++i) sum += table[ids[i] * width + d];
        out[b * width + d] = end > begin ? sum / (end - begin) : 0.0f;
    }
}
""")
def embedding_bag(draw: Draw) -> Plan:
    table, ids = draw.f32(40, 20), draw.ints("i4", 0, 40, 30)
    offsets, out = np.array([0, 5, 5, 17, 29], "i4"), blank("f4", 5, 20)
    want = tf.embedding_bag(
        torch.from_numpy(ids).long(), t64(table), torch.from_numpy(offsets).long(), mode="mean"
    ).numpy()
    return run("bag", 5, 32, table, ids, offsets, out, 5, 20, 30).gives(out, want)


@case("""
extern "C" __global__ void bilinear(const float* x, float* y, int h, int w, int oh, int ow) {
    int q = blockIdx.x * blockDim.x + threadIdx.x, p = blockIdx.y * blockDim.y + threadIdx.y, c = blockIdx.z;
    if (q >= ow || p >= oh) return;
    float fy = fmaxf((p + 0.5f) * h / oh - 0.5f, 0.0f), fx = fmaxf((q + 0.5f) * w / ow - 0.5f, 0.0f);
    int y0 = (int)fy, x0 = (int)fx, y1 = min(y0 + 1, h - 1), x1 = min(x0 + 1, w - 1);
    float b = fy - y0, a = fx - x0;
    const float* s = x + c * h * w;
    y[(c * oh + p) * ow + q] = (1 - b) * ((1 - a) * s[y0 * w + x0] + a * s[y0 * w + x1]) + b * ((1 - a) * s[y1 * w + x0] + a * s[y1 * w + x1]);
}
""")
def bilinear_upsampling(draw: Draw) -> Plan:
    x, y = draw.f32(2, 5, 7), blank("f4", 2, 13, 16)
    want = tf.interpolate(t64(x)[None], (13, 16), mode="bilinear", align_corners=False)[0].numpy()
    return run("bilinear", (2, 2, 2), (8, 8), x, y, 5, 7, 13, 16).gives(y, want, rtol=1e-5, atol=2e-6)


@case("""
extern "C" __global__ void adam(float* p, const float* g, float* m, float* v, int n, float lr, float c1, float c2) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float grad = g[i] + 0.01f * p[i];
    m[i] = 0.9f * m[i] + 0.1f * grad;
    v[i] = 0.999f * v[i] + 0.001f * grad * grad;
    p[i] -= lr * (m[i] / c1) / (sqrtf(v[i] / c2) + 1e-8f);
}
""")
def adam_step(draw: Draw) -> Plan:
    p, g, m, v = draw.f32(150), draw.f32(150), draw.f32(150), draw.uniform(0.1, 1, 150)
    grad = g + F(0.01).astype("f8") * p
    m1, v1 = (
        F(0.9).astype("f8") * m + F(0.1).astype("f8") * grad,
        F(0.999).astype("f8") * v + F(0.001).astype("f8") * grad * grad,
    )
    stepped = p - 0.125 * (m1 / 0.5) / (np.sqrt(v1 / 0.25) + 1e-8)
    plan = run("adam", 2, 128, p, g, m, v, 150, F(0.125), F(0.5), F(0.25))
    return plan.gives(m, m1).gives(v, v1).gives(p, stepped, rtol=2e-6)


@case("""
extern "C" __global__ void lstm(const float* gates, const float* c, float* h, float* c2, int hidden) {
    int i = threadIdx.x, b = blockIdx.x;
    if (i >= hidden) return;
    const float* g = gates + b * 4 * hidden + i;
    auto sigmoid = [](float v) { return 1.0f / (1.0f + expf(-v)); };
    float in = sigmoid(g[0]), forget = sigmoid(g[hidden]), cell = tanhf(g[2 * hidden]), out = sigmoid(g[3 * hidden]);
    float next = forget * c[b * hidden + i] + in * cell;
    c2[b * hidden + i] = next;
    h[b * hidden + i] = out * tanhf(next);
}
""")
def lstm_cell(draw: Draw) -> Plan:
    gates, c, h, c2 = draw.f32(3, 4, 20), draw.f32(3, 20), blank("f4", 3, 20), blank("f4", 3, 20)
    g = gates.astype("f8")
    s = 1 / (1 + np.exp(-g))
    cell = s[:, 1] * c + s[:, 0] * np.tanh(g[:, 2])
    plan = run("lstm", 3, 32, gates, c, h, c2, 20).gives(c2, cell, rtol=2e-6)
    return plan.gives(h, s[:, 3] * np.tanh(cell), rtol=2e-6)
