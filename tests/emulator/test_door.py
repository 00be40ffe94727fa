"""compile, launch, Memory: arguments, limits, errors, caches."""

from __future__ import annotations

import ctypes
import dataclasses
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from kernelwright.errors import BuildError, EmulatorError, LaunchError
from kernelwright.sandbox import emulator
from kernelwright.sandbox.emulator import native
from kernelwright.sandbox.emulator.arguments import parameter_names
from kernelwright.sandbox.emulator.toolchain import toolchain
from kernelwright.sandbox.launch import Counters, LaunchReport

FILL = """template <typename T> struct Pair { T a, b; };
extern "C" __global__ void __launch_bounds__(512) fill(float* y, int n, float value, double wide, long long big, const unsigned char* z) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = value + (float)wide + (float)big + (z ? z[0] : 0);
}"""


@pytest.fixture(scope="module")
def fill() -> emulator.Module:
    return emulator.compile(FILL)


def test_arguments_as_cupy_takes_them(fill: emulator.Module, memory: emulator.Memory) -> None:
    y = np.zeros(8, np.float32)
    memory.register(y.ctypes.data, y.nbytes, "y", "float32")
    report = fill.launch(
        "fill", (1,), (32,), (y.ctypes.data, np.int32(8), np.float32(0.5), 0.25, 3, None), memory=memory
    )
    assert (y == 3.75).all()
    assert memory.written(y.ctypes.data) == 32
    memory.mark()
    assert memory.written(y.ctypes.data) == 0
    assert report.resources is not None
    assert report.resources.registers > 0
    # A Python int for a smaller integer parameter works on a GPU, whose parameters are little-endian.
    fill.launch("fill", 1, 8, (y, 8, np.float32(1), 1.0, np.int64(-1), np.array([9], np.uint8)), memory=memory)
    assert (y == 10).all()


def test_tensors_are_taken_by_their_pointer(fill: emulator.Module, memory: emulator.Memory) -> None:
    import torch

    y = torch.zeros(4)
    memory.register(y.data_ptr(), 16, "y")
    fill.launch("fill", 1, 4, (y, 4, np.float32(2), 0.0, 0, None), memory=memory)
    assert y.tolist() == [2] * 4


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "takes 6 arguments (y, n, value, wide, big, z)"),
        ((0, 1, 0.5, 0.0, 0, 0), "argument `value` of kernel fill is a Python float"),
        ((0, 1, 5, 0.0, 0, 0), "argument `value` of kernel fill is a Python int"),
        ((0, 1, np.float64(1), 0.0, 0, 0), "argument `value` of kernel fill is a numpy.float64 (8 bytes)"),
        ((0, np.int64(1), np.float32(1), 0.0, 0, 0), "argument `n` of kernel fill is a numpy.int64 (8 bytes)"),
        ((0, np.float32(1), np.float32(1), 0.0, 0, 0), "argument `n` of kernel fill is a numpy.float32"),
        ((0, 2**33, np.float32(1), 0.0, 0, 0), "does not fit"),
        ((0, 1, np.float32(1), 3, 0, 0), "argument `wide`"),
        ((0, np.zeros(3), np.float32(1), 0.0, 0, 0), "argument `n` of kernel fill is an array"),
        ((object(), 1, np.float32(1), 0.0, 0, 0), "can't be passed"),
        (("text", 1, np.float32(1), 0.0, 0, 0), "can't be passed"),
    ],
)
def test_wrong_arguments(fill: emulator.Module, memory: emulator.Memory, args: tuple[object, ...], words: str) -> None:
    with pytest.raises(LaunchError) as caught:
        fill.launch("fill", 1, 1, args, memory=memory)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("grid", "block", "shared", "words"),
    [
        ((0,), (32,), 0, "grid.x is 0"),
        ((1, 65536), (32,), 0, "grid.y is 65536"),
        ((2**31,), (32,), 0, "grid.x"),
        ((1,), (0,), 0, "block.x is 0"),
        ((1,), (1, 1, 65), 0, "block.z is 65"),
        ((1,), (1024, 2), 0, "2048 threads"),
        ((1,), (600,), 0, "__launch_bounds__"),
        ((1,), (32,), 228 * 1024, "shared memory"),
        ((1,), (32,), -1, "shared memory"),
        ((1, 1, 1, 1), (32,), 0, "one to three sizes"),
    ],
)
def test_sizes_that_a_gpu_refuses(
    fill: emulator.Module,
    memory: emulator.Memory,
    grid: tuple[int, ...],
    block: tuple[int, ...],
    shared: int,
    words: str,
) -> None:
    with pytest.raises(LaunchError, match=r"kernel fill|one to three") as caught:
        fill.launch("fill", grid, block, (0, 1, np.float32(1), 0.0, 0, 0), shared=shared, memory=memory)
    assert words in str(caught.value)


def test_unknown_kernel(fill: emulator.Module, memory: emulator.Memory) -> None:
    with pytest.raises(LaunchError, match="no kernel fil"):
        fill.launch("fil", 1, 1, (), memory=memory)


def test_source_that_does_not_compile() -> None:
    with pytest.raises(BuildError) as caught:
        emulator.compile("__global__ void f() {\n  int x = y;\n}")
    assert caught.value.line == 2


def test_three_dimensional_launch(memory: emulator.Memory) -> None:
    source = """extern "C" __global__ void f(int* y) {
      int x = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y * blockDim.y + threadIdx.y, z = blockIdx.z * blockDim.z + threadIdx.z;
      y[(z * gridDim.y * blockDim.y + r) * gridDim.x * blockDim.x + x] = x + 100 * r + 10000 * z; }"""
    y = np.zeros((4, 6, 15), np.int32)
    emulator.compile(source).launch("f", (3, 2, 2), (5, 3, 2), (y,), memory=memory)
    z, r, x = np.indices(y.shape)
    assert np.array_equal(y, x + 100 * r + 10000 * z)


def test_a_report_survives_json(fill: emulator.Module, memory: emulator.Memory) -> None:
    y = np.zeros(4, np.float32)
    report = fill.launch("fill", 1, 64, (y, 40, np.float32(1), 0.0, 0, None), memory=memory)
    assert report.violations
    assert LaunchReport.from_json(report.to_json()) == report


def test_every_counter_is_filled_from_native_code() -> None:
    ours = {f.name for f in dataclasses.fields(Counters)}
    assert set(native.COUNTERS) <= ours
    assert ours - set(native.COUNTERS) == {"warp_instructions", "thread_instructions", "flops", "tensor_flops"}


def test_memory_table() -> None:
    memory = emulator.Memory()
    memory.register(0x1000, 64, "a", "float32")
    memory.register(0x2000, 32, "b")
    found = memory.find(0x103F)
    assert found is not None
    assert (found.pointer, found.nbytes, found.name, found.dtype) == (0x1000, 64, "a", "float32")
    assert memory.find(0x1040) is None
    below = memory.find(0x1040, below=True)
    assert below is not None
    assert below.name == "a"
    memory.register(0x1020, 64, "c")  # overlaps a, which must be gone
    assert memory.find(0x1000) is None
    assert len(memory) == 2
    memory.unregister(0x1020)
    memory.unregister(0x9999)
    assert len(memory) == 1


def test_native_code_may_register_from_many_threads() -> None:
    memory = emulator.Memory()
    handle, register, unregister = memory.c_api()
    add = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_char_p)(register)
    remove = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(unregister)

    def work(base: int) -> None:
        for i in range(500):
            add(handle, base + 4096 * i, 4096, b"x")
            if i % 2:
                remove(handle, base + 4096 * i)

    threads = [threading.Thread(target=work, args=(0x10000000 * (k + 1),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(memory) == 1000


def test_launches_from_several_threads(fill: emulator.Module) -> None:
    memory = emulator.Memory()
    arrays = [np.zeros(1000, np.float32) for _ in range(4)]

    def work(k: int) -> None:
        for _ in range(5):
            fill.launch("fill", 8, 128, (arrays[k], 1000, np.float32(k), 0.0, 0, None), memory=memory)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [float(a.mean()) for a in arrays] == [0, 1, 2, 3]


def test_a_damaged_library_is_made_anew(tmp_path: Path, memory: emulator.Memory) -> None:
    tools = toolchain()
    cpp = '#include "kernel.hpp"\nextern "C" int answer() { return 42; }\n'
    assert tools.compile_kernel(cpp, tmp_path).answer() == 42
    (library,) = (tmp_path / "kernels").iterdir()
    other = '#include "kernel.hpp"\nextern "C" int answer() { return 43; }\n'
    assert tools.compile_kernel(other, tmp_path).answer() == 43
    for path in (tmp_path / "kernels").iterdir():
        if path != library:
            path.unlink()
            path.write_bytes(b"no library")
    assert tools.compile_kernel(other, tmp_path).answer() == 43


def test_a_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(EmulatorError, match="g\\+\\+"):
        toolchain(tmp_path)


@pytest.mark.parametrize(
    ("source", "kernel", "names"),
    [
        ('extern "C" __global__ void k(const float* __restrict__ x, int n)', "k", ("x", "n")),
        (
            "template <class T, int N> __global__ void k(T (&unused)[N], Foo<T, 3> s, T v = 2)",
            "k",
            ("argument 1", "argument 2", "argument 3"),
        ),
        (
            "__global__ __launch_bounds__(128, 2) void go(float* a /* in */, // first\n const int b[4])",
            "_Z2goPfPKi",
            ("a", "b"),
        ),
        ("nothing here", "k", ("argument 1",)),
    ],
)
def test_parameter_names_come_from_the_source(source: str, kernel: str, names: tuple[str, ...]) -> None:
    assert parameter_names(source, kernel, len(names)) == names


DOCUMENT = Path(__file__).parents[2] / "docs" / "emulator.md"


def test_the_examples_of_the_document_run() -> None:
    text = DOCUMENT.read_text()
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 3
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, str(DOCUMENT), "exec"), names)
    report, table = names["report"], names["table"]
    assert isinstance(report, LaunchReport)
    assert not report.violations
    assert report.lines
    assert isinstance(table, np.ndarray)


def test_numpy_is_enough() -> None:
    code = """
import sys
import numpy as np
from kernelwright.sandbox import emulator
x = np.arange(64, dtype=np.float32)
source = 'extern "C" __global__ void f(float* x) { x[threadIdx.x] *= 2; }'
report = emulator.compile(source).launch("f", 1, 64, (x,))
assert not report.violations and (x == 2 * np.arange(64)).all()
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_arrays_with_steps_are_known_as_far_as_they_reach() -> None:
    source = 'extern "C" __global__ void f(float* x, int step) { x[threadIdx.x * step] = 1; }'
    module = emulator.compile(source)
    x = np.zeros(64, np.float32)
    assert not module.launch("f", 1, 32, (x[::2], np.int32(2))).violations
    assert x.sum() == 32
    (violation,) = module.launch("f", 1, 32, (x[::2], np.int32(3))).violations
    assert (violation.kind, violation.count) == ("out_of_bounds", 11)
