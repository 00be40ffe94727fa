"""Matrix products with their epilogues against torch: layouts, tiles, sizes drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from builtin_harness import Runner, check, coder_for
from builtin_modules import Calls, R, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

Case = Callable[[], tuple[nn.Module, tuple[Any, ...]]]

CASES: dict[str, tuple[Case, int]] = {
    "mm": (lambda: (Calls(torch.mm), (R(45, 33), R(33, 70))), 1),
    "b_transposed": (lambda: (Calls(lambda x, y: x @ y.t()), (R(45, 36), R(72, 36))), 1),
    "a_transposed": (lambda: (Calls(lambda a, b: a.t() @ b), (R(40, 24), R(40, 36))), 1),
    "bmm_epilogue": (lambda: (Calls(lambda a, b: torch.relu(torch.bmm(a, b) * 0.5 + 1)), (R(3, 17, 19), R(3, 19, 23))), 1),
    "broadcast_batch": (lambda: (Calls(torch.matmul), (R(2, 3, 18, 20), R(20, 24))), 1),
    "gelu_residual": (lambda: (Calls(lambda x, w, r: F.gelu(x @ w) + r), (R(20, 16), R(16, 24), R(20, 24))), 1),
    "addmm": (lambda: (Calls(lambda c, a, b: torch.addmm(c, a, b, beta=0.5, alpha=2.0)), (R(28), R(19, 21), R(21, 28))), 1),
    "matrix_vector": (lambda: (Calls(torch.mv), (R(40, 24), R(24))), 1),
    "dot": (lambda: (Calls(torch.dot), (R(777), R(777))), 1),
    "outer_product": (lambda: (Calls(torch.matmul), (R(5, 1), R(1, 7))), 1),
    "long_sum": (lambda: (nn.Linear(1500, 20), (R(18, 1500),)), 1),
    "linear_softmax": (lambda: (nn.Sequential(nn.Linear(20, 30), nn.Softmax(-1)), (R(8, 20),)), 2),
    "linear_sum": (lambda: (Calls(lambda x, w: F.linear(x, w).relu().sum(-1)), (R(3, 4, 10), R(12, 10))), 2),
    "einsum": (lambda: (Calls(lambda a, b: torch.einsum("bij,bkj->bik", a, b)), (R(2, 9, 12), R(2, 11, 12))), 1),
    "double": (lambda: (Calls(torch.mm), (R(30, 20).double(), R(20, 34).double())), 1),
    "half": (lambda: (nn.Sequential(nn.Linear(64, 48), nn.GELU()).half(), (R(33, 64).half(),)), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_products(runner: Runner, name: str) -> None:
    make, launches = CASES[name]
    module, inputs = seeded(make)
    coder = check(runner, module, inputs, distributions=("zeros",) if name == "half" else ("mixed", "constant"))
    assert not coder.stays_in_torch
    assert len(runner.reports) == launches


_KNOBS = ("tile_m", "tile_n", "tile_k", "thread_m", "thread_n", "stages", "slices")


@pytest.mark.parametrize(
    "values",
    [
        (32, 32, 8, 2, 2, 1, 1),
        (64, 64, 16, 4, 4, 2, 2),
        (128, 64, 16, 8, 4, 2, 1),
        (128, 128, 8, 8, 8, 1, 1),
        (16, 64, 32, 1, 8, 2, 4),
        (32, 32, 32, 4, 4, 1, 8),
    ],
)
def test_tiles(runner: Runner, values: tuple[int, ...]) -> None:
    module, inputs = nn.Sequential(nn.Linear(52, 141), nn.ReLU()), (R(135, 52),)
    coder = coder_for(module, inputs)
    knobs = {f"linear_relu_tiles.{k}": v for k, v in zip(_KNOBS, values, strict=True)}
    assert coder.changed(coder.defaults, knobs) == {**coder.defaults, **knobs}, "legal as it is"
    check(runner, module, inputs, distributions=(), parameters=knobs, coder=coder)


def test_a_gelu_between_two_layers_is_stored_by_the_first(runner: Runner) -> None:
    module = nn.Sequential(nn.Linear(32, 48), nn.GELU(), nn.Linear(48, 16))
    coder = coder_for(module, (R(20, 32),))
    assert {p.partition(".")[0] for p in coder.space} == {"linear_gelu_tiles", "linear_tiles"}


_SIZES = st.sampled_from([1, 2, 3, 5, 8, 16, 17, 31, 33, 64, 65, 100])


@settings(max_examples=6, deadline=None, derandomize=True)
@given(m=_SIZES, n=_SIZES, k=_SIZES, left=st.booleans(), right=st.booleans())
def test_any_size_and_layout(runner: Runner, m: int, n: int, k: int, left: bool, right: bool) -> None:
    def function(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        product = (a.t() if left else a) @ (b.t() if right else b)
        return torch.tanh(product + c)

    a, b = R(k, m) if left else R(m, k), R(n, k) if right else R(k, n)
    check(runner, Calls(function), (a, b, R(n)), distributions=("mixed",))


@pytest.mark.parametrize(("m", "n", "k"), [(0, 4, 5), (4, 0, 5), (4, 5, 0)])
def test_no_elements(runner: Runner, m: int, n: int, k: int) -> None:
    check(
        runner,
        nn.Linear(k, n) if n and k else Calls(torch.mm),
        (R(m, k),) if n and k else (R(m, k), R(k, n)),
        distributions=(),
    )


def test_products_of_integers(runner: Runner) -> None:
    """Exact, and no tile of floating point."""
    a, b = torch.randint(-128, 128, (9, 70), dtype=torch.int8), torch.randint(-128, 128, (70, 13), dtype=torch.int8)
    module = Calls(lambda a, b: (a.int() @ b.int(), torch.bmm(a.long()[None], b.long()[None])))
    coder = check(runner, module, (a, b), distributions=())
    assert not coder.stays_in_torch
