"""CUDA C++ to PTX and ptxas figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelwright.errors import BuildError
from kernelwright.sandbox.build import _HOST_NAMES, build_cuda, normalise_options
from kernelwright.sandbox.cache import cache_folder, trim_cache

ADD = """extern "C" __global__ void add(const float* a, float* b, int n) {
  __shared__ float s[64];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  s[threadIdx.x & 63] = a[i];
  __syncthreads();
  if (i < n) b[i] = s[(threadIdx.x + 1) & 63];
}"""


def test_ptx_and_resources(tmp_path: Path) -> None:
    build = build_cuda(ADD, cache_dir=tmp_path)
    assert ".visible .entry add(" in build.ptx
    assert ".target sm_90" in build.ptx
    assert ".loc" in build.ptx
    figures = build.resources["add"]
    assert 4 <= figures.registers <= 40
    assert (figures.static_shared, figures.spill_stores, figures.barriers, figures.arch) == (256, 0, 1, "sm_90")
    assert not build.cached


def test_spills_and_stack_are_read_from_ptxas(tmp_path: Path) -> None:
    source = """extern "C" __global__ void spill(const float* x, float* y) { float v[100];
      #pragma unroll
      for (int i = 0; i < 100; i++) v[i] = x[i * threadIdx.x];
      #pragma unroll
      for (int i = 0; i < 100; i++) y[i] = v[i] * v[99 - i] + v[(i * 7) % 100]; }"""
    figures = build_cuda(source, ["--maxrregcount=32"], cache_dir=tmp_path).resources["spill"]
    assert figures.registers <= 32
    assert figures.spill_stores > 0
    assert figures.spill_loads > 0
    assert figures.stack > 0


def test_second_build_comes_from_the_cache(tmp_path: Path) -> None:
    first = build_cuda(ADD, cache_dir=tmp_path)
    second = build_cuda(ADD, cache_dir=tmp_path)
    assert second.cached
    assert (second.ptx, second.resources, second.arch) == (first.ptx, first.resources, first.arch)
    assert not build_cuda(ADD, ["-DX=1"], cache_dir=tmp_path).cached
    assert not build_cuda(ADD, arch="sm_80", cache_dir=tmp_path).cached
    assert not build_cuda(ADD + "\n", cache_dir=tmp_path).cached


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"ptx": 1}', b"\xff\xfe\x00"])
def test_damaged_entries_are_made_anew(tmp_path: Path, damage: bytes) -> None:
    first = build_cuda(ADD, cache_dir=tmp_path)
    (entry,) = tmp_path.glob("*.json")
    entry.write_bytes(damage)
    again = build_cuda(ADD, cache_dir=tmp_path)
    assert not again.cached
    assert again.ptx == first.ptx
    assert build_cuda(ADD, cache_dir=tmp_path).cached


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert build_cuda(ADD, cache_dir=blocked / "cache").ptx


def test_the_first_error_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        build_cuda(
            "__global__ void f(int* p) {\n  int a = 1;\n  *p = a + undefined_name;\n  *p = other;\n}",
            cache_dir=tmp_path,
        )
    error = caught.value
    assert error.line == 3
    assert "undefined_name" in error.message
    assert "other" in error.log
    assert not list(tmp_path.iterdir())


def test_errors_without_a_line_in_the_source(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="gpu-architecture"):
        build_cuda(ADD, arch="sm_12", cache_dir=tmp_path)
    with pytest.raises(BuildError, match="not of the form"):
        build_cuda(ADD, arch="hopper", cache_dir=tmp_path)
    with pytest.raises(BuildError) as caught:
        build_cuda("#include <no_such_header.h>\n" + ADD, cache_dir=tmp_path)
    assert caught.value.line == 1
    with pytest.raises(BuildError, match="NUL"):
        build_cuda("int a;\0", cache_dir=tmp_path)


def test_warnings_are_kept(tmp_path: Path) -> None:
    source = 'extern "C" __global__ void f(int* p) { int unused = 3; *p = 1; }'
    build = build_cuda(source, cache_dir=tmp_path)
    assert "unused" in build.log
    assert build_cuda(source, cache_dir=tmp_path).log == build.log


def test_name_expressions_give_mangled_names(tmp_path: Path) -> None:
    source = "template <typename T, int N> __global__ void scale(T* x) { x[threadIdx.x] *= N; }"
    build = build_cuda(source, name_expressions=["scale<float, 2>", "scale<int, 3>"], cache_dir=tmp_path)
    assert set(build.lowered_names) == {"scale<float, 2>", "scale<int, 3>"}
    assert set(build.lowered_names.values()) == set(build.resources)
    with pytest.raises(BuildError):
        build_cuda(source, name_expressions=["nothing<float>"], cache_dir=tmp_path)


def test_cuda_headers_are_found(tmp_path: Path) -> None:
    source = """#include <cuda_fp16.h>
    #include <cuda_bf16.h>
    #include <math_constants.h>
    #include <mma.h>
    #include <cooperative_groups.h>
    #include <cuda/std/limits>
    extern "C" __global__ void f(__half* x) { x[0] = __float2half(CUDART_PI_F * cuda::std::numeric_limits<float>::epsilon()); }"""
    assert "f" in build_cuda(source, cache_dir=tmp_path).resources


@pytest.mark.parametrize("name", _HOST_NAMES)
def test_a_name_of_the_hosts_headers_comes_with_what_to_write(tmp_path: Path, name: str) -> None:
    source = 'extern "C" __global__ void f(double* x) { x[0] = (double)(NAME); }'
    if name.endswith("_t"):
        source = source.replace("(NAME)", "((NAME)x[1])")
    with pytest.raises(BuildError, match="is undefined") as caught:
        build_cuda(source.replace("NAME", name), cache_dir=tmp_path)
    assert caught.value.mend == f"NVRTC has none of the host's headers: for {name} write {_HOST_NAMES[name]}."
    for written in _HOST_NAMES[name].split(", or " if "#include" in _HOST_NAMES[name] else " or "):
        value, _, header = written.partition(" after ")
        build_cuda(f"{header}\n" + source.replace("NAME", value), cache_dir=tmp_path)


@pytest.mark.parametrize("header", ["math.h", "float.h", "limits.h", "cfloat", "cmath"])
def test_a_header_of_the_host_is_to_be_left_out(tmp_path: Path, header: str) -> None:
    with pytest.raises(BuildError) as caught:
        build_cuda(f"#include <{header}>\n{ADD}", cache_dir=tmp_path)
    assert f"leave #include <{header}> out" in caught.value.mend


@pytest.mark.parametrize("source", ["int x = INFINITYX;", '#include "mine.h"', "int x = ;", "int x = cmath;"])
def test_other_errors_come_without_that(tmp_path: Path, source: str) -> None:
    with pytest.raises(BuildError) as caught:
        build_cuda(source, cache_dir=tmp_path)
    assert caught.value.mend == ""


def test_options_as_people_write_them() -> None:
    given = [
        "-O3",
        "--expt-relaxed-constexpr",
        "-arch=sm_80",
        "-gencode",
        "arch=compute_80,code=sm_80",
        "-Xptxas",
        "-v",
    ]
    given += [
        "-std=c++20",
        "-I",
        "/include",
        "-DA=1",
        "-D",
        "B",
        "--use_fast_math",
        "-lineinfo",
        "-Wall",
        "-Xcompiler",
        "-fPIC",
    ]
    assert normalise_options(given) == ["--std=c++20", "-I/include", "-DA=1", "-DB", "--use_fast_math"]
    assert normalise_options(["--std=c++14", "--fmad=false", "-maxrregcount", "32"]) == [
        "--std=c++14",
        "--fmad=false",
        "--maxrregcount=32",
    ]
    assert normalise_options([]) == ["--std=c++17"]


@pytest.mark.parametrize("option", ["--no-such-option", "-lcublas", "file.cu"])
def test_unknown_options_are_named(option: str) -> None:
    with pytest.raises(BuildError) as caught:
        normalise_options(["-O3", option])
    assert repr(option) in caught.value.message


def test_an_option_without_its_value() -> None:
    with pytest.raises(BuildError, match="needs a value"):
        normalise_options(["-D"])


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERNELWRIGHT_CACHE", str(tmp_path))
    assert cache_folder("build") == tmp_path / "build"
    monkeypatch.delenv("KERNELWRIGHT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("build").is_relative_to(tmp_path) or cache_folder("build").parts[-2:] == (
        "kernelwright",
        "build",
    )


def test_the_oldest_entries_go_first(tmp_path: Path) -> None:
    import os

    for i in range(5):
        path = tmp_path / f"{i}.json"
        path.write_bytes(b"x" * 100)
        os.utime(path, (1000 + i, 1000 + i))
    trim_cache(tmp_path, 250)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["3.json", "4.json"]
    trim_cache(tmp_path / "missing", 1)
