"""Anthropic's protocol: messages, as https://platform.claude.com/docs/en/api/messages and the anthropic SDK have it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from kernelwright.agents.model_server.asked import Answer, Asked, Part, Piece, Refused
from kernelwright.agents.model_server.reading import (
    boolean,
    list_of_objects,
    positive,
    refuse_unknown,
    text_of,
    wanted_text,
)
from kernelwright.agents.model_server.schemas import schema_problem
from kernelwright.agents.model_server.script import Provider
from kernelwright.agents.model_server.splitting import split
from kernelwright.agents.models.protocol import Usage

__all__ = ["AnthropicWire"]

KNOWN = frozenset(
    [
        "max_tokens",
        "messages",
        "model",
        "cache_control",
        "container",
        "diagnostics",
        "inference_geo",
        "metadata",
        "output_config",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    ]
)
"""Of `MessageCreateParams` in the SDK, version 2.12, and three that it knew before."""
EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
MOST_MARKS = 4
"""Cache breakpoints of a request (Anthropic's documentation of prompt caching)."""
SMALLEST_THINKING = 1024
"""Tokens of `thinking.budget_tokens` (the SDK's `ThinkingConfigEnabledParam`)."""
KINDS = {
    "invalid": "invalid_request_error",
    "key": "authentication_error",
    "missing": "not_found_error",
    "model": "not_found_error",
    "too_large": "request_too_large",
    "rate_limit": "rate_limit_error",
    "overloaded": "overloaded_error",
    "server": "api_error",
}
STOPS = {"end": "end_turn", "length": "max_tokens", "tool": "tool_use", "refusal": "refusal"}


class AnthropicWire:
    """`POST /v1/messages`."""

    provider: Provider = "anthropic"

    def request_id_header(self) -> str:
        return "request-id"

    def check_key(self, headers: Mapping[str, str]) -> None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not headers.get("x-api-key", "").strip() and not (scheme.lower() == "bearer" and token.strip()):
            raise Refused(401, "x-api-key header is required", kind="key")
        if not headers.get("anthropic-version", "").strip():
            raise Refused(400, "anthropic-version: header is required")

    def read(self, body: Mapping[str, Any], body_hash: str) -> Asked:
        refuse_unknown(body, KNOWN)
        model = wanted_text(body, "model")
        if "max_tokens" not in body:
            raise Refused(400, "max_tokens: Field required", field="max_tokens")
        limit = positive(body, "max_tokens")
        messages = list_of_objects(body, "messages")
        if not messages:
            raise Refused(400, "messages: at least one message is required", field="messages")
        users = []
        for index, message in enumerate(messages):
            role = message.get("role")
            if role not in ("user", "assistant"):
                raise Refused(400, f"messages.{index}.role: expected 'user' or 'assistant', found {role!r}")
            text = text_of(message.get("content"), f"messages.{index}.content")
            if not text.strip() and index < len(messages) - 1:
                raise Refused(400, f"messages.{index}: text content blocks must be non-empty")
            if role == "user":
                users.append(text)
        if messages[0]["role"] != "user":
            raise Refused(400, 'messages: first message must use the "user" role', field="messages")
        system = text_of(body.get("system"), "system")
        shows = _thinking(body, limit or 0)
        parts = tuple(_parts(body))
        if body.get("cache_control") is not None and parts:
            parts = (*parts[:-1], replace(parts[-1], marked=True))
        marks = sum(part.marked for part in parts)
        if marks > MOST_MARKS:
            raise Refused(400, f"A maximum of {MOST_MARKS} blocks with cache_control may be provided. Found {marks}.")
        return Asked(
            provider=self.provider,
            model=model,
            system=system,
            prompt="\n\n".join(
                text for text in (system, *(text_of(m.get("content"), "content") for m in messages)) if text
            ),
            user=users[-1],
            parts=parts,
            schema=_schema(body.get("output_config")),
            tools=_tools(body),
            stream=boolean(body, "stream"),
            stream_usage=True,
            max_output=limit,
            shows_reasoning=shows,
            fields=frozenset(body),
            body_hash=body_hash,
        )

    def error(self, problem: Refused, request_id: str) -> bytes:
        error = {"type": KINDS[problem.kind], "message": problem.message}
        return _json({"type": "error", "error": error, "request_id": request_id})

    def whole(self, asked: Asked, answer: Answer) -> Piece:
        value = self._message(asked, answer)
        for block in _blocks(asked, answer):
            value["content"].append(block)
        value.update(_stop(answer))
        if answer.tells_usage:
            value["usage"] = _usage(answer.usage)
        return Piece(_json(value), answer.text, answer.usage if answer.tells_usage else None)

    def events(self, asked: Asked, answer: Answer) -> list[Piece]:
        start = self._message(asked, answer)
        told = None
        if answer.tells_usage:
            told = Usage(
                answer.usage.input_tokens, answer.usage.cache_read_tokens, answer.usage.cache_write_tokens, 1, 0
            )
            start["usage"] = _usage(told)
        pieces = [
            Piece(_sse("message_start", {"message": start}), usage=told),
            Piece(_sse("ping", {})),
        ]
        for index, block in enumerate(_blocks(asked, answer)):
            pieces += _block_events(index, block)
        end: dict[str, Any] = {"delta": _stop(answer)}
        if answer.tells_usage:
            end["usage"] = _usage(answer.usage)
        said = answer.text if answer.stop == "refusal" else ""
        pieces.append(Piece(_sse("message_delta", end), said, answer.usage if answer.tells_usage else None))
        pieces.append(Piece(_sse("message_stop", {})))
        return pieces

    def _message(self, asked: Asked, answer: Answer) -> dict[str, Any]:
        return {
            "id": f"msg_{answer.number:08d}",
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }


def _stop(answer: Answer) -> dict[str, Any]:
    stop: dict[str, Any] = {"stop_reason": STOPS[answer.stop], "stop_sequence": None}
    if answer.stop == "refusal":
        stop["stop_details"] = {"type": "refusal", "category": None, "explanation": answer.text}
    return stop


def _blocks(asked: Asked, answer: Answer) -> Iterator[dict[str, Any]]:
    if answer.reasoning and asked.shows_reasoning:
        yield {"type": "thinking", "thinking": answer.reasoning, "signature": f"signature-{answer.number:08d}"}
    if answer.text and answer.stop != "refusal":
        yield {"type": "text", "text": answer.text}
    if answer.tool:
        name, arguments = answer.tool
        yield {"type": "tool_use", "id": f"toolu_{answer.number:08d}", "name": name, "input": json.loads(arguments)}


def _block_events(index: int, block: dict[str, Any]) -> Iterator[Piece]:
    def delta(value: dict[str, Any], text: str = "") -> Piece:
        return Piece(_sse("content_block_delta", {"index": index, "delta": value}), text)

    empty: dict[str, dict[str, Any]] = {
        "thinking": {"thinking": "", "signature": ""},
        "text": {"text": ""},
        "tool_use": {"input": {}},
    }
    started = {**block, **empty[block["type"]]}
    yield Piece(_sse("content_block_start", {"index": index, "content_block": started}))
    if block["type"] == "thinking":
        yield from (delta({"type": "thinking_delta", "thinking": part}) for part in split(block["thinking"]))
        yield delta({"type": "signature_delta", "signature": block["signature"]})
    elif block["type"] == "text":
        yield from (delta({"type": "text_delta", "text": part}, part) for part in split(block["text"]))
    else:
        for part in split(json.dumps(block["input"])):
            yield delta({"type": "input_json_delta", "partial_json": part})
    yield Piece(_sse("content_block_stop", {"index": index}))


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def _thinking(body: Mapping[str, Any], limit: int) -> bool:
    """Whether the reply shows what the model thought."""
    given = body.get("thinking")
    if given is None:
        return False
    kinds = ("enabled", "adaptive", "disabled", "between_tools")
    if not isinstance(given, dict) or given.get("type") not in kinds:
        raise Refused(400, f"thinking.type: expected one of {', '.join(kinds)}", field="thinking")
    if given["type"] == "enabled":
        budget = given.get("budget_tokens")
        if not isinstance(budget, int) or isinstance(budget, bool) or budget < SMALLEST_THINKING:
            raise Refused(400, f"thinking.enabled.budget_tokens: expected at least {SMALLEST_THINKING}")
        if budget >= limit:
            raise Refused(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
    on = given["type"] != "disabled"
    if on and body.get("temperature") not in (None, 1):
        raise Refused(400, "`temperature` may only be set to 1 when thinking is enabled.")
    return on and given.get("display") != "omitted"


def _schema(given: object) -> str:
    if given is None:
        return ""
    if not isinstance(given, dict):
        raise Refused(400, "output_config: expected an object")
    effort = given.get("effort")
    if effort is not None and effort not in EFFORTS:
        raise Refused(400, f"output_config.effort: expected one of {', '.join(sorted(EFFORTS))}")
    shape = given.get("format")
    if shape is None:
        return ""
    if not isinstance(shape, dict) or shape.get("type") != "json_schema":
        raise Refused(400, "output_config.format.type: expected 'json_schema'")
    problem = schema_problem(shape.get("schema"), all_required=False, no_bounds=True)
    if problem:
        raise Refused(400, f"output_config.format.{problem}")
    return json.dumps(shape["schema"])


def _tools(body: Mapping[str, Any]) -> frozenset[str]:
    names = []
    for index, tool in enumerate(list_of_objects(body, "tools")):
        if not isinstance(tool.get("name"), str):
            raise Refused(400, f"tools.{index}.name: Field required")
        names.append(tool["name"])
    return frozenset(names)


def _parts(body: Mapping[str, Any]) -> Iterator[Part]:
    """The prompt as the cache sees it: tools, system, messages."""
    for tool in list_of_objects(body, "tools"):
        yield Part(json.dumps(tool, sort_keys=True), "cache_control" in tool)
    contents = [body.get("system"), *(message.get("content") for message in body["messages"])]
    for content in contents:
        for block in content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []:
            mark = block.get("cache_control")
            if mark is not None and (not isinstance(mark, dict) or mark.get("type") != "ephemeral"):
                raise Refused(400, "cache_control.type: expected 'ephemeral'")
            yield Part(text_of([block], "content"), mark is not None)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _sse(event: str, value: Mapping[str, Any]) -> bytes:
    return b"event: " + event.encode() + b"\ndata: " + _json({"type": event, **value}) + b"\n\n"
