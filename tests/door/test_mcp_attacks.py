"""Hostile, clumsy and vanishing clients: each is told what to change, and none leaves a process behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
from evidence_kernels import TASK
from mcp import Client
from mcp_server import (
    ENDLESS,
    HONEST,
    WRONG,
    call,
    command,
    conversation,
    ended,
    http_server,
    refusal,
    tasks_in,
    workers_of,
)

from kernelwright.config import load_settings
from kernelwright.db.store import Store
from kernelwright.errors import MisuseError
from kernelwright.jobs import open_store
from kernelwright.mcp.bench import MOST_WAITING, Bench
from kernelwright.mcp.catalog import LARGEST_SOURCE, Catalog
from kernelwright.mcp.runs import Runs
from kernelwright.mcp.tools import Tools, make_server
from kernelwright.rl.run import RunStatus

ODD = {
    "outside": ("read_task", {"task": "../secret.py"}, "outside of the folders"),
    "outside, from the root": ("read_task", {"task": "/etc/passwd"}, "outside of the folders"),
    "outside, by a link": ("read_task", {"task": "link.py"}, "outside of the folders"),
    "outside, through a folder": ("read_task", {"task": "a/../../secret.py"}, "outside of the folders"),
    "a kernel outside": ("evaluate_kernel", {"task": "tanh3", "path": "../secret.py"}, "outside of the folders"),
    "a null character": ("read_task", {"task": "a\0.py"}, "this is no path"),
    "a long path": ("read_task", {"task": "a/" * 5000}, "this is no path"),
    "a folder": ("evaluate_kernel", {"task": "tanh3", "path": "."}, "no such file"),
    "an unknown task": ("read_task", {"task": "tanh4"}, "Did you mean tanh3?"),
    "no task": ("read_task", {"task": " "}, "no task was named"),
    "a huge name": ("read_task", {"task": "x" * 100_000}, "there is no task"),
    "a huge source": ("evaluate_kernel", {"task": "tanh3", "source": "#" * (LARGEST_SOURCE + 1)}, "over the limit of 262,144"),
    "a large file": ("evaluate_kernel", {"task": "tanh3", "path": "large.py"}, "more than 262,144 bytes"),
    "a file of bytes": ("evaluate_kernel", {"task": "tanh3", "path": "bytes.py"}, "not UTF-8"),
    "an empty source": ("evaluate_kernel", {"task": "tanh3", "source": "\n"}, "source is empty"),
    "source and path": ("evaluate_kernel", {"task": "tanh3", "source": "x", "path": "y"}, "exactly one of"),
    "no kernel": ("evaluate_kernel", {"task": "tanh3"}, "exactly one of"),
    "a number for a task": ("read_task", {"task": 3}, "task"),
    "nothing": ("submit", {}, "submit needs `run`. submit takes `run`, `source`"),
    "a wrong name": ("start_run", {"task": "tanh3", "rounds": 3}, "no argument `rounds`. start_run takes `task`"),
    "a text for a number": ("start_run", {"task": "tanh3", "attempts": "x"}, "`attempts` can't be that: 'x' is not"),
    "an unknown run": ("submit", {"run": "nothing", "source": HONEST, "plan": ""}, "no run with the id"),
    "an unknown kernel": ("profile_kernel", {"kernel": "ffff"}, "no run or kernel or evaluation"),
    "a kernel and a task": ("profile_kernel", {"kernel": "ffff", "task": "tanh3"}, "Send `kernel` alone"),
    "no attempts": ("start_run", {"task": "tanh3", "attempts": 0}, "1 to 1000"),
    "many winners": ("search_similar", {"task": "tanh3", "limit": 10**9}, "1 to 20"),
    "two questions": ("search_similar", {"task": "tanh3", "text": "tanh"}, "exactly one of"),
    "an injection": ("explain_verdict", {"evaluation": "' OR '1'='1"}, "There is no run"),
    "an unknown parent": ("submit", {"run": "RUN", "source": HONEST, "plan": "", "parent": 7}, "has no attempt 7"),
    "a parent that is no id": ("submit", {"run": "RUN", "source": HONEST, "plan": "", "parent": "zz"}, "no kernel"),
}  # fmt: skip


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    folder = tasks_in(tmp_path / "tasks")
    (tmp_path / "secret.py").write_text(TASK.source)
    (folder / "link.py").symlink_to(tmp_path / "secret.py")
    (folder / "large.py").write_text("#" * (LARGEST_SOURCE + 1))
    (folder / "bytes.py").write_bytes(b"\xff\xfe\xff")
    return folder


@pytest.fixture
def parts(home: Path, tasks: Path) -> Iterator[tuple[Tools, Runs, Store, Bench]]:
    settings = load_settings(call_seconds=3600.0)  # an endless kernel ends by being cancelled, or the test does not
    with ExitStack() as stack:
        store = stack.enter_context(open_store(settings))
        bench = stack.enter_context(Bench(settings))
        runs = Runs(store, bench, "mcp")
        yield Tools(Catalog([tasks], store), bench, runs, store), runs, store, bench


class TestWords:
    @pytest.mark.parametrize("case", ODD)
    def test_what_can_not_be_is_refused_in_words(self, case: str, parts: tuple[Tools, Runs, Store, Bench]) -> None:
        tools, runs, _, _ = parts
        tool, arguments, words = ODD[case]

        async def lead() -> str:
            async with Client(make_server(tools)) as client:
                return await refusal(client, tool, **arguments)

        if arguments.get("run") == "RUN":
            arguments = arguments | {"run": runs.start(TASK, "", 3).run}
        said = anyio.run(lead)
        assert words in said
        assert len(said) < 5000
        assert "Traceback" not in said

    def test_links_that_lead_out_are_not_listed(self, parts: tuple[Tools, Runs, Store, Bench]) -> None:
        assert [line.name for line in parts[0].list_tasks().tasks] == ["tanh3"]

    def test_a_task_is_read_again_when_its_file_changed(
        self, parts: tuple[Tools, Runs, Store, Bench], tasks: Path
    ) -> None:
        before = parts[0].read_task("tanh3").id
        (tasks / "tanh3.py").write_text(TASK.source + "# changed\n")
        assert parts[0].read_task("tanh3").id != before

    def test_two_tasks_of_one_name_are_told_apart_by_id(
        self, parts: tuple[Tools, Runs, Store, Bench], tasks: Path
    ) -> None:
        tools = parts[0]
        (tasks / "more").mkdir()
        (tasks / "more" / "tanh3.py").write_text(TASK.source + "# other\n")
        ids = {line.id for line in tools.list_tasks("tanh3").tasks}
        assert len(ids) == 2
        with pytest.raises(Exception, match="more than one task") as refused:
            tools.read_task("tanh3")
        assert all(each in str(refused.value) for each in ids)
        assert {tools.read_task(each).id for each in ids} == ids
        assert tools.read_task("more/tanh3.py").where == "more/tanh3.py"

    def test_a_folder_that_is_not_there(self, parts: tuple[Tools, Runs, Store, Bench], tmp_path: Path) -> None:
        with pytest.raises(MisuseError, match="no such folder"):
            Catalog([tmp_path / "nothing"], parts[2])


class TestRuns:
    def test_an_open_run_is_interrupted_at_the_end_and_gone_on_with(
        self, parts: tuple[Tools, Runs, Store, Bench]
    ) -> None:
        _, runs, store, bench = parts
        begun = runs.start(TASK, "", 2).run
        runs.leave()
        assert store.run(begun).status is RunStatus.INTERRUPTED
        again = Runs(store, bench, "other")
        assert again.open(begun).id == begun
        assert again.state(begun).status == "running"
        again.finish(begun, "done")
        again.leave()
        assert store.run(begun).status is RunStatus.FINISHED
        with pytest.raises(MisuseError, match="is finished"):
            again.open(begun)

    def test_an_author_is_one_line(self, parts: tuple[Tools, Runs, Store, Bench]) -> None:
        _, runs, store, _ = parts
        author = store.run(runs.start(TASK, "eve\n\x1b[31m" + "x" * 500, 2).run).coder
        assert author.startswith("eve")
        assert len(author) <= 80
        assert author.isprintable()


@pytest.mark.slow
class TestCancelling:
    def test_a_cancelled_evaluation_ends_its_processes_and_the_next_one_works(
        self, parts: tuple[Tools, Runs, Store, Bench]
    ) -> None:
        tools, _, store, _ = parts

        async def lead() -> dict[str, Any]:
            async with Client(make_server(tools)) as client:
                with anyio.CancelScope() as scope:

                    async def told(_done: float, _total: float | None, message: str | None) -> None:
                        if message == "build":
                            scope.cancel()

                    arguments = {"task": "tanh3", "source": ENDLESS}
                    await client.call_tool("evaluate_kernel", arguments, progress_callback=told)
                assert scope.cancelled_caught
                good = await call(client, "evaluate_kernel", task="tanh3", source=HONEST)
                wrong = await call(client, "evaluate_kernel", task="tanh3", source=WRONG)
                assert wrong["verdict"] == "wrong"
                return good

        good = anyio.run(lead)
        assert good["verdict"] == "passed"
        assert store.evaluations_of(good["kernel_id"])
        assert "ENDLESS" not in good["reason"]

    def test_too_many_at_once(self, parts: tuple[Tools, Runs, Store, Bench]) -> None:
        tools = parts[0]

        async def lead() -> str:
            waiting: list[str] = []
            async with Client(make_server(tools)) as client, anyio.create_task_group() as group:
                full = anyio.Event()

                async def told(_done: float, _total: float | None, message: str | None) -> None:
                    if message and message.startswith("waiting"):
                        waiting.append(message)
                    if len(waiting) == MOST_WAITING - 1:
                        full.set()

                async def evaluate() -> None:
                    await client.call_tool(
                        "evaluate_kernel", {"task": "tanh3", "source": ENDLESS}, progress_callback=told
                    )

                for _ in range(MOST_WAITING):
                    group.start_soon(evaluate)
                await full.wait()
                said = await refusal(client, "evaluate_kernel", task="tanh3", source=HONEST)
                group.cancel_scope.cancel()
            assert "waiting: 1 call is before this one" in waiting
            return said

        assert "one kernel is judged at a time" in anyio.run(lead)
        assert workers_of(os.getpid()) == []

    def test_the_processes_that_are_kept_end_with_the_bench(self, parts: tuple[Tools, Runs, Store, Bench]) -> None:
        tools, _, _, bench = parts

        async def lead() -> None:
            async with Client(make_server(tools)) as client:
                await call(client, "evaluate_kernel", task="tanh3", source=HONEST)

        anyio.run(lead)
        assert workers_of(os.getpid())
        bench.close()
        assert workers_of(os.getpid()) == []


CLIENT = """
    import sys, anyio
    from mcp import Client, StdioServerParameters
    from mcp_server import ENDLESS

    where = sys.argv[1]
    server = where if where.startswith("http") else StdioServerParameters(command=sys.argv[2], args=sys.argv[3:], env=dict(__import__("os").environ))

    async def told(done, total, message):
        if message == "build":
            print("building", flush=True)

    async def lead():
        async with Client(server) as client:
            await client.call_tool("evaluate_kernel", {"task": "tanh3", "source": ENDLESS}, progress_callback=told)

    anyio.run(lead)
"""


def vanishing_client(*arguments: str) -> None:
    """A client that is killed in the middle of an evaluation."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CLIENT), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(["tests", os.environ.get("PYTHONPATH", "")])},
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "building\n"
    process.kill()
    process.communicate()


@pytest.mark.models
class TestVanishing:
    @pytest.fixture(autouse=True)
    def no_limit(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KERNELWRIGHT_CALL_SECONDS", "3600")

    def test_a_client_on_standard_input_is_killed(self, tasks: Path, tmp_path: Path) -> None:
        number = tmp_path / "pid"
        shell = ["/bin/sh", "-c", f'echo $$ > {number}; exec "$@"', "sh", *command(tasks)]
        vanishing_client("stdio", *shell)
        server = int(number.read_text())
        assert ended(server)
        assert workers_of(server) == []

    def test_a_client_over_http_is_killed(self, tasks: Path) -> None:
        with http_server(tasks) as (url, process):
            vanishing_client(url)

            async def lead() -> dict[str, Any]:
                async with Client(url) as client:
                    return await call(client, "evaluate_kernel", task="tanh3", source=HONEST)

            assert anyio.run(lead)["verdict"] == "passed"  # it would wait for an hour if the other went on
        assert workers_of(process.pid) == []

    def test_two_clients_at_once_are_judged_one_after_the_other(self, tasks: Path) -> None:
        found: dict[str, str] = {}

        async def lead(url: str, source: str) -> None:
            async with Client(url) as client:
                answer = await call(client, "evaluate_kernel", task="tanh3", source=source)
                found[source] = answer["verdict"]

        async def both(url: str) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(lead, url, HONEST)
                group.start_soon(lead, url, WRONG)

        with http_server(tasks) as (url, process):
            anyio.run(both, url)
            assert found == {HONEST: "passed", WRONG: "wrong"}
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 130
        assert workers_of(process.pid) == []

    @pytest.mark.parametrize("way", ["SIGINT", "closed"])
    def test_it_ends_cleanly_in_the_middle_of_an_evaluation(self, way: str, tasks: Path) -> None:
        with subprocess.Popen(
            command(tasks), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for message in conversation(ENDLESS):
                process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
            answers = []
            while not answers or answers[-1].get("params", {}).get("message") != "build":
                answers.append(json.loads(process.stdout.readline()))  # nothing else may stand there
            if way == "closed":
                process.stdin.close()
            else:
                process.send_signal(getattr(signal, way))
            assert process.wait(60) == (0 if way == "closed" else 130)
            assert process.stderr is not None
            assert b"Traceback" not in process.stderr.read()
        assert workers_of(process.pid) == []

    def test_only_messages_stand_on_standard_output(self, tasks: Path) -> None:
        loud = f'import os, sys\nprint("loud"); os.write(1, b"louder"); sys.stderr.write("loudest")\n{HONEST}'
        lines = [json.dumps(message) for message in conversation(loud)]
        with subprocess.Popen(
            command(tasks, "--verbose"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=dict(os.environ),
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n".join(["no JSON", '{"jsonrpc": "2.0"}', *lines, ""]))
            process.stdin.flush()
            answers: list[dict[str, Any]] = []
            while not answers or answers[-1].get("id") != 2:
                answers.append(json.loads(process.stdout.readline()))
            process.stdin.close()
            assert process.stdout.read() == ""
        assert all(answer["jsonrpc"] == "2.0" for answer in answers)
        assert answers[-1]["result"]["structuredContent"]["verdict"] in {"passed", "rejected"}
