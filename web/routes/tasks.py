"""Tasks: the list of them, and one."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from kernelwright.web.charts.records import records_chart
from kernelwright.web.context import Here
from kernelwright.web.highlighting import highlighted_once
from kernelwright.web.twins import Twins
from kernelwright.web.views.tasks import TaskList, TaskPage, task_list, task_page

__all__ = ["twins"]

twins = Twins("tasks")


@twins.page("/tasks", "tasks.html.j2")
def tasks(
    site: Here,
    q: Annotated[str, Query(max_length=200, description="Words of names and operations, or how they begin.")] = "",
    after: Annotated[str, Query(max_length=80, description="`after` of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> TaskList:
    """Tasks, the newest first, each with the best that there is for it."""
    return task_list(site.store, q.strip(), after, limit)


@twins.page("/tasks/{task_id}", "task.html.j2", chart=records_chart, highlighted=highlighted_once)
def task(site: Here, task_id: Annotated[str, Path(max_length=64)]) -> TaskPage:
    """A task: its reference, workloads, numeric policy, best kernels, how they came about, baselines, runs."""
    return task_page(site.store, site.kept, task_id)
