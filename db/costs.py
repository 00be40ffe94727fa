"""What the calls of models cost: by run, model, role and attempt, and by task. Sums are exact."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from kernelwright.db.models import AttemptRow, EvaluationRow, ModelCallRow, RunRow
from kernelwright.verifier.evaluation import Verdict

__all__ = ["CostLine", "Costs", "TaskCost", "costs"]


@dataclass(frozen=True)
class CostLine:
    """The calls of one role in one attempt of a run, to one model."""

    run_id: str
    attempt: int
    """It may lie beyond the last stored attempt: the calls were made, the attempt never ended."""
    role: str
    model: str
    calls: int = 0
    """Tries, failed ones included."""
    answered: int = 0
    input_tokens: int = 0
    """All of them, cached or not."""
    cached_tokens: int = 0
    """Of those, the ones read from a cache."""
    output_tokens: int = 0
    dollars: Decimal = Decimal(0)
    estimated_dollars: Decimal = Decimal(0)
    """Of those, what is our own upper estimate: calls that broke off before the server reported."""

    def __add__(self, other: CostLine) -> CostLine:
        """The figures of both, under the names of the first."""
        names = ("calls", "answered", "input_tokens", "cached_tokens", "output_tokens", "dollars", "estimated_dollars")
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True)
class TaskCost:
    """All runs on one task that made calls."""

    task_id: str
    name: str
    dollars: Decimal
    solved: bool
    """Whether an attempt of one of these runs passed."""


@dataclass(frozen=True)
class Costs:
    """Lines by run (the newest first), attempt, role and model; tasks by name."""

    lines: tuple[CostLine, ...]
    tasks: tuple[TaskCost, ...]

    @property
    def dollars(self) -> Decimal:
        """All of it."""
        return sum((line.dollars for line in self.lines), Decimal(0))

    @property
    def dollars_per_solved_task(self) -> Decimal | None:
        """All of it, failures included, over the tasks that were solved; None while there is none."""
        solved = sum(task.solved for task in self.tasks)
        return self.dollars / solved if solved else None


def costs(session: Session, run_id: str | None) -> Costs:
    """Of one run, or of all."""
    call = ModelCallRow
    query = (
        select(
            call.run_id, call.attempt, call.role, call.model, call.reply.is_not(None), call.input_tokens,
            call.cache_read_tokens, call.cache_write_tokens, call.output_tokens, call.dollars, call.estimated,
        )
        .join(RunRow, RunRow.id == call.run_id)
        .order_by(RunRow.created.desc(), call.run_id, call.attempt, call.role, call.model, call.id)
    )  # fmt: skip
    if run_id is not None:
        query = query.where(call.run_id == run_id)
    lines: dict[tuple[str, int, str, str], CostLine] = {}
    for run, attempt, role, model, answered, fresh, read, written, output, text, estimated in session.execute(query):
        dollars = Decimal(text)
        one = CostLine(
            run, attempt, role, model, 1, int(answered), fresh + read + written, read, output,
            dollars, dollars if estimated else Decimal(0),
        )  # fmt: skip
        key = (run, attempt, role, model)
        lines[key] = lines[key] + one if key in lines else one
    return Costs(tuple(lines.values()), tuple(_tasks(session, lines.values(), run_id)) if lines else ())


def _tasks(session: Session, lines: Iterable[CostLine], run_id: str | None) -> list[TaskCost]:
    paid = select(ModelCallRow.run_id)
    if run_id is not None:
        paid = paid.where(ModelCallRow.run_id == run_id)
    by_run: dict[str, Decimal] = {}
    for line in lines:
        by_run[line.run_id] = by_run.get(line.run_id, Decimal(0)) + line.dollars
    runs = session.execute(
        select(RunRow.id, RunRow.task_id, RunRow.task_name)
        .where(RunRow.id.in_(paid))
        .order_by(RunRow.task_name, RunRow.created)
    )
    passed = set(
        session.scalars(
            select(AttemptRow.run_id)
            .join(AttemptRow.evaluation)
            .where(EvaluationRow.verdict == Verdict.PASSED.value, AttemptRow.run_id.in_(paid))
        )
    )
    tasks: dict[str, TaskCost] = {}
    for run_id, task_id, name in runs:
        if run_id not in by_run:
            continue
        before = tasks.get(task_id, TaskCost(task_id, name, Decimal(0), False))
        tasks[task_id] = replace(
            before, dollars=before.dollars + by_run[run_id], solved=before.solved or run_id in passed
        )
    return list(tasks.values())
