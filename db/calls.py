"""Between calls of models and rows."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any

from sqlalchemy import Select, select

from kernelwright.agents.models.calls import Call
from kernelwright.agents.models.protocol import Message, Place, Reply, Request, Usage
from kernelwright.db.models import ModelCallRow
from kernelwright.db.rows import Columns

__all__ = ["answer_query", "call_columns", "call_of", "reply_of"]


def call_columns(call: Call) -> Columns:
    """The row of a call."""
    return {
        "run_id": call.run_id,
        "attempt": call.place.attempt,
        "role": call.place.role,
        "turn": call.place.turn,
        "model": call.model,
        "prompt": call.request.prompt,
        "request": _request_json(call.request),
        "reply": None if call.reply is None else asdict(call.reply),
        "error": call.error.replace("\0", "�"),  # PostgreSQL's text has no such character
        **asdict(call.usage),
        "dollars": f"{call.dollars:f}",
        "estimated": call.estimated,
        "seconds": call.seconds,
        "created": call.created,
    }


def call_of(row: ModelCallRow) -> Call:
    """The call of a row."""
    place = Place(row.attempt, row.role, row.turn)
    return Call(
        run_id=row.run_id,
        place=place,
        model=row.model,
        request=_request_of(row.request, place, row.prompt),
        reply=None if row.reply is None else reply_of(row.reply),
        error=row.error,
        usage=Usage(
            row.input_tokens, row.cache_read_tokens, row.cache_write_tokens, row.output_tokens, row.reasoning_tokens
        ),
        dollars=Decimal(row.dollars),
        estimated=row.estimated,
        seconds=row.seconds,
        created=row.created,
    )


def reply_of(given: dict[str, Any]) -> Reply:
    """The reply as it was stored."""
    return Reply(**(given | {"usage": Usage(**given["usage"])}))


def answer_query(run_id: str, place: Place) -> Select[dict[str, Any] | None]:
    """The reply that was stored for a place."""
    return select(ModelCallRow.reply).where(
        ModelCallRow.run_id == run_id,
        ModelCallRow.attempt == place.attempt,
        ModelCallRow.role == place.role,
        ModelCallRow.turn == place.turn,
        ModelCallRow.reply.is_not(None),
    )


def _request_json(request: Request) -> dict[str, Any]:
    """Without place and prompt, which have columns of their own."""
    return {
        "messages": [asdict(message) for message in request.messages],
        "max_output_tokens": request.max_output_tokens,
        "reasoning": request.reasoning,
        "temperature": request.temperature,
        "schema": None if request.schema is None else dict(request.schema),
        "schema_name": request.schema_name,
    }


def _request_of(given: dict[str, Any], place: Place, prompt: str) -> Request:
    messages = tuple(Message(**message) for message in given["messages"])
    return Request(**(given | {"messages": messages, "place": place, "prompt": prompt}))
