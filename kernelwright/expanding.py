"""Makes a suite of new tasks: graphs grown at random, those kept that the task linter finds clean."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kernelwright.bench_tasks.own import tasks_of_file
from kernelwright.bench_tasks.suite import Suite, SuiteTask
from kernelwright.errors import KernelwrightError, MisuseError
from kernelwright.export import write_file
from kernelwright.linting import Chosen, LintJob, lint_tasks
from kernelwright.rl.expansion.grow import grow
from kernelwright.rl.expansion.source import suite_task
from kernelwright.verifier.lint import LintReport, Severity

__all__ = ["Grown", "Lint", "grow_tasks", "lint_with_job", "write_tasks"]

_OURS = re.compile(r"fused_[0-9a-f]{10}\.py")  # what a run of this writes

_TRIES = 20  # graphs that are grown for each task that is asked for, at most
_SAME = "the same graph came before"
Lint = Callable[[Sequence[SuiteTask]], Sequence[LintReport]]
"""Reports of tasks, in their order."""
Step = Callable[[int, int, int], None]
"""Is told how many tasks are kept, of how many, and how many graphs were grown."""


@dataclass(frozen=True)
class Grown:
    """Tasks that were kept, in the order in which they were grown, and what was not."""

    tasks: tuple[SuiteTask, ...]
    grown: int
    """Graphs."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Graphs by reason: the linter's rules, or that it came before."""


def grow_tasks(
    count: int, seed: int, max_ops: int, lint: Lint, *, at_once: int = 2, on_step: Step | None = None
) -> Grown:
    """So many different tasks that are clean; the same for the same arguments.

    Args:
        max_ops: operations of a graph at most; 2 at least.
        lint: says what is wrong with tasks, see `lint_with_job`.
        at_once: tasks that are handed to it at a time; the outcome does not depend on it.

    Raises:
        KernelwrightError: twenty times as many graphs did not give as many tasks.
    """
    told = on_step or (lambda _kept, _of, _grown: None)
    kept: list[SuiteTask] = []
    dropped: Counter[str] = Counter()
    seen: set[str] = set()
    number = 0
    while len(kept) < count and number < _TRIES * count:
        batch: list[tuple[int, SuiteTask]] = []
        while len(batch) < min(at_once, count) and number < _TRIES * count:
            graph = grow(f"{seed}/{number}", max_ops)
            number += 1
            if graph.hash in seen:
                dropped[_SAME] += 1
                continue
            seen.add(graph.hash)
            batch.append((number, suite_task(graph)))
        for (place, task), report in zip(batch, lint([task for _, task in batch]), strict=True):
            if len(kept) == count:
                number = min(number, place - 1)  # what was grown beyond the last one kept is not counted
                break
            if report.status == "clean":
                kept.append(task)
            else:
                dropped[_worst(report)] += 1
        told(len(kept), count, number)
    if len(kept) < count:
        raise KernelwrightError(
            f"{number} graphs gave {len(kept)} tasks, not {count}: "
            + ", ".join(f"{w} {n}" for w, n in dropped.most_common(3))
            + ".",
            mend="Ask for fewer, or allow more operations with --max-ops.",
        )
    return Grown(tuple(kept), number, dropped)


def lint_with_job(job: LintJob) -> Lint:
    """The task linter, with reports kept in the cache; our own code needs no fence."""

    def lint(tasks: Sequence[SuiteTask]) -> Sequence[LintReport]:
        chosen = [Chosen("expanded", task, ours=True) for task in tasks]
        running: Generator[tuple[int, LintReport], None, None] = lint_tasks(chosen, job, lambda _position, _what: None)
        try:
            found = dict(running)
        finally:
            running.close()
        return [found[position] for position in range(len(tasks))]

    return lint


def write_tasks(grown: Grown, folder: Path, *, seed: int) -> Suite:
    """Writes each task as a file into the folder; a suite of them.

    Raises:
        MisuseError: the folder has other files in it.
        KernelwrightError: it can't be written.
    """
    names = {f"{task.name}.py" for task in grown.tasks}
    if folder.exists() and not folder.is_dir():
        raise MisuseError("a file is in the way.", mend="Name a folder with --out.", path=str(folder))
    others = [each.name for each in sorted(folder.iterdir()) if each.name not in names] if folder.is_dir() else []
    if [name for name in others if not _OURS.fullmatch(name)]:
        raise MisuseError("the folder has other things in it.", mend="Name a new one with --out.", path=str(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in others:  # of an earlier run with other arguments
            (folder / name).unlink()
        for task in grown.tasks:
            write_file(folder / f"{task.name}.py", task.task.source)
    except OSError as error:
        raise KernelwrightError(f"the tasks can't be written: {error.strerror}.", path=str(folder)) from error
    tasks = tuple(each for task in grown.tasks for each in tasks_of_file(folder / f"{task.name}.py"))
    title = f"fused operators of random graph expansion, seed {seed}"
    return Suite(f"expanded-{seed}", title, "kernelwright", tasks, str(folder))


def _worst(report: LintReport) -> str:
    grave = [f for f in report.findings if f.severity is not Severity.NOTE]
    return grave[0].rule if grave else report.status
