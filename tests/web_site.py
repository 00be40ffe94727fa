"""A server over a real store, without a network: what tests of pages talk to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.testclient import TestClient

from kernelwright.config import Settings, load_settings
from kernelwright.db.store import Store
from kernelwright.errors import ConfigError
from kernelwright.sandbox.isolation import choose_isolation
from kernelwright.service.inspection import Inspector
from kernelwright.service.queue import Queue
from kernelwright.web.app import create_app
from kernelwright.web.context import Site
from kernelwright.web.live import Live

__all__ = ["Served", "served", "settings_for", "site_over", "talking"]


def settings_for(folder: Path, **changes: object) -> Settings:
    """Settings with all their places in `folder`; a plain process where nothing here can fence code in."""
    try:
        isolation = choose_isolation("auto")
    except ConfigError:
        isolation = "process"
    return load_settings(
        data=folder, database=str(folder / "store.db"), device="emulator", isolation=isolation, **changes
    )


@contextmanager
def site_over(settings: Settings) -> Iterator[Site]:
    """Everything that a server has."""
    with (
        Store(settings.database) as store,
        Queue(store) as queue,
        Inspector(settings, seconds=5, wall_seconds=30) as inspector,
    ):
        yield Site(settings, store, queue, inspector, Live(store), on_gpu=False)


@contextmanager
def talking(settings: Settings) -> Iterator[tuple[TestClient, Site]]:
    """A client of a server with these settings; errors of ours come as answers, as they do to a browser."""
    with (
        site_over(settings) as site,
        TestClient(create_app(site), base_url="http://127.0.0.1", raise_server_exceptions=False) as client,
    ):
        yield client, site


@dataclass
class Served:
    """A server on a socket."""

    url: str
    site: Site
    routes: list[str]
    """Paths of its pages, with places for ids; those that are parts, files or actions left out."""


@contextmanager
def served(settings: Settings) -> Iterator[Served]:
    """A server on a free port of this machine, in a thread."""
    import uvicorn

    with site_over(settings) as site, socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(create_app(site), log_config=None, access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", site, page_routes())
        finally:
            site.live.close()
            server.should_exit = True
            thread.join(30)


def page_routes() -> list[str]:
    """Paths of the pages that have a JSON twin."""
    from kernelwright.web.routes import NOUNS

    return [
        route.path
        for noun in NOUNS
        for route in noun.pages.routes
        if route.name.endswith("_page") and "GET" in route.methods  # type: ignore[attr-defined]
    ]
