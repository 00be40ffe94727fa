"""Growing a suite: what the linter says decides, and nothing else but the seed does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kernelwright.bench_tasks.suite import SuiteTask
from kernelwright.cli import run
from kernelwright.errors import KernelwrightError, MisuseError
from kernelwright.expanding import Grown, Lint, grow_tasks, write_tasks
from kernelwright.verifier.lint import LintReport, Severity
from kernelwright.verifier.lint.report import Finding


def _lint(refuse: str = "", note: str = "") -> tuple[Lint, list[str]]:
    """Refuses what has an operation, notes another; and keeps what it was asked."""
    asked: list[str] = []

    def lint(tasks: Sequence[SuiteTask]) -> list[LintReport]:
        found = []
        for task in tasks:
            asked.append(task.name)
            says = [Finding("zeros", Severity.REFUSED, "it is flat")] if refuse and refuse in task.task.source else []
            says += [Finding("small", Severity.NOTE, "it is small")] if note and note in task.task.source else []
            found.append(LintReport(task.name, task.task.id, "twin", tuple(says)))
        return found

    return lint, asked


def test_what_is_not_clean_is_dropped_and_counted() -> None:
    lint, asked = _lint(refuse="softmax", note="tanh")
    found = grow_tasks(20, 3, 6, lint)
    assert len(found.tasks) == 20
    assert all("softmax" not in task.task.source for task in found.tasks)
    assert any("tanh" in task.task.source for task in found.tasks)
    assert found.dropped["zeros"] > 0
    assert found.grown == len(found.tasks) + sum(found.dropped.values())
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("at_once", [1, 3, 50])
def test_the_outcome_is_the_seeds(at_once: int) -> None:
    def grown(at_once: int, seed: int = 3, count: int = 12) -> Grown:
        return grow_tasks(count, seed, 6, _lint(refuse="mean")[0], at_once=at_once)

    one, other = grown(at_once), grown(2)
    assert [t.task.id for t in one.tasks] == [t.task.id for t in other.tasks]
    assert (one.grown, one.dropped) == (other.grown, other.dropped)
    assert [t.name for t in grown(2, seed=4).tasks] != [t.name for t in one.tasks]
    assert [t.name for t in grown(2, count=5).tasks] == [t.name for t in one.tasks][:5]


def test_too_few_clean_ones_are_told() -> None:
    with pytest.raises(KernelwrightError, match="40 graphs gave 0 tasks, not 2: zeros"):
        grow_tasks(2, 0, 8, _lint(refuse="class")[0])


def test_tasks_are_files_of_a_suite(tmp_path: Path) -> None:
    found = grow_tasks(5, 1, 6, _lint()[0])
    suite = write_tasks(found, tmp_path / "out", seed=1)
    assert {t.task.id for t in suite.tasks} == {t.task.id for t in found.tasks}
    assert {t.name: t.twin for t in suite.tasks} == {t.name: t.twin for t in found.tasks}
    fewer = grow_tasks(2, 1, 6, _lint()[0])
    write_tasks(fewer, tmp_path / "out", seed=1)
    assert len(list((tmp_path / "out").iterdir())) == 2
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(MisuseError, match="other things"):
        write_tasks(fewer, tmp_path / "out", seed=1)
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


@pytest.mark.learning
@pytest.mark.usefixtures("home")
def test_tasks_are_linted_solved_and_become_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The real linter, the built-in coder, the real verifier, and what `dataset build` makes of it."""
    pytest.importorskip("pyarrow")
    out = tmp_path / "tasks"
    expand = [
        "dataset",
        "expand",
        "--count",
        "2",
        "--max-ops",
        "3",
        "--seed",
        "5",
        "--rounds",
        "1",
        "--out",
        str(out),
        "--device",
        "emulator",
    ]
    assert run([*expand, "--json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert len(list(out.iterdir())) == 2
    assert run(["dataset", "build", str(tmp_path / "set"), "--min-speedup", "0", "--json"]) == 0
    built = json.loads(capsys.readouterr().out)
    assert built["time_kind"] == "modelled"
    assert built["rows"] == built["tasks"] >= 1, (said, built)
