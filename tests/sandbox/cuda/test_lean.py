"""The worker on a machine that has torch and nothing else of ours: no pydantic, no click, no database, no site-packages."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import kernelwright
from kernelwright.sandbox.bare_cuda import module_of

PACKAGES = Path(torch.__file__).parents[1]
ROOT = Path(kernelwright.__file__).parents[1]
# what torch 2 itself needs (its wheel's Requires-Dist), and what these need
TORCH = (
    "torch", "torchgen", "functorch", "filelock", "typing_extensions.py", "sympy", "mpmath", "networkx", "jinja2", "markupsafe",
    "fsspec",
)  # fmt: skip
# the emulated device compiles with NVRTC, from NVIDIA's wheels
EMULATED = ("numpy", "numpy.libs", "cuda", "nvidia")

# torch's module for extensions imports it; a requirement of torch's wheels from Python 3.12 on
EXTENSIONS = ("setuptools", "pkg_resources", "_distutils_hack")

WORK = '''
import json, mmap, sys
import torch
from kernelwright.sandbox.channel import Message, decode_tree, encode_tree
from kernelwright.sandbox.cuda.worker import GpuWorker
from kernelwright.sandbox.tensor_memory import copy_in, lay_out, memory_file, views

worker, segments = GpuWorker(), {}
def attach(which):
    message = Message({"op": "attach_" + which}, None, None)
    message.descriptor = memory_file(1 << 20)
    assert worker.answer(message)[0]["problem"]
    segments[which] = mmap.mmap(message.descriptor, 1 << 20)
def ask(op, values=None, **fields):
    """A request as the judge makes it: through shared memory, if there is any."""
    tensors = []
    tree = encode_tree(values, tensors)
    rows, size = lay_out(tensors)
    if "inputs" in segments and tensors:
        copy_in(segments["inputs"], tensors, rows)
        fields, values = {**fields, "laid": {"tree": tree, "rows": rows}}, None
    found, values = worker.answer(Message({"op": op, **fields}, values, None))
    if "laid" in found:
        laid = found["laid"]
        values = decode_tree(laid["tree"], [t.clone() for t in views(laid["rows"], segments["outputs"], 1 << 20)])
    return found, values

KERNEL = """
import cupy
import torch
K = cupy.RawKernel(r'extern "C" __global__ void twice(const float* x, float* y) { y[threadIdx.x] = 2 * x[threadIdx.x]; }', "twice")
class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        K((1,), (64,), (x, y))
        return y
"""
ask("open", runtime="emulated", index=0, arch="sm_90")
ask("load", source=KERNEL, class_name="ModelNew")
ask("build", {"arguments": [], "state": {}}, seed=1, update=False, class_name="ModelNew",
    prepared="eager", gradients=None)
attach("inputs"), attach("outputs")
x = torch.arange(64.0)
fields, values = ask("call", [x], poison=[256], trace=True)
ask("stage", [[x], [x + 1]])
timed, _ = ask("repeat", order=[1, 0, 1], cold=True, fresh=True, spin=0.0)
_, kept = ask("fetch", repeats=[1, 2])
print(json.dumps({
    "laid": "laid" in fields, "right": torch.equal(values["outputs"], 2 * x), "launches": fields["launches"], "timed": len(timed["seconds"]),
    "kept": [torch.equal(kept[0], 2 * x), torch.equal(kept[1], 2 * (x + 1))],
    "modules": sorted({name.split(".")[0] for name in sys.modules}),
}))
'''


def run_lean(folder: Path, packages: Sequence[str], code: str) -> dict[str, object]:
    """Runs code in a Python without site-packages, which finds these packages and this one."""
    for name in packages:
        if (PACKAGES / name).exists():
            (folder / name).symlink_to(PACKAGES / name)
    begin = f"import sys; sys.path += [{str(folder)!r}, {str(ROOT)!r}]\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", begin + textwrap.dedent(code)], capture_output=True, text=True, timeout=200,
        env={"KERNELWRIGHT_CACHE": str(folder / "cache"), "PATH": "/usr/bin:/bin"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def strangers(modules: object, packages: Sequence[str]) -> set[str]:
    """Modules that are of neither the standard library nor these packages nor ours."""
    assert isinstance(modules, list)
    known = (
        {name.removesuffix(".py") for name in packages} | set(sys.stdlib_module_names) | {"kernelwright", "__mp_main__"}
    )
    installed = {path.name.removesuffix(".py") for path in PACKAGES.iterdir()}
    return (set(modules) & installed) - known


def test_the_worker_needs_torch_alone(tmp_path: Path) -> None:
    found = run_lean(
        tmp_path, TORCH,
        """
        import json, sys
        import kernelwright.sandbox.cuda.worker, kernelwright.sandbox.cuda.runtime, kernelwright.sandbox.cuda.clocks
        print(json.dumps({"modules": sorted({name.split(".")[0] for name in sys.modules})}))
        """,
    )  # fmt: skip
    assert strangers(found["modules"], TORCH) == set()


def test_the_worker_runs_a_kernel_on_the_emulated_device(tmp_path: Path) -> None:
    found = run_lean(tmp_path, TORCH + EMULATED, WORK)
    assert found["right"] is True
    assert found["laid"] is True
    assert found["kept"] == [True, True]
    assert found["timed"] == 3
    assert [launch["name"] for launch in found["launches"]] == ["twice"]  # type: ignore[attr-defined]
    assert strangers(found["modules"], TORCH + EMULATED + ("cupy",)) == set()


@pytest.mark.long
def test_the_worker_builds_an_extension_on_the_emulated_device(tmp_path: Path) -> None:
    cuda = """
    #include <torch/extension.h>
    __global__ void twice(const float* x, float* y) { y[threadIdx.x] = 2 * x[threadIdx.x]; }
    torch::Tensor forward(torch::Tensor x) {
        auto y = torch::empty_like(x);
        twice<<<1, 64>>>(x.data_ptr<float>(), y.data_ptr<float>());
        return y;
    }
    PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("forward", &forward); }
    """
    before, rest = WORK.split('KERNEL = """')
    packages = TORCH + EMULATED + EXTENSIONS
    beneath = "import os\nos.environ['KERNELWRIGHT_CACHE_BENEATH'] = '/nowhere'\n"  # no header precompiled for one test
    found = run_lean(tmp_path, packages, beneath + before + f"KERNEL = {module_of(cuda)!r}" + rest.split('"""', 1)[1])
    assert found["right"] is True
    assert found["laid"] is True
    assert [launch["name"] for launch in found["launches"]] == ["_Z5twicePKfPf"]  # type: ignore[attr-defined]
    vendored = ("packaging",)  # which setuptools brings
    assert strangers(found["modules"], packages + vendored) == set()
