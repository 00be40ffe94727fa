"""What stands between an SDK and the network, at servers that misbehave below the protocol."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from model_calls import request

from kernelwright.agents.models import transport
from kernelwright.agents.models.provider import Patience
from kernelwright.agents.models.spec import Models
from kernelwright.agents.models.transport import Waits, http_client
from kernelwright.config import Settings
from kernelwright.errors import ModelError

Speak = Callable[[socket.socket], None]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Speak], str]]:
    """Starts a server that reads a request and then does as it is told on the bare socket; gives its URL."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(speak: Speak) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    read_request(connection)
                    try:
                        speak(connection)
                    except OSError:  # the client has left
                        continue

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join()


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head


def ask(url: str, **settings: Any) -> str:
    patience = Patience(tries=2, sleep=lambda _: None)
    with Models(Settings(**settings), patience=patience, environ={"ANTHROPIC_API_KEY": "k"}) as models:
        return models.client(f"{url}#m").complete(request()).text


CHUNK = b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":%s}]}\n\n'


@pytest.mark.parametrize(
    "events",
    [
        b"data: [1, 2]\n\n",
        b"data: 7\n\n",
        b"data: null\n\n",
        b'data: {"choices": 7}\n\n',
        b'data: {"choices": [7, null]}\n\n',
        b'data: {"choices": [{"delta": []}]}\n\n',
        b'data: {"choices": [{"delta": {"content": {"a": 1}}, "finish_reason": 7}]}\n\n',
        b"data: {" + b"[" * 100_000 + b"\n\n",
        b"data: \xff\xfe\n\n",
        b"data: {}\n\n" * 1000,
        b"data: [DONE]\n\n",
        b": comments only\n\n",
        b"",
        b"\x00" * 1000,
    ],
)
def test_events_that_are_no_reply(raw: Any, events: bytes) -> None:
    with pytest.raises(ModelError, match="in 2 tries"):
        ask(raw(lambda connection: connection.sendall(HEAD + events)))


@pytest.mark.parametrize(
    "usage",
    [
        "null",
        "7",
        "{}",
        '{"prompt_tokens": -5, "completion_tokens": 1e300}',
        '{"prompt_tokens": "many", "completion_tokens": null}',
    ],
)
def test_usage_that_is_none(raw: Any, usage: str) -> None:
    last = f'data: {{"choices": [], "usage": {usage}}}\n\ndata: [DONE]\n\n'.encode()
    assert ask(raw(lambda c: c.sendall(HEAD + CHUNK % (b"hi", b'"stop"') + last))) == "hi"


def test_a_stream_without_its_last_line(raw: Any) -> None:
    """Some servers never send [DONE]; what says that it is over is the reason why."""
    assert ask(raw(lambda c: c.sendall(HEAD + CHUNK % (b"h", b"null") + CHUNK % (b"i", b'"stop"')))) == "hi"


@pytest.mark.parametrize(
    ("body", "text"),
    [(b'{"model": "m", "choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}', "whole")],
)
def test_a_server_that_does_not_stream(raw: Any, body: bytes, text: str) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    assert ask(raw(lambda c: c.sendall(head + body))) == text
    with pytest.raises(ModelError, match="in 2 tries"):
        ask(raw(lambda c: c.sendall(head + body[:40])))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 999 ?\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\nno gzip",
        HEAD[:20],
    ],
)
def test_what_is_no_http(raw: Any, head: bytes) -> None:
    with pytest.raises(ModelError):
        ask(raw(lambda connection: connection.sendall(head)))


@pytest.mark.parametrize("status", [200, 500])
def test_an_endless_response_is_left(raw: Any, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "WIRE_BYTES", 2 << 20)
    sent = itertools.count(1)

    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 %d ?\r\ncontent-type: text/event-stream\r\n\r\n" % status)
        while next(sent) < 1000:
            connection.sendall(b"x" * 65536)

    with pytest.raises(ModelError, match="more than"):
        ask(raw(flood))
    assert next(sent) < 1000


def test_a_redirect_is_not_followed(raw: Any) -> None:
    answer = b"HTTP/1.1 307 ?\r\nlocation: http://127.0.0.1:1/elsewhere\r\ncontent-length: 0\r\n\r\n"
    with pytest.raises(ModelError, match="307"):
        ask(raw(lambda connection: connection.sendall(answer)))


def test_what_the_environment_has_for_openai_stays_there(raw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "OPENAI_API_KEY": "canary-1",
        "OPENAI_ADMIN_KEY": "canary-2",
        "OPENAI_ORG_ID": "canary-3",
        "OPENAI_PROJECT_ID": "canary-4",
        "OPENAI_CUSTOM_HEADERS": "X-Mine: canary-5\nAuthorization: Bearer canary-6\nopenai-organization: canary-7",
    }.items():
        monkeypatch.setenv(name, value)
    seen: list[bytes] = []
    recorded = read_request
    monkeypatch.setitem(globals(), "read_request", lambda connection: seen.append(recorded(connection)) or seen[-1])
    reply = HEAD + CHUNK % (b"hi", b'"stop"')
    assert ask(raw(lambda c: c.sendall(reply)), compatible_api_key="mine") == "hi"
    assert b"authorization: bearer mine" in seen[0].lower()
    assert b"canary" not in seen[0]


def test_proxies_of_the_environment(raw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bare server is the proxy: it sees the whole URL of a host that does not exist."""
    seen: list[bytes] = []
    url = raw(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
    recorded = read_request
    monkeypatch.setitem(globals(), "read_request", lambda connection: seen.append(recorded(connection)) or seen[-1])
    monkeypatch.setenv("http_proxy", url.removesuffix("/v1"))
    monkeypatch.setenv("no_proxy", "direct.invalid,.inner.invalid")
    with http_client(Waits(whole=20)) as client:
        assert client.post("http://models.invalid/v1", content=b"x").text == "ok"
        assert client.post(url, content=b"x").text == "ok"  # this machine needs no proxy
        for host in ("direct.invalid", "a.direct.invalid", "b.inner.invalid"):
            with pytest.raises(transport.httpx2.ConnectError):
                client.post(f"http://{host}/", content=b"x")
    assert [line.split(b" ")[1] for line in seen] == [b"http://models.invalid/v1", b"/v1"]
