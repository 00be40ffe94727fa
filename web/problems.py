"""What is answered when something can't be done: a page to people, JSON to programs, the same words to both."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kernelwright.errors import AccessError, ConfigError, KernelwrightError, MisuseError, NotFoundError, StoreError
from kernelwright.logs import keep_traceback
from kernelwright.service.inspection import Busy
from kernelwright.views import error_json
from kernelwright.web.rendering import render
from kernelwright.web.twins import API
from kernelwright.web.views.submit import Refused
from kernelwright.words import one_line

__all__ = ["Bugs", "handle_problems", "problem", "status_of"]

_log = logging.getLogger(__name__)


def status_of(error: KernelwrightError) -> int:
    """The HTTP status that says what kind of error it is."""
    if isinstance(error, NotFoundError):
        return 404
    if isinstance(error, AccessError):
        return 403
    if isinstance(error, StoreError | Busy):
        return 503
    if isinstance(error, MisuseError) and not isinstance(error, ConfigError):
        return 422
    return 500


def handle_problems(app: FastAPI) -> None:
    """Makes `app` answer errors in our words."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(KernelwrightError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def problem(request: Request, error: KernelwrightError, status: int) -> Response:
    """The answer to a request that met `error`."""
    if request.scope["path"].startswith(f"{API}/"):
        return JSONResponse(error_json(error), status_code=status)
    return render(request, "problem.html.j2", status=status, error=error, code=status)


def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, KernelwrightError)
    return problem(request, error, status_of(error))


def _refused(_request: Request, error: Exception) -> Response:
    """The API's answer to a submission with problems at its fields; a form shows them itself."""
    assert isinstance(error, Refused)
    body = error_json(error) | {"problems": [each.model_dump() for each in error.problems]}
    return JSONResponse(body, status_code=422)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    said = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors()[:5])
    return problem(request, MisuseError(one_line(said), mend=f"See {API}/docs for what is taken."), 422)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = one_line(str(error.detail)) if error.detail else "This can't be done."
    kind = NotFoundError if error.status_code == 404 else MisuseError
    mend = "Check the address." if error.status_code == 404 else ""
    answer = problem(request, kind(message, mend=mend), error.status_code)
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer


class Bugs:
    """Answers what a bug of ours leaves unanswered, from inside, so that the answer has its headers and is logged; then raises it again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if scope["type"] == "http" and not started:
                answer = _bug(Request(scope), error)
                await answer(scope, receive, send)
            raise


def _bug(request: Request, error: Exception) -> Response:
    keep_traceback(error)
    _log.error("%s %r met a bug: %s", request.method, request.scope["path"], type(error).__name__)
    return problem(
        request, KernelwrightError("This server has met a bug of its own.", mend="Its log has the traceback."), 500
    )
