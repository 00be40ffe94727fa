"""What a kernel does wrong is found at the right line, kept from doing harm, and said in words."""

from __future__ import annotations

import numpy as np
import pytest

from kernelwright.errors import UnsupportedError
from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import LaunchReport, Violation

N = np.int32


def launch(source: str, grid: object, block: object, *args: object, shared: int = 0, **limits: object) -> LaunchReport:
    module = emulator.compile(source)
    return module.launch(
        "f", grid, block, args, shared=shared, memory=emulator.Memory(), limits=emulator.LaunchLimits(**limits)
    )


def only(report: LaunchReport) -> Violation:
    """The report's one violation; its line must be the one that says BUG."""
    assert len(report.violations) == 1, report.violations
    (violation,) = report.violations
    assert "BUG" in violation.source, violation
    return violation


def test_write_past_the_end_of_an_array() -> None:
    source = """// a comment
extern "C" __global__ void f(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  y[i] = x[i < n ? i : 0];  // BUG
}"""
    room = np.zeros(200, np.float32)
    report = launch(source, 2, 64, np.ones(100, np.float32), room[50:150], N(100))
    found = only(report)
    assert (found.kind, found.line, found.count) == ("out_of_bounds", 4, 28)
    assert (found.block, found.thread) == ((1, 0, 0), (36, 0, 0))
    assert "`y[100]`" in found.message
    assert "100 float32 elements" in found.message
    assert "if (i < n)" in found.hint
    # What lies outside is untouched, what lies inside is done.
    assert room[:50].sum() == 0
    assert room[150:].sum() == 0
    assert room[50:150].sum() == 100


def test_read_of_another_array_is_no_excuse() -> None:
    """An index into x that happens to reach y, which is live, is still out of bounds of x."""
    source = """extern "C" __global__ void f(const float* x, float* y) {
      y[threadIdx.x] = x[threadIdx.x + 64];  // BUG
    }"""
    both = np.ones(128, np.float32)
    found = only(launch(source, 1, 32, both[:64], both[64:]))
    assert found.kind == "out_of_bounds"
    assert "`x[64]`" in found.message
    assert (both[64:96] == 0).all()  # a dropped load gives 0


def test_negative_index() -> None:
    source = """extern "C" __global__ void f(int* y, int n) {
      y[(int)threadIdx.x - n] = 1;  // BUG
    }"""
    found = only(launch(source, 1, 32, np.zeros(32, np.int32), N(3)))
    assert (found.kind, found.count) == ("out_of_bounds", 3)
    assert "`y[-3]`" in found.message


def test_the_line_inside_a_device_function() -> None:
    source = """__device__ void put(float* p, int i) {
  p[i] = 1;  // BUG
}
extern "C" __global__ void f(float* y) {
  put(y, threadIdx.x);
}"""
    found = only(launch(source, 1, 64, np.zeros(60, np.float32)))
    assert found.line == 2
    assert "line 5" in found.message


def test_shared_array_overrun() -> None:
    source = """extern "C" __global__ void f(float* y) {
      __shared__ float tile[32]; __shared__ float other[32];
      tile[threadIdx.x] = 1; other[threadIdx.x] = 2; __syncthreads();
      y[threadIdx.x] = tile[threadIdx.x + 1] +  // BUG
                       other[threadIdx.x];
    }"""
    found = only(launch(source, 1, 32, np.zeros(32, np.float32)))
    assert found.kind == "out_of_bounds"
    assert "shared `tile[32]`" in found.message


def test_dynamic_shared_overrun() -> None:
    source = """extern "C" __global__ void f(float* y) { extern __shared__ float s[];
      s[threadIdx.x] = 1;  // BUG
      __syncthreads(); y[0] = s[0]; }"""
    assert not launch(source, 1, 64, np.zeros(1, np.float32), shared=256).violations
    found = only(launch(source, 1, 64, np.zeros(1, np.float32), shared=128))
    assert (found.kind, found.count) == ("out_of_bounds", 32)


def test_local_array_overrun() -> None:
    source = """extern "C" __global__ void f(int* y, int n) { int a[4];
      for (int i = 0; i < n; i++) a[i % 40] = i * y[i % 4];  // BUG
      y[threadIdx.x] = a[n % 4]; }"""
    report = launch(source, 1, 4, np.zeros(4, np.int32), N(12))
    assert report.violations[0].kind == "out_of_bounds"
    assert "local" in report.violations[0].message


def test_misaligned_vector_access() -> None:
    source = """extern "C" __global__ void f(const float* x, float4* y, int o) {
      y[threadIdx.x] = *(const float4*)(x + o + 4 * threadIdx.x);  // BUG
    }"""
    raw = np.zeros(300, np.float32)
    x = raw[-(raw.ctypes.data // 4) % 4 :][:256]
    out = np.zeros(300, np.float32)
    out = out[-(out.ctypes.data // 4) % 4 :][:256]
    assert not launch(source, 1, 32, x, out, N(4)).violations
    found = only(launch(source, 1, 32, x, out, N(1)))
    assert (found.kind, found.count) == ("misaligned", 32)
    assert "16" in found.message


def test_null_pointer() -> None:
    source = """extern "C" __global__ void f(float* y) {
      y[threadIdx.x] = 1;  // BUG
    }"""
    assert only(launch(source, 1, 32, None)).kind == "null_pointer"


def test_pointer_to_nothing() -> None:
    source = """extern "C" __global__ void f(float* y) {
      y[threadIdx.x] += 1;  // BUG
    }"""
    found = only(launch(source, 1, 32, 0x7F12345678))
    assert found.kind == "out_of_bounds"


def test_barrier_in_a_divergent_branch() -> None:
    source = """extern "C" __global__ void f(float* y) {
      if (threadIdx.x < 16) {
        y[threadIdx.x] = 1;
        __syncthreads();  // BUG
      } else
        y[threadIdx.x] = 2;
      y[threadIdx.x + 32] = 3;
    }"""
    y = np.zeros(64, np.float32)
    found = only(launch(source, 1, 32, y))
    assert found.kind == "divergent_barrier"
    assert "16, 17" in found.message
    assert y.tolist() == [1] * 16 + [2] * 16 + [3] * 32  # it goes on


def test_two_barriers_of_two_branches() -> None:
    source = """extern "C" __global__ void f(float* y) {
      if (threadIdx.x < 32) {
        y[threadIdx.x] = 1;
        __syncthreads();
      } else {
        y[threadIdx.x] = 2;
        __syncthreads();
      }
    }"""
    report = launch(source, 1, 64, np.zeros(64, np.float32))
    assert [v.kind for v in report.violations] == ["divergent_barrier"]
    assert "line 4" in report.violations[0].message
    assert "line 7" in report.violations[0].message


def test_return_before_a_barrier() -> None:
    source = """extern "C" __global__ void f(float* y, int n) { __shared__ float s[64];
      if (threadIdx.x >= n) return;
      s[threadIdx.x] = y[threadIdx.x];
      __syncthreads();  // BUG
      y[threadIdx.x] = s[threadIdx.x ^ 1]; }"""
    assert only(launch(source, 1, 64, np.zeros(64, np.float32), N(40))).kind == "exit_before_barrier"
    # Whole warps may leave: the barrier counts threads that are still there.
    assert not launch(source, 1, 64, np.zeros(64, np.float32), N(32)).violations


def test_lanes_that_a_shuffle_waits_for_in_vain() -> None:
    source = """extern "C" __global__ void f(int* y) { int v = threadIdx.x;
      if (threadIdx.x < 16) {
        v = __shfl_xor_sync(0xffffffff, v, 1);  // BUG
        y[threadIdx.x] = v;
      } else {
        y[threadIdx.x] = __shfl_xor_sync(0xffff0000, v, 3);
      }
      __syncthreads();
    }"""
    y = np.zeros(32, np.int32)
    found = only(launch(source, 1, 32, y))
    assert found.kind == "missing_lanes"
    assert "16, 17" in found.message
    assert y[16:].tolist() == [i ^ 3 for i in range(16, 32)]


def test_endless_loops_are_stopped() -> None:
    source = """extern "C" __global__ void f(volatile int* y) {
      while (y[0] == 0)
        y[1] += 1;  // BUG
    }"""
    report = launch(source, 4, 32, np.zeros(2, np.int32), max_warp_instructions=200_000)
    assert report.violations[0].kind == "endless_loop"
    assert report.violations[0].line in (2, 3)
    by_time = launch(source, 4, 32, np.zeros(2, np.int32), seconds=0.2)
    assert by_time.violations[0].kind == "endless_loop"


def test_a_huge_grid_ends_at_its_time_limit() -> None:
    source = 'extern "C" __global__ void f(float* y) { y[threadIdx.x] = 1; }'
    report = launch(source, (2**31 - 1, 60000), 32, np.zeros(32, np.float32), seconds=0.3)
    assert report.violations[0].kind == "endless_loop"
    assert report.counters.blocks > 0


def test_assertions_and_traps() -> None:
    source = """extern "C" __global__ void f(float* y) {
      assert(y[threadIdx.x] < 3.f);  // BUG
      y[threadIdx.x] = 9; }"""
    y = np.arange(4, dtype=np.float32)
    found = only(launch(source, 1, 4, y))
    assert found.kind == "trap"
    assert "y[threadIdx.x] < 3.f" in found.message
    trap = 'extern "C" __global__ void f(float* y) { if (y[0] == 0) __trap(); y[1] = 5; }'
    y = np.zeros(2, np.float32)
    assert launch(trap, 1, 1, y).violations[0].kind == "trap"
    assert y[1] == 0


def test_device_printf() -> None:
    source = r"""extern "C" __global__ void f(const double* x) {
      printf("%d:%5.2f %s %llu%% %c %x\n", threadIdx.x, x[threadIdx.x], "text", 1ull << 40, 'z', 255); }"""
    said: list[str] = []
    launch(source, 1, 2, np.array([1.5, -2.25]), on_print=said.append)
    assert "".join(said) == "0: 1.50 text 1099511627776% z ff\n1:-2.25 text 1099511627776% z ff\n"


def test_many_violations_stop_the_launch() -> None:
    source = 'extern "C" __global__ void f(float* y) { y[blockIdx.x * 256 + threadIdx.x + 1000] = 1; }'
    report = launch(source, 50_000, 256, np.zeros(10, np.float32), max_violations=5000)
    assert len(report.violations) == 1
    assert report.counters.blocks < 50_000


@pytest.mark.parametrize(
    ("opcode", "body"),
    [
        ("cp.async.bulk", 'asm volatile("cp.async.bulk.commit_group;");'),
        ("wgmma", 'asm volatile("wgmma.fence.sync.aligned;");'),
        ("setmaxnreg", 'asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");'),
    ],
)
def test_unknown_instructions_are_refused_before_running(opcode: str, body: str) -> None:
    source = f'extern "C" __global__ void f(int* y) {{\n y[0] = 1;\n {body}\n}}'
    with pytest.raises(UnsupportedError) as caught:
        emulator.compile(source, arch="sm_90a")
    assert opcode in str(caught.value)
    assert caught.value.line == 3


def test_one_refused_kernel_leaves_the_others() -> None:
    source = """extern "C" __global__ void bad(int* y) { asm volatile("wgmma.fence.sync.aligned;"); }
    extern "C" __global__ void f(int* y) { y[0] = 7; }"""
    module = emulator.compile(source, arch="sm_90a")
    y = np.zeros(1, np.int32)
    module.launch("f", 1, 1, (y,), memory=emulator.Memory())
    assert y[0] == 7
    with pytest.raises(UnsupportedError, match="wgmma"):
        module.launch("bad", 1, 1, (y,), memory=emulator.Memory())
