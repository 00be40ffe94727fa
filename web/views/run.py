"""One run as it stands: facts, attempts, the curve of the best so far, costs, its place in the queue, and what it said."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from kernelwright.agents.ranking import fastest
from kernelwright.db.attempt_lines import AttemptLine
from kernelwright.db.run_events import RunEvent
from kernelwright.db.store import Store
from kernelwright.events import AttemptFinished, AttemptStarted, Note, RunFinished, RunStarted, event_of
from kernelwright.rl.run import Run, RunStatus
from kernelwright.rl.strategies import STRATEGIES
from kernelwright.service.queue import Job, JobState, Queue
from kernelwright.verifier.evaluation import TimingKind, Verdict

__all__ = ["AttemptView", "LogLine", "Point", "RunView", "StageView", "run_view"]

_EVENTS = 500  # of the log, the newest; a run has some three an attempt


class AttemptView(BaseModel):
    """One attempt in a line; times in seconds."""

    number: int
    plan: str
    author: str
    kernel_id: str
    parents: list[str]
    """Ids of kernels."""
    verdict: Verdict
    reason: str
    timing_kind: TimingKind | None
    seconds: float | None
    baseline_seconds: float | None
    speedup: float | None
    advice: str
    created: datetime
    wall_seconds: float
    best: bool
    """Whether it is the best of the run so far."""


class Point(BaseModel):
    """The best so far, once an attempt had ended."""

    number: int
    elapsed: float
    """Seconds since the run was begun, by the clock: pauses count."""
    dollars: Decimal
    """Spent on models by then."""
    seconds: float | None
    """The best kernel's time; null while none has passed."""
    speedup: float | None
    kind: TimingKind | None


class StageView(BaseModel):
    """A stage of the attempt under way."""

    stage: str
    status: str | None
    """`passed`, `failed`, `skipped` or `warned`; null while it goes on."""
    summary: str
    seconds: float | None


class LogLine(BaseModel):
    """Something that the search said, in words."""

    number: int
    """Of the event."""
    created: datetime
    text: str


class JobView(BaseModel):
    """Its place in the queue."""

    id: str
    state: JobState
    worker: str
    ahead: int
    """Searches that wait before it."""


class RunView(BaseModel):
    """A run as it stands."""

    id: str
    task_id: str
    task_name: str
    strategy: str
    coder: str
    judge: str
    device: str
    gpu: str
    rounds: int
    status: RunStatus
    message: str
    created: datetime
    settings: dict[str, Any]
    attempts: list[AttemptView]
    best: AttemptView | None
    points: list[Point]
    dollars: Decimal
    budget: Decimal | None
    job: JobView | None
    """Null for a run that was never put into the queue."""
    stages: list[StageView]
    """Of the attempt under way, those that have begun or ended."""
    log: list[LogLine]
    last_event: int
    """Number of the newest event: follow from there."""
    owner: str | None
    """Name of the token that submitted it; null where none did."""
    can_cancel: bool
    """Whether there is something to cancel; who may is another question."""
    can_resume: bool


_SHOWN = (
    "candidates",
    "islands",
    "archive",
    "seed",
    "sampler",
    "cascade",
    "builtin_first",
    "isolation",
    "call_seconds",
)
"""Settings of a run that say how it searched."""


def run_view(store: Store, queue: Queue, run_id: str) -> RunView:
    """The run with this id, or the only one whose id begins so.

    Raises:
        NotFoundError: there is none, or several.
    """
    run = store.run(run_id)
    lines = store.attempt_lines(run.id)
    best = fastest(
        (each.number, each.timing_kind, each.seconds)
        for each in lines
        if each.timing_kind is not None and each.seconds is not None
    )
    attempts = [_attempt(each, each.number == best) for each in lines]
    events = store.run_events(run.id, limit=10 * _EVENTS)
    job = queue.of(run.id)
    open_job = job is not None and not job.ended
    spent = _spent(store, run) if run.coder != "builtin" else {}
    budget = run.settings.get("budget")
    return RunView(
        **{name: getattr(run, name) for name in ("id", "strategy", "coder", "judge", "device", "gpu", "rounds", "status", "message", "created")},
        task_id=run.task.id,
        task_name=run.task.name,
        settings={name: run.settings[name] for name in _SHOWN if run.settings.get(name) not in (None, "")},
        attempts=attempts,
        best=next((each for each in attempts if each.best), None),
        points=_points(run, lines, spent),
        dollars=sum(spent.values(), Decimal(0)),
        budget=None if budget is None else Decimal(budget),
        job=None if job is None else _job(job, queue),
        stages=_stages(events),
        log=[LogLine(number=e.number, created=e.created, text=_words(e)) for e in events if e.name not in _PASSING][-_EVENTS:],
        last_event=events[-1].number if events else 0,
        owner=store.owner_of_run(run.id),
        can_cancel=open_job,
        can_resume=not open_job
        and run.strategy in STRATEGIES
        and run.status in (RunStatus.INTERRUPTED, RunStatus.FAILED, RunStatus.RUNNING, RunStatus.QUEUED),
    )  # fmt: skip


_PASSING = ("StageStarted", "StageFinished")


def _attempt(line: AttemptLine, best: bool) -> AttemptView:
    fields = asdict(line)
    return AttemptView(**{k: v for k, v in fields.items() if k in AttemptView.model_fields}, best=best)


def _stages(events: list[RunEvent]) -> list[StageView]:
    """Those of stages since the last attempt ended, or the search was begun; of one that has ended, its end only."""
    found: dict[str, StageView] = {}
    for event in events:
        if event.name in ("AttemptFinished", "RunFinished", "RunStarted"):
            found = {}
        elif event.name in _PASSING:
            stage, _, part = str(event.fields["stage"]).partition(", ")  # as in `correctness, workload 2 of 8`
            if part and stage in found:
                found[stage] = found[stage].model_copy(update={"summary": part})
                continue
            found.pop(stage, None)
            found[stage] = StageView(
                stage=stage,
                status=event.fields.get("status"),
                summary=event.fields.get("summary", ""),
                seconds=event.fields.get("seconds"),
            )
    return list(found.values())


def _words(event: RunEvent) -> str:
    """An event in a sentence."""
    told = event_of({"event": event.name, "fields": event.fields})
    match told:
        case RunStarted():
            return f"The search begins, after {told.done} attempts." if told.done else "The search begins."
        case AttemptStarted():
            return f"Attempt {told.number} begins: {told.plan}"
        case AttemptFinished():
            return f"Attempt {told.number}: {told.verdict.replace('_', ' ')}. {told.reason}".rstrip()
        case RunFinished():
            return f"The search is {told.status}: {told.passed} of {told.attempts} attempts passed."
        case Note():
            return told.text
        case _:
            return event.name


def _points(run: Run, lines: list[AttemptLine], spent: dict[int, Decimal]) -> list[Point]:
    found, best, dollars = [], None, Decimal(0)
    timed: list[tuple[AttemptLine, TimingKind, float]] = []
    for line in lines:
        dollars += spent.get(line.number, Decimal(0))
        if line.timing_kind is not None and line.seconds is not None:
            timed.append((line, line.timing_kind, line.seconds))
            best = fastest(timed)
        found.append(
            Point(
                number=line.number,
                elapsed=max(0.0, (line.created - run.created).total_seconds()),
                dollars=dollars,
                seconds=best.seconds if best else None,
                speedup=best.speedup if best else None,
                kind=best.timing_kind if best else None,
            )
        )
    return found


def _spent(store: Store, run: Run) -> dict[int, Decimal]:
    """Dollars by attempt."""
    found: dict[int, Decimal] = {}
    for line in store.costs(run.id).lines:
        found[line.attempt] = found.get(line.attempt, Decimal(0)) + line.dollars
    return found


def _job(job: Job, queue: Queue) -> JobView:
    waiting = [each.id for each in queue.open_jobs() if each.state is JobState.WAITING] if not job.ended else []
    ahead = waiting.index(job.id) if job.id in waiting else 0
    return JobView(id=job.id, state=job.state, worker=job.worker, ahead=ahead)
