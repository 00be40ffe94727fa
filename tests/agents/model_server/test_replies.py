"""What the real SDKs of both providers make of scripted replies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from model_server_clients import Clients

from kernelwright.agents.models.protocol import Usage

Start = Callable[[Mapping[str, Any]], Clients]
both = pytest.mark.parametrize("provider", ["openai", "anthropic"])
either_way = pytest.mark.parametrize("stream", [False, True])

TEXT = "PLAN: one row a block\n```python\nprint('ünïcode ✓ 𝄞')\n```\n"


@both
@either_way
def test_a_text_arrives_as_it_was_written(served: Start, provider: str, stream: bool) -> None:
    heard = served({"replies": [{"text": TEXT}]}).ask(provider, stream=stream)
    assert heard.text == TEXT
    assert heard.stop == {"openai": "stop", "anthropic": "end_turn"}[provider]


@both
@either_way
def test_usage_of_the_script_reaches_the_client(served: Start, provider: str, stream: bool) -> None:
    usage = {"input": 1200, "cache_read": 1000, "cache_write": 50, "output": 40, "reasoning": 30}
    clients = served({"replies": [{"text": TEXT, "usage": usage}]})
    heard = clients.ask(provider, stream=stream)
    assert heard.usage == Usage(1200, 1000, 50, 40, 30)
    assert clients.server.tally().charged() == heard.usage


@both
@either_way
def test_tokens_are_counted_where_the_script_says_none(served: Start, provider: str, stream: bool) -> None:
    prompt = "ü" * 50
    heard = served({"replies": [{"text": "abcde"}]}).ask(provider, prompt, stream=stream)
    assert heard.usage == Usage(25, 0, 0, 2, 0)


@both
@either_way
def test_a_tool_call_arrives(served: Start, provider: str, stream: bool) -> None:
    arguments = {"task": "softmax", "sizes": [1, 2, 3]}
    schema = {"type": "object", "properties": {}}
    tools = {
        "openai": [{"type": "function", "function": {"name": "evaluate", "parameters": schema}}],
        "anthropic": [{"name": "evaluate", "input_schema": schema}],
    }[provider]
    clients = served({"replies": [{"tool": {"name": "evaluate", "arguments": arguments}}]})
    heard = clients.ask(provider, stream=stream, tools=tools)
    assert heard.tool is not None
    name, given = heard.tool
    assert name == "evaluate"
    assert (json.loads(given) if isinstance(given, str) else given) == arguments
    assert heard.stop == {"openai": "tool_calls", "anthropic": "tool_use"}[provider]


@either_way
def test_thinking_is_shown_to_who_asks_for_it(served: Start, stream: bool) -> None:
    script = {"replies": [{"text": TEXT, "reasoning": "memory bound", "times": 2}]}
    clients = served(script)
    thinking = {"type": "enabled", "budget_tokens": 2000}
    assert clients.ask("anthropic", stream=stream, thinking=thinking).reasoning == "memory bound"
    quiet = clients.ask("anthropic", stream=stream)
    assert quiet.reasoning == ""
    assert quiet.usage is not None
    assert quiet.usage.reasoning_tokens == 3


@both
@either_way
def test_a_reply_is_cut_off_at_the_limit_and_says_so(served: Start, provider: str, stream: bool) -> None:
    limit = {"openai": "max_completion_tokens", "anthropic": "max_tokens"}[provider]
    clients = served({"replies": [{"text": "x" * 400}]})
    heard = clients.ask(provider, stream=stream, **{limit: 10})
    assert heard.text == "x" * 40
    assert heard.stop == {"openai": "length", "anthropic": "max_tokens"}[provider]
    assert heard.usage is not None
    assert heard.usage.output_tokens == 10


def test_a_schema_can_be_a_condition_at_both(served: Start) -> None:
    schema = {
        "type": "object",
        "properties": {"limiter": {"type": "string"}},
        "required": ["limiter"],
        "additionalProperties": False,
    }
    clients = served(
        {
            "replies": [
                {"when": {"asks_schema": "limiter"}, "json": {"limiter": "dram"}, "times": "forever"},
                {"text": "no schema", "times": "forever"},
            ]
        }
    )
    shape = {"type": "json_schema", "json_schema": {"name": "advice", "strict": True, "schema": schema}}
    config = {"format": {"type": "json_schema", "schema": schema}}
    assert json.loads(clients.ask("openai", response_format=shape).text) == {"limiter": "dram"}
    assert json.loads(clients.ask("anthropic", output_config=config).text) == {"limiter": "dram"}
    assert clients.ask("openai", reasoning_effort="high").text == "no schema"
    assert clients.ask("anthropic").text == "no schema"


def test_a_stream_of_openai_tells_its_usage_only_if_asked(served: Start) -> None:
    clients = served({"replies": [{"text": TEXT, "times": 2}]})
    assert clients.ask("openai", stream=True, stream_options=None).usage is None
    assert clients.ask("openai", stream=True).usage is not None


def test_models_are_listed_in_each_shape(served: Start) -> None:
    clients = served({"replies": [{"text": "a"}], "models": ["small", "large"]})
    assert [model.id for model in clients.openai.models.list()] == ["small", "large"]
    assert [model.id for model in clients.anthropic.models.list()] == ["small", "large"]


def test_anthropic_reads_a_marked_prefix_from_the_cache(served: Start) -> None:
    clients = served({"replies": [{"text": "a", "times": "forever"}]})
    system = [{"type": "text", "text": "r" * 8000, "cache_control": {"type": "ephemeral"}}]
    first = clients.ask("anthropic", "one more", system=system)
    second = clients.ask("anthropic", "and another", system=system)
    unmarked = clients.ask("anthropic", "one more", system=[{"type": "text", "text": "r" * 8000}])
    assert first.usage is not None
    assert second.usage is not None
    assert unmarked.usage is not None
    assert (first.usage.cache_read_tokens, first.usage.cache_write_tokens) == (0, 2000)
    assert (second.usage.cache_read_tokens, second.usage.cache_write_tokens) == (2000, 0)
    assert unmarked.usage.cache_read_tokens == unmarked.usage.cache_write_tokens == 0
    total = [u.input_tokens + u.cache_read_tokens + u.cache_write_tokens for u in (first.usage, unmarked.usage)]
    assert total[0] == total[1]


def test_openai_reads_messages_that_it_saw_before(served: Start) -> None:
    clients = served({"replies": [{"text": "a", "times": "forever"}]})
    rules = {"role": "system", "content": "r" * 8000}

    def cached(user: str) -> int:
        messages = [rules, {"role": "user", "content": user}]
        reply = clients.openai.chat.completions.create(model="gpt-5", messages=messages)  # type: ignore[call-overload]
        assert reply.usage.prompt_tokens >= 2000
        return int(reply.usage.prompt_tokens_details.cached_tokens)

    assert [cached("one"), cached("two")] == [0, 2000]
