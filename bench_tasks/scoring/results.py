"""What came of a suite: an Entry (who, on what) with one Trial for each task and repeat.

A task that was not solved has trials too: nothing vanishes. Times are of one kind in an entry, measured or modelled, at one
scale and for one GPU: an entry has one field for each, so there is no mixture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from kernelwright.bench_tasks.suite import Scale

__all__ = ["NOT_RUN", "AttemptResult", "Entry", "Integrity", "Trial"]

NOT_RUN = "It was not run."
"""The problem of a trial whose search was not begun."""


class Integrity(StrEnum):
    """How far a result may be believed."""

    CLEAN = "clean"
    """Judged here, or judged again here with fresh seeds and the same outcome; nothing was found against it."""
    SUSPECT = "suspect"
    """It passed, but something speaks against it: a warning of the static analysis, a time that did not come out again, a task
    that the linter marks."""
    REFUSED = "refused"
    """A kernel of it cheats, or it did not come out again. It counts as not solved."""


@dataclass(frozen=True)
class AttemptResult:
    """One kernel that was judged."""

    passed: bool
    verdict: str
    speedup: float | None = None
    """Baseline over candidate; None where it did not pass."""
    roofline_share: float | None = None
    seconds: float = 0.0
    """Wall time of the attempt."""

    def __post_init__(self) -> None:
        for name in ("speedup", "roofline_share"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise ValueError(f"a {name} of {value}")


@dataclass(frozen=True)
class Trial:
    """One search (or one submitted kernel) on one task."""

    task: str
    """Name in the suite."""
    task_id: str
    repeat: int
    """0-based."""
    attempts: tuple[AttemptResult, ...] = ()
    """In the order in which they were made; the fastest that passed is the trial's result."""
    speedup_interval: tuple[float, float] | None = None
    """95 % interval of that result's speed-up, where it is known."""
    dollars: Decimal = Decimal(0)
    seconds: float = 0.0
    """Wall time of the whole trial."""
    integrity: Integrity = Integrity.CLEAN
    remarks: tuple[str, ...] = ()
    """Why it is suspect or refused, one sentence each."""
    problem: str = ""
    """Why there are no attempts, where there are none: the task can't be captured, no device, ...; one sentence."""
    baselines: Mapping[str, float] = field(default_factory=dict)
    """Baseline times in seconds by name (`eager`, `compile`), as far as they are known."""
    run_id: str = ""
    kernel_id: str = ""
    """Of the fastest that passed."""
    evaluation_id: str = ""

    @property
    def best(self) -> AttemptResult | None:
        """The fastest attempt that passed; None when none did, or when the trial is refused."""
        if self.integrity is Integrity.REFUSED:
            return None
        passed = [a for a in self.attempts if a.passed and a.speedup is not None]
        return max(passed, key=lambda a: a.speedup or 0.0, default=None)

    @property
    def tried(self) -> bool:
        """Whether its search was begun, whatever came of it: that nothing could be written is a result too."""
        return bool(self.attempts) or self.problem not in ("", NOT_RUN)

    @property
    def has_kernel(self) -> bool:
        """Whether there is a kernel that integrity can be told of: one was judged, or one that was sent in was refused before that."""
        return bool(self.attempts) or self.integrity is not Integrity.CLEAN

    @property
    def solved(self) -> bool:
        """Whether a kernel passed and is not refused."""
        return self.best is not None


@dataclass(frozen=True)
class Entry:
    """Everything that one author did on one suite under one setting: a row of the leaderboard."""

    id: str
    suite: str
    suite_digest: str
    scale: Scale
    timing_kind: str
    """`measured` or `modelled`."""
    gpu: str
    device: str
    """`cuda` or `emulator`."""
    author: str
    """`builtin`, `openai:NAME`, or the name a submitter gave."""
    strategy: str
    judge: str
    rounds: int
    baseline: str
    created: datetime
    tasks: tuple[str, ...]
    """Every task that the entry was to solve; coverage is told against it."""
    suite_size: int
    """How many tasks the whole suite has: an entry may be of some of them only."""
    trials: tuple[Trial, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint: versions, device, driver, isolation, commit of this program."""
    submitted: bool = False
    """Whether somebody sent it in; then it was judged again here."""
    claimed: bool = False
    """Whether the times are the submitter's, because this machine can't time the same way. They share no table with ours."""

    def __post_init__(self) -> None:
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ValueError("an entry names each of its tasks once, and has one at least")
        places = [(trial.task, trial.repeat) for trial in self.trials]
        if len(set(places)) < len(places) or any(repeat < 0 for _, repeat in places):
            raise ValueError("an entry has one trial for a task and repeat")
        if strange := {task for task, _ in places} - set(self.tasks):
            raise ValueError(f"trials on tasks that the entry does not have: {sorted(strange)[:5]}")
        if self.timing_kind not in ("measured", "modelled"):
            raise ValueError(f"times are measured or modelled, not {self.timing_kind}")
