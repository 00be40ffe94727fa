"""Filling the catalogue from what is stored: once, when a store of an older version is opened.

The evaluations are read once, in the order in which they lie on disk, and only their narrow columns are kept, in a temporary table;
kernels follow in parts, so memory stays bounded. A later version that changes the catalogue's columns can empty it and fill it
again; its revision must then take this call over from 0007.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, text

from kernelwright.db.archive_models import table_of
from kernelwright.db.catalogue import Place, Standing, catalogue_row, kind_on, told_elsewhere, traits_row
from kernelwright.db.catalogue_models import CatalogueRow, TaskTraitsRow
from kernelwright.db.models import TaskRow
from kernelwright.db.rows import Columns
from kernelwright.db.types import UtcDateTime

__all__ = ["fill_catalogue"]

_KERNELS = 500
"""That are looked at together."""
_PLANS = 20
"""Plans of one kernel whose words are terms."""

_NARROW = """
CREATE TEMPORARY TABLE narrow_evaluations AS
SELECT e.kernel_id AS kernel_id, e.created AS created, e.id AS id, e.task_id AS task_id, e.gpu AS gpu, d.kind AS device_kind,
       d.arch AS arch, e.verdict AS verdict, e.seconds AS seconds, e.baseline_seconds AS baseline_seconds,
       {low} AS speedup_low, {high} AS speedup_high
FROM evaluations AS e JOIN devices AS d ON d.id = e.device_id
"""
_ENDS = {
    "sqlite": "CASE WHEN e.timing IS NULL THEN NULL ELSE json_extract(e.timing, '$.speedup_{}') END",
    "postgresql": "CAST(e.timing ->> 'speedup_{}' AS double precision)",
}


def fill_catalogue(connection: Connection) -> None:
    """Fills the catalogue, which is empty, and what it says of tasks."""
    _fill_traits(connection)
    ends = _ENDS[connection.dialect.name]
    connection.execute(text(_NARROW.format(low=ends.format("low"), high=ends.format("high"))))
    connection.execute(text("CREATE INDEX temp_narrow ON narrow_evaluations (kernel_id)"))
    if connection.dialect.name == "postgresql":
        connection.execute(text("ANALYZE narrow_evaluations"))
    first_judged = text(
        "SELECT kernel_id FROM (SELECT kernel_id, min(created) AS begun FROM narrow_evaluations GROUP BY kernel_id) AS k "
        "ORDER BY begun, kernel_id"
    )
    kernels = [row.kernel_id for row in connection.execute(first_judged)]  # some 100 bytes each
    for begin in range(0, len(kernels), _KERNELS):
        made = list(_rows_of(connection, kernels[begin : begin + _KERNELS]))
        if made:
            connection.execute(insert(table_of(CatalogueRow)), made)
    connection.execute(text("DROP TABLE narrow_evaluations"))


def _fill_traits(connection: Connection) -> None:
    tasks = table_of(TaskRow)
    after = ""
    while True:
        part = connection.execute(
            select(tasks.c.id, tasks.c.name, tasks.c.source)
            .where(tasks.c.id > after)
            .order_by(tasks.c.id)
            .limit(_KERNELS)
        ).all()
        if not part:
            return
        connection.execute(insert(table_of(TaskTraitsRow)), [traits_row(row.id, row.name, row.source) for row in part])
        after = part[-1].id


def _rows_of(connection: Connection, kernels: Sequence[str]) -> Iterator[Columns]:
    evaluations = _by_kernel(
        connection,
        text("SELECT * FROM narrow_evaluations WHERE kernel_id IN :kernels ORDER BY kernel_id, created, id").columns(
            created=UtcDateTime()
        ),
        kernels,
    )
    sources = _by_kernel(
        connection, text("SELECT id AS kernel_id, author, source FROM kernels WHERE id IN :kernels"), kernels
    )
    plans = _by_kernel(
        connection,
        text(
            "SELECT a.kernel_id AS kernel_id, a.plan AS plan, r.task_id AS task_id FROM attempts AS a JOIN runs AS r ON r.id = a.run_id "
            "WHERE a.kernel_id IN :kernels ORDER BY a.id"
        ),
        kernels,
    )
    tasks = sorted({row.task_id for rows in evaluations.values() for row in rows})
    terms = {
        row.kernel_id: row.terms
        for row in connection.execute(
            text("SELECT task_id AS kernel_id, terms FROM task_traits WHERE task_id IN :tasks").bindparams(
                bindparam("tasks", tasks, expanding=True)
            )
        )
    }
    for kernel_id in kernels:
        (kernel,) = sources[kernel_id]
        yield from _rows_of_kernel(kernel, evaluations[kernel_id], plans[kernel_id], terms)


def _rows_of_kernel(
    kernel: Row[Any], evaluations: Iterable[Row[Any]], plans: Iterable[Row[Any]], terms: dict[str, str]
) -> Iterator[Columns]:
    standings: dict[Place, Standing] = {}
    arches: dict[Place, str] = {}
    verdicts: list[tuple[str, str]] = []
    for row in evaluations:
        place = Place(kernel.kernel_id, row.task_id, row.gpu, kind_on(row.device_kind))
        one = Standing(
            row.id, row.verdict, row.seconds, row.baseline_seconds, row.speedup_low, row.speedup_high, row.created
        )
        standings[place] = one if place not in standings else standings[place].with_another(one)
        arches.setdefault(place, row.arch)
        verdicts.append((row.task_id, row.verdict))
    for place, standing in standings.items():
        said = dict.fromkeys(row.plan for row in plans if row.task_id == place.task_id)
        yield catalogue_row(
            place, standing.under(told_elsewhere(place, verdicts)), arches[place], kernel.author, kernel.source,
            terms.get(place.task_id, ""), list(said)[:_PLANS],
        )  # fmt: skip


def _by_kernel(connection: Connection, query: Any, kernels: Sequence[str]) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(query.bindparams(bindparam("kernels", list(kernels), expanding=True))):
        found[row.kernel_id].append(row)
    return found
