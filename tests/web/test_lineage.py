"""The tree of a run and the grid of its archive, over a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_doubles import an_archive
from archive_doubles import attempt as archived
from judged_attempts import EVIL, RUN, fill
from search_doubles import attempt, run
from starlette.testclient import TestClient
from web_pages import Page
from web_site import settings_for, talking

from kernelwright.rl.archive.cells import all_cells
from kernelwright.rl.operators import Operator
from kernelwright.verifier.evaluation import Verdict
from kernelwright.web.context import Site
from kernelwright.web.views.lineage import PAGE

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[tuple[TestClient, Site]]:
    with talking(settings_for(tmp_path)) as both:
        yield both


def test_who_came_from_whom(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    fill(site.store)
    found = client.get(f"/api/v1/runs/{RUN}/lineage").json()
    assert [(n["number"], n["parents"], n["others"], n["generation"], n["best"]) for n in found["nodes"]] == [
        (1, [], 0, 0, False), (2, [1], 0, 1, False), (3, [1], 0, 1, True), (4, [3], 1, 2, False),
    ]  # fmt: skip
    assert (found["kind"], found["grid"]) == ("modelled", None)
    shown = Page(client.get(f"/runs/{RUN}/lineage").text)
    assert shown.inert()
    for number in (1, 2, 3, 4):
        assert f"/runs/{RUN}/attempts/{number}" in shown.links


def test_strangers_text_is_inert(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    fill(site.store, EVIL)
    page = client.get(f"/runs/{RUN}/lineage")
    assert Page(page.text).inert()
    assert "\u202e" not in page.text


def test_a_long_run_comes_in_pages(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    site.store.create_run(run(RUN, rounds=500))
    for number in range(1, 2 * PAGE + 6):
        site.store.add_attempt(attempt(RUN, number, Verdict.WRONG))
    first = client.get(f"/api/v1/runs/{RUN}/lineage").json()
    second = client.get(f"/api/v1/runs/{RUN}/lineage?first={first['next']}").json()
    third = client.get(f"/api/v1/runs/{RUN}/lineage?first={second['next']}").json()
    assert [n["number"] for page in (first, second, third) for n in page["nodes"]] == list(range(1, 2 * PAGE + 6))
    assert (first["previous"], second["previous"], third["previous"]) == (None, 1, PAGE + 1)
    assert third["next"] is None
    assert third["nodes"][0]["parents"] == [2 * PAGE]
    assert third["nodes"][-1]["generation"] == 2 * PAGE + 4


def test_a_run_without_attempts(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    site.store.create_run(run(RUN))
    assert "No attempt" in Page(client.get(f"/runs/{RUN}/lineage").text).text
    assert client.get("/runs/none/lineage").status_code == 404


def test_the_grid_shows_the_fastest_of_each_cell(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    archive = an_archive(site.store)
    attempts = [
        archived(1, 9e-6, registers=24),
        archived(2, 5e-6, registers=24),
        archived(3, 3e-6, registers=100, occupancy=0.3),
        archived(4, Verdict.WRONG),
    ]
    for each in attempts:
        site.store.add_attempt(each)
    archive.absorb(attempts)
    archive.draw("evolve-1", 5, 0, Operator.TUNE, "scripted", "seed")
    grid = client.get("/api/v1/runs/evolve-1/lineage?rows=registers&columns=occupancy").json()["grid"]
    assert grid["cells"] == len(all_cells())
    assert [row["label"] for row in grid["rows"]] == ["up to 32", "33 to 64", "65 to 128", "over 128"]
    assert [column["label"] for column in grid["columns"]] == ["below 25 %", "25 to 50 %", "50 % and more"]
    at = {
        (row, column): cell["number"]
        for row, cells in enumerate(grid["filled"])
        for column, cell in enumerate(cells)
        if cell is not None
    }
    assert at == {(0, 2): 2, (2, 1): 3}
    assert [cell["top"] for cells in grid["filled"] for cell in cells if cell] == [False, True]
    shown = Page(client.get("/runs/evolve-1/lineage?rows=registers&columns=registers").text)
    assert shown.inert()
    assert "/runs/evolve-1/attempts/3" in shown.links
    assert client.get("/api/v1/runs/evolve-1/lineage?rows=colour").status_code == 422
