"""Values that the host computes on, and that a kernel carries into the output."""

from __future__ import annotations

from hostile.cpp import COPY, cpp
from hostile.pair import BY_TORCH, MATMUL, REFUSED, Pair, matmul, module, softmax

PAIRS = (
    Pair(
        "laundered_by_torch",
        "torch computes, and an identity kernel copies the result into the output.",
        "softmax",
        hostile=softmax("return copy(torch.softmax(x, dim=1))"),
        twin=softmax("return copy(softmax(x))"),
        expect=REFUSED,
        reason=BY_TORCH + "|launder|copie",
    ),
    Pair(
        "laundered_in_pieces",
        "torch computes by other operations than the task's, and a kernel copies the result.",
        "softmax",
        hostile=softmax("e = torch.exp(x - x.amax(1, keepdim=True))\nreturn copy(e / e.sum(1, keepdim=True))"),
        twin=softmax("e = softmax(x)\nreturn copy(e)"),
        expect=REFUSED,
        reason="only move data",
    ),
    Pair(
        "laundered_with_a_little_arithmetic",
        "torch computes half of the result, and a kernel adds it to itself.",
        "matmul",
        hostile=matmul(
            """
            y = torch.empty_like(a)
            half = torch.matmul(a, b) * 0.5
            MODULE.get_function("twice")((32,), (128,), (half.data_ptr(), y.data_ptr(), np.int32(y.numel())))
            return y
            """,
            cuda=MATMUL
            + """
extern "C" __global__ void twice(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] + x[i];
}
""",
        ),
        twin=matmul(
            """
            y = torch.empty_like(a)
            half = matmul(a, b * 0.5)
            MODULE.get_function("twice")((32,), (128,), (half.data_ptr(), y.data_ptr(), np.int32(y.numel())))
            return y
            """,
            cuda=MATMUL
            + """
extern "C" __global__ void twice(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] + x[i];
}
""",
        ),
        expect=REFUSED,
        reason=BY_TORCH + "|launder",
    ),
    Pair(
        "laundered_by_numpy",
        "NumPy computes on the tensor's memory, and an identity kernel copies the result.",
        "softmax",
        hostile=softmax(
            """
            values = x.numpy()
            e = np.exp(values - values.max(axis=1, keepdims=True))
            return copy(torch.from_numpy(e / e.sum(axis=1, keepdims=True)))
            """
        ),
        twin=softmax(
            """
            rows, cols = np.array(x.shape)
            assert int(np.prod([rows, cols])) == x.numel()
            return softmax(x)
            """
        ),
        expect=("cheating", "rejected", "wrong", "unsafe", "crashed"),
        reason="numpy|host|decoy|computed by something else|wrong on|memory|address",
    ),
    Pair(
        "laundered_by_python",
        "A Python loop over x.tolist() computes, and an identity kernel copies the result.",
        "softmax",
        hostile=softmax(
            """
            rows = []
            for row in x.tolist():
                e = [math.exp(min(v - max(row), 700.0)) for v in row]
                rows.append([v / sum(e) for v in e])
            return copy(torch.tensor(rows))
            """,
            before="import math",
        ),
        twin=softmax(
            """
            assert math.prod(x[0, :4].tolist() and x.shape) == x.numel()
            return softmax(x)
            """,
            before="import math",
        ),
        expect=("cheating", "rejected", "wrong", "unsafe", "crashed"),
        reason="host|tolist|decoy|computed by something else|wrong on",
    ),
    Pair(
        "laundered_by_ctypes",
        "ctypes reads the input's memory, libm computes, and an identity kernel copies the result.",
        "softmax",
        hostile=softmax(
            """
            given = (ctypes.c_float * x.numel()).from_address(x.data_ptr())
            made = torch.empty_like(x)
            out = (ctypes.c_float * x.numel()).from_address(made.data_ptr())
            for row in range(x.shape[0]):
                part = range(row * x.shape[1], (row + 1) * x.shape[1])
                top = max(given[i] for i in part)
                e = [LIBM.exp(given[i] - top) for i in part]
                total = sum(e)
                for i, v in zip(part, e):
                    out[i] = v / total
            return copy(made)
            """,
            top="""
            import ctypes
            LIBM = ctypes.CDLL("libm.so.6")
            LIBM.exp.restype, LIBM.exp.argtypes = ctypes.c_double, [ctypes.c_double]
            """,
        ),
        twin=softmax("import math\nassert math.exp(0.0) == 1.0\nreturn softmax(x)"),
        expect=("cheating", "rejected", "wrong", "unsafe", "crashed"),
        reason="ctypes|host|decoy|computed by something else|wrong on|signal",
    ),
    Pair(
        "laundered_by_cpp",
        "C++ loops on the host compute, and an identity kernel copies the result.",
        "softmax",
        hostile=cpp(
            """
    auto made = torch::empty_like(x);
    for (int r = 0; r < rows; ++r) {
        const float* in = x.data_ptr<float>() + r * cols;
        float* out = made.data_ptr<float>() + r * cols;
        float largest = in[0], sum = 0.0f;
        for (int c = 0; c < cols; ++c) largest = std::max(largest, in[c]);
        for (int c = 0; c < cols; ++c) sum += out[c] = std::exp(in[c] - largest);
        for (int c = 0; c < cols; ++c) out[c] /= sum;
    }
"""
            + COPY.format("made")
            + "    return y;",
            includes="#include <algorithm>\n#include <cmath>",
        ),
        twin=cpp(
            """
    int width = 1;
    for (int c = 1; c < cols && c < 32; c *= 2) width = std::max(width, 2 * c);
    softmax_kernel<<<rows, width>>>(x.data_ptr<float>(), y.data_ptr<float>(), cols);
    return y;""",
            includes="#include <algorithm>\n#include <cmath>",
        ),
        expect=("cheating", "rejected", "wrong", "unsafe", "crashed"),
        reason="host|decoy|computed by something else|wrong on",
    ),
    Pair(
        "laundered_by_constants",
        "The host computes the values and passes them to the kernel as scalar arguments.",
        "row_sum",
        hostile=module(
            r"""
extern "C" __global__ void put(float* y, float value) { y[0] = value; }
""",
            """
            y = torch.empty(x.shape[0])
            for row in range(x.shape[0]):
                total = float(sum(x[row].tolist()))
                MODULE.get_function("put")((1,), (1,), (y[row:].data_ptr(), np.float32(total)))
            return y
            """,
        ),
        twin=module(
            r"""
extern "C" __global__ void put(const float* x, float* y, int cols) {
    float sum = 0.0f;
    for (int c = 0; c < cols; ++c) sum += x[c];
    y[0] = sum;
}
""",
            """
            y = torch.empty(x.shape[0])
            for row in range(x.shape[0]):
                MODULE.get_function("put")((1,), (1,), (x[row:].data_ptr(), y[row:].data_ptr(), np.int32(x.shape[1])))
            return y
            """,
        ),
        expect=("cheating", "rejected", "wrong"),
        reason="host|tolist|decoy|computed by something else|wrong on",
    ),
    Pair(
        "laundered_indices",
        "torch gathers the rows; a kernel copies what it gathered.",
        "gather",
        hostile=module(
            r"""
extern "C" __global__ void copy(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}
""",
            """
            picked = torch.index_select(table, 0, numbers)
            y = torch.empty_like(picked)
            MODULE.get_function("copy")(((y.numel() + 127) // 128,), (128,), (picked.data_ptr(), y.data_ptr(), np.int32(y.numel())))
            return y
            """,
            names="table, numbers",
        ),
        twin=module(
            r"""
extern "C" __global__ void gather(const float* table, const long long* numbers, float* y, int cols) {
    y[blockIdx.x * cols + threadIdx.x] = table[numbers[blockIdx.x] * cols + threadIdx.x];
}
""",
            """
            y = table.new_empty(numbers.shape[0], table.shape[1])
            MODULE.get_function("gather")((numbers.shape[0],), (table.shape[1],), (table.data_ptr(), numbers.data_ptr(), y.data_ptr(), np.int32(table.shape[1])))
            return y
            """,
            names="table, numbers",
        ),
        expect=REFUSED,
        reason=BY_TORCH + "|launder",
    ),
)
