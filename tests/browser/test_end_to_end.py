"""The whole way with real kernels: a module is submitted in a browser, server and worker are killed in the middle, the search is watched to
its end, its kernel downloaded and judged again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from service_processes import until
from web_site import settings_for

from kernelwright.db.store import Store
from kernelwright.rl.run import RunStatus

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

MODULE = """import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)


def get_inputs():
    return [torch.randn(64, 96)]


def get_init_inputs():
    return []
"""
ROUNDS = 3


class Place:
    """Where the processes of one test live."""

    def __init__(self, folder: Path) -> None:
        self.settings = settings_for(folder)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.flags = ["--device", "emulator", "--isolation", self.settings.isolation]
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "KERNELWRIGHT_DATA": str(folder),
            "KERNELWRIGHT_DATABASE": str(self.settings.database),
        }

    @contextmanager
    def running(self, *arguments: str, ready: str) -> Iterator[subprocess.Popen[str]]:
        """One of our commands, once it has said that it is ready."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "kernelwright", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        try:
            assert process.stderr is not None
            assert ready in process.stderr.readline()
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate()

    def server(self) -> Any:
        """`kernelwright serve` on the port of this place."""
        return self.running("serve", "--port", str(self.port), "--no-worker", *self.flags, ready="Serving")

    def worker(self) -> Any:
        """`kernelwright worker`."""
        return self.running("worker", *self.flags, ready="waits for searches")


def test_a_module_becomes_a_kernel_though_server_and_worker_are_killed(chromium: Any, tmp_path: Path) -> None:
    place = Place(tmp_path)
    context = chromium.new_context(accept_downloads=True)
    context.set_default_timeout(300_000)
    page = context.new_page()
    with Store(place.settings.database) as store:
        with place.server() as first:
            page.goto(f"{place.url}/submit")
            page.fill("#source", MODULE)
            page.fill("#name", "rows")
            page.fill("#rounds", str(ROUNDS))
            page.click("button[type=submit]")
            page.wait_for_url("**/runs/*")
            run_id = page.url.rsplit("/", 1)[1]
            page.evaluate("window.stays = true")
            with place.worker() as worker:
                page.locator(".stages li").first.wait_for()
                until(lambda: bool(store.attempts(run_id)))
                first.kill()
                worker.kill()
        page.locator("[data-lost]").wait_for(state="visible")
        with place.server():
            with place.worker():
                page.locator(".status.finished").wait_for()
                page.locator("[data-lost]").wait_for(state="hidden")
            assert page.evaluate("window.stays")  # it reconnected, and was never loaded anew
            attempts = store.attempts(run_id)
            assert store.run_status(run_id) is RunStatus.FINISHED
            assert [each.number for each in attempts] == list(range(1, len(attempts) + 1))
            assert page.locator("tbody tr").count() == len(attempts)
            page.get_by_role("link", name="the kernel").click()
            with page.expect_download() as download:
                page.get_by_role("link", name="Python file").click()
            kernel, task = tmp_path / "rows_kernel.py", tmp_path / "rows.py"
            download.value.save_as(kernel)
        context.close()
    task.write_text(MODULE)
    command = [sys.executable, "-P", "-m", "kernelwright", "verify", str(task), str(kernel), "--json", *place.flags]
    judged = subprocess.run(command, capture_output=True, text=True, env=place.environment, check=False)
    assert json.loads(judged.stdout)["verdict"] == "passed", judged.stderr
