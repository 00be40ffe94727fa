"""Shrinking: planted bugs are reduced to the element that shows them, and nothing that happens meanwhile does harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from evidence_kernels import COLUMNS, DEVICE, H200, LIMITS, ROWS, TASK, kernel

from kernelwright.errors import TaskError
from kernelwright.sandbox.candidate import CandidateFailure
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.correctness import Mismatch
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Verdict
from kernelwright.verifier.shrink import Shrunk, shrink

Function = Callable[..., torch.Tensor]


def differ(function: Function, right: Function, inputs: list[Any]) -> Mismatch | None:
    """How two functions differ, bit by bit, on these inputs."""
    got, expected = function(*inputs), right(*inputs)
    wrong = ~(got == expected)
    if not bool(wrong.any()):
        return None
    first = tuple(map(int, wrong.nonzero()[0]))
    return Mismatch(0, f"element {list(first)} differs.", first, float(got[first]), float(expected[first]))


def small(function: Function, right: Function, *inputs: torch.Tensor, **options: Any) -> Shrunk:
    """`function`, which should be `right`, shrunk from `inputs`; the clock stands still."""
    mismatch = differ(function, right, list(inputs))
    assert mismatch is not None
    before = [tensor.clone() for tensor in inputs]
    found = shrink(
        inputs,
        mismatch,
        right(*inputs).shape,
        lambda given: differ(function, right, given),
        clock=lambda: 0.0,
        **options,
    )
    assert all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True))
    again = differ(function, right, found.inputs)
    assert again is not None
    assert again == found.mismatch
    return found


def nonzero(found: Shrunk, place: int = 0) -> list[tuple[list[int], float]]:
    tensor = found.inputs[place]
    return [(list(map(int, spot)), float(tensor[tuple(spot)])) for spot in tensor.nonzero()]


X = torch.randn(9, 7, generator=torch.Generator().manual_seed(1)) * 50


def test_wrong_everywhere_needs_no_values() -> None:
    found = small(lambda x: x + 1, lambda x: x, X)
    assert found.trials == 1
    assert nonzero(found) == []
    assert "input 0 is 0 everywhere; then element [0, 0] differs." in found.sentence


def test_a_wrong_row() -> None:
    def wrong(x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        y[3] *= 2
        return y

    found = small(wrong, lambda x: x, X)
    assert nonzero(found) == [([3, 0], 1.0)]
    assert found.mismatch.index == (3, 0)
    assert (found.mismatch.got, found.mismatch.expected) == (2.0, 1.0)


def test_wrong_for_negative_values_only() -> None:
    found = small(torch.abs, lambda x: x, X)
    assert [value for _, value in nonzero(found)] == [-1.0]


def test_wrong_for_large_values_only() -> None:
    found = small(lambda x: x.clamp(-40, 40), lambda x: x, X)
    ((_, value),) = nonzero(found)
    assert abs(value) > 40
    assert value == round(value)


def test_a_value_at_a_wrong_place() -> None:
    found = small(lambda x: x.roll(1, 1), lambda x: x, X)
    ((place, value),) = nonzero(found)
    assert value == 1.0
    assert found.mismatch.index in {tuple(place), (place[0], (place[1] + 1) % 7)}


def test_a_sum_that_forgets_its_end() -> None:
    found = small(lambda x: x[:, :-1].sum(1), lambda x: x.sum(1), X.round())
    assert nonzero(found) == [([0, 6], 1.0)]


def test_several_inputs_and_a_broadcast_one() -> None:
    bias = torch.arange(1.0, 8.0)
    found = small(lambda x, b: x + 2 * b, lambda x, b: x + b, X.round(), bias)
    assert nonzero(found, 0) == []
    assert [value for _, value in nonzero(found, 1)] == [1.0]


def test_two_values_that_are_only_wrong_together() -> None:
    found = small(lambda x: x.sum(1).clamp(max=1), lambda x: x.sum(1), torch.ones(2, 64))
    assert len(nonzero(found)) == 2
    assert {place[0] for place, _ in nonzero(found)} == {0}


def test_indices_stay() -> None:
    index = torch.tensor([3, 1])
    found = small(lambda x, i: x[i + 1], lambda x, i: x[i], X, index)
    assert torch.equal(found.inputs[1], index)
    assert len(nonzero(found)) == 1


def test_what_needs_all_its_values_stays_as_it_is() -> None:
    def wrong(x: torch.Tensor) -> torch.Tensor:
        return x + float(torch.equal(x, X))

    found = small(wrong, lambda x: x, X)
    assert found.steps == ()
    assert torch.equal(found.inputs[0], X)
    assert found.to_json()["simpler"] is False
    assert found.sentence.startswith("No simpler inputs")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats(dtype: torch.dtype) -> None:
    found = small(lambda x: -x, lambda x: x, X.to(dtype))
    assert found.inputs[0].dtype == dtype
    assert nonzero(found) == [([0, 0], 1.0)]


@pytest.mark.parametrize(
    "error",
    [CandidateFailure("crashed", "gone"), CandidateFailure("timeout", "late"), TaskError("no"), ValueError("odd")],
)
def test_a_failure_of_another_kind_ends_it_with_what_was_found(error: Exception) -> None:
    calls = []

    def fails(inputs: list[Any]) -> Mismatch | None:
        calls.append(inputs)
        if len(calls) == 3:
            raise error
        return differ(torch.abs, lambda x: x, inputs)

    mismatch = differ(torch.abs, lambda x: x, [X])
    assert mismatch is not None
    found = shrink([X], mismatch, X.shape, fails, clock=lambda: 0.0)
    assert len(calls) == found.trials == 3
    assert len(nonzero(found)) == 1


def test_no_trial_begins_that_would_end_too_late() -> None:
    now = [0.0]

    def fails(inputs: list[Any]) -> Mismatch | None:
        now[0] += 1.0
        return None

    mismatch = Mismatch(0, "it differs.", (0, 0), 1.0, 2.0)
    assert shrink([X], mismatch, X.shape, fails, clock=lambda: now[0], seconds=2.5).trials == 2
    assert shrink([X], mismatch, X.shape, fails, clock=lambda: now[0], seconds=2.5, expected_seconds=3.0).trials == 0


def test_a_shape_can_not_be_shrunk() -> None:
    def fails(inputs: list[Any]) -> Mismatch | None:
        raise AssertionError

    assert shrink([X], Mismatch(0, "its shape is (1,)."), (1,), fails).trials == 0
    assert shrink([], Mismatch(0, "it differs.", (0,)), (1,), fails).trials == 0


def test_a_bound_holds_for_calls() -> None:
    hopeless = small(lambda x: x.sum(1, keepdim=True) * (x != 0), lambda x: x * 0, torch.rand(64, 4096) + 1)
    assert hopeless.trials <= 12


H = "3.0f * tanhf(x[i])"
PLANTED = {
    "off by one": (f"if (i < n - 1) y[i] = {H};", (ROWS - 1, COLUMNS - 1), None),
    "row 3": (f"y[i] = i / cols == 3 ? -{H} : {H};", (3, 0), {1.0}),
    "negative": (f"y[i] = x[i] < 0 ? 0.5f * {H} : {H};", None, {-1.0}),
}


@pytest.fixture(autouse=True)
def time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine three seconds may be over before the simplest inputs are found."""
    monkeypatch.setattr("kernelwright.verifier.evaluate.SECONDS", 60.0)


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    with Reference(TASK) as opened:
        yield opened


@pytest.mark.parametrize("name", PLANTED)
def test_a_wrong_verdict_comes_with_the_simplest_inputs(reference: Reference, name: str) -> None:
    line, index, values = PLANTED[name]
    found = evaluate(TASK, kernel(line), device=DEVICE, reference=reference, gpu=H200, limits=LIMITS)
    assert found.verdict is Verdict.WRONG
    assert "The simplest inputs found that show it: input 0 is 0" in found.reason
    shrunk = found.stages[-1].evidence["shrunk"]
    assert shrunk["simpler"]
    assert index is None or tuple(shrunk["mismatch"]["index"]) == index
    (entry,) = shrunk["inputs"]
    assert {value["value"] for value in entry.get("values", [])} == (values or set())


def test_a_kernel_that_dies_meanwhile_stays_wrong(reference: Reference) -> None:
    source = kernel("y[i] = 0.5f * x[i];").source.replace(
        "        y = torch", "        if not x.any(): import os; os._exit(3)\n        y = torch"
    )
    dying = kernel().__class__(source, "test")
    found = evaluate(TASK, dying, device=DEVICE, reference=reference, gpu=H200, limits=LIMITS)
    assert found.verdict is Verdict.WRONG
    assert found.stages[-1].evidence["shrunk"]["trials"] == 1
