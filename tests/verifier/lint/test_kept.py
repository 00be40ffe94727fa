"""Reports are kept by the content of their task, and read back as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from planted_tasks import CLEAN, planted_task

from kernelwright.bench_tasks.suite import Scale
from kernelwright.verifier.lint import Accepted, Finding, LintReport, Severity, keep_report, kept_report

FINDING = Finding("idle-op", Severity.MARKED, "It does nothing.", {"share": 0.5})
ACCEPTED = Accepted("zeros", "", "zeros", "the output", False, True, True, True)
REPORT = LintReport(
    "exp", "0123", "twin", (FINDING,), (ACCEPTED,), ("the output",), 7, 2, {"input 0": 1.5}, {"largest": 3.0}, 1.25
)


def test_a_report_survives_and_belongs_to_the_content(tmp_path: Path) -> None:
    task = planted_task(tmp_path, "exp", CLEAN["exp"])
    cache = tmp_path / "cache"
    assert kept_report(cache, task, Scale.TWIN) is None
    keep_report(cache, task, Scale.TWIN, REPORT)
    assert kept_report(cache, task, Scale.TWIN) == REPORT
    assert kept_report(cache, replace(task, name="other"), Scale.TWIN) == replace(REPORT, task="other")
    assert kept_report(cache, task, Scale.FULL) is None
    assert kept_report(cache, replace(task, twin={"ROWS": 4}), Scale.TWIN) is None
    assert kept_report(cache, replace(task, full_only="It is large."), Scale.TWIN) is None


def test_what_is_no_report_is_none(tmp_path: Path) -> None:
    task, cache = planted_task(tmp_path, "exp", CLEAN["exp"]), tmp_path / "cache"
    keep_report(cache, task, Scale.TWIN, REPORT)
    (file,) = cache.rglob("*.json")
    for text in ("", "[]", "{}", file.read_text().replace("idle-op", "no-such-rule")):
        file.write_text(text)
        assert kept_report(cache, task, Scale.TWIN) is None


def test_a_task_that_could_not_be_used_is_tried_again(tmp_path: Path) -> None:
    task, cache = planted_task(tmp_path, "exp", CLEAN["exp"]), tmp_path / "cache"
    finding = Finding("not-usable", Severity.REFUSED, "It needs a package.")
    keep_report(cache, task, Scale.TWIN, replace(REPORT, findings=(finding,)))
    assert kept_report(cache, task, Scale.TWIN) is None
