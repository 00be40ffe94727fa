"""`load_inline` and `load` on the emulator: a corpus of extensions against torch, and what goes wrong in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelwright.sandbox.cache import cache_root

HERE = Path(__file__).parent
CORPUS = sorted((HERE / "extensions").glob("*.py"))
REPRESENTATIVE = {
    "dispatch_axpby", "layer_norm_warp", "gated_cell_accessors", "overloaded_kernels",
}  # fmt: skip

Ask = Callable[[Path], dict[str, Any]]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Runs a module in one process for all tests of this file."""
    environment = os.environ | {"KERNELWRIGHT_CACHE": str(cache_root())}
    process = subprocess.Popen(
        [sys.executable, str(HERE.parent / "extension_runner.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def run(path: Path) -> dict[str, Any]:
        stdin.write(json.dumps({"path": str(path)}) + "\n")
        stdin.flush()
        line = stdout.readline()
        assert line, f"the runner died in {path.name}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    with process:
        yield run
        stdin.close()


def _cases() -> list[Any]:
    cases = []
    for path in CORPUS:
        marks: list[pytest.MarkDecorator | pytest.Mark] = [
            pytest.mark.extensions(representative=path.stem in REPRESENTATIVE)
        ]
        cases.append(pytest.param(path, id=path.stem, marks=marks))
    return cases


@pytest.mark.parametrize("path", _cases())
def test_extension_agrees_with_torch(path: Path, ask: Ask) -> None:
    found = ask(path)
    assert "error" not in found, found["error"]
    assert found["problems"] == []
    assert found["launches"] > 0


def test_the_corpus_is_whole() -> None:
    assert len(CORPUS) >= 50
    assert {path.stem for path in CORPUS} >= REPRESENTATIVE


TEMPLATE = """
import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

ops = load_inline({name!r}, {cpp!r}, {cuda!r}, functions=["f"], extra_cuda_cflags={flags!r})

class Model(nn.Module):
    def forward(self, x):
        return 2 * x

class ModelNew(nn.Module):
    def forward(self, x):
        return ops.f(x)

def get_inputs():
    return [torch.ones(100)]
"""
KERNEL = (
    "__global__ void k(const float* x, float* y, int n) {\n  int i = threadIdx.x;\n  if (i < n) y[i] = 2 * x[i];\n}\n"
)
HOST = (
    "torch::Tensor f(torch::Tensor x) {\n  auto y = torch::empty_like(x);\n"
    "  k<<<1, 128>>>(x.data_ptr<float>(), y.data_ptr<float>(), x.numel());\n  return y;\n}\n"
)
DECLARATION = "torch::Tensor f(torch::Tensor x);"


@pytest.fixture
def outcome(ask: Ask, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The answer for a small extension of its own."""

    def run(
        cuda: str | list[str] = KERNEL + HOST, cpp: str | list[str] = DECLARATION, flags: list[str] | None = None
    ) -> Any:
        path = tmp_path / "module.py"
        path.write_text(TEMPLATE.format(name="small", cpp=cpp, cuda=cuda, flags=flags))
        return ask(path)

    return run


def test_a_small_extension_works_and_is_cached(outcome: Callable[..., dict[str, Any]]) -> None:
    first, second = outcome(), outcome()
    assert first["problems"] == second["problems"] == []
    assert first["launches"] == second["launches"] == 1


def test_an_error_in_host_code_is_at_the_authors_line(outcome: Callable[..., dict[str, Any]]) -> None:
    found = outcome(KERNEL + HOST.replace("empty_like", "empty_lick"))
    assert (found["type"], found["line"]) == ("BuildError", 6)
    assert "empty_lick" in found["error"]


def test_an_error_in_device_code_is_at_the_authors_line(outcome: Callable[..., dict[str, Any]]) -> None:
    found = outcome("#include <vector>\n" + KERNEL.replace("2 * x[i]", "2 * z[i]") + HOST)
    assert (found["type"], found["line"]) == ("BuildError", 4)
    assert '"z"' in found["error"]


def test_of_several_strings_the_right_one_is_named(outcome: Callable[..., dict[str, Any]]) -> None:
    found = outcome(["// one\n// two\n", KERNEL.replace("y[i]", "q[i]"), HOST])
    assert (found["type"], found["line"]) == ("BuildError", 3)
    assert "cuda_sources[1]" in found["error"]


def test_a_violation_names_the_authors_line(outcome: Callable[..., dict[str, Any]]) -> None:
    found = outcome(KERNEL.replace("if (i < n) ", "") + HOST)
    assert len(found["problems"]) == 1  # one report for a kind and a line, with a count
    assert found["problems"][0].startswith("out_of_bounds at line 3: ")
    assert "`x[100]`" in found["problems"][0]
    assert found["sources"] == ["y[i] = 2 * x[i];"]


def test_a_launch_that_a_gpu_refuses_is_a_launch_error(outcome: Callable[..., dict[str, Any]]) -> None:
    found = outcome(KERNEL + HOST.replace("128", "4096"))
    assert found["type"] == "LaunchError"
    assert "4096" in found["error"]


@pytest.mark.extensions
def test_a_swallowed_refusal_still_shows(outcome: Callable[..., dict[str, Any]]) -> None:
    host = HOST.replace("  k<<<", "  try { k<<<").replace("x.numel());", "x.numel()); } catch (...) {}")
    assert outcome(KERNEL + host.replace("128", "4096"))["type"] == "LaunchError"


@pytest.mark.extensions
def test_too_much_dynamic_shared_memory_needs_the_attribute(outcome: Callable[..., dict[str, Any]]) -> None:
    found = outcome(KERNEL + HOST.replace("<<<1, 128>>>", "<<<1, 128, 50000>>>"))
    assert found["type"] == "LaunchError"
    assert "cudaFuncSetAttribute" in found["error"]


@pytest.mark.extensions
def test_torch_check_is_a_runtime_error_with_its_message(outcome: Callable[..., dict[str, Any]]) -> None:
    found = outcome(KERNEL + HOST.replace("{\n  auto", '{\n  TORCH_CHECK(x.dim() == 7, "dim is ", x.dim());\n  auto'))
    assert found["type"] == "RuntimeError"
    assert "dim is 1" in found["error"]


def test_a_missing_library_is_unsupported(outcome: Callable[..., dict[str, Any]]) -> None:
    found = outcome("#include <cublas_v2.h>\n" + KERNEL + HOST)
    assert (found["type"], found["line"]) == ("UnsupportedError", 1)


@pytest.mark.extensions
def test_a_missing_cuda_function_is_unsupported(outcome: Callable[..., dict[str, Any]]) -> None:
    found = outcome(KERNEL + HOST.replace("  return y;", "  cudaGraph_t g; cudaGraphCreate(&g, 0);\n  return y;"))
    assert found["type"] == "UnsupportedError"
    assert "cudaGraphCreate" in found["error"]


@pytest.mark.extensions
def test_what_is_declared_and_not_defined_is_named(outcome: Callable[..., dict[str, Any]]) -> None:
    found = outcome("int missing(int a);\n" + KERNEL + HOST.replace("x.numel());", "missing(x.numel()));"))
    assert found["type"] == "BuildError"
    assert "missing(int)" in found["error"]


def test_a_function_that_cpp_sources_do_not_declare(outcome: Callable[..., dict[str, Any]]) -> None:
    found = outcome(cpp="")
    assert found["type"] == "BuildError"
    assert "does not declare" in found["error"]


def test_an_unknown_compile_flag_is_refused_at_once(outcome: Callable[..., dict[str, Any]]) -> None:
    found = outcome(flags=["--make-it-fast"])
    assert found["type"] == "BuildError"
    assert "--make-it-fast" in found["error"]


@pytest.mark.extensions
def test_definitions_in_the_cpp_source_are_compiled_too(outcome: Callable[..., dict[str, Any]]) -> None:
    cuda = KERNEL + HOST.replace("torch::Tensor f(", "torch::Tensor f_cuda(")
    cpp = "torch::Tensor f_cuda(torch::Tensor x);\ntorch::Tensor f(torch::Tensor x) { TORCH_CHECK(x.is_cuda()); return f_cuda(x); }\n"
    assert outcome(cuda, cpp)["problems"] == []
    found = outcome(cuda, cpp.replace("return f_cuda", "return g_cuda"))
    assert (found["type"], found["line"]) == ("BuildError", 2)
