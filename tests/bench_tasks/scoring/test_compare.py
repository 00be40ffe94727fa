"""Two entries on the tasks that both have, and ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scoring_entries import of

from kernelwright.bench_tasks.scoring.compare import compare, ranks
from kernelwright.bench_tasks.suite import Scale


def _world(seed: int, tasks: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.6, 0.5, tasks)


def test_pairing_sees_what_the_single_intervals_hide() -> None:
    """Both entries vary much over tasks, and one is a little faster on each."""
    hard = _world(1)
    noise = np.random.default_rng(2).normal(0.05, 0.03, 60)
    one, two = of(list(np.exp(hard + noise))), of(list(np.exp(hard)))
    found = compare(one, two, seed=0)
    assert found.differ
    assert found.ratio.value == pytest.approx(math.exp(np.mean(np.maximum(hard + noise, 0) - np.maximum(hard, 0))))
    assert not compare(two, two, seed=0).differ


def test_an_entry_against_itself_reversed() -> None:
    one, two = of(list(np.exp(_world(1)))), of(list(np.exp(_world(3))))
    there, back = compare(one, two, seed=0), compare(two, one, seed=0)
    assert there.ratio.value == pytest.approx(1 / back.ratio.value)
    assert there.differ is back.differ


def test_no_difference_is_claimed_too_often() -> None:
    """Entries that are drawn alike are told apart in about 5 % of cases."""
    claimed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        hard = rng.normal(0.6, 0.5, 40)
        one, two = (of(list(np.exp(hard + rng.normal(0, 0.2, 40)))) for _ in range(2))
        claimed += compare(one, two, seed=seed).differ
    assert 1 <= claimed <= 22  # 10 are expected; outside with a chance of one in a thousand


def test_only_common_tasks_count() -> None:
    one, two = of({"a": 2.0, "b": 2.0, "c": 8.0}), of({"a": 1.0, "b": 1.0, "z": 9.0})
    found = compare(one, two, seed=0)
    assert found.tasks == 2
    assert found.ratio.value == pytest.approx(2.0)
    assert not found.differ  # two tasks alike show nothing
    with pytest.raises(ValueError, match="no task in common"):
        compare(of({"a": 2.0}), of({"b": 2.0}), seed=0)


@pytest.mark.parametrize(
    "other",
    [{"gpu": "A100"}, {"timing_kind": "measured"}, {"scale": Scale.FULL}, {"suite_digest": "f" * 16}, {"baseline": "compile"}],
)  # fmt: skip
def test_different_ground_is_not_compared(other: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="different ground"):
        compare(of([2.0, 2.0]), of([2.0, 2.0], **other), seed=0)


def test_ranks_are_shared_where_no_difference_is_shown() -> None:
    hard = _world(5)
    near = hard + np.random.default_rng(6).normal(0.0, 0.05, 60)
    entries = [of(list(np.exp(each))) for each in (hard + 0.3, hard, near, hard - 0.4)]
    assert ranks(entries, seed=0) == [1, 2, 2, 4]
    assert ranks([], seed=0) == []
