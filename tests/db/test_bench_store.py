"""Runs of suites, their items and baselines: in as they come out, and never begun or ended twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bench_doubles import BENCH, OTHER, baseline, items
from search_doubles import DEVICE, EPOCH, TASK, attempt, run
from sqlalchemy import text

from kernelwright.db.bench import BenchStatus, ItemStatus
from kernelwright.db.lookup import Kind
from kernelwright.db.store import Store
from kernelwright.errors import NotFoundError, StoreError
from kernelwright.verifier.evaluation import TimingKind, Verdict


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "k.db", clock=lambda: EPOCH) as store:
        store.create_bench_run(BENCH, items(), [TASK, OTHER])
        yield store


def test_out_as_it_went_in(store: Store) -> None:
    assert store.bench_run("core-7") == BENCH
    assert store.bench_items(BENCH.id) == items()
    assert store.task(TASK.id) == TASK  # kept from the start: the suite's folder may change
    with pytest.raises(StoreError, match=f"already is a bench run {BENCH.id}"):
        store.create_bench_run(BENCH, items(), [TASK, OTHER])


def test_an_item_keeps_the_run_that_it_was_first_begun_with(store: Store) -> None:
    item = store.bench_items(BENCH.id)[1]
    begun = store.begin_bench_item(item, "relu-aaaaaa")
    assert begun == replace(item, status=ItemStatus.RUNNING, run_id="relu-aaaaaa", starts=1)
    store.end_bench_item(item, ItemStatus.STOPPED, "its process died", 2.5)
    again = store.begin_bench_item(item, "relu-bbbbbb")
    assert (again.run_id, again.starts, again.problem, again.seconds) == ("relu-aaaaaa", 2, "", 2.5)
    store.end_bench_item(item, ItemStatus.FINISHED, seconds=1.0)
    ended = store.bench_items(BENCH.id)[1]
    assert (ended.status, ended.seconds) == (ItemStatus.FINISHED, 3.5)
    store.end_bench_item(item, ItemStatus.FAILED, "too late", 9.0)  # its parent had not seen that it ended
    assert store.bench_items(BENCH.id)[1] == ended
    with pytest.raises(StoreError, match="has ended"):
        store.begin_bench_item(item, "relu-cccccc")
    with pytest.raises(NotFoundError, match="no item 77"):
        store.begin_bench_item(replace(item, position=77), "x")


def test_status_settings_and_summaries(store: Store) -> None:
    later = replace(BENCH, id="core-zzzzzz", created=EPOCH.replace(year=2027))
    store.create_bench_run(later, items(later), [TASK, OTHER])
    store.end_bench_item(items()[0], ItemStatus.FAILED, "no kernel")
    store.end_bench_item(items()[1], ItemStatus.STOPPED)
    store.set_bench_status(BENCH.id, BenchStatus.INTERRUPTED, "budget", settings={"budget": "2.5"})
    stored = store.bench_run(BENCH.id)
    assert (stored.status, stored.message) == (BenchStatus.INTERRUPTED, "budget")
    assert stored.settings == {"rounds": 3, "budget": "2.5"}
    assert [(s.run.id, s.items, s.ended) for s in store.bench_runs()] == [(later.id, 4, 0), (BENCH.id, 4, 1)]
    assert [s.run.id for s in store.bench_runs(1)] == [later.id]
    with pytest.raises(NotFoundError, match="bench runs"):
        store.set_bench_status("nowhere", BenchStatus.FINISHED)
    with pytest.raises(NotFoundError, match=r"Did you mean core-7k3f9q"):
        store.bench_run("core-7k3f9x")


def test_a_bench_run_is_no_run(store: Store) -> None:
    """`kernelwright show` must not take one for the other."""
    with pytest.raises(NotFoundError):
        store.find(BENCH.id)
    assert store.find("core", (Kind.BENCH_RUN,)).id == BENCH.id
    assert not store.has_run(BENCH.id)


def test_figures_of_several_runs(store: Store) -> None:
    for name in ("a-1", "b-1"):
        store.create_run(run(name))
        store.add_attempt(attempt(name, 1, Verdict.WRONG))
        store.add_attempt(attempt(name, 2, 1e-5))
    found = store.figures(["a-1", "b-1", "nothing"])
    assert [(f.run_id, f.number, f.verdict) for f in found] == [
        ("a-1", 1, "wrong"), ("a-1", 2, "passed"), ("b-1", 1, "wrong"), ("b-1", 2, "passed"),
    ]  # fmt: skip
    assert found[0].timing is None
    assert found[1].timing == attempt("a-1", 2, 1e-5).evaluation.timing
    assert store.evaluation(found[1].evaluation_id).kernel_id == found[1].kernel_id
    assert store.has_run("a-1")


def test_baselines_of_a_kind_and_a_gpu_the_newest(store: Store) -> None:
    gpu = DEVICE.model_copy(update={"kind": "cuda", "name": "NVIDIA H200"})
    old, new = baseline(TASK, "eager", 3e-5, DEVICE), baseline(TASK, "eager", 2e-5, DEVICE)
    measured = baseline(TASK, "compile", 1e-5, gpu, kind=TimingKind.MEASURED)
    elsewhere = baseline(TASK, "eager", 9e-5, DEVICE.model_copy(update={"gpu": "A100"}))
    for each in (old, new, measured, elsewhere):
        store.add_baseline(TASK, each)
    assert store.baselines([TASK.id], TimingKind.MODELLED, "H200") == [new]
    assert store.baselines([TASK.id, OTHER.id], TimingKind.MEASURED, "H200") == [measured]
    assert store.baselines([OTHER.id], TimingKind.MODELLED, "H200") == []
    with pytest.raises(StoreError, match=f"not {OTHER.id}"):
        store.add_baseline(OTHER, new)
    with pytest.raises(StoreError, match="times_in_order"):
        store.add_baseline(TASK, replace(new, seconds_low=3e-5))


@pytest.mark.parametrize("change", ["UPDATE baselines SET seconds = 1", "DELETE FROM baselines"])
def test_baselines_stay_as_written(store: Store, change: str) -> None:
    store.add_baseline(TASK, baseline(TASK, "eager", 3e-5, DEVICE))
    with pytest.raises(StoreError, match="baselines are immutable"), store._writing() as session:
        session.connection().execute(text(change))
