"""Best-so-far curves of searches, and what they say of strategies: pure figures, no store and no picture.

A curve follows one run: after each evaluation, the best time so far, with what had been spent by then. Runs that differ in chance
only form an arm. Times are compared within one ground (task, GPU, kind of time) and are told as a share of the best time that is
known there, 0 to 1, so that tasks of any size can be averaged: 1 is the best known, 0 is nothing that passed yet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from kernelwright.agents.ranking import NOTICEABLE
from kernelwright.bench_tasks.scoring.intervals import Figure, mean_figure

__all__ = ["ArmFigures", "Axis", "Band", "Curve", "Ground", "Point", "arm_figures", "bands", "curve_from", "known_best"]

_GRID = 60
"""Places of a band along its axis: finer than a picture of 800 pixels shows."""


class Axis(StrEnum):
    """What is spent along a curve."""

    EVALUATIONS = "evaluations"
    """Attempts that were judged."""
    DOLLARS = "dollars"
    """What calls of language models cost."""
    SECONDS = "seconds"
    """Wall time of the attempts, one after another."""


@dataclass(frozen=True, order=True)
class Ground:
    """What times must have in common to be compared."""

    task_id: str
    task: str
    gpu: str
    kind: str
    """`measured` or `modelled`."""


@dataclass(frozen=True)
class Point:
    """Where a run stood after an evaluation."""

    evaluations: int
    dollars: float
    seconds: float
    best: float | None
    """The best time so far, in seconds; None while nothing passed."""

    def spent(self, axis: Axis) -> float:
        """How far along the axis this is."""
        return float(getattr(self, axis.value))


@dataclass(frozen=True)
class Curve:
    """One run, its evaluations in the order that they ended."""

    run: str
    ground: Ground
    arm: str
    points: tuple[Point, ...]

    @property
    def best(self) -> float | None:
        """The best time of the whole run, in seconds."""
        return self.points[-1].best if self.points else None

    def end(self, axis: Axis) -> float:
        """All that was spent."""
        return self.points[-1].spent(axis) if self.points else 0.0

    def best_at(self, axis: Axis, spent: float) -> float | None:
        """The best time when no more than this had been spent; a run that ended before keeps its last."""
        best = None
        for point in self.points:
            if point.spent(axis) > spent:
                break
            best = point.best
        return best

    def needed(self, axis: Axis, seconds: float) -> float | None:
        """What had been spent when the time first was this or less; None if it never was."""
        return next(
            (point.spent(axis) for point in self.points if point.best is not None and point.best <= seconds), None
        )


@dataclass(frozen=True)
class Band:
    """The mean share of the best known time along an axis, of one arm."""

    arm: str
    axis: Axis
    at: tuple[float, ...]
    shares: tuple[Figure, ...]


@dataclass(frozen=True)
class ArmFigures:
    """What an arm came to over all its grounds."""

    arm: str
    tasks: int
    runs: int
    passed: int
    """Runs in which a kernel passed."""
    share: Figure
    """Of the best known time, at the end."""
    evaluations: Figure
    """Until within the margin of the best known; a run that never got there counts with all it made."""
    missed: int
    """Runs that never got there: `evaluations` is then a lower bound."""
    dollars: float
    """A run, on average."""
    seconds: float
    """A run, on average."""
    ratio: Figure | None
    """`evaluations` over those of the control arm, paired by task (geometric mean); None for the control itself, and
    where they have no task in common."""
    ratio_tasks: int = 0
    """Tasks that the ratio rests on."""


def curve_from(
    run: str,
    ground: Ground,
    arm: str,
    attempts: Iterable[tuple[int, float, float | None]],
    dollars: Mapping[int, float],
) -> Curve:
    """The curve of one run.

    Args:
        attempts: number, wall seconds, and the time in seconds of those that passed, in the order that they ended.
        dollars: by number of the attempt; those of attempts that never ended are spent by the end of the last one.
    """
    rows = list(attempts)
    unfinished = sum(cost for number, cost in dollars.items() if number not in {row[0] for row in rows})
    points: list[Point] = []
    best: float | None = None
    money = wall = 0.0
    for place, (number, seconds, time) in enumerate(rows, 1):
        money += dollars.get(number, 0.0) + (unfinished if place == len(rows) else 0.0)
        wall += seconds
        if time is not None and (best is None or time < best):
            best = time
        points.append(Point(place, money, wall, best))
    return Curve(run, ground, arm, tuple(points))


def known_best(curves: Sequence[Curve], others: Mapping[Ground, float]) -> dict[Ground, float]:
    """The best time known on each ground, in seconds; grounds where nothing ever passed are left out.

    Args:
        others: best times of kernels that are in none of these runs.
    """
    best = dict(others)
    for curve in curves:
        if curve.best is not None:
            best[curve.ground] = min(curve.best, best.get(curve.ground, math.inf))
    return {ground: best[ground] for ground in sorted({curve.ground for curve in curves}) if ground in best}


def bands(curves: Sequence[Curve], axis: Axis, known: Mapping[Ground, float], *, seed: int = 0) -> list[Band]:
    """A band for each arm, in the order that they first appear, on places that all arms share.

    The interval is over tasks, each with the mean of its runs; over the runs where there is one task only.
    """
    longest = max((curve.end(axis) for curve in curves), default=0.0)
    if longest <= 0:
        return []
    if axis is Axis.EVALUATIONS:
        step = max(1, math.ceil(longest / _GRID))
        at = tuple(float(x) for x in dict.fromkeys([*range(1, int(longest) + 1, step), int(longest)]))
    else:
        at = tuple(longest * i / _GRID for i in range(_GRID + 1))
    return [
        Band(
            arm, axis, at,
            tuple(mean_figure(_by_unit(mine, [_share(c, axis, x, known) for c in mine]), seed=seed) for x in at),
        )
        for arm, mine in _arms(curves).items()
    ]  # fmt: skip


def arm_figures(
    curves: Sequence[Curve], known: Mapping[Ground, float], *, control: str | None, within: float, seed: int = 0
) -> list[ArmFigures]:
    """A line for each arm, in the order that they first appear.

    Args:
        control: the arm that the others are compared with.
        within: how near the best known time counts as there: 0.05 is at most 5 % slower. No less than what counts as
            a different time at all (`agents.ranking.NOTICEABLE`).
    """
    margin = max(1 + within, NOTICEABLE)
    needed: dict[str, dict[Ground, list[float]]] = {}
    missed: dict[str, int] = {}
    arms = _arms(curves)
    for arm, mine in arms.items():
        needed[arm], missed[arm] = {}, 0
        for curve in mine:
            best = known.get(curve.ground)
            found = None if best is None else curve.needed(Axis.EVALUATIONS, best * margin)
            missed[arm] += found is None
            needed[arm].setdefault(curve.ground, []).append(curve.end(Axis.EVALUATIONS) if found is None else found)
    figures = []
    for arm, mine in arms.items():
        flat = [value for ground in needed[arm] for value in needed[arm][ground]]
        in_order = [curve for ground in needed[arm] for curve in mine if curve.ground == ground]
        both = [g for g in needed[arm] if control in needed and g in needed[control or ""]]
        logs = [math.log(max(fmean(needed[arm][g]), 1.0) / max(fmean(needed[control or ""][g]), 1.0)) for g in both]
        figures.append(
            ArmFigures(
                arm=arm,
                tasks=len(needed[arm]),
                runs=len(mine),
                passed=sum(curve.best is not None for curve in mine),
                share=mean_figure(
                    _by_unit(mine, [_share(c, Axis.EVALUATIONS, math.inf, known) for c in mine]), seed=seed
                ),
                evaluations=mean_figure(_by_unit(in_order, flat), seed=seed),
                missed=missed[arm],
                dollars=fmean(curve.end(Axis.DOLLARS) for curve in mine),
                seconds=fmean(curve.end(Axis.SECONDS) for curve in mine),
                ratio=mean_figure(logs, seed=seed).map(math.exp) if logs and arm != control else None,
                ratio_tasks=len(both) if arm != control else 0,
            )
        )
    return figures


def _arms(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    arms: dict[str, list[Curve]] = {}
    for curve in curves:
        arms.setdefault(curve.arm, []).append(curve)
    return arms


def _share(curve: Curve, axis: Axis, spent: float, known: Mapping[Ground, float]) -> float:
    best = curve.best_at(axis, spent)
    return 0.0 if best is None else min(1.0, known[curve.ground] / best)


def _by_unit(curves: Sequence[Curve], values: Sequence[float]) -> list[float]:
    """One value for each ground, the mean of its runs; the runs' own where there is one ground only."""
    grounds: dict[Ground, list[float]] = {}
    for curve, value in zip(curves, values, strict=True):
        grounds.setdefault(curve.ground, []).append(value)
    return list(values) if len(grounds) == 1 else [fmean(found) for found in grounds.values()]
