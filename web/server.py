"""uvicorn, as the application is run by it."""

from __future__ import annotations

import logging
import socket

import uvicorn
from fastapi import FastAPI

from kernelwright import logs
from kernelwright.web.access.policy import Policy
from kernelwright.web.context import Site
from kernelwright.web.limits import Streams
from kernelwright.web.live import Live
from kernelwright.web.patience import protocol_with

__all__ = ["Server", "server_for"]

_LEAVE_SECONDS = 3
"""That answers under way get at the end; event streams are ended at once."""


class Server(uvicorn.Server):
    """A server that ends open event streams before it waits for the rest.

    Seen with uvicorn 0.54 alone: one open stream held SIGTERM up for the whole `timeout_graceful_shutdown`, and was cut off then.
    """

    def __init__(self, config: uvicorn.Config, streams: Streams, live: Live) -> None:
        super().__init__(config)
        self._streams, self._live = streams, live

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no more requests, and ends."""
        self._live.close()
        self._streams.end()
        await super().shutdown(sockets)


def server_for(app: FastAPI, policy: Policy) -> Server:
    """A server of this application, to be run on sockets that listen already."""
    logger = logging.getLogger("uvicorn")
    logger.handlers, logger.propagate = list(logging.getLogger(logs.ROOT).handlers), False
    config = uvicorn.Config(
        app,
        http=protocol_with(policy.limits, policy.proxies),
        ws="none",  # an upgrade is answered as a plain request
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # uvicorn's default believes whatever a client on this machine says of its address
        proxy_headers=bool(policy.proxies),
        forwarded_allow_ips=list(policy.proxies),
        limit_concurrency=policy.limits.connections_in_all,
        h11_max_incomplete_event_size=policy.limits.head_bytes,
        timeout_keep_alive=policy.limits.idle_seconds,
        timeout_graceful_shutdown=_LEAVE_SECONDS,
    )
    streams: Streams = app.state.streams
    site: Site = app.state.site
    return Server(config, streams, site.live)
