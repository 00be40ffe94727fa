"""The history of a task: each kernel once with its lowest score, and a scale that stays."""

from __future__ import annotations

from search_doubles import evaluation, kernel
from training_doubles import BASELINE

from kernelwright.agents.protocols import PastAttempt
from kernelwright.rl.contrastive.exemplars import Variant
from kernelwright.rl.contrastive.reward import LEAST_HISTORY, PRIOR, Scale
from kernelwright.rl.training.history import History, variant_of
from kernelwright.verifier.evaluation import TimingKind, Verdict


def variant(name: str, score: float) -> Variant:
    return Variant(name, "", score, BASELINE / score, TimingKind.MODELLED)


def test_a_kernel_counts_once_with_its_lowest_score() -> None:
    history = History([variant("a", 2.0), variant("a", 1.5), variant("b", 1.0), variant("a", 1.7)])
    assert [(v.kernel_id, v.score) for v in history.variants] == [("a", 1.5), ("b", 1.0)]
    assert history.best == 1.5
    assert History().best is None


def test_the_scale_is_that_of_the_beginning() -> None:
    history = History([variant(f"k{n}", 2.0 + n) for n in range(LEAST_HISTORY)])
    scale = history.scale
    assert scale != PRIOR
    for number in range(1, 4):
        candidate = kernel(number)
        history.add(PastAttempt(number, candidate, evaluation(candidate, BASELINE / 50)))
    assert history.scale == scale
    assert history.best == 50
    assert History([variant("a", 9.0)] * 20, Scale(1.0, 2.0)).scale == Scale(1.0, 2.0)


def test_a_kernel_that_is_found_out_is_no_variant_any_more() -> None:
    history = History([variant(kernel(1).id, 2.0), variant(kernel(2).id, 1.5)])
    history.add(PastAttempt(1, kernel(1), evaluation(kernel(1), Verdict.CHEATING)))
    history.add(PastAttempt(2, kernel(2), evaluation(kernel(2), Verdict.TIMEOUT)))
    history.add(PastAttempt(3, kernel(1), evaluation(kernel(1), BASELINE)))
    assert [v.kernel_id for v in history.variants] == [kernel(2).id]


def test_what_failed_is_no_variant() -> None:
    assert variant_of(kernel(1), evaluation(kernel(1), Verdict.WRONG)) is None
    found = variant_of(kernel(1), evaluation(kernel(1), BASELINE / 3))
    assert found is not None
    assert (found.kernel_id, found.source, found.kind) == (kernel(1).id, kernel(1).source, TimingKind.MODELLED)
