"""The seam between agents and language models: a Request goes in, a Reply comes out, with what it used.

`ModelClient` is what a provider's client is, and also what wraps one (`kernelwright.agents.models.paid` meters, stores and
limits the calls of another client), so an agent never knows which of them it talks to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

__all__ = ["Message", "ModelClient", "Place", "Reply", "Request", "Usage"]

Role = Literal["system", "user", "assistant"]
Reasoning = Literal["none", "low", "medium", "high"]


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: Role
    text: str
    cache: bool = False
    """Whether all up to here is worth caching at the provider: the next request begins with the same."""


@dataclass(frozen=True)
class Place:
    """Where in a run a call belongs; no two calls of a run have the same place.

    A run that is gone on with comes by the same places again. A call that was answered there is not paid a second time,
    whatever the prompt looks like now.
    """

    attempt: int
    """1-based number of the attempt that pays for it."""
    role: str
    """Who asks: `coder`, `judge`, or a verifier of proposals (`votes/compile`, ...)."""
    turn: int = 0
    """0 for the first call, 1 and more where a reply could not be used and was asked for again."""

    def __str__(self) -> str:
        return f"{self.attempt}/{self.role}/{self.turn}"


@dataclass(frozen=True)
class Request:
    """What is asked of a model."""

    messages: tuple[Message, ...]
    """At most one `system`, first; then `user` and `assistant` in turn, the last one `user`."""
    place: Place
    prompt: str
    """The template that made it and its version, for instance ``coder/start@1f0c9a2b``."""
    max_output_tokens: int = 16_384
    """Reasoning tokens count too, as they do at the providers."""
    reasoning: Reasoning | None = None
    """None is the model's own default."""
    temperature: float | None = None
    schema: Mapping[str, Any] | None = field(default=None, hash=False)
    """A JSON schema that the reply is to follow, where the server can hold a model to one; the reply is parsed all the same."""
    schema_name: str = "reply"


@dataclass(frozen=True)
class Usage:
    """Tokens of one call, as the server reported them. No token is counted in two of the first four."""

    input_tokens: int = 0
    """Neither read from a cache nor written to one."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    """With those spent on reasoning."""
    reasoning_tokens: int = 0
    """Of the output tokens; 0 where the server does not say."""


@dataclass(frozen=True)
class Reply:
    """What came back."""

    text: str
    usage: Usage
    stop_reason: str
    """`end`, `length` (cut off at the limit), `refusal`, or the server's own word."""
    model: str
    """The model that answered, as the server calls it."""
    request_id: str = ""
    reasoning: str = ""
    """What the model showed of its reasoning, if anything."""
    seconds: float = 0.0
    """Wall time of the call, with its retries."""


class ModelClient(Protocol):
    """A model that can be asked. Several threads may ask at once."""

    name: str
    """As a person named it: ``openai:NAME``, ``anthropic:NAME``, ``http://host:port/v1#NAME``."""

    def complete(self, request: Request) -> Reply:
        """Asks, and waits for the whole reply.

        Raises:
            ModelError: no reply came, after all retries.
            BudgetReached: the call could pass the budget, and was not made.
        """
        ...
