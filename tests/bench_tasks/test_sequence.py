"""Operations in order, whatever a module is written like."""

from __future__ import annotations

import pytest

from kernelwright.bench_tasks.own import own_suite
from kernelwright.bench_tasks.sequence import operations_in_order

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"


def _of(forward: str, init: str = "pass", more: str = "") -> tuple[str, ...]:
    return operations_in_order(
        f"{HEAD}{more}\nclass Model(nn.Module):\n    def __init__(self):\n        super().__init__()\n        {init}\n"
        f"    def forward(self, x, y):\n        {forward}\n"
    )


@pytest.mark.parametrize(
    ("forward", "init", "more"),
    [
        ("return torch.softmax(F.linear(x, self.w) + y, dim=-1)", "self.w = nn.Parameter(torch.randn(3, 3))", ""),
        ("return (self.fc(x) + y).softmax(-1)", "self.fc = nn.Linear(3, 3)", ""),
        ("h = self.fc(x)\n        h += y\n        return self.act(h)", "self.fc, self.act = None, None\n        self.fc = nn.Linear(3, 3)\n        self.act = nn.Softmax(1)", ""),
        ("return close(self.fc(x) + y)", "self.fc = nn.Sequential(nn.Linear(3, 3))", "def close(v):\n    return F.softmax(v, 1)\n"),
        ("return self.last(self.fc(x), y)\n    def last(self, a, b):\n        return torch.softmax(a + b, 1)", "self.fc = nn.Linear(3, 3)", ""),
        ("def last(v):\n            return v.softmax(1)\n        return last(F.linear(x, self.w) + y)", "self.w = 1", ""),
    ],
)  # fmt: skip
def test_one_module_in_many_forms(forward: str, init: str, more: str) -> None:
    assert _of(forward, init, more) == ("linear", "add", "softmax")


def test_order_and_unusual_arguments_count() -> None:
    assert _of("return torch.exp(torch.sin(x))") == ("sin", "exp")
    assert _of("return torch.sin(torch.exp(x))") == ("exp", "sin")
    assert _of("return self.c(x)", "self.c = nn.Conv2d(3, 3, 3, groups=3)") == ("conv2d[groups]",)


def test_a_function_that_calls_itself_ends() -> None:
    more = "def f(v):\n    return f(torch.exp(v))\n"
    assert set(_of("return f(x)", more=more)) == {"exp"}


def test_no_module_has_none() -> None:
    assert operations_in_order("") == operations_in_order("def (") == operations_in_order("class Model: pass") == ()


def test_our_fusions_differ_from_each_other() -> None:
    found = [operations_in_order(each.task.source) for each in own_suite("fusion").tasks if "@" not in each.name]
    assert sum(not each for each in found) <= 2
    assert len(set(found)) >= 0.9 * len(found)
