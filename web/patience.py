"""How long the server waits for a slow client.

Seen with uvicorn 0.54: a connection without a first byte, one that stops amid its headers, one whose client does not read, and one whose
body came after its answer are kept for ever, so that some hundred idle sockets stop it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
from collections.abc import Sequence

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from kernelwright.web.access.policy import Limits

__all__ = ["protocol_with"]

_log = logging.getLogger(__name__)


def protocol_with(limits: Limits, proxies: Sequence[str] = ()) -> type[H11Protocol]:
    """uvicorn's protocol of HTTP/1.1 with deadlines, and with a bound on connections of one address.

    Args:
        proxies: addresses that many clients come from.
    """
    networks = [ipaddress.ip_network(each) for each in proxies]

    def many_clients(address: str) -> bool:
        try:
            return any(ipaddress.ip_address(address) in network for network in networks)
        except ValueError:
            return False

    class Patient(H11Protocol):
        """A connection."""

        _reading: asyncio.TimerHandle | None = None
        _writing: asyncio.TimerHandle | None = None
        _body_end: float | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            """A client is there: its request's headers are to follow soon."""
            super().connection_made(transport)
            if self.client is not None and not many_clients(self.client[0]):
                same = sum(
                    isinstance(each, Patient) and each.client is not None and each.client[0] == self.client[0]
                    for each in self.connections
                )
                if same > limits.connections:
                    _log.warning("%s has too many connections; another one is closed", self.client[0])
                    transport.abort()
                    return
            self._wait(limits.head_seconds)

        def connection_lost(self, exc: Exception | None) -> None:
            """It is gone."""
            self._stop_waiting()
            self.resume_writing()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            """A piece of a request has come."""
            super().data_received(data)
            self._look()

        def on_response_complete(self) -> None:
            """An answer is sent: the next request may be there in part, or the rest of this one be on its way."""
            super().on_response_complete()
            if self.conn.their_state is h11.SEND_BODY:
                self._body_end = min(self._body_end or math.inf, self.loop.time() + limits.rest_seconds)
            self._look()

        def pause_writing(self) -> None:
            """The client does not read."""
            super().pause_writing()
            if self._writing is None:
                self._writing = self.loop.call_later(limits.pause_seconds, self._give_up, "an answer left unread")

        def resume_writing(self) -> None:
            """It does again."""
            super().resume_writing()
            if self._writing is not None:
                self._writing.cancel()
                self._writing = None

        def _look(self) -> None:
            """Waits for what is to come of the request, if anything is."""
            state = self.conn.their_state
            if state is h11.SEND_BODY:
                now = self.loop.time()
                if self._body_end is None:
                    self._body_end = now + limits.body_seconds
                self._stop_waiting()
                self._wait(min(limits.pause_seconds, self._body_end - now))
                return
            self._body_end = None
            begun = state is h11.IDLE and bool(self.conn.trailing_data[0])
            # uvicorn arms its own timer when an answer is sent, and not again when the rest of a body comes after that
            idle = state is h11.IDLE and not begun and self.timeout_keep_alive_task is None
            if not (begun or idle):
                self._stop_waiting()
            elif self._reading is None:  # each further byte buys no time
                self._wait(limits.head_seconds if begun else limits.idle_seconds)

        def _wait(self, seconds: float) -> None:
            self._reading = self.loop.call_later(max(0.0, seconds), self._give_up, "a request that does not come")

        def _stop_waiting(self) -> None:
            if self._reading is not None:
                self._reading.cancel()
                self._reading = None

        def _give_up(self, what: str) -> None:
            _log.info("%s: %s", self.client[0] if self.client else "a client", what)
            self.transport.abort()

    return Patient
