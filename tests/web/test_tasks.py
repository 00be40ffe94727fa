"""Tasks: the list, and one with its records, tops, baselines and runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from bench_doubles import baseline
from judged_attempts import EVIL
from search_doubles import DEVICE, EPOCH, TASK, evaluation, run
from starlette.testclient import TestClient
from web_pages import Page
from web_site import settings_for, talking

from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Timing, TimingKind, Verdict
from kernelwright.web.context import Site

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

CUDA = DEVICE.model_copy(update={"kind": "cuda", "name": "NVIDIA H200"})
SOFTMAX = replace(
    TASK,
    source="import torch\nclass Model:\n    def forward(self, x): return torch.softmax(x, -1)\ndef get_inputs(): return [torch.randn(64, 32)]\n",
)


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Site]]:
    with talking(settings_for(tmp_path_factory.mktemp("tasks"))) as (client, site):
        fill(site)
        yield client, site


def fill(site: Site) -> None:
    moments = count()

    def clock() -> datetime:
        return EPOCH + timedelta(hours=next(moments))

    site.store._clock = clock
    for number, outcome in enumerate([4e-5, 5e-5, 3e-5, Verdict.WRONG, 1e-6, 2e-5, 3e-5]):
        kernel = Kernel(f"class ModelNew: version = {number}\n", "ada")
        site.store.add_evaluation(SOFTMAX, kernel, evaluation(kernel, outcome, SOFTMAX))
        if outcome == 1e-6:  # found out: no record of it stands
            site.store.add_evaluation(SOFTMAX, kernel, evaluation(kernel, Verdict.CHEATING, SOFTMAX))
    kernel = Kernel("class ModelNew: measured = 1\n", EVIL)
    timing = Timing(kind=TimingKind.MEASURED, gpu="H200", seconds=5e-5, baseline_seconds=6e-5, bound_seconds=1e-6)
    site.store.add_evaluation(SOFTMAX, kernel, evaluation(kernel, 5e-5, SOFTMAX, device=CUDA, timing=timing))
    site.store.create_run(run("softmax-1", task=SOFTMAX))
    for seconds in (3e-5, 4e-5):
        site.store.add_baseline(SOFTMAX, baseline(SOFTMAX, "eager", seconds, DEVICE))
    for number in range(30):
        site.store.create_run(
            run(f"r-{number}", task=replace(SOFTMAX, name=EVIL, source=f"# {number} {EVIL}\nclass Model: ...\n"))
        )


def test_a_task(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    found = client.get(f"/api/v1/tasks/{SOFTMAX.id}").json()
    assert found["task"]["operations"] == ["softmax"]
    assert found["task"]["shapes"] == ["64x32"]
    assert found["source"] == SOFTMAX.source
    assert found["attachments"] == {"empty": 0, "weights.pt": 256}
    assert [w["name"] for w in found["workloads"]] == ["normal", "zeros"]
    assert found["policy"]["slack"] == 4.5
    modelled = [r["seconds"] for r in found["records"] if r["kind"] == "modelled"]
    assert modelled == [4e-5, 3e-5, 2e-5]
    assert [r["seconds"] for r in found["records"] if r["kind"] == "measured"] == [5e-5]
    tops = [(t["kind"], t["place"], t["seconds"]) for t in found["tops"]]
    assert tops == [
        ("measured", 1, 5e-5), ("modelled", 1, 2e-5), ("modelled", 2, 3e-5), ("modelled", 3, 3e-5), ("modelled", 4, 4e-5), ("modelled", 5, 5e-5),
    ]  # fmt: skip
    assert [(b["name"], b["seconds"]) for b in found["baselines"]] == [("eager", 4e-5)]
    assert [r["id"] for r in found["runs"]] == ["softmax-1"]


def test_its_page_keeps_the_kinds_apart_and_text_inert(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    page = Page(client.get(f"/tasks/{SOFTMAX.id}").text)
    assert page.inert()
    assert page.text.index("Measured") < page.text.index("Modelled")
    assert len([1 for tag, _ in page.tags if tag == "svg"]) == 2
    assert "class Model" in page.text


def test_the_list_in_pages(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    address, seen = "/tasks?limit=7", []
    while address:
        page = Page(client.get(address).text)
        assert page.inert()
        seen += [link for link in page.links if link.startswith("/tasks/")]
        following = [str(a["href"]) for tag, a in page.tags if tag == "a" and a.get("rel") == "next"]
        address = f"{following[0]}&limit=7" if following else ""
    assert len(seen) == len(set(seen)) == 31
    assert seen[-1] == f"/tasks/{SOFTMAX.id}"  # the oldest


def test_by_words(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    for words, wanted in (("softm", 1), ("SoftMax", 1), ("script", 30), ("nothing", 0), ("%", 31), ("_", 31)):
        found = client.get("/api/v1/tasks", params={"q": words, "limit": 100}).json()["tasks"]
        assert len(found) == wanted, words
    (best,) = [b for b in client.get("/api/v1/tasks?q=softmax").json()["tasks"][0]["bests"] if b["kind"] == "modelled"]
    assert (best["kernels"], best["speedup"]) == (7, pytest.approx(1.5))


@pytest.mark.parametrize("path", ["/tasks/nothing", f"/tasks/{'0' * 16}"])
def test_no_such_task(talk: tuple[TestClient, Site], path: str) -> None:
    client, _ = talk
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("after", ["x", "2026~", "2026-01-01T00:00:00~" + "a" * 17])
def test_no_such_page(talk: tuple[TestClient, Site], after: str) -> None:
    client, _ = talk
    assert client.get("/api/v1/tasks", params={"after": after}).status_code in {200, 422}
    if after != "2026~":
        assert client.get("/api/v1/tasks", params={"after": after}).status_code == 422


def test_an_empty_store(tmp_path: Path) -> None:
    with talking(settings_for(tmp_path)) as (client, _):
        assert "No tasks yet" in Page(client.get("/tasks").text).text
