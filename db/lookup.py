"""Finding things by id or by the beginning of one, as people type them, and naming what was meant otherwise."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from kernelwright.db.models import BenchRunRow, EvaluationRow, KernelRow, RunRow, TaskRow
from kernelwright.errors import NotFoundError

__all__ = ["NOUNS", "Found", "Kind", "find", "resolve"]

_SHOWN = 5
"""How many ids a message names."""
_RECENT = 300
"""Among how many of the newest ids a near match is looked for."""


class Kind(StrEnum):
    """What an id can name."""

    RUN = "run"
    TASK = "task"
    KERNEL = "kernel"
    EVALUATION = "evaluation"
    BENCH_RUN = "bench run"


@dataclass(frozen=True)
class Found:
    """A stored thing: what it is, and its whole id."""

    kind: Kind
    id: str


_IDS: dict[Kind, tuple[InstrumentedAttribute[str], InstrumentedAttribute[Any]]] = {
    Kind.RUN: (RunRow.id, RunRow.created),
    Kind.TASK: (TaskRow.id, TaskRow.created),
    Kind.KERNEL: (KernelRow.id, KernelRow.created),
    Kind.EVALUATION: (EvaluationRow.id, EvaluationRow.created),
    Kind.BENCH_RUN: (BenchRunRow.id, BenchRunRow.created),
}


_HASHES = frozenset({Kind.TASK, Kind.KERNEL, Kind.EVALUATION})
"""Whose ids are hexadecimal digits in lower case. There may be a million."""


def _whole(session: Session, text: str, kind: Kind) -> bool:
    """Whether `text` is an id."""
    column, _ = _IDS[kind]
    return session.scalar(select(column).where(column == text)) is not None


def _matches(session: Session, prefix: str, kind: Kind) -> list[Found]:
    column, created = _IDS[kind]
    if not prefix:
        return []
    beginning = prefix.lower()
    if kind in _HASHES:
        if not re.fullmatch(r"[0-9a-f]{1,16}", beginning):
            return []
        begins = (
            select(column).where(column >= beginning, column < f"{beginning}g").order_by(column)
        )  # a range of the index
    else:
        begins = (
            select(column).where(func.lower(column).startswith(beginning, autoescape=True)).order_by(created.desc())
        )
    return [Found(kind, found) for found in session.scalars(begins.limit(_SHOWN + 1))]


NOUNS = (Kind.RUN, Kind.TASK, Kind.KERNEL, Kind.EVALUATION)
"""What is looked for where nothing else is said."""


def find(session: Session, prefix: str, kinds: tuple[Kind, ...] = NOUNS) -> Found:
    """The one stored thing of these kinds whose id is `prefix` or begins with it, in upper or lower case;
    a whole id wins over beginnings.

    Raises:
        NotFoundError: there is none (near matches are named), or there are several (they are named).
    """
    whole = [Found(kind, prefix) for kind in kinds if _whole(session, prefix, kind)]
    if len(whole) == 1:
        return whole[0]
    found = whole or [match for kind in kinds for match in _matches(session, prefix, kind)]
    if len(found) == 1:
        return found[0]
    what = " or ".join(kind.value for kind in kinds)
    if not found:
        raise NotFoundError(f"There is no {what} with the id {prefix!r}.", mend=_suggestion(session, prefix, kinds))
    names = ", ".join(f"{match.id} ({match.kind})" if len(kinds) > 1 else match.id for match in found[:_SHOWN])
    more = ", ..." if len(found) > _SHOWN else ""
    raise NotFoundError(f"{prefix!r} could be more than one {what}: {names}{more}.", mend="Give more of the id.")


def resolve(session: Session, prefix: str, kind: Kind) -> str:
    """The whole id; see `find`."""
    return find(session, prefix, (kind,)).id


def _suggestion(session: Session, prefix: str, kinds: tuple[Kind, ...]) -> str:
    known: dict[str, str] = {}
    for kind in kinds:
        column, created = _IDS[kind]
        known |= {
            known_id: known_id for known_id in session.scalars(select(column).order_by(created.desc()).limit(_RECENT))
        }
    if Kind.RUN in kinds:  # a person may also remember what the run was for
        newest_last = session.execute(
            select(RunRow.task_name, RunRow.id).order_by(RunRow.created.desc()).limit(_RECENT)
        )
        for task_name, run_id in reversed(newest_last.all()):
            known.setdefault(task_name, run_id)
    if not known:
        return "The store holds none yet."
    near = dict.fromkeys(known[name] for name in difflib.get_close_matches(prefix, known, n=3, cutoff=0.5))
    if near:
        return f"Did you mean {' or '.join(near)}?"
    if Kind.BENCH_RUN in kinds:
        return "`kernelwright bench runs` lists what is stored."
    return "`kernelwright runs` lists what is stored." if Kind.RUN in kinds else "Check the id."
