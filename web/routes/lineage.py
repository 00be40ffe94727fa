"""Lineage: the tree of a run, and the grid of its archive."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from markupsafe import Markup

from kernelwright.web.charts.lineage import LETTERS, Node, tree
from kernelwright.web.context import Here
from kernelwright.web.twins import Twins
from kernelwright.web.views.lineage import GridAxis, LineagePage, lineage_page
from kernelwright.words import one_line, ratio

__all__ = ["twins"]

twins = Twins("runs")


def _drawn(view: LineagePage) -> Markup:
    nodes = [
        Node(
            number=node.number,
            parents=tuple(node.parents),
            verdict=node.verdict.value,
            speedup=node.speedup,
            best=node.best,
            href=f"/runs/{view.run_id}/attempts/{node.number}",
            title=f"Attempt {node.number}, {node.verdict.value.replace('_', ' ')}"
            + (f", {ratio(node.speedup)} {node.timing_kind.value}" if node.speedup and node.timing_kind else "")
            + f": {one_line(node.plan, 120)}",
        )
        for node in view.nodes
    ]
    return tree(nodes, "" if view.kind is None else view.kind.value)


@twins.page("/runs/{run_id}/lineage", "lineage.html.j2", drawn=_drawn, letters=LETTERS)
def lineage(
    site: Here,
    run_id: Annotated[str, Path(max_length=64, pattern=r"^[^\x00]+$")],
    first: Annotated[int, Query(ge=1, le=2**31 - 1, description="Number of the first attempt to show.")] = 1,
    rows: Annotated[GridAxis, Query(description="Axis of the grid's rows.")] = GridAxis.TECHNIQUE,
    columns: Annotated[GridAxis, Query(description="Axis of its columns.")] = GridAxis.OCCUPANCY,
) -> LineagePage:
    """The tree of a run's attempts, and the MAP-Elites grid of its archive where it has one."""
    return lineage_page(site.store, run_id, first=first, rows=rows, columns=columns)
