"""OpenAI's protocol: chat completions, as https://platform.openai.com/docs/api-reference/chat and the openai SDK have it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
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

__all__ = ["OpenAIWire"]

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
KNOWN = frozenset(
    [
        "messages",
        "model",
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "modalities",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    ]
)
"""Of `CompletionCreateParams` in the SDK, version 3.54."""
KINDS = {
    "invalid": ("invalid_request_error", None),
    "key": ("invalid_request_error", "invalid_api_key"),
    "missing": ("invalid_request_error", "unknown_url"),
    "model": ("invalid_request_error", "model_not_found"),
    "too_large": ("invalid_request_error", None),
    "rate_limit": ("requests", "rate_limit_exceeded"),
    "overloaded": ("server_error", "overloaded"),
    "server": ("server_error", None),
}
STOPS = {"end": "stop", "length": "length", "tool": "tool_calls", "refusal": "stop"}


class OpenAIWire:
    """`POST /v1/chat/completions`."""

    provider: Provider = "openai"

    def __init__(self, created: int) -> None:
        """`created`: Unix time, in seconds, that replies carry."""
        self._created = created

    def request_id_header(self) -> str:
        return "x-request-id"

    def check_key(self, headers: Mapping[str, str]) -> None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Refused(401, "No API key was given. Send it as 'Authorization: Bearer KEY'.", kind="key")

    def read(self, body: Mapping[str, Any], body_hash: str) -> Asked:
        refuse_unknown(body, KNOWN)
        model = wanted_text(body, "model")
        messages = list_of_objects(body, "messages")
        if not messages:
            raise Refused(400, "Invalid 'messages': expected at least one message.", field="messages")
        texts: list[tuple[str, str]] = []
        for index, message in enumerate(messages):
            role = message.get("role")
            if not isinstance(role, str) or role not in ROLES:
                place = f"messages[{index}].role"
                raise Refused(400, f"Invalid value: {role!r}. Supported: {sorted(ROLES)}.", field=place)
            texts.append((role, text_of(message.get("content"), f"messages[{index}].content")))
        effort = body.get("reasoning_effort")
        if effort is not None and effort not in EFFORTS:
            raise Refused(400, f"Invalid value: {effort!r}.", field="reasoning_effort")
        _check_number(body, "temperature", 2.0)
        stream = boolean(body, "stream")
        options = body.get("stream_options")
        if options is not None and not (isinstance(options, dict) and stream):
            raise Refused(400, "'stream_options' is only allowed when 'stream' is true.", field="stream_options")
        return Asked(
            provider=self.provider,
            model=model,
            system="\n\n".join(text for role, text in texts if role in ("system", "developer")),
            prompt="\n\n".join(text for _, text in texts),
            user=next((text for role, text in reversed(texts) if role == "user"), ""),
            parts=tuple(Part(text, True) for _, text in texts),
            schema=_schema(body.get("response_format")),
            tools=_tools(body),
            stream=stream,
            stream_usage=bool(options and boolean(options, "include_usage")),
            max_output=positive(body, "max_completion_tokens") or positive(body, "max_tokens"),
            shows_reasoning=False,
            fields=frozenset(body),
            body_hash=body_hash,
        )

    def error(self, problem: Refused, request_id: str) -> bytes:
        kind, code = KINDS[problem.kind]
        return _json({"error": {"message": problem.message, "type": kind, "param": problem.field, "code": code}})

    def whole(self, asked: Asked, answer: Answer) -> Piece:
        refused = answer.stop == "refusal"
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if refused or (answer.tool and not answer.text) else answer.text,
            "refusal": answer.text if refused else None,
            "annotations": [],
        }
        if answer.tool:
            message["tool_calls"] = [_tool_call(answer)]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": STOPS[answer.stop]}
        value = self._envelope(asked, answer, "chat.completion", [choice])
        if answer.tells_usage:
            value["usage"] = _usage(answer.usage)
        return Piece(_json(value), answer.text, answer.usage if answer.tells_usage else None)

    def events(self, asked: Asked, answer: Answer) -> list[Piece]:
        said = "refusal" if answer.stop == "refusal" else "content"
        first: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
        if (answer.tool and not answer.text) or said == "refusal":
            first["content"] = None
        pieces = [self._event(asked, answer, first)]
        pieces += [self._event(asked, answer, {said: part}, text=part) for part in split(answer.text)]
        if answer.tool:
            call = _tool_call(answer)
            arguments = call["function"]["arguments"]
            start = {**call, "index": 0, "function": {**call["function"], "arguments": ""}}
            pieces.append(self._event(asked, answer, {"tool_calls": [start]}))
            pieces += [
                self._event(asked, answer, {"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
                for part in split(arguments)
            ]
        pieces.append(self._event(asked, answer, {}, stop=STOPS[answer.stop]))
        if asked.stream_usage and answer.tells_usage:
            value = self._envelope(asked, answer, "chat.completion.chunk", [])
            pieces.append(Piece(_sse({**value, "usage": _usage(answer.usage)}), usage=answer.usage))
        pieces.append(Piece(b"data: [DONE]\n\n"))
        return pieces

    def _event(
        self, asked: Asked, answer: Answer, delta: Mapping[str, Any], *, text: str = "", stop: str | None = None
    ) -> Piece:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": stop}
        value = self._envelope(asked, answer, "chat.completion.chunk", [choice])
        if asked.stream_usage:
            value["usage"] = None
        return Piece(_sse(value), text)

    def _envelope(self, asked: Asked, answer: Answer, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{answer.number:08d}",
            "object": kind,
            "created": self._created,
            "model": asked.model,
            "choices": choices,
        }


def _tool_call(answer: Answer) -> dict[str, Any]:
    assert answer.tool is not None
    name, arguments = answer.tool
    return {"id": f"call_{answer.number:08d}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _usage(usage: Usage) -> dict[str, Any]:
    """OpenAI counts cached tokens among the prompt's, and reasoning among the completion's."""
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    details = {"cached_tokens": usage.cache_read_tokens, "audio_tokens": 0}
    if usage.cache_write_tokens:
        details["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": 0},
    }


def _schema(given: object) -> str:
    if given is None:
        return ""
    place = "response_format"
    if not isinstance(given, dict) or given.get("type") not in ("text", "json_object", "json_schema"):
        raise Refused(400, "Invalid 'response_format': the type is text, json_object or json_schema.", field=place)
    if given["type"] != "json_schema":
        return ""
    inner = given.get("json_schema")
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise Refused(400, "Missing required parameter: 'response_format.json_schema.name'.", field=place)
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", inner["name"]):
        raise Refused(400, "Invalid 'response_format.json_schema.name': letters, digits, _ and -.", field=place)
    if inner.get("strict"):
        problem = schema_problem(inner.get("schema"), all_required=True, no_bounds=False)
        if problem:
            raise Refused(400, f"Invalid schema for response_format '{inner['name']}': {problem}", field=place)
    return f"{inner['name']} {json.dumps(inner.get('schema'))}"


def _tools(body: Mapping[str, Any]) -> frozenset[str]:
    names = []
    for index, tool in enumerate(list_of_objects(body, "tools")):
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict) or not function.get("name"):
            raise Refused(400, f"Invalid 'tools[{index}]': expected a function with a name.", field="tools")
        names.append(str(function["name"]))
    return frozenset(names)


def _check_number(body: Mapping[str, Any], name: str, largest: float) -> None:
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= largest:
        raise Refused(400, f"Invalid value for '{name}': expected a number from 0 to {largest:g}.", field=name)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _sse(value: object) -> bytes:
    return b"data: " + _json(value) + b"\n\n"
