"""The model server as an ASGI application."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kernelwright.agents.model_server import faults
from kernelwright.agents.model_server.anthropic_wire import AnthropicWire
from kernelwright.agents.model_server.asked import Asked, Piece, Refused, Wire, answer_to
from kernelwright.agents.model_server.caching import PromptCache
from kernelwright.agents.model_server.openai_wire import OpenAIWire
from kernelwright.agents.model_server.play import Play, Turn
from kernelwright.agents.model_server.script import Script
from kernelwright.agents.model_server.sending import Outgoing, Stopping
from kernelwright.agents.model_server.tally import Book, Tally
from kernelwright.agents.models.protocol import Usage

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["Application"]

LARGEST_BODY = 32_000_000
"""Bytes of a request's body (Anthropic's limit for messages is 32 MB)."""
NO_USAGE = Usage()


class Application:
    """Answers requests as a script says.

    Args:
        created: Unix time, in seconds, that replies and models carry.
    """

    def __init__(self, script: Script, book: Book, stopping: Stopping, created: int) -> None:
        self._script = script
        self._play = Play(script)
        self._cache = PromptCache()
        self._book = book
        self._stopping = stopping
        self._created = created
        self._openai = OpenAIWire(created)
        self._anthropic = AnthropicWire()

    def tally(self) -> Tally:
        """All requests until now."""
        return Tally(self._book.calls(), self._play.remaining())

    def asgi(self) -> Starlette:
        """The application, to be run under a server that gives `transport` in the connection's state."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/messages", self._message, methods=["POST"]),
                Route("/v1/models", self._models, methods=["GET"]),
                Route("/_tally", self._tally, methods=["GET"]),
            ],
            exception_handlers={404: self._not_here, 405: self._not_here},
        )

    async def _complete(self, request: Request) -> Response:
        return await self._answer(request, self._openai)

    async def _message(self, request: Request) -> Response:
        return await self._answer(request, self._anthropic)

    async def _tally(self, request: Request) -> Response:
        from starlette.responses import JSONResponse

        return JSONResponse(self.tally().as_json())

    async def _models(self, request: Request) -> Response:
        from starlette.responses import JSONResponse

        wire = self._wire(request.headers)
        try:
            wire.check_key(request.headers)
        except Refused as problem:
            return self._error(wire, problem, "")
        names = self._script.models or ("scripted",)
        if wire.provider == "openai":
            data = [{"id": name, "object": "model", "created": self._created, "owned_by": "script"} for name in names]
            return JSONResponse({"object": "list", "data": data})
        data = [
            {
                "type": "model",
                "id": name,
                "display_name": name,
                "created_at": "2026-01-01T00:00:00Z",
                "lifecycle": "active",
            }
            for name in names
        ]
        return JSONResponse({"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]})

    async def _not_here(self, request: Request, error: Exception) -> Response:
        status = int(getattr(error, "status_code", 404))
        words = f"{request.method} {request.url.path} is nothing that this server answers."
        return self._error(self._wire(request.headers), Refused(status, words, kind="missing"), "")

    async def _answer(self, request: Request, wire: Wire) -> Response:
        body_hash, asked, turn = "", None, None
        try:
            raw = await _body(request)
            body_hash = hashlib.sha256(raw).hexdigest()
            wire.check_key(request.headers)
            asked = self._read(wire, raw, body_hash)
            turn = self._play.answer(asked)
            if turn.fault is not None and (problem := faults.error_of(turn.fault, wire.provider)) is not None:
                raise problem
        except Refused as problem:
            return self._error(wire, problem, body_hash, asked, turn)
        return self._reply(wire, asked, turn)

    def _read(self, wire: Wire, raw: bytes, body_hash: str) -> Asked:
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError) as error:
            words = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise Refused(400, f"The body of the request is no valid JSON: {words}") from None
        if not isinstance(body, dict):
            raise Refused(400, "The body of the request must be a JSON object.")
        for name in self._script.refuse_fields:
            if name in body:
                raise Refused(400, f"Unrecognized request argument supplied: {name}", field=name)
        asked = wire.read(body, body_hash)
        if self._script.models and asked.model not in self._script.models:
            raise Refused(404, f"The model {asked.model!r} does not exist.", kind="model", field="model")
        return asked

    def _reply(self, wire: Wire, asked: Asked, turn: Turn) -> Response:
        fault = turn.fault
        kind = fault.kind if fault else None
        headers = {wire.request_id_header(): f"req_{turn.number:08d}"}
        entry = {**_fields(wire, asked, turn), "status": 200}
        if kind == "drop_before":
            return Outgoing([], book=self._book, entry={**entry, "status": 0}, stopping=self._stopping, closes=True)
        if kind == "not_json":
            headers["content-type"] = "text/html; charset=utf-8"
            return Outgoing(
                [Piece(faults.PAGE)], book=self._book, entry=entry, stopping=self._stopping, headers=headers
            )
        cached = self._cache.look_up(asked, keep=True) if self._script.cache else (0, 0)
        answer = answer_to(asked, faults.altered_reply(turn.reply, fault), turn.number, cached)
        if fault is not None and kind == "huge":
            size = faults.huge_tokens(fault, asked.max_output)
            answer = replace(answer, usage=replace(answer.usage, output_tokens=size, reasoning_tokens=0))
        answer = faults.altered_answer(answer, fault)
        whole = wire.whole(asked, answer)
        pieces = list(wire.events(asked, answer)) if asked.stream else [whole]
        headers["content-type"] = "text/event-stream; charset=utf-8" if asked.stream else "application/json"
        length = len(whole.data)
        if fault is not None and kind in faults.CUTS:
            pieces = faults.cut(pieces, fault)
            length = length if kind in faults.CLOSES else sum(len(piece.data) for piece in pieces)
        if not asked.stream:
            headers["content-length"] = str(length)
        return Outgoing(
            pieces,
            book=self._book,
            entry=entry,
            stopping=self._stopping,
            headers=headers,
            answer=answer,
            usable=kind not in faults.CUTS,
            closes=kind in faults.CLOSES,
            delay=turn.reply.delay,
            bytes_per_second=turn.reply.bytes_per_second,
            spread=fault.seconds if fault is not None and kind == "slow" else None,
        )

    def _error(
        self, wire: Wire, problem: Refused, body_hash: str, asked: Asked | None = None, turn: Turn | None = None
    ) -> Response:
        request_id = f"req_{turn.number:08d}" if turn else "req_00000000"
        headers = {wire.request_id_header(): request_id, "content-type": "application/json"}
        seconds = faults.retry_after(turn.fault if turn else None)
        if seconds is not None:
            headers["retry-after"] = f"{seconds:g}"
        entry = {
            **_fields(wire, asked, turn),
            "request_hash": body_hash,
            "status": problem.status,
            "message": problem.message,
        }
        if problem.status == 413:
            headers["connection"] = "close"
        return Outgoing(
            [Piece(wire.error(problem, request_id))],
            book=self._book,
            entry=entry,
            stopping=self._stopping,
            headers=headers,
            status=problem.status,
            delay=turn.reply.delay if turn else 0.0,
        )

    def _wire(self, headers: Mapping[str, str]) -> Wire:
        """The provider that a request is meant for where its path does not say so."""
        return self._anthropic if "anthropic-version" in headers or "x-api-key" in headers else self._openai


def _fields(wire: Wire, asked: Asked | None, turn: Turn | None) -> dict[str, Any]:
    return {
        "provider": wire.provider,
        "model": asked.model if asked else "",
        "entry": turn.entry if turn else None,
        "fault": turn.fault.kind if turn and turn.fault else None,
        "stream": asked.stream if asked else False,
        "request_hash": asked.body_hash if asked else "",
        "complete": False,
        "charged": NO_USAGE,
        "reported": None,
    }


async def _body(request: Request) -> bytes:
    """The request's body.

    Raises:
        Refused: it is too large.
    """
    from starlette.requests import ClientDisconnect

    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > LARGEST_BODY:
                raise Refused(413, f"The request is larger than {LARGEST_BODY:,} bytes.", kind="too_large")
            parts.append(part)
    except ClientDisconnect:
        raise Refused(400, "The request broke off.") from None
    return b"".join(parts)
