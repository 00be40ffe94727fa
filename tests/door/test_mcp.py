"""The official SDK's client leads whole optimisations, over standard input and output and over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from evidence_kernels import TASK, kernel
from mcp import Client, StdioServerParameters
from mcp_server import HONEST, WRONG, call, command, http_server, refusal, tasks_in

Cli = Callable[..., subprocess.CompletedProcess[str]]
TOOLS = {
    "list_tasks", "read_task", "evaluate_kernel", "profile_kernel", "search_similar", "start_run", "submit", "finish_run",
    "best", "explain_verdict",
}  # fmt: skip


@contextmanager
def over_stdio(tasks: Path) -> Iterator[StdioServerParameters]:
    program, *arguments = command(tasks)
    yield StdioServerParameters(command=program, args=arguments, env=dict(os.environ))


@contextmanager
def over_http(tasks: Path) -> Iterator[str]:
    with http_server(tasks) as (url, _):
        yield url


async def optimise(client: Client) -> str:
    """A whole optimisation; the run's id."""
    listed = await call(client, "list_tasks", text="tanh")
    assert [(t["name"], t["id"], t["operations"]) for t in listed["tasks"]] == [("tanh3", TASK.id, ["mul", "tanh"])]
    read = await call(client, "read_task", task="tanh3")
    assert read["source"] == TASK.source
    assert (await call(client, "search_similar", task="tanh3"))["winners"] == []

    run = (await call(client, "start_run", task="tanh3", attempts=3, author="a model"))["run"]
    assert "has passed" in await refusal(client, "best", run=run)
    wrong = await call(client, "submit", run=run, source=WRONG, plan="one thread an element")
    assert (wrong["judged"]["verdict"], wrong["best"], wrong["number"]) == ("wrong", False, 1)
    assert "should be" in wrong["judged"]["reason"]
    assert wrong["judged"]["advice"]["mode"] == "repair"

    broken = await call(client, "submit", run=run, source=kernel("y[i] = oops;").source, plan="mended", parent=1)
    assert broken["judged"]["verdict"] == "compile_error"
    (line,) = broken["judged"]["stages"][-1]["lines"]
    assert (line["text"], line["cuda_line"]) == ("y[i] = oops;", 5)

    lines: list[str] = []

    async def told(_done: float, _total: float | None, message: str | None) -> None:
        lines.append(message or "")

    arguments = {"run": run, "source": HONEST, "plan": "mended again", "parent": 2}
    answer = await client.call_tool("submit", arguments, progress_callback=told)
    good: dict[str, Any] = answer.structured_content or {}
    assert (good["judged"]["verdict"], good["best"]) == ("passed", True)
    assert good["judged"]["times"]["kind"] == "modelled"
    assert good["state"] == {
        "run": run, "task": "tanh3", "status": "finished", "attempts": 3, "attempts_left": 0, "best_attempt": 3,
    }  # fmt: skip
    assert [line.split()[0] for line in lines if " passed in " in line] == [
        "static", "build", "sanitise", "correctness", "integrity", "timing", "profile",
    ]  # fmt: skip
    assert "is finished" in await refusal(client, "submit", run=run, source=HONEST, plan="more")

    best = await call(client, "best", run=run)
    assert (best["source"], best["attempt"], best["author"]) == (HONEST, 3, "a model")
    assert (await call(client, "best", task=TASK.id[:6]))["source"] == HONEST
    (winner,) = (await call(client, "search_similar", text="tanh3"))["winners"]
    assert (winner["source"], winner["kernel_id"]) == (HONEST, best["kernel_id"])
    explained = await call(client, "explain_verdict", evaluation=wrong["judged"]["evaluation_id"])
    assert [s["status"] for s in explained["stages"]][-3:] == ["not reached"] * 3
    (cost,) = (await call(client, "profile_kernel", kernel=run))["kernels"]
    assert cost["kernel"] == "tanh3"
    assert any("tanhf" in line["text"] and line["warp_instructions"] for line in cost["lines"])
    return run


@pytest.mark.slow
@pytest.mark.parametrize("transport", [over_stdio, pytest.param(over_http, marks=pytest.mark.long)])
def test_a_whole_optimisation(transport: Any, home: Path, cli: Cli, tmp_path: Path) -> None:
    tasks = tasks_in(tmp_path / "tasks")

    async def lead(server: Any) -> str:
        async with Client(server) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
            return await optimise(client)

    with transport(tasks) as server:
        run = anyio.run(lead, server)
    shown = json.loads(cli("show", run, "--json").stdout)
    assert (shown["strategy"], shown["coder"], shown["status"]) == ("mcp", "a model", "finished")
    assert [a["verdict"] for a in shown["attempts"]] == ["wrong", "compile_error", "passed"]
    ids = [a["kernel"]["id"] for a in shown["attempts"]]
    assert [a["kernel"]["parents"] for a in shown["attempts"]] == [[], ids[:1], ids[1:2]]


def test_every_tool_says_what_to_send_and_what_comes_back(home: Path, tmp_path: Path) -> None:
    tasks = tasks_in(tmp_path / "tasks")

    async def lead(server: Any) -> None:
        async with Client(server) as client:
            for tool in (await client.list_tools()).tools:
                assert tool.description, tool.name
                assert tool.output_schema is not None, tool.name
                for name in tool.input_schema.get("properties", {}):
                    assert name in tool.description, f"{tool.name} says nothing of {name}"

    with over_stdio(tasks) as server:
        anyio.run(lead, server)
