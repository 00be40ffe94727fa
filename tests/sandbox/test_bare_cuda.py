"""A bare `.cu` file as a kernel: what is made of it, and what is refused."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from kernelwright.errors import KernelError
from kernelwright.sandbox.bare_cuda import module_of
from kernelwright.sandbox.kernel_file import read_kernel
from kernelwright.sandbox.modules import copy_weights
from kernelwright.verifier.static import analyse

SOURCE = """// PYBIND11_MODULE(in_a_comment, m)
#include <torch/extension.h>
__global__ void twice(const float* x, float* y) { y[threadIdx.x] = 2 * x[threadIdx.x]; }
torch::Tensor forward(torch::Tensor x) {
    auto y = torch::empty_like(x);
    twice<<<1, 64>>>(x.data_ptr<float>(), y.data_ptr<float>());
    return y;
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("forward", &forward); }
"""


def strings_of(module: str) -> list[str]:
    return [n.value for n in ast.walk(ast.parse(module)) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


@pytest.mark.parametrize(
    "text",
    [
        SOURCE,
        SOURCE + "// \u00e9\u4e2d \\n {braces} %s\n",
        SOURCE + "// \"\"\" ''' \\",
        SOURCE.rstrip() + '//"',
        SOURCE.rstrip() + "\\",
        SOURCE + "\f\x00\x1b",
    ],
)
def test_the_text_is_in_the_module_as_it_is(text: str) -> None:
    assert text in strings_of(module_of(text))


def test_windows_line_ends_keep_their_lines() -> None:
    (text,) = [each for each in strings_of(module_of(SOURCE.replace("\n", "\r\n"))) if "__global__" in each]
    assert text == SOURCE


def test_a_file_is_read_as_such_a_module(tmp_path: Path) -> None:
    path = tmp_path / "kernel.CU"
    path.write_text(SOURCE)
    kernel = read_kernel(path)
    assert (kernel.source, kernel.path) == (module_of(SOURCE), str(path))
    report = analyse(kernel)
    assert (report.rejection, report.warnings, report.kernels, report.not_analysed) == (None, (), ("twice",), 0)


@pytest.mark.parametrize(("own", "name"), [("TORCH_EXTENSION_NAME", "bare_kernel"), ("mine", "mine")])
def test_the_extension_has_the_name_that_the_source_gives(own: str, name: str) -> None:
    made = module_of(SOURCE.replace("TORCH_EXTENSION_NAME", own))
    assert f'load_inline(name="{name}"' in made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has none"),
        ("\x00" * 64, "has none"),
        ("__global__ void k() {}", "has none"),
        (SOURCE.replace('"forward"', '"backward"'), "one without it"),
        (SOURCE + SOURCE, "has 2"),
        ("PYBIND11_MODULE(", "one without it"),
        ("PYBIND11_MODULE()", "one without it"),
        ('PYBIND11_MODULE("forward"', "names its module"),
        ('PYBIND11_MODULE(1"; import os; "', "one without it"),
        ('PYBIND11_MODULE(1, m) { "forward" }', "names its module '1'"),
        ("__global__ void k() {}\nint main() { k<<<1, 1>>>(); }", "a program with a main"),
        ("/* PYBIND11_MODULE(x, m) " + '"forward" */', "has none"),
    ],
)
def test_what_exports_no_forward_is_said(text: str, said: str) -> None:
    with pytest.raises(KernelError) as caught:
        module_of(text, path="k.cu")
    assert said in caught.value.message
    assert "forward" in caught.value.mend


def test_the_module_takes_the_weights_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    class Extension:
        def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tensors

    monkeypatch.setattr("torch.utils.cpp_extension.load_inline", lambda **_: Extension())
    found: dict[str, type[torch.nn.Module]] = {}
    exec(module_of(SOURCE), found)
    model = found["ModelNew"](50, bias=True)
    state = {"shift": torch.ones(3), "scale.weight": torch.zeros(2, 2)}
    own, matched = copy_weights(model, state)
    assert matched == ["shift", "scale.weight"]
    state["shift"].fill_(5)
    x = torch.full((1,), 7.0)
    assert [t.tolist() for t in model(x)] == [[7.0], [1.0, 1.0, 1.0], [[0.0, 0.0], [0.0, 0.0]]]
    own, matched = copy_weights(model, state)  # as a training step would
    assert model(x)[1].tolist() == [5.0, 5.0, 5.0]
    assert own["shift"] is model(x)[1]


def test_weights_that_a_module_makes_itself_stay_its_own() -> None:
    model = torch.nn.Linear(2, 1)
    before = model.weight.data_ptr()
    _own, matched = copy_weights(model, {"weight": torch.ones(1, 2), "other": torch.ones(1)})
    assert matched == ["weight"]
    assert model.weight.data_ptr() == before
    assert model.weight.tolist() == [[1.0, 1.0]]
