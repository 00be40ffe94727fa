"""The example of docs/tasks.md is a task, with its twin and variants."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kernelwright.bench_tasks.own import tasks_of_file
from kernelwright.bench_tasks.suite import Scale, SuiteTask
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.lint import lint_task

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[SuiteTask]:
    found = re.search(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    file = tmp_path_factory.mktemp("page") / "my_task.py"
    file.write_text(found[1], encoding="utf-8")
    return tasks_of_file(file)


def test_the_example_is_read_as_the_page_says(tasks: list[SuiteTask]) -> None:
    base, half, backward = tasks
    assert (base.name, half.name, backward.name) == ("my_task", "my_task@half", "my_task@backward")
    assert base.family == "norm"
    assert base.twin == {"ROWS": 192, "COLS": 1024}
    assert backward.task.backward


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_example_runs(tasks: list[SuiteTask], number: int) -> None:
    with Reference(tasks[number].at(Scale.TWIN)) as reference:
        signature = reference.signature
    assert [s.shape for s in signature.inputs] == [(192, 1024), (192, 1024)]
    assert {s.dtype for s in (*signature.inputs, *signature.outputs)} == {"bfloat16" if number == 1 else "float32"}
    assert len(signature.gradients) == (3 if number == 2 else 0)


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.suites) for n in (1, 2))])
def test_the_example_is_clean(tasks: list[SuiteTask], number: int) -> None:
    report = lint_task(tasks[number])
    assert report.status == "clean", [f"{f.rule}: {f.what}" for f in report.findings]
