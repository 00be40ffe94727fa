"""The reward: ordered by verdict, finite, bounded, smooth, and not to be talked into by a jump."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_doubles import evaluation, kernel
from unhurried import unhurried

from kernelwright.rl.contrastive.reward import (
    CLIP,
    FLOOR,
    GRID,
    LEAST_HISTORY,
    LEAST_PASSED,
    LEAST_SPREAD,
    MOST,
    NO_KERNEL,
    PRIOR,
    Scale,
    is_cheating,
    is_jump,
    returns,
    reward_of,
    scale_of,
    speedup_of,
)
from kernelwright.verifier.evaluation import Evaluation, Stage, StageStatus, Verdict

BASELINE = 3e-5  # seconds, of search_doubles
FAILURES = [verdict for verdict in Verdict if verdict is not Verdict.PASSED]
speedups = st.floats(min_value=1e-12, max_value=1e12)
scales = st.builds(Scale, st.floats(-5, 5), st.floats(0.05, 5))


def judged(outcome: float | Verdict, **changes: Any) -> Evaluation:
    """Of kernel 1: at this speed-up, or failed."""
    return evaluation(kernel(1), outcome if isinstance(outcome, Verdict) else BASELINE / outcome, **changes)


def refused(stage: str, *rules: str) -> Evaluation:
    findings = [{"rule": rule, "severity": "reject"} for rule in rules]
    failed = Stage(name=stage, status=StageStatus.FAILED, summary="", seconds=0, evidence={"findings": findings})
    return judged(Verdict.REJECTED, stages=[failed])


@unhurried
@given(speedups, scales)
def test_whatever_passed_beats_whatever_failed(speedup: float, scale: Scale) -> None:
    passed = reward_of([judged(speedup)], scale)
    assert LEAST_PASSED <= passed <= MOST
    for verdict in FAILURES:
        failed = reward_of([judged(verdict)], scale)
        assert FLOOR <= failed < passed - 0.4


def test_failures_are_graded_and_cheating_is_the_floor() -> None:
    order = [
        Verdict.CHEATING, Verdict.REJECTED, Verdict.UNSUPPORTED, Verdict.COMPILE_ERROR, Verdict.CRASHED, Verdict.UNSAFE,
        Verdict.WRONG, Verdict.OUTCLASSED,
    ]  # fmt: skip
    rewards = [reward_of([judged(verdict)], PRIOR) for verdict in order]
    assert rewards == sorted(rewards)
    assert len(set(rewards)) == len(rewards)
    assert rewards[0] == FLOOR
    assert FLOOR < NO_KERNEL < LEAST_PASSED
    assert reward_of([judged(Verdict.TIMEOUT)], PRIOR) == reward_of([judged(Verdict.CRASHED)], PRIOR)


@unhurried
@given(speedups, speedups, scales)
def test_faster_is_never_less_and_the_reward_is_smooth(one: float, two: float, scale: Scale) -> None:
    slow, fast = sorted((one, two))
    below, above = reward_of([judged(slow)], scale), reward_of([judged(fast)], scale)
    assert below <= above
    steepest = (MOST - LEAST_PASSED) / (2 * CLIP * scale.spread)
    assert above - below <= steepest * (math.log(fast) - math.log(slow)) + GRID


@unhurried
@given(
    st.floats(allow_nan=False, exclude_min=True, min_value=0), st.floats(allow_nan=False, exclude_min=True, min_value=0)
)
def test_no_pair_of_times_makes_a_reward_that_is_not_finite(seconds: float, baseline: float) -> None:
    fine = judged(1.0)
    assert fine.timing is not None
    timing = fine.timing.model_copy(update={"seconds": seconds, "baseline_seconds": baseline})
    odd = fine.model_copy(update={"timing": timing})
    reward = reward_of([odd], PRIOR)
    assert math.isfinite(reward)
    assert LEAST_PASSED <= reward <= MOST
    speedup = speedup_of(odd)
    assert speedup is None or math.isfinite(speedup)


def test_clipping_is_at_its_deviations() -> None:
    scale = Scale(0.0, 1.0)
    top = math.exp(CLIP)
    assert reward_of([judged(top)], scale) == pytest.approx(MOST)
    assert reward_of([judged(100 * top)], scale) == MOST
    assert reward_of([judged(0.97 * top)], scale) < MOST
    assert reward_of([judged(1 / top)], scale) == pytest.approx(LEAST_PASSED)
    assert reward_of([judged(1.0)], scale) == pytest.approx((MOST + LEAST_PASSED) / 2, abs=GRID)


@unhurried
@given(st.lists(speedups, min_size=LEAST_HISTORY, max_size=40), st.floats(1e-100, 1e300))
def test_one_wild_kernel_hardly_moves_the_scale(history: list[float], wild: float) -> None:
    calm = [1.0 + 0.01 * (i % 7) for i in range(30)]
    before, after = scale_of(calm), scale_of([*calm, wild])
    assert abs(after.centre - before.centre) < 0.02
    assert after.spread == before.spread == LEAST_SPREAD
    found = scale_of(history)
    assert min(map(math.log, history)) <= found.centre <= max(map(math.log, history))
    assert found.spread >= LEAST_SPREAD


def test_a_scale_is_median_and_deviation_of_logarithms() -> None:
    found = scale_of([0.25, 0.5, 0.5, 1, 1, 2, 2, 4, 4, 8])
    assert found.centre == pytest.approx(math.log(math.sqrt(2)))
    assert found.spread == pytest.approx(1.4826 * 1.5 * math.log(2))


def test_little_history_and_nonsense_make_the_prior() -> None:
    assert scale_of([5.0] * (LEAST_HISTORY - 1)) == PRIOR
    assert scale_of([math.nan, math.inf, 0.0, -1.0] * LEAST_HISTORY) == PRIOR
    with pytest.raises(ValueError, match="no scale"):
        Scale(0.0, 0.0)
    with pytest.raises(ValueError, match="no scale"):
        Scale(math.nan, 1.0)


def test_jumps() -> None:
    assert not is_jump(judged(2.99), None)
    assert is_jump(judged(3.01), None)
    assert not is_jump(judged(1.19), 0.6)
    assert is_jump(judged(1.21), 0.6)
    assert not is_jump(judged(Verdict.WRONG), 0.1)


def test_of_two_evaluations_the_slower_counts_and_a_failure_before_both() -> None:
    fast, slow = judged(5.0), judged(1.1)
    assert reward_of([fast, slow], PRIOR) == reward_of([slow, fast], PRIOR) == reward_of([slow], PRIOR)
    assert reward_of([fast, judged(Verdict.WRONG)], PRIOR) == reward_of([judged(Verdict.WRONG)], PRIOR)
    assert reward_of([fast, judged(Verdict.CHEATING)], PRIOR) == FLOOR


def test_evaluations_of_different_kernels_have_no_reward() -> None:
    with pytest.raises(ValueError, match="different kernels"):
        reward_of([judged(1.0), evaluation(kernel(2), 1e-5)], PRIOR)
    with pytest.raises(ValueError, match="needs an evaluation"):
        reward_of([], PRIOR)


@pytest.mark.parametrize("rule", ["patches_library", "derived_from_reference", "falls_back_to_torch", "walks_memory"])
def test_what_no_honest_kernel_does_has_the_floor(rule: str) -> None:
    assert is_cheating(refused("static", rule))
    assert reward_of([refused("static", rule, "no_cuda_kernel")], PRIOR) == FLOOR
    assert reward_of([refused("static", "no_cuda_kernel", rule)], PRIOR) == FLOOR  # no kernel beside it is no excuse


@pytest.mark.parametrize("rule", ["no_model_new", "no_cuda_kernel", "no_kernel_launched"])
def test_what_is_no_kernel_yet_is_above_the_floor(rule: str) -> None:
    assert not is_cheating(refused("static", rule))
    assert FLOOR < reward_of([refused("static", rule)], PRIOR) == NO_KERNEL


def test_an_impossible_time_has_the_floor() -> None:
    assert reward_of([refused("timing")], PRIOR) == FLOOR
    assert reward_of([refused("gpu timing")], PRIOR) == FLOOR
    assert reward_of([refused("integrity")], PRIOR) == NO_KERNEL


def test_returns_are_kevins_discounted_sums() -> None:
    assert returns([0.5, -0.3, 1.0], [False] * 3, gamma=0.4) == pytest.approx(
        [0.5 + 0.4 * (-0.3 + 0.4 * 1.0), -0.3 + 0.4 * 1.0, 1.0], abs=GRID
    )
    assert returns([0.5], [False]) == [0.5]
    assert returns([], []) == []


@unhurried
@given(st.lists(st.tuples(st.none() | st.floats(FLOOR, MOST), st.booleans()), max_size=6), st.floats(0, 1))
def test_a_turn_that_cheated_has_the_floor_and_none_has_less(
    turns: list[tuple[float | None, bool]], gamma: float
) -> None:
    rewards = [None if r is None else FLOOR if cheated else r for r, cheated in turns]
    found = returns(rewards, [cheated for _, cheated in turns], gamma)
    assert len(found) == len(turns)
    for value, reward, (_, cheated) in zip(found, rewards, turns, strict=True):
        assert value is None or (math.isfinite(value) and value >= FLOOR)
        if reward is None:
            assert value is None
        elif cheated:
            assert value == FLOOR


def test_a_turn_that_nobody_judged_leaves_those_before_it_without_a_value() -> None:
    assert returns([0.5, None, 1.0], [False] * 3) == [None, None, 1.0]


@unhurried
@given(speedups, st.integers(2, 4096), scales)
def test_equal_rewards_leave_no_residue_in_float32(speedup: float, count: int, scale: Scale) -> None:
    for outcome in (speedup, *FAILURES):
        reward = reward_of([judged(outcome)], scale)
        assert (reward / GRID).is_integer()
        total = math.fsum([reward] * count)
        assert struct.unpack("f", struct.pack("f", total))[0] == total
        assert total / count == reward
