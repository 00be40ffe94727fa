"""The queue as who fills it sees it, on a real file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from search_doubles import run

from kernelwright.db.store import Store
from kernelwright.errors import ConfigError
from kernelwright.rl.run import RunStatus
from kernelwright.service.queue import JobState, Queue

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.db") as opened:
        opened.create_run(run("a", status=RunStatus.QUEUED))
        opened.create_run(run("b", status=RunStatus.QUEUED))
        yield opened


def test_what_is_put_twice_is_one_job_and_jobs_keep_their_order(store: Store) -> None:
    with Queue(store) as queue:
        first = queue.put("a")
        assert queue.put("a") == first
        second = queue.put("b")
        assert [job.id for job in queue.open_jobs()] == [first.id, second.id]
        assert queue.of("a") == first
        assert first.state is JobState.WAITING
        assert queue.of("c") is None


def test_it_outlives_who_filled_it(store: Store) -> None:
    with Queue(store) as queue:
        put = queue.put("a")
    with Queue(store) as queue:
        assert queue.open_jobs() == [put]


def test_many_that_ask_at_once_make_one_job(store: Store) -> None:
    with Queue(store) as queue:
        found = []
        threads = [threading.Thread(target=lambda: found.append(queue.put("a").id)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 1
        assert len(queue.open_jobs()) == 1


def test_what_is_cancelled_before_it_began_never_begins_and_can_be_asked_for_again(store: Store) -> None:
    with Queue(store) as queue:
        queue.put("a")
        assert queue.cancel("a")
        assert not queue.cancel("a")
        assert queue.open_jobs() == []
        assert store.run_status("a") is RunStatus.INTERRUPTED
        again = queue.put("a")
        assert again.id.endswith("~2")
        assert queue.open_jobs() == [again]


def test_runs_that_were_stored_and_never_put_are_found(store: Store) -> None:
    store.create_run(run("done", status=RunStatus.FINISHED))
    with Queue(store) as queue:
        queue.put("a")
        assert queue.mend() == ["b"]
        assert queue.mend() == []
        assert {job.run_id for job in queue.open_jobs()} == {"a", "b"}


def test_a_run_whose_id_begins_another_one_is_not_taken_for_it(store: Store) -> None:
    store.create_run(run("a~1", status=RunStatus.QUEUED))
    with Queue(store) as queue:
        queue.put("a~1")
        assert queue.of("a") is None


def test_a_store_in_memory_has_none() -> None:
    with Store(":memory:") as store, pytest.raises(ConfigError, match="in memory"):
        Queue(store)
