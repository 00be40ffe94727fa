"""Which tasks, at which scale, under which settings; and that a run brings its settings back on another machine."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from search_doubles import EPOCH, TASK

from kernelwright.bench.plan import Options, options_of, plan_run, scale_for, selected, settings_of
from kernelwright.bench_tasks.suite import Scale, Suite, SuiteTask
from kernelwright.config import Settings
from kernelwright.db.store import Store
from kernelwright.errors import MisuseError
from kernelwright.jobs import Target
from kernelwright.render_bench import bench_head
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.process import Limits
from kernelwright.verifier.model.gpus import find_gpu

SIZED = replace(TASK, source="N = 8192\n")
SUITE = Suite(
    "small",
    "",
    "kernelwright",
    (
        SuiteTask("softmax", SIZED, twin={"N": 16}),
        SuiteTask("softmax@half", replace(SIZED, source="N = 8192  # half\n"), twin={"N": 32}),
        SuiteTask("relu", TASK),
    ),
)
TARGET = Target(find_gpu("A100"), Device("emulator", "A100", "sm_80", "process"), Limits())


@pytest.mark.parametrize(
    ("only", "variants", "names"),
    [
        ((), True, ["softmax", "softmax@half", "relu"]),
        ((), False, ["softmax", "relu"]),
        (("softmax*",), True, ["softmax", "softmax@half"]),
        (("soft*", "relu"), False, ["softmax", "relu"]),
        (("*@half",), True, ["softmax@half"]),
    ],
)
def test_selected(only: tuple[str, ...], variants: bool, names: list[str]) -> None:
    assert [task.name for task in selected(SUITE, only, variants=variants)] == names


def test_nothing_selected_is_misuse() -> None:
    with pytest.raises(MisuseError, match=r"no task of small has a name like sotfmax or x\."):
        selected(SUITE, ("sotfmax", "x"))
    with pytest.raises(MisuseError, match="has no task"):
        selected(replace(SUITE, tasks=()), ())


def test_scale_follows_the_device() -> None:
    assert [scale_for("auto", kind) for kind in ("emulator", "cuda")] == [Scale.TWIN, Scale.FULL]
    assert scale_for("full", "emulator") is Scale.FULL


def test_a_run_brings_its_settings_back(tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path,
        strategy="best-of-n",
        rounds=4,
        model="openai:x",
        judge_model="builtin",
        exemplars=0,
        temperature=0.5,
    )
    options = Options(3, 60.0, Decimal("2.50"))
    plan = plan_run(
        SUITE, SUITE.tasks, settings, TARGET, options, scale=Scale.TWIN, repeats=2, now=EPOCH
    )  # fmt: skip
    assert [(i.position, i.name, i.repeat) for i in plan.items] == [
        (0, "softmax", 0), (1, "softmax@half", 0), (2, "relu", 0), (3, "softmax", 1), (4, "softmax@half", 1), (5, "relu", 1),
    ]  # fmt: skip
    assert plan.tasks[0].source == "N = 16\n"
    assert [i.task_id for i in plan.items[:3]] == [task.id for task in plan.tasks]
    with Store(tmp_path / "k.db") as store:
        store.create_bench_run(plan.run, plan.items, plan.tasks)
        run = store.bench_run(plan.run.id)
    assert run == plan.run
    assert (run.coder, run.judge, run.suite_size, run.digest) == ("openai:x", "roofline", 3, SUITE.digest)
    assert run.environment["isolation"] == "process"
    assert options_of(run) == options
    elsewhere = settings_of(run, Settings(data=tmp_path / "other", device="auto", gpu="H100", budget=Decimal(1)))
    same = ("strategy", "rounds", "model", "judge_model", "exemplars", "temperature", "candidates")
    assert {name: getattr(elsewhere, name) for name in same} == {name: getattr(settings, name) for name in same}
    assert (elsewhere.device, elsewhere.gpu, elsewhere.data) == ("emulator", TARGET.gpu.name, tmp_path / "other")
    assert elsewhere.budget is None  # each item has an allowance of its own


def test_a_task_too_large_for_the_emulator_has_ended_before_it_begins(tmp_path: Path) -> None:
    """At full size an emulated call would take hours; on a GPU it is a task as any other."""
    huge = replace(SUITE, tasks=(SUITE.tasks[0], SuiteTask("resnet", TASK, full_only="Its sizes are in a list.")))
    options = Options(1, 60.0, None)

    def statuses(scale: Scale) -> list[tuple[str, str]]:
        plan = plan_run(huge, huge.tasks, Settings(data=tmp_path), TARGET, options, scale=scale, repeats=1, now=EPOCH)
        with Store(tmp_path / f"{scale.value}.db") as store:
            store.create_bench_run(plan.run, plan.items, plan.tasks)
            return [(i.status.value, i.problem) for i in store.bench_items(plan.run.id)]

    assert statuses(Scale.TWIN) == [("waiting", ""), ("failed", "Its sizes are in a list.")]
    assert statuses(Scale.FULL) == [("waiting", ""), ("waiting", "")]


@pytest.mark.parametrize(("format", "fenced"), [("kernelwright", False), ("kernelbench", True), ("gpu-mode", True)])
def test_tasks_that_may_be_a_strangers_are_fenced_in(tmp_path: Path, format: str, fenced: bool) -> None:
    suite = replace(SUITE, format=format)
    options = Options(1, 60.0, None)
    plan = plan_run(
        suite, suite.tasks, Settings(data=tmp_path), TARGET, options, scale=Scale.TWIN, repeats=1, now=EPOCH
    )
    assert plan.run.settings["fenced"] is fenced


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ((0, 1), "(scaled-down twins)"),
        ((0, 1, 2), "(scaled-down twins of 2 of 3 tasks, the others as they are)"),
        ((2,), "(sizes as they are: no task has a twin)"),
    ],
)
def test_a_task_without_a_twin_is_not_said_to_be_one(tmp_path: Path, chosen: tuple[int, ...], words: str) -> None:
    tasks = [SUITE.tasks[number] for number in chosen]
    options = Options(1, 60.0, None)
    for scale in Scale:
        plan = plan_run(SUITE, tasks, Settings(data=tmp_path), TARGET, options, scale=scale, repeats=1, now=EPOCH)
        assert (words if scale is Scale.TWIN else "(full size)") in bench_head(plan.run).plain
