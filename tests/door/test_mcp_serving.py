"""Beginning to serve, and who may ask over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
from mcp_server import HONEST, command, conversation, http_server, tasks_in

from kernelwright.cli import run
from kernelwright.errors import ConfigError
from kernelwright.mcp.serving import http_address


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    return tasks_in(tmp_path / "tasks")


class TestBeginning:
    @pytest.mark.parametrize("closed", ["<&-", ">&-"])
    def test_a_closed_descriptor_is_misuse(self, closed: str, home: Path, tasks: Path) -> None:
        shell = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command(tasks)]
        done = subprocess.run(shell, capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ))
        assert done.returncode == 2
        assert "is closed" in done.stderr

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            (["--tasks", "nothing"], "no such folder of tasks"),
            (["--gpu", "nothing"], "no GPU named"),
            (["--http", "nothing"], "--http can't be"),
        ],
    )
    def test_what_can_not_be_served_is_misuse(
        self, more: list[str], words: str, home: Path, tasks: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["mcp", "--tasks", str(tasks), *more]) == 2
        told = capsys.readouterr()
        assert words in told.err
        assert told.out == ""

    def test_a_port_that_is_taken(self, home: Path, tasks: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            assert run(["mcp", "--tasks", str(tasks), "--http", str(taken.getsockname()[1])]) == 2
        assert "Choose another port" in capsys.readouterr().err


class TestHttp:
    def test_strange_requests_are_refused(self, home: Path, tasks: Path) -> None:
        body = json.dumps(conversation(HONEST)[0])
        plain = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        strange = [
            ({}, 200),
            ({"Host": "evil.example"}, 421),
            ({"Host": "localhost.evil.example:80"}, 421),
            ({"Origin": "http://evil.example"}, 403),
            ({"Content-Type": "text/plain"}, 400),
            ({"Content-Length": str(1 << 40)}, 413),
        ]
        with http_server(tasks) as (url, _):
            for headers, status in strange:
                connection = http.client.HTTPConnection(url.split("/")[2], timeout=60)
                connection.request("POST", "/mcp", body, plain | headers)
                assert connection.getresponse().status == status, headers
                connection.close()

    @pytest.mark.parametrize(
        ("text", "shown", "local"),
        [
            ("8931", "127.0.0.1:8931", True),
            (":8931", "127.0.0.1:8931", True),
            ("localhost:0", "localhost:0", True),
            ("[::1]:8931", "[::1]:8931", True),
            ("0.0.0.0:80", "0.0.0.0:80", False),
        ],
    )
    def test_addresses(self, text: str, shown: str, local: bool) -> None:
        address = http_address(text)
        assert (str(address), address.local) == (shown, local)

    @pytest.mark.parametrize("text", ["", "localhost", "localhost:", "localhost:70000", "localhost:-1", "a:b", ":٣"])
    def test_no_addresses(self, text: str) -> None:
        with pytest.raises(ConfigError, match="--http can't be"):
            http_address(text)
