"""uvicorn, with two things that it does not have: the application gets the connection, and a stop waits for nobody."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from kernelwright.agents.model_server.sending import Stopping

__all__ = ["make_server"]


class _Protocol(H11Protocol):
    """Gives the application its connection, as `transport` in the state, so that it can close it in mid-reply."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stopping: Stopping, started: threading.Event) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._ready = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        for connection in list(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        await super().shutdown(sockets)


def make_server(app: ASGIApp, stopping: Stopping, started: threading.Event) -> uvicorn.Server:
    """A server that sets `started` when it listens."""
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=2,
    )
    return _Server(config, stopping, started)
