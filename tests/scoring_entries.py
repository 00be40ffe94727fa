"""Entries for the tests of scoring, and simulated ones of which the truth is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from kernelwright.bench_tasks.scoring.results import AttemptResult, Entry, Integrity, Trial
from kernelwright.bench_tasks.suite import Scale

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def attempt(speedup: float | None, share: float | None = 0.5) -> AttemptResult:
    if speedup is None:
        return AttemptResult(False, "wrong")
    return AttemptResult(True, "passed", speedup, share)


def trial(task: str, *speedups: float | None, repeat: int = 0, share: float | None = 0.5, **more: Any) -> Trial:
    """A trial whose attempts have these speed-ups; None is one that did not pass."""
    given = {"dollars": Decimal("0.10"), "seconds": 60.0} | more
    return Trial(task, f"id-{task}", repeat, tuple(attempt(s, share) for s in speedups), **given)


def entry(trials: Sequence[Trial], tasks: Sequence[str] | None = None, **more: Any) -> Entry:
    named = tuple(dict.fromkeys(t.task for t in trials)) if tasks is None else tuple(tasks)
    given: dict[str, Any] = {
        "id": "core-1", "suite": "core", "suite_digest": "0123456789abcdef", "scale": Scale.TWIN,
        "timing_kind": "modelled", "gpu": "H200", "device": "emulator", "author": "builtin", "strategy": "best-of-n",
        "judge": "roofline", "rounds": 3, "baseline": "eager", "created": DAY, "suite_size": len(named),
    } | more  # fmt: skip
    return Entry(tasks=named, trials=tuple(trials), **given)


def of(speedups: Mapping[str, float | None] | Sequence[float | None], **more: Any) -> Entry:
    """An entry with one attempt in one trial for each task."""
    named = speedups if isinstance(speedups, Mapping) else {f"t{i}": s for i, s in enumerate(speedups)}
    return entry([trial(task, s) for task, s in named.items()], **more)


def refused(one: Trial) -> Trial:
    return replace(one, integrity=Integrity.REFUSED)


@dataclass(frozen=True)
class World:
    """A population of tasks: each has a chance of being solved, a mean log speed-up, a spread over repeats and a bound."""

    name: str
    solve: tuple[float, float]
    """Parameters of the beta distribution of the chance."""
    mean: float
    between: float
    """Standard deviation of the log speed-up over tasks."""
    within: float
    """And over the repeats of one."""
    outliers: float = 0.0
    """Share of solved trials whose time is a thousandth of a thousandth of what it was."""

    def draw(self, rng: np.random.Generator, tasks: int, repeats: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Solved, log speed-up and log baseline over bound, each (tasks, repeats)."""
        chance = rng.beta(*self.solve, tasks)[:, None]
        solved = rng.random((tasks, repeats)) < chance
        mu = rng.normal(self.mean, self.between, tasks)[:, None]
        room = mu + rng.gamma(2.0, 0.4, tasks)[:, None]
        raw = np.minimum(mu + rng.normal(0.0, self.within, (tasks, repeats)), room)
        raw = np.where(rng.random((tasks, repeats)) < self.outliers, raw + math.log(1e6), raw)
        return solved, raw, np.broadcast_to(room, raw.shape)

    def entry(self, rng: np.random.Generator, tasks: int, repeats: int) -> Entry:
        solved, raw, room = self.draw(rng, tasks, repeats)
        return entry(
            [
                trial(f"t{i}", math.exp(raw[i, r]) if solved[i, r] else None, repeat=r, share=math.exp(raw[i, r] - room[i, r]))
                for i in range(tasks)
                for r in range(repeats)
            ]
        )  # fmt: skip

    def truth(self, repeats: int) -> dict[str, float]:
        """The figures of the whole population, from 300,000 of its tasks."""
        solved, raw, room = self.draw(np.random.default_rng(987), 300_000, repeats)
        log = np.where(solved, np.minimum(raw, room), 0.0)
        kept = np.maximum(log, 0.0).mean(axis=1)
        return {
            "geomean": math.exp(kept.mean()),
            "geomean as returned": math.exp(log.mean()),
            "median": math.exp(float(np.median(kept))),
            "fast_1": float((log > 0.0).mean()),
            "pass@1": float(solved.mean()),
        }


WORLDS = (
    World("usual", (4.0, 2.0), 0.4, 0.5, 0.1),
    World("one time in fifty is tiny", (4.0, 2.0), 0.4, 0.5, 0.1, outliers=0.02),
    World("few are solved", (0.6, 2.4), 0.5, 0.5, 0.1),
    World("repeats differ much", (3.0, 3.0), 0.3, 0.3, 0.5),
)
