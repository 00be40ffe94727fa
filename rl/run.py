"""Run and Attempt: a search on a Task, and the store that it writes to (a Protocol; `kernelwright.db` has one)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from kernelwright.agents.protocols import Advice
from kernelwright.bench_tasks.task import Task
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation

__all__ = ["Attempt", "Run", "RunStatus", "RunStore"]


class RunStatus(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    """Asked for, and waiting for a worker."""
    RUNNING = "running"
    """Somebody works on it, or was killed while doing so: `resume` goes on."""
    INTERRUPTED = "interrupted"
    """Stopped by Ctrl-C; `resume` goes on."""
    FINISHED = "finished"
    FAILED = "failed"
    """An error of ours or of the task ended it; `message` says which."""


@dataclass(frozen=True)
class Run:
    """A search on a Task under a strategy and a budget."""

    id: str
    task: Task
    strategy: str
    coder: str
    judge: str
    device: str
    """`emulator` or `cuda`."""
    gpu: str
    rounds: int
    status: RunStatus
    created: datetime
    """UTC."""
    message: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    """Whatever else is needed to go on with it."""


@dataclass(frozen=True)
class Attempt:
    """One round of a run; immutable once stored."""

    run_id: str
    number: int
    """1-based."""
    plan: str
    kernel: Kernel
    evaluation: Evaluation
    advice: Advice | None
    created: datetime
    seconds: float
    """Wall time of the attempt."""
    notes: tuple[str, ...] = ()


class RunStore(Protocol):
    """What a search needs from the database."""

    def create_run(self, run: Run) -> None:
        """Stores a new run and its task."""
        ...

    def set_status(self, run_id: str, status: RunStatus, message: str = "") -> None:
        """Moves a run to another status."""
        ...

    def add_attempt(self, attempt: Attempt) -> None:
        """Stores a finished attempt, with its kernel and evaluation, in one transaction."""
        ...

    def run(self, run_id: str) -> Run:
        """The run with this id.

        Raises:
            NotFoundError: there is none.
        """
        ...

    def attempts(self, run_id: str) -> Sequence[Attempt]:
        """Finished attempts in order."""
        ...
