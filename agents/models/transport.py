"""The HTTP client that both SDKs get: time-outs, a bound on what a server may send, proxies, recording.

It is httpx2's, which openai 3 and anthropic 2 take as `http_client`. Importing this module costs what httpx2 costs, so
clients import it when they are made.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx2

__all__ = ["WIRE_BYTES", "OverTime", "TooLong", "Waits", "Wrap", "http_client"]

WIRE_BYTES = 64 * 2**20
"""Most bytes of one response. A streamed token takes about 250 bytes, so 128 Ki tokens take 32 MiB."""

Wrap = Callable[[httpx2.BaseTransport], httpx2.BaseTransport]
"""Puts something between a transport and the network: what records."""


class OverTime(httpx2.ReadTimeout):
    """The whole call took longer than it may."""


class TooLong(httpx2.RemoteProtocolError):
    """The server sent more than `WIRE_BYTES`."""


@dataclass(frozen=True)
class Waits:
    """Time-outs of one call, in seconds."""

    whole: float = 600.0
    """From sending the request to the last byte."""
    connect: float = 10.0
    silence: float = 300.0
    """Between two pieces of the response, and before the first one: a model that reasons may say nothing for minutes."""


class _Guarded(httpx2.BaseTransport):
    def __init__(self, inner: httpx2.BaseTransport, seconds: float, timer: Callable[[], float]) -> None:
        self._inner = inner
        self._seconds = seconds
        self._timer = timer

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        deadline = self._timer() + self._seconds
        response = self._inner.handle_request(request)
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Watched(response.stream, request, deadline, self._seconds, self._timer)
        return response

    def close(self) -> None:
        self._inner.close()


class _Watched(httpx2.SyncByteStream):
    def __init__(
        self,
        inner: httpx2.SyncByteStream,
        request: httpx2.Request,
        deadline: float,
        seconds: float,
        timer: Callable[[], float],
    ) -> None:
        self._inner = inner
        self._request = request
        self._deadline = deadline
        self._seconds = seconds
        self._timer = timer

    def __iter__(self) -> Iterator[bytes]:
        received = 0
        for chunk in self._inner:
            received += len(chunk)
            if received > WIRE_BYTES:
                raise TooLong(f"more than {WIRE_BYTES >> 20} MiB", request=self._request)
            if self._timer() > self._deadline:
                raise OverTime(f"longer than {self._seconds:g} s", request=self._request)
            yield chunk

    def close(self) -> None:
        self._inner.close()


def http_client(
    waits: Waits, *, wrap: Wrap | None = None, timer: Callable[[], float] = time.monotonic
) -> httpx2.Client:
    """A client with these time-outs, through the proxies that the environment names.

    Redirects are not followed: a server of models answers where it is, and a key belongs there only.
    """

    def transport(proxy: str | None = None) -> httpx2.BaseTransport:
        inner: httpx2.BaseTransport = httpx2.HTTPTransport(proxy=proxy)
        return _Guarded(wrap(inner) if wrap else inner, waits.whole, timer)

    # httpx2 looks at the environment's proxies only where it makes the transport itself.
    proxies = urllib.request.getproxies()
    mounts: dict[str, httpx2.BaseTransport | None] = {
        f"{scheme}://": transport(_proxy_url(proxies[key]))
        for key, scheme in (("http", "http"), ("https", "https"), ("all", "all"))
        if proxies.get(key)
    }
    if mounts:
        for host in ("localhost", "127.0.0.1", "[::1]", *_direct(proxies.get("no", ""))):
            mounts[f"all://{host}"] = None
    silence = min(waits.silence, waits.whole)
    timeout = httpx2.Timeout(silence, connect=min(waits.connect, waits.whole))
    return httpx2.Client(transport=transport(), mounts=mounts, timeout=timeout, follow_redirects=False)


def _proxy_url(given: str) -> str:
    return given if "://" in given else f"http://{given}"


def _direct(no_proxy: str) -> list[str]:
    """Host patterns of ``no_proxy`` in httpx2's words; ``example.org`` stands for its subdomains too."""
    hosts = [host.strip() for host in no_proxy.split(",") if host.strip()]
    if "*" in hosts:
        return ["*"]
    return [pattern for host in hosts for pattern in ([f"*{host}"] if host.startswith(".") else [host, f"*.{host}"])]
