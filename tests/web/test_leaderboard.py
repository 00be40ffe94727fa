"""The leaderboard's page: what `sections` says, cut as chosen; measured and modelled apart; made again when something came in."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from judged_attempts import EVIL
from judged_entries import BENCH, SUITE, stored
from search_doubles import EPOCH
from starlette.testclient import TestClient
from web_pages import Page
from web_site import settings_for, talking

from kernelwright.bench_tasks.scoring.board import sections
from kernelwright.bench_tasks.scoring.metrics import fast_p
from kernelwright.leaderboard.collect import entries
from kernelwright.leaderboard.keeping import EntryKeeper
from kernelwright.web.context import Site

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Site]]:
    with talking(settings_for(tmp_path_factory.mktemp("board"))) as (client, site):
        stored(site.store)
        later = EPOCH + timedelta(days=1)
        stored(
            site.store, replace(BENCH, id="tiny-bbbbbb", coder=EVIL, created=later), {"scale": 2e-5, "softmax": None}
        )
        stored(
            site.store,
            replace(BENCH, id="tiny-cccccc", device="cuda", coder="ada", created=later),
            {"scale": None, "softmax": None},
        )
        yield client, site


def test_it_is_what_sections_says(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    found = client.get("/api/v1/leaderboard?p=1.6").json()
    wanted = sections(entries(site.store))
    assert {s["slug"] for s in found["sections"]} == {s.ground.slug for s in wanted}
    assert [s["timing_kind"] for s in found["sections"]] == ["measured", "modelled"]
    for section in wanted:
        (shown,) = [s for s in found["sections"] if s["slug"] == section.ground.slug]
        assert [(r["rank"], r["entry_id"]) for r in shown["rows"]] == [(r.rank, r.entry.id) for r in section.rows]
        for row, given in zip(section.rows, shown["rows"], strict=True):
            assert given["geomean"]["value"] == row.geomean.value
            for p in (0.0, 0.7, 1.0, 1.49, 1.5, 1.6, 2.9999, 3.0, 9.0):
                at = client.get(f"/api/v1/leaderboard?p={p}").json()["sections"]
                (same,) = [
                    r
                    for s in at
                    if s["slug"] == section.ground.slug
                    for r in s["rows"]
                    if r["entry_id"] == row.entry.id
                ]
                figure = fast_p(row.entry, p)
                assert same["fast_p"] == {"value": figure.value, "low": figure.low, "high": figure.high}, p
                assert given["curve"] == same["curve"]


def test_medals_are_of_the_task(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    found = client.get("/api/v1/leaderboard?kind=modelled&task=scale").json()
    (section,) = found["sections"]
    (task,) = section["medals"]
    assert task["task"] == "scale"
    assert task["places"][0]["entry_id"] == BENCH.id
    page = Page(client.get("/leaderboard?kind=modelled&task=scale").text)
    assert f"/tasks/{task['task_id']}" in page.links


@pytest.mark.parametrize(
    ("query", "authors"),
    [
        ("kind=modelled", {"builtin", EVIL[:60]}), ("kind=measured", {"ada"}), ("author=BUILT", {"builtin"}), ("suite=tiny&author=ad", {"ada"}),
        ("suite=core", set()), ("gpu=A100", set()), ("task=nothing", set()), ("dtype=float16", set()), ("author=nobody", set()),
    ],
)  # fmt: skip
def test_what_is_chosen_is_shown(talk: tuple[TestClient, Site], query: str, authors: set[str]) -> None:
    client, _ = talk
    found = client.get(f"/api/v1/leaderboard?{query}").json()
    shown = {row["author"] for section in found["sections"] for row in section["rows"]}
    assert len(shown) == len(authors)
    assert {name[:6] for name in shown} == {name[:6] for name in authors}
    assert Page(client.get(f"/leaderboard?{query}").text).inert()


def test_a_dtype_makes_figures_over_its_tasks(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    whole = client.get("/api/v1/leaderboard?kind=modelled").json()
    same = client.get("/api/v1/leaderboard?kind=modelled&dtype=float32").json()
    assert whole["dtypes"] == ["float32"]
    assert [r["geomean"] for s in same["sections"] for r in s["rows"]] == [
        r["geomean"] for s in whole["sections"] for r in s["rows"]
    ]


def test_the_page_is_inert_and_works_without_a_script(talk: tuple[TestClient, Site]) -> None:
    client, _ = talk
    page = Page(client.get("/leaderboard?p=1.25").text)
    assert page.inert()
    assert "fast_1.25" in page.text.replace("\n", "")
    (slider,) = [a for tag, a in page.tags if tag == "input" and a.get("type") == "range"]
    assert (slider["name"], slider["value"]) == ("p", "1.25")
    curves = [json.loads(str(a["data-curve"])) for _, a in page.tags if "data-curve" in a]
    assert all(point[0] >= 0 and 0 <= point[1] <= 1 for curve in curves for point in curve)
    assert "Measured on a GPU" in page.text
    assert page.text.index("Measured on a GPU") < page.text.index("Modelled times")


@pytest.mark.parametrize("query", ["p=-1", "p=11", "p=nan", "kind=both"])
def test_what_can_not_be_is_told(talk: tuple[TestClient, Site], query: str) -> None:
    client, _ = talk
    assert client.get(f"/api/v1/leaderboard?{query}").status_code == 422


def test_nothing_stored(tmp_path: Path) -> None:
    with talking(settings_for(tmp_path)) as (client, _):
        assert "No entries yet" in Page(client.get("/leaderboard").text).text
        assert client.get("/api/v1/leaderboard").json()["sections"] == []


def test_entries_are_made_again_only_when_their_run_changed(tmp_path: Path) -> None:
    with talking(settings_for(tmp_path)) as (_, site):
        stored(site.store)
        keeper = EntryKeeper(site.store)
        (first,) = keeper.entries()
        state = keeper.state()
        stored(site.store, replace(BENCH, id="tiny-bbbbbb"))
        assert keeper.state() != state
        both = keeper.entries()
        assert any(entry is first for entry in both)
        assert [e.id for e in both] == [e.id for e in entries(site.store)]
        assert both == entries(site.store)


def test_who_asks_while_it_is_first_made_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernelwright.web.views.leaderboard._PATIENCE_SECONDS", 0.0)
    with talking(settings_for(tmp_path)) as (client, site):
        stored(site.store)
        assert client.get("/api/v1/leaderboard").json()["made"] is None
        assert "is being made" in client.get("/leaderboard").text or SUITE.name in client.get("/leaderboard").text
        for thread in threading.enumerate():
            if thread.name == "kernelwright-kept":
                thread.join(30)
        assert client.get("/api/v1/leaderboard").json()["made"] is not None
