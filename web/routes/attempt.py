"""Attempts: one of a run, with all that is known of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from kernelwright.web.charts.attempt import distribution, roofs, times
from kernelwright.web.context import Here
from kernelwright.web.source_lines import source_lines
from kernelwright.web.twins import Twins
from kernelwright.web.views.attempt import AttemptPage, attempt_page

__all__ = ["twins"]

twins = Twins("attempts")


@twins.page(
    "/runs/{run_id}/attempts/{number}", "attempt.html.j2",
    source_lines=source_lines, times=times, distribution=distribution, roofs=roofs,
)  # fmt: skip
def attempt(
    site: Here,
    run_id: Annotated[str, Path(max_length=64, pattern=r"^[^\x00]+$")],
    number: Annotated[int, Path(ge=1, le=2**31 - 1)],
    parent: Annotated[str | None, Query(max_length=64, description="Kernel id of the parent to compare with.")] = None,
) -> AttemptPage:
    """One attempt: source, difference to its parent, what each stage found, times, profile, what models said and cost."""
    return attempt_page(site.store, run_id, number, parent)
