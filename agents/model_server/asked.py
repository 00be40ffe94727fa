"""What both wire protocols are translated to and from: Asked (a request), Answer (what is said), Piece (bytes on the wire)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from kernelwright.agents.model_server.script import Provider, ScriptedReply
from kernelwright.agents.models.protocol import Usage

__all__ = ["Answer", "Asked", "Part", "Piece", "Refused", "Wire", "answer_to", "tokens"]

BYTES_PER_TOKEN = 4


def tokens(text: str) -> int:
    """Tokens that a text counts for: one for each 4 bytes of UTF-8, rounded up."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


@dataclass(frozen=True)
class Part:
    """A part of the prompt, in the order in which a provider's cache sees them."""

    text: str
    marked: bool
    """Whether the prompt up to here may be kept in the cache."""


@dataclass(frozen=True)
class Asked:
    """A request, whichever protocol it came by."""

    provider: Provider
    model: str
    system: str
    prompt: str
    """All texts of the prompt, system message first, with an empty line between two."""
    user: str
    """The last message of the user's."""
    parts: tuple[Part, ...]
    schema: str
    """Name and JSON text of the schema that the reply is to follow; empty without one."""
    tools: frozenset[str]
    stream: bool
    stream_usage: bool
    """Whether the stream is to end with the usage."""
    max_output: int | None
    """Tokens of output at most."""
    shows_reasoning: bool
    fields: frozenset[str]
    """Names of the fields of the request's body."""
    body_hash: str
    """SHA-256 of the body's bytes, in hex."""


@dataclass(frozen=True)
class Answer:
    """What the model says."""

    text: str
    usage: Usage
    stop: str
    """`end`, `length` (cut off at the limit), `tool`, or `refusal`."""
    number: int
    """Of the request, for the names of things in the reply."""
    reasoning: str = ""
    tool: tuple[str, str] | None = None
    """Name, and arguments as JSON text."""
    tells_usage: bool = True


@dataclass(frozen=True)
class Piece:
    """Bytes that are sent in one go."""

    data: bytes
    text: str = ""
    """What of the answer's text is in them."""
    usage: Usage | None = None
    """What they say of the usage."""


class Refused(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, status: int, message: str, *, kind: str = "invalid", field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        """`invalid`, `key`, `missing`, `model`, `too_large`, `rate_limit`, `overloaded` or `server`."""
        self.field = field


class Wire(Protocol):
    """One provider's protocol."""

    provider: Provider

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Raises `Refused` unless the headers, with names in small letters, have what the provider asks for."""
        ...

    def read(self, body: Mapping[str, Any], body_hash: str) -> Asked:
        """Raises `Refused` for a request that the provider would refuse."""
        ...

    def error(self, problem: Refused, request_id: str) -> bytes:
        """The body of an error."""
        ...

    def whole(self, asked: Asked, answer: Answer) -> Piece:
        """The reply as one JSON body."""
        ...

    def events(self, asked: Asked, answer: Answer) -> Sequence[Piece]:
        """The reply as server-sent events, one a piece."""
        ...

    def request_id_header(self) -> str:
        """The name of the header that names the request."""
        ...


def answer_to(asked: Asked, reply: ScriptedReply, number: int, cached: tuple[int, int]) -> Answer:
    """What an entry of the script says to a request: counted, and cut off where the request asks for no more.

    Args:
        cached: tokens of the prompt that were read from the cache, and written to it.
    """
    import json

    tool = (reply.tool.name, json.dumps(reply.tool.arguments)) if reply.tool else None
    said = reply.usage
    counted = max(1, tokens(reply.reasoning) + tokens(reply.text) + (tokens("".join(tool)) if tool else 0))
    output = counted if said.output is None else said.output
    thought = tokens(reply.reasoning) if said.reasoning is None else said.reasoning
    if said.input is None:
        read, write = (
            (cached[0] if said.cache_read is None else said.cache_read),
            (cached[1] if said.cache_write is None else said.cache_write),
        )
        plain = max(0, tokens(asked.prompt) - read - write)
    else:
        plain, read, write = said.input, said.cache_read or 0, said.cache_write or 0
    answer = Answer(
        text=reply.text,
        usage=Usage(plain, read, write, output, min(thought, output)),
        stop="tool" if tool else "end",
        number=number,
        reasoning=reply.reasoning,
        tool=tool,
    )
    if asked.max_output is None or output <= asked.max_output:
        return answer
    return _cut(answer, asked.max_output)


def _cut(answer: Answer, limit: int) -> Answer:
    """The answer as the limit leaves it: reasoning comes first, and a tool call is left out."""
    share = limit / answer.usage.output_tokens
    thought = min(answer.usage.reasoning_tokens, limit)
    raw = (answer.reasoning + answer.text).encode("utf-8", "surrogatepass")
    kept = raw[: int(len(raw) * share)].decode("utf-8", "ignore")
    return replace(
        answer,
        reasoning=kept[: len(answer.reasoning)],
        text=kept[len(answer.reasoning) :],
        tool=None,
        stop="length",
        usage=replace(answer.usage, output_tokens=limit, reasoning_tokens=thought),
    )
