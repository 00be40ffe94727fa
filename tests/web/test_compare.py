"""Two things side by side: what may be said of them, and what not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from judged_attempts import EVIL, RUN, fill, judged, timing
from search_doubles import TASK, attempt, evaluation, kernel, run
from starlette.testclient import TestClient
from web_pages import Page
from web_site import settings_for, talking

from kernelwright.verifier.evaluation import DeviceInfo, TimingKind, Verdict
from kernelwright.web.context import Site

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
GPU = DeviceInfo(kind="cuda", name="NVIDIA H200", gpu="H200", arch="sm_90", isolation="process")


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[tuple[TestClient, Site]]:
    with talking(settings_for(tmp_path)) as both:
        yield both


def test_intervals_that_do_not_overlap(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    fill(site.store)
    found = client.get(f"/api/v1/compare?a={RUN}/1&b={RUN}/3").json()
    assert (found["comparable"], found["faster"]) == (True, pytest.approx(2.0))
    (said,) = found["says"]
    assert said.startswith("b is faster: a takes 20.0 µs (18.0 to 22.0 µs) and b 10.0 µs (9.00 to 11.0 µs)")
    assert said.endswith("a takes 2.00x as long, at least 1.64x.")
    assert (found["diff"]["added"], found["diff"]["removed"]) == (1, 1)
    assert Page(client.get(f"/compare?a={RUN}/1&b={RUN}/3").text).inert()


def test_intervals_that_overlap_show_no_difference(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    fill(site.store)
    found = client.get(f"/api/v1/compare?a={RUN}/3&b={RUN}/4").json()
    assert found["says"] == [
        "No difference is shown: a takes 10.0 µs (9.00 to 11.0 µs) and b 11.0 µs (9.90 to 12.1 µs), and these intervals overlap."
    ]


def test_measured_and_modelled_are_both_shown_and_not_compared(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    for number, kind in ((1, TimingKind.MEASURED), (2, TimingKind.MODELLED)):
        one = kernel(number)
        more = {"device": GPU} if kind is TimingKind.MEASURED else {}
        site.store.add_evaluation(TASK, one, evaluation(one, 1e-5, timing=timing(number * 1e-5, kind), **more))
    found = client.get(f"/api/v1/compare?a={kernel(1).id}&b={kernel(2).id}").json()
    assert (found["comparable"], found["faster"]) == (False, None)
    assert (found["left"]["timing"]["kind"], found["right"]["timing"]["kind"]) == ("measured", "modelled")
    assert "measured on a GPU and the other modelled" in found["says"][0]
    page = client.get(f"/compare?a={kernel(1).id}&b={kernel(2).id}").text
    assert "<svg" not in page
    assert "10.0 µs" in page
    assert "20.0 µs" in page


def test_kernels_are_compared_as_they_were_judged_on_the_same_ground(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    one, two = kernel(1), kernel(2)
    other = replace(TASK, name="other", source="class Model: other\n")
    site.store.add_evaluation(TASK, one, judged(one, 2e-5))
    site.store.add_evaluation(other, one, judged(one, 3e-5, task_id=other.id))
    site.store.add_evaluation(TASK, two, judged(two, 1e-5))
    found = client.get(f"/api/v1/compare?a={one.id}&b={two.id}").json()
    assert found["comparable"]
    assert (found["left"]["task_id"], found["right"]["task_id"]) == (TASK.id, TASK.id)
    three = kernel(3)
    site.store.add_evaluation(other, three, judged(three, 1e-5, task_id=other.id))
    apart = client.get(f"/api/v1/compare?a={two.id}&b={three.id}").json()
    assert not apart["comparable"]
    assert "different tasks" in apart["says"][0]


def test_one_that_did_not_pass(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    fill(site.store)
    found = client.get(f"/api/v1/compare?a={RUN}/2&b={RUN}/3").json()
    assert found["says"] == ["There is nothing to compare: a did not pass, and only what passed is timed."]


def test_runs_stand_by_their_best_attempts(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    fill(site.store)
    site.store.create_run(run("other-1"))
    site.store.add_attempt(attempt("other-1", 1, Verdict.WRONG))
    found = client.get(f"/api/v1/compare?a={RUN}&b=other").json()
    left, right = found["left"], found["right"]
    assert (left["what"], left["number"], left["run"]["attempts"], left["run"]["passed"]) == ("run", 3, 4, 3)
    assert left["run"]["dollars"] == "0.015130"
    assert (right["number"], right["verdict"]) == (1, "wrong")


def test_the_same_kernel_twice(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    fill(site.store)
    found = client.get(f"/api/v1/compare?a={RUN}&b={RUN}/3").json()
    assert found["says"][0] == "Both are the same kernel."
    assert "the same" in found["diff"]["omitted"]


@pytest.mark.parametrize(
    "given", ["none", f"{RUN}/9", f"{RUN}/x", f"{RUN}/", "/", "empty-1", EVIL[:80], "%", "\u0660/\u0661"]
)
def test_what_can_not_be_compared_is_said_at_its_field(talk: tuple[TestClient, Site], given: str) -> None:
    client, site = talk
    fill(site.store)
    site.store.create_run(run("empty-1"))
    answer = client.get("/compare", params={"a": given, "b": RUN})
    assert answer.status_code == 200
    shown = Page(answer.text)
    assert shown.inert()
    assert "a-problem" in shown.ids
    twin = client.get("/api/v1/compare", params={"a": given, "b": RUN}).json()
    assert set(twin["problems"]) == {"a"}
    assert twin["left"] is None
    assert twin["right"]["number"] == 3


def test_an_empty_form(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    found = client.get("/api/v1/compare").json()
    assert (found["left"], found["right"], found["problems"], found["says"]) == (None, None, {}, [])
    assert Page(client.get("/compare").text).inert()
