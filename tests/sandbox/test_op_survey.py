"""Operations that do nothing are told from those that do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from kernelwright.sandbox.idle_op import IdleOp
from kernelwright.sandbox.op_survey import Trace, idle_ops, trace

Forward = Callable[[torch.Tensor], object]


def _traces(forward: Forward, *, low: float = 0.0, count: int = 2) -> list[Trace]:
    found = []
    for seed in range(count):
        x = torch.rand(6, 8, generator=torch.Generator().manual_seed(seed)) + low
        found.append(trace(lambda x=x: forward(x), [x], __file__))
    return found


def _found(forward: Forward) -> list[tuple[str, str, bool]]:
    return [
        (op.op.split(".")[1], op.what, op.always)
        for op in idle_ops(_traces(forward), _traces(forward, low=-0.5, count=1))
    ]


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (lambda x: torch.exp(x).sum(1), []),
        (lambda x: torch.relu(x) * 2, [("relu", "identity", False)]),
        (lambda x: torch.relu(x.exp()), [("relu", "identity", True)]),
        (lambda x: x.exp().relu_(), [("relu_", "identity", True)]),
        (lambda x: x * 1.0 + x, [("mul", "identity", True)]),
        (lambda x: torch.softmax(x.sum(1, keepdim=True), 1), [("_softmax", "constant", True)]),
        (lambda x: x.mean(1, keepdim=True).mean(1), [("mean", "identity", True)]),
        (lambda x: (torch.sigmoid(x), x.exp())[1], [("sigmoid", "unused", True)]),
        (lambda x: x.clone().contiguous() + torch.zeros(8).add(1), []),
        (lambda x: (x > 5).float() + x, [("gt", "constant", True), ("add", "identity", True)]),
        (lambda x: x.add_(1).view(-1)[:3], []),
        (lambda x: x.exp() * float(x.sum()), []),
        (lambda x: torch.zeros(6, 8).copy_(x).mul_(2).sum(), []),
    ],
)  # fmt: skip
def test_what_does_nothing_is_found(forward: Forward, expected: list[tuple[str, str, bool]]) -> None:
    assert _found(forward) == expected


def test_a_write_through_a_view_is_needed() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        out = torch.empty(12, 8)
        out[:6] = x.exp()
        out[6:] = x.sin()
        return out

    assert _found(forward) == []


def test_what_asks_for_values_is_needed() -> None:
    found = _found(lambda x: x * 2 if bool((x.square() >= 0).all()) else x)
    assert [what for _op, what, _always in found] == ["constant"]  # the comparison: not a word of what it is made of


def test_lines_and_shapes_are_told() -> None:
    (found,) = idle_ops(_traces(lambda x: torch.abs(x) + torch.full((6, 8), 2.0).mul(x)), [])
    assert (found.op, found.shapes, found.what) == ("aten.abs.default", ((6, 8),), "identity")
    with open(__file__, encoding="utf-8") as file:
        assert "torch.abs(x)" in file.read().splitlines()[found.line - 1]
    assert IdleOp.from_json(found.to_json()) == found


def test_calls_that_run_other_operations_are_not_compared() -> None:
    traces = [*_traces(torch.relu, count=1), *_traces(torch.exp, count=1)]
    assert idle_ops(traces, []) == []


def test_what_is_read_is_known() -> None:
    x, used, unused = torch.randn(4), torch.randn(4), torch.randn(4)

    def forward() -> torch.Tensor:
        _ = unused * 2
        return x * used

    found = trace(forward, [x, used, unused], __file__)
    storages = [int(t.untyped_storage()._cdata) for t in (x, used, unused)]
    assert [storage in found.read for storage in storages] == [True, True, False]
