"""Rates, sizes and streams: what is refused, that it is said when to come again, and that nothing of a refused request is kept."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from hypothesis import given
from hypothesis import strategies as st
from server_doubles import Place, Ticks, client_of, placed
from starlette.testclient import TestClient
from starlette.types import Message

from kernelwright.web.access.policy import Limits, Policy
from kernelwright.web.access.requests import network_of
from kernelwright.web.limits import Buckets


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path) as place:
        yield place


# -- rates --------------------------------------------------------------------------------------------------------


@given(
    st.integers(1, 50),
    st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=300),
)
def test_a_bucket_never_gives_more_than_it_holds_and_fills(amount: int, pauses: list[float]) -> None:
    """In any stretch of t seconds at most `amount` and what fills in by then; a client that waits as told is let through."""
    ticks = Ticks()
    buckets = Buckets(amount, 60.0, ticks)
    taken: list[float] = []
    for pause in pauses:
        ticks.now += pause
        wait = buckets.take("a")
        if wait == 0:
            taken.append(ticks.now)
        else:
            assert 1 <= wait <= math.ceil(60 / amount)
            assert buckets.wait("b") == 0  # others are not concerned
    for i, first in enumerate(taken):
        for j in range(i, len(taken)):
            assert j - i + 1 <= amount + (taken[j] - first) * amount / 60 + 1e-6


def test_who_waits_as_told_is_let_through() -> None:
    ticks = Ticks()
    buckets = Buckets(7, 60.0, ticks)
    assert [buckets.take("a") for _ in range(7)] == [0] * 7
    for _ in range(100):
        wait = buckets.take("a")
        assert wait > 0
        ticks.now += wait
        assert buckets.take("a") == 0


def test_no_limit_is_none() -> None:
    buckets = Buckets(0, 60.0, Ticks())
    assert [buckets.take("a") for _ in range(10_000)] == [0] * 10_000


def test_strangers_with_many_addresses_cost_little() -> None:
    buckets = Buckets(10, 60.0, Ticks())
    for number in range(50_000):
        buckets.take(str(number))
    assert len(buckets._full) == 20_000


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("2001:db8::1", "2001:db8::ffff:1:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
    ],
)
def test_what_one_client_is(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) == same


def test_too_many_requests_are_told_when_to_come_again(place: Place) -> None:
    client = client_of(place.app(Policy(limits=Limits(reads=5, writes=2))))
    assert [client.get("/api/v1/runs").status_code for _ in range(6)] == [200] * 5 + [429]
    refused = client.get("/api/v1/runs")
    assert 1 <= int(refused.headers["retry-after"]) <= 12
    assert refused.json()["error"]["message"] == "Too many requests."
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200


def test_changes_are_counted_by_themselves(place: Place) -> None:
    client = client_of(place.app(Policy(limits=Limits(reads=100, writes=2))))
    assert [client.post("/api/v1/nothing").status_code for _ in range(3)] == [404, 404, 429]
    assert client.get("/api/v1/runs").status_code == 200


def test_each_address_is_counted_by_itself(place: Place) -> None:
    app = place.app(Policy(limits=Limits(reads=1)))
    clients = [TestClient(app, base_url="http://localhost", client=(f"127.0.0.{n}", 1)) for n in (1, 2)]
    assert [client.get("/api/v1/runs").status_code for client in clients * 2] == [200, 200, 429, 429]


# -- sizes --------------------------------------------------------------------------------------------------------

MOST = 10_000


def with_reader(place: Place) -> tuple[FastAPI, list[int]]:
    app, seen = place.app(Policy(limits=Limits(body_bytes=MOST))), []

    @app.post("/api/v1/read")
    async def read(request: Request) -> int:
        size = len(await request.body())
        seen.append(size)
        return size

    return app, seen


@pytest.mark.parametrize("size", [0, 1, MOST, MOST + 1, 10 * MOST])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_are_taken_up_to_the_limit(place: Place, size: int, chunked: bool) -> None:
    app, seen = with_reader(place)
    body = b"x" * size

    def pieces() -> Iterator[bytes]:
        for start in range(0, size, 999):
            yield body[start : start + 999]

    answer = client_of(app).post("/api/v1/read", content=pieces() if chunked else body)
    assert answer.status_code == (200 if size <= MOST else 413)
    assert seen == ([size] if size <= MOST else [])
    if size > MOST:
        assert answer.json()["error"]["kind"] == "MisuseError" if chunked else "AccessError"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_more_is_read_than_the_limit(place: Place) -> None:
    """A body without end: it is refused after the piece that passes the limit."""
    app, seen = with_reader(place)
    given = 0
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal given
        given += 1000
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/v1/read", "raw_path": b"/api/v1/read", "query_string": b"", "root_path": "",
             "headers": [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
             "scheme": "http", "http_version": "1.1", "state": {}}  # fmt: skip
    anyio.run(app, scope, receive, send)
    assert sent[0]["status"] == 413
    assert given == MOST + 1000
    assert seen == []


@pytest.mark.parametrize("said", ["99999999999999999999999999", "-1", "1e9", "0x10", "", "٣٣", "10001, 3"])
def test_odd_lengths_do_no_harm(place: Place, said: str) -> None:
    app, _ = with_reader(place)
    answer = client_of(app).post("/api/v1/read", headers={"Content-Length": said.encode()}, content=b"abc")
    assert answer.status_code == (413 if said.startswith("9999") else 200)


# -- streams ------------------------------------------------------------------------------------------------------


def with_stream(place: Place, limits: Limits) -> FastAPI:
    app = place.app(Policy(limits=limits))

    async def endless() -> AsyncIterator[str]:
        while True:
            yield "data: on\n\n"
            await anyio.sleep_forever()

    @app.get("/api/v1/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(endless(), media_type="text/event-stream")

    @app.get("/api/v1/short")
    def short() -> StreamingResponse:
        return StreamingResponse(iter(["data: off\n\n"]), media_type="text/event-stream")

    return app


class Watcher:
    """A client of one stream, on the application itself: what it was sent, and whether it was told that this is all."""

    def __init__(self, app: FastAPI, address: str, path: str = "/api/v1/stream") -> None:
        self.sent: list[Message] = []
        self.began, self.gone = anyio.Event(), anyio.Event()
        self._app, self._address, self._path = app, address, path

    async def __call__(self) -> None:
        async def receive() -> Message:
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            self.sent.append(message)
            if message["type"] == "http.response.body":
                self.began.set()

        scope = {"type": "http", "method": "GET", "path": self._path, "raw_path": self._path.encode(), "query_string": b"", "root_path": "",
                 "headers": [(b"host", b"localhost")], "client": (self._address, 1), "server": ("127.0.0.1", 80), "scheme": "http",
                 "http_version": "1.1", "state": {}}  # fmt: skip
        await self._app(scope, receive, send)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def complete(self) -> bool:
        return not self.sent[-1].get("more_body", False)


def test_streams_are_counted_by_client_and_in_all(place: Place) -> None:
    app = with_stream(place, Limits(streams=2, streams_in_all=3))
    addresses = ["127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3"]
    watchers = [Watcher(app, address) for address in addresses]

    async def watch() -> None:
        async with anyio.create_task_group() as group:
            for watcher in watchers:
                group.start_soon(watcher)
                await watcher.began.wait()
            assert [watcher.status for watcher in watchers] == [200, 200, 429, 200, 429]
            assert len(app.state.streams) == 3
            assert dict(watchers[2].sent[0]["headers"])[b"retry-after"] == b"10"
            watchers[0].gone.set()  # who leaves makes room
            while len(app.state.streams) == 3:
                await anyio.lowlevel.checkpoint()
            again = Watcher(app, "127.0.0.1")
            group.start_soon(again)
            await again.began.wait()
            assert again.status == 200
            app.state.streams.end()

    anyio.run(watch)
    assert len(app.state.streams) == 0


def test_at_the_end_open_streams_are_complete_and_new_ones_refused(place: Place) -> None:
    app = with_stream(place, Limits())
    watcher, late = Watcher(app, "127.0.0.1"), Watcher(app, "127.0.0.1")

    async def watch() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(watcher)
            await watcher.began.wait()
            assert not watcher.complete
            app.state.streams.end()
        await late()

    anyio.run(watch)
    assert watcher.complete
    assert late.status == 429


def test_a_stream_that_ends_by_itself_makes_room(place: Place) -> None:
    client = client_of(with_stream(place, Limits(streams=1)))
    for _ in range(5):
        assert client.get("/api/v1/short").text == "data: off\n\n"
