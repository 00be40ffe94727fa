"""Fall-backs to torch, the reference under another name, and kernels that are there for the reader only."""

from __future__ import annotations

from hostile.pair import BY_TORCH, REFUSED, SOFTMAX, Pair, changed, module, softmax

PAIRS = (
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
        reason=BY_TORCH + "|derived|Model",
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
