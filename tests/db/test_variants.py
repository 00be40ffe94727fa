"""Variants of a task: what passed there, for one GPU and one kind of time, oldest first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from search_doubles import TASK, evaluation, kernel, run

from kernelwright.bench_tasks.task import Task
from kernelwright.db.store import Store
from kernelwright.verifier.evaluation import TimingKind, Verdict


def test_what_passed_on_the_task_oldest_first() -> None:
    ticks = count()
    other = Task("other", "class Model: pass\n")
    with Store(":memory:", clock=lambda: datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=next(ticks))) as store:
        store.create_run(run())
        for number, outcome in ((1, 3e-5), (2, Verdict.CHEATING), (3, 1e-5), (4, Verdict.WRONG)):
            store.add_evaluation(TASK, kernel(number), evaluation(kernel(number), outcome))
        store.add_evaluation(other, kernel(5), evaluation(kernel(5), 2e-5, other))
        found = store.variants(TASK.id, "H200", TimingKind.MODELLED)
        assert [(v.kernel_id, v.source) for v in found] == [(kernel(n).id, kernel(n).source) for n in (1, 3)]
        assert [v.score for v in found] == pytest.approx([1.0, 3.0])
        assert [v.seconds for v in found] == pytest.approx([3e-5, 1e-5])
        assert store.variants(TASK.id, "H200", TimingKind.MEASURED) == []
        assert store.variants(TASK.id, "A100", TimingKind.MODELLED) == []
        assert store.variants("nothing", "H200", TimingKind.MODELLED) == []


@pytest.mark.parametrize("verdict", [Verdict.CHEATING, Verdict.UNSAFE, Verdict.WRONG, Verdict.REJECTED])
def test_a_kernel_that_was_found_out_later_is_none(verdict: Verdict) -> None:
    """A jump is evaluated twice, and both evaluations are stored: the one that passed must not make an exemplar of a cheat."""
    with Store(":memory:") as store:
        store.create_run(run())
        for number in (1, 2):
            store.add_evaluation(TASK, kernel(number), evaluation(kernel(number), 1e-5))
        store.add_evaluation(TASK, kernel(1), evaluation(kernel(1), verdict, seconds=0.7))
        store.add_evaluation(TASK, kernel(2), evaluation(kernel(2), Verdict.TIMEOUT, seconds=0.7))
        assert [v.kernel_id for v in store.variants(TASK.id, "H200", TimingKind.MODELLED)] == [kernel(2).id]


def test_wrong_on_another_task_is_no_fault_here_but_cheating_there_is() -> None:
    other = Task("other", "class Model: pass\n")
    with Store(":memory:") as store:
        store.create_run(run())
        for number, verdict in ((1, Verdict.WRONG), (2, Verdict.CHEATING)):
            store.add_evaluation(TASK, kernel(number), evaluation(kernel(number), 1e-5))
            store.add_evaluation(other, kernel(number), evaluation(kernel(number), verdict, other))
        assert [v.kernel_id for v in store.variants(TASK.id, "H200", TimingKind.MODELLED)] == [kernel(1).id]
