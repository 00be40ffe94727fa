"""Chat completions: OpenAI, and every server that speaks its protocol (vLLM, Ollama, OpenRouter, ...)."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kernelwright.agents.models.failures import broken, failure_of, said
from kernelwright.agents.models.protocol import Reply, Request, Usage
from kernelwright.agents.models.provider import Answer, Patience, Pieces, Provider
from kernelwright.agents.models.wire import count, is_count, mapping, mappings, text

if TYPE_CHECKING:
    import httpx2

__all__ = ["OpenAIClient"]

_STOPS = {"stop": "end", "length": "length", "content_filter": "refusal"}
_NO_KEY = "none"
"""Sent to a server that needs no key: the SDK insists on one."""
_INSTEAD = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""What a parameter is renamed to, where a server does not know it."""


class OpenAIClient(Provider):
    """One model behind ``/chat/completions``.

    A parameter that a 400 names is left out from then on: servers differ in `stream_options`, `response_format`,
    `reasoning_effort`, `temperature` and the name of the output limit.

    Args:
        model: as the server calls it.
        key: empty where the server needs none.
        base_url: None for OpenAI, or what OPENAI_BASE_URL says.
        http: as `kernelwright.agents.models.transport.http_client` makes it.
    """

    def __init__(
        self,
        name: str,
        model: str,
        *,
        key: str,
        base_url: str | None,
        http: httpx2.Client,
        gate: threading.Semaphore,
        patience: Patience | None = None,
    ) -> None:
        from openai import OpenAI

        super().__init__(name, gate=gate, patience=patience, secrets=[key])
        self._model = model
        self._vendor = base_url is None
        # retries are `Provider`'s: each try is metered by itself
        self._sdk = OpenAI(
            api_key=key or _NO_KEY,
            base_url=base_url,
            http_client=http,
            timeout=http.timeout,
            max_retries=0,
            default_headers=None if self._vendor else _own_headers(key or _NO_KEY),
        )
        if not self._vendor:
            self._sdk.organization = self._sdk.project = None
        self._unknown: set[str] = set()
        self._renamed: dict[str, str] = {}

    def close(self) -> None:
        """Closes its connections."""
        self._sdk.close()

    def parameters(self, request: Request) -> dict[str, Any]:
        """The body of the request, as far as the server has not refused parts of it."""
        # OpenAI's reasoning models refuse the old name; some servers ignore the new one, and then nothing bounds the cost
        limit = "max_completion_tokens" if self._vendor else "max_tokens"
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": message.role, "content": message.text} for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            self._renamed.get(limit, limit): request.max_output_tokens,
        }
        if request.reasoning is not None:
            body["reasoning_effort"] = request.reasoning
            if request.reasoning == "none" and "reasoning_effort=none" in self._unknown:
                body["reasoning_effort"] = "low"
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.schema is not None:
            schema = {"name": request.schema_name, "schema": dict(request.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return {key: value for key, value in body.items() if key not in self._unknown}

    def _ask(self, request: Request) -> Answer:
        from openai import APIStatusError

        while True:
            body = self.parameters(request)
            try:
                return self._exchange(body)
            except APIStatusError as error:
                if error.status_code in {400, 422} and self._do_without(said(error, ()), error.param, body):
                    continue
                raise failure_of(error, self.name, begun=False, usage=None, secrets=self._secrets) from None

    def _exchange(self, body: dict[str, Any]) -> Answer:
        from openai import APIStatusError

        heard: _Heard | None = None
        try:
            with self._sdk.chat.completions.create(**body) as stream:
                heard = _Heard(self.name)
                kind = stream.response.headers.get("content-type", "")
                if "json" in kind:  # a server that does not stream
                    heard.take(_json(stream.response), whole=True)
                else:
                    for chunk in stream:
                        heard.take(chunk.model_dump(mode="python", warnings=False))
                        if heard.pieces.full:
                            break
                return heard.answer(kind)
        except Exception as error:
            if heard is None and isinstance(error, APIStatusError):
                raise
            if heard is not None and heard.whole:  # nothing was missing but the figures
                return heard.answer("")
            raise failure_of(
                error,
                self.name,
                begun=heard is not None,
                usage=heard.usage if heard else None,
                secrets=self._secrets,
            ) from None

    def _do_without(self, words: str, parameter: str | None, body: dict[str, Any]) -> bool:
        """Whether something that the server refused is now left out, so that asking again is worth it."""
        named = f"{parameter or ''} {words}"
        for key in ("temperature", "stream_options", "response_format", "reasoning_effort", *_INSTEAD):
            if key not in body or not re.search(rf"(?<![a-z_]){key}(?![a-z_])", named):
                continue
            if key in _INSTEAD:
                instead = _INSTEAD[key]
                if instead in self._renamed or (instead not in words and re.search(r"\d", words)):
                    return False  # it has a figure: the server knows the parameter, and finds its value too large
                self._renamed[key] = instead
            elif key == "reasoning_effort" and body[key] == "none":
                self._unknown.add("reasoning_effort=none")
            else:
                self._unknown.add(key)
            return True
        return False


@dataclass
class _Heard:
    """What has been heard of one reply."""

    name: str
    model: str = ""
    request_id: str = ""
    finish: str = ""
    usage: Usage | None = None
    refused: bool = False
    events: int = 0
    pieces: Pieces = field(default_factory=Pieces)

    @property
    def whole(self) -> bool:
        return bool(self.finish)

    def take(self, chunk: object, *, whole: bool = False) -> None:
        """Takes one event, or with `whole` the body of a server that does not stream."""
        if not isinstance(chunk, dict):
            raise ValueError("it is no JSON object")
        error = chunk.get("error")
        if error:
            raise broken(self.name, f"the server broke its reply off ({str(error)[:200]})", self.usage)
        self.events += 1
        self.model = text(chunk.get("model")) or self.model
        self.request_id = text(chunk.get("id")) or self.request_id
        if isinstance(chunk.get("usage"), dict):
            self.usage = _usage(chunk["usage"])
        for choice in mappings(chunk.get("choices"))[:1]:
            part = mapping(choice.get("message" if whole else "delta"))
            self.pieces.add(part.get("content"), part.get("reasoning_content") or part.get("reasoning"))
            if part.get("refusal"):
                self.refused = True
                self.pieces.add(part["refusal"])
            self.finish = text(choice.get("finish_reason")) or self.finish

    def answer(self, kind: str) -> Answer:
        """The reply, once the stream has ended.

        Raises:
            TryFailed: the server stopped before the end.
        """
        if not self.finish and not self.pieces.full:
            if self.events == 0 and "event-stream" not in kind:
                raise broken(self.name, f"the server answered no message but {kind or 'something else'}", charged=False)
            raise broken(self.name, "the reply stopped before its end", self.usage)
        reply = Reply(
            text=self.pieces.text,
            usage=self.usage or Usage(),
            stop_reason="length"
            if self.pieces.full
            else "refusal"
            if self.refused
            else _STOPS.get(self.finish, self.finish),
            model=self.model,
            request_id=self.request_id,
            reasoning=self.pieces.reasoning,
        )
        return Answer(reply, metered=self.usage is not None)


def _own_headers(key: str) -> dict[str, Any]:
    """What keeps the SDK from sending to another server what the environment has for OpenAI's."""
    from openai import Omit

    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    names = {line.partition(":")[0].strip() for line in lines if ":" in line}
    kept = {name: Omit() for name in names if name.lower() != "authorization"}
    return {**kept, "Authorization": f"Bearer {key}"}


def _usage(given: dict[str, Any]) -> Usage | None:
    """None where the figures are no figures. OpenAI counts cached tokens among those of the prompt."""
    if not is_count(given.get("prompt_tokens")) or not is_count(given.get("completion_tokens")):
        return None
    prompt, output = count(given["prompt_tokens"]), count(given["completion_tokens"])
    details, spent = mapping(given.get("prompt_tokens_details")), mapping(given.get("completion_tokens_details"))
    read = min(count(details.get("cached_tokens")), prompt)
    written = min(count(details.get("cache_write_tokens")), prompt - read)
    return Usage(
        input_tokens=prompt - read - written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=output,
        reasoning_tokens=min(count(spent.get("reasoning_tokens")), output),
    )


def _json(response: httpx2.Response) -> object:
    response.read()
    return response.json()
