"""Both clients, through the vendors' SDKs, at a server that does everything a server may do."""

from __future__ import annotations

from typing import Any

import pytest
from model_calls import request

from kernelwright.agents.models.protocol import Message, Usage
from kernelwright.agents.models.provider import TEXT_BYTES
from kernelwright.errors import ModelError

TEXT = "PLAN: one row a block\n```python\nprint('ünïcode ✓ 𝄞')\n```\n"
PROVIDERS = ("openai", "anthropic", "compatible")
each = pytest.mark.parametrize("provider", PROVIDERS)
SCHEMA = {
    "type": "object",
    "properties": {"limiter": {"type": "string"}},
    "required": ["limiter"],
    "additionalProperties": False,
}


@each
def test_a_reply(start: Any, provider: str) -> None:
    usage = {"input": 1200, "cache_read": 1000, "cache_write": 50, "output": 40, "reasoning": 30}
    room = start({"replies": [{"text": TEXT, "usage": usage}]})
    reply = room.client(provider).complete(request())
    assert (reply.text, reply.stop_reason, reply.model) == (TEXT, "end", "m")
    assert reply.usage == Usage(1200, 1000, 50, 40, 30) == room.server.tally().charged()
    assert reply.request_id
    assert reply.seconds > 0
    assert room.waits == []


@each
def test_cut_off_at_the_limit(start: Any, provider: str) -> None:
    room = start({"replies": [{"text": "x" * 400}]})
    reply = room.client(provider).complete(request(max_output_tokens=10))
    assert (reply.text, reply.stop_reason, reply.usage.output_tokens) == ("x" * 40, "length", 10)


@each
@pytest.mark.parametrize(("fault", "text", "stop"), [("empty", "", "end"), ("refusal", None, "refusal")])
def test_empty_replies_and_refusals_are_replies(
    start: Any, provider: str, fault: str, text: str | None, stop: str
) -> None:
    room = start({"replies": [{"fault": fault}]})
    reply = room.client(provider).complete(request())
    assert reply.stop_reason == stop
    assert text is None or reply.text == text
    assert len(room.server.tally().calls) == 1


@each
@pytest.mark.parametrize(
    "fault", ["server_error", "overloaded", "rate_limit", "not_json", "drop_before", "drop_mid", "truncated_json"]
)
def test_what_another_try_may_mend_is_tried_again(start: Any, provider: str, fault: str) -> None:
    room = start({"replies": [{"fault": fault, "text": TEXT, "times": 2}, {"text": TEXT}]})
    assert room.client(provider).complete(request()).text == TEXT
    assert [call.fault for call in room.server.tally().calls] == [fault, fault, None]
    assert len(room.waits) == 2
    if fault not in {"rate_limit"}:  # the server asked for nothing: each wait is longer than the one before
        assert 1 <= room.waits[0] <= 2 <= room.waits[1] <= 3


@each
def test_retry_after_is_honoured(start: Any, provider: str) -> None:
    faults = [{"fault": {"kind": "rate_limit", "retry_after": seconds}} for seconds in (7, 0.25)]
    room = start({"replies": [*faults, {"text": TEXT}]})
    assert room.client(provider).complete(request()).text == TEXT
    assert room.waits == [7, 0.25]


@each
def test_a_very_long_wait_ends_the_call(start: Any, provider: str) -> None:
    room = start({"replies": [{"fault": {"kind": "rate_limit", "retry_after": 3000}}, {"text": TEXT}]})
    with pytest.raises(ModelError, match=r"answered 429.*asks to wait 3000 s"):
        room.client(provider).complete(request())
    assert room.waits == []


@each
def test_patience_ends(start: Any, provider: str) -> None:
    room = start({"replies": [{"fault": "server_error", "times": "forever"}]}, tries=3)
    with pytest.raises(ModelError, match=r"no reply in 3 tries; the last one: .* answered 500"):
        room.client(provider).complete(request())
    assert len(room.server.tally().calls) == 3


@each
@pytest.mark.parametrize(("status", "mend"), [(400, ""), (403, "may use this model"), (404, "model's name")])
def test_what_no_further_try_mends_is_tried_once(start: Any, provider: str, status: int, mend: str) -> None:
    room = start({"replies": [{"fault": {"kind": "bad_status", "status": status}}, {"text": TEXT}]})
    with pytest.raises(ModelError, match=f"answered {status}") as caught:
        room.client(provider).complete(request())
    assert mend in caught.value.mend
    assert len(room.server.tally().calls) == 1


@each
def test_no_server(start: Any, provider: str) -> None:
    room = start({"replies": []}, tries=2)
    client = room.client(provider)
    room.server.close()
    with pytest.raises(ModelError, match=r"in 2 tries.*can't be reached") as caught:
        client.complete(request())
    assert "the server runs" in caught.value.mend


@each
def test_a_reply_slower_than_it_may_be_is_ended(start: Any, provider: str) -> None:
    """Bytes keep coming, so no time-out between two of them ever strikes; the whole call has one too."""
    room = start({"replies": [{"text": "x" * 4000, "fault": {"kind": "slow", "seconds": 30}}]}, model_seconds=0.5)
    with pytest.raises(ModelError, match="not done in time"):
        room.client(provider).complete(request())
    assert len(room.server.tally().calls) <= 1


@each
def test_a_silent_server_is_left(start: Any, provider: str) -> None:
    room = start({"replies": [{"text": "late", "delay": 30, "times": "forever"}]}, model_seconds=0.2, tries=2)
    with pytest.raises(ModelError, match=r"in 2 tries.*fell silent"):
        room.client(provider).complete(request())


@each
def test_slow_but_in_time(start: Any, provider: str) -> None:
    room = start({"replies": [{"text": TEXT, "fault": {"kind": "slow", "seconds": 0.3}}]})
    assert room.client(provider).complete(request()).text == TEXT


@each
def test_a_long_reply_arrives_and_an_endless_one_is_cut_off(start: Any, provider: str) -> None:
    huge = [{"fault": {"kind": "huge", "size": size}} for size in (200_000, 5_000_000)]
    room = start({"replies": huge})
    client = room.client(provider)
    assert len(client.complete(request()).text) == 200_000
    cut = client.complete(request(max_output_tokens=10_000_000))
    assert cut.stop_reason == "length"
    assert len(cut.text.encode()) == TEXT_BYTES


@each
def test_a_schema_holds_the_model(start: Any, provider: str) -> None:
    room = start({"replies": [{"when": {"asks_schema": "limiter"}, "json": {"limiter": "dram"}}]})
    reply = room.client(provider).complete(request(schema=SCHEMA, schema_name="advice"))
    assert reply.text.replace(" ", "") == '{"limiter":"dram"}'


@each
@pytest.mark.parametrize("reasoning", ["none", "low", "medium", "high"])
def test_reasoning_settings_are_taken(start: Any, provider: str, reasoning: str) -> None:
    room = start({"replies": [{"text": TEXT, "reasoning": "memory bound"}]})
    reply = room.client(provider).complete(request(reasoning=reasoning))
    assert reply.text == TEXT
    assert reply.reasoning == ("memory bound" if provider == "anthropic" and reasoning != "none" else "")
    assert reply.usage.reasoning_tokens == 3 or reasoning == "none"


@pytest.mark.parametrize(
    ("provider", "field"),
    [
        ("compatible", "stream_options"),
        ("compatible", "response_format"),
        ("compatible", "reasoning_effort"),
        ("compatible", "max_tokens"),
        ("compatible", "temperature"),
        ("openai", "max_completion_tokens"),
        ("openai", "temperature"),
        ("anthropic", "thinking"),
        ("anthropic", "output_config"),
        ("anthropic", "temperature"),
    ],
)
def test_what_a_server_does_not_know_is_left_out_and_stays_so(start: Any, provider: str, field: str) -> None:
    room = start({"refuse_fields": [field], "replies": [{"text": TEXT, "times": 2}]})
    client = room.client(provider)
    asked = request(schema=SCHEMA, reasoning="low", temperature=0.5)
    for _ in range(2):
        assert client.complete(asked).text == TEXT
    statuses = [call.status for call in room.server.tally().calls]
    assert statuses[-2:] == [200, 200]
    assert set(statuses[:-2]) == {400}
    assert 1 <= len(statuses[:-2]) <= 4
    assert room.waits == []


def test_everything_unknown_at_once(start: Any) -> None:
    fields = ["stream_options", "response_format", "reasoning_effort", "temperature"]
    room = start({"refuse_fields": fields, "replies": [{"text": TEXT}]})
    reply = room.client("compatible").complete(request(schema=SCHEMA, reasoning="none", temperature=0.5))
    assert reply.text == TEXT


def test_a_prefix_worth_caching_is_read_the_second_time(start: Any) -> None:
    """The server caches as the vendor does: from 1,024 tokens on, what is marked."""
    room = start({"replies": [{"text": "a"}, {"text": "b"}]})
    client = room.client("anthropic")
    long = Message("system", "Rules of the game. " * 400, cache=True)
    first = client.complete(request(messages=(long, Message("user", "one"))))
    second = client.complete(request(messages=(long, Message("user", "two"))))
    assert first.usage.cache_write_tokens > 1024
    assert first.usage.cache_read_tokens == 0
    assert second.usage.cache_read_tokens == first.usage.cache_write_tokens
    assert second.usage.cache_write_tokens == 0


def test_more_marks_than_a_request_may_have(start: Any) -> None:
    room = start({"replies": [{"text": "a"}]})
    turns = [Message("user" if n % 2 == 0 else "assistant", f"turn {n}", cache=True) for n in range(9)]
    assert room.client("anthropic").complete(request(messages=tuple(turns))).text == "a"


@each
def test_odd_messages(start: Any, provider: str) -> None:
    room = start({"replies": [{"text": "a", "times": 3}]})
    client = room.client(provider)
    for text in ("", "\x00\x01 control", "x" * 300_000):
        assert client.complete(request(text=text)).text == "a"


def test_a_conversation_keeps_its_turns(start: Any) -> None:
    room = start({"replies": [{"when": {"user": "^third$", "prompt": "second"}, "text": "a", "times": 2}]})
    turns = (Message("user", "first"), Message("assistant", "second"), Message("user", "third"))
    for provider in ("openai", "anthropic"):
        assert room.client(provider).complete(request(messages=turns)).text == "a"
