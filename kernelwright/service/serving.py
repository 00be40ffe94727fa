"""Serving over HTTP, with a worker beside it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from kernelwright.config import Settings
from kernelwright.db.store import Store
from kernelwright.errors import ConfigError
from kernelwright.service.queue import Queue
from kernelwright.web.access.policy import Policy

__all__ = ["serve_http"]

_log = logging.getLogger(__name__)
_AGAIN_SECONDS = 2.0
"""Between the end of a worker that should not have ended, and the next one."""
_WORKER_SECONDS = 40.0
"""That a worker gets to store where its searches stand."""


def serve_http(
    settings: Settings, port: int, searches: int | None, policy_of: Callable[[Store], Policy], ready: Callable[[str], None]
) -> None:  # fmt: skip
    """Serves until SIGINT or SIGTERM.

    Args:
        policy_of: says by what is stored which address is served, and who is answered.
        searches: that a worker started here makes at a time; None starts none.
        ready: told the URL, once it is served.

    Raises:
        KeyboardInterrupt: always, at its end.
        ConfigError, StoreError: it can't begin.
    """
    from kernelwright.jobs import open_store, resolve_target
    from kernelwright.service.inspection import Inspector
    from kernelwright.web.app import create_app
    from kernelwright.web.context import Site
    from kernelwright.web.live import Live
    from kernelwright.web.server import server_for

    target = resolve_target(settings)  # no fence, no GPU: told before anything is served
    with ExitStack() as stack:
        store = stack.enter_context(open_store(settings))
        policy = policy_of(store)
        queue = stack.enter_context(Queue(store))
        listener = stack.enter_context(_listening(policy.host, port))
        inspector = stack.enter_context(Inspector(settings))
        live = Live(store)
        stack.callback(live.close)
        site = Site(settings, store, queue, inspector, live, on_gpu=target.device.kind == "cuda")
        server = server_for(create_app(site, policy), policy)
        threading.Thread(target=inspector.warm, name="kernelwright-warm", daemon=True).start()
        if searches is not None:
            stack.enter_context(_worker(settings, searches))
        shown = f"[{policy.host}]" if ":" in policy.host else policy.host
        ready(f"http://{shown}:{listener.getsockname()[1]}")
        server.run(sockets=[listener])
    raise KeyboardInterrupt


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(
            f"{host}:{port} can't be served: {error.strerror or error}.", mend="Choose another --port, or --host."
        ) from error
    try:
        yield listener
    finally:
        listener.close()


@contextmanager
def _worker(settings: Settings, searches: int) -> Iterator[None]:
    """A worker in a process of its own, started again when it dies; at the end it is asked to stop."""
    stop = threading.Event()
    environment = {
        **os.environ,
        "KERNELWRIGHT_DATA": str(settings.data),
        "KERNELWRIGHT_CACHE": str(settings.cache),
        "KERNELWRIGHT_DATABASE": settings.database,
    }
    command = [sys.executable, "-P", "-m", "kernelwright", "worker", "--with-parent", "--searches", str(searches)]

    def keep() -> None:
        # it has the other end of a pipe as standard input: when this process is gone, however it ended, the worker sees that
        while not stop.is_set():
            process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, process_group=0)
            running.append(process)
            code = process.wait()
            if not stop.is_set():
                _log.warning("the worker ended with %d; another one is started", code)
                stop.wait(_AGAIN_SECONDS)

    running: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=keep, name="kernelwright-worker", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        for process in running[-1:]:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        thread.join(_WORKER_SECONDS)
