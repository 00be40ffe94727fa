"""Submissions to robust-kbench: what is made of a `.cu` file, and that the static rules take it."""

from __future__ import annotations

import ast

import pytest
import torch
from foreign_tasks import FORWARD, FORWARD_CU, KERNELBENCH, write_robust

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.readers.robust_kbench import read_one
from kernelwright.errors import KernelError
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.kernel_file import read_kernel
from kernelwright.sandbox.submissions.robust_kbench import kernel_of
from kernelwright.verifier.static import analyse
from kernelwright.verifier.static.findings import Severity

BACKWARD_CU = FORWARD_CU.replace('"forward", &forward', '"backward", &forward')


@pytest.fixture
def tasks(tmp_path):
    write_robust(tmp_path / "scale")
    return read_one(tmp_path / "scale"), read_one(tmp_path / "scale" / "func_backward.py")


def run(source: str, **extension: object) -> dict[str, object]:
    """The names of the kernel's text, with an extension of Python functions in the place of the compiled one."""
    names: dict[str, object] = {}
    start, end = source.index("from torch.utils.cpp_extension"), source.index("EXTENSION = load_inline")
    rest = source[end:].partition("\n")[2]
    names["EXTENSION"] = type("Extension", (), {key: staticmethod(value) for key, value in extension.items()})
    exec(source[:start] + rest, names)
    return names


def test_model_new_is_the_tasks_model_around_the_extension(tasks):
    calls = []

    def forward(x, weight, factor):
        calls.append((x, weight, factor))
        return x

    names = run(kernel_of(tasks[0], FORWARD_CU), forward=forward)
    model = names["ModelNew"](128, start="random")  # type: ignore[operator]
    assert [name for name, _ in model.named_parameters()] == ["weight"]
    x = torch.ones(2, 128)
    assert model(x) is x
    assert calls == [(x, model.weight, 2.0)]
    assert "Model" not in names
    assert "forward_fn" not in names


def test_gradients_come_from_backward(tasks):
    seen = []

    def backward(grad_output, x, weight, factor):
        seen.append(factor)
        return grad_output * 5, weight * 7

    names = run(kernel_of(tasks[1], BACKWARD_CU), backward=backward)
    model = names["ModelNew"](4)  # type: ignore[operator]
    x = torch.ones(2, 4, requires_grad=True)
    model(x).sum().backward()
    assert x.grad is not None
    assert bool((x.grad == 5).all())
    assert bool((model.weight.grad == 7).all())
    assert seen == [2.0]


@pytest.mark.parametrize("which", [0, 1])
def test_the_static_rules_refuse_nothing_of_it(tasks, which):
    task = tasks[which]
    source = kernel_of(task, BACKWARD_CU if which else FORWARD_CU)
    found = analyse(Kernel(source, "somebody"), task)
    assert not [each for each in found.findings if each.severity is Severity.REJECT]


def test_the_file_is_taken_by_its_tasks_format(tasks, tmp_path):
    (tmp_path / "k.cu").write_text(FORWARD_CU)
    assert "class ModelNew(nn.Module)" in read_kernel(tmp_path / "k.cu", task=tasks[0]).source
    plain = task_from_source(KERNELBENCH.format(number=1), name="t")
    assert "weight_names" in read_kernel(tmp_path / "k.cu", task=plain).source
    (tmp_path / "k.py").write_text("class ModelNew: ...\n")
    assert read_kernel(tmp_path / "k.py", task=tasks[0]).source == "class ModelNew: ...\n"


def test_a_submission_that_exports_something_else_is_told(tasks):
    with pytest.raises(KernelError, match='exports "backward"'):
        kernel_of(tasks[1], FORWARD_CU)
    with pytest.raises(KernelError, match='exports "forward"'):
        kernel_of(tasks[0], BACKWARD_CU)


def test_a_model_without_fn_takes_no_such_submission(tmp_path):
    folder = write_robust(tmp_path / "scale", backward=False)
    (folder / "func_forward.py").write_text(FORWARD.replace(", fn=forward_fn", "").replace("fn(x", "forward_fn(x"))
    with pytest.raises(KernelError, match="takes no argument fn"):
        kernel_of(read_one(folder), FORWARD_CU)


def test_text_of_any_kind_survives(tmp_path):
    folder = write_robust(tmp_path / "scale", backward=False)
    text = FORWARD.replace("super(Model, self)", 'super(Model, self) if "é中" else super(Model, self)')
    (folder / "func_forward.py").write_text(text, encoding="utf-8")
    source = kernel_of(read_one(folder), FORWARD_CU + '// """ \\\n')
    assert ast.parse(source)
    assert 'super(ModelNew, self) if "é中" else super(ModelNew, self)' in source
