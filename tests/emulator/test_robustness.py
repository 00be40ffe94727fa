"""What no sane program holds: text that is no PTX, huge grids, huge sources, huge arrays. Errors of ours, bounded memory."""

from __future__ import annotations

import mmap
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kernelwright.errors import EmulatorError, LaunchError, UnsupportedError
from kernelwright.sandbox import emulator
from kernelwright.sandbox.build import build_cuda
from kernelwright.sandbox.emulator import toolchain
from kernelwright.sandbox.emulator.translation import Refusal, translate_ptx
from kernelwright.sandbox.launch import LaunchOptions, LaunchReport

SUBJECT = r"""
#include <cuda_fp16.h>
__device__ int counter = 3;
__constant__ float table[4] = {1, 2, 3, 4};
__device__ int* pointer_to = &counter;
struct Pair { float a; int b; };
__device__ __noinline__ float helper(float v, Pair p) { return v * p.a + p.b; }
extern "C" __global__ void mixed(const float* x, float* y, int n, Pair p, const __half2* h) {
  __shared__ float s[128];
  extern __shared__ int d[];
  float local[8];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  for (int k = 0; k < 8; k++) local[(k * n) & 7] = k;
  s[threadIdx.x] = i < n ? x[i] : 0.f;
  d[threadIdx.x] = n;
  __syncthreads();
  float v = helper(s[127 - threadIdx.x], p) + local[n & 7] + table[n & 3];
  v += __shfl_xor_sync(~0u, v, 4);
  unsigned ballot = __ballot_sync(~0u, v > 0);
  switch (n) { case 0: v = 1; break; case 1: v *= 2; break; case 2: v = sqrtf(v); break; case 3: v = expf(v); break;
    case 4: v = v / 3; break; case 5: v -= 7; break; default: v += ballot; }
  if (i < n) {
    __half2 z = __hfma2(h[i], h[i], h[i]);
    y[i] = v + __low2float(z) + __double2float_rn((double)v * 2.5) + __popc(i) + (float)__dp4a(i, n, 3);
    atomicAdd(&counter, 1);
    atomicCAS((int*)y, 0, 1);
  }
  if (n == 77) printf("%d %f\n", i, v);
  if (n == 78) __trap();
}
"""

_TOKENS = re.compile(r"%\w+|[\w.$]+|\S|\s+")
_ODD = (
    "99999999999999999999", "-1", "0x", "{", "}", "[", "]", ";", ",", "%p0", "%r1", "%rd99999", ".b128", ".v4", "0f", "$L__",
    '"', "@", "|", "call", "bra", "!", "_", "(", ")", "<", ">", ".reg", ".pred", ".func", ".param", ".align 0", "4294967296",
    "1.5", "\x01", "é", "WARP_SZ", "::", "+", "-", ".local .align 8 .b8 z[99999999999];", ".extern .shared .align 16 .b8 q[];",
)  # fmt: skip


def mutated(text: str, draw: random.Random) -> str:
    """The text with something left out, doubled, exchanged or put in."""
    kind = draw.random()
    if kind < 0.1:
        return text[: draw.randrange(len(text))]
    if kind < 0.3:
        lines = text.split("\n")
        i, j = draw.randrange(len(lines)), draw.randrange(len(lines))
        how = draw.randrange(4)
        if how == 0:
            del lines[i]
        elif how == 1:
            lines.insert(j, lines[i])
        elif how == 2:
            lines[i], lines[j] = lines[j], lines[i]
        else:
            draw.shuffle(lines)
        return "\n".join(lines)
    tokens = _TOKENS.findall(text)
    for _ in range(draw.choice((1, 1, 1, 2, 5, 20))):
        i = draw.randrange(len(tokens))
        how = draw.randrange(5)
        if how == 0:
            tokens[i] = draw.choice(_ODD)
        elif how == 1:
            tokens[i] = draw.choice(tokens)
        elif how == 2:
            tokens[i] = ""
        elif how == 3:
            tokens[i] += " " + draw.choice(_ODD)
        else:
            parts = tokens[i].split(".")
            draw.shuffle(parts)
            tokens[i] = ".".join(parts)
    return "".join(tokens)


@pytest.fixture(scope="module")
def ptx() -> str:
    return build_cuda(SUBJECT, arch="sm_90").ptx


def fuzz(ptx: str, seeds: range, folder: Path) -> tuple[int, int]:
    """(texts that were translated, texts that were refused); anything but an error of ours goes through."""
    taken = refused = 0
    for seed in seeds:
        try:
            translate_ptx(mutated(ptx, random.Random(seed)), folder)
            taken += 1
        except EmulatorError:
            refused += 1
    return taken, refused


def test_malformed_ptx(ptx: str, tmp_path: Path) -> None:
    taken, refused = fuzz(ptx, range(150), tmp_path)
    assert taken  # some changes do no harm, most do
    assert refused > 50


@pytest.mark.slow
def test_much_malformed_ptx(ptx: str, tmp_path: Path) -> None:
    fuzz(ptx, range(150, 1500), tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "}",
        "\x00\x01",
        ".version",
        "{" * 5000,
        ".visible .entry f(" + "{" * 5000,
        "." * 10000,
        ".entry f() {" + "{" * 3000,
    ],
)
def test_text_that_is_no_ptx(text: str, tmp_path: Path) -> None:
    try:
        kernels = translate_ptx(text, tmp_path).kernels
    except EmulatorError:
        return
    assert not kernels


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.replace("[mixed_param_2]", "[mixed_param_2+4000]"), "bytes of parameters"),
        (lambda t: t.replace("[mixed_param_2]", "[mixed_param_2+-4000]"), "bytes of parameters"),
        (lambda t: re.sub(r"table\[16\] = \{[^}]*\}", "table[16] = {" + "1," * 99 + "1}", t), "larger than itself"),
        (lambda t: re.sub(r"bra(.uni)?\s+\$\w+;", "bra;", t, count=1), "malformed"),
        (lambda t: t.replace(".reg .b32", ".reg .b32 %q<x>; .reg .b32", 1), "no integer"),
    ],
)
def test_malformed_ptx_is_refused_with_a_reason(
    ptx: str, tmp_path: Path, change: Callable[[str], str], words: str
) -> None:
    changed = change(ptx)
    assert changed != ptx
    with pytest.raises(EmulatorError, match=words):
        need_translation(changed, tmp_path)


def need_translation(text: str, folder: Path) -> None:
    """Raises why the kernel `mixed` is refused."""
    found = translate_ptx(text, folder).kernels["mixed"]
    if isinstance(found, Refusal):
        raise found.error()


def stopped(source: str, grid: tuple[int, ...], *args: object, seconds: float = 0.2) -> LaunchReport:
    return emulator.compile(source).launch("f", grid, 32, args, limits=emulator.LaunchLimits(seconds=seconds))


def test_a_grid_of_nine_quintillion_blocks_stops_at_the_limit() -> None:
    y = np.zeros(1, np.int32)
    source = 'extern "C" __global__ void f(int* y) { if (blockIdx.x == 0) y[0] = 1; }'
    report = stopped(source, (2**31 - 1, 65535, 65535), y)
    (violation,) = report.violations
    assert (violation.kind, violation.message) == ("endless_loop", "the launch did not end within its time limit")
    assert y[0] == 1
    assert report.counters.blocks < 2**40


def test_a_huge_grid_whose_blocks_never_end() -> None:
    source = 'extern "C" __global__ void f(volatile int* y) { while (y[0] == 0) {} }'
    report = stopped(source, (2**31 - 1, 2), np.zeros(1, np.int32))
    assert [v.kind for v in report.violations] == ["endless_loop"]


def test_an_allocation_of_a_gigabyte() -> None:
    size = 1 << 30
    with mmap.mmap(-1, size) as area:
        x = np.frombuffer(area, np.uint8)
        memory = emulator.Memory()
        memory.register(x.ctypes.data, size, "x")
        source = """extern "C" __global__ void f(unsigned char* x, size_t n) {
          x[blockIdx.x * (n / gridDim.x) + threadIdx.x] = 1; if (threadIdx.x == 0 && blockIdx.x == 0) x[n - 1] = 2; }"""
        limits = emulator.LaunchLimits(options=LaunchOptions(sample_blocks=64))
        for limit in (emulator.LaunchLimits(), limits):
            report = emulator.compile(source).launch(
                "f", 128, 32, (x.ctypes.data, np.uint64(size)), memory=memory, limits=limit
            )
            assert not report.violations
        assert (int(x[:32].sum()), int(x[-1])) == (32, 2)
        outside = emulator.compile(source).launch("f", 1, 1, (x.ctypes.data + 1, np.uint64(size)), memory=memory)
        assert [v.kind for v in outside.violations] == ["out_of_bounds"]
        del x


def test_a_variable_of_a_gigabyte_takes_memory_only_where_it_is_touched() -> None:
    source = """__device__ unsigned char big[1ull << 30];
      extern "C" __global__ void f(int* y) { big[(size_t)threadIdx.x << 25] = 1; __syncthreads(); y[threadIdx.x] = big[(size_t)(31 - threadIdx.x) << 25]; }"""
    y = np.zeros(32, np.int32)
    before = resident()
    report = emulator.compile(source).launch("f", 1, 32, (y,))
    assert not report.violations
    assert y.tolist() == [1] * 32
    assert resident() - before < 400 << 20


def resident() -> int:
    """Memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def test_arrays_that_are_too_large(tmp_path: Path) -> None:
    module = emulator.compile('extern "C" __global__ void f(float* y) { y[0] = 1; }')
    text = module.build.ptx
    local = text.replace(".reg .b64", ".local .align 4 .b8 deep[600000];\n.reg .b64", 1)
    lowered = translate_ptx(local, tmp_path).kernels["f"].lowered  # type: ignore[union-attr]
    assert lowered.frame_bytes >= 600000
    huge = text.replace(".visible .entry", ".visible .global .align 4 .b8 huge[4611686018427387904];\n.visible .entry")
    with pytest.raises(UnsupportedError, match="huge"):
        emulator.Module("", module.build, translate_ptx(huge, tmp_path), toolchain.toolchain(), None)


def test_a_kernel_that_the_compiler_can_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    tools = toolchain.toolchain()
    functions = "".join(f'extern "C" int unheard_of_{i}(int x) {{ return x * {i}; }}\n' for i in range(5000))
    code = f'#include "kernel.hpp"\n{functions}'
    monkeypatch.setattr(toolchain, "_COMPILE_BYTES", 100 << 20)
    with pytest.raises(EmulatorError, match=r"too large: the C\+\+ compiler needs more than 0\.1 GiB"):
        tools.compile_kernel(code)
    monkeypatch.setattr(toolchain, "_COMPILE_BYTES", 6 << 30)
    monkeypatch.setattr(toolchain, "_COMPILE_SECONDS", 0.01)
    with pytest.raises(EmulatorError, match=r"too large: the C\+\+ compiler did not end"):
        tools.compile_kernel(code)


def test_a_source_of_a_hundred_thousand_lines() -> None:
    source = (
        "// a line that says nothing\n" * 100_000 + 'extern "C" __global__ void f(float* y) {\n  y[threadIdx.x] = 1;\n}'
    )
    y = np.zeros(16, np.float32)
    (violation,) = emulator.compile(source).launch("f", 1, 32, (y,)).violations
    assert (violation.line, violation.source) == (100_002, "y[threadIdx.x] = 1;")


@pytest.mark.long
def test_a_thousand_kernels() -> None:
    source = "".join(f'extern "C" __global__ void f{i}(int* y) {{ y[threadIdx.x] = {i}; }}\n' for i in range(1000))
    module = emulator.compile(source)
    assert len(module.kernels) == 1000
    y = np.zeros(32, np.int32)
    module.launch("f617", 1, 32, (y,))
    assert (y == 617).all()


def test_read_only_arrays_are_not_written() -> None:
    source = 'extern "C" __global__ void f(const float* x, float* y) {\n  y[threadIdx.x] = x[threadIdx.x] + 1;\n}'
    module = emulator.compile(source)
    with mmap.mmap(-1, 4096, prot=mmap.PROT_READ) as area:  # a store would end the process
        x = np.frombuffer(area, np.float32)
        y = np.zeros(1024, np.float32)
        assert not module.launch("f", 1, 32, (x, y)).violations
        assert y[:32].tolist() == [1] * 32
        (violation,) = module.launch("f", 1, 32, (y, x)).violations
        assert (violation.kind, violation.line, violation.count) == ("out_of_bounds", 2, 32)
        assert "`y[0]`" in violation.message
        assert "read-only" in violation.message
        del x


def test_a_frame_larger_than_cuda_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    module = emulator.compile(
        'extern "C" __global__ void f(float* y, int n) { float a[4096]; for (int i = 0; i < n; i++) a[i] = i; y[0] = a[n / 2]; }'
    )
    y = np.zeros(1, np.float32)
    assert not module.launch("f", 1, 1, (y, 4000)).violations
    assert y[0] == 2000
    monkeypatch.setattr("kernelwright.sandbox.emulator.launch_sizes._MAX_FRAME", 8192)
    with pytest.raises(LaunchError, match="16384 bytes of local arrays"):
        module.launch("f", 1, 1, (y, 4000))
