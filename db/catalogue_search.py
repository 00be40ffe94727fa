"""Finding kernels in the catalogue.

What is chosen is asked of the full text first, facts included: if few rows have it all, those rows are looked at and counted. If many
have it, the list is gone along in its order until a page is full; the index of the order holds all columns that can be chosen by.
Either way the rows that are touched are few, however many are stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import func, literal_column, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from kernelwright.db.catalogue_models import CatalogueRow, TaskTraitsRow
from kernelwright.db.fulltext import Terms, having, matching, spelt
from kernelwright.db.models import TaskRow
from kernelwright.db.search_terms import asked_words, dtype_named, fact, operation_named, shape_named
from kernelwright.errors import MisuseError
from kernelwright.verifier.evaluation import TimingKind, Verdict

__all__ = ["FEW", "FoundKernel", "FoundKernels", "Order", "Wanted", "find_kernels"]

FEW = 1000
"""Rows that are looked at one by one."""
_MOST_WORDS = 8
_FACTS = {"task_id": "task"}
"""Names of columns that have another name as facts."""


class Order(StrEnum):
    """How kernels are listed."""

    SPEEDUP = "speedup"
    """The largest speed-up over the baseline first; what did not pass last."""
    NEWEST = "newest"
    """The one first that was first judged last."""


@dataclass(frozen=True)
class Wanted:
    """Which kernels are wanted; an empty text is all."""

    kind: TimingKind
    words: str = ""
    """Words of the task's name and operations, of classes and CUDA kernels, of plans and authors, GPU and architecture. One that nothing
    has stands for all that begin so."""
    operation: str = ""
    shape: str = ""
    """Of an input, or one of its extents."""
    dtype: str = ""
    technique: str = ""
    """One of `rl.archive.features.TAGS`."""
    gpu: str = ""
    arch: str = ""
    author: str = ""
    verdict: str = ""
    task_id: str = ""

    def facts(self) -> list[str]:
        """Those that are terms only."""
        found = [
            fact("op", operation_named(self.operation)) if self.operation else "",
            fact("shape", shape_named(self.shape)) if self.shape else "",
            fact("dtype", dtype_named(self.dtype)) if self.dtype else "",
            fact("technique", self.technique) if self.technique else "",
        ]
        return [each for each in found if each]

    def columns(self) -> dict[str, str]:
        """What is chosen by columns, which are facts too; the kind apart."""
        given = {
            "gpu": self.gpu,
            "arch": self.arch,
            "author": self.author,
            "verdict": self.verdict,
            "task_id": self.task_id,
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True)
class FoundKernel:
    """A row of the list. Times in seconds, None where it never passed."""

    id: int
    kernel_id: str
    task_id: str
    task_name: str
    operations: list[str]
    dtypes: list[str]
    shapes: list[str]
    techniques: list[str]
    kind: TimingKind
    verdict: Verdict
    gpu: str
    arch: str
    seconds: float | None
    baseline_seconds: float | None
    speedup_low: float | None
    speedup_high: float | None
    score: float
    author: str
    evaluations: int
    evaluation_id: str
    created: datetime


@dataclass(frozen=True)
class FoundKernels:
    """A page of the list."""

    kernels: list[FoundKernel]
    after: str
    """Where the next page begins; empty when this is the last."""
    count: int | None
    """How many there are in all; None where they are more than `FEW` or were not counted."""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Of them all, by GPU, verdict and technique; empty where they were not counted."""


def find_kernels(session: Session, wanted: Wanted, order: Order, after: str, limit: int) -> FoundKernels:
    """A page of the kernels that are wanted, behind the place `after`.

    Raises:
        MisuseError: `after` is no such place.
    """
    place = _place(after, order)
    words = spelt(session, asked_words(wanted.words)[:_MOST_WORDS])
    columns, facts = wanted.columns(), wanted.facts()
    nothing = (wanted.words and words == Terms(())) or (wanted.shape and not shape_named(wanted.shape))
    if nothing or not all(map(_storable, columns.values())):
        return FoundKernels([], "", 0)
    if facts or wanted.words or len(columns) > 1 or columns.keys() & {"arch", "author"}:
        counted = _few(session, wanted, words)
        if counted is not None:
            return _of_few(session, counted, order, place, limit)
        if order is Order.NEWEST:  # which is the order that the full text gives
            return _newest(session, wanted, words, place, limit)
    return _along(session, wanted, words, order, place, limit)


@dataclass(frozen=True)
class _Light:
    """What a row is counted and sorted by."""

    id: int
    score: float
    gpu: str
    verdict: str
    techniques: str


def _all_terms(wanted: Wanted, words: Terms) -> Terms:
    """Everything that is chosen."""
    columns = ((_FACTS.get(name, name), value) for name, value in wanted.columns().items())
    facts = (fact("kind", wanted.kind.value), *wanted.facts(), *(fact(name, value) for name, value in columns))
    return Terms((*facts, *words.whole), words.beginnings)


def _few(session: Session, wanted: Wanted, words: Terms) -> list[_Light] | None:
    """All rows that are wanted, if they are few."""
    dialect, terms = session.get_bind().dialect.name, _all_terms(wanted, words)
    ids = matching(dialect, terms).limit(FEW + 1)
    if (session.scalar(select(func.count()).select_from(ids.subquery())) or 0) > FEW:
        return None
    light = [getattr(CatalogueRow, each.name) for each in fields(_Light)]
    return [_Light(*row) for row in session.execute(select(*light).where(having(dialect, terms, FEW)))]


def _of_few(
    session: Session, rows: list[_Light], order: Order, place: tuple[float, int] | None, limit: int
) -> FoundKernels:
    def key(row: _Light) -> tuple[float, int]:
        return (row.score if order is Order.SPEEDUP else 0.0, row.id)

    ordered = sorted(rows, key=key, reverse=True)
    behind = [row for row in ordered if place is None or key(row) < place]
    page = {row.id: row for row in behind[:limit]}
    found = _kernels(session, page)
    counts = {
        "gpu": Counter(row.gpu for row in rows),
        "verdict": Counter(row.verdict for row in rows),
        "technique": Counter(each for row in rows for each in row.techniques.split()),
    }
    last = _after(*key(list(page.values())[-1]), order) if len(behind) > limit else ""
    return FoundKernels(
        [found[one] for one in page if one in found], last, len(rows),
        {name: dict(count.most_common()) for name, count in counts.items()},
    )  # fmt: skip


def _along(
    session: Session, wanted: Wanted, words: Terms, order: Order, place: tuple[float, int] | None, limit: int
) -> FoundKernels:
    row = CatalogueRow
    query = select(row.id, row.score).where(row.timing_kind == wanted.kind.value)
    for name, value in wanted.columns().items():
        query = query.where(getattr(row, name) == value)
    if (facts := wanted.facts()) or wanted.words:
        terms = Terms((*facts, *words.whole), words.beginnings)
        # the plus keeps either database from going from these rows to the order, which is slow where they are many
        query = query.where(literal_column("+catalogue.id").in_(matching(session.get_bind().dialect.name, terms)))
    keys: list[InstrumentedAttribute[float] | InstrumentedAttribute[int]] = [row.id]
    if order is Order.SPEEDUP:
        keys = [row.score, row.id]
    if place is not None:
        query = query.where(tuple_(*keys) < tuple_(*place[-len(keys) :]))
    page = session.execute(query.order_by(*(key.desc() for key in keys)).limit(limit + 1)).all()
    shown = page[:limit]
    found = _kernels(session, [one.id for one in shown])
    more = len(page) > limit
    last = _after(shown[-1].score if order is Order.SPEEDUP else 0.0, shown[-1].id, order) if more else ""
    count = len(page) if place is None and not more else None
    return FoundKernels([found[one.id] for one in shown if one.id in found], last, count)


def _newest(
    session: Session, wanted: Wanted, words: Terms, place: tuple[float, int] | None, limit: int
) -> FoundKernels:
    ids = matching(session.get_bind().dialect.name, _all_terms(wanted, words))
    (row_id,) = ids.selected_columns
    if place is not None:
        ids = ids.where(row_id < place[1])
    page = list(session.scalars(ids.order_by(row_id.desc()).limit(limit + 1)))
    found = _kernels(session, page[:limit])
    last = _after(0.0, page[limit - 1], Order.NEWEST) if len(page) > limit else ""
    return FoundKernels([found[one] for one in page[:limit] if one in found], last, None)


def _kernels(session: Session, ids: Collection[int]) -> dict[int, FoundKernel]:
    row, traits = CatalogueRow, TaskTraitsRow
    query = (
        select(
            row.id, row.kernel_id, row.task_id, TaskRow.name, traits.operations, traits.dtypes, traits.shapes, row.techniques,
            row.timing_kind, row.verdict, row.gpu, row.arch, row.seconds, row.baseline_seconds, row.speedup_low, row.speedup_high,
            row.score, row.author, row.evaluations, row.evaluation_id, row.created,
        )
        .join(TaskRow, TaskRow.id == row.task_id)
        .join(traits, traits.task_id == row.task_id)
        .where(row.id.in_(ids))
    )  # fmt: skip
    return {row.id: _found(row) for row in session.execute(query)}


def _found(row: Any) -> FoundKernel:
    same = {name: row._mapping[name] for name in _AS_STORED}
    return FoundKernel(
        **same,
        task_name=row.name,
        operations=row.operations.split(),
        dtypes=row.dtypes.split(),
        shapes=row.shapes.split(),
        techniques=row.techniques.split(),
        kind=TimingKind(row.timing_kind),
        verdict=Verdict(row.verdict),
    )


_AS_STORED = tuple(
    each.name
    for each in fields(FoundKernel)
    if each.name not in {"task_name", "operations", "dtypes", "shapes", "techniques", "kind", "verdict"}
)


def _after(score: float, row_id: int, order: Order) -> str:
    return f"{score!r}~{row_id}" if order is Order.SPEEDUP else str(row_id)


def _storable(text: str) -> bool:
    """Whether a database can hold the text at all."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _place(after: str, order: Order) -> tuple[float, int] | None:
    """Score and id of the last row of the page before."""
    if not after:
        return None
    score, _, row_id = after.rpartition("~")
    try:
        if (
            (order is Order.SPEEDUP) is not bool(score)
            or not (row_id.isascii() and row_id.isdecimal())
            or not 0 <= int(row_id) < 1 << 31
        ):
            raise ValueError
        number = float(score or 0.0)
        if not 0.0 <= number < float("inf"):
            raise ValueError
    except ValueError:
        raise MisuseError(f"There is no page {after[:40]!r} of this list.", mend="Begin at its first page.") from None
    return number, int(row_id)
