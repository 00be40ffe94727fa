"""Every planted fault is found under its rule and nothing else is; clean tasks are clean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from near_reference import NearReference
from planted_tasks import CLEAN, PLANTED, planted_task

from kernelwright.bench_tasks.task import Task
from kernelwright.errors import TaskError
from kernelwright.verifier.lint import RULES, Severity, lint_task
from kernelwright.verifier.lint.linter import lint_with


def _named(tasks: dict[str, object]) -> list[object]:
    return [
        pytest.param(name, marks=[] if getattr(each, "quick", False) else pytest.mark.suites, id=name)
        for name, each in tasks.items()
    ]


@pytest.mark.parametrize("name", _named({**PLANTED}))
def test_a_planted_fault_is_found_and_nothing_else(name: str, tmp_path: Path) -> None:
    planted = PLANTED[name]
    report = lint_with(NearReference, planted_task(tmp_path, name, planted))
    grave = {f.rule for f in report.findings if f.severity is not Severity.NOTE}
    said = [f"{f.severity} {f.rule}: {f.what}" for f in report.findings]
    assert grave == planted.grave, said
    assert planted.notes <= {f.rule for f in report.findings if f.severity is Severity.NOTE}, said
    assert report.status == ("refused" if planted.refused else "marked" if planted.grave else "clean")


@pytest.mark.parametrize("name", _named({**CLEAN}))
def test_a_clean_task_is_clean(name: str, tmp_path: Path) -> None:
    clean = CLEAN[name]
    report = lint_with(NearReference, planted_task(tmp_path, name, clean))
    assert report.status == "clean", [f"{f.rule}: {f.what}" for f in report.findings]
    assert {f.rule for f in report.findings} <= clean.notes | {"fixed-tolerance", "ignores-axis", "constant-input"}
    assert not any(
        each.ours
        for each in report.accepted
        if each.rule != "an-input" and each.how != "its mean" and not each.is_function
    )
    assert report.attacks > 10
    assert report.effects


def test_every_rule_has_a_planted_fault() -> None:
    planted = {rule for each in (*PLANTED.values(), *CLEAN.values()) for rule in each.grave | each.notes}
    assert planted == set(RULES) - {"not-attacked"}


def test_a_task_that_is_too_large_for_this_machine_is_not_opened(tmp_path: Path) -> None:
    task = planted_task(tmp_path, "exp", CLEAN["exp"])
    report = lint_with(lambda _task: pytest.fail("it was opened"), replace(task, full_only="It has 40 GB."))
    assert report.status == "marked"
    assert [(f.rule, f.what) for f in report.findings] == [("not-attacked", "It has 40 GB.")]


def test_in_a_process_of_its_own_it_finds_the_same(tmp_path: Path) -> None:
    task = planted_task(tmp_path, "one_output", PLANTED["one_output"])
    far, near = lint_task(task), lint_with(NearReference, task)
    assert far.findings == near.findings
    assert far.accepted == near.accepted
    assert far.effects == pytest.approx(near.effects)


def test_a_message_ends_before_its_mend(tmp_path: Path) -> None:
    def refuse(_task: Task) -> NearReference:
        raise TaskError("name 'y' is not defined", mend="Run it by itself.", line=6)

    report = lint_with(refuse, planted_task(tmp_path, "exp", CLEAN["exp"]))
    assert report.findings[0].what == "name 'y' is not defined (line 6). Run it by itself."


def test_a_mean_is_told_by_the_input_it_is_of(tmp_path: Path) -> None:
    report = lint_with(NearReference, planted_task(tmp_path, "mean", CLEAN["mean"]))
    (found,) = [f for f in report.findings if f.rule == "mean-of-inputs"]
    assert found.what.startswith("The output is the mean of input 0, which follows the inputs")
