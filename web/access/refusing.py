"""Answers of what stands before the routes: the same words, as a page or as JSON, that routes answer with."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from kernelwright.errors import AccessError
from kernelwright.web.problems import problem

__all__ = ["refuse"]


async def refuse(
    scope: Scope, receive: Receive, send: Send, status: int, message: str, *, mend: str = "", headers: Mapping[str, str] = {}
) -> None:  # fmt: skip
    """Answers a request with a problem, and reads nothing of its body."""
    answer = problem(Request(scope), AccessError(message, mend=mend), status)
    for name, value in headers.items():
        answer.headers[name] = value
    await answer(scope, receive, send)
