"""The server itself: its tally and log, many clients at once, start and stop, the command."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from model_server_clients import Clients, Heard

from kernelwright.agents.model_server import serving
from kernelwright.agents.model_server.tally import text_hash
from kernelwright.agents.models.protocol import Usage
from kernelwright.errors import MisuseError

Start = Callable[[Mapping[str, Any]], Clients]


def added(usages: list[Usage | None]) -> Usage:
    told = [usage for usage in usages if usage is not None]
    return Usage(
        sum(u.input_tokens for u in told),
        sum(u.cache_read_tokens for u in told),
        sum(u.cache_write_tokens for u in told),
        sum(u.output_tokens for u in told),
        sum(u.reasoning_tokens for u in told),
    )


def test_the_tally_is_what_the_clients_were_told(served: Start) -> None:
    """Sixteen threads, both providers, streams and not: each entry answers once, and the sums agree."""
    count = 64
    clients = served({"replies": [{"text": f"reply {n} " + "x" * n} for n in range(count)]})

    def ask(number: int) -> tuple[str, Heard]:
        provider = ("openai", "anthropic")[number % 2]
        return provider, clients.ask(provider, f"question {number}", stream=number % 3 == 0)

    with ThreadPoolExecutor(16) as pool:
        heard = list(pool.map(ask, range(count)))
    assert {reply.text for _, reply in heard} == {f"reply {n} " + "x" * n for n in range(count)}
    tally = clients.server.tally()
    for provider, model in (("openai", "gpt-5"), ("anthropic", "claude-opus-4-5")):
        assert tally.charged(model) == added([reply.usage for who, reply in heard if who == provider])
    assert all(call.complete for call in tally.calls)
    assert sorted(call.entry for call in tally.calls if call.entry is not None) == list(range(count))
    assert {call.text_hash for call in tally.calls} == {text_hash(reply.text) for _, reply in heard}
    assert (tally.remaining, tally.repeated) == ((), 0)


def test_a_request_that_came_again_after_its_answer_is_counted(served: Start) -> None:
    clients = served({"replies": [{"fault": "drop_mid", "text": "broken"}, {"text": "a", "times": "forever"}]})
    with pytest.raises(openai.APIConnectionError):
        clients.ask("openai")
    clients.ask("openai")
    assert clients.server.tally().repeated == 0
    clients.ask("openai")
    assert clients.server.tally().repeated == 1


def test_tally_over_http_and_in_the_log_are_the_same(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    with serving({"replies": [{"text": "ünïcode"}]}, log=log) as server, Clients(server) as clients:
        clients.ask("anthropic", stream=True)
        with pytest.raises(openai.BadRequestError):
            clients.ask("openai")
        page = httpx2.get(f"{server.anthropic_url}/_tally").json()
        lines = [json.loads(line) for line in log.read_text().splitlines()]  # flushed while the server runs
    assert [line.pop("text") for line in lines] == ["ünïcode", ""]
    assert lines == page["calls"]
    assert page["models"]["claude-opus-4-5"]["output_tokens"] == 3
    assert page["models"]["gpt-5"]["requests"] == 1
    assert page["models"]["gpt-5"]["complete"] == 0
    assert "no reply" in lines[1]["message"]


def test_closing_does_not_wait_for_a_slow_reply() -> None:
    failed = threading.Event()
    with serving({"replies": [{"text": "x" * 1000, "fault": {"kind": "slow", "seconds": 3600}}]}) as server:
        clients = Clients(server)
        chunks = clients.openai.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "a"}], stream=True
        )

        def read() -> None:
            try:
                for _ in chunks:
                    pass
            except openai.APIConnectionError:
                failed.set()

        reader = threading.Thread(target=read)
        reader.start()
    reader.join(20)
    clients.__exit__(None, None, None)
    assert failed.is_set()
    (call,) = server.tally().calls
    assert not call.complete


def test_a_client_that_leaves_in_the_middle_is_not_an_answered_one() -> None:
    with serving({"replies": [{"text": "x" * 1000, "bytes_per_second": 50_000}, {"text": "next"}]}) as server:
        body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "a"}]})
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\ncontent-length: {len(body)}"
        )
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(f"{head}\r\n\r\n{body}".encode())
            assert connection.recv(100)
        with Clients(server) as clients:
            assert clients.ask("openai").text == "next"
    first = next(call for call in server.tally().calls if call.entry == 0)
    assert not first.complete
    assert first.charged.output_tokens < 250


def test_addresses_and_logs_that_cannot_be_used_are_said(tmp_path: Path) -> None:
    script = {"replies": [{"text": "a"}]}
    with serving(script) as server, pytest.raises(MisuseError, match="can't listen"), serving(script, port=server.port):
        pass
    with pytest.raises(MisuseError, match="can't listen"), serving(script, host="no.such.host.invalid"):
        pass
    with pytest.raises(MisuseError, match="can't be written"), serving(script, log=tmp_path):
        pass


def test_a_port_is_free_again_after_closing() -> None:
    with serving({"replies": []}) as server:
        port = server.port
    with serving({"replies": [{"text": "a"}]}, port=port) as server, Clients(server) as clients:
        assert clients.ask("openai").text == "a"


def run(*arguments: str, tmp_path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "KERNELWRIGHT_DATA": str(tmp_path / "data")}
    command = [sys.executable, "-m", "kernelwright", "model-server", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    script, log = tmp_path / "script.yaml", tmp_path / "log.jsonl"
    script.write_text("- text: hello\n")
    with run(str(script), "--json", "--log", str(log), tmp_path=tmp_path) as process:
        assert process.stdout is not None
        urls = json.loads(process.stdout.readline())
        with openai.OpenAI(api_key="k", base_url=urls["openai"], max_retries=0) as client:
            reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "a"}])
        assert reply.choices[0].message.content == "hello"
        assert httpx2.get(f"{urls['anthropic']}/_tally").json()["models"]["m"]["complete"] == 1
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert json.loads(log.read_text())["text"] == "hello"


def test_the_command_says_where_a_script_is_wrong(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text("- text: hello\n  tims: 3\n")
    with run(str(script), "--json", tmp_path=tmp_path) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    error = json.loads(out)["error"]
    assert (error["path"], error["line"]) == (str(script), 2)
    assert "tims" in error["message"]
