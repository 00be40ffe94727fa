"""A run's page, its twin and its events, over a store that a search has written."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from search_doubles import attempt, run
from starlette.testclient import TestClient
from web_site import settings_for, talking

from kernelwright.events import (
    AttemptFinished,
    AttemptStarted,
    Note,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
)
from kernelwright.rl.run import RunStatus
from kernelwright.verifier.evaluation import Verdict
from kernelwright.web.context import Site

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

RUN = "softmax-7k3f9q"


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[tuple[TestClient, Site]]:
    with talking(settings_for(tmp_path)) as both:
        yield both


def begun(site: Site, **changes: object) -> None:
    """A run with one attempt that failed, two that passed, and one under way."""
    site.store.create_run(run(RUN, rounds=4, **changes))  # type: ignore[arg-type]
    site.store.add_run_event(RUN, RunStarted(RUN, "softmax", 4))
    for number, outcome in ((1, Verdict.WRONG), (2, 2e-6), (3, 1e-6)):
        site.store.add_run_event(RUN, AttemptStarted(RUN, number, "version"))
        site.store.add_run_event(RUN, StageStarted("build"))
        site.store.add_attempt(attempt(RUN, number, outcome, task=site.store.run(RUN).task))
        site.store.add_run_event(RUN, AttemptFinished(RUN, number, "passed", "", 1e-6, "modelled", 2.0, "", True))
    site.store.add_run_event(RUN, AttemptStarted(RUN, 4, "version"))
    site.store.add_run_event(RUN, StageFinished("static", "passed", "ModelNew found", 0.1))
    site.store.add_run_event(RUN, StageStarted("correctness"))
    site.store.add_run_event(RUN, StageStarted("correctness, workload 2 of 8"))


def test_a_run_as_it_stands(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    begun(site)
    found = client.get(f"/api/v1/runs/{RUN}").json()
    assert [(a["number"], a["verdict"], a["seconds"], a["best"]) for a in found["attempts"]] == [
        (1, "wrong", None, False), (2, "passed", 2e-6, False), (3, "passed", 1e-6, True),
    ]  # fmt: skip
    assert found["best"]["number"] == 3
    assert [(p["number"], p["seconds"], p["kind"]) for p in found["points"]] == [
        (1, None, None), (2, 2e-6, "modelled"), (3, 1e-6, "modelled"),
    ]  # fmt: skip
    assert [(s["stage"], s["status"], s["summary"]) for s in found["stages"]] == [
        ("static", "passed", "ModelNew found"), ("correctness", None, "workload 2 of 8"),
    ]  # fmt: skip
    assert found["last_event"] == 14
    page = client.get(f"/runs/{RUN[:9]}")
    assert page.status_code == 200
    assert f'data-run="{RUN}"' in page.text
    assert 'data-after="14"' in page.text
    assert "<path" in page.text


def test_one_that_is_not_there(talk: tuple[TestClient, Site]) -> None:
    for path in ("/runs/none", "/runs/none/live", "/api/v1/runs/none", "/api/v1/runs/none/events"):
        assert talk[0].get(path).status_code == 404, path
    for path in ("/api/v1/runs/none/cancel", "/api/v1/runs/none/resume", "/runs/none/cancel"):
        assert talk[0].post(path).status_code == 404, path


def messages(text: str) -> list[tuple[int | None, str, dict[str, object]]]:
    found = []
    for block in filter(None, text.split("\n\n")):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if fields:
            found.append((int(fields["id"]) if "id" in fields else None, fields["event"], json.loads(fields["data"])))
    return found


def test_events_come_in_order_from_where_one_left_off_and_end_with_the_run(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    begun(site)
    site.store.add_run_event(RUN, Note("</script>\nid: 999\n\n"))
    site.store.add_run_event(RUN, RunFinished(RUN, "finished", 3, 2))
    site.store.set_status(RUN, RunStatus.FINISHED)
    whole = messages(client.get(f"/api/v1/runs/{RUN}/events").text)
    numbers = [number for number, _, _ in whole if number is not None]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 16
    assert [name for _, name, _ in whole[-3:]] == ["RunFinished", "Status", "End"]
    assert [name for _, name, _ in whole].count("AttemptFinished") == 3
    rest = messages(client.get(f"/api/v1/runs/{RUN}/events", headers={"Last-Event-ID": "14"}).text)
    assert [name for _, name, _ in rest] == ["Note", "RunFinished", "Status", "End"]
    assert rest[0][2]["fields"]["text"] == "</script>\nid: 999\n\n"  # type: ignore[index]
    assert (
        messages(client.get(f"/api/v1/runs/{RUN}/events?after=15", headers={"Last-Event-ID": "x"}).text)[0][1]
        == "RunFinished"
    )


def test_who_watches_sees_what_comes_later(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    begun(site)

    def go_on() -> None:
        site.store.add_attempt(attempt(RUN, 4, 3e-6, task=site.store.run(RUN).task))
        site.store.add_run_event(RUN, AttemptFinished(RUN, 4, "passed", "", 3e-6, "modelled", 2.0, "", False))
        site.store.set_status(RUN, RunStatus.FINISHED)

    later = threading.Timer(0.5, go_on)
    later.start()
    found = messages(client.get(f"/api/v1/runs/{RUN}/events?after=14").text)
    later.join()
    assert [name for _, name, _ in found if name != "Status"] == ["AttemptFinished", "End"]


def test_cancelling_and_going_on(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    site.store.create_run(run(RUN, status=RunStatus.QUEUED))
    site.queue.put(RUN)
    assert client.get(f"/api/v1/runs/{RUN}").json()["can_cancel"]
    assert client.post(f"/api/v1/runs/{RUN}/cancel").json() == {"id": RUN, "status": "interrupted", "changed": True}
    assert client.post(f"/api/v1/runs/{RUN}/cancel").json() == {"id": RUN, "status": "interrupted", "changed": False}
    assert client.get(f"/api/v1/runs/{RUN}").json()["can_resume"]
    again = client.post(f"/runs/{RUN}/resume", follow_redirects=False)
    assert (again.status_code, again.headers["location"]) == (303, f"/runs/{RUN}")
    assert site.store.run_status(RUN) is RunStatus.QUEUED
    assert client.post(f"/api/v1/runs/{RUN}/resume").json()["changed"] is False
    site.store.set_status(RUN, RunStatus.FINISHED)
    site.queue.cancel(RUN)
    site.store.set_status(RUN, RunStatus.FINISHED)
    assert client.post(f"/api/v1/runs/{RUN}/resume").status_code == 422


def test_hostile_names_are_inert(talk: tuple[TestClient, Site]) -> None:
    from dataclasses import replace

    from search_doubles import TASK

    hostile = "<img src=x onerror=alert(1)>\u202e\"'"
    client, site = talk
    site.store.create_run(run("a", task=replace(TASK, name=hostile), coder=hostile))
    site.store.add_run_event("a", Note(hostile))
    for path in ("/", "/runs", "/runs/a", "/runs/a/live"):
        text = client.get(path).text
        assert "<img" not in text, path
        assert "&lt;img" in text, path
