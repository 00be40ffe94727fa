"""Every page in a real browser: accessible, no wider than a phone, dark and light, hostile text inert."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from search_doubles import TASK, attempt, evaluation, kernel, run
from web_site import Served, served, settings_for

from kernelwright.events import Note
from kernelwright.rl.run import RunStatus
from kernelwright.verifier.evaluation import Verdict

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>\u202e</textarea>'\""
RUN, OTHER = "softmax-7k3f9q", "softmax-hostile"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A store with a plain run and one in which everything that a stranger can write is hostile."""
    folder: Path = tmp_path_factory.mktemp("site")
    with served(settings_for(folder)) as running:
        store = running.site.store
        store.create_run(run(RUN, rounds=4, status=RunStatus.RUNNING))
        for number, outcome in ((1, Verdict.WRONG), (2, 2e-6), (3, 1e-6)):
            store.add_attempt(attempt(RUN, number, outcome))
        store.set_status(RUN, RunStatus.FINISHED, "All rounds are used.")
        task = replace(TASK, name=HOSTILE, source=f"class Model: ...\n# {HOSTILE}\n")
        store.create_run(run(OTHER, task=task, coder=HOSTILE))
        source = f"class ModelNew: ...\n# {HOSTILE}\n{'x' * 5000}\n"
        for number, outcome in ((1, 3e-6), (2, Verdict.CHEATING)):
            bad = replace(kernel(number + 10), source=source + str(number), author=HOSTILE)
            store.add_attempt(
                replace(
                    attempt(OTHER, number, outcome, task=task, kernel=bad, evaluation=evaluation(bad, outcome, task)),
                    plan=HOSTILE,
                    notes=(HOSTILE,),
                )
            )
        store.add_run_event(OTHER, Note(HOSTILE))
        store.set_status(OTHER, RunStatus.FAILED, HOSTILE)
        yield running


def pages(site: Served) -> list[str]:
    """Every page that the server has, with ids that the store has."""
    store = site.site.store
    kernels = [store.attempts(each)[0].kernel.id for each in (RUN, OTHER)]
    tasks = [store.run(each).task.id for each in (RUN, OTHER)]
    found = []
    for route in site.routes:
        filled = [
            route.replace("{run_id}", r).replace("{number}", "1").replace("{kernel_id}", k).replace("{task_id}", t)
            for r, k, t in zip((RUN, OTHER), kernels, tasks, strict=True)
        ]
        found += dict.fromkeys(filled)
    return [*found, f"/compare?a={RUN}&b={OTHER}", "/nothing-here", "/runs/nobody", "/kernels?q=%22%27%3Cimg%3E"]


def test_every_page_is_accessible_fits_a_phone_and_lets_nothing_hostile_run(chromium: Any, site: Served) -> None:
    from axe_playwright_python.sync_playwright import Axe

    axe, problems = Axe(), []
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
    page.on("dialog", lambda dialog: problems.append(f"{page.url}: a dialog opened") or dialog.dismiss())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    found = pages(site)
    assert len(found) > 8
    for path in found:
        for scheme, width in (("light", 1280), ("dark", 360)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(site.url + path)
            where = f"{path} at {width}, {scheme}"
            if page.title() == "taken" or page.locator("img").count():
                problems.append(f"{where}: hostile text became markup")
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                problems.append(f"{where}: {wide} pixels wide")
            if page.locator("h1").count() != 1:
                problems.append(f"{where}: {page.locator('h1').count()} main headings")
            for violation in axe.run(page).response["violations"]:
                if violation["impact"] in ("serious", "critical"):
                    places = ", ".join(
                        node["target"][0] if isinstance(node["target"][0], str) else "?"
                        for node in violation["nodes"][:3]
                    )
                    problems.append(f"{where}: {violation['id']} ({violation['impact']}): {places}")
    context.close()
    assert problems == []
    assert {url for url in asked if not url.startswith(site.url)} == set()


def test_the_theme_is_kept(page: Any, site: Served) -> None:
    page.goto(site.url)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    button = page.locator("[data-theme-switch]")
    button.click()
    assert page.evaluate(ground) == light
    button.click()
    dark = page.evaluate(ground)
    assert dark != light
    page.goto(f"{site.url}/runs")
    assert page.evaluate(ground) == dark


def test_the_keyboard_reaches_the_content(page: Any, site: Served) -> None:
    page.goto(f"{site.url}/runs")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
