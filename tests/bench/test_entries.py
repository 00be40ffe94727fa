"""From stored rows to the Entry that is scored: every task is in it, with what can be said for and against it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from bench_doubles import BENCH, OTHER, baseline, items
from model_calls import call
from search_doubles import DEVICE, EPOCH, TASK, attempt, evaluation, kernel, run

from kernelwright.bench.entries import entry_of, remarks_on
from kernelwright.bench_tasks.scoring.results import Integrity
from kernelwright.db.bench import ItemStatus
from kernelwright.db.store import Store
from kernelwright.verifier.evaluation import Evaluation, Stage, StageStatus, TimingKind, Verdict


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "k.db", clock=lambda: EPOCH) as store:
        store.create_bench_run(BENCH, items(), [TASK, OTHER])
        yield store


def _static(*findings: tuple[str, str]) -> Stage:
    rows = [{"rule": rule, "severity": severity, "line": 3, "reason": f"It has {rule}."} for rule, severity in findings]
    return Stage(name="static", status=StageStatus.PASSED, summary="", seconds=0.0, evidence={"findings": rows})


def _passed(*stages: Stage) -> Evaluation:
    return evaluation(kernel(2), 1e-5, stages=list(stages))


def test_a_search_with_a_cheat_and_a_winner(store: Store) -> None:
    item = store.begin_bench_item(items()[0], "softmax-aaaaaa")
    store.create_run(run("softmax-aaaaaa"))
    interval = {"speedup_low": 2.5, "speedup_high": 3.5}
    made = attempt("softmax-aaaaaa", 2, 1e-5)
    timing = made.evaluation.timing
    assert timing is not None
    made = replace(made, evaluation=made.evaluation.model_copy(update={"timing": timing.model_copy(update=interval)}))
    for each in (attempt("softmax-aaaaaa", 1, Verdict.CHEATING), made, attempt("softmax-aaaaaa", 3, 2e-5)):
        store.add_attempt(each)
    store.add_call(call("softmax-aaaaaa", dollars=Decimal("0.125")))
    store.add_baseline(TASK, baseline(TASK, "eager", 9e-5, DEVICE))
    store.add_baseline(TASK, baseline(TASK, "compile", 8e-5, DEVICE))
    gpu = DEVICE.model_copy(update={"kind": "cuda"})
    store.add_baseline(TASK, baseline(TASK, "max-autotune", 1e-9, gpu, kind=TimingKind.MEASURED))
    store.end_bench_item(item, ItemStatus.FINISHED, seconds=10.0)

    trial = entry_of(store, BENCH.id).trials[0]
    assert [(a.verdict, a.passed) for a in trial.attempts] == [("cheating", False), ("passed", True), ("passed", True)]
    assert trial.best == trial.attempts[1]
    assert trial.attempts[1].speedup == pytest.approx(3.0)
    assert trial.attempts[1].roofline_share == pytest.approx(0.71)
    assert trial.speedup_interval == (2.5, 3.5)
    assert (trial.kernel_id, trial.run_id) == (kernel(2).id, "softmax-aaaaaa")
    assert store.evaluation(trial.evaluation_id) == made.evaluation
    assert (trial.dollars, trial.seconds, trial.problem) == (Decimal("0.125"), 10.0, "")
    assert trial.integrity is Integrity.CLEAN  # who cheats in one attempt of a search has just failed in it
    # of the session that the kernel was timed in, else as they were asked for; never of the other kind
    assert trial.baselines == {"eager": 3e-5, "compile": 8e-5}


def test_nothing_vanishes(store: Store) -> None:
    first, second, third, fourth = items()
    store.end_bench_item(first, ItemStatus.FAILED, "the built-in coder can't.")
    store.begin_bench_item(second, "relu-aaaaaa")
    store.end_bench_item(third, ItemStatus.FINISHED)
    entry = entry_of(store, BENCH.id)
    assert entry.tasks == ("softmax", "relu")
    assert [(t.task, t.repeat, t.solved) for t in entry.trials] == [
        ("softmax", 0, False), ("relu", 0, False), ("softmax", 1, False), ("relu", 1, False),
    ]  # fmt: skip
    assert [t.problem for t in entry.trials] == [
        "the built-in coder can't.", "It was begun and not ended.", "No kernel was written.", "It was not run.",
    ]  # fmt: skip
    assert {t.run_id for t in entry.trials} == {""}  # one was begun, and its search was not
    assert (entry.author, entry.timing_kind, entry.suite_size) == ("builtin", "modelled", 5)
    assert entry.suite_digest == BENCH.digest
    assert fourth.status is ItemStatus.WAITING


def test_attempts_count_when_the_item_was_ended(store: Store) -> None:
    item = store.begin_bench_item(items()[0], "softmax-aaaaaa")
    store.create_run(run("softmax-aaaaaa"))
    store.add_attempt(attempt("softmax-aaaaaa", 1, 1e-5))
    store.end_bench_item(item, ItemStatus.FAILED, "Its time of 5 s was up.", 1.0)
    trial = entry_of(store, BENCH.id).trials[0]
    assert trial.solved
    assert trial.problem == ""
    assert trial.seconds == 1.5  # those of its attempt: what was killed could not say its own


@pytest.mark.parametrize(
    ("stages", "remarks"),
    [
        ([_static(("left_to_torch", "warn"), ("file", "note"))], ()),
        ([_static(("stream", "warn"), ("never_launched", "warn"))], ("Line 3: It has stream.",)),
        ([Stage(name="gpu profile", status=StageStatus.WARNED, summary="no counters", seconds=0.0)], ()),
        (
            [Stage(name="gpu sanitise", status=StageStatus.WARNED, summary="racecheck failed", seconds=0.0)],
            ("The stage gpu sanitise ended with a warning: racecheck failed.",),
        ),
    ],
)
def test_what_speaks_against_a_kernel(stages: list[Stage], remarks: tuple[str, ...]) -> None:
    assert remarks_on(_passed(*stages)) == remarks


def test_a_winner_with_a_warning_is_suspect_and_solved(store: Store) -> None:
    item = store.begin_bench_item(items()[0], "softmax-aaaaaa")
    store.create_run(run("softmax-aaaaaa"))
    made = replace(attempt("softmax-aaaaaa", 2, 1e-5), evaluation=_passed(_static(("pointer_cache", "warn"))))
    store.add_attempt(replace(made, number=1))
    store.end_bench_item(item, ItemStatus.FINISHED)
    trial = entry_of(store, BENCH.id).trials[0]
    assert (trial.integrity, trial.solved) == (Integrity.SUSPECT, True)
    assert trial.remarks == ("Line 3: It has pointer_cache.",)
