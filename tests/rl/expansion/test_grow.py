"""Grown graphs: they run, they are what was asked for, and the seed makes them again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelwright.bench_tasks.constants import constants_of
from kernelwright.bench_tasks.suite import Scale
from kernelwright.rl.expansion.grow import Expanded, Node, grow
from kernelwright.rl.expansion.ops import OPS, op_named
from kernelwright.rl.expansion.source import source_of, suite_task
from kernelwright.sandbox.capture import capture

seeds = st.integers(0, 10**6).map(str)


def _module(graph: Expanded) -> tuple[torch.nn.Module, list[torch.Tensor], dict[str, Any]]:
    names: dict[str, Any] = {}
    exec(compile(suite_task(graph).at(Scale.TWIN).source, "<grown>", "exec"), names)
    torch.manual_seed(0)
    return names["Model"](), names["get_inputs"](), names


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(2, 16))
def test_every_module_runs_and_stays_finite(seed: str, most: int) -> None:
    graph = grow(seed, most)
    module, inputs, _ = _module(graph)
    with torch.no_grad():
        for factor in (1.0, 1e-3) if graph.dtype == "float16" else (1.0, 100.0, 1e-3):
            out = module(*(each * factor for each in inputs))
            assert torch.isfinite(out).all()
            assert out.dtype is getattr(torch, graph.dtype)
    rows = dict(graph.twin)["ROWS"]
    last = graph.widths[-1]
    assert out.shape == (rows, 1 if last == "1" else dict(graph.twin)[last])


@settings(deadline=None, max_examples=12)
@given(seeds, st.integers(2, 12))
def test_the_graph_has_the_operations(seed: str, most: int) -> None:
    graph = grow(seed, most)
    module, inputs, _ = _module(graph)
    captured = capture(module, tuple(inputs))
    assert not captured.problem
    # as exported: the captured graph is decomposed further
    exported = torch.export.export(module, tuple(inputs), strict=False).graph.nodes
    found = Counter(".".join(str(node.target).split(".")[:2]) for node in exported if node.op == "call_function")
    wanted = Counter(op_named(name).aten for name in graph.ops)
    assert not wanted - found, (wanted, found)
    assert {i.name for i in captured.inputs if i.kind == "user"} == set("xyz"[: graph.inputs])


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(2, 24))
def test_every_value_counts_for_the_result(seed: str, most: int) -> None:
    graph = grow(seed, most)
    assert 2 <= len(graph.nodes) <= most
    used = {operand for node in graph.nodes for operand in node.operands}
    assert used == set(range(graph.inputs + len(graph.nodes) - 1))
    assert all(operand < graph.inputs + place for place, node in enumerate(graph.nodes) for operand in node.operands)


@given(seeds)
def test_the_seed_makes_it_again(seed: str) -> None:
    one, other = grow(seed, 8), grow(seed, 8)
    assert one == other
    assert source_of(one) == source_of(other)
    assert suite_task(one).task.id == suite_task(other).task.id


def test_what_a_seed_makes_does_not_change() -> None:
    """Data sets are named by their seed: a change here is a change of all of them."""
    assert [grow(f"0/{number}", 8).hash for number in range(3)] == EXPECTED


EXPECTED = ["1d5a725201dfd392", "1754dce2b52d2f6e", "0f42f88a97107f1f"]


def test_seeds_differ() -> None:
    graphs = [grow(f"{seed}/0", 8) for seed in range(200)]
    assert len({graph.hash for graph in graphs}) >= 190
    assert {op for graph in graphs for op in graph.ops} >= {op.name for op in OPS if op.share >= 0.5}
    assert {graph.dtype for graph in graphs} == {"float32", "float16"}


def test_the_hash_knows_what_is_computed() -> None:
    def of(*nodes: tuple[str, *tuple[int, ...]], inputs: int = 2, dtype: str = "float32", rows: int = 8) -> str:
        made = tuple(Node(name, tuple(operands)) for name, *operands in nodes)
        return Expanded(inputs, made, dtype, (("ROWS", rows), ("COLS", 8)), (("ROWS", 2), ("COLS", 3))).hash

    one = of(("relu", 0), ("tanh", 1), ("add", 2, 3))
    assert one == of(("relu", 0), ("tanh", 1), ("add", 3, 2), rows=99)  # sizes, the order of a sum
    assert one == of(("tanh", 0), ("relu", 1), ("add", 3, 2))  # which input is called what, the order of nodes
    assert one != of(("relu", 0), ("tanh", 1), ("sub", 2, 3))
    assert of(("sub", 0, 1), ("relu", 2)) == of(("sub", 1, 0), ("relu", 2))
    assert of(("relu", 0), ("sub", 2, 1)) != of(("relu", 0), ("sub", 1, 2))
    assert one != of(("relu", 0), ("tanh", 0), ("add", 1, 2), inputs=1)
    assert one != of(("relu", 0), ("tanh", 1), ("add", 2, 3), dtype="float16")


def test_a_file_reads_as_one_of_ours() -> None:
    graph = next(g for g in (grow(f"7/{n}", 8) for n in range(3000)) if "linear" in g.ops and g.dtype == "float16")
    source = source_of(graph)
    constants = constants_of(source)
    assert constants["TWIN"] == dict(graph.twin)
    assert constants["ORIGIN"] == "kernelwright dataset expand"
    assert constants["FAMILY"] == "matmul"
    assert "'FAMILY'" not in source
    module, _, _ = _module(graph)
    assert {p.dtype for p in module.parameters()} == {torch.float16}


def test_a_graph_of_one_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="two operations"):
        grow("0", 1)
