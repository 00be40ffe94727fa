"""Times of single kernels from the rows of an evaluation."""

from __future__ import annotations

from typing import Any

import pytest
from search_doubles import evaluation

from kernelwright.agents.builtin.policy.observing import observed
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, Verdict

NAMES = ("mm_tiles.split", "mm_tiles_2.split")


def timed(rows: list[dict[str, Any]]) -> Evaluation:
    plain = evaluation(kernel(), 1e-4)
    assert plain.timing is not None
    return plain.model_copy(update={"timing": plain.timing.model_copy(update={"breakdown": rows})})


def kernel(**parameters: int) -> Kernel:
    return Kernel("text", author="builtin", parameters={"mm_tiles.split": 2, "mm_tiles_2.split": 1, **parameters})


def test_a_second_launch_counts_for_the_kernel_that_it_is_named_after() -> None:
    rows = [
        {"name": "mm_tiles", "seconds": 1e-5},
        {"name": "mm_tiles_finish", "seconds": 2e-6},
        {"name": "mm_tiles_2", "seconds": 3e-5},
        {"name": "aten.add", "seconds": 5e-5},
    ]
    found = observed(kernel(), timed(rows), NAMES)
    assert found is not None
    assert found.by_kernel == pytest.approx({"mm_tiles": 1.2e-5, "mm_tiles_2": 3e-5})
    assert found.knobs == {"mm_tiles": {"split": 2}, "mm_tiles_2": {"split": 1}}


@pytest.mark.parametrize("rows", [[], [{"name": "mm_tiles", "seconds": 1e-5}], [{"seconds": None}], [{"name": 3}]])
def test_rows_that_do_not_tell_every_kernel_leave_the_whole_time(rows: list[dict[str, Any]]) -> None:
    found = observed(kernel(), timed(rows), NAMES)
    assert found is not None
    assert found.seconds == 1e-4
    assert found.by_kernel == {}


def test_a_failure_has_no_time_and_a_foreign_kernel_says_nothing() -> None:
    failed = observed(kernel(), evaluation(kernel(), Verdict.WRONG), NAMES)
    assert failed is not None
    assert failed.seconds is None
    assert observed(Kernel("text", author="model"), timed([]), NAMES) is None
    assert observed(kernel(), timed([]), ()) is None
