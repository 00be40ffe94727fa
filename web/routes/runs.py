"""Runs: the list of them, and one as it goes on."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from kernelwright.web.context import Here
from kernelwright.web.twins import Twins
from kernelwright.web.views.runs import RunList, run_list

__all__ = ["twins"]

twins = Twins("runs")


@twins.page("/runs", "runs.html.j2")
def runs(
    site: Here,
    task: Annotated[
        str | None, Query(max_length=200, description="Only runs of the task with this name or id.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> RunList:
    """The newest runs first."""
    return run_list(site.store, limit=limit, task=task or None)
