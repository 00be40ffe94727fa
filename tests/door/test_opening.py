"""Where a module changes its inputs: the line that the message names."""

from __future__ import annotations

import pytest

from kernelwright.opening import in_place_line

MODEL = """\
import torch
from torch import nn
import torch.nn.functional as F


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU(inplace={flag})

    def forward(self, x, bias=None):
        y = torch.exp(x)
{body}
        return self.act(y)
"""


def _line(body: str, flag: str = "False") -> int | None:
    indented = "\n".join(" " * 8 + line for line in body.splitlines())
    return in_place_line(MODEL.format(body=indented, flag=flag))


@pytest.mark.parametrize(
    ("body", "line"),
    [
        pytest.param("x += 1", 13, id="augmented"),
        pytest.param("x[0] = 1", 13, id="item"),
        pytest.param("bias[0] *= 2", 13, id="item-of-the-second-argument"),
        pytest.param("x.add_(1)", 13, id="method"),
        pytest.param("y = x.T.mul_(2)", 13, id="method-of-a-view"),
        pytest.param("F.relu_(x)", 13, id="function"),
        pytest.param("torch.exp(y, out=x)", 13, id="out"),
        pytest.param("F.relu(x, inplace=True)", 13, id="inplace-function"),
        pytest.param("z = x.view(-1)\nz.zero_()", 14, id="name-of-a-view"),
        pytest.param("if y.dim() > 1:\n    with torch.no_grad():\n        x.zero_()", 15, id="inside-blocks"),
        pytest.param("for i in range(3):\n    y += 1\nx -= y", 15, id="after-a-loop"),
    ],
)
def test_the_line_that_changes_an_argument(body: str, line: int) -> None:
    assert _line(body) == line


@pytest.mark.parametrize(
    "body", ["y += 1", "y.add_(1)", "x = x.clone()\nx += 1", "torch.exp(x, out=y)", "x.__len__()", "x == 1"]
)
def test_what_changes_no_argument_is_not_named(body: str) -> None:
    assert _line(body) is None


def test_an_inplace_layer_is_named_when_nothing_else_is() -> None:
    assert _line("y = x", flag="True") == 9
    assert _line("x += 1", flag="True") == 13


def test_a_file_whose_model_is_a_function() -> None:
    assert in_place_line("def Model():\n    return None\n") is None
