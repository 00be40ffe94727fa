"""Two runs, kernels or attempts, side by side."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from markupsafe import Markup

from kernelwright.web.charts.intervals import Bar, bars
from kernelwright.web.context import Here
from kernelwright.web.twins import Twins
from kernelwright.web.views.compare import ComparePage, compare_page

__all__ = ["twins"]

twins = Twins("compare")

Given = Annotated[
    str, Query(max_length=80, pattern=r"^[^\x00]*$", description="Id of a run or kernel, or RUN/NUMBER for an attempt.")
]


def _times(view: ComparePage) -> Markup:
    """Both times on one axis; nothing where they may not be compared."""
    if not view.comparable or view.left is None or view.right is None:
        return Markup("")
    first, second = view.left.timing, view.right.timing
    if first is None or second is None:
        return Markup("")
    rows = [
        Bar(name, each.seconds, each.seconds_low, each.seconds_high, own=True)
        for name, each in (("a", first), ("b", second))
    ]
    rows.append(Bar(first.baseline, first.baseline_seconds, first.baseline_seconds_low, first.baseline_seconds_high))
    rows.append(Bar("bound", first.bound_seconds))
    return bars(rows, first.kind.value, first.gpu)


@twins.page("/compare", "compare.html.j2", times=_times)
def compare(site: Here, a: Given = "", b: Given = "") -> ComparePage:
    """Two runs, kernels or attempts: figures, whether a difference is shown, sources and stages."""
    return compare_page(site.store, a.strip(), b.strip())
