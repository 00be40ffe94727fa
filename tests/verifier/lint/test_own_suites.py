"""All tasks of our suites are clean: no attack passes and nothing marks them, at the sizes that the emulator judges."""

from __future__ import annotations

import pytest

from kernelwright.bench_tasks.own import OWN, own_suite
from kernelwright.bench_tasks.suite import SuiteTask
from kernelwright.verifier.lint import lint_task

SAMPLE = ("softmax@half",)
"""What a default run lints."""
TASKS = [(suite, task) for suite in OWN for task in own_suite(suite).tasks]


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(task, id=f"{suite}-{task.name}", marks=() if task.name in SAMPLE else pytest.mark.suites)
        for suite, task in TASKS
    ],
)
def test_a_task_of_ours_is_clean(task: SuiteTask) -> None:
    report = lint_task(task)
    assert report.status == "clean", [f"{f.severity} {f.rule}: {f.what} {f.mend}" for f in report.findings]
