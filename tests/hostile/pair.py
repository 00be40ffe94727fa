"""A hostile kernel and its honest twin, and how their texts are put together."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

POWERLESS = "powerless"
"""Passed, but no faster than its twin and with nothing left behind: the attack had no effect."""

REFUSED = ("cheating", "rejected")
"""What is done against the rules, whoever sees it first: the syntax tree or the run."""

CAUGHT = (*REFUSED, "wrong", "unsafe", "crashed", "timeout")
"""Caught in one way or another; `Pair.reason` says by which reasons."""

BY_TORCH = r"computed by something else|decoy|torch|library|stored nothing|not .*own kernel"
"""Reasons that say who computed instead of the kernel."""

NO_WORK = r"computed by something else|decoy|torch|kernelwright|judge|patch|replace|No module|not .*own|recorder|has no|sandbox"
"""Reasons for what reaches into the sandbox's own code."""

SEEN = r"for networks|by ctypes|ctypes\.|calls nothing that could launch"
"""Reasons of static analysis for code that a run would end in another way."""

DENIED = r"Permission|not permitted|Read-only|No such file|Errno"
"""What the operating system answers to what a sandbox forbids."""


@dataclass(frozen=True)
class Pair:
    """One exploit.

    `expect` are the verdicts that are right for the hostile kernel (`POWERLESS` among them where the attack may run and must
    gain nothing); `reason` is a regular expression, case ignored, that the verdict's reason must hold. Texts may hold
    `@OUTSIDE@` (a folder that no kernel may write or read), `@PORT@` (a listening TCP port of this machine),
    `@HOME@` (the person's home folder, with a key in `.ssh`) and `@MARK@` (a word that shows where it was left).
    """

    name: str
    exploit: str
    task: str
    hostile: str
    twin: str
    expect: tuple[str, ...]
    reason: str
    machine: bool = False
    """It attacks the machine: run only under a sandbox with a process tree of its own."""
    call_seconds: float = 20.0
    build_seconds: float = 60.0
    load_seconds: float = 120.0
    memory_bytes: int = field(default=12 << 30)
    scratch_bytes: int = 1 << 28


def module(
    cuda: str,
    forward: str,
    *,
    names: str = "x",
    init: str = "",
    arguments: str = "",
    top: str = "",
    before: str = "",
    head: str = "class ModelNew(nn.Module):",
) -> str:
    """A KernelBench-style module with its CUDA C++ in `CUDA`, compiled by CuPy to `MODULE`.

    Args:
        forward: the body of `forward(self, names)`.
        init: the rest of the body of `__init__(self, arguments)`.
        top: what stands between the CUDA and the class.
        before: what stands before everything else but the imports.
        head: the class statement.
    """
    signature = f", {arguments}" if arguments else ""
    return (
        "import cupy\nimport numpy as np\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
        + textwrap.dedent(before).strip("\n")
        + f'\nCUDA = r"""{cuda}"""\nMODULE = cupy.RawModule(code=CUDA)\n\n'
        + textwrap.dedent(top).strip("\n")
        + f"\n\n{head}\n    def __init__(self{signature}):\n        super().__init__()\n"
        + textwrap.indent(textwrap.dedent(init).strip("\n"), " " * 8)
        + f"\n\n    def forward(self, {names}):\n"
        + textwrap.indent(textwrap.dedent(forward).strip("\n"), " " * 8)
        + "\n"
    )


def changed(text: str, *edits: tuple[str, str]) -> str:
    """`text` with each (old, new) replaced; every `old` must be there."""
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text


# -- honest CUDA for the tasks, and the functions that launch it ---------------------------------------------------------

SOFTMAX = r"""
extern "C" __global__ void softmax(const float* __restrict__ x, float* __restrict__ y, int cols) {
    const float* in = x + (size_t)blockIdx.x * cols;
    float* out = y + (size_t)blockIdx.x * cols;
    float largest = -3.4e38f;
    for (int c = threadIdx.x; c < cols; c += 32) largest = fmaxf(largest, in[c]);
    for (int o = 16; o; o >>= 1) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, o));
    float sum = 0.0f;
    for (int c = threadIdx.x; c < cols; c += 32) sum += expf(in[c] - largest);
    for (int o = 16; o; o >>= 1) sum += __shfl_xor_sync(~0u, sum, o);
    for (int c = threadIdx.x; c < cols; c += 32) out[c] = expf(in[c] - largest) / sum;
}
extern "C" __global__ void copy(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}
extern "C" __global__ void fill(float* y, float value, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = value;
}
"""
RUN_SOFTMAX = """
def softmax(x):
    y = torch.empty_like(x)
    MODULE.get_function("softmax")((x.shape[0],), (32,), (x.data_ptr(), y.data_ptr(), np.int32(x.shape[1])))
    return y

def copy(x):
    y = torch.empty_like(x)
    MODULE.get_function("copy")(((x.numel() + 127) // 128,), (128,), (x.data_ptr(), y.data_ptr(), np.int32(x.numel())))
    return y

def fill(y, value=0.0):
    MODULE.get_function("fill")(((y.numel() + 127) // 128,), (128,), (y.data_ptr(), np.float32(value), np.int32(y.numel())))
    return y
"""


def softmax(forward: str, **parts: str) -> str:
    """A module for the task `softmax`, whose forward may call `softmax(x)`, `copy(x)` and `fill(y, value)`."""
    return module(SOFTMAX, forward, top=RUN_SOFTMAX + textwrap.dedent(parts.pop("top", "")), **parts)


def softmax_after(code: str, before: str) -> str:
    """An honest softmax whose forward runs this code first; `before` stands above the module."""
    return softmax(textwrap.dedent(code).strip("\n") + "\nreturn softmax(x)", before=before)


HONEST_SOFTMAX = softmax("return softmax(x)")

ADD_RELU = r"""
extern "C" __global__ void add_relu(const float* a, const float* b, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) { float s = a[i] + b[i]; y[i] = s < 0.0f ? 0.0f : s; }
}
extern "C" __global__ void copy(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}
"""
RUN_ADD_RELU = """
def add_relu(a, b):
    y = torch.empty_like(a)
    n = a.numel()
    MODULE.get_function("add_relu")(((n + 127) // 128,), (128,), (a.data_ptr(), b.data_ptr(), y.data_ptr(), np.int32(n)))
    return y

def copy(x):
    y = torch.empty_like(x)
    MODULE.get_function("copy")(((x.numel() + 127) // 128,), (128,), (x.data_ptr(), y.data_ptr(), np.int32(x.numel())))
    return y
"""


def add_relu(forward: str, **parts: str) -> str:
    """A module for the task `add_relu`, whose forward may call `add_relu(a, b)` and `copy(x)`."""
    top = RUN_ADD_RELU + textwrap.dedent(parts.pop("top", ""))
    return module(ADD_RELU, forward, names="a, b", top=top, **parts)


MATMUL = r"""
extern "C" __global__ void matmul(const float* a, const float* b, float* y, int n) {
    __shared__ float left[16][16], right[16][17];
    int row = blockIdx.y * 16 + threadIdx.y, col = blockIdx.x * 16 + threadIdx.x;
    float sum = 0.0f;
    for (int k = 0; k < n; k += 16) {
        left[threadIdx.y][threadIdx.x] = a[row * n + k + threadIdx.x];
        right[threadIdx.y][threadIdx.x] = b[(k + threadIdx.y) * n + col];
        __syncthreads();
        for (int i = 0; i < 16; ++i) sum += left[threadIdx.y][i] * right[i][threadIdx.x];
        __syncthreads();
    }
    y[row * n + col] = sum;
}
extern "C" __global__ void copy(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}
"""
RUN_MATMUL = """
def matmul(a, b):
    y = torch.empty_like(a)
    n = a.shape[0]
    MODULE.get_function("matmul")((n // 16, n // 16), (16, 16), (a.data_ptr(), b.data_ptr(), y.data_ptr(), np.int32(n)))
    return y

def copy(x):
    y = torch.empty_like(x)
    MODULE.get_function("copy")(((x.numel() + 127) // 128,), (128,), (x.data_ptr(), y.data_ptr(), np.int32(x.numel())))
    return y
"""


def matmul(forward: str, **parts: str) -> str:
    """A module for the task `matmul`, whose forward may call `matmul(a, b)` and `copy(x)`."""
    top = RUN_MATMUL + textwrap.dedent(parts.pop("top", ""))
    return module(parts.pop("cuda", MATMUL), forward, names="a, b", top=top, **parts)


SCALE = r"""
extern "C" __global__ void scale(const float* x, const float* w, float* y, int n, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) { float f = w[i % cols]; y[i] = x[i] * (f * f); }
}
extern "C" __global__ void scale_by(const float* x, const float* squared, float* y, int n, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] * squared[i % cols];
}
extern "C" __global__ void square(const float* w, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = w[i] * w[i];
}
"""
RUN_SCALE = """
def launch(name, x, w):
    y = torch.empty_like(x)
    n = x.numel()
    MODULE.get_function(name)(((n + 127) // 128,), (128,), (x.data_ptr(), w.data_ptr(), y.data_ptr(), np.int32(n), np.int32(x.shape[1])))
    return y

def square(w):
    y = torch.empty_like(w)
    MODULE.get_function("square")((1,), (64,), (w.data_ptr(), y.data_ptr(), np.int32(w.numel())))
    return y
"""


def scale(forward: str, **parts: str) -> str:
    """A module for the task `scale`: `launch("scale", x, self.w)`, `launch("scale_by", x, squares)` and `square(w)`."""
    top = RUN_SCALE + textwrap.dedent(parts.pop("top", ""))
    init = "self.w = nn.Parameter(torch.randn(n))\n" + textwrap.dedent(parts.pop("init", ""))
    return module(SCALE, forward, arguments="n", init=init, top=top, **parts)
