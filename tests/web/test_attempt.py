"""An attempt's page and its twin over a real store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from judged_attempts import EVIL, RUN, fill, made
from search_doubles import attempt, run
from starlette.testclient import TestClient
from web_pages import Page
from web_site import settings_for, talking

from kernelwright.db.store import Store
from kernelwright.verifier.evaluation import Stage, StageStatus, Verdict
from kernelwright.web.context import Site

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[tuple[TestClient, Site]]:
    with talking(settings_for(tmp_path)) as both:
        yield both


def test_all_that_is_known_of_one_that_passed(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    first, _, third, _ = fill(site.store)
    found = client.get(f"/api/v1/runs/{RUN}/attempts/3").json()
    assert (found["verdict"], found["previous"], found["next"], found["best"]) == ("passed", 2, 4, True)
    assert found["source"] == third.kernel.source
    assert [(each["number"], each["kernel_id"]) for each in found["parents"]] == [(1, first.kernel.id)]
    assert [each["number"] for each in found["children"]] == [4]
    assert (found["diff"]["added"], found["diff"]["removed"]) == (1, 1)
    assert found["build"]["resources"] == [{
        "kernel": "scale", "arch": "sm_90", "registers": 24, "static_shared": 512, "dynamic_shared": 0, "stack": 8, "spill_stores": 4,
        "spill_loads": 12, "constant": 0, "barriers": 1,
    }]  # fmt: skip
    assert "unused" in found["build"]["log"]
    assert found["timing"]["seconds"] == 10e-6
    assert (found["timing"]["seconds_low"], found["timing"]["seconds_high"]) == (0.9 * 10e-6, 1.1 * 10e-6)
    assert found["timing"]["speedup"] == pytest.approx(3.0)
    assert found["timing"]["limited_by"] == "dram"
    assert found["calls"] == [{"name": "as-given", "seconds": [10e-6]}, {"name": "normal", "seconds": [1.01 * 10e-6]}]
    rows = {row["name"]: row for row in found["correctness"]["workloads"]}
    assert (rows["normal"]["calls"], rows["normal"]["worst"], rows["normal"]["status"]) == (2, 0.5, "passed")
    assert (rows["zeros"]["calls"], rows["zeros"]["worst"], rows["zeros"]["status"]) == (0, None, "not tried")
    assert found["integrity"] | {"kernels": None} == {
        "status": "passed", "reason": "", "kernels": None, "outputs_written": [True], "without_launches": "spoilt", "bitwise": False,
        "changed": 3,
    }  # fmt: skip
    assert found["integrity"]["kernels"] == [{"kernel": "scale", "stored_bytes": 4096}]
    assert [stage["name"] for stage in found["stages"]] == [
        "static", "build", "sanitise", "correctness", "integrity", "timing", "profile",
    ]  # fmt: skip
    assert all(stage["seconds"] == 0.25 for stage in found["stages"])
    (profile,) = found["profiles"]
    assert (profile["kind"], profile["launches"][0]["grid"], profile["launches"][0]["lanes"]) == (
        "modelled",
        [128, 1, 1],
        32.0,
    )
    (point,) = profile["roofline"]["points"]
    assert point["flops"] == 10_000_000
    assert point["seconds"] == pytest.approx(10e-6 - 2e-6)  # without the launch, from the stored time
    assert point["achieved"] == pytest.approx(point["flops"] / point["seconds"])
    page = client.get(f"/runs/{RUN}/attempts/3")
    shown = Page(page.text)
    assert page.status_code == 200
    assert shown.inert()
    assert {f"L{n}" for n in range(1, third.kernel.source.count("\n") + 1)} <= set(shown.ids)
    assert "Roofline of H200, times modelled" in shown.text
    assert "$0.0076" in shown.text


def test_what_models_said_and_cost(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    fill(site.store)
    found = client.get(f"/api/v1/runs/{RUN}/attempts/3").json()["conversation"]
    assert [(call["role"], call["reply"], call["error"], call["estimated"]) for call in found["calls"]] == [
        ("coder", "```python\n```", "", False), ("judge", None, "it broke ", True),
    ]  # fmt: skip
    assert found["dollars"] == "0.015130"
    assert (found["calls"][0]["input_tokens"], found["calls"][0]["cached_tokens"]) == (1540, 300)
    assert [message["role"] for message in found["calls"][0]["messages"]] == ["system", "user"]
    assert client.get(f"/api/v1/runs/{RUN}/attempts/2").json()["conversation"]["calls"] == []


def test_what_was_foreseen_and_what_came(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    fill(site.store)
    forecasts = [client.get(f"/api/v1/runs/{RUN}/attempts/{n}").json()["forecast"] for n in (1, 2, 3, 4)]
    assert forecasts[0] is None
    assert (forecasts[1]["expected"], forecasts[1]["happened"]) == (1.25, None)
    assert "nothing came of it: wrong" in forecasts[1]["words"]
    assert (forecasts[2]["advised_after"], forecasts[2]["expected"]) == (1, 1.25)
    assert forecasts[2]["happened"] == pytest.approx(2.0)
    assert "expected 1.25x" in forecasts[2]["words"]
    assert "came out 2.00x as fast as attempt 1 (modelled)" in forecasts[2]["words"]
    assert (forecasts[3]["advised_after"], forecasts[3]["happened"]) == (3, pytest.approx(10 / 11))


def test_one_that_was_wrong(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    fill(site.store)
    found = client.get(f"/api/v1/runs/{RUN}/attempts/2").json()
    assert found["timing"] is None
    assert found["profiles"] == []
    rows = {row["name"]: row for row in found["correctness"]["workloads"]}
    assert (rows["zeros"]["status"], rows["zeros"]["worst"]) == ("failed", 6.0)
    assert found["correctness"]["mismatch"]["index"] == [3, 4]
    assert [stage["status"] for stage in found["stages"]][-3:] == ["not reached"] * 3
    shown = Page(client.get(f"/runs/{RUN}/attempts/2").text).text
    assert "6 times" in shown
    assert "Only what passed is timed" in shown


def test_a_parent_can_be_chosen_among_those_that_are_stored(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    first, _, third, _ = fill(site.store)
    both = made(5, 9e-6, (third.kernel.id, first.kernel.id, "f" * 16))
    site.store.add_attempt(both)
    ask = f"/api/v1/runs/{RUN}/attempts/5"
    assert [each["stored"] for each in client.get(ask).json()["parents"]] == [True, True, False]
    assert client.get(ask).json()["compared_with"] == third.kernel.id
    assert client.get(f"{ask}?parent={first.kernel.id}").json()["compared_with"] == first.kernel.id
    assert client.get(f"{ask}?parent={'f' * 16}").json()["compared_with"] == third.kernel.id
    assert client.get(f"/api/v1/runs/{RUN}/attempts/1").json()["diff"] is None


def test_strangers_text_is_inert(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    fill(site.store, EVIL)
    for number in (1, 2, 3, 4):
        page = client.get(f"/runs/{RUN}/attempts/{number}")
        assert page.status_code == 200
        shown = Page(page.text)
        assert shown.inert()
        assert "alert(1)" in shown.text
        assert "\u202e" not in page.text
        assert client.get(f"/api/v1/runs/{RUN}/attempts/{number}").status_code == 200


@pytest.mark.parametrize(
    "evidence",
    [
        {"calls": [{"workload": "\ud800", "share_of_allowed": float("inf")}], "skipped": ["\udfff"]},
        {"calls": "none", "rerun": [1], "mismatch": 5, "workload": 7, "resources": {"k": 3}, "log": 8},
        {"resources": {"\ud800": {"registers": "many", "spill_stores": 0, "spill_loads": 0}}, "detail": "\ud800", "excerpt": 3},
        {"mismatch": {"what": "w", "got": float("nan"), "expected": float("inf"), "allowed": 0.0, "index": None}, "workload": "w"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("stage", ["build", "correctness"])
def test_evidence_of_any_form_is_shown(talk: tuple[TestClient, Site], stage: str, evidence: dict[str, object]) -> None:
    client, site = talk
    site.store.create_run(run(RUN))
    odd = attempt(RUN, 1, Verdict.WRONG)
    stages = [Stage(name=stage, status=StageStatus.FAILED, summary="\ud800", seconds=0, evidence=evidence)]
    site.store.add_attempt(replace(odd, evaluation=odd.evaluation.model_copy(update={"stages": stages})))
    page, twin = client.get(f"/runs/{RUN}/attempts/1"), client.get(f"/api/v1/runs/{RUN}/attempts/1")
    assert (page.status_code, twin.status_code) == (200, 200), twin.text
    Page(page.text)


@pytest.mark.parametrize("path", [f"/runs/{RUN}/attempts/9", "/runs/none/attempts/1"])
def test_what_is_not_there(talk: tuple[TestClient, Site], path: str) -> None:
    client, site = talk
    fill(site.store)
    assert client.get(path).status_code == 404
    assert client.get(f"/api/v1{path}").json()["error"]["kind"] == "NotFoundError"


def test_a_number_is_a_number(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    for number in ("0", "-1", "x", str(2**70)):
        assert client.get(f"/api/v1/runs/{RUN}/attempts/{number}").status_code == 422


def test_the_store_reads_by_an_index(tmp_path: Path) -> None:
    with Store(tmp_path / "k.db") as store:
        fill(store)
        with store._engine.connect() as link:
            for query in (
                "SELECT * FROM attempts WHERE run_id = 'x' AND number = 1",
                "SELECT * FROM model_calls WHERE run_id = 'x' AND attempt = 1 ORDER BY id",
                "SELECT kernel_id FROM kernel_parents WHERE parent_id = 'x'",
                "SELECT * FROM evaluations WHERE kernel_id = 'x' ORDER BY created DESC",
                "SELECT * FROM attempts WHERE kernel_id = 'x' ORDER BY id DESC",
                "SELECT run_id FROM attempts WHERE evaluation_id = 'x'",
            ):
                plan = " ".join(str(row) for row in link.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))
                assert "SCAN" not in plan, plan
