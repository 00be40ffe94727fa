"""Requests that a provider would refuse, and bytes that are no request at all."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from model_server_clients import KEY, Clients

Start = Callable[[Mapping[str, Any]], Clients]
FOREVER = {"replies": [{"text": "hello", "times": "forever"}]}
OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}}


def bad(clients: Clients, provider: str, **more: Any) -> str:
    """What the provider's SDK says of a request that gets 400."""
    with pytest.raises({"openai": openai.BadRequestError, "anthropic": anthropic.BadRequestError}[provider]) as caught:
        clients.ask(provider, **more)
    return str(caught.value)


def test_no_key_is_401_in_each_shape(served: Start) -> None:
    clients = served(FOREVER)
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    first = httpx2.post(f"{clients.server.openai_url}/chat/completions", json=body)
    assert (first.status_code, first.json()["error"]["code"]) == (401, "invalid_api_key")
    version = {"anthropic-version": "2023-06-01"}
    second = httpx2.post(f"{clients.server.anthropic_url}/v1/messages", json=body, headers=version)
    assert (second.status_code, second.json()["error"]["type"]) == (401, "authentication_error")
    assert httpx2.get(f"{clients.server.openai_url}/models").status_code == 401
    third = httpx2.post(f"{clients.server.anthropic_url}/v1/messages", json=body, headers={"x-api-key": "k"})
    assert (third.status_code, "anthropic-version" in third.text) == (400, True)


def test_a_field_that_the_server_does_not_know_is_named(served: Start) -> None:
    clients = served({**FOREVER, "refuse_fields": ["stream_options", "reasoning_effort", "response_format"]})
    assert "stream_options" in bad(clients, "openai", stream=True)
    assert "reasoning_effort" in bad(clients, "openai", reasoning_effort="low")
    assert clients.ask("openai").text == "hello"
    assert "made_up" in bad(served(FOREVER), "openai", extra_body={"made_up": 1})
    assert "made_up" in bad(served(FOREVER), "anthropic", extra_body={"made_up": 1})


def test_models_that_are_not_there_are_404(served: Start) -> None:
    clients = served({**FOREVER, "models": ["small"]})
    with pytest.raises(openai.NotFoundError) as first:
        clients.ask("openai", model="large")
    assert first.value.code == "model_not_found"
    with pytest.raises(anthropic.NotFoundError):
        clients.ask("anthropic", model="large")
    assert clients.ask("openai", model="small").text == "hello"


@pytest.mark.parametrize(
    ("schema", "openai_says", "anthropic_says"),
    [
        (OBJECT, "additionalProperties", "additionalProperties"),
        ({**OBJECT, "additionalProperties": False}, "required", None),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "number", "minimum": 0}},
                "required": ["a"],
                "additionalProperties": False,
            },
            None,
            "minimum",
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/b"}, {"type": "null"}]}}},
                "required": ["a"],
                "additionalProperties": False,
                "$defs": {"b": OBJECT},
            },
            "additionalProperties",
            "additionalProperties",
        ),
    ],
)
def test_schemas_are_checked_as_in_strict_mode(
    served: Start, schema: dict[str, Any], openai_says: str | None, anthropic_says: str | None
) -> None:
    clients = served(FOREVER)
    shape = {"type": "json_schema", "json_schema": {"name": "advice", "strict": True, "schema": schema}}
    config = {"format": {"type": "json_schema", "schema": schema}}
    if openai_says:
        assert openai_says in bad(clients, "openai", response_format=shape)
    else:
        assert clients.ask("openai", response_format=shape).text == "hello"
    if anthropic_says:
        assert anthropic_says in bad(clients, "anthropic", output_config=config)
    else:
        assert clients.ask("anthropic", output_config=config).text == "hello"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}, "max_tokens": 4000}, "max_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}, "extra_body": {"temperature": 0.5}}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"output_config": {"effort": "enormous"}}, "effort"),
        (
            {"system": [{"type": "text", "text": f"{n}", "cache_control": {"type": "ephemeral"}} for n in range(5)]},
            "maximum of 4",
        ),
    ],
)
def test_what_anthropic_refuses(served: Start, more: dict[str, Any], words: str) -> None:
    assert words in bad(served(FOREVER), "anthropic", **more)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"temperature": 3}, "temperature"),
        ({"reasoning_effort": "enormous"}, "enormous"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"tools": [{"type": "function"}]}, "tools"),
    ],
)
def test_what_openai_refuses(served: Start, more: dict[str, Any], words: str) -> None:
    assert words in bad(served(FOREVER), "openai", **more)


PATHS = {
    "/v1/chat/completions": {"authorization": "Bearer k"},
    "/v1/messages": {"x-api-key": "k", "anthropic-version": "1"},
}
BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b"[" * 100_000,
    b"{}",
    b'{"model": 1}',
    b'{"model": "m", "max_tokens": 1, "messages": []}',
    b'{"model": "m", "max_tokens": 1, "messages": [1]}',
    b'{"model": "m", "max_tokens": 1, "messages": {"role": "user"}}',
    b'{"model": "m", "max_tokens": 1, "messages": [{"role": "king", "content": "a"}]}',
    b'{"model": "m", "max_tokens": 1, "messages": [{"role": ["user"], "content": "a"}]}',
    b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": 5}]}',
    b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}',
    b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [5]}]}',
    b'{"model": "m", "max_tokens": true, "messages": [{"role": "user", "content": "a"}]}',
    b'{"model": "m", "max_tokens": 1, "stream": 1, "messages": [{"role": "user", "content": "a"}]}',
    b'{"model": "m", "max_tokens": 1, "tools": [{"name": 1}], "messages": [{"role": "user", "content": "a"}]}',
    b'{"model": "m", "max_tokens": 1, "tools": 7, "messages": [{"role": "user", "content": "a"}]}',
]


@pytest.mark.parametrize("path", list(PATHS))
def test_bodies_that_mean_nothing_are_400_in_the_providers_shape(served: Start, path: str) -> None:
    clients = served(FOREVER)
    for body in BODIES:
        answer = httpx2.post(f"{clients.server.anthropic_url}{path}", content=body, headers=PATHS[path])
        assert answer.status_code == 400, body[:80]
        assert answer.json()["error"]["message"]
        assert (answer.json().get("type") == "error") == (path == "/v1/messages")
    calls = clients.server.tally().calls
    assert len(calls) == len(BODIES)
    assert not any(call.complete or call.charged.output_tokens for call in calls)


def test_odd_schemas_and_blocks_are_no_server_errors(served: Start) -> None:
    clients = served(FOREVER)
    url, user = clients.server.anthropic_url, [{"role": "user", "content": "a"}]
    odd: list[tuple[str, dict[str, Any]]] = [
        (
            "/v1/chat/completions",
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": s}}},
        )
        for s in (
            None,
            [],
            {"type": "object", "additionalProperties": False, "required": [[]]},
            {"properties": 5},
            {"anyOf": 5},
        )
    ]
    odd += [
        ("/v1/messages", {"output_config": {"format": {"type": "json_schema", "schema": s}}})
        for s in (None, 5, {"properties": []})
    ]
    odd += [
        ("/v1/messages", {"system": [{"type": "text", "text": "a", "cache_control": "yes"}]}),
        ("/v1/messages", {"system": {"type": "text"}}),
        ("/v1/messages", {"thinking": "yes"}),
        ("/v1/messages", {"temperature": {}, "thinking": {"type": "adaptive"}}),
        ("/v1/messages", {"tools": [{"name": "a", "cache_control": {"type": "ephemeral"}}]}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}]}),
        ("/v1/chat/completions", {"stream_options": {"include_usage": "x"}, "stream": True}),
        ("/v1/chat/completions", {"temperature": float("nan")}),
        ("/v1/chat/completions", {"messages": [{"role": "user"}]}),
    ]
    for path, more in odd:
        body = json.dumps({"model": "m", "max_tokens": 5, "messages": user, **more})
        answer = httpx2.post(f"{url}{path}", content=body, headers=PATHS[path])
        assert answer.status_code in (200, 400), (more, answer.text)


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/", 404), ("POST", "/v1/embeddings", 404), ("GET", "/v1/chat/completions", 405), ("DELETE", "/v1/messages", 405),
])  # fmt: skip
def test_paths_and_methods_that_are_not_there(served: Start, method: str, path: str, status: int) -> None:
    clients = served(FOREVER)
    for headers in PATHS.values():
        answer = httpx2.request(method, f"{clients.server.anthropic_url}{path}", headers=headers)
        assert answer.status_code == status
        assert path in answer.json()["error"]["message"]
        assert (answer.json().get("type") == "error") == ("x-api-key" in headers)


def talk(port: int, data: bytes, *, close: bool = False) -> bytes:
    """What comes back for raw bytes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            connection.sendall(data)
            if close:
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(65536):
                answer += part
        except ConnectionError:  # closed while there was more to send
            pass
        return answer


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\n"


def test_bytes_that_are_no_request_hurt_nobody(served: Start) -> None:
    clients = served(FOREVER)
    port = clients.server.port
    for junk in (
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"GET / HTTP/9.9\r\n\r\n",
    ):
        assert not talk(port, junk + b"\r\n\r\n", close=True) or b" 400 " in talk(port, junk + b"\r\n\r\n", close=True)
    assert talk(port, HEAD + b"content-length: 100\r\n\r\n{", close=True).count(b" 200 ") == 0
    assert b" 400 " in talk(port, HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\n{]")
    assert b" 400 " in talk(port, HEAD + b"content-length: many\r\n\r\n{}", close=True)
    assert b" 400 " in talk(port, b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 100_000, close=True)
    assert clients.ask("openai").text == "hello"


def test_a_body_over_32_megabytes_is_413(served: Start) -> None:
    clients = served(FOREVER)
    body = b'{"model": "m", "messages": [{"role": "user", "content": "' + b"x" * 33_000_000 + b'"}]}'
    answer = talk(clients.server.port, HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body)
    assert answer == b"" or b" 413 " in answer
    assert [call.status for call in clients.server.tally().calls] == [413]
    assert clients.ask("openai", "y" * 3_000_000).text == "hello"


def test_the_key_is_kept_nowhere(served: Start, tmp_path: Any) -> None:
    from kernelwright.agents.model_server import serving

    log = tmp_path / "log.jsonl"
    with (
        serving({**FOREVER, "faults": {"every": 2, "kinds": ["server_error"]}}, log=log) as server,
        Clients(server) as clients,
    ):
        for provider in ("openai", "anthropic"):
            clients.ask(provider)
            with pytest.raises((openai.APIError, anthropic.APIError)):
                clients.ask(provider)
        shown = httpx2.get(f"{server.anthropic_url}/_tally").text
    assert log.stat().st_size > 100
    assert KEY not in log.read_text()
    assert KEY not in shown
