"""Bare CUDA programs with their own main on the emulator."""

from __future__ import annotations

import secrets
import signal
from pathlib import Path

import pytest

from kernelwright.errors import BuildError, NotFoundError, UnsupportedError, WorkerTimeout
from kernelwright.sandbox.hostcode.program import ProgramResult, run_program
from kernelwright.sandbox.launch import LaunchOptions

WHOLE = r"""
#include <cstdio>
#include <cstdlib>
#include <vector>
#include <cuda_runtime.h>
#define CHECK(e) do { cudaError_t r = (e); if (r != cudaSuccess) { fprintf(stderr, "%s at line %d\n", cudaGetErrorString(r), __LINE__); exit(2); } } while (0)

__constant__ float scale[2];
__device__ int hits;

__global__ void saxpy(int n, float a, const float* x, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    y[i] = a * x[i] * scale[0] + y[i];
    atomicAdd(&hits, 1);
  }
}

int main(int argc, char** argv) {
  const int n = argc > 1 ? atoi(argv[1]) : 100;
  std::vector<float> host(n, 1.0f);
  float *x, *y, *managed, *pinned;
  CHECK(cudaMalloc(&x, n * sizeof(float)));
  CHECK(cudaMalloc((void**)&y, n * sizeof(float)));
  CHECK(cudaMallocManaged(&managed, 16));
  CHECK(cudaMallocHost(&pinned, 16));
  CHECK(cudaMemcpy(x, host.data(), n * sizeof(float), cudaMemcpyHostToDevice));
  CHECK(cudaMemset(y, 0, n * sizeof(float)));
  const float s[2] = {3, 4};
  CHECK(cudaMemcpyToSymbol(scale, s, sizeof s));
  cudaStream_t stream;
  cudaEvent_t start, stop;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaEventCreate(&start));
  CHECK(cudaEventCreate(&stop));
  CHECK(cudaEventRecord(start, stream));
  saxpy<<<(n + 255) / 256, 256, 0, stream>>>(n, 2.0f, x, y);
  CHECK(cudaGetLastError());
  CHECK(cudaEventRecord(stop, stream));
  CHECK(cudaEventSynchronize(stop));
  float milliseconds = -1;
  CHECK(cudaEventElapsedTime(&milliseconds, start, stop));
  CHECK(cudaMemcpyAsync(host.data(), y, n * sizeof(float), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  int counted;
  CHECK(cudaMemcpyFromSymbol(&counted, hits, sizeof(int)));
  cudaDeviceProp device;
  CHECK(cudaGetDeviceProperties(&device, 0));
  int blocks;
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, saxpy, 256, 0));
  printf("y=%g hits=%d sm=%d.%d x%d occupancy=%d elapsed=%d\n", host[n - 1], counted, device.major, device.minor,
         device.multiProcessorCount, blocks, milliseconds >= 0);
  int width = n;
  float factor = 1.0f;
  void* args[] = {&width, &factor, &x, &y};
  CHECK(cudaLaunchKernel((const void*)saxpy, dim3(1), dim3(32), args, 0, stream));
  CHECK(cudaFree(y));
  CHECK(cudaFree(managed));
  CHECK(cudaFreeHost(pinned));
  return 5;
}
"""


def test_a_whole_program(tmp_path: Path) -> None:
    path = tmp_path / "saxpy.cu"
    path.write_text(WHOLE)
    found = run_program(path, ["300"])
    assert found.stdout == "y=6 hits=300 sm=9.0 x132 occupancy=8 elapsed=1\n"
    assert found.stderr == ""
    assert found.exit_code == 5
    assert [(r.grid, r.block) for r in found.reports] == [((2, 1, 1), (256, 1, 1)), ((1, 1, 1), (32, 1, 1))]
    assert found.violations == ()
    assert found.leaks == (1200,)  # x, in bytes


def run(body: str, before: str = "", **keywords: object) -> ProgramResult:
    text = f"#include <cstdio>\n#include <cstdlib>\n#include <cuda_runtime.h>\n{before}\nint main() {{\n{body}\n}}\n"
    return run_program(text, **keywords)  # type: ignore[arg-type]


def test_error_codes_are_cudas() -> None:
    found = run(
        r"""
  float* p;
  auto say = [](cudaError_t e) { printf("%s\n", cudaGetErrorName(e)); };
  say(cudaMalloc(&p, 1ull << 50));
  say(cudaGetLastError());
  say(cudaGetLastError());
  cudaMalloc(&p, 64);
  char h[128];
  say(cudaMemcpy(p, h, 128, cudaMemcpyHostToDevice));
  say(cudaMemcpy(h, h, 64, cudaMemcpyDeviceToHost));
  say(cudaFree(p + 1));
  say(cudaSetDevice(3));
  k<<<1, 2000>>>(p);
  say(cudaPeekAtLastError());
  cudaGetLastError();
  k<<<1, 16, 60000>>>(p);
  say(cudaGetLastError());
  say(cudaFuncSetAttribute(k, cudaFuncAttributeMaxDynamicSharedMemorySize, 60000));
  k<<<1, 16, 60000>>>(p);
  say(cudaGetLastError());
  bad<<<1, 32>>>(p);
  say(cudaDeviceSynchronize() == cudaSuccess ? cudaGetLastError() : cudaErrorIllegalAddress);
  exit(cudaFree(p));
""",
        before="__global__ void k(float* p) { p[threadIdx.x] = 1; }\n__global__ void bad(float* p) { p[threadIdx.x] = 1; }",
    )
    assert found.stdout.split() == [
        "cudaErrorMemoryAllocation", "cudaErrorMemoryAllocation", "cudaSuccess", "cudaErrorInvalidValue",
        "cudaErrorInvalidValue", "cudaErrorInvalidValue", "cudaErrorInvalidDevice", "cudaErrorInvalidConfiguration",
        "cudaErrorInvalidValue", "cudaSuccess", "cudaSuccess", "cudaErrorIllegalAddress",
    ]  # fmt: skip
    assert found.exit_code == 700 % 256  # what a kernel did stays: cudaFree returns it too
    assert found.leaks == ()
    (violation,) = found.violations
    assert (violation.kind, violation.line, violation.count) == ("out_of_bounds", 5, 16)


def test_a_profile_is_of_the_programs_own_lines() -> None:
    found = run(
        "float* p; cudaMalloc(&p, 256); k<<<2, 32>>>(p); cudaFree(p);",
        before="__device__ float twice(float v) {\n  return __fadd_rn(v, v);\n}\n__global__ void k(float* p) {\n"
        "  p[blockIdx.x * 32 + threadIdx.x] = twice(expf(threadIdx.x));\n}",
        launch_options=LaunchOptions(profile_lines=True),
    )
    (report,) = found.reports
    lines = {line.line: line for line in report.lines}
    assert (lines[5].text, lines[5].called_from) == ("return __fadd_rn(v, v);", (8,))
    assert lines[5].flops == {"fp32": 64}
    assert lines[8].text.startswith("p[blockIdx.x")
    assert (lines[8].global_store_bytes, lines[8].classes["sfu"]) == (256, 2)
    assert max(lines) <= 9


def test_device_printf_is_the_programs_output() -> None:
    found = run(
        'puts("before"); k<<<1, 1>>>(7); puts("after");', '__global__ void k(int n) { printf("n is %d\\n", n); }'
    )
    assert found.stdout == "before\nn is 7\nafter\n"


def test_templates_headers_and_options(tmp_path: Path) -> None:
    (tmp_path / "ops.cuh").write_text(
        "#pragma once\ntemplate <int N> __global__ void add(int* p) { p[threadIdx.x] += N * STEP; }\n"
    )
    path = tmp_path / "main.cu"
    path.write_text(
        '#include "ops.cuh"\n#include <cstdio>\nint main() {\n  int* p;\n  cudaMallocManaged(&p, 8);\n  p[0] = 1; p[1] = 2;\n'
        '  add<3><<<1, 2>>>(p);\n  add<4><<<1, 1>>>(p);\n  printf("%d %d\\n", p[0], p[1]);\n  cudaFree(p);\n}\n'
    )
    found = run_program(path, options=["-DSTEP=10", "-std=c++20", "-O3", "-lm"], arch="sm_80")
    assert found.stdout == "71 32\n"
    assert found.exit_code == 0


def test_a_crash_is_told_by_its_signal() -> None:
    found = run("fflush(stdout); abort();")
    assert found.exit_code == -signal.SIGABRT
    assert found.leaks is None


def test_errors_in_the_source_are_at_its_lines() -> None:
    with pytest.raises(BuildError) as host:
        run("return undefined_thing;")
    assert host.value.line == 6
    with pytest.raises(BuildError) as device:
        run("k<<<1, 1>>>(nullptr);", "__global__ void k(int* p) { *p = undefined_thing; }")
    assert device.value.line == 4
    with pytest.raises(BuildError, match="no function main"):
        run_program("__global__ void k() {}\n")
    with pytest.raises(UnsupportedError, match="cuFFT"):
        run_program("#include <cufft.h>\nint main() {}\n")
    with pytest.raises(UnsupportedError, match="cudaGraphCreate"):
        run("cudaGraph_t g; return cudaGraphCreate(&g, 0);")


def test_a_program_that_does_not_end_is_ended() -> None:
    with pytest.raises(WorkerTimeout):
        run("for (volatile int i = 0;; ++i) {}", timeout=6.0)


def test_no_such_file() -> None:
    with pytest.raises(NotFoundError):
        run_program(Path("does-not-exist.cu"))


DEEP = r"""
#include <cstdio>
#include <cuda_runtime.h>
struct Shape { __device__ virtual int sides() const = 0; __device__ virtual ~Shape() {} };
struct Square : Shape { __device__ int sides() const override { return 4; } };
struct Star : Shape { int points; __device__ Star(int p) : points(p) {} __device__ int sides() const override { return 2 * points; } };
__device__ __noinline__ int sum(int n) { volatile int k = n; return k == 0 ? 0 : sum(n - 1) + k; }
__global__ void deep(int* out, int n) { out[threadIdx.x] = sum(n + threadIdx.x); }
__global__ void shapes(int* out) {
  Shape* all[2] = {new Square, new Star(5)};
  int* copy = (int*)alloca(2 * sizeof(int));
  for (int i = 0; i < 2; i++) copy[i] = all[i]->sides();
  out[threadIdx.x] = copy[0] * 100 + copy[1];
  for (Shape* s : all) delete s;
}
__global__ void greedy(int* out) { *out = 0; while (malloc(1 << 20)) ++*out; }
int main() {
  int* out;
  cudaMallocManaged(&out, 32 * sizeof(int));
  deep<<<1, 32>>>(out, 3000);
  printf("%s\n", cudaGetErrorName(cudaGetLastError()));
  cudaDeviceSetLimit(cudaLimitStackSize, 1 << 19);
  deep<<<1, 32>>>(out, 3000);
  printf("%s %d\n", cudaGetErrorName(cudaGetLastError()), out[31]);
  shapes<<<1, 32>>>(out);
  printf("%d\n", out[7]);
  size_t heap, stack;
  cudaDeviceSetLimit(cudaLimitMallocHeapSize, 20 << 20);
  cudaDeviceGetLimit(&heap, cudaLimitMallocHeapSize);
  cudaDeviceGetLimit(&stack, cudaLimitStackSize);
  greedy<<<1, 1>>>(out);
  printf("%d %zu %zu\n", *out, heap, stack);
  cudaFree(out);
}
"""


def test_recursion_virtual_functions_and_limits() -> None:
    found = run_program(DEEP)
    assert found.stdout.splitlines() == [
        "cudaErrorAssert",
        f"cudaErrorAssert {3031 * 3032 // 2}",
        "410",
        f"20 {20 << 20} {1 << 19}",
    ], found
    assert [v.kind for v in found.violations] == ["trap"]


STICKY = r"""
#include <cstdio>
#include <cuda_runtime.h>
__global__ void far(int* p) { p[threadIdx.x + 100000] = 1; }
__global__ void near(int* p) { p[threadIdx.x] = 7; }
int main() {
  int *p, h = 0;
  cudaMalloc(&p, 128);
  far<<<1, 32>>>(p);
  printf("%d", cudaDeviceSynchronize());
  near<<<1, 32>>>(p);
  printf(" %d", cudaMemcpy(&h, p, 4, cudaMemcpyDeviceToHost));
  printf(" %d", h);
  cudaGetLastError();
  printf(" %d", cudaGetLastError());
  cudaDeviceReset();
  printf(" %d %d", cudaGetLastError(), cudaFree(p));
}
"""


def test_a_kernels_failure_stays_until_the_device_is_reset() -> None:
    """700 is cudaErrorIllegalAddress; later kernels run all the same, so that they are checked too."""
    assert run_program(STICKY).stdout == "700 700 7 700 0 0"


CARRIED = r"""
#include <cstdio>
#include <cuda_runtime.h>
typedef float (*Function)(float);
__device__ float unused(float x) { return -x; }
__device__ float twice(float x) { return 2 * x; }
__device__ float square(float x) { return x * x; }
__device__ Function functions[2] = {twice, square};
template <typename T> __global__ void apply(T* y, Function f) { y[threadIdx.x] = f(y[threadIdx.x]); }
__global__ void other(double* y, Function f, Function g) { y[threadIdx.x] = f(g(y[threadIdx.x])); }
int main() {
  Function table[2];
  cudaMemcpyFromSymbol(table, functions, sizeof table);
  float* y;
  double* z;
  cudaMallocManaged(&y, 32 * sizeof(float));
  cudaMallocManaged(&z, 32 * sizeof(double));
  for (int i = 0; i < 32; i++) y[i] = z[i] = i;
  for (Function f : table) apply<float><<<1, 32>>>(y, f);
  apply<double><<<1, 32>>>(z, table[0]);
  other<<<1, 32>>>(z, table[1], table[0]);
  printf("%g %g\n", y[5], z[5]);
  cudaFree(y);
  cudaFree(z);
}
"""


def test_function_pointers_go_through_the_host() -> None:
    found = run_program(CARRIED)
    assert found.violations == ()
    assert found.stdout == "100 400\n"


def test_device_memory_that_nobody_wrote() -> None:
    """Copies, memsets and kernels write it; what is left is told when a kernel reads it."""
    before = """__global__ void twice(const int* x, int* y, int n) {
  int i = threadIdx.x;
  if (i < n) y[i] = 2 * x[i];  // READ
}"""
    body = """
  int *x, *y, *z, host[64] = {};
  cudaMalloc(&x, 256);
  cudaMalloc(&y, 256);
  cudaMalloc(&z, 256);
  cudaMemcpy(x, host, 128, cudaMemcpyHostToDevice);
  cudaMemset(x + 32, 0, 64);
  twice<<<1, 64>>>(x, y, 48);
  twice<<<1, 64>>>(y, z, 48);
  %s
  cudaFree(x);
  cudaFree(y);
  cudaFree(z);
"""
    clean = run(body % "", before)
    assert not [v for report in clean.reports for v in report.violations]
    found = run(body % "twice<<<1, 64>>>(x, y, 50);", before)
    (violation,) = [v for report in found.reports for v in report.violations]
    assert (violation.kind, violation.count) == ("uninitialised_read", 2)
    assert "READ" in violation.source
    assert "nothing has written it" in violation.message


WAITS = """
#include <cuda_runtime.h>
#include <sys/wait.h>
#include <unistd.h>
__global__ void f(int* p) { p[threadIdx.x] = NUMBER; }
int main() {
  int* p;
  cudaMalloc(&p, 128);
  f<<<1, 32>>>(p);
  int ended = 0;
  if (fork() == 0) _exit(0);
  while (wait(nullptr) > 0) ++ended;
  cudaFree(p);
  return ended;
}
"""


def test_a_program_that_waits_for_its_children_waits_for_its_own() -> None:
    number = secrets.randbelow(2**31)  # no cache has this kernel: it is compiled while the program runs
    assert run_program(WAITS, options=[f"-DNUMBER={number}"], timeout=60).exit_code == 1
