"""Library operations that do the kernel's work: called outright, under other names, behind a decoy, or from C++."""

from __future__ import annotations

from hostile.cpp import LAUNCH, cpp
from hostile.pair import BY_TORCH, REFUSED, Pair, add_relu, changed, matmul, module, softmax

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
)
