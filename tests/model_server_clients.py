"""The SDKs of OpenAI and Anthropic, pointed at a scripted server, and what a reply comes down to."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

from anthropic import Anthropic
from openai import OpenAI

from kernelwright.agents.model_server import ScriptedServer
from kernelwright.agents.models.protocol import Usage

KEY = "sk-canary-4f1d9b"
SECONDS = 20.0


@dataclass(frozen=True)
class Heard:
    """What a client made of a reply."""

    text: str
    stop: str | None
    usage: Usage | None
    refusal: str = ""
    reasoning: str = ""
    tool: tuple[str, Any] | None = None


class Clients:
    """Both SDKs, without retries of their own."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.openai = OpenAI(api_key=KEY, base_url=server.openai_url, max_retries=0, timeout=SECONDS)
        self.anthropic = Anthropic(api_key=KEY, base_url=server.anthropic_url, max_retries=0, timeout=SECONDS)

    def __enter__(self) -> Clients:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.openai.close()
        self.anthropic.close()

    def ask(self, provider: str, prompt: str = "Write a kernel.", *, stream: bool = False, **more: Any) -> Heard:
        """Asks with one message of the user's."""
        messages = [{"role": "user", "content": prompt}]
        if provider == "openai":
            return self._openai(messages, stream, {"model": "gpt-5", **more})
        return self._anthropic(messages, stream, {"model": "claude-opus-4-5", "max_tokens": 100_000, **more})

    def _openai(self, messages: list[Any], stream: bool, more: dict[str, Any]) -> Heard:
        create = self.openai.chat.completions.create
        if not stream:
            reply = create(messages=messages, **more)
            (choice,) = reply.choices
            calls = choice.message.tool_calls or []
            tool = (calls[0].function.name, calls[0].function.arguments) if calls else None
            return Heard(
                choice.message.content or "",
                choice.finish_reason,
                openai_usage(reply.usage),
                choice.message.refusal or "",
                tool=tool,
            )
        text = refusal = name = arguments = ""
        stop, usage = None, None
        more = {"stream_options": {"include_usage": True}, **more}
        with create(messages=messages, stream=True, **more) as chunks:
            for chunk in chunks:
                usage = openai_usage(chunk.usage) or usage
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    refusal += choice.delta.refusal or ""
                    stop = choice.finish_reason or stop
                    for call in choice.delta.tool_calls or []:
                        name += call.function.name or ""
                        arguments += call.function.arguments or ""
        return Heard(text, stop, usage, refusal, tool=(name, arguments) if name else None)

    def _anthropic(self, messages: list[Any], stream: bool, more: dict[str, Any]) -> Heard:
        if not stream:
            return heard_message(self.anthropic.messages.create(messages=messages, **more))
        with self.anthropic.messages.stream(messages=messages, **more) as events:
            return heard_message(events.get_final_message())


def heard_message(message: Any) -> Heard:
    """What a message of Anthropic's says."""
    blocks = {block.type: block for block in message.content}
    tool = blocks.get("tool_use")
    details = getattr(message, "stop_details", None)
    return Heard(
        blocks["text"].text if "text" in blocks else "",
        message.stop_reason,
        anthropic_usage(message.usage),
        (details.explanation or "") if details else "",
        blocks["thinking"].thinking if "thinking" in blocks else "",
        (tool.name, tool.input) if tool else None,
    )


def openai_usage(usage: Any) -> Usage | None:
    if usage is None:
        return None
    cached = usage.prompt_tokens_details.cached_tokens
    written = usage.prompt_tokens_details.cache_write_tokens or 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return Usage(
        usage.prompt_tokens - cached - written,
        cached,
        written,
        usage.completion_tokens,
        usage.completion_tokens_details.reasoning_tokens,
    )


def anthropic_usage(usage: Any) -> Usage | None:
    if usage is None:
        return None
    return Usage(
        usage.input_tokens,
        usage.cache_read_input_tokens,
        usage.cache_creation_input_tokens,
        usage.output_tokens,
        usage.output_tokens_details.thinking_tokens,
    )
