"""Solutions of FlashInfer-Bench: what is made of their sources, and what the judge says of them."""

from __future__ import annotations

import json

import pytest
from foreign_problems import PAGED, SCALE, scale_workload, write_trace

from kernelwright.bench_tasks.readers.flashinfer import read
from kernelwright.bench_tasks.suite import Scale
from kernelwright.errors import KernelError
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.kernel_file import read_kernel
from kernelwright.sandbox.reference import Reference
from kernelwright.sandbox.submissions.flashinfer import kernel_of
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.static import analyse
from kernelwright.verifier.static.findings import Severity

PYTHON = '''import cupy
import numpy as np

SCALE = cupy.RawKernel(r"""
extern "C" __global__ void scale(const float* x, const float* w, float* y, float factor, int columns, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = x[i] * w[i / columns] * factor;
}
""", "scale")


def run(x, w, factor, y):
    count = x.numel()
    SCALE(((count + 127) // 128,), (128,), (x, w, y, np.float32(factor), np.int32(x.shape[1]), np.int32(count)))
'''

HEADER = "#pragma once\nconstexpr int THREADS = 128;\n"
CUDA = """#include <torch/extension.h>
#include "include/sizes.h"
#include "include/sizes.h"
__global__ void scale(const float* x, const float* w, float* y, float factor, int columns, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = x[i] * w[i / columns] * factor;
}
void run(torch::Tensor x, torch::Tensor w, double factor, torch::Tensor y) {
    int count = x.numel();
    scale<<<(count + THREADS - 1) / THREADS, THREADS>>>(
        x.data_ptr<float>(), w.data_ptr<float>(), y.data_ptr<float>(), float(factor), x.size(1), count);
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""


def solution(sources: dict[str, str] | None = None, **spec: object) -> str:
    """A solution for `SCALE`."""
    sources = sources or {"main.py": PYTHON}
    first = next(iter(sources))
    said = {
        "language": "python",
        "target_hardware": ["cuda"],
        "entry_point": f"{first}::run",
        "dependencies": [],
        **spec,
    }
    rows = [{"path": path, "content": content} for path, content in sources.items()]
    return json.dumps({"name": "s", "definition": "row_scale_c4", "author": "me", "spec": said, "sources": rows})


def cuda(**spec: object) -> str:
    return solution({"kernel.cu": CUDA, "include/sizes.h": HEADER}, **{"language": "cuda", "binding": "torch", **spec})


@pytest.fixture
def task(tmp_path):
    rows = [scale_workload(64), scale_workload(3)]
    return read(write_trace(tmp_path, SCALE, workloads={"row_scale_c4": rows})).tasks[0].at(Scale.TWIN)


def judged(task, file):
    with Reference(task) as reference:
        device = Device("emulator", "H200", "sm_90", "process")
        return evaluate(task, read_kernel(file, task=task), device=device, reference=reference, gpu=find_gpu("H200"))


@pytest.mark.parametrize(("old", "new", "verdict"), [("", "", "passed"), ("i / columns", "0", "wrong")])
def test_solutions_are_judged(task, tmp_path, old, new, verdict):
    (tmp_path / "s.json").write_text(solution({"main.py": PYTHON.replace(old, new) if old else PYTHON}))
    found = judged(task, tmp_path / "s.json")
    assert found.verdict.value == verdict, found.reason


@pytest.mark.suites
def test_a_solution_in_cuda_is_judged(task, tmp_path):
    (tmp_path / "s.json").write_text(cuda())
    found = judged(task, tmp_path / "s.json")
    assert found.verdict.value == "passed", found.reason


def test_a_place_for_the_result_is_made_from_the_inputs(task):
    made = kernel_of(task, solution())
    assert "y = torch.empty((x.shape[0], x.shape[1],), dtype=torch.float32, device=x.device)" in made
    assert made.endswith("        run(x, w, factor, y)\n        return y\n")
    returning = kernel_of(task, solution(destination_passing_style=False))
    assert returning.endswith("        return run(x, w, factor)\n")


def test_headers_are_written_in_once(task):
    made = kernel_of(task, cuda())
    assert made.count("constexpr int THREADS") == 1
    assert "sizes.h" not in made
    assert "#include <torch/extension.h>" in made
    found = analyse(Kernel(made, "somebody"), task)
    assert not [each for each in found.findings if each.severity is Severity.REJECT]
    assert found.kernels == ("scale",)


def test_headers_that_include_each_other_end(task):
    sources = {
        "kernel.cu": CUDA.replace("include/sizes.h", "a.h"),
        "a.h": '#include "b.h"\n',
        "b.h": '#include "a.h"\n' + HEADER,
    }
    assert kernel_of(task, solution(sources, language="cuda", binding="torch")).count("constexpr int THREADS") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "no solution with spec"),
        (solution().replace("row_scale_c4", "another"), "for the definition 'another'"),
        (solution(language="triton"), "written in triton"),
        (cuda(binding=None), "binding tvm-ffi"),
        (cuda(dependencies=["cutlass"]), "depends on cutlass"),
        (cuda(entry_point="kernel.cu::walk"), 'exports "walk"'),
        (solution(entry_point="other.py::run"), "is no function of one of its sources"),
        (solution({"main.py": "import triton\n" + PYTHON}), "Triton can't be judged"),
        (solution({"main.py": "from helpers import f\n" + PYTHON, "helpers.py": "f = 1"}), "imports another file"),
        (solution({"main.py": "def run("}), "not valid Python"),
    ],
)
def test_what_is_no_solution_is_told(task, text, said):
    with pytest.raises(KernelError, match=said):
        kernel_of(task, text)


def test_an_output_whose_size_no_input_tells(tmp_path):
    outputs = {"y": {"shape": ["columns", "spread"], "dtype": "float32"}}
    axes = {**SCALE["axes"], "spread": {"type": "var"}}
    (task,) = read(write_trace(tmp_path, {**SCALE, "axes": axes, "outputs": outputs}, PAGED)).tasks[1:]
    assert "spread.numel" not in task.task.source
    text = solution()
    made = kernel_of(task.task, text)  # the size of the file stands for it
    assert f"torch.empty((x.shape[1], {128},)" in made
