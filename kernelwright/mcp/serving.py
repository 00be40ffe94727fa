"""Serving the tools: over standard input and output, or over HTTP. Both end cleanly, with no process left."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelwright import logs
from kernelwright.config import Settings
from kernelwright.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp.server.mcpserver import MCPServer

__all__ = ["Address", "http_address", "serve_http", "serve_stdio"]

_log = logging.getLogger(__name__)

LOCAL = ("127.0.0.1", "localhost", "::1")
_LARGEST_REQUEST = 2 * 1024 * 1024
"""Bytes of one HTTP request: a source of 256 KiB, each character escaped."""
_LEAVE_SECONDS = 3
"""That open connections get at the end."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Address:
    """Where HTTP is served."""

    host: str
    port: int
    """0 takes a free one."""

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOCAL

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def http_address(text: str) -> Address:
    """``127.0.0.1:8931``, ``[::1]:8931``, or a port alone, which is served to this machine.

    Raises:
        ConfigError: it is no address.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or LOCAL[0]
    if not (port.isascii() and port.isdecimal()) or len(port) > 5 or int(port) > 65535:
        raise ConfigError(f"--http can't be {text!r}.", mend="Give HOST:PORT, for instance 127.0.0.1:8931.")
    return Address(host, int(port))


def serve_stdio(settings: Settings, folders: Sequence[Path], author: str) -> None:
    """Serves one client until standard input ends.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM ended it; everything is closed.
        ConfigError, MisuseError, StoreError: it can't begin.
    """
    if sys.stdin is None or sys.stdout is None:
        raise ConfigError(
            "standard input or output is closed, and the client speaks over them.",
            mend="Let an agent start this program, or serve HTTP with --http.",
        )
    with _opened(settings, folders, author) as server, _input_that_ends() as end:
        asyncio.run(_until_end(server, end))
    if end.signalled:
        raise KeyboardInterrupt


def serve_http(
    settings: Settings,
    folders: Sequence[Path],
    author: str,
    address: Address,
    allowed_hosts: Sequence[str],
    ready: Callable[[str], None],
) -> None:
    """Serves any number of clients, until SIGINT or SIGTERM.

    Args:
        allowed_hosts: further values of the `Host` header (`name` or `name:port`) that are answered, besides this machine's
            names: a page in a browser must not reach the tools by a name that it has made point here.
        ready: told the URL, once it is served.

    Raises:
        KeyboardInterrupt: always, at its end.
        ConfigError, MisuseError, StoreError: it can't begin.
    """
    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    names = ["127.0.0.1", "localhost", "[::1]"] + ([] if address.host in {"0.0.0.0", "::"} else [_in_url(address.host)])
    hosts = [f"{name}:*" for name in dict.fromkeys(names)] + [
        form for host in allowed_hosts for form in ((host,) if ":" in host else (host, f"{host}:*"))
    ]
    security = TransportSecuritySettings(
        allowed_hosts=hosts, allowed_origins=[f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")]
    )
    with _opened(settings, folders, author) as server, _listening(address) as listener:
        app = server.streamable_http_app(
            host=address.host, transport_security=security, max_request_body_size=_LARGEST_REQUEST
        )
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_LEAVE_SECONDS)
        port = listener.getsockname()[1]
        ready(f"http://{_in_url(address.host)}:{port}/mcp")
        asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
    raise KeyboardInterrupt


@contextmanager
def _opened(settings: Settings, folders: Sequence[Path], author: str) -> Iterator[MCPServer[Any]]:
    """The server with what stands behind it: the store, the bench, the runs, all closed at the end."""
    from kernelwright.jobs import open_store
    from kernelwright.mcp.bench import Bench
    from kernelwright.mcp.catalog import Catalog
    from kernelwright.mcp.runs import Runs
    from kernelwright.mcp.tools import Tools, make_server

    with ExitStack() as stack:
        store = stack.enter_context(open_store(settings))
        catalog = Catalog(folders, store)
        bench = stack.enter_context(Bench(settings))
        runs = Runs(store, bench, author)
        stack.callback(runs.leave)
        _libraries_log_where_we_do()
        yield make_server(Tools(catalog, bench, runs, store))


def _libraries_log_where_we_do() -> None:
    """The SDK would set up a handler of its own on the root logger."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.NullHandler())
    for name in ("mcp", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = list(logging.getLogger(logs.ROOT).handlers), False


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextmanager
def _listening(address: Address) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listener = socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"--http {address} can't be served: {error.strerror or error}.", mend="Choose another port, or host."
        ) from error
    try:
        yield listener
    finally:
        listener.close()


# -- standard input that a signal can end -------------------------------------------------------------------------


class _End:
    """Ends standard input as the server sees it, as if the client had closed it."""

    def __init__(self, bell: int) -> None:
        self._bell = bell
        self.signalled = False

    def __call__(self) -> None:
        """From any thread; more than once does no more."""
        self.signalled = True
        os.write(self._bell, b"!")


@contextmanager
def _input_that_ends() -> Iterator[_End]:
    """Puts a pipe in the place of descriptor 0, into which a thread copies what the client sends.

    The SDK reads standard input in a thread that nothing can interrupt: without this, Ctrl-C would wait for the client's
    next line.
    """
    real = os.dup(0)
    from_thread, to_server = os.pipe()
    stop, bell = os.pipe()
    os.dup2(from_thread, 0)
    os.close(from_thread)

    def copy() -> None:
        try:
            while real in (ready := select.select([real, stop], [], [])[0]) and stop not in ready:
                data = os.read(real, 1 << 16)
                if not data:
                    return
                while data:
                    data = data[os.write(to_server, data) :]
        except OSError:  # the client's end broke, or the server reads no more
            return
        finally:
            os.close(to_server)

    thread = threading.Thread(target=copy, name="kernelwright-stdin", daemon=True)
    thread.start()
    end = _End(bell)
    try:
        yield end
    finally:
        os.write(bell, b"!")
        os.dup2(real, 0)  # closes the reading end of the pipe: a thread that still writes gets an error
        thread.join()
        for descriptor in (real, stop, bell):
            os.close(descriptor)


async def _until_end(server: MCPServer[Any], end: _End) -> None:
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, end)
    try:
        await server.run_stdio_async()
    except BrokenPipeError:
        _log.info("the client has closed standard output")
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        sys.stdout.flush()
