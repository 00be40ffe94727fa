"""Messages: Anthropic's models."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kernelwright.agents.models.failures import broken, failure_of, said
from kernelwright.agents.models.protocol import Message, Reply, Request, Usage
from kernelwright.agents.models.provider import Answer, Patience, Pieces, Provider
from kernelwright.agents.models.wire import count, is_count, mapping, mappings, text

if TYPE_CHECKING:
    import httpx2

__all__ = ["AnthropicClient"]

_STOPS = {"end_turn": "end", "stop_sequence": "end", "max_tokens": "length", "model_context_window_exceeded": "length"}
_LEAST_THINKING = 1024
"""Tokens; the least `budget_tokens` that the interface takes."""
_THINKING_SHARE = {"low": 8, "medium": 4, "high": 2}
"""Which part of the output tokens an older model may think with: one in so many."""
_ABOUT_FORMAT = re.compile(r"output_config(?!\.(?!format))|output_format|json_schema|structured output")
"""What a refusal of a schema names; one of thinking names `output_config.effort` as the way to go."""
_ABOUT_THINKING = re.compile("thinking|effort|adaptive|budget_tokens|output_config")
_MOST_MARKS = 4
"""Cache marks that a request may have."""


class AnthropicClient(Provider):
    """One model behind ``/v1/messages``.

    Models differ in how they are told to think, and refuse what they don't know with a 400 that names it; the next way of
    saying it is then taken, and remembered.

    Args:
        model: as the server calls it.
        http: as `kernelwright.agents.models.transport.http_client` makes it.
        base_url: None for Anthropic, or what ANTHROPIC_BASE_URL says.
    """

    def __init__(
        self,
        name: str,
        model: str,
        *,
        key: str,
        http: httpx2.Client,
        gate: threading.Semaphore,
        base_url: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        from anthropic import Anthropic

        super().__init__(name, gate=gate, patience=patience, secrets=[key])
        self._model = model
        # retries are `Provider`'s: each try is metered by itself
        self._sdk = Anthropic(api_key=key, base_url=base_url, http_client=http, timeout=http.timeout, max_retries=0)
        self._unknown: set[str] = set()
        self._way = {False: 0, True: 0}
        """Which of `_ways` this model takes for not thinking and for thinking; those before it were refused."""

    def close(self) -> None:
        """Closes its connections."""
        self._sdk.close()

    def parameters(self, request: Request) -> dict[str, Any]:
        """The body of the request, as far as the server has not refused parts of it."""
        system = [message for message in request.messages if message.role == "system"]
        turns = [message for message in request.messages if message.role != "system"]
        marked = [message for message in request.messages if message.cache][-_MOST_MARKS:]
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": request.max_output_tokens,
            "messages": [{"role": turn.role, "content": [_block(turn, marked)]} for turn in turns],
            "stream": True,
        }
        if system:
            body["system"] = [_block(message, marked) for message in system]
        config: dict[str, Any] = {}
        if request.reasoning is not None:
            ways = _ways(request.reasoning, request.max_output_tokens)
            thinking, effort = ways[min(self._way[request.reasoning != "none"], _WAYS - 1)]
            if thinking is not None:
                body["thinking"] = thinking
            if effort is not None:
                config["effort"] = effort
        if request.schema is not None and "schema" not in self._unknown:
            config["format"] = {"type": "json_schema", "schema": dict(request.schema)}
        if config:
            body["output_config"] = config
        if request.temperature is not None and "temperature" not in self._unknown:
            body["extra_body"] = {"temperature": request.temperature}  # older models' only: the SDK has left it out
        return body

    def _ask(self, request: Request) -> Answer:
        from anthropic import APIStatusError

        while True:
            tried = dict(self._way)
            body = self.parameters(request)
            try:
                return self._exchange(body)
            except APIStatusError as error:
                if error.status_code == 400 and self._do_without(said(error, ()), body, request, tried):
                    continue
                raise failure_of(error, self.name, begun=False, usage=None, secrets=self._secrets) from None

    def _exchange(self, body: dict[str, Any]) -> Answer:
        from anthropic import APIStatusError

        heard: _Heard | None = None
        try:
            with self._sdk.messages.create(**body) as stream:
                heard = _Heard(self.name)
                kind = stream.response.headers.get("content-type", "")
                if "json" in kind:  # a server that does not stream
                    stream.response.read()
                    heard.whole_message(stream.response.json())
                else:
                    for event in stream:
                        heard.take(event.model_dump(mode="python", warnings=False))
                        if heard.pieces.full:
                            break
                return heard.answer(kind)
        except Exception as error:
            if heard is None and isinstance(error, APIStatusError):
                raise
            if heard is not None and heard.ended:
                return heard.answer("")
            raise failure_of(
                error,
                self.name,
                begun=heard is not None,
                usage=heard.usage if heard else None,
                secrets=self._secrets,
            ) from None

    def _do_without(self, words: str, body: dict[str, Any], request: Request, tried: dict[bool, int]) -> bool:
        """Whether something that the server refused is now said in another way, so that asking again is worth it."""
        if "extra_body" in body and "temperature" in words:
            self._unknown.add("temperature")
            return True
        config = body.get("output_config", {})
        if "format" in config and _ABOUT_FORMAT.search(words):
            self._unknown.add("schema")
            return True
        if request.reasoning is not None and _ABOUT_THINKING.search(words):
            to_think = request.reasoning != "none"
            self._way[to_think] = max(self._way[to_think], tried[to_think] + 1)  # another thread may be further
            return self._way[to_think] < _WAYS
        return False


_WAYS = 4


def _ways(reasoning: str, output_tokens: int) -> list[tuple[dict[str, Any] | None, str | None]]:
    """Ways to say how much to think, as (`thinking`, effort), the one of the newest models first.

    Models of 2026 take an effort with adaptive thinking; of those, some can't be told not to think, others want
    `between_tools` for it. Older ones take a budget of tokens or nothing.
    """
    if reasoning == "none":
        return [({"type": "disabled"}, None), ({"type": "between_tools"}, None), (None, "low"), (None, None)]
    budget = max(_LEAST_THINKING, output_tokens // _THINKING_SHARE[reasoning])
    by_budget = {"type": "enabled", "budget_tokens": budget} if budget < output_tokens else None
    return [({"type": "adaptive"}, reasoning), (by_budget, None), (None, reasoning), (None, None)]


def _block(message: Message, marked: list[Message]) -> dict[str, Any]:
    # an empty text is refused, and so is a mark on one
    block: dict[str, Any] = {"type": "text", "text": message.text or " "}
    if message.text and any(message is one for one in marked):
        block["cache_control"] = {"type": "ephemeral"}
    return block


@dataclass
class _Heard:
    """What has been heard of one reply."""

    name: str
    model: str = ""
    request_id: str = ""
    stop: str = ""
    ended: bool = False
    usage: Usage | None = None
    metered: bool = False
    events: int = 0
    pieces: Pieces = field(default_factory=Pieces)

    def take(self, event: object) -> None:
        """Takes one event of the stream."""
        if not isinstance(event, dict):
            raise ValueError("it is no JSON object")
        self.events += 1
        kind = event.get("type")
        if kind == "message_start":
            message = mapping(event.get("message"))
            self.model, self.request_id = text(message.get("model")), text(message.get("id"))
            self._meter(mapping(message.get("usage")))
        elif kind == "content_block_start":
            self._block(mapping(event.get("content_block")))
        elif kind == "content_block_delta":
            self._block(mapping(event.get("delta")))
        elif kind == "message_delta":
            self.stop = text(mapping(event.get("delta")).get("stop_reason")) or self.stop
            given = mapping(event.get("usage"))
            self._meter(given)
            self.metered = is_count(given.get("output_tokens"))
        elif kind == "message_stop":
            self.ended = bool(self.stop)

    def whole_message(self, message: object) -> None:
        """Takes the body of a server that does not stream."""
        if not isinstance(message, dict):
            raise ValueError("it is no JSON object")
        self.events += 1
        self.model, self.request_id = text(message.get("model")), text(message.get("id"))
        for block in mappings(message.get("content")):
            self._block(block)
        self.stop = text(message.get("stop_reason"))
        given = mapping(message.get("usage"))
        self._meter(given)
        self.metered = is_count(given.get("output_tokens"))
        self.ended = bool(self.stop)

    def answer(self, kind: str) -> Answer:
        """The reply, once the stream has ended.

        Raises:
            TryFailed: the server stopped before the end.
        """
        if not self.ended and not self.pieces.full:
            if self.events == 0 and "event-stream" not in kind:
                raise broken(self.name, f"the server answered no message but {kind or 'something else'}", charged=False)
            raise broken(self.name, "the reply stopped before its end", self.usage)
        reply = Reply(
            text=self.pieces.text,
            usage=self.usage if self.usage and self.metered else Usage(),
            stop_reason="length" if self.pieces.full else _STOPS.get(self.stop, self.stop),
            model=self.model,
            request_id=self.request_id,
            reasoning=self.pieces.reasoning,
        )
        return Answer(reply, metered=self.metered and self.usage is not None)

    def _block(self, block: dict[str, Any]) -> None:
        self.pieces.add(block.get("text"), block.get("thinking"))

    def _meter(self, given: dict[str, Any]) -> None:
        """The figures of a later event are cumulative, and leave out what has not changed."""
        before = self.usage or Usage()

        def figure(key: str, known: int) -> int:
            return count(given[key]) if is_count(given.get(key)) else known

        details = mapping(given.get("output_tokens_details"))
        if given:
            output = figure("output_tokens", before.output_tokens)
            self.usage = Usage(
                input_tokens=figure("input_tokens", before.input_tokens),
                cache_read_tokens=figure("cache_read_input_tokens", before.cache_read_tokens),
                cache_write_tokens=figure("cache_creation_input_tokens", before.cache_write_tokens),
                output_tokens=output,
                reasoning_tokens=min(count(details.get("thinking_tokens")), output),
            )
