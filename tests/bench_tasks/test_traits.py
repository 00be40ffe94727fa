"""Reading from a task's source, without running it, which operations, dtypes and shapes it has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.bench_tasks.traits import LIGHT, alike, shapes_alike, traits_of

_HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
NAMES = st.frozensets(st.sampled_from([*sorted(LIGHT)[:4], "softmax", "matmul", "gelu", "layernorm"]))


def module(expression: str, init: str = "pass") -> str:
    return (
        f"{_HEAD}class Model(nn.Module):\n    def __init__(self):\n        super().__init__()\n        {init}\n"
        f"    def forward(self, x):\n        return {expression}\n"
    )


@pytest.mark.parametrize(
    "source",
    [
        module("torch.softmax(x, -1)"),
        module("F.softmax(x, dim=-1)"),
        module("torch.nn.functional.softmax(x, dim=-1)"),
        module("x.softmax(-1)"),
        module("self.act(x)", "self.act = nn.Softmax(dim=-1)"),
        "from torch.nn.functional import softmax as s\n" + module("s(x, -1)"),
        module("x.view(3, -1).softmax(-1).contiguous()"),
    ],
)
def test_one_operation_in_any_spelling(source: str) -> None:
    assert traits_of(source).operations == {"softmax"}


@pytest.mark.parametrize(
    ("expression", "operations"),
    [
        ("x @ x.transpose(0, 1)", {"matmul"}),
        ("torch.bmm(x, x) + 1", {"matmul", "add"}),
        ("F.layer_norm(x, (4,))", {"layernorm"}),
        ("math.sqrt(4) * x", {"mul"}),
        ("x", set()),
    ],
)
def test_operations(expression: str, operations: set[str]) -> None:
    assert traits_of(module(expression)).operations == operations


def test_what_makes_inputs_is_no_operation() -> None:
    source = module("x.relu()") + "def get_inputs():\n    return [torch.randn(4, 8).abs().softmax(-1)]\n"
    assert traits_of(source).operations == {"relu"}


@pytest.mark.parametrize(
    ("inputs", "shapes"),
    [
        ("[torch.randn(N, M * 2)]", ((4, 16),)),
        ("[torch.rand((N, M)), torch.zeros(M)]", ((4, 8), (8,))),
        ("[torch.randint(0, 10, (N,))]", ((4,),)),
        ("[torch.randn(*SHAPE)]", ()),
        ("[torch.randn(N // 0, M)]", ()),
        ("make()", ()),
    ],
)
def test_shapes_where_they_are_written_in_numbers(inputs: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    source = f"{_HEAD}N, M = 4, 8\nSHAPE = (2, 3)\ndef get_inputs():\n    return {inputs}\n"
    assert traits_of(source).shapes == shapes


@pytest.mark.parametrize(
    ("source", "dtypes"),
    [
        (module("x"), {"float32"}),
        (module("x.half()"), {"float16"}),
        (module("x.to(torch.bfloat16)"), {"bfloat16"}),
        (module("x + F.float16"), {"float32"}),
    ],
)
def test_dtypes(source: str, dtypes: set[str]) -> None:
    assert traits_of(source).dtypes == dtypes


@pytest.mark.parametrize("source", ["", "class (", "\0", "(" * 5000, "x = 9" + "9" * 5000])
def test_what_is_no_module_has_no_operations(source: str) -> None:
    assert traits_of(source).operations == frozenset()


@given(NAMES, NAMES)
def test_alikeness_is_a_share(one: frozenset[str], other: frozenset[str]) -> None:
    value = alike(one, other)
    assert value == alike(other, one)
    assert 0 <= value <= 1
    assert (value == 1) == bool(one and one == other)
    assert (value == 0) == (not one & other)


def test_a_common_addition_says_less_than_a_common_softmax() -> None:
    asked = frozenset({"softmax", "add"})
    assert alike(asked, frozenset({"softmax"})) > alike(asked, frozenset({"add"}))


def test_shapes_nearer_in_size_are_more_alike() -> None:
    mine = ((1024, 1024),)
    near, far = shapes_alike(mine, ((1024, 2048),)), shapes_alike(mine, ((1 << 20, 1024),))
    assert shapes_alike(mine, mine) == 1 > near > far >= 0
    assert shapes_alike(mine, ((1 << 20,),)) == 0 == shapes_alike(mine, ())
