"""Winners like a task: kernels that passed, on the same task, on the same module in other sizes, on modules with like operations.

No code is run: what a task is like is read from its source (`bench_tasks.traits`). The database narrows first: of the tasks that
have a winner, those of the same name and those whose source speaks of one of the operations, the newest `_LOOKED_AT` of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, func, or_, select, true
from sqlalchemy.orm import Session

from kernelwright.agents.ranking import fastest
from kernelwright.bench_tasks.task import Task
from kernelwright.bench_tasks.traits import LIGHT, Traits, alike, shapes_alike, traits_of
from kernelwright.db import rows
from kernelwright.db.models import DeviceRow, EvaluationRow, KernelRow, TaskRow
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, TimingKind, Verdict

__all__ = ["Winner", "winners_about", "winners_like"]

_LOOKED_AT = 400
"""Other tasks that are compared: reading the operations of one takes about half a millisecond, once in a process."""
_WEIGHTS = {"operations": 0.5, "name": 0.25, "dtype": 0.1, "shape": 0.1, "architecture": 0.05}
_OTHER_TASK = 0.95
"""The most that another task can be alike: 1 is for the task itself."""
_SPELLINGS = {"matmul": ("matmul", "mm(", "@")}
"""Where a source may speak of an operation by another name than the one that `traits_of` gives it."""
_WORDS = 12
"""Words of a text that are looked for."""


@dataclass(frozen=True)
class Winner:
    """The fastest kernel that passed on one task."""

    task: Task
    kernel: Kernel
    evaluation: Evaluation
    similarity: float
    """Of its task to what was asked for, 0 to 1; 1 is the same task."""
    why: str
    """The same in words."""


@dataclass(frozen=True)
class _Ranked:
    """A task that has a winner."""

    id: str
    similarity: float
    why: str


@dataclass(frozen=True)
class _Timed:
    """An evaluation that passed; its time in seconds."""

    id: str
    kernel_id: str
    kind: TimingKind
    seconds: float
    arch: str


def winners_like(session: Session, task: Task, arch: str, limit: int) -> list[Winner]:
    """At most `limit`, one a task and no kernel twice: the most alike first, those of this architecture before others."""
    mine = traits_of(task.source)
    told = [spelling for name in sorted(mine.operations - LIGHT) for spelling in _SPELLINGS.get(name, (name,))]
    spoken = [_plain_source().contains(spelling, autoescape=True) for spelling in told]
    if mine.operations and not told:
        spoken = [true()]  # a sum or a product is written in too many ways to be looked for
    same_name = func.lower(TaskRow.name) == task.name.lower()
    found = []
    for row in _tasks(session, or_(TaskRow.id == task.id, same_name, *spoken), (TaskRow.id == task.id, same_name)):
        if row.id == task.id:
            found.append(_Ranked(row.id, 1.0, "the same task"))
        elif (ranked := _compared(task.name, mine, row)) is not None:
            found.append(ranked)
    return _winners(session, found, arch, limit)


def winners_about(session: Session, text: str, arch: str, limit: int) -> list[Winner]:
    """The same for words: of tasks whose name or source has one of them, those with more first, in the name before the source."""
    words = list(dict.fromkeys(re.findall(r"\w+", text.lower())))[:_WORDS]
    if not words:
        return []
    parts = [
        part.contains(word, autoescape=True)
        for word in words
        for part in (func.lower(TaskRow.name), func.lower(TaskRow.source))
    ]
    found = []
    for row in _tasks(session, or_(*parts), parts[::2]):
        name, source = row.name.lower(), row.source.lower()
        hits = {word: 1.0 if word in name else 0.7 for word in words if word in name or word in source}
        why = "its " + ", ".join(f"{'name' if hits[w] == 1.0 else 'source'} has {w!r}" for w in hits)
        share = (1 - _WEIGHTS["architecture"]) * sum(hits.values()) / len(words)
        found.append(_Ranked(row.id, _OTHER_TASK * share, why))
    return _winners(session, found, arch, limit)


def _plain_source() -> ColumnElement[str]:
    """As `traits_of` spells operations: `layer_norm` and `LayerNorm` are `layernorm`."""
    return func.replace(func.lower(TaskRow.source), "_", "")


@dataclass(frozen=True)
class _TaskText:
    id: str
    name: str
    source: str


def _tasks(session: Session, wanted: ColumnElement[bool], first: Sequence[ColumnElement[bool]]) -> Iterable[_TaskText]:
    """Tasks that have a winner, those for which one of `first` holds before others, then the newest."""
    passed = exists().where(EvaluationRow.task_id == TaskRow.id, EvaluationRow.timing_kind.is_not(None))
    query = (
        select(TaskRow.id, TaskRow.name, TaskRow.source)
        .where(passed, wanted)
        .order_by(*(condition.desc() for condition in first), TaskRow.created.desc(), TaskRow.id)
        .limit(_LOOKED_AT)
    )
    return [_TaskText(*row) for row in session.execute(query)]


def _compared(name: str, mine: Traits, row: _TaskText) -> _Ranked | None:
    """How alike another task is, without the architecture; None if it has neither a name nor an operation in common."""
    theirs = traits_of(row.source)
    operations, same_name = alike(mine.operations, theirs.operations), row.name.lower() == name.lower()
    if not operations and not same_name:
        return None
    both = mine.dtypes | theirs.dtypes
    parts = {
        "operations": operations,
        "name": float(same_name),
        "dtype": len(mine.dtypes & theirs.dtypes) / len(both) if both else 0.0,
        "shape": shapes_alike(mine.shapes, theirs.shapes),
    }
    said = ["the same name" if same_name else ""]
    if common := sorted(mine.operations & theirs.operations, key=lambda each: (each in LIGHT, each)):
        said.append(f"{'the same' if operations == 1 else 'common'} operations ({', '.join(common[:6])})")
    said += [
        f"dtype {', '.join(sorted(theirs.dtypes))}" if parts["dtype"] < 1 and theirs.dtypes else "",
        "the same shapes" if parts["shape"] == 1 else f"other shapes {theirs.shapes}"[:80] if theirs.shapes else "",
    ]
    score = sum(_WEIGHTS[part] * value for part, value in parts.items())
    return _Ranked(row.id, _OTHER_TASK * score, "; ".join(filter(None, said)))


def _winners(session: Session, ranked: Sequence[_Ranked], arch: str, limit: int) -> list[Winner]:
    timed = _timed(session, [each.id for each in ranked])
    here = {
        each.id: any(one.arch == arch for one in timed.get(each.id, ()))  # else on another architecture
        for each in ranked
    }
    bonus = _OTHER_TASK * _WEIGHTS["architecture"]
    scored = [(each.similarity + bonus * (here[each.id] and each.similarity < 1), each) for each in ranked]
    scored.sort(key=lambda pair: (-pair[0], not here[pair[1].id]))
    winners: list[Winner] = []
    taken: set[str] = set()
    for score, each in scored:
        if len(winners) >= limit:
            break
        mine = [one for one in timed.get(each.id, ()) if one.kernel_id not in taken]
        pool = [one for one in mine if one.arch == arch] or mine
        best = fastest((one, one.kind, one.seconds) for one in pool)
        if best is None:
            continue
        taken.add(best.kernel_id)
        where = "" if best.arch == arch else f"; judged for {best.arch}"
        winners.append(
            Winner(
                rows.task_of(session.get_one(TaskRow, each.id)),
                rows.kernel_of(session.get_one(KernelRow, best.kernel_id)),
                rows.evaluation_of(session.get_one(EvaluationRow, best.id)),
                round(score, 3),
                each.why + where,
            )
        )
    return winners


def _timed(session: Session, task_ids: Sequence[str]) -> dict[str, list[_Timed]]:
    """What passed on these tasks, oldest first."""
    query = (
        select(
            EvaluationRow.task_id,
            EvaluationRow.id,
            EvaluationRow.kernel_id,
            EvaluationRow.timing_kind,
            EvaluationRow.seconds,
            DeviceRow.arch,
        )
        .join(DeviceRow, EvaluationRow.device_id == DeviceRow.id)
        .where(
            EvaluationRow.task_id.in_(task_ids),
            EvaluationRow.verdict == Verdict.PASSED.value,
            EvaluationRow.seconds.is_not(None),
        )
        .order_by(EvaluationRow.created, EvaluationRow.id)
    )
    found: dict[str, list[_Timed]] = {}
    for task_id, evaluation_id, kernel_id, kind, seconds, arch in session.execute(query):
        assert kind is not None and seconds is not None  # what passed is timed: a constraint holds it  # noqa: PT018
        found.setdefault(task_id, []).append(_Timed(evaluation_id, kernel_id, TimingKind(kind), seconds, arch))
    return found
