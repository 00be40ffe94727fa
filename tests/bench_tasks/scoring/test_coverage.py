"""95 % intervals hold the truth in 95 % of simulated entries: docs/metrics.md has the table that the long one prints."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scoring_entries import WORLDS, World

from kernelwright.bench_tasks.scoring.metrics import fast_p, geomean, median_speedup, pass_at_k


def covered(world: World, tasks: int, repeats: int, times: int) -> dict[str, float]:
    """Share of simulated entries whose interval holds the truth, by figure."""
    truth, hits = world.truth(repeats), dict.fromkeys(world.truth(repeats), 0)
    rng = np.random.default_rng(20_240_501)
    for seed in range(times):
        entry = world.entry(rng, tasks, repeats)
        figures = {
            "geomean": geomean(entry, seed=seed),
            "geomean as returned": geomean(entry, seed=seed, kept=False),
            "median": median_speedup(entry, seed=seed),
            "fast_1": fast_p(entry, 1.0),
            "pass@1": pass_at_k(entry, 1),
        }
        for name, figure in figures.items():
            assert figure is not None
            low, high = (figure.value if end is None else end for end in (figure.low, figure.high))
            hits[name] += low - 1e-9 <= truth[name] <= high + 1e-9
    return {name: count / times for name, count in hits.items()}


def drawn_twice(world: World, tasks: int, repeats: int, times: int) -> float:
    """The same for the geometric mean, if repeats were drawn within drawn tasks too: what was not chosen."""
    truth, hits, rng = math.log(world.truth(repeats)["geomean"]), 0, np.random.default_rng(20_240_501)
    for _ in range(times):
        solved, raw, room = world.draw(rng, tasks, repeats)
        log = np.maximum(np.where(solved, np.minimum(raw, room), 0.0), 0.0)
        chosen = rng.integers(0, tasks, (1000, tasks, 1)), rng.integers(0, repeats, (1000, tasks, repeats))
        low, high = np.quantile(log[chosen].mean(axis=(1, 2)), [0.025, 0.975])
        hits += low <= truth <= high
    return hits / times


def lowest(times: int, rate: float = 0.95) -> float:
    """What a rate of 95 % gives at least in so many simulations, but for one case in a thousand."""
    return rate - 3.1 * math.sqrt(rate * (1 - rate) / times)


@pytest.mark.parametrize(("world", "repeats"), [(WORLDS[0], 1), (WORLDS[1], 3)], ids=["usual", "tiny times, repeats"])
def test_intervals_hold_the_truth(world: World, repeats: int) -> None:
    times = 120
    for name, rate in covered(world, 60, repeats, times).items():
        assert rate >= lowest(times), (name, rate)


@pytest.mark.suites
@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("tasks", [20, 60, 200])
@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w.name)
def test_intervals_hold_the_truth_as_often_as_documented(world: World, tasks: int, repeats: int) -> None:
    times = 500
    found = covered(world, tasks, repeats, times)
    rates = [*found.values(), drawn_twice(world, tasks, repeats, times)]
    print(f"| {world.name} | {tasks} | {repeats} | " + " | ".join(f"{100 * rate:.1f}" for rate in rates) + " |")
    stated = 0.95
    if tasks < 60:  # docs/metrics.md: at 20 tasks the intervals of means are too narrow, more so where few are solved
        stated = 0.88 if world.name == "few are solved" else 0.93
    for name, rate in found.items():
        assert rate >= lowest(times, stated), (name, rate)
