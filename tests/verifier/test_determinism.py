"""Two calls on the same inputs: equal, different within the policy, or different beyond it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from model_reports import copy
from numeric_cases import reference_of

from kernelwright.bench_tasks.task import NumericPolicy
from kernelwright.sandbox.candidate import CallResult
from kernelwright.verifier.determinism import compare_rerun

X = torch.randn(8, 500, generator=torch.Generator().manual_seed(2))
EXPECTED = reference_of(lambda x: x.sum(-1), [X])


def call(output, atomics=0) -> CallResult:
    report = copy(1024)
    counters = dataclasses.replace(report.counters, global_atomic_requests=atomics)
    return CallResult(output, (), (dataclasses.replace(report, counters=counters),), (), (), (True,), ())


def test_equal_calls_are_told_so():
    mismatch, rerun = compare_rerun(call(EXPECTED.native), call(EXPECTED.native.clone()), EXPECTED, NumericPolicy())
    assert mismatch is None
    assert rerun is not None
    assert rerun.bitwise
    assert (rerun.changed, rerun.total, rerun.largest, rerun.summary) == (0, 8, 0.0, "")


@pytest.mark.parametrize(("atomics", "says"), [(3, "in any order"), (0, "look for a race")])
def test_another_order_is_within_the_policy_and_told(atomics, says):
    again = X.flip(-1).sum(-1)
    again[5] += 2e-6
    mismatch, rerun = compare_rerun(call(EXPECTED.native), call(again, atomics), EXPECTED, NumericPolicy())
    assert mismatch is None
    assert rerun is not None
    assert not rerun.bitwise
    assert rerun.changed == int((again != EXPECTED.native).sum()) > 0
    assert rerun.largest == pytest.approx(float((again.double() - EXPECTED.native.double()).abs().max()))
    assert says in rerun.summary


@pytest.mark.parametrize("again", [EXPECTED.native * 1.01, EXPECTED.native[:4], (EXPECTED.native, EXPECTED.native)])
def test_a_second_call_that_is_wrong_is_a_mismatch(again):
    mismatch, _rerun = compare_rerun(call(EXPECTED.native), call(again), EXPECTED, NumericPolicy())
    assert mismatch is not None
