"""A real MCP server for tests: the program in a process of its own, its workers found by what it wrote into their environment."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from evidence_kernels import TASK_SOURCE, kernel
from mcp import Client

__all__ = [
    "ENDLESS",
    "HONEST",
    "WRONG",
    "call",
    "command",
    "conversation",
    "ended",
    "http_server",
    "refusal",
    "tasks_in",
    "workers_of",
]

HONEST = kernel().source
WRONG = kernel("y[i] = 3.0f * tanhf(x[i]) + (i == n - 1);").source
ENDLESS = HONEST.replace("        y = ", "        while x is not None:\n            pass\n        y = ")


def tasks_in(folder: Path) -> Path:
    """A folder with the one task `tanh3`."""
    folder.mkdir()
    (folder / "tanh3.py").write_text(TASK_SOURCE)
    return folder


def command(tasks: Path, *more: str) -> list[str]:
    """The server's command line; warnings are errors there too."""
    return [sys.executable, "-W", "error", "-m", "kernelwright", "mcp", "--tasks", str(tasks), *more]


@contextmanager
def http_server(tasks: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its URL and its process, which is interrupted at the end if it still runs."""
    process = subprocess.Popen(
        command(tasks, "--http", "0"), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=dict(os.environ)
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("Serving http://127.0.0.1:"), line + process.stderr.read()
        yield line.split()[1], process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert "Traceback" not in said, said


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool answers, which must be no error."""
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    assert answer.structured_content is not None
    return answer.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    """The text of the error that a tool answers."""
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error, answer.structured_content
    return str(answer.content[0].text)  # type: ignore[union-attr]


def workers_of(pid: int) -> list[int]:
    """Processes that the server with this id started for its work and that still run."""
    mark = f"KERNELWRIGHT_WORKER={pid}-".encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if mark in Path("/proc", name, "environ").read_bytes():
                found.append(int(name))
    return found


def ended(pid: int, seconds: float = 60.0) -> bool:
    """Waits until a process that need not be ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def conversation(source: str) -> list[dict[str, Any]]:
    """What a client sends to have a kernel judged, as the protocol of 2025 has it."""
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    arguments = {"task": "tanh3", "source": source}
    return [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "evaluate_kernel", "arguments": arguments, "_meta": {"progressToken": 7}},
        },
    ]
