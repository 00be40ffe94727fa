"""The system's page: who works, what waits, what the machine has; and nothing that is slow on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from search_doubles import run
from starlette.testclient import TestClient
from web_pages import Page
from web_site import settings_for, talking

from kernelwright.db.migrate import HEAD
from kernelwright.rl.run import RunStatus
from kernelwright.service.worker import worker_lock
from kernelwright.web.context import Site

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[tuple[TestClient, Site]]:
    with talking(settings_for(tmp_path)) as both:
        yield both


def test_what_waits_and_who_works(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    site.store.create_run(run("softmax-1", status=RunStatus.QUEUED))
    site.queue.put("softmax-1")
    with site.store.locks.take(worker_lock("here-1")):  # type: ignore[union-attr]
        gone = site.store.locks.take(worker_lock("gone-1"))
        assert gone is not None
        gone.release()
        found = client.get("/api/v1/system").json()
    assert (found["waiting"], found["taken"], found["queue_problem"]) == (1, 0, "")
    assert [(job["run_id"], job["state"], job["worker"]) for job in found["jobs"]] == [("softmax-1", "waiting", "")]
    assert found["workers"] == [{"name": "here-1", "alive": True, "jobs": []}]
    assert found["versions"]["store's schema"] == HEAD
    assert (found["store"]["runs"], found["store"]["tasks"], found["store"]["engine"][:6]) == (1, 1, "SQLite")
    assert found["store"]["bytes"] > 4096


def test_looking_takes_no_lock(talk: tuple[TestClient, Site]) -> None:
    _, site = talk
    held = site.store.locks.take("worker-a")
    assert held is not None
    assert site.store.locks.held_of("worker-", []) == ["worker-a"]
    held.release()
    assert site.store.locks.held_of("worker-", []) == []
    again = site.store.locks.take("worker-a")
    assert again is not None
    again.release()


def test_findings_come_when_they_are_made_and_tell_no_paths(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    client.get("/system")
    for thread in threading.enumerate():
        if thread.name == "kernelwright-kept":
            thread.join(60)
    found = client.get("/api/v1/system").json()
    assert {"torch", "NVRTC", "GPU", "database"} <= {each["name"] for each in found["findings"]}
    assert found["looked"] is not None
    page = Page(client.get("/system").text)
    assert page.inert()
    assert str(site.settings.data) not in page.text
    assert str(site.settings.cache) not in page.text
