"""What is noted of every request: a line of the access log, the metrics, an id that the answer bears too."""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kernelwright.logs import ACCESS
from kernelwright.web.access.identity import identity_in
from kernelwright.web.access.requests import client_of, headers_of
from kernelwright.web.metrics import Metrics
from kernelwright.web.static_files import MOUNT

__all__ = ["REQUEST_ID", "Observed", "route_of"]

REQUEST_ID = "X-Request-Id"
_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_METHOD = re.compile(r"[A-Z]{1,16}")
_NONE = "(none)"
_log = logging.getLogger(ACCESS)


class Observed:
    """Stands around everything else, so that refusals are noted as well."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status, size, stream = 0, 0, False
        asked = headers_of(scope, REQUEST_ID)
        identifier = asked[0] if len(asked) == 1 and _ID.fullmatch(asked[0]) else secrets.token_hex(8)

        async def watched(message: Message) -> None:
            nonlocal status, size, stream
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = identifier
                stream = headers.get("content-type", "").startswith("text/event-stream")
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - began
            route, method = route_of(scope), scope["method"]
            method = method if _METHOD.fullmatch(method) else "(odd)"
            self._metrics.count(route, method, status, seconds, stream=stream)
            fields = {
                "method": method,
                "route": route,
                "status": status,
                "seconds": round(seconds, 6),
                "bytes": size,
                "client": client_of(scope),
                "request": identifier,
                "token": identity_in(scope).name,
            }
            _log.info("request", extra={"fields": fields})


def route_of(scope: Scope) -> str:
    """The route as it is written, `/runs/{run_id}`; what is asked for may be anything and is never a label."""
    path = getattr(scope.get("route"), "path", None)
    if scope["path"].startswith(f"{MOUNT}/"):
        return MOUNT
    return path if isinstance(path, str) else _NONE
