"""Alive, ready, counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from search_doubles import run
from server_doubles import Place, client_of, placed
from sqlalchemy import text

from kernelwright import __version__
from kernelwright.db.migrate import VERSION_TABLE
from kernelwright.rl.run import RunStatus


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path) as place:
        yield place


def figures(place_client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:  # type: ignore[no-untyped-def]
    """As Prometheus reads them."""
    page = place_client.get("/metrics")
    assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
    }


def test_ready_and_alive(place: Place) -> None:
    client = client_of(place.app())
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"ready": True, "reasons": []}


def test_what_is_missing_is_told_without_its_place(place: Place, tmp_path: Path) -> None:
    client = client_of(place.app())
    with place.store._writing() as session:
        session.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0999'"))
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "reasons": ["schema"]})
    (tmp_path / "k.db").write_bytes(b"this is no database, and it is longer than a header" * 100)
    (tmp_path / "k.db-wal").write_bytes(b"")
    place.store._engine.dispose()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "reasons": ["store"]})
    assert client.get("/healthz").status_code == 200


def test_a_queue_that_is_gone_is_told(place: Place, tmp_path: Path) -> None:
    client = client_of(place.app())
    place.queue._client._sys_db.engine.dispose()
    for path in tmp_path.glob("k.jobs.db*"):
        path.unlink()
    assert client.get("/readyz").json() == {"ready": False, "reasons": ["queue"]}
    found = figures(client)
    assert found["kernelwright_store_up", ()] == 0


def test_the_figures_are_those_of_store_and_queue(place: Place) -> None:
    for number in range(3):
        place.store.create_run(run(f"softmax-{number}"))
    place.store.set_status("softmax-0", RunStatus.QUEUED)
    place.queue.put("softmax-0")
    worker = place.store.locks.take("worker-here-1")
    client = client_of(place.app())
    client.get("/api/v1/runs")
    client.get("/api/v1/runs?limit=x")
    client.get("/runs/no-such/run")
    found = figures(client)
    assert found["kernelwright_runs", (("status", "queued"),)] == 1
    assert found["kernelwright_runs", (("status", "running"),)] == 2
    assert found["kernelwright_evaluations", ()] == 0
    assert found["kernelwright_jobs", (("state", "waiting"),)] == 1
    assert found["kernelwright_jobs", (("state", "taken"),)] == 0
    assert found["kernelwright_workers", ()] == 1
    assert found["kernelwright_streams_open", ()] == 0
    assert found["kernelwright_store_up", ()] == 1
    assert any(name == "kernelwright_build_info" and ("version", __version__) in labels for name, labels in found)
    requests = {labels: value for (name, labels), value in found.items() if name == "kernelwright_http_requests_total"}
    assert requests[("method", "GET"), ("route", "/api/v1/runs"), ("status", "200")] == 1
    assert requests[("method", "GET"), ("route", "/api/v1/runs"), ("status", "422")] == 1
    assert found["kernelwright_http_request_seconds_count", (("method", "GET"), ("route", "/api/v1/runs"))] == 2
    assert worker is not None
    worker.release()


def test_labels_do_not_grow_with_what_is_asked_for(place: Place) -> None:
    client = client_of(place.app())

    def routes() -> set[str]:
        return {value for _, labels in figures(client) for key, value in labels if key in {"route", "method"}}

    client.get("/nothing")
    client.request("BREW", "/runs")
    client.get("/static/nothing")
    client.get("/metrics")
    before = routes()
    for number in range(30):
        client.get(f"/nothing/{number}")
        client.request(f"BREW{number}", "/runs")
        client.get(f"/static/{number}")
        client.get("/runs", headers={"Host": f"{number}.example"})
    assert routes() == before
