"""What was said to language models in an attempt, what they said, and what it cost."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel

from kernelwright.agents.models.calls import Call
from kernelwright.web.views.figures import Text

__all__ = ["CallView", "ConversationView", "conversation_of"]


class MessageView(BaseModel):
    """One message of a prompt."""

    role: str
    text: Text


class CallView(BaseModel):
    """One try at a call."""

    role: str
    """Who asked: `coder`, `judge`, ..."""
    turn: int
    """0, and more where a reply could not be used and was asked for again."""
    model: Text
    answered_by: Text
    """As the server calls the model; empty without a reply."""
    prompt: str
    """The template and its version."""
    messages: list[MessageView]
    reply: Text | None
    reasoning: Text
    stop_reason: str
    error: Text
    input_tokens: int
    """With those read from and written to a cache."""
    cached_tokens: int
    """Of those, read from a cache."""
    output_tokens: int
    reasoning_tokens: int
    """Of the output tokens; 0 where the server does not say."""
    dollars: Decimal
    estimated: bool
    """Whether tokens and dollars are our own upper estimate."""
    seconds: float
    created: datetime


class ConversationView(BaseModel):
    """All calls of an attempt, oldest first."""

    calls: list[CallView]
    dollars: Decimal
    input_tokens: int
    output_tokens: int


def conversation_of(calls: list[Call]) -> ConversationView:
    """The calls with their sums, which are exact."""
    views = [_view(call) for call in calls]
    return ConversationView(
        calls=views,
        dollars=sum((call.dollars for call in views), Decimal(0)),
        input_tokens=sum(call.input_tokens for call in views),
        output_tokens=sum(call.output_tokens for call in views),
    )


def _view(call: Call) -> CallView:
    usage, reply = call.usage, call.reply
    return CallView(
        role=call.place.role,
        turn=call.place.turn,
        model=call.model,
        answered_by="" if reply is None else reply.model,
        prompt=call.request.prompt,
        messages=[MessageView(role=message.role, text=message.text) for message in call.request.messages],
        reply=None if reply is None else reply.text,
        reasoning="" if reply is None else reply.reasoning,
        stop_reason="" if reply is None else reply.stop_reason,
        error=call.error,
        input_tokens=usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
        cached_tokens=usage.cache_read_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        dollars=call.dollars,
        estimated=call.estimated,
        seconds=call.seconds,
        created=call.created,
    )
