"""Lints many tasks at once, each in processes of its own."""

from __future__ import annotations

import fnmatch
import logging
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kernelwright.bench_tasks.collections import find_suite
from kernelwright.bench_tasks.own import OWN
from kernelwright.bench_tasks.suite import Scale, Suite, SuiteTask
from kernelwright.errors import MisuseError, TaskError
from kernelwright.importing import kept_probe
from kernelwright.sandbox.probe import Prober, ProbeStatus
from kernelwright.sandbox.process import Limits, Watch, watched
from kernelwright.verifier.lint import LintReport, keep_report, kept_report, lint_task

__all__ = ["Chosen", "LintJob", "choose_tasks", "default_jobs", "lint_tasks"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """A task to lint."""

    suite: str
    task: SuiteTask
    ours: bool
    """Whether it is of a suite of ours, whose code need not be fenced in."""


@dataclass(frozen=True)
class LintJob:
    """How tasks are linted."""

    scale: Scale
    jobs: int
    limits: Limits
    fence: Callable[[], str]
    """The isolation for tasks that are not ours; asked for when the first is there."""
    cache: Path
    """Where reports are kept."""
    again: bool = False
    """Whether tasks are linted whose report is kept."""


def choose_tasks(names: Sequence[str], *, only: str | None, imported: Path) -> tuple[list[Chosen], list[Suite]]:
    """The tasks of these suites or paths, all suites of ours if there are none, and the suites themselves.

    Args:
        only: a pattern for names of tasks, as a shell has them.
        imported: as `find_suite` takes it.

    Raises:
        NotFoundError: there is no such suite.
        TaskError: a file is no task.
        MisuseError: nothing is left.
    """
    suites = [find_suite(name, imported) for name in names or OWN]
    found = [
        Chosen(suite.name, task, suite.name in OWN and suite.format == "kernelwright")
        for suite in suites
        for task in suite.tasks
        if only is None or fnmatch.fnmatchcase(task.name, only)
    ]
    if not found and only is not None:
        raise MisuseError(f"no task is called {only!r}.", mend="See the names: kernelwright bench list SUITE")
    if not found:
        raise MisuseError(f"there is no task in {', '.join(names or OWN)}.", mend="Give a suite or a path with tasks.")
    return found, suites


def lint_tasks(
    chosen: Sequence[Chosen], job: LintJob, on_step: Callable[[int, str], None]
) -> Generator[tuple[int, LintReport], None, None]:
    """Reports as they are ready, each with the position of its task in `chosen`.

    Closing the iterator ends every process under way.

    Args:
        on_step: is told, from any thread, what is under way for which task.

    Raises:
        SandboxError, ConfigError: a process or its isolation does not start.
    """
    import torch

    torch.set_num_threads(1)  # tasks are what runs at once; comparisons that share cores wait for each other
    fences = {ours: None if ours else job.fence() for ours in {each.ours for each in chosen}}
    stop, watch = threading.Event(), Watch()

    def lint(position: int) -> LintReport | None:
        if stop.is_set():
            return None
        each = chosen[position]

        def told(what: str) -> None:
            if not stop.is_set():
                on_step(position, what)

        if not job.again and (known := _known(job, each.task)) is not None:
            return known
        with watched(watch):
            fence = fences[each.ours]
            task = each.task
            if fence is not None and job.scale is Scale.TWIN and not task.twin:
                told("looking for its size")
                task = _sized(task, job, fence)
            report = lint_task(task, scale=job.scale, limits=job.limits, fence=fence, on_step=told)
        if not stop.is_set():  # else its process was ended in the middle
            keep_report(job.cache, each.task, job.scale, report)
        return report

    with _pool(job.jobs, stop, watch) as pool:
        under_way = {pool.submit(lint, position): position for position in range(len(chosen))}
        for done in as_completed(under_way):
            report = done.result()
            if report is not None:
                _log.info("linted %s: %s in %.1f s", report.task, report.status, report.seconds)
                yield under_way[done], report


def _sized(task: SuiteTask, job: LintJob, fence: str) -> SuiteTask:
    """A stranger's task with sizes that can be run here: a file may ask for inputs of any size.

    Sizes at which its outputs are one value everywhere are as good as others: that is what the linter looks for.
    """
    found = kept_probe(job.cache, task)
    if found is None:
        with Prober(fence=fence, limits=job.limits) as prober:
            found = prober.probe(task.task)
    if found.status is ProbeStatus.NO_TWIN:
        return replace(task, twin=found.flat, full_only="" if found.flat else found.why)
    return replace(task, twin=found.twin, full_only="")


def _known(job: LintJob, task: SuiteTask) -> LintReport | None:
    try:
        return kept_report(job.cache, task, job.scale)
    except TaskError:
        return None  # the linter says what is wrong with it


@contextmanager
def _pool(jobs: int, stop: threading.Event, watch: Watch) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="kernelwright-lint")
    try:
        yield pool
    finally:
        stop.set()
        watch.end()
        pool.shutdown(wait=True, cancel_futures=True)


def default_jobs() -> int:
    """Tasks at once: half of the cores, as the reference of each uses several."""
    return max(1, (os.cpu_count() or 2) // 2)
