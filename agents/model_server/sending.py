"""Outgoing: a reply on its way to the client, at the pace and to the point that the script wants."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from kernelwright.agents.model_server.asked import Answer, Piece
from kernelwright.agents.model_server.tally import Book
from kernelwright.agents.models.protocol import Usage

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["Outgoing", "Stopping"]

TICK = 0.02
"""Seconds between two writes of a reply that is sent slowly."""


class Stopping:
    """Whether the server is about to stop; waits end when it is. Belongs to the server's event loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Waits as long, or until the server stops."""
        if seconds > 0:
            try:
                await asyncio.wait_for(self._event.wait(), seconds)
            except TimeoutError:
                return


class Outgoing(Response):
    """Sends pieces one by one, and writes the request down before its last byte is sent.

    Args:
        entry: of the book, as it is if nothing more is known.
        answer: what the pieces say; without one nothing is charged.
        usable: whether all pieces together are a reply that a client can use.
        closes: whether the connection is closed after the last piece instead of ending the reply.
        delay: seconds before the first byte.
        bytes_per_second: None is as fast as they go.
        spread: seconds over which all bytes are spread, instead.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        *,
        book: Book,
        entry: Mapping[str, Any],
        stopping: Stopping,
        headers: Mapping[str, str] | None = None,
        status: int = 200,
        answer: Answer | None = None,
        usable: bool = False,
        closes: bool = False,
        delay: float = 0.0,
        bytes_per_second: float | None = None,
        spread: float | None = None,
    ) -> None:
        super().__init__(status_code=status)
        self._pieces = pieces
        self._book = book
        self._entry = entry
        self._stopping = stopping
        self._raw_headers = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        self._answer = answer
        self._usable = usable
        self._closes = closes
        self._delay = delay
        total = max(1, sum(len(piece.data) for piece in pieces))
        self._rate = total / spread if spread else bytes_per_second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport = scope["state"]["transport"]
        await self._stopping.wait(self._delay)
        sent: list[Piece] = []
        written = False
        if self._pieces and not transport.is_closing():
            if not any(name == b"content-length" for name, _ in self._raw_headers) and not self._entry["stream"]:
                self._raw_headers.append((b"content-length", str(sum(len(p.data) for p in self._pieces)).encode()))
            await send({"type": "http.response.start", "status": self.status_code, "headers": self._raw_headers})
            for index, piece in enumerate(self._pieces):
                last = index == len(self._pieces) - 1
                for chunk, wait, ends in self._chunks(piece.data):
                    await self._stopping.wait(wait)
                    if transport.is_closing():
                        break
                    if ends:
                        sent.append(piece)
                    if last and ends and not self._closes:
                        self._write_down(sent, whole=True)
                        written = True
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if transport.is_closing():
                    break
        if not written:
            self._write_down(sent, whole=len(sent) == len(self._pieces) and not self._closes)
        if self._closes or transport.is_closing():
            transport.close()
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _chunks(self, data: bytes) -> Iterator[tuple[bytes, float, bool]]:
        """Bytes, the seconds before them, and whether they are the last of the piece."""
        if not self._rate:
            yield data, 0.0, True
            return
        size = max(1, int(self._rate * TICK))
        for start in range(0, len(data), size):
            chunk = data[start : start + size]
            yield chunk, len(chunk) / self._rate, start + size >= len(data)

    def _write_down(self, sent: Sequence[Piece], *, whole: bool) -> None:
        text = "".join(piece.text for piece in sent)
        fields = dict(self._entry)
        if self._answer is not None:
            fields["complete"] = whole and self._usable
            fields["charged"] = self._answer.usage if whole or not fields["stream"] else _share(self._answer, text)
            fields["reported"] = next((piece.usage for piece in reversed(sent) if piece.usage), None)
        self._book.add(fields, text)


def _share(answer: Answer, text: str) -> Usage:
    """What a stream that broke off costs: of the output the share that was sent, as the model stopped there."""
    share = len(text) / len(answer.text) if answer.text else 1.0
    output = max(1, int(answer.usage.output_tokens * share))
    return replace(answer.usage, output_tokens=output, reasoning_tokens=min(answer.usage.reasoning_tokens, output))
