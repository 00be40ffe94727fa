"""How often, how much and how many at once a client may ask.

Rates are buckets: one holds as many requests as a client may make in a minute, and fills at that pace. A bucket is one number, so that a
stranger with many addresses costs little. (The library `limits` was tried: its in-memory moving window looks through all clients every
10 ms, 1.9 ms of processor time a request at 20,000 of them, so that whoever has a network of IPv6 addresses can stop the server with it.)
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import anyio
import anyio.lowlevel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kernelwright.web.access.identity import identity_in
from kernelwright.web.access.origins import SAFE
from kernelwright.web.access.policy import Limits
from kernelwright.web.access.refusing import refuse
from kernelwright.web.access.requests import client_of, header, network_of

__all__ = ["Buckets", "RateLimit", "Rates", "SizeLimit", "StreamLimit", "Streams"]

_WINDOW = 60.0
_CLIENTS = 20_000
"""That are remembered, the latest; 100 bytes each."""
_UNCOUNTED = frozenset({"/healthz", "/readyz"})
"""A probe that is refused would have a healthy server restarted."""


class Buckets:
    """A bucket for each client.

    Args:
        amount: requests that one holds, and that fill it again in `window` seconds; 0 is no limit.
        clock: in seconds, of any origin.
    """

    def __init__(self, amount: int, window: float = _WINDOW, clock: Callable[[], float] = time.monotonic) -> None:
        self._each = window / amount if amount else 0.0
        self._window, self._clock = window * (1 + 1e-9), clock
        self._full: dict[str, float] = {}  # when a client's bucket is full again; the longest unused ones first

    def wait(self, client: str) -> int:
        """Whole seconds until the client may ask again; 0 when it may now."""
        now = self._clock()
        return max(0, math.ceil(self._full.get(client, now) + self._each - now - self._window))

    def take(self, client: str) -> int:
        """As `wait`; when it is 0 the request is counted."""
        wait = self.wait(client)
        now = self._clock()
        full = max(self._full.pop(client, now), now)
        self._full[client] = full if wait else full + self._each
        if len(self._full) > _CLIENTS:
            del self._full[next(iter(self._full))]
        return wait


class Rates:
    """The buckets of a server."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._reads = Buckets(limits.reads, clock=clock)
        self._writes = Buckets(limits.writes, clock=clock)
        self.failures = Buckets(limits.sign_ins, clock=clock)
        """Tokens that were not valid."""

    def request(self, client: str, method: str) -> int:
        """Counts a request; whole seconds until it may be made when it may not be now, else 0."""
        return self._reads.take(client) or (0 if method in SAFE else self._writes.take(client))


class RateLimit:
    """Refuses requests of a client that makes too many."""

    def __init__(self, app: ASGIApp, rates: Rates) -> None:
        self._app, self._rates = app, rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "http" and scope["path"] not in _UNCOUNTED:
            wait = self._rates.request(network_of(client_of(scope)), scope["method"])
            if wait:
                await refuse(
                    scope, receive, send, 429, "Too many requests.",
                    mend=f"Wait {wait} s.", headers={"Retry-After": str(wait)},
                )  # fmt: skip
                return
        await self._app(scope, receive, send)


class SizeLimit:
    """Refuses a body that says it is too large, before it is read; what comes without saying is counted by `RequestBodyLimitMiddleware`."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "http":
            said = header(scope, "content-length") or ""
            if said.isascii() and said.isdigit() and int(said[:20]) > self._most:
                await refuse(
                    scope,
                    receive,
                    send,
                    413,
                    "This is too large.",
                    mend=f"{self._most / 1e6:.1f} MB are taken at most.",
                )
                return
        await self._app(scope, receive, send)


class Streams:
    """The event streams that are open."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: dict[anyio.CancelScope, str] = {}
        self._clients: Counter[str] = Counter()
        self._ended = False

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def has_room(self, client: str) -> bool:
        """Whether this client may open another one."""
        return (
            not self._ended
            and len(self._open) < self._limits.streams_in_all
            and self._clients[client] < self._limits.streams
        )

    @contextmanager
    def opened(self, client: str, scope: anyio.CancelScope) -> Iterator[None]:
        """Counts one; `scope` is cancelled when all are to end."""
        self._open[scope] = client
        self._clients[client] += 1
        try:
            yield
        finally:
            del self._open[scope]
            self._clients[client] -= 1
            self._clients += Counter()  # drops who has none

    def end(self) -> None:
        """Ends all, and opens no more: the server stops."""
        self._ended = True
        for scope in list(self._open):
            scope.cancel()


class StreamLimit:
    """Counts event streams, whichever route makes them, and ends them cleanly when the server stops."""

    def __init__(self, app: ASGIApp, streams: Streams) -> None:
        self._app, self._streams = app, streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = identity_in(scope).name or network_of(client_of(scope))
        cancel = anyio.CancelScope()
        refused = complete = False
        with ExitStack() as stack, cancel:

            async def watched(message: Message) -> None:
                nonlocal refused, complete
                if message["type"] == "http.response.start" and _is_stream(message):
                    if not self._streams.has_room(client):
                        refused = True
                        cancel.cancel()
                        await anyio.lowlevel.checkpoint()
                    stack.enter_context(self._streams.opened(client, cancel))
                complete = message["type"] == "http.response.body" and not message.get("more_body", False)
                await send(message)

            await self._app(scope, receive, watched)
        if refused:
            await refuse(
                scope, receive, send, 429, "Too many runs are being watched.",
                mend="Close other pages that show a run.", headers={"Retry-After": "10"},
            )  # fmt: skip
        elif cancel.cancelled_caught and not complete:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _is_stream(start: Message) -> bool:
    return any(
        key.lower() == b"content-type" and value.lower().startswith(b"text/event-stream")
        for key, value in start["headers"]
    )
