"""Children that fail, die, hang, run out of money, or lose their parent: nothing ends the others, nothing is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from bench_doubles import BENCH, items
from search_doubles import TASK

from kernelwright.bench.events import BenchEvent, ItemEnded, ItemSaid, ItemStarted, ignore
from kernelwright.bench.lock import only_one
from kernelwright.bench.plan import Options, Planned
from kernelwright.bench.running import begin_run, go_on
from kernelwright.bench_tasks.task import Task
from kernelwright.config import Settings
from kernelwright.db.bench import BenchItem, BenchStatus, ItemStatus
from kernelwright.db.store import Store
from kernelwright.errors import ConfigError, MisuseError

TESTS = Path(__file__).resolve().parents[1]
WORKER = ("-P", str(TESTS / "bench_worker.py"))
OPTIONS = Options(jobs=2, task_seconds=240.0, budget=None)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("BENCH_TEST_FOLDER", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    return Settings(data=tmp_path / "data")


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with Store(settings.database_url) as store:
        yield store


def planned(*names: str, repeats: int = 1) -> Planned:
    """A run of tasks of these names."""
    bench = replace(BENCH, repeats=repeats, settings={**BENCH.settings, "jobs": 2, "task_seconds": 240.0})
    tasks: tuple[Task, ...] = tuple(replace(TASK, name=name, source=f"# {name}", attachments={}) for name in names)
    return Planned(bench, tuple(items(bench, tasks)), tasks)


def evaluated(tmp_path: Path) -> Counter[str]:
    """What was evaluated, and how often."""
    return Counter((tmp_path / "evaluated").read_text().splitlines())


def stored(store: Store) -> dict[str, BenchItem]:
    return {item.name: item for item in store.bench_items(BENCH.id)}


def numbers(store: Store, item: BenchItem) -> list[int]:
    return [attempt.number for attempt in store.attempts(item.run_id or "")]


def test_a_failure_or_a_death_ends_no_other(tmp_path: Path, settings: Settings, store: Store) -> None:
    plan = planned("dying", "unwritten", "fine")
    events: list[BenchEvent] = []
    run = begin_run(plan, settings, OPTIONS, store, events.append, worker=WORKER)
    found = stored(store)
    assert [(i.name, i.status.value) for i in found.values()] == [
        ("dying", "stopped"), ("unwritten", "failed"), ("fine", "finished"),
    ]  # fmt: skip
    assert found["dying"].problem == "Its process was ended by signal SIGKILL."
    assert found["unwritten"].problem == "no kernel can be written for this module."
    assert (run.status, run.message) == (BenchStatus.INTERRUPTED, f"1 item did not end: {found['dying'].problem}")
    assert {e.item.name: e.trial.solved for e in events if isinstance(e, ItemEnded)} == {
        "dying": True, "unwritten": False, "fine": True,
    }  # fmt: skip
    said = [(e.item.name, e.event.number) for e in events if isinstance(e, ItemSaid)]  # type: ignore[union-attr]
    assert [number for name, number in said if name == "fine"] == [1, 2, 3]

    for _ in range(2):  # it dies twice more: then it is given up, and what it had judged counts
        events.clear()
        run = go_on(BENCH.id, settings, OPTIONS, store, events.append, worker=WORKER)
        assert [e.item.name for e in events if isinstance(e, ItemStarted)] == ["dying"]
    assert (run.status, stored(store)["dying"].status) == (BenchStatus.FINISHED, ItemStatus.FAILED)
    assert numbers(store, stored(store)["dying"]) == [1]
    assert evaluated(tmp_path) == {"dying 0 1": 1, "dying 0 2": 3, "fine 0 1": 1, "fine 0 2": 1, "fine 0 3": 1}
    with pytest.raises(MisuseError, match="is finished: there is nothing to go on with"):
        go_on(BENCH.id, settings, OPTIONS, store, ignore, worker=WORKER)


_PARENT = """
    import sys
    from kernelwright.bench.events import ItemSaid
    from kernelwright.bench.running import begin_run
    from kernelwright.config import Settings
    from kernelwright.db.store import Store
    from tests_running import OPTIONS, WORKER, planned

    def tell(event):
        if isinstance(event, ItemSaid):
            print(event.item.name, event.event.number, flush=True)

    settings = Settings(data=sys.argv[1])
    with Store(settings.database_url) as store:
        begin_run(planned("hanging", "hanging_too", "fine"), settings, OPTIONS, store, tell, worker=WORKER)
"""


def test_the_parent_is_killed_and_its_children_end_and_go_on(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 of the command's process group while two children are in the middle of an attempt."""
    (tmp_path / "tests_running.py").symlink_to(__file__)
    monkeypatch.setenv("PYTHONPATH", f"{TESTS}{os.pathsep}{tmp_path}")
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_PARENT), str(settings.data)],
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as parent:
        assert parent.stdout is not None
        begun: set[str] = set()
        while begun < {"hanging 2", "hanging_too 2"}:
            line = parent.stdout.readline()
            assert line
            begun.add(line.strip())
        os.killpg(parent.pid, signal.SIGKILL)
    for name in ("hanging", "hanging_too"):  # it hangs the first time only, and may have been killed just before
        (tmp_path / name).touch()
    with Store(settings.database_url) as store:
        assert store.bench_run(BENCH.id).status is BenchStatus.RUNNING
        run = go_on(BENCH.id, settings, OPTIONS, store, ignore, worker=WORKER)  # waits until the children are gone
        assert run.status is BenchStatus.FINISHED
        assert [numbers(store, item) for item in stored(store).values()] == [[1, 2, 3]] * 3
        assert {item.starts for item in stored(store).values()} == {1, 2}
    counts = evaluated(tmp_path)
    assert {line: counts[line] for line in counts if " 0 2" not in line} == {
        f"{name} 0 {number}": 1 for name in ("hanging", "hanging_too", "fine") for number in (1, 3)
    }
    assert counts["fine 0 2"] == 1
    assert counts["hanging 0 2"] <= 2  # it was under way


def test_ctrl_c_keeps_what_is_done(tmp_path: Path, settings: Settings, store: Store) -> None:
    def stop(event: BenchEvent) -> None:
        if isinstance(event, ItemSaid) and event.event.number == 2:  # type: ignore[union-attr]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin_run(planned("hanging"), settings, OPTIONS, store, stop, worker=WORKER)
    item = stored(store)["hanging"]
    assert (item.status, item.problem) == (ItemStatus.STOPPED, "It was interrupted.")
    run = store.bench_run(BENCH.id)
    assert (run.status, run.message) == (BenchStatus.INTERRUPTED, "It was interrupted.")
    (tmp_path / "hanging").touch()  # it may have been stopped before it hung
    assert go_on(BENCH.id, settings, OPTIONS, store, ignore, worker=WORKER).status is BenchStatus.FINISHED
    assert numbers(store, item) == [1, 2, 3]


def test_an_item_whose_time_is_up(settings: Settings, store: Store) -> None:
    """Whether that is before or after its first attempt: it is asked to end, and has failed for that reason."""
    run = begin_run(planned("hanging"), settings, replace(OPTIONS, task_seconds=3.0), store, ignore, worker=WORKER)
    item = stored(store)["hanging"]
    assert run.status is BenchStatus.FINISHED
    assert (item.status, item.problem) == (ItemStatus.FAILED, "Its time of 3 s was up.")


def test_together_they_stay_within_the_budget(tmp_path: Path, settings: Settings, store: Store) -> None:
    """Three searches want 3 dollars each; two at a time, and 5 dollars for all: both stop at their shares, what is left lets
    one of them end, and the third is never begun."""
    options = replace(OPTIONS, budget=Decimal(5))
    run = begin_run(planned("paid_a", "paid_b", "paid_c"), settings, options, store, ignore, worker=WORKER)
    assert run.status is BenchStatus.INTERRUPTED
    assert run.message == "The budget of $5 allows no more; 2 items did not end."
    spent = {name: store.spent(item.run_id or "") for name, item in stored(store).items()}
    assert sum(spent.values()) == 5
    assert spent["paid_c"] == 0
    assert sorted(item.status.value for item in stored(store).values()) == ["finished", "stopped", "waiting"]
    assert stored(store)["paid_c"].problem == "Not run: the budget was used up."

    run = go_on(BENCH.id, settings, replace(options, budget=Decimal(9)), store, ignore, worker=WORKER)
    assert run.status is BenchStatus.FINISHED
    assert run.settings["budget"] == "9"
    assert [numbers(store, item) for item in stored(store).values()] == [[1, 2, 3]] * 3
    assert set(evaluated(tmp_path).values()) == {1}


def test_what_is_wrong_with_every_item_stops_all(settings: Settings, store: Store) -> None:
    options = replace(OPTIONS, jobs=1)
    with pytest.raises(ConfigError, match="models need a key"):
        begin_run(planned("keyless", "fine"), settings, options, store, ignore, worker=WORKER)
    assert [item.status.value for item in stored(store).values()] == ["stopped", "waiting"]
    assert store.bench_run(BENCH.id).status is BenchStatus.INTERRUPTED


def test_one_command_at_a_time(tmp_path: Path, settings: Settings, store: Store) -> None:
    plan = planned("fine")
    store.create_bench_run(plan.run, plan.items, plan.tasks)
    with (
        only_one(settings.data / "bench", BENCH.id),
        pytest.raises(MisuseError, match=f"is being worked on by process {os.getpid()}"),
    ):
        go_on(BENCH.id, settings, OPTIONS, store, ignore, worker=WORKER)
    assert not (tmp_path / "evaluated").exists()
