"""A conversation with a model about one thing: asked once, and again where the reply can't be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kernelwright.agents.llm.templates import CHARACTERS, Prompt, follow_up
from kernelwright.agents.llm.text import shown
from kernelwright.agents.models.protocol import Message, ModelClient, Place, Reasoning, Reply, Request

__all__ = ["Conversation", "Options"]

_MOST_OF_A_REPLY = 20_000  # characters shown to its author again
_ROOM_FOR_A_PROBLEM = 1_600
_LEAST = 512


@dataclass(frozen=True)
class Options:
    """How a model is asked; None leaves it to the model's default."""

    reasoning: Reasoning | None = None
    temperature: float | None = None
    max_output_tokens: int = 16_384


class Conversation:
    """One conversation; each request has the place after the one before.

    Args:
        number: of the attempt that pays for it.
        role: who asks, as `Place` has it.
        again: the prompt for asking again, for instance `coder/unusable`.
        tries: how often it may be asked in all; the room for replies is shared out among them.
    """

    def __init__(
        self, model: ModelClient, prompt: Prompt, number: int, role: str, options: Options,
        *, again: str = "", tries: int = 1, schema: Mapping[str, Any] | None = None, schema_name: str = "reply",
    ) -> None:  # fmt: skip
        self.model, self.number, self.role, self.options = model, number, role, options
        self.prompt, self.again_with, self.tries = prompt, again, tries
        self.schema, self.schema_name = schema, schema_name
        self.messages = [Message("system", prompt.system, cache=True), Message("user", prompt.user)]
        self.turn = 0
        self.last: Reply | None = None

    def ask(self) -> Reply:
        """Asks.

        Raises:
            ModelError: no reply came, or the budget does not allow the call.
        """
        self.last = self.model.complete(
            Request(
                messages=tuple(self.messages),
                place=Place(self.number, self.role, self.turn),
                prompt=self.prompt.name,
                max_output_tokens=self.options.max_output_tokens,
                reasoning=self.options.reasoning,
                temperature=self.options.temperature,
                schema=self.schema,
                schema_name=self.schema_name,
            )
        )
        return self.last

    def ask_again(self, problem: str) -> Reply:
        """Says why the last reply can't be used, and asks for another; raises as `ask` does."""
        assert self.last is not None
        self.turn += 1
        self.prompt = follow_up(self.again_with, {"problem": problem})
        left = CHARACTERS - sum(len(message.text) for message in self.messages)
        share = left // max(1, self.tries - self.turn) - _ROOM_FOR_A_PROBLEM
        reply = shown(self.last.text.strip(), max(_LEAST, min(_MOST_OF_A_REPLY, share)))
        self.messages += [Message("assistant", reply or "(no text)"), Message("user", self.prompt.user)]
        return self.ask()
