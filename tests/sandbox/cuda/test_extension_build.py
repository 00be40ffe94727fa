"""What torch.utils.cpp_extension is made to run for a kernel on a GPU; compilers that write down their command lines stand for nvcc and g++."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelwright.sandbox.bare_cuda import module_of
from kernelwright.sandbox.candidate import CandidateFailure
from kernelwright.sandbox.cuda.gpu_process import GpuProcess, Program
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.isolation import bubblewrap_problem

BARE = """#include <torch/extension.h>
__global__ void twice(const float* x, float* y) { y[threadIdx.x] = 2 * x[threadIdx.x]; }
torch::Tensor forward(torch::Tensor x) {
    auto y = torch::empty_like(x);
    twice<<<1, 64>>>(x.data_ptr<float>(), y.data_ptr<float>());
    return y;
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("forward", &forward); }
"""
# torch looks for the toolkit only if it was built for CUDA itself; this says where it would have found it
AS_BUILT_FOR_CUDA = "import os, torch.utils.cpp_extension as _e\n_e.CUDA_HOME = os.environ.get('CUDA_HOME')\n"
# says on its standard output, which ninja shows when a compiler fails, what it was asked and what it was given
COMPILER = """#!{python}
import json, sys
if "--version" in sys.argv or "-v" in sys.argv:
    sys.exit(print("g++ (GCC) 13.2.0"))
sources = [each for each in sys.argv if each.endswith(".cu")]
print("ASKED " + json.dumps([sys.argv, [open(each).read() for each in sources]]))
sys.exit(1 if sources else 0)
"""


def asked(log: str) -> list[tuple[list[str], list[str]]]:
    """Command lines, and the texts of the CUDA files that they name."""
    return [tuple(json.loads(line.split("ASKED ", 1)[1])) for line in log.splitlines() if "ASKED " in line]


@pytest.fixture
def toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that torch takes for a CUDA toolkit."""
    if shutil.which("ninja") is None:
        pytest.skip("torch builds extensions with ninja, which is not installed")
    home = tmp_path / "toolkit"
    (home / "bin").mkdir(parents=True)
    (home / "lib64").mkdir()
    for path in (home / "bin" / "nvcc", home / "bin" / "g++"):
        path.write_text(COMPILER.format(python=sys.executable))
        path.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(home))
    monkeypatch.setenv("CXX", str(home / "bin" / "g++"))
    monkeypatch.setenv("PATH", f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return home


def failure_of_load(source: str, isolation: str = "process", **device: Any) -> CandidateFailure:
    """How loading the module on a GPU ends; nothing is opened, so no driver is needed."""
    place = Device("cuda", "H200", device.get("arch", "sm_90"), isolation)
    with GpuProcess(Program(AS_BUILT_FOR_CUDA + source), place) as process, pytest.raises(CandidateFailure) as caught:
        process.load()
    return caught.value


@pytest.mark.parametrize(("arch", "number"), [("sm_90", "90"), ("sm_100", "100")])
def test_a_bare_kernel_is_compiled_by_nvcc_for_the_gpu_alone(toolkit: Path, arch: str, number: str) -> None:
    failure = failure_of_load(module_of(BARE), arch=arch)
    assert failure.kind == "build"
    (command, (text,)) = next(each for each in asked(failure.log) if each[1])
    assert command[0] == str(toolkit / "bin" / "nvcc")
    assert [each for each in command if each.startswith("-gencode")] == [
        f"-gencode=arch=compute_{number},code=sm_{number}"
    ]
    assert "-DTORCH_EXTENSION_NAME=bare_kernel" in command
    assert BARE in text  # as it stands, below torch's own includes
    assert "#include <torch/types.h>" in text.split(BARE)[0]


def test_the_toolkit_is_seen_in_the_sandbox(toolkit: Path) -> None:
    if problem := bubblewrap_problem():
        pytest.skip(problem)
    failure = failure_of_load(module_of(BARE), isolation="bubblewrap")
    assert failure.kind == "build", failure.message
    assert any(command[0] == str(toolkit / "bin" / "nvcc") for command, _ in asked(failure.log))


def test_without_a_toolkit_it_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_HOME", raising=False)
    failure = failure_of_load(module_of(BARE))
    assert failure.kind == "unsupported"
    assert "the CUDA toolkit (nvcc)" in failure.message
    assert "cupy.RawModule" in failure.mend
