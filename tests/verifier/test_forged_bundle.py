"""Bundles with right hashes that somebody wrote so that a bad kernel's verdict would hold: each lie is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from evidence_kernels import DEVICE, H200, LIMITS, TASK_SOURCE, kernel

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.live import task_from_module
from kernelwright.bench_tasks.task import Distribution, NumericPolicy, Task, Workload
from kernelwright.errors import BundleError, TaskError
from kernelwright.evidence import Recheck
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier import bundle as bundles
from kernelwright.verifier.archive import seal, unseal
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Evaluation, Verdict
from kernelwright.verifier.exact_json import from_json, to_json
from kernelwright.verifier.recheck import Difference, compare, compare_fresh, demands

TASK = task_from_source(
    TASK_SOURCE + 'WORKLOADS = [{"distribution": "as_given"}, {"distribution": "large"}]\n', name="t"
)
LEFT_TO_TORCH = replace(
    kernel(), source=kernel().source.replace("        return y\n", "        return torch.exp(torch.log(y.abs())) * y.sign()\n")
)  # fmt: skip
OTHER_VERSION = (Difference("device.versions.kernelwright", "0.0.1", "0.1.0"),)


@pytest.fixture(scope="module")
def judged() -> Iterator[Evaluation]:
    with Reference(TASK) as reference:
        yield evaluate(TASK, LEFT_TO_TORCH, device=DEVICE, reference=reference, gpu=H200, limits=LIMITS)


def differing(task: Task) -> dict[str, tuple[str, str]]:
    found = demands(task)
    assert all(each.decides for each in found)
    return {each.what: (each.then, each.now) for each in found if not each.same}


def test_what_a_file_asks_for_is_what_this_program_asks_for() -> None:
    for source in (TASK.source, TASK_SOURCE, f"{TASK_SOURCE}BACKWARD = True\n"):
        assert differing(task_from_source(source, name="x")) == {}


def test_a_live_module_has_the_default_workloads() -> None:
    import torch

    class Odd(torch.nn.Module):
        WORKLOADS = 7
        BACKWARD = True

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    assert differing(task_from_module(Odd(), torch.ones(4))) == {}


@pytest.mark.parametrize("name", ["slack", "rms_slack", "normal_slack", "bias_slack", "floor_ulps"])
@pytest.mark.parametrize("value", [1e15, float("nan"), 0.26000001])
def test_a_policy_of_its_own(name: str, value: float) -> None:
    found = differing(replace(TASK, policy=replace(NumericPolicy(), **{name: value})))
    assert set(found) == {"numeric policy"}
    then, now = found["numeric policy"]
    assert f"{name} {value}" in then
    assert f"{name} {getattr(NumericPolicy(), name)}" in now


@pytest.mark.parametrize(
    ("workloads", "then", "now"),
    [
        (TASK.workloads[:1], "1 workload", "2 workloads, among them large (large, 1,"),
        ((), "0 workloads", "2 workloads, among them as-given (as_given, 1,"),
        ((TASK.workloads[0], Workload("large", Distribution.ZEROS)), "large (zeros, 1,", "large (large, 1,"),
        ((replace(TASK.workloads[0], most_elements=0), TASK.workloads[1]), "(as_given, 1, 0,", "(as_given, 1, None,"),
        (TASK.workloads[::-1], "large, as-given", "as-given, large"),
        ((*TASK.workloads, TASK.workloads[0]), "as-given, large, as-given", "as-given, large"),
    ],
)
def test_workloads_that_its_source_does_not_give(workloads: tuple[Workload, ...], then: str, now: str) -> None:
    found = differing(replace(TASK, workloads=workloads))
    assert set(found) == {"workloads"}
    assert then in found["workloads"][0]
    assert now in found["workloads"][1]


def test_gradients_that_its_source_asks_for() -> None:
    task = task_from_source(f"{TASK_SOURCE}BACKWARD = True\n", name="x")
    assert differing(replace(task, backward=False)) == {"gradients": ("not asked for", "asked for")}


@pytest.mark.parametrize(
    "source", ["class Model:", "x = 1", "WORKLOADS = [{[]: 1}]\nclass Model: pass\nget_inputs = 1\n"]
)
def test_a_source_that_is_no_task(source: str) -> None:
    with pytest.raises(TaskError):
        demands(Task("x", source))


def _of_launch(value: Evaluation, change: dict[str, Any]) -> Evaluation:
    assert value.profile is not None
    (launch,) = value.profile.launches
    return value.model_copy(update={"profile": value.profile.model_copy(update={"launches": [{**launch, **change}]})})


def _without_operations(value: Evaluation) -> Evaluation:
    assert value.profile is not None
    return value.model_copy(update={"profile": value.profile.model_copy(update={"torch_ops": []})})


def _twice(value: Evaluation) -> Evaluation:
    assert value.profile is not None
    launches = value.profile.launches * 20
    return value.model_copy(update={"profile": value.profile.model_copy(update={"launches": launches})})


@pytest.mark.parametrize(
    ("lie", "seen"),
    [
        (lambda e: _of_launch(e, {"kernel": "other"}), {"launched kernels"}),
        (_twice, {"launched kernels"}),
        (_without_operations, {"torch operations"}),
        (lambda e: e.model_copy(update={"profile": None}), {"launched kernels", "torch operations"}),
        (lambda e: e.model_copy(update={"stages": e.stages[:-1]}), {"stage profile"}),
    ],
)
def test_names_must_agree_in_any_environment_and_with_any_seeds(
    judged: Evaluation, lie: Callable[[Evaluation], Evaluation], seen: set[str]
) -> None:
    assert judged.passed, judged.reason
    then = lie(judged)
    found = tuple(compare(then, judged))
    assert {each.what for each in found if each.decides and not each.same} == seen
    assert all(each.then != each.now for each in found if each.what in seen)
    assert not Recheck("ab", (), then, judged, found, OTHER_VERSION).holds
    fresh = tuple(compare_fresh(then, judged))
    assert {each.what for each in fresh if not each.same} == seen
    honest = tuple(compare(judged, judged))
    assert Recheck("ab", (), judged, judged, honest, OTHER_VERSION, judged, tuple(compare_fresh(judged, judged))).holds
    assert not Recheck("ab", (), then, judged, honest, OTHER_VERSION, judged, fresh).holds


def test_figures_may_differ_in_another_environment_only(judged: Evaluation) -> None:
    assert judged.profile is not None
    counters = {**judged.profile.launches[0]["counters"], "global_store_bytes": 4}
    found = tuple(compare(_of_launch(judged, {"counters": counters}), judged))
    assert [each.what for each in found if not each.same] == ["counters"]
    assert Recheck("ab", (), judged, judged, found, OTHER_VERSION).holds
    assert not Recheck("ab", (), judged, judged, found).holds


def test_a_failure_of_another_kind_does_not_hold(judged: Evaluation) -> None:
    def failed(kind: str, line: int) -> Evaluation:
        stage = judged.stages[1].model_copy(update={"evidence": {"violations": [{"kind": kind, "line": line}]}})
        return judged.model_copy(update={"stages": [stage], "verdict": Verdict.UNSAFE, "timing": None, "profile": None})

    def deciding(then: Evaluation, now: Evaluation) -> list[str]:
        return [each.what for each in compare(then, now) if each.decides and not each.same]

    assert deciding(failed("misaligned", 3), failed("out_of_bounds", 3)) == ["kind of failure"]
    assert deciding(failed("misaligned", 3), failed("misaligned", 4)) == []


def test_a_stage_that_is_there_twice(judged: Evaluation) -> None:
    whole = unseal(bundles.pack(TASK, LEFT_TO_TORCH, judged, gpu=H200, limits=LIMITS))
    stages = from_json(whole.members["stages.json"].decode())
    members = {**whole.members, "stages.json": to_json([*stages, stages[0]]).encode()}
    with pytest.raises(BundleError, match="a stage is there twice"):
        bundles.read(seal(members, {}))
