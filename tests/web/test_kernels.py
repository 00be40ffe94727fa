"""The list of kernels: what is chosen is what is shown, in pages, with strangers' text inert."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from judged_attempts import EVIL
from search_doubles import DEVICE, evaluation
from starlette.testclient import TestClient
from web_pages import Page
from web_site import settings_for, talking

from kernelwright.bench_tasks.task import Task
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Timing, TimingKind, Verdict
from kernelwright.web.context import Site

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

SOFTMAX = Task(
    "softmax",
    "import torch\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        return torch.softmax(x, -1)\n"
    "def get_inputs():\n    return [torch.randn(4096, 1024)]\n",
)
RELU = replace(SOFTMAX, name="relu", source=SOFTMAX.source.replace("softmax(x, -1)", "relu(x)"))


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Site]]:
    with talking(settings_for(tmp_path_factory.mktemp("kernels"))) as (client, site):
        fill(site)
        yield client, site


def fill(site: Site) -> None:
    for number in range(60):
        kernel = Kernel(f"class ModelNew: version = {number}\n# float4\n", "ada" if number % 2 else "bob")
        outcome: float | Verdict = 1e-5 * (1 + number) if number % 3 else Verdict.WRONG
        site.store.add_evaluation(SOFTMAX, kernel, evaluation(kernel, outcome, SOFTMAX))
    hostile = Kernel(f"# {EVIL}\nclass ModelNew: pass\n", EVIL)
    evil = replace(RELU, name=EVIL, source=RELU.source + f"\n# {EVIL}\nclass Evil_script: pass\n")
    site.store.add_evaluation(evil, hostile, evaluation(hostile, 1e-6, evil))
    measured = Kernel("class ModelNew: measured = 1\n", "ada")
    timing = Timing(
        kind=TimingKind.MEASURED,
        gpu="H200",
        seconds=2e-5,
        baseline_seconds=3e-5,
        bound_seconds=1e-6,
        speedup_low=1.4,
        speedup_high=1.6,
    )
    device = DEVICE.model_copy(update={"kind": "cuda", "name": "NVIDIA H200"})
    site.store.add_evaluation(SOFTMAX, measured, evaluation(measured, 2e-5, SOFTMAX, device=device, timing=timing))


def test_measured_comes_first_and_alone(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    found = client.get("/api/v1/kernels").json()
    assert found["chosen"]["kind"] == "measured"
    assert [(k["timing_kind"], k["speedup"], k["speedup_low"]) for k in found["kernels"]] == [("measured", 1.5, 1.4)]
    page = Page(client.get("/kernels").text)
    assert "1.40 to 1.60" in page.text
    assert "modelled" in page.text  # and where the others are


@pytest.mark.parametrize("sort", ["speedup", "newest"])
def test_links_lead_through_the_whole_list_once(talk: tuple[TestClient, Site], sort: str) -> None:
    client, _ = talk
    address, seen = f"/kernels?kind=modelled&sort={sort}", []
    while True:
        page = Page(client.get(address).text)
        seen += [link for link in page.links if link.startswith("/kernels/")]
        following = [attrs["href"] for tag, attrs in page.tags if tag == "a" and attrs.get("rel") == "next"]
        if not following:
            break
        address = str(following[0])
        assert parse_qs(urlsplit(address).query)["kind"] == ["modelled"]
    assert len(seen) == len(set(seen)) == 61


def test_what_is_chosen_is_found_and_stays_in_the_form(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    query = "kind=modelled&op=torch.softmax&shape=4096x1024&technique=vectorised&author=ada&verdict=passed&dtype=fp32&gpu=H200&arch=sm_90"
    found = client.get(f"/api/v1/kernels?{query}").json()
    assert found["count"] == len(found["kernels"]) == 20
    assert {(k["author"], k["verdict"]) for k in found["kernels"]} == {("ada", "passed")}
    page = Page(client.get(f"/kernels?{query}").text)
    given = {str(a.get("name")): a.get("value") for tag, a in page.tags if tag == "input"}
    assert given["op"] == "torch.softmax"
    assert ("option", {"value": "passed", "selected": None}) in page.tags
    # each chosen thing can be left out by a link, which keeps the others
    chips = [link for link in page.links if link.startswith("/kernels?") and "op=" not in link]
    assert any("author=ada" in link and "technique=vectorised" in link for link in chips)


def test_a_failure_has_no_speed_up(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    found = client.get("/api/v1/kernels?kind=modelled&verdict=wrong").json()["kernels"]
    assert len(found) == 20
    assert {(k["speedup"], k["seconds"], k["found_out"]) for k in found} == {(None, None, False)}


@pytest.mark.parametrize("name", ["q", "op", "shape", "dtype", "technique", "gpu", "arch", "author", "verdict", "task"])
@pytest.mark.parametrize("text", [EVIL[:200], "%", "' OR 1=1 --", '"', "*", "a\x00b", "\u202e"])
def test_hostile_choices_are_text(talk: tuple[TestClient, Site], name: str, text: str) -> None:
    client, _ = talk
    answer = client.get("/kernels", params={name: text, "kind": "modelled"})
    assert answer.status_code == 200
    assert Page(answer.text).inert()
    assert client.get("/api/v1/kernels", params={name: text}).status_code == 200


def test_a_strangers_names_are_text(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    answer = client.get("/kernels?kind=modelled&op=relu").text
    page = Page(answer)
    assert page.inert()
    assert "<script>alert(1)</script>" in page.text
    assert "\u202e" not in page.text


@pytest.mark.parametrize("query", ["kind=both", "sort=name", "limit=0", "limit=101", "q=" + "x" * 201])
def test_what_can_not_be_is_told(talk: tuple[TestClient, Site], query: str) -> None:
    client, _ = talk
    for place in ("/kernels", "/api/v1/kernels"):
        assert client.get(f"{place}?{query}").status_code == 422


def test_no_such_page(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    answer = client.get("/api/v1/kernels?kind=modelled&after=nonsense")
    assert (answer.status_code, answer.json()["error"]["kind"]) == (422, "misuse")


def test_an_empty_store(tmp_path: Path) -> None:
    with talking(settings_for(tmp_path)) as (client, _):
        page = Page(client.get("/kernels").text)
        assert "No kernels yet" in page.text
        assert client.get("/api/v1/kernels").json()["count"] == 0


def test_every_answer_tells_how_long_it_took(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    for path in ("/kernels", "/api/v1/kernels", "/nowhere"):
        told = client.get(path).headers["Server-Timing"]
        assert told.startswith("total;dur=")
        assert float(told.removeprefix("total;dur=")) >= 0.0
