"""The server on a socket: slow and odd clients, too many of them, and its end.

Deadlines are short here; each test waits for what is to happen, and hangs (and times out) if it does not.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from server_doubles import Place, placed

from kernelwright.db.access import Role
from kernelwright.web.access.policy import Limits, Policy
from kernelwright.web.server import Server, server_for

QUICK = Limits(head_seconds=0.4, pause_seconds=0.4, body_seconds=1.0, rest_seconds=0.4, reads=0, writes=0)
SHORT = replace(QUICK, idle_seconds=0)
PATIENT = Limits(reads=0, writes=0)
LETS_GO = replace(PATIENT, idle_seconds=0, rest_seconds=3.0)
"""Time enough for a busy machine, and an end soon after the answer."""
HOST = b"Host: localhost\r\n"
WELL = b"GET /healthz HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n"
LARGE = 30_000_000


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path) as place:
        yield place


def with_routes(place: Place, policy: Policy) -> FastAPI:
    app = place.app(policy)

    @app.post("/api/v1/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    @app.get("/api/v1/large")
    def large() -> PlainTextResponse:
        return PlainTextResponse("x" * LARGE)

    async def endless() -> AsyncIterator[str]:
        yield "data: on\n\n"
        await anyio.sleep_forever()

    @app.get("/api/v1/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(endless(), media_type="text/event-stream")

    @app.get("/api/v1/where")
    def where(request: Request) -> dict[str, str | None]:
        return {"client": request.client.host if request.client else None, "scheme": request.scope["scheme"]}

    return app


class Running:
    """A server in a thread."""

    def __init__(self, server: Server, port: int, thread: threading.Thread) -> None:
        self.server, self.port, self._thread = server, port, thread

    def connect(self) -> socket.socket:
        """A connection of which a test reads with patience."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def end(self) -> None:
        """As SIGTERM does."""
        self.server.should_exit = True
        self._thread.join()


@contextmanager
def running(place: Place, policy: Policy) -> Iterator[Running]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = server_for(with_routes(place, policy), policy)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    one = Running(server, listener.getsockname()[1], thread)
    try:
        yield one
    finally:
        one.end()
        listener.close()


def everything(connection: socket.socket) -> bytes:
    """All until the server closes."""
    read = b""
    try:
        while piece := connection.recv(65536):
            read += piece
    except ConnectionResetError:
        pass
    return read


def asked(one: Running, request: bytes) -> bytes:
    with one.connect() as connection:
        connection.sendall(request)
        return everything(connection)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


SLOW: dict[str, Callable[[socket.socket], None]] = {
    "nothing at all": lambda c: None,
    "half a line": lambda c: c.sendall(b"GET /healthz HT"),
    "headers without end": lambda c: c.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: b\r\n"),
    "no body": lambda c: c.sendall(b"POST /api/v1/read HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\n"),
    "half a body": lambda c: c.sendall(b"POST /api/v1/read HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nabc"),
    "half a chunk": lambda c: c.sendall(
        b"POST /api/v1/read HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"
    ),
}


@pytest.mark.parametrize("kind", SLOW)
def test_who_sends_no_more_is_let_go(place: Place, kind: str) -> None:
    with running(place, Policy(limits=QUICK)) as one, one.connect() as connection:
        SLOW[kind](connection)
        assert status(everything(connection)) in {0, 400}


@pytest.mark.parametrize("first", [b"", b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"])
def test_a_byte_now_and_then_buys_no_time(place: Place, first: bytes) -> None:
    """Slowloris, on a new connection and on one that was kept alive."""
    with running(place, Policy(limits=QUICK)) as one, one.connect() as connection:
        if first:
            connection.sendall(first)
            connection.recv(65536)
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        connection.settimeout(0.1)
        for number in range(1000):
            try:
                connection.sendall(b"X-%d: y\r\n" % number)
                if connection.recv(65536) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return
        pytest.fail("it was never let go")


def test_a_body_that_trickles_ends(place: Place) -> None:
    with running(place, Policy(limits=QUICK)) as one, one.connect() as connection:
        connection.sendall(b"POST /api/v1/read HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n")
        connection.settimeout(0.1)
        for _ in range(1000):
            try:
                connection.sendall(b"x")
                if connection.recv(65536) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return
        pytest.fail("it was never let go")


def test_who_does_not_read_is_let_go(place: Place) -> None:
    with running(place, Policy(limits=QUICK)) as one, one.connect() as connection:
        connection.sendall(b"GET /api/v1/large HTTP/1.1\r\n" + HOST + b"\r\n")
        own = connection.getsockname()[1]
        while asked(one, WELL) and any(each.client[1] == own for each in list(one.server.server_state.connections)):
            pass
        assert len(everything(connection)) < LARGE


def test_who_is_quick_is_not_disturbed(place: Place) -> None:
    """Deadlines are for parts: a connection that is kept alive is used for longer than any of them."""
    with running(place, Policy(limits=QUICK)) as one, one.connect() as connection:
        request = b"POST /api/v1/read HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
        for _ in range(100):
            connection.sendall(request)
            answer = connection.recv(65536)
            assert status(answer) == 200
            while not answer.endswith(b"\r\n\r\n3"):
                answer += connection.recv(65536)
        connection.sendall(request * 3)  # pipelined
        answers = b""
        while answers.count(b"HTTP/1.1 200") < 3:
            answers += connection.recv(65536)


def test_one_address_has_so_many_connections(place: Place) -> None:
    with running(place, Policy(limits=Limits(connections=5, reads=0))) as one, ExitStack() as stack:
        held = [stack.enter_context(one.connect()) for _ in range(5)]
        for connection in held:
            connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            assert status(connection.recv(65536)) == 200
        assert asked(one, b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n") == b""
        held[0].sendall(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
        everything(held[0])
        while len(one.server.server_state.connections) > 4:
            pass
        assert status(asked(one, WELL)) == 200


def test_all_together_have_so_many(place: Place) -> None:
    with running(place, Policy(limits=Limits(connections_in_all=3, reads=0))) as one, ExitStack() as stack:
        for _ in range(2):
            connection = stack.enter_context(one.connect())
            connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            assert status(connection.recv(65536)) == 200
        assert status(asked(one, WELL)) == 503


@pytest.mark.parametrize("part", ["address", "query", "header", "headers", "cookie"])
def test_headers_have_a_size(place: Place, part: str) -> None:
    size = 200_000
    request = {
        "address": b"GET /%s HTTP/1.1\r\n" % (b"a" * size) + HOST,
        "query": b"GET /runs?task=%s HTTP/1.1\r\n" % (b"a" * size) + HOST,
        "header": b"GET /runs HTTP/1.1\r\n" + HOST + b"X-A: %s\r\n" % (b"a" * size),
        "headers": b"GET /runs HTTP/1.1\r\n" + HOST + b"X-A: b\r\n" * (size // 8),
        "cookie": b"GET /runs HTTP/1.1\r\n" + HOST + b"Cookie: %s\r\n" % (b"a=b; " * (size // 5)),
    }[part]
    with running(place, Policy(limits=PATIENT)) as one:
        assert status(asked(one, request + b"\r\n")) in {0, 400}
        assert status(asked(one, WELL)) == 200


@pytest.mark.parametrize(
    ("request_", "statuses"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", {400}),  # no host
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", {400}),
        (b"GET http://evil.example/runs HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
        (b"GET //evil.example/runs HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
        (b"GET /healthz HTTP/1.0\r\n\r\n", {421}),
        (b"GET /runs HTTP/1.1\r\nHost: evil.example\r\n\r\n", {421}),
        (b"GET /runs HTTP/1.1\r\nHost: localhost\r\nX-A: b\nSet-Cookie: a=b\r\n\r\n", {200, 400}),
        (b"GET /runs HTTP/1.1\r\nHost: localhost\r\nX-A: b\x00c\r\n\r\n", {400}),
        (b"GET /runs HTTP/1.1\r\nHost: localhost\r\n X-A: b\r\n\r\n", {200, 400, 421}),  # an obsolete fold
        (b"GET /runs%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", {422}),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", {400}),
        (b"GET /%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
        (b"GET /static/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
        (b"GET /static/%2e%2e/%2e%2e/app.py HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
        (b"GET /static//etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
        (b"GET /static/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", {422}),
        (b"GET /static/" + b"a" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", {404, 405}),
        (b"OPTIONS /runs HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: DELETE\r\n\r\n", {405}),
        (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", {404, 405}),
        (b"TRACE /runs HTTP/1.1\r\nHost: localhost\r\nCookie: kernelwright=secret\r\n\r\n", {403}),
        (b"GET /runs HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", {200}),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {0, 400, 421}),
        (b"POST /api/v1/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", {200, 400}),
        (b"POST /api/v1/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 30\r\n\r\nabc", {400}),
        (b"POST /api/v1/read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", {400, 501}),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", {0, 400}),  # TLS
        (b"\r\n\r\n\r\n", {0, 400}),
    ],
)  # fmt: skip
def test_odd_requests_are_answered_and_harm_nothing(place: Place, request_: bytes, statuses: set[int]) -> None:
    with running(place, Policy(limits=SHORT)) as one:
        answer = asked(one, request_)
        assert status(answer) in statuses, answer
        head = answer.partition(b"\r\n\r\n")[0]
        for never in (b"access-control-", b"evil.example", b"set-cookie", b"root:", b"secret", b"import ", b"server:"):
            assert never not in answer.lower()
        assert b"101" not in head.split(b"\r\n")[0]
        assert status(asked(one, WELL)) == 200


@pytest.mark.parametrize("size", [99_999, 100_000, 100_001, 3_000_000])
def test_a_body_without_a_length_is_counted(place: Place, size: int) -> None:
    """And the answer is there to be read, though more was on its way when it was given."""
    request = b"POST /api/v1/read HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    body = b"".join(
        b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (b"x" * min(7777, size - at) for at in range(0, size, 7777))
    )
    with running(place, Policy(limits=replace(LETS_GO, body_bytes=100_000))) as one:
        answer = asked(one, request + body + b"0\r\n\r\n")
    assert status(answer) == (200 if size <= 100_000 else 413)


@pytest.mark.parametrize("sent", [0, 5_000_000])
def test_an_announced_body_is_refused_before_it_is_read(place: Place, sent: int) -> None:
    with running(place, Policy(limits=LETS_GO)) as one:
        answer = asked(
            one,
            b"POST /api/v1/read HTTP/1.1\r\n"
            + HOST
            + b"Content-Length: 5000000\r\nExpect: 100-continue\r\n\r\n"
            + b"x" * sent,
        )
    assert status(answer) == 413
    assert b"100 Continue" not in answer


def test_only_a_stated_proxy_says_whom_a_request_is_from(place: Place) -> None:
    request = b"GET /api/v1/where HTTP/1.1\r\nConnection: close\r\n" + HOST + b"Authorization: Bearer %s\r\nX-Forwarded-For: 192.0.2.7, 192.0.2.8\r\nX-Forwarded-Proto: https\r\n\r\n" % place.token(Role.READ).encode()  # fmt: skip

    def seen(policy: Policy) -> tuple[object, bytes]:
        with running(place, policy) as one:
            head, _, body = asked(one, request).partition(b"\r\n\r\n")
            return json.loads(body), head

    unknown, head = seen(Policy(token=True))
    assert unknown == {"client": "127.0.0.1", "scheme": "http"}
    assert b"strict-transport-security" not in head
    known, head = seen(Policy(token=True, proxies=("127.0.0.1",)))
    assert known == {"client": "192.0.2.8", "scheme": "https"}
    assert b"strict-transport-security: max-age=31536000" in head
    assert seen(Policy(token=True, proxies=("192.0.2.99",)))[0] == unknown


def test_open_streams_end_at_once_and_whole(place: Place) -> None:
    """An answer without its last chunk is an error to who reads it; here the stream is complete, and nothing is waited for."""
    with running(place, Policy(limits=PATIENT)) as one, one.connect() as connection:
        connection.sendall(b"GET /api/v1/stream HTTP/1.1\r\n" + HOST + b"\r\n")
        read = b""
        while b"data: on" not in read:
            read += connection.recv(65536)
        one.server.config.timeout_graceful_shutdown = None  # for ever
        one.end()
        assert everything(connection).endswith(b"0\r\n\r\n")
