"""What the real SDKs of both providers make of each fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, get_args

import anthropic
import httpx2
import openai
import pytest
from model_server_clients import Clients, Heard

from kernelwright.agents.model_server.script import FaultKind
from kernelwright.agents.models.protocol import Usage

Start = Callable[[Mapping[str, Any]], Clients]
both = pytest.mark.parametrize("provider", ["openai", "anthropic"])
either_way = pytest.mark.parametrize("stream", [False, True])

TEXT = "PLAN: one row a block\n```python\n" + "x = 1  # ✓\n" * 20 + "```\n"
SDK = {"openai": openai, "anthropic": anthropic}
BROKEN = (openai.APIConnectionError, anthropic.APIConnectionError, httpx2.RemoteProtocolError)
LIMIT = {"openai": {"max_completion_tokens": 16_384}, "anthropic": {"max_tokens": 16_384}}


def struck(served: Start, fault: str | dict[str, Any], **more: Any) -> Clients:
    return served({"replies": [{"text": TEXT, "fault": fault, **more}, {"text": "after it"}]})


def test_every_kind_is_documented_and_tested_here() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[3] / "docs" / "model-server.md").read_text()
    own = Path(__file__).read_text()
    for kind in get_args(FaultKind):
        assert f"| `{kind}` |" in page
        assert f'"{kind}"' in own


@both
@either_way
@pytest.mark.parametrize(
    ("fault", "error", "statuses"),
    [
        ("rate_limit", "RateLimitError", {429}),
        ("server_error", "InternalServerError", {500}),
        ("overloaded", "InternalServerError", {503, 529}),
        ({"kind": "bad_status", "status": 422}, "UnprocessableEntityError", {422}),
    ],
)
def test_an_error_is_the_sdks_own(
    served: Start, provider: str, stream: bool, fault: Any, error: str, statuses: set[int]
) -> None:
    clients = struck(served, fault)
    with pytest.raises(getattr(SDK[provider], error)) as caught:
        clients.ask(provider, stream=stream)
    assert caught.value.status_code in statuses
    assert caught.value.request_id == "req_00000001"
    assert clients.server.tally().charged() == Usage()
    assert clients.ask(provider, stream=stream).text == "after it"


@both
def test_the_error_has_the_providers_fields(served: Start, provider: str) -> None:
    with pytest.raises(SDK[provider].RateLimitError) as caught:
        struck(served, "rate_limit").ask(provider)
    body = caught.value.body
    if provider == "openai":
        assert (caught.value.code, caught.value.type, body["param"]) == ("rate_limit_exceeded", "requests", None)
    else:
        assert caught.value.type == body["error"]["type"] == "rate_limit_error"
        assert body["request_id"] == caught.value.request_id


@both
@pytest.mark.parametrize(
    ("fault", "header"),
    [
        ("rate_limit", "1"),
        ({"kind": "rate_limit", "retry_after": 0.25}, "0.25"),
        ({"kind": "overloaded", "retry_after": 3}, "3"),
        ("overloaded", None),
    ],
)
def test_retry_after_is_sent(served: Start, provider: str, fault: Any, header: str | None) -> None:
    with pytest.raises(SDK[provider].APIStatusError) as caught:
        struck(served, fault).ask(provider)
    assert caught.value.response.headers.get("retry-after") == header


@both
def test_the_sdks_own_retry_gets_the_next_reply(served: Start, provider: str) -> None:
    clients = struck(served, {"kind": "rate_limit", "retry_after": 0.01})
    clients.openai = clients.openai.with_options(max_retries=1)
    clients.anthropic = clients.anthropic.with_options(max_retries=1)
    assert clients.ask(provider).text == "after it"
    assert [call.status for call in clients.server.tally().calls] == [429, 200]


@both
@either_way
def test_drop_before_gives_no_byte(served: Start, provider: str, stream: bool) -> None:
    clients = struck(served, "drop_before")
    with pytest.raises(SDK[provider].APIConnectionError):
        clients.ask(provider, stream=stream)
    (call,) = clients.server.tally().calls
    assert (call.status, call.complete, call.charged, call.reported) == (0, False, Usage(), None)
    assert clients.ask(provider, stream=stream).text == "after it"


@both
@either_way
def test_drop_mid_breaks_off_and_charges_what_was_sent(served: Start, provider: str, stream: bool) -> None:
    usage = {"input": 100, "output": 90}
    clients = struck(served, "drop_mid", usage=usage)
    with pytest.raises(BROKEN):
        clients.ask(provider, stream=stream)
    (call,) = clients.server.tally().calls
    assert not call.complete
    assert call.charged.input_tokens == 100
    assert (10 < call.charged.output_tokens < 80) if stream else call.charged.output_tokens == 90
    told = stream and provider == "anthropic"
    assert call.reported == (Usage(100, 0, 0, 1, 0) if told else None)
    assert clients.ask(provider, stream=stream).text == "after it"


@both
def test_drop_mid_of_a_stream_gives_the_beginning_first(served: Start, provider: str) -> None:
    clients = struck(served, "drop_mid")
    parts: list[str] = []
    with pytest.raises(BROKEN):
        parts.extend(deltas(clients, provider))
    text = "".join(parts)
    assert 0 < len(text) < len(TEXT)
    assert TEXT.startswith(text)


def deltas(clients: Clients, provider: str) -> Any:
    """The texts of a stream, one by one."""
    messages: Any = [{"role": "user", "content": "Write a kernel."}]
    if provider == "openai":
        with clients.openai.chat.completions.create(model="m", messages=messages, stream=True) as chunks:
            for chunk in chunks:
                yield from (choice.delta.content or "" for choice in chunk.choices)
    else:
        with clients.anthropic.messages.create(model="m", max_tokens=9999, messages=messages, stream=True) as events:
            for event in events:
                if event.type == "content_block_delta":
                    yield event.delta.text


@both
def test_truncated_json_is_no_json(served: Start, provider: str) -> None:
    clients = struck(served, "truncated_json")
    with pytest.raises(json.JSONDecodeError):
        clients.ask(provider)
    (call,) = clients.server.tally().calls
    assert not call.complete
    assert call.charged.output_tokens > 0


@both
def test_truncated_json_of_a_stream_ends_within_an_event(served: Start, provider: str) -> None:
    clients = struck(served, "truncated_json")
    text = "".join(deltas(clients, provider))  # both SDKs take the end for the end of the stream
    assert 0 < len(text) < len(TEXT)
    assert TEXT.startswith(text)
    assert not clients.server.tally().calls[0].complete
    url, body, headers = raw_request(clients, provider)
    clients = struck(served, "truncated_json")
    url = url.replace(url.split("/")[2], f"127.0.0.1:{clients.server.port}")
    answer = httpx2.post(url, json=body, headers=headers)
    assert answer.status_code == 200
    last = answer.text.rsplit("data: ", 1)[1]
    with pytest.raises(json.JSONDecodeError):
        json.loads(last)


def raw_request(clients: Clients, provider: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    body = {"model": "m", "max_tokens": 9999, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    if provider == "openai":
        return f"{clients.server.openai_url}/chat/completions", body, {"authorization": "Bearer k"}
    return f"{clients.server.anthropic_url}/v1/messages", body, {"x-api-key": "k", "anthropic-version": "2023-06-01"}


@both
def test_not_json_is_a_page(served: Start, provider: str) -> None:
    url, body, headers = raw_request(struck(served, "not_json"), provider)
    answer = httpx2.post(url, json=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<html>" in answer.text


@both
@either_way
@pytest.mark.parametrize("fault", [{"kind": "slow", "seconds": 0.15}, "wrong_usage"])
def test_a_reply_arrives_whole_though_slowly_or_without_its_usage(
    served: Start, provider: str, stream: bool, fault: Any
) -> None:
    clients = struck(served, fault)
    heard: Heard = (
        clients.ask(provider, stream=stream)
        if fault != "wrong_usage" or provider == "openai" or not stream
        else Heard("".join(deltas(clients, provider)), None, None)  # the SDK's own gathering needs a usage
    )
    assert heard.text == TEXT
    (call,) = clients.server.tally().calls
    assert call.complete
    assert call.charged.output_tokens > 0
    assert call.reported == heard.usage
    assert (heard.usage is None) == (fault == "wrong_usage")


@both
@either_way
def test_bytes_are_sent_one_by_one(served: Start, provider: str, stream: bool) -> None:
    clients = served({"replies": [{"text": "✓", "bytes_per_second": 20_000, "delay": 0.01}]})
    assert clients.ask(provider, stream=stream).text == "✓"


@both
@either_way
def test_other_words_than_the_scripts(served: Start, provider: str, stream: bool) -> None:
    def heard(fault: Any) -> Heard:
        script = {"replies": [{"text": TEXT, "times": "forever"}], "faults": {"every": 1, "kinds": [fault]}}
        return served(script).ask(provider, stream=stream, **LIMIT[provider])

    plain = heard("no_code_fence").text
    assert "```" not in plain
    assert plain == "".join(line for line in TEXT.splitlines(keepends=True) if "```" not in line)
    assert heard("empty").text == ""
    assert "pub fn" in heard("wrong_language").text
    assert "def forward" in heard({"kind": "wrong_language", "language": "python"}).text
    refusal = heard("refusal")
    assert (refusal.text, refusal.refusal) == ("", "I can't help with that request.")
    assert refusal.stop == {"openai": "stop", "anthropic": "refusal"}[provider]
    huge = heard("huge")
    assert len(huge.text.encode()) == 200_000
    assert huge.usage is not None
    assert huge.usage.output_tokens == 16_384


def test_an_entry_with_a_wrong_language_says_its_own_text(served: Start) -> None:
    assert struck(served, "wrong_language").ask("openai").text == TEXT


@both
def test_every_third_request_is_struck_and_the_retry_gets_the_reply_that_was_due(served: Start, provider: str) -> None:
    replies = [{"text": f"reply {number}"} for number in range(8)]
    plan = {"every": 3, "kinds": ["server_error", "drop_mid", {"kind": "slow", "seconds": 0.01}]}
    clients = served({"replies": replies, "faults": plan})
    heard: list[str] = []
    for _ in range(10):
        try:
            heard.append(clients.ask(provider).text)
        except (openai.APIError, anthropic.APIError, *BROKEN):
            heard.append("-")
    texts = [f"reply {number}" for number in range(8)]
    assert heard == [*texts[:2], "-", *texts[2:4], "-", *texts[4:]]
    tally = clients.server.tally()
    assert tally.remaining == ()
    assert [call.fault for call in tally.calls if call.fault] == ["server_error", "drop_mid", "slow"]
