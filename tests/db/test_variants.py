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
