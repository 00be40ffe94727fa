"""A module is submitted and its search watched, in a real browser; workers are scripted, so that it takes seconds."""

from __future__ import annotations

from typing import Any

import pytest
from service_processes import worker
from web_site import Served

from kernelwright.rl.run import RunStatus

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

MODULE = """import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)


def get_inputs():
    return [torch.randn(64, 32)]


def get_init_inputs():
    return []
"""


def submitted(page: Any, site: Served, name: str) -> str:
    """Submits a module; the id of its run."""
    page.goto(f"{site.url}/submit")
    page.fill("#source", MODULE)
    page.fill("#name", name)
    page.fill("#rounds", "4")
    page.click("button[type=submit]")
    page.wait_for_url("**/runs/*")
    return str(page.url.rsplit("/", 1)[1])


def test_the_page_says_what_it_found_while_the_module_is_written(page: Any, site: Served) -> None:
    page.goto(f"{site.url}/submit")
    page.fill("#source", "def f(:\n    pass\n")
    problem = page.locator("[data-look] .problem")
    problem.wait_for()
    assert "not valid Python" in problem.inner_text()
    page.click("[data-line]")
    assert page.evaluate("document.activeElement.id") == "source"
    assert page.evaluate("document.activeElement.selectionEnd") == len("def f(:")
    page.fill("#source", MODULE)
    page.locator("[data-look] .verdict.passed").wait_for()
    assert "(64, 32) float32" in page.locator("[data-look]").inner_text()
    page.locator("[data-lowering] .verdict.passed").wait_for()
    assert "softmax_rows" in page.locator("[data-lowering]").inner_text()


def test_a_search_is_watched_to_its_end_over_a_lost_connection(page: Any, site: Served) -> None:
    run_id = submitted(page, site, "hanging")
    assert "next in the queue" in page.locator(".state").inner_text()
    page.evaluate("window.stays = true")
    with worker(site.site.store):
        page.locator("tbody tr").first.wait_for()  # the first attempt; the second one waits
        page.context.set_offline(True)
        page.context.set_offline(False)
        page.get_by_role("button", name="Cancel").click()
        page.locator(".status.interrupted").wait_for()
        assert page.locator("tbody tr").count() == 1
        page.get_by_role("button", name="Go on with it").click()
        page.locator(".status.finished").wait_for()
        page.wait_for_function("document.querySelectorAll('tbody tr').length === 4")
    assert site.site.store.run_status(run_id) is RunStatus.FINISHED
    assert page.locator("svg.chart .dot").count() == 4
    page.problems[:] = [each for each in page.problems if "ERR_INTERNET_DISCONNECTED" not in each]


def test_the_page_follows_by_itself(page: Any, site: Served) -> None:
    run_id = submitted(page, site, "plain")
    page.evaluate("window.stays = true")
    with worker(site.site.store):
        page.locator(".status.finished").wait_for()
        page.wait_for_function("document.querySelectorAll('tbody tr').length === 4")
    assert page.evaluate("window.stays")  # it was never loaded anew
    assert page.locator("[data-said]").inner_text() == "The search is finished."
    assert [each.number for each in site.site.store.attempts(run_id)] == [1, 2, 3, 4]


def test_it_works_without_scripts(chromium: Any, site: Served) -> None:
    context = chromium.new_context(java_script_enabled=False)
    context.set_default_timeout(60_000)
    page = context.new_page()
    run_id = submitted(page, site, "quiet")
    assert page.locator(".status.queued").count() == 1
    page.get_by_role("button", name="Cancel").click()
    assert page.locator(".status.interrupted").count() == 1
    assert site.site.store.run_status(run_id) is RunStatus.INTERRUPTED
    context.close()
