"""Graphs captured from modules: JSON, structures, state, and what can't be captured."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from builtin_modules import Calls, R
from torch import nn

from kernelwright.bench_tasks.graph import Graph, TensorMeta, decode_number, encode_number, refs
from kernelwright.sandbox.capture import LARGEST_CONSTANT, capture


def test_a_graph_survives_json() -> None:
    graph = capture(nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.LayerNorm(5)), (R(3, 4),))
    assert not graph.problem
    assert Graph.from_json(json.loads(json.dumps(graph.to_json(), allow_nan=False))) == graph
    assert [n.op for n in graph.nodes] == [
        "aten.linear.default", "aten.gelu.default", "aten.native_layer_norm.default", "getitem",
    ]  # fmt: skip
    assert graph.meta_of["linear"] == TensorMeta((3, 5), "float32", (5, 1))


def test_inputs_state_and_constants() -> None:
    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.b.weight = self.a.weight
            self.register_buffer("steps", torch.arange(4.0))
            self.register_buffer("hidden", torch.arange(4.0), persistent=False)
            self.big = torch.ones(LARGEST_CONSTANT + 1)

        def forward(self, x: torch.Tensor, k: int, flag: bool) -> Any:
            y = self.b(self.a(x)) + self.hidden + torch.tensor([1.0, float("inf"), 2.0, float("nan")])
            return {"y": y, "rest": [x * k, (self.big.sum(), None)]}

    graph = capture(Module(), (R(2, 4), 3, True))
    assert not graph.problem
    by_kind: dict[str, list[Any]] = {}
    for source in graph.inputs:
        by_kind.setdefault(source.kind, []).append(source)
    assert [(s.target, s.position) for s in by_kind["user"]] == [("x", 0)]
    assert [(s.target, s.value) for s in by_kind["scalar"]] == [("k", 3), ("flag", True)]
    assert {s.target for s in by_kind["parameter"]} == {"a.weight", "a.bias", "b.weight", "b.bias"}
    values = [s.value for s in by_kind["constant"]]
    assert [0.0, 1.0, 2.0, 3.0] in values
    assert [1.0, {"float": "inf"}, 2.0, {"float": "nan"}] in values
    assert sum(s.opaque for s in by_kind["constant"]) == 1
    state = {s.name: s for s in graph.state}
    assert state["b.weight"].same_as == "a.weight"
    assert not state["hidden"].persistent
    assert list(refs(graph.output)) == list(refs(graph.output["dict"]["y"])) + list(refs(graph.output["dict"]["rest"]))
    assert graph.output["dict"]["rest"]["list"][1]["tuple"][1] is None


def test_one_tensor_given_twice_stays_two_arguments() -> None:
    x = R(3, 3)
    graph = capture(Calls(lambda a, b: a + 2 * b), (x, x))
    assert [i.kind for i in graph.inputs] == ["user", "user"]
    assert {name for n in graph.nodes for name in refs(n.args)} >= {i.name for i in graph.inputs}


def test_nothing_is_changed() -> None:
    module, x = nn.BatchNorm1d(4), R(8, 4)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    y = x.clone()
    capture(module, (x,))
    assert torch.equal(x, y)
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert module.training


class _Mutates(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.add_(1)


class _Raises(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no such luck")


@pytest.mark.parametrize(
    ("module", "inputs", "said"),
    [
        (nn.BatchNorm1d(4), (R(8, 4),), "changes its buffer 'running_mean' while it runs"),
        (_Mutates(), (R(3),), "changes its argument"),
        (_Raises(), (R(3),), "RuntimeError: no such luck"),
        (Calls(lambda x: x if x.sum() > 0 else -x), (R(3),), "torch.export can't express this module"),
        (Calls(lambda pair: pair[0] + pair[1]), ((R(3), R(3)),), "nest"),
    ],
)
def test_what_cannot_be_captured_is_said(module: nn.Module, inputs: tuple[Any, ...], said: str) -> None:
    graph = capture(module, inputs)
    assert said in graph.problem
    assert graph.nodes == ()


@pytest.mark.parametrize("value", [0, 1.5, True, float("inf"), float("-inf"), -0.0])
def test_numbers_survive(value: float) -> None:
    assert repr(decode_number(json.loads(json.dumps(encode_number(value), allow_nan=False)))) == repr(value)
