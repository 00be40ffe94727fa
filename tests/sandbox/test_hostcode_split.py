"""Preprocessing and splitting: two texts of one source, at the author's lines. No GPU, no emulator, no torch."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kernelwright.errors import BuildError, UnsupportedError
from kernelwright.sandbox.hostcode.declarations import parse
from kernelwright.sandbox.hostcode.device import device_texts
from kernelwright.sandbox.hostcode.host import host_text
from kernelwright.sandbox.hostcode.preprocess import Source, preprocess

COMPILER = shutil.which("g++") or "c++"


def expanded(text: str, arch: int | None = None, **keywords: object) -> str:
    return preprocess(Source(text, "kernel.cu", **keywords), COMPILER, cuda_arch=arch)  # type: ignore[arg-type]


def host(text: str, *, torch: bool = True) -> str:
    return host_text(parse(expanded(text)), '"unit"', torch=torch).text


def device(text: str) -> str:
    found = device_texts(parse(expanded(text, 900)))
    assert len(found) == 1
    return found[0].text


def lines_with(text: str, word: str) -> list[int]:
    return [number for number, line in enumerate(text.split("\n"), 1) if word in line]


def test_the_authors_macros_are_expanded_and_hidden_headers_kept() -> None:
    text = "#include <torch/extension.h>\n#define N 4\n#define K(name) __global__ void name##_k(float* x) { x[N] = 1; }\n\nK(add)\nint after;\n"
    found = expanded(text)
    assert "#pragma kernelwright_include <torch/extension.h>" in found
    assert "__global__ void add_k(float* x) { x[4] = 1; }" in found
    assert lines_with(found, "add_k") == [5]
    assert lines_with(found, "after") == [6]


def test_conditionals_are_decided_for_each_side() -> None:
    text = "#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900\nint device;\n#else\nint host;\n#endif\n#ifdef __CUDACC__\nint both;\n#endif\n"
    assert "device" in expanded(text, 900)
    assert "host" not in expanded(text, 900)
    assert "host" in expanded(text)
    assert lines_with(expanded(text), "both") == lines_with(expanded(text, 900), "both") == [7]


def test_the_authors_headers_are_inlined_once_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "a.cuh").write_text('#pragma once\n#include "b.h"\n#include <cstdio>\nint from_a;\n')
    (tmp_path / "b.h").write_text("#ifndef B\n#define B\nint from_b;\n#endif\n")
    found = expanded('#include "a.cuh"\n#include "b.h"\n#include "a.cuh"\nint mine;\n', folder=tmp_path)
    assert found.count("from_a") == found.count("from_b") == 1
    assert '#line 3 "a.cuh"\n#pragma kernelwright_include <cstdio>\nint from_a;' in found
    assert "#pragma kernelwright_include <cstdio>" in found
    before = found[: found.index("int mine")].rstrip("\n").split("\n")
    assert before[-1] == '#line 4 "kernel.cu"'


def test_a_broken_conditional_names_its_line() -> None:
    with pytest.raises(BuildError) as caught:
        expanded("int a;\n#error no way\n")
    assert caught.value.line == 2
    assert "no way" in caught.value.message


def test_a_launch_becomes_a_call_and_a_kernel_a_stub() -> None:
    found = host(
        "template <typename T, int N> __global__ void k(T* x, int n = 3) {\n  __syncthreads();\n}\n"
        "void f(float* x) {\n  k<float, (4 > 2)><<<dim3(1, 2), 64, sizeof(S<A<int>>)>>>(x, 1);\n}\n"
    )
    assert "__syncthreads" not in found
    assert "::kernelwright::enter<&k<T, N>, kernelwright_info>(x, n);" in found
    assert '{"unit", 0, {::kernelwright::spell_type<T>(), ::kernelwright::spell_value<N>()}}' in found
    assert "(::kernelwright::push(dim3(1, 2), 64, sizeof(S<A<int>>)), k<float, (4 > 2)>(x, 1));" in found
    assert lines_with(found, "push") == [5]


@pytest.mark.parametrize(
    ("launch", "call"),
    [
        ("k<<<1, 2>>>(a)", "(::kernelwright::push(1, 2), k(a))"),
        ("ns::inner::k<int><<<g, b, 0, s>>>(a, b)", "(::kernelwright::push(g, b, 0, s), ns::inner::k<int>(a, b))"),
        ("if (x) k<<<1, 2>>>(a); else k<<<3, 4>>>(b)",
         "if (x) (::kernelwright::push(1, 2), k(a)); else (::kernelwright::push(3, 4), k(b))"),
        ("(*p)<<<1, 2>>>(a)", "(::kernelwright::push(1, 2), (*p)(a))"),
        ("table[i]<<<1, 2>>>(a)", "(::kernelwright::push(1, 2), table[i](a))"),
        ("return k<<<1, 2>>>(f(a, b))", "return (::kernelwright::push(1, 2), k(f(a, b)))"),
    ],
)  # fmt: skip
def test_forms_of_launches(launch: str, call: str) -> None:
    assert f"void f() {{ {call}; }}" in host(f"void f() {{ {launch}; }}\n")


def test_cuda_devices_become_the_cpu_outside_of_strings() -> None:
    found = host(
        '#define CHECK(x) TORCH_CHECK(x.is_cuda(), #x " is_cuda")\n'
        'void f(at::Tensor x) { CHECK(x); g(torch::kCUDA, at::DeviceType::CUDA, "kCUDA", torch::Device("cuda:0")); x.cuda(); }\n'
    )
    assert 'TORCH_CHECK(x.is_cpu(), "x" " is_cuda")' in found
    assert 'g(torch::kCPU, at::DeviceType::CPU, "kCUDA", torch::Device("cpu"))' in found
    assert "x.cpu();" in found
    assert "x.cuda();" in host("void f(T x) { x.cuda(); }\n", torch=False)


def test_the_device_text_holds_what_kernels_need_at_its_lines() -> None:
    found = device(
        "#include <torch/extension.h>\n#include <cuda_fp16.h>\nconstexpr int N = 4;\nstruct P { int n; };\nint host_only(at::Tensor x) { return 1; }\n"
        "__device__ int unused() { return 0; }\n__device__ int helper(P p) { return p.n + N; }\nnamespace a {\n__global__ void k(P p, int* x) {\n  x[0] = helper(p);\n}\n}\n"
        "void launch() { a::k<<<1, 1>>>(P{}, nullptr); }\n"
    )
    for word, line in (("cuda_fp16", 2), ("N = 4", 3), ("struct P", 4), ("int helper", 7), ("__global__", 9)):
        assert lines_with(found, word) == [line]
    for word in ("torch", "host_only", "unused", "launch"):
        assert word not in found


def test_kernels_that_share_a_variable_share_a_text() -> None:
    text = (
        "__device__ int counter;\n__global__ void a() { counter = 1; }\n__global__ void b() { counter = 2; }\n"
        "__global__ void c(int* x) { *x = 1; }\n"
    )
    found = {t.kernels: t.variables for t in device_texts(parse(expanded(text, 900)))}
    assert found == {("a", "b"): ("counter",), ("c",): ()}


def test_a_functor_that_only_a_launch_names_is_kept_for_templates() -> None:
    found = device(
        "struct Op { __device__ int operator()(int a) const { return a; } };\nclass HostThing { at::Tensor t; };\n"
        "template <typename F> __global__ void k(int* x, F f) { *x = f(*x); }\nvoid f() { k<<<1, 1>>>(nullptr, Op()); }\n"
    )
    assert "struct Op" in found
    assert "HostThing" not in found


def test_device_functions_do_not_reach_the_host() -> None:
    found = host(
        "__device__ float f(float x) { return __shfl_sync(1, x, 0); }\n__host__ __device__ int both(int a) { return a; }\n"
        "struct S { int n; __device__ explicit S(int a) : n(a) { __syncthreads(); } __device__ int get() const { return n; } int host() { return n; } };\n"
        "void use(S s) { s.host(); both(1); }\n"
    )
    assert "__shfl_sync" not in found
    assert "__syncthreads" not in found
    assert "{ return a; }" in found
    assert "explicit S(int a) ;" in found
    assert "int host() { return n; }" in found


def test_main_is_renamed_and_still_returns() -> None:
    found = host_text(parse(expanded("int main(int argc, char** argv) { if (argc) return 3; }\n")), '"u"', torch=False)
    assert found.main_params == 2
    assert "int kernelwright_main(int argc, char** argv) { if (argc) return 3;  return 0; }" in found.text


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("void f() {\n  auto g = [=] __device__ (int i) { return i; };\n}\n", 2, "lambda"),
        ("\n__managed__ int x;\n", 2, "managed"),
        ("\n\n#include <cublas_v2.h>\n", 3, "cuBLAS"),
        ("\n#include <thrust/sort.h>\n", 2, "Thrust"),
        ("__managed__ int shared_by_both;\n", 1, "__managed__"),
        ("template <template <typename> class F>\n__global__ void k(F<int> f) {}\n", 1, "template template"),
        ("__global__ void k(int) {}\n", 1, "has no name"),
    ],
)
def test_what_is_refused_names_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        host(text)
    assert caught.value.line == line
    assert said in caught.value.message


def test_dynamic_parallelism_is_refused() -> None:
    with pytest.raises(UnsupportedError) as caught:
        device("__global__ void child() {}\n__global__ void k() {\n  child<<<1, 1>>>();\n}\n")
    assert caught.value.line == 3


def test_an_alias_of_pybind11_stays_on_the_host() -> None:
    text = (
        "#include <pybind11/pybind11.h>\nnamespace py = pybind11;\nusing Index = long;\n"
        "template <typename T> __global__ void k(T* x) { x[0] = 1; }\n"
        "void forward(py::tuple given) { k<float><<<1, 1>>>(nullptr); }\n"
    )
    found = device(text)
    assert "pybind11" not in found.replace("#pragma", "")
    assert "using Index = long;" in found
