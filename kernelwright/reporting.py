"""What stored runs say of the strategies that made them: the figures of `report`, from the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kernelwright.db.lookup import Kind
from kernelwright.db.store import Store
from kernelwright.errors import MisuseError
from kernelwright.rl.curves import ArmFigures, Axis, Band, Curve, Ground, arm_figures, bands, curve_from, known_best
from kernelwright.rl.run import Run, RunStatus
from kernelwright.words import one_line

__all__ = ["CONTROL", "Report", "Section", "make_report"]

CONTROL = "best-of-n"
"""The strategy that others are compared with, where none is named."""
_NO_ARM = frozenset({"budget", "exemplars", "seed", "fenced", "start", "isolation", "call_seconds", "memory_bytes"})
"""Settings of a run that make no other way of searching: limits, chance, and what depends on the task or the store."""
_SEED = 0
"""Of the intervals' draws: the same store gives the same report."""


@dataclass(frozen=True)
class Section:
    """The runs with times of one kind for one GPU."""

    gpu: str
    kind: str
    """`measured` or `modelled`."""
    arms: tuple[ArmFigures, ...]
    bands: tuple[Band, ...]
    """On every axis on which something was spent."""
    known: Mapping[Ground, float]
    """The best time known, in seconds."""
    curves: tuple[Curve, ...]
    """In the order of the runs as they were named; those of an empty run have no points."""


@dataclass(frozen=True)
class Report:
    """Sections, and what is to be said of them."""

    sections: tuple[Section, ...]
    control: str | None
    """The arm that ratios are over."""
    within: float
    """How near the best known time counts as there."""
    remarks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it; figures as `value`, `low`, `high` of a 95 % interval."""
        return {
            "control": self.control,
            "within": self.within,
            "remarks": list(self.remarks),
            "sections": [
                {
                    "gpu": section.gpu,
                    "kind": section.kind,
                    "arms": [asdict(arm) for arm in section.arms],
                    "bands": [
                        {
                            "arm": band.arm,
                            "axis": band.axis.value,
                            "points": [{"at": x, **asdict(f)} for x, f in zip(band.at, band.shares, strict=True)],
                        }
                        for band in section.bands
                    ],
                    "best_known": [
                        {"task_id": ground.task_id, "task": ground.task, "seconds": seconds}
                        for ground, seconds in section.known.items()
                    ],
                    "runs": [
                        {
                            "id": curve.run,
                            "arm": curve.arm,
                            "task_id": curve.ground.task_id,
                            "task": curve.ground.task,
                            "points": [asdict(point) for point in curve.points],
                        }
                        for curve in section.curves
                    ],
                }
                for section in self.sections
            ],
        }


def make_report(store: Store, names: Sequence[str], *, control: str | None = None, within: float = 0.05) -> Report:
    """The report of these runs and runs of suites.

    Args:
        names: ids, or beginnings of them; a run of a suite stands for all its runs.
        control: the arm, or a strategy with one arm, that others are compared with; by default best-of-n, if it is among them.
        within: how near the best known time counts as there.

    Raises:
        NotFoundError: no such run.
        MisuseError: there is no such arm, or nothing was judged in any of the runs.
    """
    runs, without = _runs(store, names)
    arms = _arm_names(runs)
    chosen = _control(arms, runs, control)
    figures = store.figures([run.id for run in runs])
    if not figures:  # nor is there, if there are no runs
        raise MisuseError("nothing was judged in these runs yet.", mend="Let them run: kernelwright resume RUN.")
    curves = []
    for run in runs:
        mine = sorted((each for each in figures if each.run_id == run.id), key=lambda each: (each.created, each.number))
        costs: dict[int, float] = {}
        for line in store.costs(run.id).lines:
            costs[line.attempt] = costs.get(line.attempt, 0.0) + float(line.dollars)
        rows = [(each.number, each.seconds, None if each.timing is None else each.timing.seconds) for each in mine]
        ground = Ground(run.task.id, run.task.name, run.gpu, "measured" if run.device == "cuda" else "modelled")
        curves.append(curve_from(run.id, ground, arms[run.id], rows, costs))
    stored = store.best_seconds([run.task.id for run in runs])
    others = {
        curve.ground: stored[key]
        for curve in curves
        if (key := (curve.ground.task_id, curve.ground.gpu, curve.ground.kind)) in stored
    }
    places = dict.fromkeys((curve.ground.gpu, curve.ground.kind) for curve in curves)
    sections = [_section(gpu, kind, curves, others, chosen, within) for gpu, kind in places]
    return Report(tuple(sections), chosen, within, tuple(_remarks(runs, curves, sections, without)))


def _section(
    gpu: str, kind: str, curves: Sequence[Curve], others: Mapping[Ground, float], control: str | None, within: float
) -> Section:
    mine = [curve for curve in curves if (curve.ground.gpu, curve.ground.kind) == (gpu, kind)]
    known = known_best(mine, {g: s for g, s in others.items() if (g.gpu, g.kind) == (gpu, kind)})
    judged = [curve for curve in mine if curve.points]
    return Section(
        gpu, kind,
        tuple(arm_figures(judged, known, control=control, within=within, seed=_SEED)),
        tuple(band for axis in Axis for band in bands(judged, axis, known, seed=_SEED)),
        known, tuple(mine),
    )  # fmt: skip


def _runs(store: Store, names: Sequence[str]) -> tuple[list[Run], list[str]]:
    """The runs, each once, and the tasks of suites whose search could not begin or has not yet."""
    ids: dict[str, None] = {}
    without: dict[str, None] = {}
    for name in names:
        found = store.find(name, (Kind.RUN, Kind.BENCH_RUN))
        if found.kind is Kind.RUN:
            ids[found.id] = None
        else:
            for item in store.bench_items(found.id):
                if item.run_id is not None and store.has_run(item.run_id):
                    ids[item.run_id] = None
                else:
                    without[item.name] = None
    return [store.run(run_id) for run_id in ids], list(without)


def _arm_names(runs: Sequence[Run]) -> dict[str, str]:
    """An arm for each run, named by its strategy and by whatever else is not the same in all of them."""
    looks = {run.id: _look(run) for run in runs}
    keys = dict.fromkeys(key for look in looks.values() for key in look)
    differ = [key for key in keys if len({look.get(key) for look in looks.values()}) > 1]
    names = {}
    for run in runs:
        look = looks[run.id]
        told = [f"{key} {look[key]}" for key in differ if key != "strategy" and look.get(key) not in (None, "")]
        names[run.id] = one_line(", ".join([run.strategy, *told]), 120)
    return names


def _look(run: Run) -> dict[str, str | None]:
    """What sets one way of searching apart from another."""
    settings = {
        key: None if value is None else str(value)
        for key, value in run.settings.items()
        if key not in _NO_ARM and (value is None or isinstance(value, str | int | float | bool))
    }
    return {"strategy": run.strategy, "coder": run.coder, "judge": run.judge, **settings}


def _control(arms: Mapping[str, str], runs: Sequence[Run], wanted: str | None) -> str | None:
    named = dict.fromkeys(arms.values())
    strategy = CONTROL if wanted is None else wanted
    if wanted in named:
        return wanted
    of_it = list(dict.fromkeys(arms[run.id] for run in runs if run.strategy == strategy))
    if len(of_it) == 1:
        return of_it[0]
    if wanted is None:
        return None
    what = "is made in several ways here" if of_it else "is none of the arms"
    raise MisuseError(f"{wanted!r} {what}.", mend=f"Choose one of: {'; '.join(of_it or named)}.")


def _remarks(
    runs: Sequence[Run], curves: Sequence[Curve], sections: Sequence[Section], without: Sequence[str]
) -> list[str]:
    """What a reader must know to read the figures rightly."""
    told = []
    if without:
        told.append(f"No search began, or has begun yet, on {_some(without)}: not counted.")
    empty = [curve.run for curve in curves if not curve.points]
    if empty:
        told.append(f"Nothing was judged in {_some(empty)}: not counted.")
    unfinished = [run.id for run in runs if run.status is not RunStatus.FINISHED and run.id not in empty]
    if unfinished:
        told.append(f"Not finished: {_some(unfinished)}; counted as far as they went.")
    unsolved = dict.fromkeys(
        curve.ground.task for s in sections for curve in s.curves if curve.points and curve.ground not in s.known
    )
    if unsolved:
        told.append(f"No kernel ever passed on {_some(list(unsolved))}: these count as 0 % of the best known.")
    lengths = {len(curve.points) for curve in curves if curve.points}
    if len(lengths) > 1:
        told.append(
            f"Runs have from {min(lengths)} to {max(lengths)} evaluations; one that ended keeps its best from there on."
        )
    for section in sections:
        tasks = {arm.arm: {c.ground for c in section.curves if c.arm == arm.arm and c.points} for arm in section.arms}
        if len({frozenset(grounds) for grounds in tasks.values()}) > 1:
            told.append(
                "The arms have not the same tasks: only the ratio compares them, over the tasks that both have."
            )
            break
    return told


def _some(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(one_line(name, 80) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
