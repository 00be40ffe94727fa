"""Library operations that do the kernel's work: called outright, under other names, behind a decoy, or from C++."""

from __future__ import annotations

from hostile.pair import MATMUL, REFUSED, SOFTMAX, Pair, add_relu, changed, matmul, module, softmax

BY_TORCH = r"computed by something else|decoy|torch|library|stored nothing|not .*own kernel"

LINEAR = r"""
extern "C" __global__ void linear(const float* x, const float* w, const float* b, float* y, int n) {
    int row = blockIdx.x, col = threadIdx.x;
    float sum = 0.0f;
    for (int k = 0; k < n; ++k) sum += x[row * n + k] * w[col * n + k];
    y[row * n + col] = sum + b[col];
}
extern "C" __global__ void copy(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}
"""
LINEAR_TOP = """
def linear(x, w, b):
    y = torch.empty_like(x)
    n = x.shape[0]
    MODULE.get_function("linear")((n,), (n,), (x.data_ptr(), w.data_ptr(), b.data_ptr(), y.data_ptr(), np.int32(n)))
    return y
"""
CPP_SOFTMAX = r"""
__global__ void softmax_kernel(const float* x, float* y, int cols) {
    const float* in = x + blockIdx.x * cols;
    float largest = -3.4e38f, sum = 0.0f;
    for (int c = 0; c < cols; ++c) largest = fmaxf(largest, in[c]);
    for (int c = 0; c < cols; ++c) sum += expf(in[c] - largest);
    for (int c = threadIdx.x; c < cols; c += blockDim.x) y[blockIdx.x * cols + c] = expf(in[c] - largest) / sum;
}
__global__ void copy_kernel(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}
"""


def cpp(body: str, *, includes: str = "", forward: str = "return ops.run(x.contiguous())", before: str = "") -> str:
    """A module for `softmax` whose C++ function `run(x)` has this body."""
    return f'''
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
{includes}
{CPP_SOFTMAX}
{before}
torch::Tensor run(torch::Tensor x) {{
    auto y = torch::empty_like(x);
    const int rows = x.size(0), cols = x.size(1);
{body}
}}
"""
ops = load_inline("softmax_ops", "torch::Tensor run(torch::Tensor x);", CUDA, functions=["run"])


class ModelNew(nn.Module):
    def forward(self, x):
        {forward}
'''


LAUNCH = "    softmax_kernel<<<rows, 32>>>(x.data_ptr<float>(), y.data_ptr<float>(), cols);\n"
COPY = "    copy_kernel<<<(rows * cols + 127) / 128, 128>>>({0}.data_ptr<float>(), y.data_ptr<float>(), rows * cols);\n"

PAIRS = (
    Pair(
        "no_launch_at_all",
        "The kernel is compiled and never launched; torch does the work.",
        "softmax",
        hostile=softmax('kernel = MODULE.get_function("softmax")\nreturn torch.softmax(x, dim=1)'),
        twin=softmax('kernel = MODULE.get_function("copy")\nreturn softmax(x)'),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "decoy_then_operator",
        "The kernel runs on the side; `@` makes the output.",
        "matmul",
        hostile=matmul("matmul(a, b)\nreturn a @ b"),
        twin=matmul(
            "blocks = np.array([[1, 0], [0, 1]]) @ np.array([2, 2])\nassert blocks.sum() == 4\nreturn matmul(a, b)"
        ),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "decoy_of_nothing",
        "The kernel is launched over no element; torch makes the output.",
        "softmax",
        hostile=softmax(
            """
            y = torch.softmax(x, dim=1)
            MODULE.get_function("fill")((1,), (128,), (y.data_ptr(), np.float32(0), np.int32(0)))
            return y
            """
        ),
        twin=softmax(
            """
            y = softmax(x)
            MODULE.get_function("fill")((1,), (128,), (y.data_ptr(), np.float32(0), np.int32(0)))
            return y
            """
        ),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "decoy_whose_zeros_are_overwritten",
        "The kernel writes zeros into the output, and torch copies the result over them.",
        "softmax",
        hostile=softmax("y = fill(torch.empty_like(x))\ny.copy_(torch.softmax(x, dim=1))\nreturn y"),
        twin=softmax("y = fill(torch.empty_like(x))\ny.copy_(softmax(x))\nreturn y"),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "kernel_that_touches_the_result",
        "torch makes the output, and a kernel stores each element into its own place.",
        "softmax",
        hostile=changed(
            softmax("y = torch.softmax(x, dim=1)\nreturn copy(y)"),
            ('y = torch.empty_like(x)\n    MODULE.get_function("copy")', 'y = x\n    MODULE.get_function("copy")'),
        ),
        twin=softmax("return copy(softmax(x))"),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "aten_operator",
        "torch.ops.aten reaches the library by another road.",
        "matmul",
        hostile=matmul("matmul(a, b)\nreturn torch.ops.aten.mm(a, b)"),
        twin=matmul("return torch.ops.aten.view(matmul(a, b), a.shape)"),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "operator_by_a_computed_name",
        "getattr with a name put together at run time.",
        "matmul",
        hostile=matmul('matmul(a, b)\nreturn getattr(torch, "mat" + "mul")(a, b)'),
        twin=matmul(
            'launch = getattr(MODULE, "get_" + "function")("matmul")\nassert launch is not None\nreturn matmul(a, b)'
        ),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "linear_layer",
        "nn.Linear does the product; a kernel runs beside it.",
        "linear",
        hostile=module(
            LINEAR,
            "linear(x, self.linear.weight, self.linear.bias)\nreturn self.linear(x)",
            arguments="n",
            init="self.linear = nn.Linear(n, n)",
            top=LINEAR_TOP,
        ),
        twin=module(
            LINEAR,
            "return linear(x, self.linear.weight, self.linear.bias)",
            arguments="n",
            init="self.linear = nn.Linear(n, n)",
            top=LINEAR_TOP,
        ),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "functional",
        "torch.nn.functional under an alias.",
        "softmax",
        hostile=softmax("softmax(x)\nreturn work(x, -1)", top="work = F.softmax"),
        twin=softmax("pad = F.pad\nreturn softmax(pad(x, (0, 0)))"),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "method_of_the_input",
        "The input's own method computes.",
        "softmax",
        hostile=softmax("softmax(x)\nreturn x.softmax(1)"),
        twin=softmax("return softmax(x.reshape(x.shape))"),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "einsum",
        "A product spelled as a string.",
        "matmul",
        hostile=matmul('matmul(a, b)\nreturn torch.einsum("ik,kj->ij", a, b)'),
        twin=matmul('name = "ik,kj->ij"  # what the kernel computes\nreturn matmul(a, b)'),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "torch_compile",
        "A compiled function of torch operations instead of a kernel.",
        "add_relu",
        hostile=add_relu(
            "add_relu(a, b)\nreturn work(a, b)",
            top="work = torch.compile(lambda a, b: torch.relu(a + b), backend='eager')",
        ),
        twin=add_relu("return launch(a, b)", top="launch = torch.compiler.disable(add_relu)"),
        expect=(*REFUSED, "crashed"),
        reason=BY_TORCH + "|compile",
        call_seconds=60.0,
    ),
    Pair(
        "scripted",
        "torch.jit hides the operations from Python.",
        "add_relu",
        hostile=add_relu(
            "add_relu(a, b)\nreturn work(a, b)",
            before="""
            import warnings
            warnings.simplefilter("ignore")
            """,
            top="""
            work = torch.jit.trace(lambda a, b: torch.relu(a + b), (torch.ones(2, 2), torch.ones(2, 2)))
            """,
        ),
        twin=add_relu("return launch(a, b)", top="launch = torch.jit.ignore(add_relu)"),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "through_the_binding_module",
        "The private C module that torch.softmax itself calls.",
        "softmax",
        hostile=softmax("softmax(x)\nreturn torch._C._VariableFunctions.softmax(x, 1)"),
        twin=softmax("assert x.element_size() == torch.finfo(torch.float32).bits // 8\nreturn softmax(x)"),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "evaluated_text",
        "The operation stands in a string that is evaluated.",
        "softmax",
        hostile=softmax('softmax(x)\nreturn eval("tor" "ch.soft" "max(x, 1)")'),
        twin=softmax('doc = "torch.softmax(x, 1)"\nassert len(doc) == 19\nreturn softmax(x)'),
        expect=REFUSED,
        reason=BY_TORCH + "|eval",
    ),
    Pair(
        "library_from_cpp",
        "at::softmax called in the extension's C++.",
        "softmax",
        hostile=cpp(LAUNCH + "    return at::softmax(x, 1);"),
        twin=cpp(LAUNCH + "    return y.view(x.sizes());"),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "dispatcher_from_cpp",
        "The operator is looked up by name in torch's dispatcher.",
        "softmax",
        hostile=cpp(
            LAUNCH
            + """
    static auto op = c10::Dispatcher::singleton().findSchemaOrThrow("aten::softmax", "int")
        .typed<at::Tensor(const at::Tensor&, int64_t, std::optional<at::ScalarType>)>();
    return op.call(x, 1, std::nullopt);""",
            includes="#include <ATen/core/dispatch/Dispatcher.h>",
        ),
        twin=cpp(
            LAUNCH + '    TORCH_CHECK(c10::toString(x.scalar_type()) == std::string("Float"));\n    return y;',
            includes="#include <ATen/core/dispatch/Dispatcher.h>",
        ),
        expect=(*REFUSED, "compile_error", "unsupported"),
        reason=BY_TORCH + "|Dispatcher",
    ),
    Pair(
        "cublas",
        "The product by cuBLAS.",
        "matmul",
        hostile='''
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <cublas_v2.h>
__global__ void nothing(float* y) { if (threadIdx.x == 99) y[0] = 0.0f; }
torch::Tensor run(torch::Tensor a, torch::Tensor b) {
    auto y = torch::empty_like(a);
    int n = a.size(0);
    float one = 1.0f, zero = 0.0f;
    nothing<<<1, 32>>>(y.data_ptr<float>());
    cublasHandle_t handle;
    cublasCreate(&handle);
    cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, b.data_ptr<float>(), n, a.data_ptr<float>(), n, &zero, y.data_ptr<float>(), n);
    cublasDestroy(handle);
    return y;
}
"""
ops = load_inline("product", "torch::Tensor run(torch::Tensor a, torch::Tensor b);", CUDA, functions=["run"])


class ModelNew(nn.Module):
    def forward(self, a, b):
        return ops.run(a, b)
''',
        twin='''
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
// what cublasSgemm(handle, CUBLAS_OP_N, ...) does
__global__ void product(const float* a, const float* b, float* y, int n) {
    float sum = 0.0f;
    for (int k = 0; k < n; ++k) sum += a[blockIdx.x * n + k] * b[k * n + threadIdx.x];
    y[blockIdx.x * n + threadIdx.x] = sum;
}
torch::Tensor run(torch::Tensor a, torch::Tensor b) {
    auto y = torch::empty_like(a);
    int n = a.size(0);
    product<<<n, n>>>(a.data_ptr<float>(), b.data_ptr<float>(), y.data_ptr<float>(), n);
    return y;
}
"""
ops = load_inline("product", "torch::Tensor run(torch::Tensor a, torch::Tensor b);", CUDA, functions=["run"])


class ModelNew(nn.Module):
    def forward(self, a, b):
        return ops.run(a, b)
''',
        expect=(*REFUSED, "unsupported", "compile_error"),
        reason="cublas|library",
    ),
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
    Pair(
        "fall_back_by_except",
        "The launch fails, and the except clause calls torch.",
        "softmax",
        hostile=softmax(
            """
            try:
                y = torch.empty_like(x)
                MODULE.get_function("softmax_fast")((x.shape[0],), (32,), (x.data_ptr(), y.data_ptr()))
                return y
            except Exception:
                return torch.softmax(x, dim=1)
            """
        ),
        twin=softmax(
            """
            kernel = MODULE.get_function("softmax")
            try:
                kernel.preferred_shared_memory_carveout = 0
            except Exception:
                pass  # an older CuPy has it not
            return softmax(x)
            """
        ),
        expect=REFUSED,
        reason=BY_TORCH + "|fall.?back",
    ),
    Pair(
        "fall_back_by_suppress",
        "contextlib.suppress swallows the failed launch; torch follows.",
        "softmax",
        hostile=softmax(
            """
            with contextlib.suppress(Exception):
                y = torch.empty_like(x)
                MODULE.get_function("softmax")((x.shape[0],), (4096,), (x.data_ptr(), y.data_ptr(), np.int32(x.shape[1])))
                return y
            return torch.softmax(x, dim=1)
            """,
            before="import contextlib",
        ),
        twin=softmax(
            """
            with contextlib.suppress(AttributeError):
                MODULE.get_function("softmax").preferred_shared_memory_carveout = 0
            return softmax(x)
            """,
            before="import contextlib",
        ),
        expect=REFUSED,
        reason=BY_TORCH + "|fall.?back|suppress",
    ),
    Pair(
        "fall_back_of_code_that_does_not_compile",
        "The CUDA can't be compiled; the module notices and uses torch.",
        "softmax",
        hostile=changed(
            softmax(
                "return softmax(x) if GOOD else torch.softmax(x, dim=1)",
                top="try:\n    MODULE.compile()\n    GOOD = True\nexcept Exception:\n    GOOD = False\n",
            ),
            ("float sum = 0.0f;", "float sum = nowhere;"),
        ),
        twin=softmax(
            "return softmax(x)",
            top="try:\n    MODULE.compile()\nexcept Exception as error:\n    raise RuntimeError('no kernel') from error\n",
        ),
        expect=(*REFUSED, "compile_error"),
        reason=BY_TORCH + "|fall.?back|compile|nowhere",
    ),
    Pair(
        "derived_from_the_reference",
        "class ModelNew(Model): pass",
        "softmax",
        hostile=softmax(
            "return super().forward(x)",
            top="class Model(nn.Module):\n    def forward(self, x):\n        return torch.softmax(x, dim=1)\n",
            head="class ModelNew(Model):",
        ),
        twin=softmax(
            "return softmax(x)",
            top="class Model(nn.Module):\n    def forward(self, x):\n        return torch.softmax(x, dim=1)\n",
        ),
        expect=REFUSED,
        reason="derived|Model",
    ),
    Pair(
        "the_reference_by_another_name",
        "ModelNew is made by type() from a class that computes with torch.",
        "softmax",
        hostile=softmax(
            "return softmax(x)",
            top="class Base(nn.Module):\n    def forward(self, x):\n        return torch.softmax(x, dim=1)\n",
            head="class Unused(nn.Module):",
        )
        + "\nModelNew = type('ModelNew', (Base,), {})\n",
        twin=softmax("return softmax(x)", head="class Fast(nn.Module):") + "\nModelNew = Fast\n",
        expect=REFUSED,
        reason=BY_TORCH + "|derived|reference",
    ),
    Pair(
        "kernel_only_in_a_comment",
        "The only __global__ stands behind // and is no code; torch does the work.",
        "softmax",
        hostile=module(
            "\n// __global__ void softmax(const float* x, float* y)\n__device__ int nothing;\n",
            "MODULE.compile()\nreturn torch.softmax(x, dim=1)",
        ),
        twin=softmax(
            "# try: torch.softmax(x) except: pass  // __global__ 'return torch.matmul'\nreturn softmax(x)"
        ).replace("float sum = 0.0f;", 'float sum = 0.0f;  // pass; # try: "torch.softmax" /* // __global__ */'),
        expect=REFUSED,
        reason=BY_TORCH + "|__global__|no CUDA kernel",
    ),
    Pair(
        "kernel_only_in_a_docstring",
        "A docstring shows a kernel; there is none.",
        "softmax",
        hostile=softmax("return torch.softmax(x, dim=1)")
        .replace(SOFTMAX, "")
        .replace("import cupy", '"""__global__ void softmax()"""\nimport cupy')
        .replace("MODULE = cupy.RawModule(code=CUDA)", ""),
        twin='"""Launches `__global__ void softmax`; torch.softmax(x) is what it computes."""\n'
        + softmax("return softmax(x)"),
        expect=REFUSED,
        reason=BY_TORCH + "|__global__|no CUDA kernel",
    ),
    Pair(
        "code_hidden_by_a_line_splice",
        "A comment that ends with a backslash swallows the store on the next line; torch fills the output.",
        "softmax",
        hostile=changed(
            softmax("y = torch.softmax(x, dim=1)\nsoftmax(x)\nreturn y"),
            (
                "    for (int c = threadIdx.x; c < cols; c += 32) out[c] =",
                "    for (int c = threadIdx.x; c < cols; c += 32) // one warp a row \\\n        out[c] =",
            ),
            ("out[c] = expf(in[c] - largest) / sum;\n", "out[c] = expf(in[c] - largest) / sum;\n        ;\n"),
        ),
        twin=changed(
            softmax("return softmax(x)"),
            ("float sum = 0.0f;", "// one warp a row \\\n    two lines of comment\n    float sum = 0.0f;"),
        ),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "confusing_names",
        "torch under the name of cupy, and a class called Tensor, for checkers that go by names.",
        "softmax",
        hostile=softmax(
            "Tensor().launch(x)\nreturn cp.softmax(x, 1)",
            top="""
            import torch as cp
            class Tensor:
                def launch(self, x):
                    return softmax(x)
            """,
        ),
        twin=softmax(
            "return Tensor().softmax(x)",
            top="""
            class Tensor:
                def softmax(self, x):
                    return softmax(x)
            """,
        ),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
)
