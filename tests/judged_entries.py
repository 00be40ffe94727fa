"""A tiny suite, run and kept in a store as `bench run` keeps it: with made-up evaluations, or with real ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from search_doubles import EPOCH, attempt, evaluation, run

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.suite import Scale, Suite, SuiteTask
from kernelwright.config import Settings
from kernelwright.db.bench import BenchItem, BenchRun, BenchStatus, ItemStatus
from kernelwright.db.store import Store
from kernelwright.events import ignore
from kernelwright.jobs import optimize_task
from kernelwright.sandbox.isolation import bubblewrap_problem
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Verdict

SOURCE = """\
import torch
from torch import nn

ROWS = {rows}


class Model(nn.Module):
    def forward(self, x):
        return {body}


def get_inputs():
    return [torch.randn(ROWS, 256)]


def get_init_inputs():
    return []
"""


def tiny_task(name: str, body: str, rows: int = 512, *, twin: int = 32) -> SuiteTask:
    return SuiteTask(name, task_from_source(SOURCE.format(rows=rows, body=body), name=name), twin={"ROWS": twin})


SUITE = Suite(
    "tiny", "two tasks and one that is not solved", "kernelwright",
    (
        tiny_task("scale", "3.0 * torch.tanh(x)"),
        tiny_task("softmax", "torch.softmax(x, dim=-1)"),
        tiny_task("svd", "torch.linalg.svdvals(x)"),
    ),
)  # fmt: skip
SUITE_TASKS = {each.name: each.at(Scale.TWIN) for each in SUITE.tasks}
BENCH = BenchRun(
    id="tiny-aaaaaa", suite=SUITE.name, suite_path=None, digest=SUITE.digest, suite_size=len(SUITE.tasks), scale=Scale.TWIN,
    strategy="refine", coder="builtin", judge="roofline", rounds=1, repeats=1, device="emulator", gpu="H200",
    status=BenchStatus.FINISHED, created=EPOCH, environment={"torch": "2.0"},
)  # fmt: skip
SOLVED = ("scale", "softmax")


def stored(store: Store, bench: BenchRun = BENCH, times: Mapping[str, float | None] | None = None) -> BenchRun:
    """A run of `SUITE` with one attempt for each task of `SOLVED`: its time in seconds, or None for a wrong kernel."""
    for item in _items(store, bench):
        seconds = (times or {"scale": 1e-5, "softmax": 1.5e-5}).get(item.name)
        if item.name not in SOLVED:
            store.end_bench_item(item, ItemStatus.FAILED, "It can't be written.")
            continue
        task, run_id = SUITE_TASKS[item.name], f"{bench.id}-{item.name}"
        store.create_run(run(run_id, task=task))
        judged = kernel_for(item.name)
        outcome = Verdict.WRONG if seconds is None else seconds
        made = attempt(run_id, 1, outcome, task)
        store.add_attempt(replace(made, kernel=judged, evaluation=evaluation(judged, outcome, task)))
        store.begin_bench_item(item, run_id)
        store.end_bench_item(item, ItemStatus.FINISHED, seconds=1.0)
    return bench


def kernel_for(name: str, more: str = "") -> Kernel:
    return Kernel(f'class ModelNew: "{name}"  # <script>alert(1)</script>{more}\n', "builtin")


def solve(store: Store, settings: Settings, bench: BenchRun = BENCH) -> BenchRun:
    """The same, by the built-in coder and the real judge: some ten seconds a task."""
    for item in _items(store, bench):
        if item.name in SOLVED:
            outcome = optimize_task(SUITE_TASKS[item.name], settings, store=store, observer=ignore)
            assert outcome.best is not None
            store.begin_bench_item(item, outcome.run.id)
            store.end_bench_item(item, ItemStatus.FINISHED, seconds=1.0)
        else:
            store.end_bench_item(item, ItemStatus.FAILED, "It can't be written.")
    return bench


def _items(store: Store, bench: BenchRun) -> list[BenchItem]:
    items = [
        BenchItem(bench.id, place, name, 0, task.id, task.name, task.path)
        for place, (name, task) in enumerate(SUITE_TASKS.items())
    ]
    store.create_bench_run(bench, items, list(SUITE_TASKS.values()))
    return items


def own_settings(folder: Path) -> Settings:
    """Settings with nothing of whoever runs the tests but the cache."""
    isolation = {"isolation": "process"} if bubblewrap_problem() else {}
    return Settings(data=folder, device="emulator", gpu="H200", rounds=1, **isolation)
