"""Attacks on real calls: which calls are planned, and that a shorter comparison never changes what is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from near_reference import NearReference
from planted_tasks import CLEAN, planted_task

from kernelwright.bench_tasks.suite import Scale
from kernelwright.bench_tasks.task import DEFAULT_WORKLOADS, Distribution, NumericPolicy, Task, Workload
from kernelwright.sandbox.reference import ReferenceResult
from kernelwright.verifier.correctness import Past, compare_outputs
from kernelwright.verifier.lint.attacks import attacks_on
from kernelwright.verifier.lint.rules import FEW_DRAWS, MOST_SEEDS
from kernelwright.verifier.lint.trial import _accepts, _end_of, plan

_SOURCE = CLEAN["linear"].source
_SIZED = (
    Workload("normal", Distribution.NORMAL),
    Workload("small", Distribution.NORMAL, sizes=(("ROWS", 3),)),
    Workload("many", Distribution.MIXED, seeds=20),
)


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> NearReference:
    task = planted_task(tmp_path_factory.mktemp("linear"), "linear", CLEAN["linear"])
    return NearReference(task.at(Scale.TWIN))


def test_its_own_inputs_come_first_then_moved_weights(linear: NearReference) -> None:
    calls = plan(Task("t", _SOURCE, workloads=DEFAULT_WORKLOADS), linear, has_weights=True)
    assert [c.given for c in calls[:3]] == [True, True, False]
    moved = [c.moved for c in calls[2:]]
    assert moved == sorted(moved, reverse=True)
    assert {c.workload.name for c in calls} == {w.name for w in DEFAULT_WORKLOADS if w.fits(linear.signature)}
    assert max(c.repeat for c in calls) == MOST_SEEDS - 1
    assert not any(c.moved for c in plan(Task("t", _SOURCE), linear, has_weights=False))


def test_its_own_inputs_are_tried_also_where_no_workload_has_them(linear: NearReference) -> None:
    calls = plan(Task("t", _SOURCE, workloads=_SIZED), linear, has_weights=True)
    assert [(c.given, c.counts) for c in calls[:FEW_DRAWS]] == [(True, False)] * FEW_DRAWS
    assert all(c.counts and not c.given for c in calls[FEW_DRAWS:])
    assert calls[-1].workload.sizes
    assert not calls[-1].moved


def test_attacks_cover_inputs_weights_and_axes(linear: NearReference) -> None:
    state = linear.init(0).state
    found = attacks_on(linear.signature, state=state, samples=False)
    subjects = {(a.rule, a.subject) for a in found if a.subject}
    assert subjects == {
        ("ignores-input", "input 0"),
        ("ignores-weight", "weight w"),
        ("ignores-axis", "axis 0 of input 0"),
        ("ignores-axis", "axis 1 of input 0"),
        ("constant-axis", "axis 0 of the output"),
        ("constant-axis", "axis 1 of the output"),
    }
    random = attacks_on(linear.signature, state=state, samples=True)
    assert {a.rule for a in random if a.subject} == {"ignores-input"}


@pytest.mark.parametrize("wrong", ["nothing", "first", "last", "all", "together"])
def test_the_end_of_a_large_result_decides_as_the_whole_does(wrong: str) -> None:
    exact = torch.randn(300, 128, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = ReferenceResult(exact.float(), exact, exact * (1 + 2e-7), (), ())
    value = exact.float()
    if wrong in ("first", "last"):
        value[0 if wrong == "first" else -1] += 1
    if wrong == "all":
        value = torch.zeros_like(value)
    if wrong == "together":  # each element is within what is allowed, all together are not
        value = (exact + 4e-6).float()
    whole, _share = compare_outputs(value, expected, NumericPolicy())
    normal = Workload("normal", Distribution.NORMAL)
    assert _end_of(value, expected) is not None
    assert _accepts(Task("t", "", workloads=()), value, expected, normal, Past()) is (whole is None)
    assert (whole is None) is (wrong == "nothing")
    if wrong == "together":
        assert whole is not None
        assert whole.index is None or "mean" in whole.what


def test_weights_are_as_they_were_after_an_attack(linear: NearReference, tmp_path: Path) -> None:
    inputs = linear.inputs(Distribution.NORMAL, 1)
    before = linear.answer(inputs, weights_seed=0, moved=False)
    zeros = linear.answer(inputs, weights_seed=0, moved=False, weights={"w": torch.zeros(96, 16)})
    assert float(zeros[0].abs().max()) == 0
    assert torch.equal(linear.answer(inputs, weights_seed=0, moved=False)[0], before[0])
