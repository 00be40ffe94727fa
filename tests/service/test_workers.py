"""Workers on a real queue, with scripted searches: killed, stopped, cancelled."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from search_doubles import TASK, run
from service_processes import PATIENCE, until, worker

from kernelwright.db.store import Store
from kernelwright.rl.run import RunStatus
from kernelwright.service.queue import JobState, Queue

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

ROUNDS = 5


def queued(store: Store, queue: Queue, *names: str) -> None:
    for name in names:
        store.create_run(run(name, status=RunStatus.QUEUED, rounds=ROUNDS, task=replace(TASK, name=name)))
        queue.put(name)


def numbers(store: Store, run_id: str) -> list[int]:
    return [each.number for each in store.attempts(run_id)]


def evaluated(store: Store) -> Counter[str]:
    return Counter((Path(store.place).parent / "evaluated").read_text().splitlines())


def begun(store: Store) -> int:
    file = Path(store.place).parent / "evaluated"
    return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.db") as opened:
        yield opened


def test_searches_are_made_once_each_and_a_process_that_dies_is_started_again(store: Store) -> None:
    with Queue(store) as queue:
        queued(store, queue, "plain", "once", "dying")
        with worker(store):
            until(lambda: not queue.open_jobs())
        assert store.run_status("plain") is RunStatus.FINISHED
        assert store.run_status("once") is RunStatus.FINISHED
        assert store.run_status("dying") is RunStatus.FAILED
        assert "died 3 times" in store.run("dying").message
        assert numbers(store, "plain") == numbers(store, "once") == [1, 2, 3, 4, 5]
        assert numbers(store, "dying") == [1]
        made = evaluated(store)
        assert [made[f"plain {n}"] for n in range(1, 6)] == [1] * 5
        assert [made[f"once {n}"] for n in range(1, 6)] == [1, 2, 1, 1, 1]  # the attempt under way is made anew
        assert made["dying 2"] == 3
        assert [each.name for each in store.run_events("plain")].count("AttemptFinished") == ROUNDS
        assert "StageStarted" not in {each.name for each in store.run_events("plain")}


def test_what_is_cancelled_stops_keeps_its_attempts_and_goes_on_when_asked_for_again(store: Store) -> None:
    with Queue(store) as queue:
        queued(store, queue, "hanging")
        with worker(store):
            until(lambda: (Path(store.place).parent / "hanging.first").exists())
            assert queue.cancel("hanging")
            until(lambda: store.run_status("hanging") is RunStatus.INTERRUPTED)
            assert numbers(store, "hanging") == [1]
            store.set_status("hanging", RunStatus.QUEUED)
            queue.put("hanging")
            until(lambda: store.run_status("hanging") is RunStatus.FINISHED)
        assert numbers(store, "hanging") == [1, 2, 3, 4, 5]


def test_a_worker_that_is_stopped_gives_its_search_to_the_next(store: Store) -> None:
    with Queue(store) as queue:
        queued(store, queue, "hanging")
        with worker(store) as first:
            until(lambda: (Path(store.place).parent / "hanging.first").exists())
            first.send_signal(signal.SIGTERM)
            assert first.wait(PATIENCE) == 0
        assert store.run_status("hanging") is RunStatus.QUEUED
        assert [job.state for job in queue.open_jobs()] == [JobState.TAKEN]
        with worker(store):
            until(lambda: store.run_status("hanging") is RunStatus.FINISHED)
        assert numbers(store, "hanging") == [1, 2, 3, 4, 5]


def test_two_workers_killed_at_random_moments_lose_and_double_nothing(store: Store) -> None:
    draw = random.Random(9)
    names = [f"slow{n}" for n in range(6)]
    with Queue(store) as queue:
        queued(store, queue, *names)
        for _ in range(3):
            with worker(store) as one, worker(store) as other:
                moment = begun(store) + draw.randint(1, 6)
                until(lambda moment=moment: begun(store) >= moment or not queue.open_jobs())  # type: ignore[misc]
                for each in (one, other):
                    each.kill()
        with worker(store):
            until(lambda: not queue.open_jobs())
    assert {name: store.run_status(name) for name in names} == dict.fromkeys(names, RunStatus.FINISHED)
    assert {name: numbers(store, name) for name in names} == {name: [1, 2, 3, 4, 5] for name in names}
