"""Kernels written anew for `load_inline`: what they launch is the same, and what can't be written so is refused."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest
from honest.judge import LIMITS, isolation
from search_doubles import EPOCH, evaluation

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.errors import MisuseError
from kernelwright.export import inline_file, kernel_file
from kernelwright.inline_form import cuda_texts, inline_module, kernels_in, launch_words
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Evaluation
from kernelwright.verifier.model.gpus import find_gpu

TASK = """
import torch


class Model(torch.nn.Module):
    def forward(self, x, y):
        return x * 3.0 + y.sum(dim=1, keepdim=True)


def get_inputs():
    return [torch.randn(8, 33), torch.randn(8, 33)]


def get_init_inputs():
    return []
"""
CUDA = r"""
extern "C" __global__ void sums(const float* __restrict__ y, float* out, int columns) {
    extern __shared__ float part[];
    float sum = 0.0f;
    for (int c = threadIdx.x; c < columns; c += 32) sum += y[blockIdx.x * columns + c];
    part[threadIdx.x] = sum;
    __syncwarp();
    if (threadIdx.x == 0) {
        sum = 0.0f;
        for (int lane = 0; lane < 32; ++lane) sum += part[lane];
        out[blockIdx.x] = sum;
    }
}
extern "C" __global__ void combine(const float* x, const float *sum, float* out, size_t count, unsigned int columns, float by) {
    const size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (i < count) out[i] = x[i] * by + sum[i / columns];
}
"""
SOURCE = f'''"""Two kernels."""

import cupy as cp, math
import torch

CODE = r"""{CUDA}"""
MODULE = cp.RawModule(code=CODE, options=("--std=c++17", "--use_fast_math"))
SUMS = MODULE.get_function("sums")
SUMS.max_dynamic_shared_size_bytes = 65536


class ModelNew(torch.nn.Module):
    def forward(self, x, y):
        x, y = x.contiguous(), y.contiguous()
        rows, columns = x.shape
        sums, out = x.new_empty(rows), torch.empty_like(x)
        with cp.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            SUMS((rows,), (32,), (y.data_ptr(), sums.data_ptr(), cp.int32(columns)), shared_mem=128)
            grid = (math.ceil(x.numel() / 64), 1, 1)
            MODULE.get_function("combine")(
                grid, (64, 1, 1), (x.data_ptr(), sums.data_ptr(), out.data_ptr(), x.numel(), cp.uint32(columns), cp.float32(3.0))
            )
        return out
'''


def judged(source: str, reference: Reference) -> Evaluation:
    device = Device("emulator", "H200", "sm_90", isolation())
    limits = replace(LIMITS, build_seconds=280.0)  # the first extension of a cache builds a header for all of them
    kernel = Kernel(source, "x")
    return evaluate(reference.task, kernel, device=device, reference=reference, gpu=find_gpu("H200"), limits=limits)


@pytest.mark.long
def test_both_files_compute_and_launch_the_same() -> None:
    task = task_from_source(TASK, name="scaled")
    task = replace(task, workloads=task.workloads[:2])
    kernel = Kernel(SOURCE, "x")
    said = evaluation(kernel, 1e-5, task)  # for the heads of the files
    with Reference(task) as reference:
        taken = judged(kernel_file(task, kernel, said, EPOCH), reference)
        inline = judged(inline_file(task, kernel, said, EPOCH), reference)
    assert taken.passed, taken.reason
    assert inline.passed, inline.reason
    assert taken.profile is not None
    assert inline.profile is not None
    for one, two in zip(taken.profile.launches, inline.profile.launches, strict=True):
        same = ("kernel", "grid", "block", "dynamic_shared", "counters")
        assert {name: one[name] for name in same} == {name: two[name] for name in same}
    assert inline.timing == taken.timing


def test_every_character_of_the_cuda_stays() -> None:
    made = inline_module(SOURCE)
    assert CUDA in made
    assert "cp." not in made
    tree = ast.parse(made)
    imported = {each.name for node in tree.body if isinstance(node, ast.Import) for each in node.names}
    assert imported == {"contextlib", "math", "numpy", "torch"}
    (call,) = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "load_inline"]
    given = {each.arg: each.value for each in call.keywords}
    assert ast.literal_eval(given["functions"]) == ["launch_sums", "allow_sums", "launch_combine", "allow_combine"]
    assert ast.literal_eval(given["extra_cuda_cflags"]) == ["--use_fast_math"]


def test_types_of_parameters() -> None:
    assert kernels_in(CUDA) == {
        "sums": [("const float*", "y"), ("float*", "out"), ("int", "columns")],
        "combine": [("const float*", "x"), ("const float*", "sum"), ("float*", "out"), ("size_t", "count"),
                    ("unsigned int", "columns"), ("float", "by")],
    }  # fmt: skip
    odd = "__global__ void k(const __half x[], const int n = 3, unsigned long long *, const int *const p, bool) {}"
    assert kernels_in(odd) == {
        "k": [("const __half*", "x"), ("int", "n"), ("unsigned long long*", ""), ("const int*", "p"), ("bool", "")]
    }
    assert kernels_in("template <typename T> __global__ void k(T* x) {} __global__ void later(int n);") == {}


def test_a_module_that_torch_builds_stays_as_it_is() -> None:
    source = 'from torch.utils.cpp_extension import load_inline\nE = load_inline("e", "", "__global__ void k() {}")\n'
    assert inline_module(source) == source


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("code=CODE", "code=CODE + input()", "run time"),
        ("code=CODE", "path='k.cu'", "path"),
        ('options=("--std=c++17", "--use_fast_math")', "options=OPTIONS", "options are made at run time"),
        ('"--use_fast_math"', '"--device-as-default-execution-space"', "nvcc may not know"),
        ('"--use_fast_math")', '"-DN=1"), name_expressions=("k<float>",)', "name_expressions"),
        ("import cupy as cp, math", "import math\nfrom cupy import RawModule as R\nimport cupy as cp", "imports CuPy otherwise"),
        ("SUMS.max_dynamic", "x = cp.zeros(3)\nSUMS.max_dynamic", "uses cupy.zeros"),
        ("SUMS.max_dynamic", "f = print(cp)\nSUMS.max_dynamic", "as a value"),
        ("shared_mem=128", "shared_mem=128, enable_cooperative_groups=True", "cooperatively"),
        ('get_function("sums")', 'get_function("sums<float>")', "template"),
        ("int columns) {", "struct Sizes columns) {", "struct Sizes by value"),
        ("SUMS = MODULE", "G = MODULE.get_global('g')\nSUMS = MODULE", "get_global"),
        ("class ModelNew", "class (", "not valid Python"),
    ],
)  # fmt: skip
def test_what_can_not_be_written_so_is_refused(old: str, new: str, why: str) -> None:
    assert old in SOURCE
    with pytest.raises(MisuseError, match=why):
        inline_module(SOURCE.replace(old, new, 1))


def test_a_raw_kernel() -> None:
    source = f'import cupy\nCODE = r"""{CUDA}"""\nSUMS = cupy.RawKernel(CODE, "sums")\n'
    made = inline_module(source)
    assert made.rstrip().endswith('.get_function("sums")')
    compile(made, "made", "exec")
    with pytest.raises(MisuseError, match="was not found"):
        inline_module(source.replace('"sums")', '"gone")'))


def test_the_texts_alone_and_how_they_were_launched() -> None:
    assert cuda_texts(SOURCE) == [CUDA]
    launches = [{"kernel": "sums", "grid": [8, 1, 1], "block": [32, 1, 1], "dynamic_shared": 128}] * 2
    launches += [{"kernel": "_Z5otherv", "grid": [1, 1, 1], "block": [2, 1, 1]}]
    assert launch_words(launches, [CUDA, "not { closed"]) == [
        "sums<<<dim3(8, 1, 1), dim3(32, 1, 1), 128>>>(const float* y, float* out, int columns);",
        "other<<<dim3(1, 1, 1), dim3(2, 1, 1), 0>>>(...);",
    ]
    with pytest.raises(MisuseError, match="no CUDA"):
        cuda_texts("x = 1\n")
