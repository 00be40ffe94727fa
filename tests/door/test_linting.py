"""Which tasks are linted, and at which sizes those of strangers are."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelwright.bench_tasks.suite import Scale
from kernelwright.errors import MisuseError, NotFoundError
from kernelwright.linting import LintJob, choose_tasks, lint_tasks
from kernelwright.sandbox.process import Limits

HUGE = """\
import torch

ROWS, COLS = 1048576, 65536


class Model(torch.nn.Module):
    def forward(self, x):
        return x.sum(1, keepdim=True) - x.sum(1, keepdim=True).mean(1, keepdim=True)


def get_inputs():
    return [torch.randn(ROWS, COLS)]


def get_init_inputs():
    return []
"""


def test_a_file_a_suite_and_a_pattern(tmp_path: Path) -> None:
    file = tmp_path / "huge.py"
    file.write_text(HUGE)
    chosen, suites = choose_tasks([str(file), "core"], only="*softmax*", imported=tmp_path)
    assert [suite.name for suite in suites] == ["huge", "core"]
    assert {(each.suite, each.ours) for each in chosen} == {("core", True)}
    (one,), _ = choose_tasks([str(file)], only=None, imported=tmp_path)
    assert (one.suite, one.task.name, one.ours) == ("huge", "huge", False)
    everything, suites = choose_tasks([], only=None, imported=tmp_path)
    assert [suite.name for suite in suites] == ["core", "fusion", "models", "frontier"]
    assert all(each.ours for each in everything)


def test_what_is_not_there_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="no task is called"):
        choose_tasks(["core"], only="nothing*", imported=tmp_path)
    with pytest.raises(NotFoundError):
        choose_tasks(["no such suite"], only=None, imported=tmp_path)


def test_a_task_of_a_terabyte_is_linted_at_sizes_that_fit(tmp_path: Path) -> None:
    """Smaller sizes are found although its outputs are one value everywhere there, and that is what is told."""
    file = tmp_path / "huge.py"
    file.write_text(HUGE)
    chosen, _ = choose_tasks([str(file)], only=None, imported=tmp_path)
    job = LintJob(Scale.TWIN, 1, Limits(), lambda: "process", tmp_path / "cache")
    steps: list[str] = []
    ((position, report),) = lint_tasks(chosen, job, lambda _position, what: steps.append(what))
    assert (position, report.status) == (0, "refused")
    assert [f.rule for f in report.findings if f.severity == "refused"] == ["zeros"]
    assert "looking for its size" in steps
    assert report.figures["seconds at full size"] > 0.01
    steps.clear()
    ((_, kept),) = lint_tasks(chosen, job, lambda _position, what: steps.append(what))
    assert kept.findings == report.findings
    assert steps == []
