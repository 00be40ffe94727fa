"""Runs in short."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from kernelwright.db.store import Store
from kernelwright.rl.run import RunStatus
from kernelwright.verifier.evaluation import TimingKind, Verdict

__all__ = ["RunLine", "RunList", "run_list"]


class RunLine(BaseModel):
    """A run in one line; times in seconds. The figures are those of its best attempt."""

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
    updated: datetime
    attempts: int
    passed: int
    best_number: int | None
    best_verdict: Verdict | None
    timing_kind: TimingKind | None
    seconds: float | None
    baseline_seconds: float | None
    speedup: float | None


class RunList(BaseModel):
    """Runs, the newest first."""

    task: str | None
    """The name or id that they were chosen by."""
    runs: list[RunLine]


def run_list(store: Store, *, limit: int = 50, task: str | None = None) -> RunList:
    """The newest runs, at most `limit`."""
    return RunList(task=task, runs=[RunLine(**vars(each)) for each in store.runs(limit, task=task)])
