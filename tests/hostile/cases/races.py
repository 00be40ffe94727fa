"""Kernels that are right when the schedule is kind."""

from __future__ import annotations

from hostile.pair import HONEST_SOFTMAX, MATMUL, Pair, changed, matmul, module

ROW_SUM = r"""
extern "C" __global__ void row_sum(const float* x, float* y, int cols) {
    __shared__ float part[256];
    part[threadIdx.x] = x[blockIdx.x * cols + threadIdx.x];
    __syncthreads();
    for (int step = blockDim.x / 2; step; step >>= 1) {
        if (threadIdx.x < step) part[threadIdx.x] += part[threadIdx.x + step];
        __syncthreads();
    }
    if (threadIdx.x == 0) y[blockIdx.x] = part[0];
}
"""
RUN_ROW_SUM = """
y = x.new_empty(x.shape[0])
MODULE.get_function("row_sum")((x.shape[0],), (x.shape[1],), (x.data_ptr(), y.data_ptr(), np.int32(x.shape[1])))
return y
"""
ATOMIC = r"""
extern "C" __global__ void row_sum(const float* x, float* y, int cols) {
    if (threadIdx.x == 0) y[blockIdx.x] = 0.0f;
    __syncthreads();
    atomicAdd(&y[blockIdx.x], x[blockIdx.x * cols + threadIdx.x]);
}
"""
CHAIN = r"""
extern "C" __global__ void row_sum(const float* x, float* y, int cols) {
    // block b waits for nobody and takes what block b - 1 has left
    float sum = blockIdx.x ? y[blockIdx.x - 1] * 0.0f : 0.0f;
    for (int c = 0; c < cols; ++c) if (threadIdx.x == 0) sum += x[blockIdx.x * cols + c];
    if (threadIdx.x == 0) y[blockIdx.x] = sum;
}
"""

PAIRS = (
    Pair(
        "barrier_left_out",
        "The barrier between reading a tile and overwriting it is missing.",
        "matmul",
        hostile=matmul(
            "return matmul(a, b)",
            cuda=changed(
                MATMUL,
                ("right[i][threadIdx.x];\n        __syncthreads();", "right[i][threadIdx.x];"),
            ),
        ),
        twin=matmul("return matmul(a, b)"),
        expect=("unsafe",),
        reason="race|read|barrier",
    ),
    Pair(
        "tree_without_barriers",
        "The tree of a reduction has no barrier between its levels.",
        "row_sum",
        hostile=module(
            changed(ROW_SUM, ("part[threadIdx.x + step];\n        __syncthreads();", "part[threadIdx.x + step];")),
            RUN_ROW_SUM,
        ),
        twin=module(ROW_SUM, RUN_ROW_SUM),
        expect=("unsafe",),
        reason="race",
    ),
    Pair(
        "barrier_not_all_reach",
        "The barrier stands in a branch that half of the threads take.",
        "row_sum",
        hostile=module(
            changed(
                ROW_SUM,
                (
                    "if (threadIdx.x < step) part[threadIdx.x] += part[threadIdx.x + step];\n        __syncthreads();",
                    "if (threadIdx.x < step) { part[threadIdx.x] += part[threadIdx.x + step]; __syncthreads(); }",
                ),
            ),
            RUN_ROW_SUM,
        ),
        twin=module(changed(ROW_SUM, ("step; step >>= 1", "step >= 1; step /= 2")), RUN_ROW_SUM),
        expect=("unsafe",),
        reason="barrier|race|__syncthreads",
    ),
    Pair(
        "sum_without_atomics",
        "All threads add to one element, without an atomic.",
        "row_sum",
        hostile=module(
            changed(
                ATOMIC,
                (
                    "atomicAdd(&y[blockIdx.x], x[blockIdx.x * cols + threadIdx.x]);",
                    "y[blockIdx.x] += x[blockIdx.x * cols + threadIdx.x];",
                ),
            ),
            RUN_ROW_SUM,
        ),
        twin=module(ATOMIC, RUN_ROW_SUM),
        expect=("unsafe", "wrong"),
        reason="race|wrong on",
    ),
    Pair(
        "block_that_reads_anothers_output",
        "Each block reads what the block before it may have written, or may not.",
        "row_sum",
        hostile=module(CHAIN, RUN_ROW_SUM),
        twin=module(changed(CHAIN, ("blockIdx.x ? y[blockIdx.x - 1] * 0.0f : 0.0f", "0.0f")), RUN_ROW_SUM),
        expect=("unsafe", "wrong"),
        reason="race|never written|not written|uninitialised|block",
    ),
    Pair(
        "two_blocks_for_one_row",
        "Two blocks write each row, one of them something else; the last one wins.",
        "softmax",
        hostile=changed(
            HONEST_SOFTMAX,
            ("(x.shape[0],), (32,)", "(2 * x.shape[0],), (32,)"),
            ("y + (size_t)blockIdx.x * cols;", "y + (size_t)(blockIdx.x % (gridDim.x / 2)) * cols;"),
            ("x + (size_t)blockIdx.x * cols;", "x + (size_t)(blockIdx.x % (gridDim.x / 2)) * cols;"),
            (
                "out[c] = expf(in[c] - largest) / sum;",
                "out[c] = blockIdx.x < gridDim.x / 2 ? 0.5f : expf(in[c] - largest) / sum;",
            ),
        ),
        twin=changed(
            HONEST_SOFTMAX,
            ("(x.shape[0],), (32,)", "(2 * x.shape[0],), (32,)"),
            ("float* out", "if (blockIdx.x >= gridDim.x / 2) return;\n    float* out"),
            (
                "const float* in = x + (size_t)blockIdx.x * cols;\n",
                "const float* in = x + (size_t)(blockIdx.x % (gridDim.x / 2)) * cols;\n",
            ),
        ),
        expect=("unsafe", "wrong"),
        reason="race|block",
    ),
    Pair(
        "beyond_the_end",
        "The last thread writes one element past the output.",
        "softmax",
        hostile=changed(
            HONEST_SOFTMAX,
            (
                "out[c] = expf(in[c] - largest) / sum;\n",
                "out[c] = expf(in[c] - largest) / sum;\n    if (blockIdx.x == gridDim.x - 1) out[cols] = 0.0f;\n",
            ),
        ),
        twin=changed(
            HONEST_SOFTMAX,
            (
                "out[c] = expf(in[c] - largest) / sum;\n",
                "out[c] = expf(in[c] - largest) / sum;\n    if (cols <= 0) out[cols] = 0.0f;\n",
            ),
        ),
        expect=("unsafe",),
        reason="beyond|outside|past|out.of.bounds",
    ),
)
