"""The catalogue: a row for every kernel on a task, for a GPU, with one kind of time; what kernels are found and listed by.

It is kept up to date in the transaction that stores an evaluation. `Standing` holds the rules of which evaluation counts, for that
and for filling the catalogue anew (`kernelwright.db.catalogue_fill`) alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import islice

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from kernelwright.bench_tasks.traits import traits_of
from kernelwright.db.catalogue_models import CatalogueRow, TaskTraitsRow
from kernelwright.db.models import KernelRow
from kernelwright.db.rows import Columns
from kernelwright.db.search_terms import fact, shape_facts, words_of
from kernelwright.rl.archive.techniques import techniques_of
from kernelwright.verifier.evaluation import DeviceInfo, TimingKind, Verdict

__all__ = [
    "GRAVE",
    "Place",
    "Standing",
    "catalogue_evaluation",
    "catalogue_row",
    "kind_on",
    "told_elsewhere",
    "traits_row",
]

GRAVE = (Verdict.CHEATING, Verdict.UNSAFE, Verdict.WRONG)
"""Verdicts that count against a kernel whatever other evaluations say, the gravest first; the last on its task only."""
_TERMS = 400
"""Terms that one row has at most."""
_TASK_TERMS = 250
"""Those of them that it may have because of its task."""
_NAMES = 20
"""Classes, and kernels, of a source whose names are terms."""
_LOOKED_AT = 400_000  # characters
_CLASS = re.compile(r"class[ \t]+([A-Za-z_]\w{0,79})[ \t]*[(:{]")
_GLOBAL = re.compile(r"__global__")
_CALLED = re.compile(r"(\w{1,80})[ \t]*\(")


@dataclass(frozen=True)
class Place:
    """What a row is about."""

    kernel_id: str
    task_id: str
    gpu: str
    kind: TimingKind


@dataclass(frozen=True)
class Standing:
    """How a kernel stands there, or what one evaluation says of it. Times in seconds, None where it did not pass."""

    evaluation_id: str
    verdict: str
    seconds: float | None
    baseline_seconds: float | None
    speedup_low: float | None
    speedup_high: float | None
    created: datetime
    evaluations: int = 1

    @property
    def score(self) -> float:
        """What lists are sorted by."""
        if self.verdict != Verdict.PASSED or not self.seconds or not self.baseline_seconds:
            return 0.0
        return self.baseline_seconds / self.seconds

    def with_another(self, new: Standing) -> Standing:
        """After another evaluation at the same place, stored later."""
        best = new if _better(new, self) else self
        verdict = _gravest((self.verdict, new.verdict)) or best.verdict
        return replace(best, verdict=verdict, evaluations=self.evaluations + new.evaluations)

    def under(self, verdicts: Iterable[str]) -> Standing:
        """With what else was found out about the kernel."""
        grave = _gravest((self.verdict, *verdicts))
        return self if grave is None or grave == self.verdict else replace(self, verdict=grave)

    def columns(self) -> Columns:
        """Of its row."""
        return {**self.__dict__, "score": self.score}


def told_elsewhere(place: Place, others: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Of the tasks and verdicts of a kernel's rows or evaluations, the verdicts that count against it at `place` too."""
    for task_id, verdict in others:
        if verdict in (Verdict.CHEATING, Verdict.UNSAFE) or (verdict == Verdict.WRONG and task_id == place.task_id):
            yield verdict


def _better(new: Standing, old: Standing) -> bool:
    """The fastest that passed counts; the newest where none did."""
    return old.seconds is None or (new.seconds is not None and new.seconds < old.seconds)


def _gravest(verdicts: Iterable[str]) -> str | None:
    found = set(verdicts)
    return next((verdict.value for verdict in GRAVE if verdict in found), None)


def kind_on(device_kind: str) -> TimingKind:
    """The kind of time that a device gives."""
    return TimingKind.MEASURED if device_kind == "cuda" else TimingKind.MODELLED


# -- rows -------------------------------------------------------------------------------------------------------


def traits_row(task_id: str, name: str, source: str) -> Columns:
    """The row about a task."""
    traits = traits_of(source)
    operations, dtypes = sorted(traits.operations), sorted(traits.dtypes)
    terms = [
        fact("task", task_id),
        *(fact("op", each) for each in operations),
        *(fact("dtype", each) for each in dtypes),
        *shape_facts(traits.shapes[:32]),
        *words_of(f"{name} {' '.join(operations)}"),
        *words_of(" ".join(_classes(source))),
    ]
    return {
        "task_id": task_id,
        "operations": " ".join(operations),
        "dtypes": " ".join(dtypes),
        "shapes": " ".join(dict.fromkeys("x".join(map(str, shape)) for shape in traits.shapes[:32])),
        "terms": " ".join(list(dict.fromkeys(terms))[:_TASK_TERMS]),
    }


@lru_cache(maxsize=256)
def _classes(source: str) -> tuple[str, ...]:
    """Names of classes, and of kernels in CUDA C++, as far as a glance tells."""
    text = source[:_LOOKED_AT]
    found = dict.fromkeys(islice((match[1] for match in _CLASS.finditer(text)), _NAMES))
    for match in islice(_GLOBAL.finditer(text), _NAMES):
        found.update(dict.fromkeys(_CALLED.findall(text[match.end() : match.end() + 200])[:2]))
    return tuple(found)


def _column_facts(place: Place, arch: str, author: str, verdict: str) -> list[str]:
    """The facts that are columns too: all are terms, so that any choice is one search of terms."""
    return [
        fact("kind", place.kind.value),
        fact("gpu", place.gpu),
        fact("arch", arch),
        fact("author", author),
        fact("verdict", verdict),
    ]


def catalogue_row(
    place: Place, standing: Standing, arch: str, author: str, source: str, task_terms: str, plans: Iterable[str]
) -> Columns:
    """A new row."""
    techniques = techniques_of(source)
    words = [word for text in (place.gpu, arch, author, *plans) for word in words_of(text)]
    terms = [
        *_column_facts(place, arch, author, standing.verdict),
        *(fact("technique", each) for each in techniques),
        *task_terms.split(),
        *words_of(" ".join(_classes(source))),
        *words,
    ]
    return {
        "kernel_id": place.kernel_id,
        "task_id": place.task_id,
        "gpu": place.gpu,
        "timing_kind": place.kind.value,
        "arch": arch,
        "author": author,
        "techniques": " ".join(techniques),
        "terms": " ".join(list(dict.fromkeys(terms))[:_TERMS]),
        **standing.columns(),
    }


# -- with every evaluation --------------------------------------------------------------------------------------


def catalogue_evaluation(session: Session, columns: Columns, source: str, device: DeviceInfo, plan: str) -> None:
    """Takes in an evaluation that was stored just now: some 1 ms.

    Args:
        columns: its row.
        source: of the kernel.
    """
    place = Place(columns["kernel_id"], columns["task_id"], columns["gpu"], kind_on(device.kind))
    timing = columns["timing"] or {}
    new = Standing(
        columns["id"], columns["verdict"], columns["seconds"], columns["baseline_seconds"], timing.get("speedup_low"),
        timing.get("speedup_high"), columns["created"],
    )  # fmt: skip
    # on a server, two writers of one kernel follow one another
    own = select(KernelRow.author).where(KernelRow.id == place.kernel_id).with_for_update(key_share=True)
    author = session.scalar(own) or ""
    rows = session.scalars(select(CatalogueRow).where(CatalogueRow.kernel_id == place.kernel_id)).all()
    here = next((row for row in rows if _place(row) == place), None)
    against = list(told_elsewhere(place, ((row.task_id, row.verdict) for row in rows)))
    if here is None:
        terms = _task_terms(session, place.task_id)
        made = catalogue_row(place, new.under(against), device.arch, author, source, terms, [plan])
        session.execute(insert(CatalogueRow).values(made))
    else:
        standing = _standing(here).with_another(new).under(against)
        _put(session, here, standing, words_of(plan))
    if new.verdict in GRAVE:
        for row in rows:
            if row is not here and list(told_elsewhere(_place(row), [(place.task_id, new.verdict)])):
                _put(session, row, _standing(row).under([new.verdict]), [])


def _put(session: Session, row: CatalogueRow, standing: Standing, words: Iterable[str]) -> None:
    given = standing.columns()
    terms = row.terms.split()
    if standing.verdict != row.verdict:
        terms = [fact("verdict", standing.verdict), *(t for t in terms if t != fact("verdict", row.verdict))]
    terms = list(dict.fromkeys([*terms, *words]))[:_TERMS]
    if terms != row.terms.split():  # else the full text is left alone
        given["terms"] = " ".join(terms)
    session.execute(update(CatalogueRow).where(CatalogueRow.id == row.id).values(given))


def _place(row: CatalogueRow) -> Place:
    return Place(row.kernel_id, row.task_id, row.gpu, TimingKind(row.timing_kind))


def _standing(row: CatalogueRow) -> Standing:
    return Standing(**{name: getattr(row, name) for name in Standing.__dataclass_fields__})


def _task_terms(session: Session, task_id: str) -> str:
    found = session.scalar(select(TaskTraitsRow.terms).where(TaskTraitsRow.task_id == task_id))
    return found or ""
