"""The cascade: a kernel is let go only where it can't win, and never instead of being found out."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_reports import copy

from kernelwright.agents.ranking import NOTICEABLE
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier import cascade
from kernelwright.verifier.cascade import Cascade, least_seconds, must_pass_dram
from kernelwright.verifier.evaluation import Timing, TimingKind, Verdict
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.model.kernel_time import kernel_time
from kernelwright.verifier.stages import StageFailed
from kernelwright.verifier.timing import ModelledCall

H200 = find_gpu("H200")
REPORT = copy(1 << 22)
LARGE = copy(1 << 28)
"""Moves some forty times what L2 holds."""
seconds = st.floats(1e-6, 1e-2)


def rival(took: float, kind: TimingKind = TimingKind.MODELLED, gpu: str = "H200") -> Timing:
    return Timing(kind=kind, gpu=gpu, seconds=took, baseline_seconds=1e-3, bound_seconds=1e-9)


def calls(*took: float, launches: tuple[LaunchReport, ...] = ()) -> list[ModelledCall]:
    return [ModelledCall("as-given", launches, (), each) for each in took]


def goes(own: list[ModelledCall], best: Timing | None, *, last: bool, kind: TimingKind = TimingKind.MODELLED) -> bool:
    """Whether the kernel is let go."""
    try:
        Cascade(best, kind, H200).look(own, [], last=last)
    except StageFailed as failure:
        return failure.verdict is Verdict.OUTCLASSED
    return False


def test_it_holds_kernels_to_what_the_search_holds_them_to() -> None:
    assert cascade._NOTICEABLE == NOTICEABLE


@settings(deadline=None)
@given(st.lists(seconds, min_size=1, max_size=5), seconds)
def test_after_the_last_call_it_goes_exactly_if_its_figure_would_not_take_over(took: list[float], best: float) -> None:
    figure = sorted(took)[(len(took) - 1) // 2]  # as verifier.timing takes the median
    assert goes(calls(*took), rival(best), last=True) == (figure * NOTICEABLE > best)


@settings(deadline=None)
@given(seconds, st.lists(st.floats(1.0, 1.24), max_size=4), seconds)
def test_after_the_first_call_it_goes_only_if_no_later_call_brings_it_in_front(
    first: float, others: list[float], best: float
) -> None:
    if goes(calls(first), rival(best), last=False):
        assert goes(calls(first, *(first / other for other in others)), rival(best), last=True)


@pytest.mark.parametrize("best", [None, rival(1e-9, TimingKind.MEASURED), rival(1e-9, gpu="A100")])
def test_without_a_time_that_compares_every_kernel_goes_on(best: Timing | None) -> None:
    assert not goes(calls(1.0), best, last=True)


def test_the_evidence_says_what_it_was_held_against() -> None:
    rows: list[dict[str, Any]] = [{"workload": "as-given", "share_of_allowed": 0.1, "launches": 1}]
    report = REPORT
    took = kernel_time(report, H200).seconds
    with pytest.raises(StageFailed) as raised:
        Cascade(rival(took / 2), TimingKind.MODELLED, H200).look(calls(took, launches=(report,)), rows, last=True)
    evidence = raised.value.evidence
    assert evidence["calls"] == rows
    assert (evidence["modelled_seconds"], evidence["rival_seconds"]) == (took, took / 2)
    assert evidence["breakdown"] == [{"name": report.kernel, "seconds": pytest.approx(took)}]
    assert "not judged further" in raised.value.reason


def test_on_a_gpu_a_bound_of_its_own_counters_decides_and_not_the_model() -> None:
    report = LARGE
    least = cascade._OTHER_CALLS * least_seconds((report,), H200)
    own = calls(1.0, launches=(report,))  # the model says a second
    measured = TimingKind.MEASURED
    assert not goes(own, rival(least * 1.01, measured), last=True, kind=measured)
    assert goes(own, rival(least * 0.9, measured), last=True, kind=measured)
    assert not goes(
        calls(1.0, launches=(REPORT,)), rival(1e-9, measured), last=True, kind=measured
    )  # it may all be in L2


lines = st.lists(st.tuples(st.booleans(), st.integers(0, 11)), max_size=60)


@settings(deadline=None)
@given(lines, st.integers(1, 6), st.lists(st.integers(0, 11), unique=True), st.randoms(use_true_random=False))
def test_no_cache_of_any_policy_moves_less(
    accesses: list[tuple[bool, int]], size: int, before: list[int], rng: Random
) -> None:
    """Played against caches that write back, that begin with any lines and throw out any; one line is one byte here."""
    held = dict.fromkeys(before[:size], False)  # whether it was stored to
    moved = 0
    for store, line in accesses:
        if line not in held:
            moved += not store  # a whole line that is stored is not fetched first
            if len(held) == size:
                moved += held.pop(rng.choice(list(held)))
            held[line] = False
        held[line] |= store
    loaded, stored = ({line for store, line in accesses if store is kind} for kind in (False, True))
    assert must_pass_dram(len(loaded), len(stored), size) <= moved


def test_what_no_data_sheet_says_has_no_part_in_the_bound() -> None:
    one = least_seconds((LARGE,), H200)
    for changed in ({"l2_bandwidth": 1.0}, {"launch_seconds": 1.0}, {"dram_share": 0.3}):
        assert least_seconds((LARGE,), H200.model_copy(update=changed)) == one
    assert least_seconds((REPORT,) * 1000, H200) == 0  # each could find all it touches in L2


def test_the_bound_is_below_the_modelled_time_grows_with_launches_and_does_not_scale_a_sample() -> None:
    report = LARGE
    one = least_seconds((report,), H200)
    assert 0 < one < kernel_time(report, H200).seconds
    assert least_seconds((report, report), H200) == pytest.approx(2 * one)
    assert least_seconds((), H200) == 0
    for busy in ({"flops": {}, "global_load_unique_bytes": 10**9}, {"flops": {"fp32": 10**12}}):
        counters = replace(report.counters, **busy)  # type: ignore[arg-type]
        whole = replace(report, counters=counters)
        part = replace(report, counters=replace(counters, blocks=max(1, counters.blocks // 4)))
        assert least_seconds((part,), H200) == least_seconds((whole,), H200) > 0


def test_launches_that_may_run_beside_one_another_count_what_takes_longer() -> None:
    moves = replace(LARGE, counters=replace(LARGE.counters, flops={}))
    computes = replace(LARGE, counters=replace(REPORT.counters, flops={"fp32": 10**11}))
    both = least_seconds((moves, computes), H200)
    assert both == max(least_seconds((moves,), H200), least_seconds((computes,), H200))
