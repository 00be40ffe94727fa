"""A server without a socket: the real application over a store and a queue of its own, and clients of it."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from fastapi import FastAPI
from starlette.testclient import TestClient
from web_site import settings_for

from kernelwright.db.access import Role, new_credential
from kernelwright.db.store import Store
from kernelwright.service.inspection import Inspector
from kernelwright.service.queue import Queue
from kernelwright.web.access.policy import Policy
from kernelwright.web.app import create_app
from kernelwright.web.context import Site
from kernelwright.web.live import Live


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    now: datetime = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **amount: float) -> None:
        self.now += timedelta(**amount)


@dataclass
class Ticks:
    """The same in seconds."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Place:
    """A store and a queue, and what is served of them."""

    store: Store
    queue: Queue
    site: Site
    clock: Clock

    def app(self, policy: Policy | None = None) -> FastAPI:
        """The application."""
        return create_app(self.site, policy)

    def token(self, role: Role, name: str = "", days: float | None = None) -> str:
        """A new token."""
        credential = new_credential()
        expires = None if days is None else self.clock() + timedelta(days=days)
        self.store.add_token(credential, name or role.value, role, expires)
        return credential.text


@cache
def _empty() -> Path:
    """An empty store and its queue: making the tables takes longer than most tests."""
    folder = Path(tempfile.mkdtemp(prefix="kernelwright-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with Store(folder / "k.db") as store, Queue(store):
        pass
    return folder


@contextmanager
def placed(folder: Path) -> Iterator[Place]:
    """A place in a folder."""
    clock = Clock()
    for path in _empty().iterdir():
        shutil.copy(path, folder)
    with Store(folder / "k.db", clock=clock) as store, Queue(store) as queue:
        settings = settings_for(folder)
        with Inspector(settings, seconds=5, wall_seconds=30) as inspector:
            yield Place(store, queue, Site(settings, store, queue, inspector, Live(store), on_gpu=False), clock)


def client_of(app: FastAPI, *, token: str = "", host: str = "localhost", raises: bool = True) -> TestClient:
    """A client that follows no redirect; a program, no browser, unless headers say so."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return TestClient(
        app, base_url=f"http://{host}", headers=headers, follow_redirects=False, raise_server_exceptions=raises
    )
