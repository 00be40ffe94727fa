"""Figures of an entry. Each is over ALL tasks of the entry unless its name says otherwise: an unsolved task counts, as not
correct, not fast and 1x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import fmean, median

from kernelwright.bench_tasks.scoring.intervals import Figure, mean_figure, median_figure, share_figure
from kernelwright.bench_tasks.scoring.outcomes import Outcome, credible, logs, outcomes
from kernelwright.bench_tasks.scoring.results import Entry, Integrity

__all__ = [
    "GRID",
    "Costs",
    "Coverage",
    "best_of",
    "best_of_k",
    "correctness",
    "costs",
    "coverage",
    "fast_p",
    "fast_p_curve",
    "geomean",
    "geomean_of_solved",
    "integrity_counts",
    "median_speedup",
    "pass_at",
    "pass_at_k",
    "roofline_of_all",
    "roofline_of_solved",
    "steps",
]

GRID = (0.0, 0.5, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Where a fast_p curve is told."""


@dataclass(frozen=True)
class Coverage:
    """How much of a suite an entry speaks about, in tasks."""

    tried: int
    """Those on which a search was begun, whether or not it wrote a kernel."""
    asked: int
    """Those of the entry."""
    suite: int
    """Those of the suite."""
    solved: int
    """Those solved in at least one repeat."""
    repeats: int


@dataclass(frozen=True)
class Costs:
    """Dollars and seconds of wall time. Per solved is over all that was spent, None where nothing is solved."""

    dollars: Decimal
    seconds: float
    dollars_per_task: Decimal
    seconds_per_task: float
    dollars_per_solved: Decimal | None
    seconds_per_solved: float | None


def coverage(entry: Entry) -> Coverage:
    """How many tasks were tried and solved, of how many."""
    found = outcomes(entry).values()
    return Coverage(
        tried=sum(any(o.trial is not None and o.trial.tried for o in task) for task in found),
        asked=len(entry.tasks),
        suite=entry.suite_size,
        solved=sum(any(o.solved for o in task) for task in found),
        repeats=max((len(task) for task in found), default=0),
    )


def fast_p(entry: Entry, p: float) -> Figure:
    """The share of tasks that are solved with a speed-up above `p` (KernelBench's fast_p); the mean over repeats."""
    found = list(outcomes(entry).values())
    shares = [fmean(o.speedup is not None and o.speedup > p for o in task) for task in found]
    return share_figure(shares, len(found[0]))


def correctness(entry: Entry) -> Figure:
    """The share of tasks that are solved, however fast: fast_0."""
    return fast_p(entry, 0.0)


def fast_p_curve(entry: Entry, grid: Sequence[float] = GRID) -> tuple[tuple[float, Figure], ...]:
    """fast_p at each p of `grid`."""
    return tuple((p, fast_p(entry, p)) for p in grid)


def steps(entry: Entry) -> tuple[tuple[float, Figure], ...]:
    """The fast_p curve at every speed-up where it steps, and at `GRID`, up to the end of that."""
    found = {o.speedup for task in outcomes(entry).values() for o in task if o.speedup is not None}
    return fast_p_curve(entry, sorted({*GRID, *(p for p in found if p < GRID[-1])}))


def geomean(entry: Entry, *, seed: int, kept: bool = True) -> Figure:
    """The geometric mean of the speed-ups over all tasks, and over the repeats of each.

    Args:
        kept: with the original to fall back on, so no task counts less than 1x: the headline. Otherwise as returned.
    """
    return mean_figure(list(logs(entry, kept=kept).values()), seed=seed).map(math.exp)


def median_speedup(entry: Entry, *, seed: int, kept: bool = True) -> Figure:
    """The median over all tasks of the geometric mean over repeats. Arguments as `geomean`."""
    return median_figure(list(logs(entry, kept=kept).values()), seed=seed).map(math.exp)


def geomean_of_solved(entry: Entry, *, seed: int) -> Figure | None:
    """The geometric mean over solved tasks only, as returned, which is KernelBench's; None where none is solved.

    It rises when a hard task is given up, so it ranks nothing.
    """
    solved = [[math.log(o.speedup) for o in task if o.speedup is not None] for task in outcomes(entry).values()]
    values = [fmean(task) for task in solved if task]
    return mean_figure(values, seed=seed).map(math.exp) if values else None


def pass_at(n: int, c: int, k: int) -> float:
    """The chance that one of `k` draws without replacement passes, of `n` of which `c` do: 1 - C(n-c, k) / C(n, k).

    The unbiased estimator of Chen and others, Evaluating Large Language Models Trained on Code (2021).

    Raises:
        ValueError: not 1 <= k <= n or not 0 <= c <= n.
    """
    if not (1 <= k <= n and 0 <= c <= n):
        raise ValueError(f"pass@{k} of {n} draws with {c} passed")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def pass_at_k(entry: Entry, k: int, *, over: str = "attempts") -> Figure | None:
    """pass@k, the mean over tasks; None where a task that was tried has fewer than `k` draws.

    Args:
        over: `attempts`, the kernels of a task over all its repeats, of which a later one may have learned from an earlier;
            or `repeats`, independent searches. A task without any draw counts 0.
    """
    if over not in ("attempts", "repeats"):
        raise ValueError(f"pass@k is over attempts or repeats, not {over}")
    shares, most = [], 1
    for task in outcomes(entry).values():
        drawn = [o.solved for o in task] if over == "repeats" else _attempts_passed(task)
        if 0 < len(drawn) < k:
            return None
        shares.append(pass_at(len(drawn), sum(drawn), k) if drawn else 0.0)
        most = max(most, len(drawn))
    return share_figure(shares, most)


def best_of(values: Sequence[float], k: int) -> float:
    """The expected largest of `k` draws without replacement.

    Raises:
        ValueError: not 1 <= k <= number of values.
    """
    n = len(values)
    if not 1 <= k <= n:
        raise ValueError(f"best of {k} of {n} values")
    return math.fsum(v * math.comb(i, k - 1) for i, v in enumerate(sorted(values)) if i >= k - 1) / math.comb(n, k)


def best_of_k(entry: Entry, k: int, *, seed: int, over: str = "attempts") -> Figure | None:
    """The geometric mean over tasks of what the fastest of `k` draws is expected to give, with the original to fall back on.

    Expected is the logarithm, as all averages here; arguments and None as for `pass_at_k`.
    """
    if over not in ("attempts", "repeats"):
        raise ValueError(f"best-of-k is over attempts or repeats, not {over}")
    values = []
    for task in outcomes(entry).values():
        drawn = [o.kept() for o in task] if over == "repeats" else _attempts_kept(task)
        if 0 < len(drawn) < k:
            return None
        values.append(best_of([math.log(v) for v in drawn], k) if drawn else 0.0)
    return mean_figure(values, seed=seed).map(math.exp)


def roofline_of_solved(entry: Entry) -> float | None:
    """The median share of the roofline over the solved trials whose share is known; None without one."""
    shares = [o.roofline_share for task in outcomes(entry).values() for o in task if o.roofline_share is not None]
    return median(shares) if shares else None


def roofline_of_all(entry: Entry) -> float:
    """The median over all tasks and repeats; one that is not solved, or whose share is not known, counts 0."""
    return median(o.roofline_share or 0.0 for task in outcomes(entry).values() for o in task)


def costs(entry: Entry) -> Costs:
    """What the entry took, whole and for each task (a task in each repeat) and each solved one."""
    dollars = sum((trial.dollars for trial in entry.trials), Decimal(0))
    seconds = math.fsum(trial.seconds for trial in entry.trials)
    found = [o for task in outcomes(entry).values() for o in task]
    solved = sum(o.solved for o in found)
    return Costs(
        dollars,
        seconds,
        dollars / len(found),
        seconds / len(found),
        dollars / solved if solved else None,
        seconds / solved if solved else None,
    )


def integrity_counts(entry: Entry) -> dict[Integrity, int]:
    """How many trials are clean, suspect and refused: of those with a kernel, as integrity is of kernels."""
    found = [trial.integrity for trial in entry.trials if trial.has_kernel]
    return {kind: found.count(kind) for kind in Integrity}


def _attempts_passed(task: Sequence[Outcome]) -> list[bool]:
    return [
        a.passed and o.trial.integrity is not Integrity.REFUSED
        for o in task
        if o.trial is not None
        for a in o.trial.attempts
    ]


def _attempts_kept(task: Sequence[Outcome]) -> list[float]:
    return [
        1.0 if o.trial.integrity is Integrity.REFUSED else max(1.0, credible(a) or 1.0)
        for o in task
        if o.trial is not None
        for a in o.trial.attempts
    ]
