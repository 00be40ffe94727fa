"""What kernels can be chosen by, with how many there are: for the choices that a page offers.

This goes through all of the catalogue (about half a second for 300,000 rows), so who serves pages keeps what it gives for a while.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kernelwright.db.catalogue_models import CatalogueRow, TaskTraitsRow
from kernelwright.verifier.evaluation import TimingKind

__all__ = ["Facets", "facets", "kinds_there"]

_OFFERED = 200
"""Values of one sort that are offered, the most frequent first."""


@dataclass(frozen=True)
class Facets:
    """Kernels by what they can be chosen by, the most frequent first; a kernel on two tasks or GPUs counts twice."""

    kernels: int
    gpus: Mapping[str, int]
    arches: Mapping[str, int]
    verdicts: Mapping[str, int]
    techniques: Mapping[str, int]
    authors: Mapping[str, int]
    operations: Mapping[str, int]
    dtypes: Mapping[str, int]


def facets(session: Session, kind: TimingKind) -> Facets:
    """Of kernels with this kind of time."""
    row = CatalogueRow
    gpus, arches, verdicts, techniques = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    query = (
        select(row.gpu, row.arch, row.verdict, row.techniques, func.count())
        .where(row.timing_kind == kind.value)
        .group_by(row.gpu, row.arch, row.verdict, row.techniques)
    )
    for gpu, arch, verdict, told, count in session.execute(query):
        gpus[gpu] += count
        arches[arch] += count
        verdicts[verdict] += count
        for technique in told.split():
            techniques[technique] += count
    by_author = (
        select(row.author, func.count())
        .where(row.timing_kind == kind.value)
        .group_by(row.author)
        .order_by(func.count().desc(), row.author)
        .limit(_OFFERED)
    )
    authors = Counter({row[0]: row[1] for row in session.execute(by_author)})
    of_tasks = (
        select(row.task_id, func.count().label("n"))
        .where(row.timing_kind == kind.value)
        .group_by(row.task_id)
        .subquery()
    )
    operations, dtypes = Counter[str](), Counter[str]()
    traits = select(TaskTraitsRow.operations, TaskTraitsRow.dtypes, of_tasks.c.n).join(
        of_tasks, of_tasks.c.task_id == TaskTraitsRow.task_id
    )
    for told, types, count in session.execute(traits):
        operations.update(dict.fromkeys(told.split(), count))
        dtypes.update(dict.fromkeys(types.split(), count))
    return Facets(
        gpus.total(), *(dict(each.most_common(_OFFERED)) for each in (gpus, arches, verdicts, techniques, authors, operations, dtypes))
    )  # fmt: skip


def kinds_there(session: Session) -> list[TimingKind]:
    """The kinds that some row has, measured first."""
    there = (select(CatalogueRow.id).where(CatalogueRow.timing_kind == kind.value).limit(1) for kind in TimingKind)
    return [kind for kind, query in zip(TimingKind, there, strict=True) if session.scalar(query) is not None]
