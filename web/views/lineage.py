"""The lineage of a run: which attempt came from which, and the grid of its archive."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel

from kernelwright.agents.ranking import fastest
from kernelwright.db.archive_view import ArchiveView, EliteView
from kernelwright.db.attempt_lines import AttemptLine
from kernelwright.db.store import Store
from kernelwright.rl.archive.cells import all_cells
from kernelwright.rl.archive.features import TAGS
from kernelwright.rl.run import RunStatus
from kernelwright.verifier.evaluation import TimingKind, Verdict
from kernelwright.web.views.attempt import parents_in
from kernelwright.web.views.figures import Text

__all__ = ["GridAxis", "LineagePage", "lineage_page"]

PAGE = 200
"""Attempts of one page."""


class GridAxis(StrEnum):
    """What kernels of an archive differ in."""

    REGISTERS = "registers"
    """A thread."""
    SHARED = "shared"
    """Shared memory a block."""
    OCCUPANCY = "occupancy"
    """Share of the warps that fit."""
    DRAM = "dram"
    """Share of the time that DRAM is busy."""
    TECHNIQUE = "technique"


class NodeView(BaseModel):
    """An attempt in the tree; times in seconds."""

    number: int
    kernel_id: str
    parents: list[int]
    """Numbers of the attempts that made its parents."""
    others: int
    """Parents that are from elsewhere."""
    generation: int
    """0 has no parent in this run; a child is one more than the oldest line behind it."""
    plan: Text
    author: Text
    verdict: Verdict
    timing_kind: TimingKind | None
    seconds: float | None
    speedup: float | None
    best: bool


class Bin(BaseModel):
    """A row or column of the grid."""

    key: str
    label: str
    about: str
    """What it means, in words."""


class GridCell(BaseModel):
    """The fastest kernel of a cell; times in seconds."""

    kernels: int
    """Kernels that are bred from, in this row and column: of other islands, or that differ along other axes."""
    run_id: str
    number: int
    kernel_id: str
    seconds: float
    speedup: float
    """Over the archive's baseline."""
    top: bool
    """Whether no cell has a faster one."""


class GridView(BaseModel):
    """The archive of a run, seen along two of its axes."""

    name: str
    gpu: str
    kind: TimingKind
    islands: int
    elites: int
    cells: int
    """That there can be."""
    baseline_seconds: float | None
    row_axis: GridAxis
    column_axis: GridAxis
    rows: list[Bin]
    columns: list[Bin]
    filled: list[list[GridCell | None]]
    """By row and column."""


class LineagePage(BaseModel):
    """The tree of a run."""

    run_id: str
    task_id: str
    task_name: Text
    strategy: str
    status: RunStatus
    attempts: int
    """Of the whole run."""
    first: int
    """Number of the first attempt of this page."""
    previous: int | None
    """Where the page before begins."""
    next: int | None
    kind: TimingKind | None
    """Of the speed-ups; null where none is known or both kinds are there."""
    nodes: list[NodeView]
    axes: list[GridAxis]
    grid: GridView | None
    """Null for strategies without an archive."""


def lineage_page(
    store: Store,
    run_id: str,
    *,
    first: int = 1,
    rows: GridAxis = GridAxis.TECHNIQUE,
    columns: GridAxis = GridAxis.OCCUPANCY,
) -> LineagePage:
    """The attempts from number `first` on, and the grid along two axes.

    Raises:
        NotFoundError: there is no such run.
    """
    run = store.run_head(run_id)
    lines = store.attempt_lines(run.id)
    shown = [line for line in lines if line.number >= first][:PAGE]
    before = [line.number for line in lines if line.number < first]
    after = [line.number for line in lines if shown and line.number > shown[-1].number]
    kinds = {line.timing_kind for line in shown if line.timing_kind is not None}
    found = store.archives(1, run_id=run.id)
    return LineagePage(
        run_id=run.id,
        task_id=run.task_id,
        task_name=run.task_name,
        strategy=run.strategy,
        status=run.status,
        attempts=len(lines),
        first=first,
        previous=before[-PAGE:][0] if before else None,
        next=after[0] if after else None,
        kind=kinds.pop() if len(kinds) == 1 else None,
        nodes=_nodes(lines, shown),
        axes=list(GridAxis),
        grid=_grid(found[0], rows, columns) if found else None,
    )


def _nodes(lines: Sequence[AttemptLine], shown: Sequence[AttemptLine]) -> list[NodeView]:
    parents = parents_in(lines)
    depth: dict[int, int] = {}
    for line in lines:
        depth[line.number] = 1 + max((depth[parent] for parent in parents[line.number]), default=-1)
    timed = [(line.number, line.timing_kind, line.seconds) for line in lines]
    best = fastest((n, kind, seconds) for n, kind, seconds in timed if kind is not None and seconds is not None)
    return [
        NodeView(
            number=line.number,
            kernel_id=line.kernel_id,
            parents=sorted(set(parents[line.number])),
            others=len(set(line.parents)) - len(set(parents[line.number])),
            generation=depth[line.number],
            plan=line.plan,
            author=line.author,
            verdict=line.verdict,
            timing_kind=line.timing_kind,
            seconds=line.seconds,
            speedup=line.speedup,
            best=line.number == best,
        )
        for line in shown
    ]


_PLACES = {axis: place for place, axis in enumerate(GridAxis)}
"""Where an axis stands in a cell's name: `r64-s16k-o50-d33-shared_tiling` (`kernelwright.rl.archive.cells`)."""


def _grid(archive: ArchiveView, rows: GridAxis, columns: GridAxis) -> GridView:
    if rows is columns:
        columns = next(axis for axis in GridAxis if axis is not rows)
    row_keys, column_keys = _keys(rows), _keys(columns)
    members: dict[tuple[str, str], list[EliteView]] = {}
    for elite in archive.elites:
        parts = _parts(elite.cell)
        if parts is not None:
            members.setdefault((parts[_PLACES[rows]], parts[_PLACES[columns]]), []).append(elite)
    least = min((elite.seconds for elite in archive.elites), default=0.0)
    return GridView(
        name=archive.name,
        gpu=archive.gpu,
        kind=archive.timing_kind,
        islands=len(archive.islands),
        elites=len(archive.elites),
        cells=len(all_cells()),
        baseline_seconds=archive.baseline_seconds,
        row_axis=rows,
        column_axis=columns,
        rows=[_bin(rows, key) for key in row_keys],
        columns=[_bin(columns, key) for key in column_keys],
        filled=[[_cell(members.get((row, column), []), least) for column in column_keys] for row in row_keys],
    )


def _cell(elites: Sequence[EliteView], least: float) -> GridCell | None:
    if not elites:
        return None
    best = min(elites, key=lambda each: (each.seconds, each.run_id, each.number))
    return GridCell(
        kernels=len({elite.kernel_id for elite in elites}),
        run_id=best.run_id,
        number=best.number,
        kernel_id=best.kernel_id,
        seconds=best.seconds,
        speedup=best.speedup,
        top=best.seconds == least,
    )


def _parts(cell: str) -> list[str] | None:
    parts = cell.split("-")
    return parts if len(parts) == len(_PLACES) else None


def _keys(axis: GridAxis) -> list[str]:
    return list(dict.fromkeys(cell.split("-")[_PLACES[axis]] for cell in all_cells()))


def _bin(axis: GridAxis, key: str) -> Bin:
    keys = _keys(axis)
    if axis is GridAxis.TECHNIQUE:
        return Bin(key=key, label=key.replace("_", " "), about=TAGS.get(key, "none of the others"))
    numbers = [_number(each) for each in keys] + [""]
    low, high = numbers[keys.index(key)], numbers[keys.index(key) + 1]
    what = {GridAxis.REGISTERS: "registers a thread", GridAxis.SHARED: "shared memory a block", GridAxis.OCCUPANCY: "occupancy",
            GridAxis.DRAM: "of the time DRAM is busy"}[axis]  # fmt: skip
    if axis is GridAxis.SHARED:
        label = {"s0": "none", "s1": "up to 16 KiB", "s16k": "16 to 48 KiB", "s48k": "over 48 KiB"}.get(key, key)
    elif axis is GridAxis.REGISTERS:
        label = f"up to {high}" if low == "0" else f"over {low}" if not high else f"{int(low) + 1} to {high}"
    else:
        label = f"below {high} %" if low == "0" else f"{low} % and more" if not high else f"{low} to {high} %"
    return Bin(key=key, label=label, about=f"{label} {what}")


def _number(key: str) -> str:
    return re.sub(r"\D", "", key)
